//! What the agent does without its core: it runs again what failed, keeps leases, and tells in the
//! end only what matters.

use edge_agent_logic::attempt::{Runs, State};
use edge_agent_logic::input::{Exit, Found, ProcessEnd, ProcessEvent};
use edge_agent_logic::{Change, Effect, Input, Notice, Outcome, Settings};
use shared::id::{Revision, Sequence};
use shared::report::{End, ReportEvent, StopReason};
use shared::time::{Monotonic, Timestamp};
use shared::wire::downlink::{LocalRetry, Order};
use shared::wire::{Downlink, Uplink};

use super::bench::{Bench, acked, acts, events, exec, exited, id, notices, sent};

fn stubborn() -> Order {
    let retry = LocalRetry { failures_max: 2, losses_max: 1, delay_ms: 1_000, delay_ms_max: 4_000 };
    Order { retry, ..exec() }
}

/// One attempt that runs while the core cannot be asked.
fn alone_with(order: Order) -> Bench {
    let mut bench = Bench::met();
    bench.run(id(1, 1), order);
    bench.started(id(1, 1));
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    bench
}

fn end_of(outcome: &Outcome) -> Option<&End> {
    events(outcome).into_iter().find_map(|event| match event {
        ReportEvent::Finished(finish) => Some(&finish.end),
        _ => None,
    })
}

fn retried(outcome: &Outcome) -> bool {
    events(outcome).iter().any(|event| matches!(event, ReportEvent::Retried(_)))
}

#[test]
fn a_run_that_failed_is_followed_by_another_as_often_as_the_order_lets_it() {
    let mut bench = alone_with(stubborn());
    for (failures, wait_ms) in [(1, 1_000), (2, 2_000)] {
        let outcome = bench.ended(id(1, 1), exited(3));
        assert!(outcome.changes.is_empty() && acts(&outcome).is_empty(), "nothing is decided yet");
        assert!(!bench.agent.reserved().is_zero(), "its room is kept");
        let begun_ms = bench.mono_ms;
        assert!(acts(&bench.tick_at(begun_ms + wait_ms / 2 - 1)).is_empty());
        let outcome = bench.tick_at(begun_ms + wait_ms);
        // What the run left is removed before the next is begun.
        assert_eq!(acts(&outcome), ["forget 1", "spawn 1"]);
        assert!(retried(&outcome), "{outcome:?}");
        let runs = Runs { failures, losses: 0 };
        assert!(outcome.changes.contains(&Change::AttemptBegunAgain { id: id(1, 1), runs }));
        let run = |effect: &Effect| matches!(effect, Effect::Spawn { run, .. } if *run == failures);
        assert!(outcome.effects.iter().any(run));
        assert_eq!(events(&bench.started(id(1, 1))), [&ReportEvent::Started]);
    }
    let outcome = bench.ended(id(1, 1), exited(3));
    assert_eq!(end_of(&outcome), Some(&End::Exited { code: 3 }));
}

#[test]
fn every_way_to_fail_counts_and_a_success_or_a_stop_ends_at_once() {
    for (exit, fails) in [
        (Exit::Code(1), true),
        (Exit::Signal(11), true),
        (Exit::OutOfMemory, true),
        (Exit::SpawnFailed { message: "no such file".to_owned() }, true),
        (Exit::Code(0), false),
        (Exit::LeaseOver, false),
    ] {
        let mut bench = alone_with(stubborn());
        let outcome = bench.ended(id(1, 1), ProcessEnd { exit, ..exited(0) });
        assert_eq!(end_of(&outcome).is_none(), fails, "{outcome:?}");
    }
    let mut bench = alone_with(Order { timeout_ms: Some(5_000), ..stubborn() });
    assert_eq!(acts(&bench.tick_at(5_000)), ["terminate 1"]);
    assert!(end_of(&bench.ended(id(1, 1), exited(0))).is_none(), "a timeout is a failure");
    let mut bench = alone_with(Order { stop_after_ms: Some(5_000), ..stubborn() });
    assert_eq!(acts(&bench.tick_at(5_000)), ["terminate 1"]);
    let stopped = End::Stopped { reason: StopReason::Disconnected };
    assert_eq!(end_of(&bench.ended(id(1, 1), exited(3))), Some(&stopped));
}

#[test]
fn a_core_that_comes_back_in_time_decides() {
    let mut bench = alone_with(stubborn());
    bench.ended(id(1, 1), exited(3));
    bench.mono_ms = 400;
    bench.step(Input::LinkUp { link: 2 });
    let outcome = bench.welcome(0);
    assert_eq!(end_of(&outcome), Some(&End::Exited { code: 3 }));
    // And while it is met, it decides at once.
    let mut bench = Bench::met();
    bench.run(id(1, 1), stubborn());
    assert!(end_of(&bench.ended(id(1, 1), exited(3))).is_some());
}

#[test]
fn what_must_not_go_on_without_the_core_does_not_begin_again_either() {
    let mut bench = alone_with(Order { stop_after_ms: Some(600), ..stubborn() });
    bench.mono_ms = 590;
    bench.ended(id(1, 1), exited(3));
    let outcome = bench.tick_at(600);
    assert_eq!(end_of(&outcome), Some(&End::Exited { code: 3 }), "it failed, and that is told");
    assert!(acts(&outcome).is_empty());
    // Also when both are due at once, after a board has slept.
    let mut bench = alone_with(Order { stop_after_ms: Some(6_000), ..stubborn() });
    bench.ended(id(1, 1), exited(3));
    let outcome = bench.tick_at(7_000);
    assert_eq!(end_of(&outcome), Some(&End::Exited { code: 3 }));
    assert!(!retried(&outcome) && acts(&outcome).is_empty());
}

#[test]
fn after_a_power_cut_the_core_has_its_time_to_be_met_and_then_it_is_run_again() {
    for met in [false, true] {
        let mut bench = alone_with(stubborn());
        bench.restart();
        let found = Input::Found { assignment: id(1, 1), found: Found::Gone };
        assert!(
            bench.step(found).changes.iter().all(|it| !matches!(it, Change::ReportAdded { .. }))
        );
        if met {
            bench.step(Input::LinkUp { link: 1 });
            assert!(matches!(end_of(&bench.welcome(0)), Some(End::Vanished { .. })));
            continue;
        }
        assert!(acts(&bench.tick_at(29_999)).is_empty());
        assert_eq!(acts(&bench.tick_at(30_000)), ["forget 1", "spawn 1"]);
        // Once is as often as the order lets it.
        let outcome = bench.process(id(1, 1), ProcessEvent::Gone);
        assert!(matches!(end_of(&outcome), Some(End::Vanished { .. })));
    }
}

#[test]
fn the_runs_of_an_attempt_are_counted_across_restarts() {
    let mut bench = alone_with(stubborn());
    bench.ended(id(1, 1), exited(3));
    // Nothing was decided: the same end is found again.
    bench.restart();
    let ended = || Found::Ended(Box::new(exited(3)));
    bench.step(Input::Found { assignment: id(1, 1), found: ended() });
    bench.tick_at(1_000);
    for left in [1, 0] {
        bench.restart();
        bench.step(Input::Found { assignment: id(1, 1), found: ended() });
        bench.mono_ms += 10_000;
        let outcome = bench.step(Input::Tick);
        assert_eq!(retried(&outcome), left > 0, "{outcome:?}");
    }
    assert_eq!(bench.agent.live().count(), 0);
}

#[test]
fn what_was_to_run_again_and_was_not_begun_is_begun_after_a_restart() {
    let mut bench = alone_with(stubborn());
    bench.ended(id(1, 1), exited(3));
    let now = edge_agent_logic::Agent::step(&mut bench.agent.clone(), Input::Tick, bench.now());
    assert!(now.changes.is_empty(), "a look does not hurry it");
    bench.tick_at(1_000);
    let state = State::Starting { boot: shared::id::Boot(1) };
    assert_eq!(bench.agent.live().next(), Some((id(1, 1), state)));
    bench.restart();
    let found = Input::Found { assignment: id(1, 1), found: Found::NeverStarted };
    let outcome = bench.step(found);
    let second = |effect: &Effect| matches!(effect, Effect::Spawn { run: 1, .. });
    assert!(outcome.effects.iter().any(second), "{outcome:?}");
}

#[test]
fn after_days_alone_one_row_waits_for_each_attempt_that_is_over() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), exec());
    bench.hear(acked(1));
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    bench.started(id(1, 1));
    assert_eq!(bench.agent.reports_waiting(), 1);
    let outcome = bench.ended(id(1, 1), exited(0));
    let dropped = Change::ReportsDropped { seqs: vec![Sequence(2)] };
    assert!(outcome.changes.contains(&dropped), "{outcome:?}");
    assert_eq!(bench.agent.reports_waiting(), 1);
    let numbers: Vec<u64> =
        bench.store.reports(Sequence(1), Sequence(9), 9).iter().map(|it| it.seq.0).collect();
    assert_eq!(numbers, [3]);
    bench.step(Input::LinkUp { link: 2 });
    assert_eq!(acts(&bench.welcome(1)), ["reports 1..3"]);

    // What is under way is not taken back.
    let mut bench = Bench::met();
    bench.run(id(1, 1), exec());
    let outcome = bench.ended(id(1, 1), exited(0));
    assert!(!outcome.changes.iter().any(|it| matches!(it, Change::ReportsDropped { .. })));
}

#[test]
fn the_window_counts_entries_and_not_numbers() {
    let mut bench = Bench::new(Settings { outbox_window: 2, ..Settings::default() });
    bench.meet();
    for task in 1..=4 {
        bench.run(id(task, 1), exec());
    }
    bench.hear(acked(2));
    bench.hear(acked(4));
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    for task in 1..=4 {
        bench.started(id(task, 1));
        bench.ended(id(task, 1), exited(0));
    }
    bench.step(Input::LinkUp { link: 2 });
    // Numbers 5, 7, 9 and 11 were dropped.
    assert_eq!(acts(&bench.welcome(4)), ["reports 4..8"]);
    assert_eq!(acts(&bench.hear(acked(8))), ["forget 1", "forget 1", "reports 8..12"]);
}

fn leased() -> Order {
    Order { lease_ms: Some(10_000), ..exec() }
}

/// What a core says that wants nothing that is not applied.
fn pong(nonce: u64) -> Downlink {
    Downlink::Pong { nonce, desired_rev: Revision(0), lease: true }
}

/// The pings in what was sent.
fn pings(outcome: &Outcome) -> Vec<u64> {
    let nonce = |message: &&Uplink| match message {
        Uplink::Ping { nonce, .. } => Some(*nonce),
        _ => None,
    };
    sent(outcome).iter().filter_map(nonce).collect()
}

#[test]
fn a_lease_counts_from_when_the_ping_was_sent_and_its_attempt_is_over_before_it_ends() {
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::LinkUp { link: 1 });
    let ping = pings(&bench.welcome(0))[0];
    assert!(acts(&bench.run(id(1, 1), leased())).iter().all(|act| act != "spawn 1"));
    // The pong takes three seconds: the lease does not count from its arrival.
    bench.mono_ms = 3_000;
    bench.hear(pong(ping ^ 1));
    assert_eq!(bench.agent.live().next(), Some((id(1, 1), State::Accepted)), "not our ping");
    let outcome = bench.hear(pong(ping));
    let sent_at = Monotonic(0);
    assert!(matches!(outcome.effects[0], Effect::RenewLease { sent } if sent == sent_at));
    let with_lease = |effect: &Effect| matches!(effect, Effect::Spawn { renewed, .. } if *renewed == Some(sent_at));
    assert!(outcome.effects.iter().any(with_lease));
    bench.started(id(1, 1));
    // 10 s, less 1 s of grace and twice the margin.
    assert!(bench.agent.next_wakeup() <= Some(Monotonic(7_000)));
    assert!(!acts(&bench.tick_at(6_999)).contains(&"terminate 1".to_owned()));
    assert!(acts(&bench.tick_at(7_000)).contains(&"terminate 1".to_owned()));
    assert!(acts(&bench.tick_at(8_000)).contains(&"kill 1".to_owned()));
    let stopped = End::Stopped { reason: StopReason::Disconnected };
    assert_eq!(end_of(&bench.ended(id(1, 1), exited(0))), Some(&stopped));
}

#[test]
fn answered_pings_keep_a_lease_and_nothing_else_does() {
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::LinkUp { link: 1 });
    let first = pings(&bench.welcome(0))[0];
    bench.hear(pong(first));
    bench.run(id(1, 1), leased());
    bench.started(id(1, 1));
    let mut told_at = None;
    let mut outstanding = Vec::new();
    for mono_ms in (0..60_000).step_by(500) {
        let outcome = bench.tick_at(mono_ms);
        outstanding.extend(pings(&outcome));
        if acts(&outcome).contains(&"terminate 1".to_owned()) && told_at.is_none() {
            told_at = Some(mono_ms);
        }
        // The core answers for half a minute, and goes on talking of other things.
        if mono_ms < 30_000 {
            for nonce in outstanding.drain(..) {
                bench.hear(pong(nonce));
            }
        }
        bench.hear(acked(0));
        bench.hear(pong(first));
    }
    assert!((30_000..38_000).contains(&told_at.expect("stopped")), "{told_at:?}");
}

#[test]
fn a_pong_renews_nothing_before_what_was_wanted_then_is_applied() {
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::LinkUp { link: 1 });
    let nonce = pings(&bench.welcome(0))[0];
    bench.hear(Downlink::Pong { nonce, desired_rev: Revision(2), lease: true });
    // What was wanted may have been that the task goes elsewhere.
    let outcome = bench.run(id(1, 1), leased());
    assert!(acts(&outcome).iter().all(|act| act != "spawn 1"));
    assert!(acts(&bench.run(id(2, 2), exec())).contains(&"spawn 1".to_owned()));
}

#[test]
fn an_older_pong_that_comes_late_changes_nothing() {
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::LinkUp { link: 1 });
    let mut all = pings(&bench.welcome(0));
    bench.run(id(1, 1), leased());
    while all.len() < 3 {
        bench.mono_ms += 500;
        all.extend(pings(&bench.step(Input::Tick)));
    }
    let renewed = |outcome: &Outcome| {
        outcome.effects.iter().any(|it| matches!(it, Effect::RenewLease { .. }))
    };
    // Two are outstanding, the older one is answered, then the newer.
    assert!(renewed(&bench.hear(pong(all[1]))));
    assert!(!renewed(&bench.hear(pong(all[0]))));
    assert!(renewed(&bench.hear(pong(all[2]))));
}

#[test]
fn after_a_restart_nothing_leased_begins_before_a_pong_and_what_runs_is_its_supervisors() {
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::LinkUp { link: 1 });
    let nonce = pings(&bench.welcome(0))[0];
    bench.hear(pong(nonce));
    bench.run(id(1, 1), leased());
    bench.started(id(1, 1));
    bench.restart();
    let found = Found::Running { started_at: Timestamp(1), ran_ms: 0 };
    bench.step(Input::Found { assignment: id(1, 1), found });
    bench.step(Input::LinkUp { link: 1 });
    bench.welcome(0);
    let outcome = bench.tick_at(15_000);
    assert!(acts(&outcome).iter().all(|act| act != "terminate 1"));
    assert!(acts(&bench.run(id(2, 2), leased())).iter().all(|act| act != "spawn 2"));
    assert!(acts(&bench.run(id(3, 3), exec())).contains(&"spawn 3".to_owned()), "it waits alone");
    bench.mono_ms = 16_000;
    let outcome = bench.hear(pong(pings(&outcome)[0]));
    assert_eq!(acts(&outcome), ["spawn 2"]);
    // A supervisor that ended it says why.
    let over = ProcessEnd { exit: Exit::LeaseOver, ..exited(0) };
    let stopped = End::Stopped { reason: StopReason::Disconnected };
    assert_eq!(end_of(&bench.ended(id(1, 1), over)), Some(&stopped));
}

#[test]
fn a_notice_says_that_a_run_follows() {
    let mut bench = alone_with(stubborn());
    bench.ended(id(1, 1), exited(3));
    let outcome = bench.tick_at(1_000);
    assert!(notices(&outcome).iter().any(|it| matches!(it, Notice::Retried { .. })));
}

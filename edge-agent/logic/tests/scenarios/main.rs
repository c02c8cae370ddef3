//! What the agent does in the situations that matter, one by one: the life of an attempt.

mod alone;
mod bench;
mod conversation;
mod keeping;
mod restart;
mod schedules;
mod telling;

use bench::{Bench, acts, events, exec, exited, facts, id, noop, notices, reports};
use edge_agent_logic::attempt::State;
use edge_agent_logic::input::{Exit, ProcessEvent};
use edge_agent_logic::{Change, Input, Notice, Settings, Start};
use shared::id::Revision;
use shared::report::{End, RefusalReason, ReportEvent, StopReason};
use shared::wire::Downlink;
use shared::wire::downlink::{Desired, DesiredRow, Order, Want};
use shared::wire::uplink::Load;

fn end_of(outcome: &edge_agent_logic::Outcome) -> Option<End> {
    events(outcome).into_iter().find_map(|event| match event {
        ReportEvent::Finished(finish) => Some(finish.end.clone()),
        _ => None,
    })
}

fn refusal(outcome: &edge_agent_logic::Outcome) -> Option<RefusalReason> {
    events(outcome).into_iter().find_map(|event| match event {
        ReportEvent::Refused { reason, .. } => Some(*reason),
        _ => None,
    })
}

#[test]
fn an_attempt_is_on_disk_before_it_is_reported_and_starting_before_it_is_spawned() {
    let mut bench = Bench::met();
    let outcome = bench.run(id(1, 1), exec());
    // One transaction: the attempt, its report, what is applied, and that it is starting.
    assert!(
        matches!(&outcome.changes[0], Change::AttemptAdded(row) if row.state == State::Accepted)
    );
    assert_eq!(events(&outcome), [&ReportEvent::Accepted]);
    assert!(outcome.changes.contains(&Change::Applied { rev: Revision(1) }));
    let starting = |change: &Change| {
        matches!(change, Change::AttemptMoved { state: State::Starting { .. }, .. })
    };
    assert!(outcome.changes.iter().any(starting));
    assert_eq!(acts(&outcome), ["spawn 1", "reports 0..1"]);

    assert_eq!(events(&bench.started(id(1, 1))), [&ReportEvent::Started]);
    let outcome = bench.ended(id(1, 1), exited(3));
    assert_eq!(end_of(&outcome), Some(End::Exited { code: 3 }));
    assert!(bench.agent.reserved().is_zero());

    // Everything about it goes when its end is acknowledged, and not before.
    assert!(acts(&bench.hear(bench::acked(2))).is_empty());
    assert_eq!(acts(&bench.hear(bench::acked(3))), ["forget 1"]);
    assert!(bench.agent.holds().next().is_none());
}

#[test]
fn a_noop_is_accepted_and_finished_in_one_transaction() {
    let mut bench = Bench::met();
    let outcome = bench.run(id(1, 1), noop());
    assert!(matches!(events(&outcome)[..], [ReportEvent::Accepted, ReportEvent::Finished(_)]));
    assert_eq!(end_of(&outcome), Some(End::Exited { code: 0 }));
    assert_eq!(acts(&outcome), ["reports 0..2"]);
}

#[test]
fn every_refusal_has_its_name() {
    let refused = |prepare: fn(&mut Bench), order: Order| {
        let mut bench = Bench::met();
        prepare(&mut bench);
        let outcome = bench.run(id(9, 1), order);
        let refusal = refusal(&outcome);
        assert_eq!(bench.agent.remembers(id(9, 1)), refusal.is_none());
        refusal
    };
    let large = || {
        let mut order = exec();
        order.needs.cpu_millis = 1_001;
        order
    };
    assert_eq!(refused(|_| {}, exec()), None);
    assert_eq!(refused(|_| {}, large()), Some(RefusalReason::Resources));
    let full = |bench: &mut Bench| {
        bench.step(Input::Measured { load: Load::default(), disk_full: true });
    };
    assert_eq!(refused(full, exec()), Some(RefusalReason::DiskFull));
    let stopping = |bench: &mut Bench| {
        bench.step(Input::Stop);
    };
    assert_eq!(refused(stopping, exec()), Some(RefusalReason::Stopping));
    let busy = |bench: &mut Bench| {
        for task in 1..=4 {
            assert_eq!(refusal(&bench.run(id(task, 1), exec())), None);
        }
    };
    assert_eq!(refused(busy, exec()), Some(RefusalReason::Busy));

    let mut lame = facts();
    lame.runtimes = vec!["noop".to_owned()];
    let mut bench = Bench::met();
    let start = bench::start(bench.store.stored(), Settings::default(), bench.now());
    bench.agent = edge_agent_logic::Agent::restore(Start { facts: lame, ..start });
    bench.meet();
    assert_eq!(refusal(&bench.run(id(9, 1), exec())), Some(RefusalReason::Runtime));
}

#[test]
fn a_shortage_says_what_is_short_and_how_much_is_free() {
    let mut bench = Bench::met();
    let mut order = exec();
    order.needs.cpu_millis = 700;
    bench.run(id(1, 1), order.clone());
    let outcome = bench.run(id(2, 1), order);
    let expected = "processor: 700 thousandths of a core needed, 300 of 1000 free";
    let is_it = |event: &&ReportEvent| matches!(event, ReportEvent::Refused { detail, .. } if detail == expected);
    assert!(events(&outcome).iter().any(is_it), "{:?}", reports(&outcome));
}

#[test]
fn higher_priority_starts_first_then_the_order_of_acceptance() {
    let mut bench = Bench::new(Settings { running_max: Some(1), ..Settings::default() });
    bench.meet();
    bench.run(id(1, 1), exec());
    bench.run(id(2, 2), exec());
    bench.run(id(3, 3), exec());
    bench.run(id(4, 4), Order { priority: 90, ..exec() });
    for (task, next) in [(1, "spawn 4"), (4, "spawn 2"), (2, "spawn 3")] {
        let attempt = u32::try_from(task).expect("small");
        let outcome = bench.ended(id(task, attempt), exited(0));
        assert_eq!(acts(&outcome)[0], next);
    }
}

#[test]
fn what_has_not_started_is_stopped_at_once_and_what_runs_gets_its_grace() {
    let mut bench = Bench::new(Settings { running_max: Some(1), ..Settings::default() });
    bench.meet();
    bench.run(id(1, 1), exec());
    bench.run(id(2, 1), exec());
    let stopped = Some(End::Stopped { reason: StopReason::Canceled });
    assert_eq!(end_of(&bench.stop(id(2, 1), StopReason::Canceled)), stopped);

    bench.started(id(1, 1));
    let outcome = bench.stop(id(1, 1), StopReason::Canceled);
    assert_eq!((end_of(&outcome), acts(&outcome)), (None, vec!["terminate 1".to_owned()]));
    assert!(bench.agent.next_wakeup() <= Some(shared::time::Monotonic(1_000)));
    assert!(acts(&bench.tick_at(999)).iter().all(|act| act != "kill 1"));
    assert!(acts(&bench.tick_at(1_000)).contains(&"kill 1".to_owned()));
    // It hangs in a driver: killed again, and never forgotten.
    assert!(acts(&bench.tick_at(6_000)).contains(&"kill 1".to_owned()));
    let mut killed = exited(0);
    killed.exit = Exit::Signal(9);
    assert_eq!(end_of(&bench.ended(id(1, 1), killed)), stopped);
}

#[test]
fn a_stop_that_comes_before_the_process_is_seen_still_ends_it_once() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), exec());
    assert!(
        acts(&bench.stop(id(1, 1), StopReason::DeadlinePassed)).contains(&"terminate 1".to_owned())
    );
    assert_eq!(events(&bench.started(id(1, 1))), [&ReportEvent::Started]);
    let outcome = bench.ended(id(1, 1), exited(0));
    assert_eq!(end_of(&outcome), Some(End::Stopped { reason: StopReason::DeadlinePassed }));
    assert!(matches!(notices(&bench.started(id(1, 1)))[..], [Notice::Nonsense { .. }]));
}

#[test]
fn a_stop_for_what_was_never_here_is_answered_so_that_nobody_waits() {
    let mut bench = Bench::met();
    let outcome = bench.stop(id(1, 1), StopReason::Canceled);
    assert_eq!(end_of(&outcome), Some(End::Stopped { reason: StopReason::Canceled }));
    assert!(outcome.changes.contains(&Change::Applied { rev: Revision(1) }));
}

#[test]
fn a_timeout_counts_from_the_start_of_the_process() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), Order { timeout_ms: Some(10_000), ..exec() });
    bench.mono_ms = 5_000;
    bench.started(id(1, 1));
    assert!(!acts(&bench.tick_at(14_999)).contains(&"terminate 1".to_owned()));
    assert!(acts(&bench.tick_at(15_000)).contains(&"terminate 1".to_owned()));
    // A cancel that comes now changes nothing any more; nor does a friendly exit.
    bench.stop(id(1, 1), StopReason::Canceled);
    assert_eq!(end_of(&bench.ended(id(1, 1), exited(0))), Some(End::TimedOut));
}

#[test]
fn every_end_of_a_process_is_told_as_it_was() {
    for (exit, end) in [
        (Exit::Code(0), End::Exited { code: 0 }),
        (Exit::Signal(11), End::Signaled { signal: 11 }),
        (Exit::OutOfMemory, End::OutOfMemory),
        (
            Exit::SpawnFailed { message: "no such file".to_owned() },
            End::SpawnFailed { message: "no such file".to_owned() },
        ),
    ] {
        let mut bench = Bench::met();
        bench.run(id(1, 1), exec());
        let outcome =
            bench.ended(id(1, 1), edge_agent_logic::input::ProcessEnd { exit, ..exited(0) });
        assert_eq!(end_of(&outcome), Some(end));
    }
    let mut bench = Bench::met();
    bench.run(id(1, 1), exec());
    let outcome = bench.process(id(1, 1), ProcessEvent::Gone);
    assert!(matches!(end_of(&outcome), Some(End::Vanished { .. })));
}

#[test]
fn a_newer_attempt_waits_until_the_older_one_of_its_task_is_over() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), exec());
    bench.started(id(1, 1));
    let outcome = bench.run(id(1, 2), exec());
    assert_eq!(acts(&outcome)[0], "terminate 1");
    assert!(!acts(&outcome).contains(&"spawn 2".to_owned()));
    let outcome = bench.ended(id(1, 1), exited(0));
    assert_eq!(end_of(&outcome), Some(End::Stopped { reason: StopReason::Superseded }));
    assert_eq!(acts(&outcome)[0], "spawn 2");
    // Wanted again, it is the same attempt, whatever the revision.
    assert!(reports(&bench.run(id(1, 1), exec())).is_empty());
    assert!(reports(&bench.run(id(1, 2), exec())).is_empty());
    // And an older one that comes late is not taken.
    let mut bench = Bench::met();
    bench.run(id(1, 2), exec());
    assert_eq!(refusal(&bench.run(id(1, 1), exec())), Some(RefusalReason::Busy));
}

#[test]
fn what_must_not_go_on_without_the_core_is_stopped_after_its_time() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), Order { stop_after_ms: Some(60_000), ..exec() });
    bench.run(id(2, 2), exec());
    bench.started(id(1, 1));
    bench.mono_ms = 30_000;
    // Any word from the core counts, a link alone does not.
    bench.hear(Downlink::Pong { nonce: 1, desired_rev: shared::id::Revision(0), lease: true });
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    bench.step(Input::LinkUp { link: 2 });
    assert!(!acts(&bench.tick_at(89_999)).contains(&"terminate 1".to_owned()));
    assert!(bench.agent.next_wakeup() <= Some(shared::time::Monotonic(90_000)));
    let outcome = bench.tick_at(90_000);
    assert!(acts(&outcome).contains(&"terminate 1".to_owned()));
    assert!(!acts(&outcome).contains(&"terminate 2".to_owned()));
    let end = end_of(&bench.ended(id(1, 1), exited(0)));
    assert_eq!(end, Some(End::Stopped { reason: StopReason::Disconnected }));
}

#[test]
fn desired_state_is_applied_once_in_order_and_never_over_a_gap() {
    let mut bench = Bench::met();
    let desired = |base, upto, rows: &[(u64, Want)]| {
        let row = |(rev, want): &(u64, Want)| DesiredRow {
            rev: Revision(*rev),
            assignment: id(u128::from(*rev), 1),
            want: want.clone(),
        };
        Downlink::Desired(Desired {
            core: bench::CORE,
            incarnation: bench::INCARNATION,
            base: Revision(base),
            upto: Revision(upto),
            rows: rows.iter().map(row).collect(),
            schedules: Vec::new(),
        })
    };
    let run = || Want::Run(std::sync::Arc::new(exec()));
    let outcome = bench.hear(desired(2, 3, &[(3, run())]));
    assert!(matches!(notices(&outcome)[..], [Notice::DesiredGap { .. }]));
    assert_eq!(bench.agent.applied_rev(), Revision(0));

    bench.hear(desired(0, 2, &[(2, run()), (1, run())]));
    assert_eq!((bench.agent.applied_rev(), bench.agent.live().count()), (Revision(2), 2));
    // Repeated, overlapping, and with a row beyond what it claims to hold.
    assert!(reports(&bench.hear(desired(0, 2, &[(1, run()), (2, run())]))).is_empty());
    let outcome = bench.hear(desired(1, 3, &[(2, run()), (3, run()), (4, run())]));
    assert_eq!(reports(&outcome).len(), 1);
    assert_eq!(bench.agent.applied_rev(), Revision(3));

    let mut foreign = desired(3, 4, &[(4, run())]);
    if let Downlink::Desired(desired) = &mut foreign {
        desired.incarnation = shared::id::Incarnation(uuid::Uuid::nil());
    }
    assert!(reports(&bench.hear(foreign)).is_empty());
}

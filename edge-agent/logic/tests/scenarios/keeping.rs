//! What the agent keeps for a core that forgets, what it does beside a copy of itself, and how it
//! lists what it holds.

use edge_agent_logic::attempt::State;
use edge_agent_logic::change::LinkSeen;
use edge_agent_logic::input::Found;
use edge_agent_logic::settings::{INVENTORY_PART_LIMIT, TASKS_MAX_LIMIT};
use edge_agent_logic::{Agent, Change, Effect, Input, Notice, Outcome, Settings, Start};
use shared::id::{ScheduleId, Sequence, Session};
use shared::label::{LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, LABELS_MAX, Labels};
use shared::report::StopReason;
use shared::time::Timestamp;
use shared::wire::downlink::{Refusal, RefusedBecause, ResidentSchedule, Welcome};
use shared::wire::uplink::{Facts, Held, HeldSchedule, InventoryPart};
use shared::wire::{Downlink, Uplink, encode};
use uuid::Uuid;

use super::bench::{
    Bench, acked, acts, exec, exited, facts, hellos, id, noop, notices, now, reports, sent, start,
};

const DAY_MS: u64 = 24 * 3_600 * 1_000;

/// An agent whose ends of some attempts are acknowledged.
fn acknowledged(settings: Settings, attempts: u128) -> Bench {
    let mut bench = Bench::new(settings);
    bench.meet();
    for task in 1..=attempts {
        bench.run(id(task, 1), noop());
    }
    bench.hear(acked(bench.agent.outbox().last.0));
    bench
}

#[test]
fn a_core_put_back_from_a_backup_is_told_again_what_it_had_acknowledged() {
    let mut bench = acknowledged(Settings::default(), 3);
    assert_eq!((bench.agent.reports_kept(), bench.agent.holds().count()), (3, 0));
    // It is kept on disk.
    bench.restart();
    bench.step(Input::LinkUp { link: 1 });
    let outcome = bench.welcome(2);
    let forgot = Notice::CoreForgot { acked: Sequence(2), before: Sequence(6), kept: 2 };
    assert!(notices(&outcome).contains(&&forgot));
    assert_eq!(acts(&outcome), ["reports 2..6"]);
    let told = bench.store.reports(Sequence(2), Sequence(6), 9);
    assert_eq!(told.iter().map(|item| item.seq.0).collect::<Vec<_>>(), [4, 6]);
    // That is on disk too: a restart before the acknowledgement changes nothing.
    assert_eq!(bench.store.stored().outbox.acked, Sequence(2));
    bench.restart();
    bench.step(Input::LinkUp { link: 1 });
    assert_eq!(acts(&bench.welcome(2)), ["reports 2..6"]);
    bench.hear(acked(6));
    assert_eq!((bench.agent.reports_kept(), bench.agent.reports_waiting()), (3, 0));
}

#[test]
fn numbers_that_are_not_worth_telling_any_more_are_acknowledged_all_the_same() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), exec());
    bench.hear(acked(1));
    bench.step(Input::LinkUp { link: 2 });
    assert_eq!(acts(&bench.welcome(0)), ["reports 0..1"]);
    assert_eq!(bench.agent.reports_waiting(), 0, "that it was accepted is told by the inventory");
    bench.hear(acked(1));
    assert_eq!(bench.agent.outbox().waiting(), 0);
}

#[test]
fn an_attempt_whose_outcome_is_kept_is_not_run_again() {
    let mut bench = acknowledged(Settings::default(), 1);
    let outcome = bench.run(id(1, 1), exec());
    assert!(acts(&outcome).is_empty() && reports(&outcome).is_empty());
    assert!(reports(&bench.stop(id(1, 1), StopReason::Canceled)).is_empty());
}

#[test]
fn what_is_kept_is_bounded_in_number_and_by_a_clock_that_the_core_confirmed() {
    let bench = acknowledged(Settings { kept_max: 2, ..Settings::default() }, 5);
    assert_eq!(bench.agent.reports_kept(), 2);
    assert_eq!(bench.store.stored().entries.len(), 2);

    let settings = Settings { kept_ms: 7 * DAY_MS, ..Settings::default() };
    let mut bench = acknowledged(settings, 2);
    // A clock that jumps ahead by years makes nothing old, met or not, before a restart or after.
    bench.wall_ahead_ms = 2 * 365 * 24 * 3_600 * 1_000;
    bench.tick_at(3_600_000);
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    bench.tick_at(2 * 3_600_000);
    bench.restart();
    bench.tick_at(4 * 3_600_000);
    bench.step(Input::LinkUp { link: 1 });
    bench.welcome(4);
    bench.tick_at(6 * 3_600_000);
    assert_eq!(bench.agent.reports_kept(), 2);
    // Days do.
    bench.wall_ahead_ms = 0;
    bench.tick_at(7 * DAY_MS - 1);
    assert_eq!(bench.agent.reports_kept(), 2);
    bench.tick_at(7 * DAY_MS + 3_600_000);
    assert_eq!(bench.agent.reports_kept(), 0);
    assert!(bench.store.stored().entries.is_empty());
}

fn refuse(bench: &Bench, reason: RefusedBecause) -> Downlink {
    let (session, detail) = (Some(bench.agent.session()), "says the core".to_owned());
    Downlink::Refused(Refusal { session, reason, detail })
}

#[test]
fn a_copy_begins_nothing_and_asks_seldom_until_it_is_let_in() {
    for reason in [RefusedBecause::Cloned, RefusedBecause::OlderDatabase] {
        let mut bench = Bench::new(Settings { running_max: Some(1), ..Settings::default() });
        bench.meet();
        bench.run(id(1, 1), exec());
        bench.run(id(2, 2), exec());
        bench.started(id(1, 1));
        bench.step(Input::LinkUp { link: 2 });
        bench.hear(refuse(&bench, reason));
        let seen = LinkSeen::Refused { detail: "says the core".to_owned() };
        assert_eq!(bench.store.stored().link, seen);
        // What runs runs on; what waits goes on waiting.
        assert!(!acts(&bench.ended(id(1, 1), exited(0))).contains(&"spawn 2".to_owned()));
        // The other board pushes it off the broker again and again.
        for link in 3..20 {
            bench.step(Input::LinkDown { reason: "taken over".to_owned() });
            assert_eq!(hellos(&bench.step(Input::LinkUp { link })), 0);
            bench.mono_ms += 10_000;
        }
        assert_eq!(hellos(&bench.tick_at(299_999)), 0);
        let outcome = bench.tick_at(300_000);
        assert_eq!(hellos(&outcome), 1);
        assert!(acts(&outcome).is_empty());
        assert!(acts(&bench.welcome(0)).contains(&"spawn 2".to_owned()));
    }
}

#[test]
fn one_that_is_met_asks_before_it_believes_that_it_is_a_copy() {
    let mut bench = Bench::met();
    assert_eq!(hellos(&bench.hear(refuse(&bench, RefusedBecause::Cloned))), 1);
    assert!(acts(&bench.run(id(1, 1), exec())).is_empty(), "not met");
    bench.welcome(0);
    assert!(bench.agent.is_met());
}

#[test]
fn what_is_meant_for_another_process_is_not_for_this_one() {
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::LinkUp { link: 1 });
    let other = Session(bench.agent.session().0 ^ 1);
    let welcome = Welcome { session: other, ..bench.greeting(0) };
    bench.hear(Downlink::Welcome(welcome));
    assert!(!bench.agent.is_met());
    let detail = String::new();
    let refusal = Refusal { session: Some(other), reason: RefusedBecause::Cloned, detail };
    bench.hear(Downlink::Refused(refusal));
    bench.welcome(0);
    assert!(bench.agent.is_met());

    // Reports that the other board was acknowledged are still ours to tell.
    bench.run(id(1, 1), noop());
    bench.step(Input::LinkUp { link: 2 });
    bench.hear(acked(2));
    assert_eq!(bench.agent.reports_waiting(), 1);
    bench.hear(refuse(&bench, RefusedBecause::Cloned));
    bench.hear(acked(2));
    assert_eq!(bench.agent.reports_waiting(), 1);
}

#[test]
fn every_message_of_one_process_carries_its_session_and_another_start_has_another() {
    let mut bench = Bench::new(Settings::default());
    let first = bench.agent.session();
    let outcome = bench.step(Input::LinkUp { link: 1 });
    assert!(matches!(sent(&outcome)[0], Uplink::Hello(hello) if hello.session == first));
    let outcome = bench.welcome(0);
    assert!(matches!(sent(&outcome)[0], Uplink::Ping { session, .. } if *session == first));
    let outcome = bench.tick_at(5_000);
    assert!(matches!(sent(&outcome)[0], Uplink::Heartbeat(beat) if beat.session == first));
    let outcome = bench.step(Input::Stop);
    assert!(matches!(sent(&outcome)[0], Uplink::Gone(gone) if gone.session == first));
    let mut later = start(bench.store.begin_boot(), Settings::default(), bench.now());
    later.now.chance = 8;
    assert_ne!(Agent::restore(later).session(), first);
}

#[test]
fn an_older_copy_of_the_database_says_so_and_does_nothing() {
    let mut bench = Bench::new(Settings::default());
    bench.meet();
    bench.run(id(1, 1), exec());
    bench.step(Input::LinkUp { link: 2 });
    let outcome = bench.welcome(9);
    let ahead = Notice::AheadOfUs { acked: Sequence(9), last: Sequence(1) };
    assert!(notices(&outcome).contains(&&ahead));
    let LinkSeen::Refused { detail } = bench.store.stored().link else { panic!("{outcome:?}") };
    assert!(detail.contains("older copy") && detail.contains("fresh data folder"), "{detail}");
    assert!(!bench.agent.is_met());
    assert_eq!(hellos(&bench.tick_at(299_999)), 0);
    assert_eq!(hellos(&bench.tick_at(300_000)), 1);
}

fn inventory(outcome: &Outcome) -> Vec<InventoryPart> {
    let part = |message: &&Uplink| match message {
        Uplink::Hello(hello) => Some(hello.inventory.clone()),
        Uplink::Inventory(rest) => Some(rest.part.clone()),
        _ => None,
    };
    sent(outcome).iter().filter_map(part).collect()
}

#[test]
fn the_inventory_lists_what_is_not_over_in_parts_and_for_how_long_it_runs() {
    let mut bench = Bench::new(Settings { inventory_part: 2, ..Settings::default() });
    let outcome = bench.step(Input::LinkUp { link: 1 });
    assert_eq!(
        inventory(&outcome),
        [InventoryPart { part: 0, parts: 1, holds: vec![], schedules: Some(vec![]) }]
    );
    bench.welcome(0);
    for task in 1..=3 {
        bench.run(id(task, 1), exec());
    }
    bench.run(id(4, 1), noop());
    let schedule = ScheduleId(Uuid::from_u128(5));
    bench.schedule(schedule, Some(ResidentSchedule { tag: 6, ..super::schedules::minutely() }));
    let schedules = Some(vec![HeldSchedule { schedule, tag: 6 }]);
    bench.mono_ms = 1_000;
    bench.started(id(2, 1));
    bench.mono_ms = 5_000;
    let outcome = bench.step(Input::LinkUp { link: 2 });
    let held = |task, running_ms| Held { assignment: id(task, 1), running_ms };
    let parts = [
        InventoryPart {
            part: 0,
            parts: 2,
            holds: vec![held(1, None), held(2, Some(4_000))],
            schedules,
        },
        InventoryPart { part: 1, parts: 2, holds: vec![held(3, None)], schedules: Some(vec![]) },
    ];
    assert_eq!(inventory(&outcome), parts);
    let Uplink::Inventory(rest) = sent(&outcome)[1] else { panic!("{outcome:?}") };
    let outbox = bench.agent.outbox();
    assert_eq!((rest.link, rest.session, rest.last_seq), (2, bench.agent.session(), outbox.last));

    // Found running, it has run for as long as its process.
    bench.restart();
    for task in 1..=3 {
        let found = Found::Running { started_at: Timestamp(1), ran_ms: 4_500 };
        bench.step(Input::Found { assignment: id(task, 1), found });
    }
    bench.mono_ms = 5_500;
    let outcome = bench.step(Input::LinkUp { link: 1 });
    assert_eq!(inventory(&outcome)[0].holds[0].running_ms, Some(5_000));
}

#[test]
fn the_largest_hello_and_every_part_fit_into_one_message() {
    let mut bench = Bench::met();
    let mut stored = bench.store.begin_boot();
    bench.run(id(1, 1), exec());
    let row = bench.store.stored().live[0].clone();
    stored.live = (0..u128::from(TASKS_MAX_LIMIT))
        .map(|task| {
            let mut row = row.clone();
            (row.id, row.state) = (id(u128::MAX - task, u32::MAX), State::Accepted);
            row
        })
        .collect();
    let long = |length: usize, n: usize| format!("{n:04}{}", "\u{1}".repeat(length - 4));
    let labels: Labels = (0..LABELS_MAX)
        .map(|n| (long(LABEL_KEY_BYTES_MAX, n), "x".repeat(LABEL_VALUE_BYTES_MAX)))
        .collect();
    let taints = (0..LABELS_MAX).map(|_| "x".repeat(LABEL_VALUE_BYTES_MAX)).collect();
    let facts = Facts { labels, taints, tasks_max: TASKS_MAX_LIMIT, ..facts() };
    let start = start(stored, Settings::default(), now(u64::MAX >> 20, 0));
    let mut agent = Agent::restore(Start { facts, ..start.clone() });
    let outcome = agent.step(Input::LinkUp { link: u64::MAX }, start.now);
    let parts = inventory(&outcome);
    assert_eq!(parts.len(), (TASKS_MAX_LIMIT as usize).div_ceil(INVENTORY_PART_LIMIT));
    assert_eq!(parts.iter().map(|part| part.holds.len()).sum::<usize>(), TASKS_MAX_LIMIT as usize);
    for message in sent(&outcome) {
        let mut message = message.clone();
        // As long as numbers get.
        let part = match &mut message {
            Uplink::Hello(hello) => &mut hello.inventory,
            Uplink::Inventory(rest) => &mut rest.part,
            _ => continue,
        };
        part.holds.iter_mut().for_each(|held| held.running_ms = Some(u64::MAX));
        let schedule = HeldSchedule { schedule: ScheduleId(Uuid::max()), tag: u32::MAX };
        part.schedules = Some(vec![schedule; INVENTORY_PART_LIMIT]);
        encode(&message).expect("fits");
    }
}

#[test]
fn reports_wait_for_the_moment_that_the_core_gave() {
    let mut bench = Bench::new(Settings::default());
    bench.meet();
    bench.run(id(1, 1), noop());
    bench.step(Input::LinkUp { link: 2 });
    let later = Welcome { reports_after_ms: 20_000, ..bench.greeting(0) };
    assert!(acts(&bench.hear(Downlink::Welcome(later))).is_empty());
    bench.hear(acked(0));
    assert!(acts(&bench.tick_at(19_999)).is_empty());
    assert!(bench.agent.next_wakeup() <= Some(shared::time::Monotonic(20_000)));
    assert_eq!(acts(&bench.tick_at(20_000)), ["reports 0..2"]);
    // But not for ever.
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::LinkUp { link: 1 });
    let never = Welcome { reports_after_ms: u64::MAX, ..bench.greeting(0) };
    bench.hear(Downlink::Welcome(never));
    bench.run(id(1, 1), noop());
    assert_eq!(acts(&bench.tick_at(60_000)), ["reports 0..2"]);
}

#[test]
fn what_is_dropped_and_kept_is_the_same_on_disk() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), noop());
    let outcome = bench.hear(acked(2));
    let at = Some(now(0, 0).wall);
    assert!(outcome.changes.contains(&Change::ReportsAcked { upto: Sequence(2), at }));
    assert!(outcome.effects.contains(&Effect::Forget { assignment: id(1, 1) }));
    assert_eq!(bench.store.stored().entries[0].kept_at, at);
}

//! What passes between agent and core: hello, welcome, heartbeats, pings, the outbox.

use edge_agent_logic::change::LinkSeen;
use edge_agent_logic::{Change, Input, Notice, Settings};
use shared::geo::Position;
use shared::id::{CoreId, Revision, Sequence};
use shared::report::StopReason;
use shared::wire::downlink::{Desired, DesiredRow, Refusal, RefusedBecause, Want, Welcome};
use shared::wire::uplink::NumberedReport;
use shared::wire::{Downlink, Uplink};
use uuid::Uuid;

use super::bench::{Bench, INCARNATION, acked, acts, hellos, id, noop, notices, sent};

#[test]
fn hello_is_repeated_ever_more_slowly_until_it_is_welcomed() {
    let mut bench = Bench::new(Settings::default());
    assert_eq!(hellos(&bench.step(Input::LinkUp { link: 3 })), 1);
    let mut times = Vec::new();
    for mono_ms in (0..200_000).step_by(100) {
        if hellos(&bench.tick_at(mono_ms)) > 0 {
            times.push(mono_ms);
        }
    }
    assert!((1_500..=3_100).contains(&times[0]), "{times:?}");
    let waits: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(
        waits.iter().all(|wait| *wait <= 30_100) && waits[waits.len() - 1] >= 15_000,
        "{waits:?}"
    );
    let outcome = bench.welcome(0);
    assert!(outcome.changes.contains(&Change::CoreMet { core: super::bench::CORE }));
    assert_eq!(hellos(&bench.tick_at(201_000)), 0);
}

#[test]
fn a_board_that_moved_and_came_back_says_so() {
    let place = |latitude| Position::new(latitude, 2.0).expect("a position");
    let (home, away) = (place(1.0), place(9.0));
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::Moved { position: home });
    bench.meet();
    let mut told = Vec::new();
    for (at_ms, position) in [(6_000, away), (12_000, home)] {
        bench.step(Input::Moved { position });
        for message in sent(&bench.tick_at(at_ms)) {
            if let Uplink::Heartbeat(beat) = message {
                told.push(beat.position);
            }
        }
    }
    assert_eq!(told, [Some(away), Some(home)]);
}

#[test]
fn heartbeats_keep_their_pace_and_carry_the_round_trip() {
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::LinkUp { link: 1 });
    let outcome = bench.welcome(0);
    let &Uplink::Ping { nonce, .. } = sent(&outcome)[0] else { panic!("no ping at once") };
    bench.mono_ms = 12;
    bench.hear(Downlink::Pong {
        nonce: nonce ^ 1,
        desired_rev: shared::id::Revision(0),
        lease: true,
    });
    bench.hear(Downlink::Pong { nonce, desired_rev: shared::id::Revision(0), lease: true });
    let mut beats = Vec::new();
    for mono_ms in 12..18_000 {
        if mono_ms % 1_000 == 0 {
            bench.hear(Downlink::Pong {
                nonce: 0,
                desired_rev: shared::id::Revision(0),
                lease: true,
            });
        }
        for message in sent(&bench.tick_at(mono_ms)) {
            if let Uplink::Heartbeat(beat) = message {
                assert_eq!(beat.rtt_ms, Some(12.0));
                beats.push((mono_ms, beat.beat));
            }
        }
    }
    assert!(beats[0].0 <= 1_012, "the first comes soon: {beats:?}");
    for pair in beats.windows(2) {
        assert_eq!((pair[1].0 - pair[0].0, pair[1].1 - pair[0].1), (5_000, 1));
    }
}

#[test]
fn a_core_that_says_nothing_is_greeted_again() {
    let mut bench = Bench::met();
    let mut greeted_at = None;
    for mono_ms in (0..60_000).step_by(50) {
        let outcome = bench.tick_at(mono_ms);
        if hellos(&outcome) > 0 && greeted_at.is_none() {
            assert!(notices(&outcome).contains(&&Notice::CoreSilent));
            greeted_at = Some(mono_ms);
        }
    }
    assert!((20_000..=26_000).contains(&greeted_at.expect("greeted")), "{greeted_at:?}");
}

#[test]
fn who_is_there_is_answered_by_one_hello() {
    let mut bench = Bench::met();
    assert_eq!(hellos(&bench.hear(Downlink::WhoIsThere)), 1);
    assert_eq!(hellos(&bench.hear(Downlink::WhoIsThere)), 0);
}

#[test]
fn a_refusal_is_kept_for_people_and_waited_out() {
    let mut bench = Bench::new(Settings::default());
    bench.step(Input::LinkUp { link: 1 });
    let detail = "an agent with this id is online; give this one another id".to_owned();
    let session = Some(bench.agent.session());
    let refusal = Refusal { session, reason: RefusedBecause::IdInUse, detail: detail.clone() };
    let outcome = bench.hear(Downlink::Refused(refusal));
    let seen = LinkSeen::Refused { detail };
    assert!(matches!(&outcome.changes[0], Change::LinkMoved { seen: now, .. } if *now == seen));
    assert_eq!(hellos(&bench.tick_at(29_999)), 0);
    assert_eq!(hellos(&bench.tick_at(30_000)), 1);
}

#[test]
fn reports_stay_within_the_window_and_are_sent_again_from_what_is_acknowledged() {
    let mut bench = Bench::new(Settings { outbox_window: 2, ..Settings::default() });
    bench.meet();
    assert_eq!(acts(&bench.run(id(1, 1), noop())), ["reports 0..2"]);
    assert_eq!(acts(&bench.run(id(2, 1), noop())), ["reports 2..4"]);
    assert!(acts(&bench.run(id(3, 1), noop())).is_empty(), "the window is full");
    assert_eq!(acts(&bench.hear(acked(2))), ["forget 1", "reports 4..6"]);
    // Nothing is acknowledged: from the first unacknowledged one, ever more slowly.
    assert!(acts(&bench.tick_at(4_999)).is_empty());
    assert_eq!(acts(&bench.tick_at(5_000)), ["reports 2..6"]);
    assert!(acts(&bench.tick_at(9_999)).is_empty());
    // A new connection: nothing before the welcome, then all that the core does not have.
    bench.step(Input::LinkDown { reason: "cut".to_owned() });
    assert!(acts(&bench.step(Input::LinkUp { link: 2 })).is_empty());
    assert_eq!(acts(&bench.welcome(4)), ["forget 1", "reports 4..6"]);
    assert_eq!(acts(&bench.hear(acked(6))), ["forget 1"]);
    assert_eq!(bench.agent.outbox().waiting(), 0);
}

#[test]
fn a_link_that_takes_no_more_is_given_more_after_an_acknowledgement() {
    let mut bench = Bench::met();
    assert_eq!(acts(&bench.run(id(1, 1), noop())), ["reports 0..2"]);
    assert!(acts(&bench.step(Input::ReportsCut { sent: Sequence(1) })).is_empty());
    assert!(acts(&bench.run(id(2, 1), noop())).is_empty());
    assert_eq!(acts(&bench.hear(acked(1))), ["reports 1..4"]);
}

#[test]
fn a_core_with_another_memory_is_noticed() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), noop());
    bench.hear(acked(2));
    // It lost what it had acknowledged.
    bench.step(Input::LinkUp { link: 2 });
    let outcome = bench.welcome(1);
    let forgot = Notice::CoreForgot { acked: Sequence(1), before: Sequence(2), kept: 1 };
    assert!(notices(&outcome).contains(&&forgot));
    bench.hear(acked(2));
    // It remembers what was never said.
    let outcome = bench.hear(acked(9));
    let ahead = Notice::AheadOfUs { acked: Sequence(9), last: Sequence(2) };
    assert!(notices(&outcome).contains(&&ahead));
    assert_eq!(bench.agent.outbox().acked, Sequence(2));
    // It is another core, which counts revisions on from what the hello told.
    assert_eq!(bench.agent.applied_rev(), Revision(1));
    bench.step(Input::LinkUp { link: 3 });
    let other = Welcome { core: CoreId(Uuid::from_u128(0xD)), ..bench.greeting(0) };
    let outcome = bench.hear(Downlink::Welcome(other));
    assert!(notices(&outcome).iter().any(|notice| matches!(notice, Notice::AnotherCore { .. })));
    assert_eq!(bench.agent.applied_rev(), Revision(1));
}

#[test]
fn desired_state_waits_while_too_many_reports_do() {
    let mut bench = Bench::new(Settings { outbox_max: 4, ..Settings::default() });
    bench.meet();
    bench.run(id(1, 1), noop());
    bench.run(id(2, 1), noop());
    let outcome = bench.run(id(3, 1), noop());
    assert!(notices(&outcome).contains(&&Notice::OutboxFull { waiting: 2 }));
    assert_eq!(bench.agent.applied_rev(), Revision(2));
}

#[test]
fn a_run_of_desired_state_too_long_for_the_outbox_is_applied_in_parts() {
    let mut bench = Bench::new(Settings { outbox_max: 10, ..Settings::default() });
    bench.meet();
    let row = |rev| DesiredRow {
        rev: Revision(rev),
        assignment: id(u128::from(rev), 1),
        want: Want::Stop { reason: StopReason::Superseded },
    };
    let rows: Vec<_> = (1..=30).map(row).collect();
    let mut rounds = 0;
    while bench.agent.applied_rev() < Revision(30) {
        let base = bench.agent.applied_rev();
        let rows = rows.iter().filter(|row| row.rev > base).cloned().collect();
        let (incarnation, upto) = (INCARNATION, Revision(30));
        bench.hear(Downlink::Desired(Desired {
            core: super::bench::CORE,
            incarnation,
            base,
            upto,
            rows,
            schedules: Vec::new(),
        }));
        assert!(bench.agent.applied_rev() > base, "it never goes on from {base}");
        assert!(bench.agent.outbox().waiting() <= 10);
        bench.hear(acked(bench.agent.outbox().last.0));
        rounds += 1;
    }
    assert!(rounds > 2, "the bound was not felt");
}

#[test]
fn what_is_sent_is_what_the_store_holds() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), noop());
    let items: Vec<NumberedReport> = bench.store.reports(Sequence(0), Sequence(2), 10);
    assert_eq!(items.iter().map(|item| item.seq.0).collect::<Vec<_>>(), [2]);
    bench.run(id(2, 1), super::bench::exec());
    assert_eq!(bench.store.reports(Sequence(0), Sequence(3), 10).len(), 2);
    assert_eq!(bench.store.reports(Sequence(2), Sequence(3), 10).len(), 1);
    assert_eq!(bench.store.reports(Sequence(0), Sequence(3), 1).len(), 1);
}

#[test]
fn an_orderly_stop_says_goodbye_and_leaves_what_runs() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), super::bench::exec());
    bench.started(id(1, 1));
    let outcome = bench.step(Input::Stop);
    assert!(matches!(sent(&outcome)[..], [Uplink::Gone(gone)] if gone.orderly && gone.link == 1));
    assert!(acts(&outcome).is_empty());
    assert_eq!(bench.store.stored().link, LinkSeen::Stopped);
}

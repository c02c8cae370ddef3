//! Properties of the agent over random histories: whatever the pipe, the processes, the clocks and
//! the crashes do, the invariants hold, nothing runs twice within one run of an attempt, no lease
//! is outlived, and every attempt that was accepted has exactly one end, also after the core was
//! put back to an earlier state.

mod core;
mod things;
mod world;

use edge_agent_logic::Settings;
use proptest::prelude::*;
use things::TASKS_MAX;
use world::{Op, World};

const KINDS: u8 = 32;

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(
        (0_u8..KINDS, any::<u64>()).prop_map(|(kind, pick)| Op { kind, pick }),
        1..250,
    )
}

fn settings(small: bool) -> Settings {
    let lonely_ms = 5_000;
    if small {
        // Bounds so narrow that they are met all the time.
        return Settings {
            running_max: Some(2),
            held_max: 7,
            outbox_max: 30,
            outbox_window: 3,
            kept_max: 4,
            kept_ms: 30_000,
            contact_save_ms: 5_000,
            lonely_ms,
            ..Settings::default()
        };
    }
    Settings { lonely_ms, ..Settings::default() }
}

fn live_through(ops: &[Op], small: bool) -> World {
    let settings = settings(small);
    let mut world = World::new(settings.clone());
    for op in ops {
        world.op(*op);
        let held = world.agent.holds().count();
        assert!(held <= settings.held_max, "{held} attempts are held");
        assert!(world.agent.live().count() <= TASKS_MAX as usize);
        let outbox = world.agent.outbox();
        assert!(world.agent.reports_waiting() as u64 <= settings.outbox_max, "{outbox:?}");
        let under_way = world.store.reports(outbox.acked, outbox.sent, usize::MAX).len() as u64;
        assert!(under_way <= settings.outbox_window, "{under_way} are under way, {outbox:?}");
        assert!(world.agent.reports_kept() <= settings.kept_max);
        let running = world.agent.live().filter(|(_, state)| state.is_active()).count();
        assert!(running <= settings.running_max.unwrap_or(TASKS_MAX) as usize);
    }
    world
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_accepted_attempt_ends_exactly_once_whatever_happens(ops in ops(), small: bool) {
        let mut world = live_through(&ops, small);
        world.settle();
        for id in &world.accepted {
            prop_assert_eq!(world.core.told.ended.get(id), Some(&1), "{} has no single end", id);
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_outcomes_byte_for_byte(ops in ops(), small: bool) {
        prop_assert_eq!(live_through(&ops, small).log, live_through(&ops, small).log);
    }
}

/// The random histories above are worth little if they never get anywhere.
#[test]
fn random_histories_accept_and_finish_a_lot() {
    let (mut accepted, mut retried, mut words) = (0, 0, [0; 13]);
    for seed in 0..60_u64 {
        let pick = |n: u64| shared::time::mix(seed, n);
        let kind = |n| (pick(n) % u64::from(KINDS)) as u8;
        let ops: Vec<Op> = (0..250).map(|n| Op { kind: kind(n), pick: pick(n + 1_000) }).collect();
        let mut world = live_through(&ops, seed % 2 == 0);
        world.settle();
        accepted += world.accepted.len();
        retried += world.retried;
        let seen = [
            "ReportsUnacked",
            "ReportsDropped",
            "KeptForgotten",
            "ProgressPut",
            "RenewLease",
            "ClockDistrusted",
            "\"kind\":\"fired\"",
            "\"because\":\"missed\"",
            "\"because\":\"overlap\"",
            "\"queue_full\"",
            "\"replaced\"",
            "\"withdrawn\"",
            "\"no_room\"",
        ];
        for (count, word) in words.iter_mut().zip(seen) {
            *count += world.log.matches(word).count();
        }
    }
    assert!(accepted > 300, "only {accepted} attempts were accepted");
    assert!(retried > 20, "only {retried} runs were begun again");
    assert!(words.iter().all(|count| *count > 5), "{words:?}");
}

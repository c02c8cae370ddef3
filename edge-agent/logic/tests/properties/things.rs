//! What the world is made of: the machine, orders and ends, chosen by a number.

use std::sync::Arc;

use edge_agent_logic::input::{Exit, ProcessEnd};
use edge_agent_logic::{Settings, Start, Stored};
use shared::capacity::Resources;
use shared::report::Output;
use shared::schedule::{CronTrigger, IntervalTrigger, MissedRule, Overlap, Trigger};
use shared::spec::{Exec, Run};
use shared::time::{Now, Timestamp};
use shared::wire::downlink::{LocalRetry, Order, ResidentSchedule};
use shared::wire::uplink::Facts;

/// The most tasks that the agent holds.
pub const TASKS_MAX: u32 = 5;
/// The most schedules that it holds: one less than the core may want.
pub const SCHEDULES_MAX: u32 = 2;
/// When the program was made, and when the world begins.
const BUILT_AT: Timestamp = Timestamp(1_700_000_000_000);

fn facts() -> Facts {
    Facts {
        capacity: Resources { cpu_millis: 1_000, memory_mib: 1_000, ..Resources::default() },
        tasks_max: TASKS_MAX,
        schedules_max: SCHEDULES_MAX,
        runtimes: vec!["exec".to_owned(), "noop".to_owned()],
        ..Facts::default()
    }
}

pub fn start(stored: Stored, settings: &Settings, now: Now) -> Start {
    let settings = settings.clone();
    Start { stored, settings, facts: facts(), board: 3, built_at: BUILT_AT, now }
}

/// What a right wall clock shows.
pub fn true_wall(clock_ms: u64) -> Timestamp {
    BUILT_AT.plus_ms(i64::try_from(clock_ms).expect("small"))
}

pub fn order(pick: u64) -> Order {
    let noop = pick % 11 == 3;
    let exec = Exec { command: "true".to_owned(), ..Exec::default() };
    let few = |bits: u32| u32::try_from((pick >> bits) % 3).expect("small");
    Order {
        name: None,
        run: if noop { Run::Noop {} } else { Run::Exec(exec) },
        needs: Resources { cpu_millis: (pick >> 4) % 400, ..Resources::default() },
        priority: u8::try_from((pick >> 12) % 3).expect("small"),
        timeout_ms: (pick & 0x40 == 0).then_some(30_000),
        grace_ms: 1_000,
        stop_after_ms: (pick & 0x80 == 0).then_some(60_000),
        lease_ms: (pick & 0x700 == 0).then_some(20_000),
        retry: LocalRetry {
            failures_max: few(20),
            losses_max: few(24),
            delay_ms: 1_000,
            delay_ms_max: 60_000,
        },
        firing: None,
        trace: None,
    }
}

/// A schedule as a core gives it at a moment.
pub fn schedule(pick: u64, version: u32, at: Timestamp) -> ResidentSchedule {
    let one_of =
        |bits: u32, most: usize| usize::try_from(pick >> bits & 0xff).expect("small") % most;
    let after_end = pick & 0x3000 == 0;
    let interval_s = 4 + (pick >> 16) % 20;
    ResidentSchedule {
        name: "again".parse().expect("a name"),
        version,
        tag: 0,
        created_at: BUILT_AT,
        from: at,
        trigger: match pick & 0xc000 {
            0 => Trigger::Cron(CronTrigger {
                cron: "*/10 * * * * *".to_owned(),
                fields: Some(6),
                zone: None,
                dst: None,
            }),
            _ => Trigger::Interval(IntervalTrigger { interval_s, anchor: None, after_end }),
        },
        zone: None,
        starts_at: None,
        ends_at: None,
        exclude_days: Vec::new(),
        offset_ms: (pick >> 24) % 3_000,
        missed: MissedRule::ALL[one_of(32, MissedRule::ALL.len())].1,
        missed_max: 2,
        catch_up_s: 60,
        overlap: Overlap::ALL[one_of(40, Overlap::ALL.len())].1,
        queue_max: 2,
        order: Arc::new(Order { lease_ms: None, ..order(pick) }),
    }
}

pub fn end(code: i32) -> ProcessEnd {
    let output = Output::default();
    ProcessEnd { exit: Exit::Code(code), started_at: Some(Timestamp(1)), ran_ms: Some(5), output }
}

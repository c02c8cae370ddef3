//! What the world is made of: the machine, orders and ends, chosen by a number.

use edge_agent_logic::input::{Exit, ProcessEnd};
use shared::capacity::Resources;
use shared::report::Output;
use shared::spec::{Exec, Run};
use shared::time::Timestamp;
use shared::wire::downlink::Order;
use shared::wire::uplink::Facts;

use super::world::TASKS_MAX;

pub fn facts() -> Facts {
    Facts {
        capacity: Resources { cpu_millis: 1_000, memory_mib: 1_000, ..Resources::default() },
        tasks_max: TASKS_MAX,
        runtimes: vec!["exec".to_owned(), "noop".to_owned()],
        ..Facts::default()
    }
}

pub fn order(pick: u64) -> Order {
    let noop = pick % 11 == 3;
    let exec = Exec { command: "true".to_owned(), ..Exec::default() };
    Order {
        name: None,
        run: if noop { Run::Noop {} } else { Run::Exec(exec) },
        needs: Resources { cpu_millis: (pick >> 4) % 400, ..Resources::default() },
        priority: u8::try_from((pick >> 12) % 3).expect("small"),
        timeout_ms: (pick & 0x40 == 0).then_some(30_000),
        grace_ms: 1_000,
        stop_after_ms: (pick & 0x80 == 0).then_some(60_000),
    }
}

pub fn end(code: i32) -> ProcessEnd {
    let output = Output::default();
    ProcessEnd { exit: Exit::Code(code), started_at: Some(Timestamp(1)), ran_ms: Some(5), output }
}

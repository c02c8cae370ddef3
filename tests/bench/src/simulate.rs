//! How much faster than the real world a simulated one of ten agents runs.

use std::time::Duration;

use simulator::sweep::{Sweep, fresh_seed};

use crate::figure::{Measured, Row};
use crate::knob;

const AGENTS: usize = 10;

/// Measures it.
pub fn measure() -> Measured {
    let seconds = knob::number("AMBIT_BENCH_SIMULATE_SECONDS", 20);
    let swept = Sweep {
        agents: Some(AGENTS),
        at_most: Some(Duration::from_secs(seconds)),
        ..Sweep::new(fresh_seed(), u64::MAX)
    };
    let (threads, swept) = (swept.threads, swept.run());
    let simulated_s = swept.simulated_ms as f64 / 1_000.0;
    let per_second = simulated_s / swept.took.as_secs_f64().max(1e-9);
    let mut measured = Measured::default();
    let what = "simulated seconds per real second, 10 agents, all cores";
    measured.row(Row::large(what, "", per_second, 1_000.0, 20_000.0));
    measured.note(format!("on {threads} threads: {}", swept.speed()));
    if !swept.failed.is_empty() {
        let seeds: Vec<String> = swept.failed.iter().map(|(seed, _)| seed.to_string()).collect();
        panic!("promises were broken in the worlds of seeds {}", seeds.join(", "));
    }
    measured
}

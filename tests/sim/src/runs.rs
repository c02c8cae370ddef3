//! Running worlds: one by its seed, or as many fresh ones as asked for, with figures of speed and
//! coverage. The only file of the simulator that reads a clock or the environment.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::coverage::Coverage;
use crate::world::World;

/// How many fresh seeds are run when nobody says otherwise: about 20 s of a debug build.
const SEEDS_DEFAULT: u64 = 100;
/// From this many seeds on, a kind of fault or message that never came up is a failure.
const COVERED_SEEDS_MIN: u64 = 60;
/// Lines of the trace that a failure shows.
const TRACE_LINES: usize = 60;

/// What came of a world.
pub struct Run {
    pub failure: Option<String>,
    pub simulated_ms: u64,
    pub coverage: Coverage,
    pub trace: Option<String>,
}

/// A number from the environment.
pub fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`")))
}

/// Runs the world of a seed.
pub fn run(seed: u64, traced: bool) -> Run {
    let mut world = World::new(seed, traced);
    let caught = catch_unwind(AssertUnwindSafe(|| world.run()));
    let failure = caught.err().map(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(other) => other.downcast_ref::<&str>().map_or("a panic", |text| text).to_owned(),
    });
    let World { now_ms, coverage, trace, .. } = world;
    Run { failure, simulated_ms: now_ms, coverage, trace }
}

/// Runs one world and prints all of it.
pub fn replay(seed: u64) {
    let run = run(seed, true);
    print!("{}", run.trace.unwrap_or_default());
    assert!(run.failure.is_none(), "seed {seed}: {}", run.failure.unwrap_or_default());
}

/// Runs fresh worlds and prints how fast that was and what they exercised.
pub fn fresh() {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    let first = number("AMBIT_SIM_FIRST_SEED")
        .unwrap_or_else(|| u64::try_from(clock.as_millis()).expect("a time") * 1_000);
    let seeds = number("AMBIT_SIM_SEEDS").unwrap_or(SEEDS_DEFAULT);
    println!("AMBIT_SIM_FIRST_SEED={first} AMBIT_SIM_SEEDS={seeds}");
    let begun = Instant::now();
    let (mut coverage, mut simulated_ms, mut failed) = (Coverage::default(), 0, Vec::new());
    for seed in first..first + seeds {
        let run = run(seed, false);
        if let Some(failure) = run.failure {
            println!("AMBIT_SIM_SEED={seed} fails, the {}th tried: {failure}", seed - first + 1);
            failed.push(seed);
        }
        coverage.add(&run.coverage);
        simulated_ms += run.simulated_ms;
    }
    let took_s = begun.elapsed().as_secs_f64();
    let simulated_s = simulated_ms as f64 / 1_000.0;
    println!(
        "{seeds} seeds in {took_s:.1} s: {:.1} seeds/s, {simulated_s:.0} simulated seconds, {:.0} for each real one",
        seeds as f64 / took_s,
        simulated_s / took_s
    );
    coverage.print();
    if let Some(&seed) = failed.first() {
        explain(seed);
        panic!("{} of {seeds} seeds fail, the first is AMBIT_SIM_SEED={seed}", failed.len());
    }
    let missing = coverage.missing();
    if seeds >= COVERED_SEEDS_MIN {
        assert!(missing.is_empty(), "never exercised: {missing:?}");
    }
}

/// Shows the end of a failing world's trace.
fn explain(seed: u64) {
    let trace = run(seed, true).trace.unwrap_or_default();
    let lines: Vec<&str> = trace.lines().collect();
    for line in &lines[lines.len().saturating_sub(TRACE_LINES)..] {
        println!("{line}");
    }
}

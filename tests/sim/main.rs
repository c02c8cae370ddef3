//! The simulator as a test: the seeds that once found something, fresh ones, and the promise that
//! a seed is a whole run.

use simulator::runs;

/// Seeds that once found something, each with what it found.
const REGRESSIONS: [(u64, &str); 5] = [
    (16, "desired state longer than the outbox had room for was never applied"),
    (19, "an exclusive task was placed again although nothing proved that its copy had stopped"),
    (95, "a deadline moved with a wall clock that was set back before the core restarted"),
    (103, "a tombstone stayed for ever when the hello told that it was applied"),
    (117, "a wait followed a wrong wall clock over a restart of the core"),
];
#[test]
fn every_promise_holds_in_fresh_worlds() {
    if let Some(seed) = runs::number("AMBIT_SIM_SEED") {
        runs::replay(seed);
        return;
    }
    runs::fresh();
}

#[test]
fn what_once_broke_stays_whole() {
    for (seed, found) in REGRESSIONS {
        let run = runs::run(seed, false);
        assert!(run.failure.is_none(), "seed {seed} ({found}): {:?}", run.failure);
    }
}

#[test]
fn a_seed_is_a_whole_run() {
    for seed in [1, 2, 3] {
        let (first, second) = (runs::run(seed, true), runs::run(seed, true));
        let trace = first.trace.expect("a trace");
        assert!(trace.lines().count() > 1_000, "seed {seed} does too little to compare");
        assert!(second.trace == Some(trace), "seed {seed} ran differently the second time");
    }
}

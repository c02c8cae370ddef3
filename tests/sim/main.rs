//! The simulator as a test: the seeds that once found something, fresh ones, and the promise that
//! a seed is a whole run.

use std::time::Duration;

use simulator::cut::Cut;
use simulator::sweep::{self, Sweep};
use simulator::trace::Detail;
use simulator::{report, runs};

/// How long fresh seeds are run when nobody says otherwise.
const FRESH: Duration = Duration::from_secs(60);

/// Worlds that once found a fault which no other test had found.
const FOUND: [u64; 21] = [
    1_795_904_980_508_235,
    1_795_907_646_601_162,
    1_795_907_646_606_197,
    1_795_907_646_616_377,
    1_795_907_646_616_486,
    1_795_907_646_622_492,
    1_795_907_646_626_602,
    1_795_907_646_629_739,
    1_796_200_000_010_863,
    1_796_200_000_029_973,
    1_796_300_000_035_034,
    1_796_400_000_011_439,
    1_796_400_000_050_483,
    1_796_400_000_074_714,
    1_796_400_000_099_334,
    1_796_600_000_002_613,
    1_796_600_000_008_098,
    1_796_600_000_013_071,
    1_796_700_000_038_528,
    1_796_700_000_057_409,
    1_796_800_000_087_979,
];

/// A number from the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} must be a number, not `{text}`")))
}

#[test]
fn every_promise_holds_in_fresh_worlds() {
    let seeds = number("AMBIT_SIM_SEEDS");
    let first_seed = number("AMBIT_SIM_FIRST_SEED").unwrap_or_else(sweep::fresh_seed);
    let at_most = seeds.is_none().then_some(FRESH);
    let sweep = Sweep { at_most, ..Sweep::new(first_seed, seeds.unwrap_or(u64::MAX)) };
    println!("AMBIT_SIM_FIRST_SEED={first_seed}");
    let swept = sweep.run();
    println!("{}{}", swept.coverage.table(), swept.speed());
    if let Some((seed, failure)) = swept.failed.first() {
        println!("{}", report::explain(*seed, Cut::default()));
        panic!(
            "{} of {} seeds fail, the first is {seed}: {failure}",
            swept.failed.len(),
            swept.seeds
        );
    }
    let missing = swept.coverage.missing();
    let enough = swept.seeds >= sweep::COVERED_SEEDS_MIN;
    assert!(missing.is_empty() || !enough, "never exercised: {missing:?}");
}

#[test]
fn every_promise_holds_in_worlds_that_once_broke_one() {
    for seed in FOUND {
        let failure = runs::seed(seed).failure;
        assert!(failure.is_none(), "{seed}: {failure:?}");
    }
}

#[test]
fn a_seed_is_a_whole_run() {
    for seed in 1..=20 {
        let story = || {
            let run = runs::cut(seed, &Cut::default(), Some(Detail::Everything));
            run.trace.expect("a trace").text().to_owned()
        };
        let first = story();
        assert!(first.lines().count() > 50, "seed {seed} does too little to compare");
        assert!(first == story(), "seed {seed} ran differently the second time");
    }
}

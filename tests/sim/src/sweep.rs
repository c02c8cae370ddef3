//! Many worlds, on every processor: how fast that was, what they exercised, and what is left of the
//! first that failed once it was made as small as it can be. The only file of the simulator that
//! reads a clock.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::coverage::Coverage;
use crate::failure::Failure;
use crate::plan::Plan;
use crate::runs;

/// From this many seeds on, a kind of fault or message that never came up is a failure.
pub const COVERED_SEEDS_MIN: u64 = 200;
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(5);
/// Failing seeds after which there is nothing more to learn.
const FAILED_MAX: usize = 20;

/// Which worlds.
#[derive(Debug, Clone, Copy)]
pub struct Sweep {
    pub first_seed: u64,
    pub seeds: u64,
    /// As many agents as this in every world, not as many as its seed says.
    pub agents: Option<usize>,
    /// Stops after this, however many seeds are left.
    pub at_most: Option<Duration>,
    pub threads: usize,
    /// Whether lines of progress, and of every failure, are wanted.
    pub progress: bool,
    /// Whether the first failure ends it.
    pub until_failure: bool,
    #[cfg(feature = "planted")]
    pub planted: Option<crate::planting::Planted>,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Swept {
    pub seeds: u64,
    pub simulated_ms: u64,
    pub took: Duration,
    pub coverage: Coverage,
    /// Every seed that failed, in their order.
    pub failed: Vec<(u64, Failure)>,
}

impl Swept {
    /// Speed, in one line.
    pub fn speed(&self) -> String {
        let took_s = self.took.as_secs_f64().max(1e-9);
        let simulated_s = self.simulated_ms as f64 / 1_000.0;
        format!(
            "{} seeds in {took_s:.1} s: {:.0} seeds/s, {simulated_s:.0} simulated seconds, {:.0} for each real one",
            self.seeds,
            self.seeds as f64 / took_s,
            simulated_s / took_s
        )
    }
}

/// As many threads as there are processors.
pub fn threads() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// A first seed that nobody has tried, most likely.
pub fn fresh_seed() -> u64 {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    u64::try_from(clock.as_millis()).expect("a time") * 1_000
}

struct Told {
    seed: u64,
    simulated_ms: u64,
    coverage: Coverage,
    failure: Option<Failure>,
}

impl Sweep {
    /// A sweep on every processor.
    pub fn new(first_seed: u64, seeds: u64) -> Self {
        Self {
            first_seed,
            seeds,
            agents: None,
            at_most: None,
            threads: threads(),
            progress: false,
            until_failure: false,
            #[cfg(feature = "planted")]
            planted: None,
        }
    }

    /// Runs the worlds.
    pub fn run(&self) -> Swept {
        let begun = Instant::now();
        let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let (telling, told) = mpsc::channel();
        let mut swept = Swept::default();
        thread::scope(|scope| {
            for _ in 0..self.threads {
                let telling = telling.clone();
                scope.spawn(|| self.work(&next, &stop, telling));
            }
            drop(telling);
            self.gather(&told, &stop, begun, &mut swept);
        });
        swept.failed.sort_by_key(|(seed, _)| *seed);
        swept.took = begun.elapsed();
        swept
    }

    fn work(&self, next: &AtomicU64, stop: &AtomicBool, telling: mpsc::Sender<Told>) {
        #[cfg(feature = "planted")]
        crate::planting::plant(self.planted);
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= self.seeds {
                return;
            }
            let seed = self.first_seed + number;
            let run = runs::run(Plan::of(seed, self.agents), None);
            let runs::Run { simulated_ms, coverage, failure, .. } = run;
            if telling.send(Told { seed, simulated_ms, coverage, failure }).is_err() {
                return;
            }
        }
    }

    fn gather(
        &self,
        told: &mpsc::Receiver<Told>,
        stop: &AtomicBool,
        begun: Instant,
        swept: &mut Swept,
    ) {
        let mut said = begun;
        for Told { seed, simulated_ms, coverage, failure } in told {
            swept.seeds += 1;
            swept.simulated_ms += simulated_ms;
            swept.coverage.add(&coverage);
            if let Some(failure) = failure {
                if !self.until_failure {
                    println!("seed {seed} fails: {failure}");
                }
                swept.failed.push((seed, failure));
            }
            let enough = if self.until_failure { 1 } else { FAILED_MAX };
            let late = self.at_most.is_some_and(|at_most| begun.elapsed() >= at_most);
            if late || swept.failed.len() >= enough {
                stop.store(true, Ordering::Relaxed);
            }
            if self.progress && said.elapsed() >= PROGRESS {
                said = Instant::now();
                swept.took = begun.elapsed();
                println!("{} of {}; {} failed", swept.speed(), self.seeds, swept.failed.len());
            }
        }
    }
}

//! Running one world: by its seed, whole or cut.

use crate::coverage::Coverage;
use crate::cut::Cut;
use crate::failure::{self, Failure};
use crate::plan::Plan;
use crate::trace::{Detail, Trace};
use crate::world::World;

/// What came of a world.
#[derive(Debug)]
pub struct Run {
    pub plan: Plan,
    pub failure: Option<Failure>,
    pub simulated_ms: u64,
    pub coverage: Coverage,
    pub trace: Option<Trace>,
}

/// Runs a world.
pub fn run(plan: Plan, detail: Option<Detail>) -> Run {
    let mut world = World::new(plan, detail);
    let failure = failure::catch(|| world.run());
    let World { plan, now_ms, coverage, trace, .. } = world;
    Run { plan, failure, simulated_ms: now_ms, coverage, trace }
}

/// Runs the world of a seed.
pub fn seed(seed: u64) -> Run {
    run(Plan::of(seed, None), None)
}

/// Runs what a cut leaves of the world of a seed.
pub fn cut(seed: u64, cut: &Cut, detail: Option<Detail>) -> Run {
    run(cut.apply(Plan::of(seed, None)), detail)
}

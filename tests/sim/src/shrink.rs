//! Makes a failing world as small as it can be: the shortest time, the fewest agents, tasks and
//! faults, a network without flaws, as long as the same named statement fails. What is not planned
//! runs differently in every smaller world, so each is tried on a few courses.

use crate::cut::Cut;
use crate::failure::Failure;
use crate::plan::Plan;
use crate::runs;

/// The most worlds tried.
const RUNS_MAX: usize = 4_000;
/// How many courses of one smaller world are tried.
const SALTS: u64 = 6;

/// A failing world that was made smaller.
#[derive(Debug)]
pub struct Shrunk {
    pub cut: Cut,
    pub failure: Failure,
    pub plan: Plan,
    /// When it fails.
    pub at_ms: u64,
    /// How many worlds were tried.
    pub runs: usize,
}

/// Makes the failing world of a seed smaller.
pub fn shrink(seed: u64, cut: Cut) -> Option<Shrunk> {
    let run = runs::cut(seed, &cut, None);
    let failure = run.failure?;
    let at_ms = run.simulated_ms;
    let best = Shrunk { cut, failure, plan: run.plan, at_ms, runs: 1 };
    let mut shrinker = Shrinker { seed, best };
    while shrinker.pass() {}
    Some(shrinker.best)
}

struct Shrinker {
    seed: u64,
    best: Shrunk,
}

impl Shrinker {
    /// Tries everything once; whether anything helped.
    fn pass(&mut self) -> bool {
        let before = self.best.cut.clone();
        self.shorten();
        self.fewer_agents();
        self.fewer(|cut| &mut cut.faults, |plan| plan.faults.iter().map(|it| it.number).collect());
        self.fewer(|cut| &mut cut.work, |plan| plan.work.iter().map(|it| it.number).collect());
        let schedules = |plan: &Plan| plan.schedules.iter().map(|it| it.number).collect();
        self.fewer(|cut| &mut cut.schedules, schedules);
        self.try_cut(Cut { clear: true, ..self.best.cut.clone() });
        self.best.cut != before && self.best.runs < RUNS_MAX
    }

    /// Tries a smaller world on some courses; whether it fails alike on one.
    fn try_cut(&mut self, cut: Cut) -> bool {
        if cut == self.best.cut {
            return false;
        }
        let own = cut.salt;
        for salt in std::iter::once(own).chain((0..SALTS).filter(|salt| *salt != own)) {
            if self.best.runs >= RUNS_MAX {
                return false;
            }
            self.best.runs += 1;
            let cut = Cut { salt, ..cut.clone() };
            let run = runs::cut(self.seed, &cut, None);
            if let Some(failure) = run.failure
                && failure.name == self.best.failure.name
            {
                let (plan, at_ms, runs) = (run.plan, run.simulated_ms, self.best.runs);
                self.best = Shrunk { cut, failure, plan, at_ms, runs };
                return true;
            }
        }
        false
    }

    /// The shortest chaos after which it still fails.
    fn shorten(&mut self) {
        let chaos_ms = self.best.plan.chaos_ms.min(self.best.at_ms + 1);
        self.try_cut(Cut { chaos_ms: Some(chaos_ms), ..self.best.cut.clone() });
        for share in [2, 4, 8] {
            loop {
                let chaos_ms = self.best.plan.chaos_ms;
                let chaos_ms = Some(chaos_ms - chaos_ms / share);
                if !self.try_cut(Cut { chaos_ms, ..self.best.cut.clone() }) {
                    break;
                }
            }
        }
    }

    fn fewer_agents(&mut self) {
        for agents in 1..self.best.plan.agents {
            if self.try_cut(Cut { agents: Some(agents), ..self.best.cut.clone() }) {
                return;
            }
        }
    }

    /// Leaves out as many entries of a list as possible: halves first, then single ones.
    fn fewer(
        &mut self,
        list: impl Fn(&mut Cut) -> &mut Option<Vec<usize>>,
        numbers: impl Fn(&Plan) -> Vec<usize>,
    ) {
        let mut size = numbers(&self.best.plan).len();
        while size > 0 {
            let mut begin = 0;
            while begin < numbers(&self.best.plan).len() {
                let mut left = numbers(&self.best.plan);
                let end = (begin + size).min(left.len());
                left.drain(begin..end);
                let mut cut = self.best.cut.clone();
                *list(&mut cut) = Some(left);
                if !self.try_cut(cut) {
                    begin += size;
                }
            }
            size /= 2;
        }
    }
}

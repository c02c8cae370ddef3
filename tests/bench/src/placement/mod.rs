//! Placement: how long the best agent of a fleet takes to find, reserving included, and what is lost
//! by looking at a part of the fleet instead. One thread; its processor time counts, so that what
//! else the machine does is not measured. See `docs/PLACEMENT.md`.

pub mod batch;
pub mod eua;
mod explain;
pub mod fleet;
mod others;
mod questions;
pub mod running;

use cloud_core_logic::fleet::Agent;
use cloud_core_logic::placement::{Chooser, FullScan, Repacking, Request, Roster};
use rustix::time::{ClockId, clock_gettime};

use self::fleet::{Dice, Spread, fleet, load};
use self::questions::Kind;
use crate::figure::{Measured, Row};
use crate::knob;

/// Agents in the larger fleets, and in the smaller one.
const AGENTS: u64 = 1_000_000;
const AGENTS_FEW: u64 = 100_000;
/// Questions of each kind; of those that are hard, a tenth.
const QUESTIONS: u64 = 3_000;
/// Questions of each kind that the full scan is asked too.
const COMPARED: u64 = 5;
const HEARTBEATS: u64 = 1_000_000;

/// Bounds on the 50th and the 99th of a hundred, in µs: at least, and aimed for.
type Bounds = [(f64, f64); 2];

const KINDS: &[(Kind, Bounds)] = &[
    (Kind::Radius, [(15.0, 5.0), (100.0, 30.0)]),
    (Kind::Near, [(25.0, 8.0), (500.0, 100.0)]),
    (Kind::Anywhere, [(20.0, 8.0), (150.0, 40.0)]),
    (Kind::Polygon, [(120.0, 40.0), (120.0, 40.0)]),
    (Kind::RareLabel, [(120.0, 40.0), (120.0, 40.0)]),
    (Kind::Device, [(1_500.0, 400.0), (1_500.0, 400.0)]),
    (Kind::Packing, [(1_500.0, 400.0), (1_500.0, 400.0)]),
    (Kind::LabelsThatNeverMeet, [(1_500.0, 400.0), (1_500.0, 400.0)]),
    (Kind::Scarce, [(1_500.0, 400.0), (1_500.0, 400.0)]),
    (Kind::Impossible, [(1_500.0, 400.0), (1_500.0, 400.0)]),
];
const FEW: &[(Kind, Bounds)] = &[(Kind::Radius, [(6.0, 2.0), (25.0, 8.0)])];

/// A fleet that lives in cities.
pub fn cities() -> Measured {
    let mut measured = Measured::default();
    let agents = knob::number("AMBIT_BENCH_PLACEMENT_AGENTS", AGENTS);
    let spread = Spread::cities();
    let mut bench = Bench::new(agents, "cities", spread, &mut measured);
    bench.upkeep(&mut measured);
    explain::measure(&mut bench, &mut measured);
    bench.questions(KINDS, &mut measured);
    measured.note(format!(
        "packed anew {} times beside that, in {:.1} s",
        bench.packed,
        bench.packing_us / 1e6
    ));
    others::compare(&bench.roster, &bench.spread, &mut bench.dice, &mut measured);
    measured
}

/// A fleet that is anywhere on the globe.
pub fn uniform() -> Measured {
    let mut measured = Measured::default();
    let agents = knob::number("AMBIT_BENCH_PLACEMENT_AGENTS", AGENTS);
    let mut bench = Bench::new(agents, "uniform", Spread::Uniform, &mut measured);
    bench.questions(&KINDS[..3], &mut measured);
    measured
}

/// A smaller fleet.
pub fn few() -> Measured {
    let mut measured = Measured::default();
    let agents = knob::number("AMBIT_BENCH_PLACEMENT_AGENTS", AGENTS).min(AGENTS_FEW);
    let mut bench = Bench::new(agents, "cities", Spread::cities(), &mut measured);
    bench.questions(FEW, &mut measured);
    measured
}

/// Processor time of this thread, in µs.
fn now_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The middle one, and the one that one in a hundred is above.
fn percentiles(values: &mut [f64]) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values.get(values.len() * part / 100).copied().unwrap_or(f64::NAN);
    [at(50), at(99)]
}

struct Bench {
    title: String,
    spread: Spread,
    dice: Dice,
    roster: Roster,
    /// How often it was packed anew, and how long that took in all.
    packed: usize,
    packing_us: f64,
}

impl Bench {
    fn new(agents: u64, name: &str, spread: Spread, measured: &mut Measured) -> Self {
        let mut dice = Dice::new(7);
        let fleet = fleet(agents as usize, &spread, &mut dice);
        let begun = now_us();
        let roster = Roster::from(fleet);
        let built_s = (now_us() - begun) / 1e6;
        let title = format!("{agents} agents, {name}");
        measured.row(Row::small(format!("{title}: index built"), "s", built_s, 1.0, 0.25));
        let bytes = roster.index_bytes() as f64 / agents as f64;
        measured.row(Row::small(format!("{title}: index"), "B per agent", bytes, 180.0, 110.0));
        Self { title, spread, dice, roster, packed: 0, packing_us: 0.0 }
    }

    /// Heartbeats in no order, of agents that are known by their numbers, or found by their ids.
    fn upkeep(&mut self, measured: &mut Measured) {
        for (known, by_id) in [("by number", false), ("found by id", true)] {
            let rate = self.heartbeats(by_id);
            let title = format!("{}: heartbeats, agents {known}", self.title);
            measured.row(Row::large(title, "M/s", rate, 3.0, 10.0));
        }
    }

    /// Applies them; millions in a second.
    fn heartbeats(&mut self, by_id: bool) -> f64 {
        let count = knob::number("AMBIT_BENCH_PLACEMENT_HEARTBEATS", HEARTBEATS);
        let ids: Vec<_> = self.roster.iter().map(|agent| agent.id.clone()).collect();
        let numbers: Vec<_> = ids.iter().filter_map(|id| self.roster.number(id)).collect();
        let mut spent_us = 0.0;
        for _ in 0..count / 1_000 {
            let dice = &mut self.dice;
            let beats: Vec<_> = (0..1_000)
                .map(|_| (dice.below(ids.len()), load(dice), 100.0 * dice.part()))
                .collect();
            let begun = now_us();
            for (agent, load, rtt_ms) in beats {
                let measure = |agent: &mut Agent| {
                    agent.signal.measure_load(load);
                    agent.signal.measure_rtt(rtt_ms);
                };
                if by_id {
                    self.roster.change(&ids[agent], measure);
                } else {
                    self.roster.change_numbered(numbers[agent], measure);
                }
            }
            spent_us += now_us() - begun;
            self.pack();
        }
        count as f64 / spent_us
    }

    fn questions(&mut self, kinds: &[(Kind, Bounds)], measured: &mut Measured) {
        let all = knob::number("AMBIT_BENCH_PLACEMENT_QUESTIONS", QUESTIONS);
        for &(kind, bounds) in kinds {
            let hard = bounds[1].0 > 1_000.0;
            let times = self.ask(kind, if hard { all / 10 } else { all }.max(10));
            let [half, most] = times;
            let title = format!("{}: {}", self.title, kind.name());
            let row = |which: &str, reached, (at_least, aim): (f64, f64)| {
                Row::small(format!("{title}, {which}"), "µs", reached, at_least, aim)
            };
            measured.row(row("p50", half, bounds[0]));
            measured.row(row("p99", most, bounds[1]));
        }
    }

    /// Packs the index anew when that is worth while: in a core that happens on another thread, and
    /// costs those that place nothing.
    fn pack(&mut self) {
        let mut work = self.roster.begin_repack();
        self.packed += usize::from(work.is_some());
        let begun = now_us();
        while let Some(repack) = work {
            work = match self.roster.end_repack(repack.work()) {
                Repacking::GoesOn(more) => Some(more),
                Repacking::Done(_) => None,
            };
        }
        self.packing_us += now_us() - begun;
    }

    /// Asks, and reserves what is answered.
    fn ask(&mut self, kind: Kind, count: u64) -> [f64; 2] {
        let mut times = Vec::new();
        for question in 0..count {
            let (spec, policy) = kind.ask(&self.spread, &mut self.dice);
            let request = Request::of(&spec);
            if question < COMPARED {
                let best = FullScan(&self.roster).best(&request, &policy);
                assert_eq!(self.roster.best(&request, &policy), best, "{}", kind.name());
            }
            let begun = now_us();
            if let Some(found) = self.roster.best(&request, &policy) {
                self.roster.change(&found.agent, |agent| {
                    agent.used.add(&spec.needs);
                    agent.assignments += 1;
                });
            }
            times.push(now_us() - begun);
            self.pack();
        }
        percentiles(&mut times)
    }
}

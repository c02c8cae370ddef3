//! Looking at a part of the fleet instead of all of it: what others do, how long it takes, and how
//! much worse what it finds is than the best there is.

use cloud_core_logic::fleet::Agent;
use cloud_core_logic::placement::{
    Chooser, FullScan, Policy, Request, Roster, candidate, is_feasible,
};
use shared::api::Candidate;
use shared::spec::TaskSpec;

use super::fleet::{Dice, Spread};
use super::questions::Kind;
use super::{now_us, percentiles};
use crate::figure::Measured;
use crate::knob;

/// Questions that each way of looking is asked.
const QUESTIONS: u64 = 200;
/// Questions that the full scan is asked.
const SCANNED: u64 = 10;

/// A way of choosing among agents that come in no order.
struct Sample {
    name: &'static str,
    /// Stop at so many that may take the task.
    feasible_max: usize,
    /// Stop at so many looked at.
    looked_at_max: usize,
}

/// Measures each way of looking, near a point without a radius and within one.
pub fn compare(roster: &Roster, spread: &Spread, dice: &mut Dice, measured: &mut Measured) {
    let agents: Vec<&Agent> = roster.iter().collect();
    let few = agents.len().ilog2() as usize;
    let samples = [
        Sample { name: "two choices", feasible_max: 2, looked_at_max: agents.len() },
        Sample { name: "log₂ n choices", feasible_max: few, looked_at_max: agents.len() },
        Sample {
            name: "5 % of the fleet",
            feasible_max: agents.len(),
            looked_at_max: agents.len() / 20,
        },
    ];
    for kind in [Kind::Near, Kind::Radius, Kind::Anywhere] {
        full_scan(roster, spread, kind, dice, measured);
        for sample in &samples {
            one(roster, &agents, spread, kind, sample, dice, measured);
        }
    }
}

fn full_scan(
    roster: &Roster,
    spread: &Spread,
    kind: Kind,
    dice: &mut Dice,
    measured: &mut Measured,
) {
    let mut times: Vec<f64> = (0..SCANNED)
        .map(|_| {
            let (spec, policy) = kind.ask(spread, dice);
            let begun = now_us();
            FullScan(roster).best(&Request::of(&spec), &policy);
            now_us() - begun
        })
        .collect();
    let [half, _] = percentiles(&mut times);
    measured.note(format!("{}: full scan: p50 {half:.0} µs, nothing lost", kind.name()));
}

fn one(
    roster: &Roster,
    agents: &[&Agent],
    spread: &Spread,
    kind: Kind,
    sample: &Sample,
    dice: &mut Dice,
    measured: &mut Measured,
) {
    let count = knob::number("AMBIT_BENCH_PLACEMENT_SAMPLED", QUESTIONS);
    let (mut times, mut lost, mut farther_km) = (Vec::new(), Vec::new(), Vec::new());
    let mut missed = 0;
    for _ in 0..count {
        let (spec, policy) = kind.ask(spread, dice);
        let Some(best) = roster.best(&Request::of(&spec), &policy) else {
            continue;
        };
        let begun = now_us();
        let found = choose(agents, &spec, &policy, sample, dice);
        times.push(now_us() - begun);
        match found {
            None => missed += 1,
            Some(found) => {
                lost.push(100.0 * (best.score - found.score) / best.score);
                let distance_m = |one: &Candidate| one.distance_m.unwrap_or(0.0);
                farther_km.push((distance_m(&found) - distance_m(&best)) / 1_000.0);
            }
        }
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len().max(1) as f64;
    let [half, _] = percentiles(&mut times);
    measured.note(format!(
        "{}: {}: p50 {half:.1} µs; score {:.1} % lower, {:.0} km farther on average; nothing found \
         for {missed} of {} that have a place",
        kind.name(),
        sample.name,
        mean(&lost),
        mean(&farther_km),
        times.len(),
    ));
}

/// Walks over the fleet in an order of its own, and takes the best of what it meets.
fn choose(
    agents: &[&Agent],
    spec: &TaskSpec,
    policy: &Policy,
    sample: &Sample,
    dice: &mut Dice,
) -> Option<Candidate> {
    let request = Request::of(spec);
    // A stride without a divisor in common with the length meets everybody once.
    let stride = (1..).map(|_| dice.below(agents.len()).max(1));
    let stride = stride.take(1_000).find(|stride| divisor(*stride, agents.len()) == 1).unwrap_or(1);
    let mut at = dice.below(agents.len());
    let (mut best, mut feasible): (Option<Candidate>, usize) = (None, 0);
    for _ in 0..sample.looked_at_max {
        at = (at + stride) % agents.len();
        if !is_feasible(agents[at], &request, policy) {
            continue;
        }
        let one = candidate(agents[at], &request, policy);
        if best.as_ref().is_none_or(|best| one.score > best.score) {
            best = Some(one);
        }
        feasible += 1;
        if feasible == sample.feasible_max {
            break;
        }
    }
    best
}

fn divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { divisor(b, a % b) }
}

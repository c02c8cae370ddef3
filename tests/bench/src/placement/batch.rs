//! Ten thousand tasks at once, reserving included: where there is room for all, and where two hundred
//! each want to be near one of fifty points.

use cloud_core_logic::Settings;
use cloud_core_logic::placement::{Batch, Chooser, Policy, Request, Roster, TOGETHER_MAX};
use shared::api::{BatchStrategy, Candidate};
use shared::geo::Position;
use shared::spec::{Near, Run, TaskSpec};

use super::fleet::{Dice, Spread, fleet};
use super::now_us;
use crate::figure::{Measured, Row};
use crate::knob;

const AGENTS: u64 = 100_000;
const TASKS: u64 = 10_000;
/// Points that are wanted, and how far from there an agent may be.
const POINTS: usize = 50;
const NEAR_M: f64 = 30_000.0;
const WITHIN_M: f64 = 50_000.0;

/// Of three runs the best counts: the others have found the caches cold.
const RUNS: usize = 3;

/// One after the other and together.
pub fn measure() -> Measured {
    let mut measured = Measured::default();
    let agents = knob::number("AMBIT_BENCH_PLACEMENT_AGENTS", AGENTS).min(AGENTS) as usize;
    let tasks = knob::number("AMBIT_BENCH_PLACEMENT_TASKS", TASKS) as usize;
    let spread = Spread::cities();
    let bench = Bench { agents, spread };
    let mut dice = Dice::new(11);
    let mut everywhere = || (bench.spread.place(&mut dice), WITHIN_M);
    let room: Vec<_> = (0..tasks).map(|_| everywhere()).collect();
    let mut dice = Dice::new(12);
    let points: Vec<_> = (0..POINTS).map(|_| bench.spread.place(&mut dice)).collect();
    let mut crowded = || (beside(points[dice.below(POINTS)], &mut dice), NEAR_M);
    let crowd: Vec<_> = (0..tasks).map(|_| crowded()).collect();
    let step = Settings::default().placements_per_step;
    use BatchStrategy::{Assign, Auto};
    for (what, places, alike, how) in [
        ("room for all", &room, false, &[(Auto, step)][..]),
        ("crowded", &crowd, true, &[(Assign, step), (Assign, TOGETHER_MAX)]),
        ("crowded, needs differ", &crowd, false, &[(Assign, step), (Assign, TOGETHER_MAX)]),
    ] {
        let title = |way: String| format!("{tasks} tasks, {agents} agents, {what}: {way}");
        let specs = specs(places, alike);
        let (took_ms, note) = bench.in_turn(&specs);
        measured.row(Row::small(title("in turn".to_owned()), "ms", took_ms, 40.0, 15.0));
        measured.note(format!("{what}, in turn: {note}"));
        for &(how, at_once) in how {
            let (took_ms, note) = bench.together(&specs, how, at_once);
            let (way, [bound, aim]) = match how {
                Assign => (format!("assigned, {at_once} at once"), [400.0, 100.0]),
                _ => (format!("as it comes, {at_once} at once"), [40.0, 15.0]),
            };
            measured.note(format!("{what}, {way}: {note}"));
            measured.row(Row::small(title(way), "ms", took_ms, bound, aim));
        }
    }
    // What is hardest: everybody wants the same few.
    let city: Vec<_> = crowd.iter().map(|_| (beside(points[0], &mut dice), WITHIN_M)).collect();
    for (how, at_once) in [(Auto, step), (Assign, step), (Assign, TOGETHER_MAX)] {
        let (_, note) = bench.together(&specs(&city, true)[..at_once], how, at_once);
        measured.note(format!("one place, {how:?}, {at_once} at once: {note}"));
    }
    measured
}

/// Up to some 700 m away in each direction.
fn beside(point: Position, dice: &mut Dice) -> Position {
    let mut off = || 0.012 * (dice.part() - 0.5);
    let (latitude, longitude) = (point.latitude() + off(), point.longitude() + off());
    Position::new(latitude.clamp(-90.0, 90.0), longitude.clamp(-180.0, 180.0)).unwrap_or(point)
}

fn specs(places: &[(Position, f64)], alike: bool) -> Vec<TaskSpec> {
    let mut dice = Dice::new(13);
    let spec = |&(position, within_m): &(Position, f64)| {
        let mut spec = TaskSpec::new(Run::Noop {});
        let (cpu, memory) = (dice.pick(&[250, 500, 1_000, 2_000]), dice.pick(&[256, 512, 1_024]));
        let needs = &mut spec.needs;
        (needs.cpu_millis, needs.memory_mib) = if alike { (1_000, 512) } else { (cpu, memory) };
        spec.place.near = Some(Near { position, within_m: Some(within_m) });
        spec
    };
    places.iter().map(spec).collect()
}

struct Bench {
    agents: usize,
    spread: Spread,
}

impl Bench {
    /// How long placing and reserving takes, in milliseconds, and what comes of it: one by one.
    fn in_turn(&self, specs: &[TaskSpec]) -> (f64, String) {
        self.measure(specs, |roster, requests, policy| {
            let place = |request: &Request<'_>| {
                let found = roster.best(request, policy)?;
                reserve(roster, request, &found);
                Some(found.score)
            };
            (requests.iter().filter_map(place).collect(), String::new())
        })
    }

    /// The same, so many planned at once.
    fn together(&self, specs: &[TaskSpec], how: BatchStrategy, at_once: usize) -> (f64, String) {
        self.measure(specs, |roster, requests, policy| {
            let (batches, longest_ms) = place(roster, requests, policy, how, at_once);
            let placed = batches.iter().flat_map(|batch| batch.choices.iter().flatten());
            let scores = placed.map(|one| one.candidate.score).collect();
            let gains: Vec<_> = batches.iter().filter_map(|batch| batch.gain).collect();
            let more: usize = gains.iter().map(|gain| gain.placed).sum();
            let score = gains.iter().fold(0.0, |sum, gain| sum + gain.score);
            let (assigned, all) = (gains.len(), batches.len());
            let note = format!(
                "; {assigned} of {all} batches assigned, in them {more} more placed and {score:.2} \
                 more scored than in turn; the longest took {longest_ms:.1} ms"
            );
            (scores, note)
        })
    }

    fn measure(
        &self,
        specs: &[TaskSpec],
        mut place: impl FnMut(&mut Roster, &[Request<'_>], &Policy) -> (Vec<f64>, String),
    ) -> (f64, String) {
        let policy = Policy::default();
        let fleet = fleet(self.agents, &self.spread, &mut Dice::new(7));
        let requests: Vec<_> = specs.iter().map(Request::of).collect();
        let (mut least_ms, mut told) = (f64::INFINITY, String::new());
        for _ in 0..RUNS {
            let mut roster = Roster::from(fleet.clone());
            let begun = now_us();
            let (scores, note) = place(&mut roster, &requests, &policy);
            least_ms = least_ms.min((now_us() - begun) / 1e3);
            let sum: f64 = scores.iter().sum();
            told = format!("{} placed, score {sum:.2}{note}", scores.len());
        }
        (least_ms, told)
    }
}

fn reserve(roster: &mut Roster, request: &Request<'_>, found: &Candidate) {
    roster.change(&found.agent, |agent| {
        agent.used.add(&request.spec.needs);
        agent.assignments += 1;
    });
}

/// As the core does: what is planned reserves, and the rest is planned anew. Says how long the longest
/// plan took, too, in milliseconds.
fn place(
    roster: &mut Roster,
    requests: &[Request<'_>],
    policy: &Policy,
    how: BatchStrategy,
    at_once: usize,
) -> (Vec<Batch>, f64) {
    let (mut rest, mut batches, mut longest_ms) = (requests, Vec::new(), 0.0_f64);
    while !rest.is_empty() {
        let begun = now_us();
        let batch = roster.place_together(&rest[..rest.len().min(at_once)], policy, how);
        for (request, choice) in rest.iter().zip(&batch.choices) {
            if let Some(choice) = choice {
                reserve(roster, request, &choice.candidate);
            }
        }
        rest = &rest[batch.choices.len()..];
        batches.push(batch);
        longest_ms = longest_ms.max((now_us() - begun) / 1e3);
    }
    (batches, longest_ms)
}

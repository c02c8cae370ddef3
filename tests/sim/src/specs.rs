//! Tasks of every kind that the logic tells apart.

use shared::capacity::Resources;
use shared::geo::Position;
use shared::label::{Expression, Operator};
use shared::spec::{Disconnect, Exec, Near, Reconcile, Retry, Run, TaskSpec};

use crate::chance::Chance;
use crate::coverage::{Coverage, Kind};
use crate::plan::Plan;

/// How long a task whose place may not exist waits for it, in seconds.
const WAITS_S: u64 = 120;

/// A task.
pub fn make(chance: &mut Chance, plan: &Plan, exclusive_percent: u64) -> TaskSpec {
    let run = match chance.percent(15) {
        true => Run::Noop {},
        false => Run::Exec(Exec { command: "work".to_owned(), ..Exec::default() }),
    };
    let mut spec = TaskSpec::new(run);
    let mut maybe = |percent, first, last| {
        let value = chance.between(first, last);
        chance.percent(percent).then_some(value)
    };
    spec.needs = Resources {
        cpu_millis: maybe(80, 1, 1_900).unwrap_or(0),
        memory_mib: maybe(50, 1, 900).unwrap_or(0),
        ..Resources::default()
    };
    spec.priority = u8::try_from(maybe(50, 0, 100).unwrap_or(50)).expect("small");
    spec.timeout_s = maybe(60, 1, 60);
    spec.deadline_s = maybe(25, 5, 240);
    spec.retry = Retry {
        attempts_max: u32::try_from(maybe(70, 1, 4).unwrap_or(1)).expect("small"),
        delay_s: maybe(60, 1, 5).unwrap_or(0),
        delay_s_max: 20,
    };
    spec.disconnect = Disconnect {
        lost_after_s: maybe(70, 0, 40).unwrap_or(60),
        stop_after_s: maybe(25, 3, 60),
        replace: maybe(75, 0, 0).is_some(),
        reconcile: Reconcile::ALL[maybe(100, 0, 3).map_or(0, |at| at as usize)].1,
    };
    if maybe(15, 0, 0).is_some() {
        spec.disconnect.lost_after_s = 0;
    }
    spec.exclusive = maybe(exclusive_percent, 0, 0).is_some();
    if plan.slow {
        slow_down(&mut spec, chance);
    }
    if plan.slow && spec.exclusive && chance.percent(80) {
        lean_on_lease(&mut spec);
    } else {
        narrow(&mut spec, chance, plan.agents);
    }
    spec
}

/// Measures everything in minutes.
fn slow_down(spec: &mut TaskSpec, chance: &mut Chance) {
    spec.timeout_s = spec.timeout_s.map(|_| chance.between(60, 1_500));
    spec.deadline_s = spec.deadline_s.map(|_| chance.between(100, 4_000));
    spec.disconnect.lost_after_s = chance.pick(&[5, 20, 100, 300, 400]);
    spec.disconnect.stop_after_s = spec.disconnect.stop_after_s.map(|_| chance.between(60, 900));
}

/// Leaves nothing but its lease to end a copy that cannot be heard.
fn lean_on_lease(spec: &mut TaskSpec) {
    spec.needs = Resources::default();
    (spec.timeout_s, spec.deadline_s) = (None, None);
    (spec.disconnect.stop_after_s, spec.disconnect.replace) = (None, true);
}

/// Says where it may run. Where it may not find a place at all, a deadline ends the wait.
fn narrow(spec: &mut TaskSpec, chance: &mut Chance, agents: usize) {
    let agent = |number: u64| format!("agent-{number}").parse().expect("an id");
    let agents = agents as u64;
    let before = spec.place.clone();
    if chance.percent(12) {
        spec.place.regions = vec![format!("region-{}", chance.below(3))];
    }
    if chance.percent(8) {
        spec.place.latency_ms_max = Some(chance.between(1, 500) as f64);
    }
    if chance.percent(8) {
        let value = format!("{}", chance.below(2));
        let op = chance.pick(&[Operator::In, Operator::NotIn]);
        let expression = Expression { key: "rack".to_owned(), op, values: vec![value] };
        spec.place.expressions = vec![expression];
    }
    if chance.percent(8) {
        let position = Position::new(0.0, chance.below(3) as f64).expect("a position");
        let within_m = chance.percent(50).then(|| chance.between(1, 400_000) as f64);
        spec.place.near = Some(Near { position, within_m });
    }
    if chance.percent(6) {
        spec.place.avoid_agents = vec![agent(chance.below(agents))];
    }
    if chance.percent(6) {
        spec.place.agents = vec![agent(chance.below(agents))];
    }
    if chance.percent(8) {
        spec.needs.devices.insert("camera".to_owned(), 1);
    }
    if chance.percent(3) {
        spec.needs.cpu_millis = 1_000_000;
    }
    if spec.place != before || spec.needs.cpu_millis > 5_000 || !spec.needs.devices.is_empty() {
        spec.deadline_s = spec.deadline_s.or(Some(WAITS_S));
    }
}

/// Counts what a task asks for.
pub fn count(spec: &TaskSpec, coverage: &mut Coverage) {
    let reconcile = match spec.disconnect.reconcile {
        Reconcile::BestScore => Kind::SpecBestScore,
        Reconcile::KeepOriginal => Kind::SpecKeepOriginal,
        Reconcile::KeepReplacement => Kind::SpecKeepReplacement,
        Reconcile::LongestRunning => Kind::SpecLongestRunning,
    };
    let place = &spec.place;
    let has = [
        (Kind::SpecNoop, spec.run.kind() == "noop"),
        (Kind::SpecExclusive, spec.exclusive),
        (Kind::SpecTimeout, spec.timeout_s.is_some()),
        (Kind::SpecDeadline, spec.deadline_s.is_some()),
        (Kind::SpecRetried, spec.retry.attempts_max > 1),
        (Kind::SpecStopAfter, spec.disconnect.stop_after_s.is_some()),
        (Kind::SpecLostAtOnce, spec.disconnect.lost_after_s == 0),
        (Kind::SpecNotReplaced, !spec.disconnect.replace),
        (reconcile, true),
        (Kind::SpecDevice, !spec.needs.devices.is_empty()),
        (Kind::SpecRegion, !place.regions.is_empty()),
        (Kind::SpecLatency, place.latency_ms_max.is_some()),
        (Kind::SpecLabels, !place.expressions.is_empty()),
        (Kind::SpecNear, place.near.is_some()),
        (Kind::SpecAvoids, !place.avoid_agents.is_empty()),
        (Kind::SpecPinned, !place.agents.is_empty()),
        (Kind::SpecImpossible, spec.needs.cpu_millis >= 1_000_000),
    ];
    for (kind, _) in has.iter().filter(|(_, holds)| *holds) {
        coverage.count(*kind);
    }
}

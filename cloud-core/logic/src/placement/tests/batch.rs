//! Tasks that are placed together: in order they get what each would get alone; assigned, they reach
//! what trying every plan finds; and whatever they ask for, nobody is given too much and no plan is
//! worse than taking turns.

use shared::api::{BatchStrategy, Candidate};
use shared::spec::TaskSpec;

use super::super::{Batch, Chooser, Policy, Request, Roster, candidate, is_feasible};
use super::scenes::{Dice, Scene};
use super::{agent, fleet, id, near, position, request, task};
use crate::fleet::{Agent, Fleet};

/// Plays small worlds.
const WORLDS: u64 = 400;

fn take(agent: &mut Agent, spec: &TaskSpec) {
    agent.used.add(&spec.needs);
    agent.assignments += 1;
}

/// What each task gets alone, after those before it.
fn in_turn(fleet: &Fleet, specs: &[TaskSpec], policy: &Policy) -> Vec<Option<Candidate>> {
    let mut roster = Roster::from(fleet.clone());
    let place = |spec: &TaskSpec| {
        let found = roster.best(&request(spec), policy)?;
        roster.change(&found.agent, |agent| take(agent, spec));
        Some(found)
    };
    specs.iter().map(place).collect()
}

/// How good a plan is: how many are placed, which, and what they score in all.
type Value = (usize, Vec<bool>, f64);

/// Checks that each may go where it goes, and scores what is said.
fn value(fleet: &Fleet, specs: &[TaskSpec], batch: &Batch, policy: &Policy) -> Value {
    let mut fleet = fleet.clone();
    let (mut placed, mut which, mut sum) = (0, Vec::new(), 0.0);
    for (spec, choice) in specs.iter().zip(&batch.choices) {
        which.push(choice.is_some());
        let Some(choice) = choice else { continue };
        let mut agent = fleet.get(&choice.candidate.agent).expect("it is in the fleet").clone();
        assert!(is_feasible(&agent, &request(spec), policy), "{choice:?}");
        assert_eq!(candidate(&agent, &request(spec), policy), choice.candidate);
        take(&mut agent, spec);
        fleet.put(agent);
        (placed, sum) = (placed + 1, sum + choice.candidate.score);
    }
    (placed, which, sum)
}

fn planned(fleet: &Fleet, specs: &[TaskSpec], policy: &Policy, how: BatchStrategy) -> Batch {
    let requests: Vec<Request<'_>> = specs.iter().map(request).collect();
    Roster::from(fleet.clone()).place_together(&requests, policy, how)
}

/// A few agents with little room about few points, and tasks that want to be near those.
fn small_world(dice: &mut Dice, alike: bool) -> (Fleet, Vec<TaskSpec>) {
    let place = |dice: &mut Dice| position(-37.8, 144.0 + 0.1 * dice.below(12) as f64);
    let agents = (0..2 + dice.below(3)).map(|name| {
        let mut agent = agent(&format!("a{name}"));
        agent.facts.position = Some(place(dice));
        agent.facts.tasks_max = dice.pick(&[1, 1, 2, 3]);
        agent.facts.capacity.cpu_millis = dice.pick(&[1_000, 2_000, 4_000]);
        agent.used.cpu_millis = dice.pick(&[0, 0, 500]);
        agent.facts.capacity.devices = [("camera".to_owned(), dice.pick(&[0, 1, 2]))].into();
        agent.signal = super::signal(dice.below(5) as f64 / 10.0, Some(dice.below(80) as f64));
        agent
    });
    let fleet = fleet(agents.collect::<Vec<_>>());
    let within_m = dice.pick(&[None, Some(30_000.0), Some(60_000.0)]);
    let camera = u32::from(dice.once_in(4));
    let tasks = (0..2 + dice.below(4)).map(|_| {
        task(|spec| {
            spec.needs.cpu_millis = if alike { 500 } else { dice.pick(&[250, 500, 1_000, 2_000]) };
            spec.needs.devices = [("camera".to_owned(), camera)].into();
            spec.place.near = near(place(dice), within_m);
            if dice.once_in(3) {
                spec.place.agents = vec![id("a0"), id(dice.pick(&["a1", "a2", "a3"]))];
            }
        })
    });
    let tasks = tasks.collect();
    (fleet, tasks)
}

/// The best of all plans, by trying each.
fn best_of_all(fleet: &Fleet, specs: &[TaskSpec], policy: &Policy) -> Value {
    let Some((spec, rest)) = specs.split_first() else {
        return (0, Vec::new(), 0.0);
    };
    let with = |here: Option<f64>, (placed, which, sum): Value| {
        let which = [vec![here.is_some()], which].concat();
        (placed + usize::from(here.is_some()), which, sum + here.unwrap_or(0.0))
    };
    let mut best = with(None, best_of_all(fleet, rest, policy));
    for agent in fleet.iter().filter(|agent| is_feasible(agent, &request(spec), policy)) {
        let score = candidate(agent, &request(spec), policy).score;
        let mut after = fleet.clone();
        let mut agent = agent.clone();
        take(&mut agent, spec);
        after.put(agent);
        let this = with(Some(score), best_of_all(&after, rest, policy));
        if this > best {
            best = this;
        }
    }
    best
}

#[test]
fn tasks_that_need_the_same_reach_what_trying_every_plan_finds() {
    let (mut gained, mut more) = (0, 0);
    for seed in 0..WORLDS {
        let (fleet, specs) = small_world(&mut Dice::new(seed), true);
        let policy = Policy::default();
        let batch = planned(&fleet, &specs, &policy, BatchStrategy::Assign);
        let (_, which, sum) = value(&fleet, &specs, &batch, &policy);
        let (_, which_best, sum_max) = best_of_all(&fleet, &specs, &policy);
        assert_eq!(which, which_best, "seed {seed}: {batch:?}");
        assert!((sum - sum_max).abs() < 1e-9, "seed {seed}: {sum} of {sum_max}, {batch:?}");
        gained += u64::from(batch.gain.is_some());
        more += u64::from(batch.gain.is_some_and(|gain| gain.placed > 0));
    }
    // Where taking turns is best anyway, little is proved.
    assert!(gained > WORLDS / 5 && more > WORLDS / 40, "{gained} gained, {more} placed more");
}

#[test]
fn however_tasks_differ_no_plan_is_worse_than_taking_turns_or_gives_too_much() {
    let mut gained = 0;
    for seed in 0..WORLDS {
        let (fleet, specs) = small_world(&mut Dice::new(seed), false);
        let policy = Policy::default();
        let turns = planned(&fleet, &specs, &policy, BatchStrategy::Greedy);
        let before = value(&fleet, &specs, &turns, &policy);
        for how in [BatchStrategy::Assign, BatchStrategy::Auto] {
            let batch = planned(&fleet, &specs, &policy, how);
            let after = value(&fleet, &specs, &batch, &policy);
            assert!(after >= before, "seed {seed}: {after:?} after {before:?}");
            let gain = batch.gain.map_or((0, 0.0), |gain| (gain.placed, gain.score));
            assert_eq!(gain.0, after.0 - before.0, "seed {seed}");
            assert!((gain.1 - (after.2 - before.2)).abs() < 1e-9, "seed {seed}");
            gained += u64::from(batch.gain.is_some());
        }
    }
    assert!(gained > WORLDS / 10, "{gained} gained");
}

#[test]
fn in_order_each_gets_what_it_would_get_alone_in_every_scene() {
    for scene in Scene::ALL {
        for seed in 0..6 {
            let mut dice = Dice::new(seed);
            let count = dice.pick(&[5, 40, 300]);
            let agents = (0..count).map(|name| scene.agent(&format!("a{name}"), &mut dice));
            let fleet = fleet(agents.collect::<Vec<_>>());
            let names: Vec<_> = fleet.iter().map(|agent| agent.id.clone()).collect();
            let policy = Policy { packing: seed == 5, ..scene.policy(&mut dice) };
            let kinds: Vec<_> = (0..8).map(|_| scene.task(&names, &mut dice)).collect();
            let specs: Vec<_> =
                (0..60).map(|_| kinds[dice.below(8) as usize].clone()).collect::<Vec<_>>();
            // Tasks of a kind share their spec, as in the core, or do not.
            let shared: Vec<&TaskSpec> = specs
                .iter()
                .map(|spec| kinds.iter().find(|kind| *kind == spec).unwrap_or(spec))
                .collect();
            let alone = in_turn(&fleet, &specs, &policy);
            let roster = Roster::from(fleet.clone());
            for specs in [specs.iter().collect(), shared] {
                let requests: Vec<_> = specs.iter().map(|spec| request(spec)).collect();
                let batch = roster.place_together(&requests, &policy, BatchStrategy::Greedy);
                let told: Vec<_> =
                    batch.choices.into_iter().map(|one| one.map(|one| one.candidate)).collect();
                assert!(told.len() == 60 || policy.packing, "{scene:?}, seed {seed}");
                assert_eq!(told, alone[..told.len()], "{scene:?}, seed {seed}");
            }
        }
    }
}

#[test]
fn a_plan_does_not_depend_on_how_the_index_came_about() {
    for seed in 0..WORLDS / 10 {
        let (fleet, specs) = small_world(&mut Dice::new(seed), seed % 2 == 0);
        let policy = Policy::default();
        let mut grown = Roster::default();
        let agents: Vec<_> = fleet.iter().cloned().collect();
        agents.into_iter().rev().for_each(|agent| grown.put(agent));
        let requests: Vec<_> = specs.iter().map(request).collect();
        let told = grown.place_together(&requests, &policy, BatchStrategy::Auto);
        assert_eq!(told, planned(&fleet, &specs, &policy, BatchStrategy::Auto), "seed {seed}");
    }
}

#[test]
fn one_that_can_go_elsewhere_stands_back_and_is_told_so() {
    let here = position(-37.8, 144.9);
    let fleet = fleet(["a", "b"].map(|name| {
        let mut agent = agent(name);
        agent.facts.tasks_max = 1;
        agent
    }));
    // The first may go anywhere and would take `a`, the only one that the second may have.
    let anywhere = task(|spec| spec.place.near = near(here, None));
    let only_a = task(|spec| spec.place.agents = vec![id("a")]);
    let specs = [anywhere, only_a];
    let policy = Policy::default();
    let turns = planned(&fleet, &specs, &policy, BatchStrategy::Greedy);
    assert_eq!(value(&fleet, &specs, &turns, &policy).0, 1);
    let batch = planned(&fleet, &specs, &policy, BatchStrategy::Auto);
    let goes: Vec<_> = batch.choices.iter().flatten().map(|one| &one.candidate.agent).collect();
    assert_eq!(goes, [&id("b"), &id("a")]);
    assert_eq!(batch.gain.map(|gain| gain.placed), Some(1));
}

#[test]
fn among_equals_taking_turns_is_best_and_nothing_else_is_tried() {
    let fleet = fleet((0..5).map(|name| agent(&format!("a{name}"))));
    let spec = task(|_| {});
    let requests = vec![request(&spec); 30];
    let roster = Roster::from(fleet);
    let batch = roster.place_together(&requests, &Policy::default(), BatchStrategy::Assign);
    assert_eq!(batch.gain, None);
    assert_eq!(batch.choices.iter().flatten().count(), 20);
}

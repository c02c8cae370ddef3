//! Placement against the oracle, over generated worlds.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use shared::api::AgentStatus;

use super::super::{Chooser, FullScan, Policy, Request, candidate, is_feasible, refusals};
use super::worlds::{World, any_world, hostile_policy, sane_policy};
use super::{oracle, plan, signal};
use crate::fleet::Agent;

/// The agents that may take the task with their scores, best first.
fn ranked(world: &World, policy: &Policy) -> Vec<(f64, String)> {
    let request = world.request();
    let mut ranked: Vec<(f64, String)> = Vec::new();
    for agent in world.fleet.iter() {
        if oracle::reasons(agent, &request, policy).is_empty() {
            ranked.push((oracle::score(agent, &request, policy).0, agent.id.to_string()));
        }
    }
    ranked.sort_by(|a, b| {
        b.0.partial_cmp(&a.0).expect("a number").then(a.1.as_bytes().cmp(b.1.as_bytes()))
    });
    ranked
}

/// The agent after all the waiting in the world, with nobody changing anything.
fn after_waiting(agent: &Agent) -> Agent {
    let mut agent = agent.clone();
    agent.status = AgentStatus::Online;
    agent.used = shared::capacity::Resources::default();
    agent.assignments = 0;
    agent.signal = signal(0.0, Some(0.0));
    agent
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_choice_is_the_best_of_the_whole_fleet(world in any_world(), policy in sane_policy()) {
        let chosen = FullScan(&world.fleet).best(&world.request(), &policy);
        let best = ranked(&world, &policy).into_iter().next();
        prop_assert_eq!(chosen.map(|chosen| (chosen.score, chosen.agent.to_string())), best);
    }

    #[test]
    fn feasible_agents_and_only_they_have_no_refusal(
        world in any_world(), policy in sane_policy(),
    ) {
        let request = world.request();
        for agent in world.fleet.iter() {
            let refusals = refusals(agent, &request, &policy);
            let names: BTreeMap<&str, bool> =
                refusals.iter().map(|one| (one.name().name(), one.waiting_helps())).collect();
            prop_assert_eq!(names.len(), refusals.len(), "a reason twice: {:?}", refusals);
            prop_assert_eq!(is_feasible(agent, &request, &policy), refusals.is_empty());
            prop_assert_eq!(names, oracle::reasons(agent, &request, &policy));
        }
    }

    #[test]
    fn every_term_is_the_oracles(world in any_world(), policy in sane_policy()) {
        let request = world.request();
        for agent in world.fleet.iter() {
            let scored = candidate(agent, &request, &policy);
            let terms = scored.terms;
            prop_assert_eq!(
                (scored.score, terms.load, terms.capacity, terms.distance, terms.latency),
                oracle::score(agent, &request, &policy)
            );
        }
    }

    #[test]
    fn no_policy_and_no_agent_makes_a_score_leave_its_bounds(
        world in any_world(), policy in hostile_policy(),
    ) {
        let request = world.request();
        for agent in world.fleet.iter() {
            let scored = candidate(agent, &request, &policy);
            let terms = scored.terms;
            let all = [scored.score, terms.load, terms.capacity, terms.latency];
            for value in all.into_iter().chain(terms.distance) {
                prop_assert!((0.0..=1.0).contains(&value), "{:?}", scored);
            }
        }
        let plan = plan(&world.fleet, &request, &policy, 3, 3);
        let best = FullScan(&world.fleet).best(&request, &policy);
        prop_assert_eq!(plan.candidates.first(), best.as_ref());
    }

    #[test]
    fn a_plan_counts_every_agent_and_ranks_the_best(
        world in any_world(), policy in sane_policy(), candidates_max in 0..5_usize,
        examples_max in 0..4_usize,
    ) {
        let request = world.request();
        let plan = plan(&world.fleet, &request, &policy, candidates_max, examples_max);
        let ranked = ranked(&world, &policy);
        prop_assert_eq!(plan.agents, world.fleet.len() as u64);
        prop_assert_eq!(plan.feasible, ranked.len() as u64);
        prop_assert_eq!(plan.policy, policy.version);
        prop_assert_eq!(plan.chosen.map(|id| id.to_string()), ranked.first().map(|best| best.1.clone()));
        let shown: Vec<(f64, String)> =
            plan.candidates.iter().map(|one| (one.score, one.agent.to_string())).collect();
        prop_assert_eq!(&shown[..], &ranked[..candidates_max.min(ranked.len())]);

        let mut groups: BTreeMap<&str, (u64, u64, bool)> = BTreeMap::new();
        for agent in world.fleet.iter() {
            let reasons = oracle::reasons(agent, &request, &policy);
            for name in reasons.keys() {
                let group = groups.entry(name).or_default();
                group.0 += 1;
                group.1 += u64::from(reasons.len() == 1);
                group.2 |= reasons.values().all(|&helps| helps);
            }
        }
        let told: BTreeMap<&str, (u64, u64, bool)> = plan
            .refused
            .iter()
            .map(|one| (one.reason.name(), (one.count, one.alone, one.waiting_helps)))
            .collect();
        prop_assert_eq!(told, groups);
        for pair in plan.refused.windows(2) {
            let rank = |index: usize| (std::cmp::Reverse(pair[index].count), pair[index].reason.name());
            prop_assert!(rank(0) < rank(1));
        }
    }

    #[test]
    fn examples_are_agents_refused_for_that_reason_and_told_apart(
        world in any_world(), policy in sane_policy(), examples_max in 0..4_usize,
    ) {
        let request = world.request();
        let plan = plan(&world.fleet, &request, &policy, 1, examples_max);
        for refused in &plan.refused {
            let expected = (refused.count as usize).min(examples_max);
            prop_assert_eq!(refused.examples.len(), expected);
            let agents: BTreeSet<_> = refused.examples.iter().map(|one| &one.agent).collect();
            prop_assert_eq!(agents.len(), expected);
            prop_assert!(!refused.help.is_empty());
            for example in &refused.examples {
                let agent = world.fleet.get(&example.agent).expect("in the fleet");
                let reasons = oracle::reasons(agent, &request, &policy);
                prop_assert!(reasons.contains_key(refused.reason.name()));
                prop_assert!(!example.detail.is_empty());
            }
        }
    }

    #[test]
    fn waiting_helps_exactly_those_that_time_alone_makes_feasible(
        world in any_world(), policy in sane_policy(),
    ) {
        let request = world.request();
        let later = Request { avoid: &[], ..request };
        for agent in world.fleet.iter() {
            let refusals = refusals(agent, &request, &policy);
            let helps = refusals.iter().all(|one| one.waiting_helps());
            prop_assert_eq!(helps, is_feasible(&after_waiting(agent), &later, &policy));
        }
    }

    #[test]
    fn the_same_question_has_the_same_answer_byte_for_byte(
        world in any_world(), policy in sane_policy(),
    ) {
        let request = world.request();
        let told = || {
            let plan = plan(&world.fleet, &request, &policy, 10, 3);
            serde_json::to_string(&plan).expect("writes")
        };
        prop_assert_eq!(told(), told());
    }
}

/// Properties over worlds in which nothing happens would prove nothing.
#[test]
fn the_worlds_are_worth_testing_on() {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let (mut placed, mut contested, mut tied, mut waiting) = (0, 0, 0, 0);
    let mut alone: BTreeSet<&str> = BTreeSet::new();
    for _ in 0..1_000 {
        let world = any_world().new_tree(&mut runner).expect("a world").current();
        let plan = plan(&world.fleet, &world.request(), &Policy::default(), 2, 1);
        placed += u32::from(plan.feasible > 0);
        contested += u32::from(plan.feasible > 2);
        tied += u32::from(matches!(&plan.candidates[..], [a, b] if a.score == b.score));
        waiting += u32::from(plan.feasible == 0 && plan.agents > 0);
        alone.extend(plan.refused.iter().filter(|one| one.alone > 0).map(|one| one.reason.name()));
    }
    println!("placed {placed}, contested {contested}, tied {tied}, waiting {waiting}");
    assert!(placed > 250 && contested > 100 && tied > 100 && waiting > 250);
    assert_eq!(alone.len(), 24, "{alone:?}");
}

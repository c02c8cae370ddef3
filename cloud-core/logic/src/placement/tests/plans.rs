//! Plans on small fleets, as a user reads them.

use shared::api::{AgentStatus, RefusalName};

use super::super::{Policy, Request};
use super::{
    agent, changed, fleet, id, melbourne, near, plan, position, request, signal, sydney, task,
};
use crate::fleet::Agent;

fn at(name: &str, latitude: f64, longitude: f64) -> Agent {
    changed(name, |agent| agent.facts.position = Some(position(latitude, longitude)))
}

#[test]
fn a_plan_shows_the_best_first_with_every_term() {
    let slow = changed("slow", |agent| agent.signal = signal(0.5, Some(150.0)));
    let lost = changed("lost", |agent| {
        agent.facts.position = None;
        agent.signal = signal(1.0, None);
    });
    let fleet = fleet([slow, lost, agent("quick")]);
    let spec = task(|spec| spec.place.near = near(melbourne(), None));
    let plan = plan(&fleet, &request(&spec), &Policy::default(), 2, 3);
    let agents: Vec<&str> = plan.candidates.iter().map(|one| one.agent.as_str()).collect();
    assert_eq!(agents, ["quick", "slow"]);
    assert_eq!((plan.chosen, plan.policy), (Some(id("quick")), 1));
    assert_eq!((plan.agents, plan.feasible, plan.refused), (3, 3, vec![]));
    let slow = &plan.candidates[1];
    assert_eq!((slow.terms.load, slow.terms.capacity), (0.5, 1.0));
    assert_eq!((slow.terms.distance, slow.terms.latency), (Some(1.0), 0.25));
    assert_eq!((slow.distance_m, slow.latency_ms), (Some(0.0), Some(150.0)));
}

#[test]
fn the_chosen_agent_is_named_even_when_no_candidates_are_wanted() {
    let plan = plan(&fleet([agent("a")]), &request(&task(|_| {})), &Policy::default(), 0, 0);
    assert_eq!((plan.chosen, plan.candidates), (Some(id("a")), vec![]));
}

#[test]
fn an_agent_counts_under_each_of_its_reasons() {
    let away = changed("away", |agent| {
        agent.status = AgentStatus::Offline;
        agent.flags.cordoned = true;
    });
    let shut = changed("shut", |agent| agent.flags.cordoned = true);
    let plan = plan(&fleet([away, shut]), &request(&task(|_| {})), &Policy::default(), 9, 9);
    let told: Vec<_> = plan
        .refused
        .iter()
        .map(|one| (one.reason, one.count, one.alone, one.waiting_helps))
        .collect();
    // Waiting brings the link back, but nobody's cordon: it helps no agent of either group.
    let expected = [(RefusalName::Cordoned, 2, 1, false), (RefusalName::Offline, 1, 0, false)];
    assert_eq!(told, expected);
}

#[test]
fn equally_frequent_reasons_stand_in_the_order_of_their_names() {
    let offline = changed("a", |agent| agent.status = AgentStatus::Offline);
    let arch = changed("b", |agent| agent.facts.arch = "arm".to_owned());
    let label = changed("c", |agent| agent.facts.labels.clear());
    let spec = task(|spec| {
        spec.place.arch = vec!["aarch64".to_owned()];
        spec.place.labels = [("os".to_owned(), "debian".to_owned())].into();
    });
    let plan = plan(&fleet([label, offline, arch]), &request(&spec), &Policy::default(), 9, 9);
    let names: Vec<&str> = plan.refused.iter().map(|one| one.reason.name()).collect();
    assert_eq!(names, ["arch", "label", "offline"]);
}

#[test]
fn examples_are_those_nearest_to_taking_the_task() {
    // Sydney is asked for: b is nearest but cordoned as well, d is nearer than a.
    let mut b = at("b", -33.9, 151.2);
    b.flags.cordoned = true;
    let agents = [at("a", -37.8, 144.9), b, at("c", 0.0, 0.0), at("d", -35.3, 149.1)];
    let spec = task(|spec| spec.place.near = near(sydney(), Some(1_000.0)));
    let plan = plan(&fleet(agents), &request(&spec), &Policy::default(), 9, 4);
    let too_far = &plan.refused[0];
    assert_eq!((too_far.reason, too_far.count, too_far.alone), (RefusalName::TooFar, 4, 3));
    let names: Vec<&str> = too_far.examples.iter().map(|one| one.agent.as_str()).collect();
    assert_eq!(names, ["d", "a", "c", "b"]);
    assert_eq!(too_far.examples[0].detail, "250 km away, at most 1 km allowed");
}

#[test]
fn of_the_full_those_that_may_become_free_are_the_better_examples() {
    let small = changed("a", |agent| agent.facts.capacity.cpu_millis = 900);
    let busy = changed("b", |agent| agent.used.cpu_millis = 4_000);
    let nearly = changed("c", |agent| agent.used.cpu_millis = 3_500);
    let spec = task(|spec| spec.needs.cpu_millis = 1_000);
    let plan = plan(&fleet([small, busy, nearly]), &request(&spec), &Policy::default(), 9, 9);
    let cpu = &plan.refused[0];
    assert!(cpu.waiting_helps);
    let names: Vec<&str> = cpu.examples.iter().map(|one| one.agent.as_str()).collect();
    assert_eq!(names, ["c", "b", "a"]);
}

#[test]
fn an_agent_that_just_refused_is_refused_for_now() {
    let (spec, avoid) = (task(|_| {}), [id("a")]);
    let asked = Request { avoid: &avoid, ..Request::of(&spec) };
    let plan = plan(&fleet([agent("a"), agent("b")]), &asked, &Policy::default(), 9, 9);
    assert_eq!(plan.chosen, Some(id("b")));
    let refused = &plan.refused[0];
    assert_eq!((refused.reason, refused.waiting_helps), (RefusalName::Avoided, true));
}

#[test]
fn a_plan_is_written_as_the_api_promises() {
    let board = at("board-9", -33.8688, 151.2093);
    let spec = task(|spec| spec.place.near = near(melbourne(), Some(50_000.0)));
    let plan = plan(&fleet([agent("board-7"), board]), &request(&spec), &Policy::default(), 9, 9);
    let written = serde_json::to_value(&plan).expect("writes");
    assert_eq!(written["chosen"], "board-7");
    assert_eq!(written["candidates"][0]["terms"]["distance"], 1.0);
    assert_eq!(
        written["refused"],
        serde_json::json!([{
            "reason": "too_far",
            "count": 1,
            "alone": 1,
            "waiting_helps": false,
            "help": "raise where.near.within_m to at least 713429 for board-9",
            "examples": [{"agent": "board-9", "detail": "713 km away, at most 50 km allowed"}],
        }])
    );
}

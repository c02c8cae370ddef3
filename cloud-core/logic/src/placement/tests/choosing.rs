//! The choice on small fleets.

use shared::spec::Preference;

use super::super::{Chooser, FullScan, Policy};
use super::{agent, changed, fleet, id, melbourne, near, request, signal, sydney, task};

fn best(agents: Vec<crate::fleet::Agent>, spec: &shared::spec::TaskSpec) -> Option<String> {
    let chosen = FullScan(&fleet(agents)).best(&request(spec), &Policy::default());
    chosen.map(|chosen| chosen.agent.to_string())
}

#[test]
fn of_equal_agents_the_smaller_id_is_chosen() {
    let agents = vec![agent("c"), agent("b10"), agent("b2")];
    assert_eq!(best(agents.clone(), &task(|_| {})).as_deref(), Some("b10"));
    let listed = task(|spec| spec.place.agents = vec![id("c"), id("b2"), id("c")]);
    assert_eq!(best(agents, &listed).as_deref(), Some("b2"));
}

#[test]
fn the_nearest_wins_where_distance_counts() {
    let there = changed("z", |agent| {
        agent.facts.position = Some(sydney());
        agent.signal = signal(0.5, None);
    });
    let agents = vec![agent("a"), there];
    let spec = task(|spec| {
        spec.place.near = near(sydney(), None);
        let (none, all) = (Some(0), Some(100));
        spec.prefer =
            Preference { load: none, capacity: none, distance: all, latency: none, profile: None };
    });
    assert_eq!(best(agents.clone(), &spec).as_deref(), Some("z"));
    let spec = task(|spec| spec.place.near = near(melbourne(), Some(1.0)));
    assert_eq!(best(agents, &spec).as_deref(), Some("a"));
}

#[test]
fn nobody_is_chosen_when_nobody_may() {
    assert_eq!(best(vec![], &task(|_| {})), None);
    let spec = task(|spec| spec.place.agents = vec![id("nobody")]);
    assert_eq!(best(vec![agent("a")], &spec), None);
}

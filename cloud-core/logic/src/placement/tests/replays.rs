//! The replay against full scans, over fleets at work; and what it tells of a small one.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use shared::api::PolicyReplay;
use shared::id::{AgentId, TaskId};
use shared::spec::TaskSpec;
use uuid::Uuid;

use super::super::{Chooser, FullScan, Policy, Recorded, Request, Roster, replay};
use super::scenes::{Dice, Scene};
use super::{changed, fleet, id, near, position, task};
use crate::fleet::Fleet;

fn task_id(number: usize) -> TaskId {
    TaskId(Uuid::from_u128(number as u128))
}

fn best(roster: &Roster, spec: &TaskSpec, policy: &Policy) -> Option<AgentId> {
    let policy = policy.of(spec.prefer.profile.as_deref());
    let request = Request { groups: roster.groups(), ..Request::of(spec) };
    FullScan(roster).best(&request, &policy).map(|best| best.agent)
}

/// A fleet with some work on it, and what is remembered of that: half of it is over.
fn at_work(scene: Scene, dice: &mut Dice, policy: &Policy) -> (Fleet, Vec<Recorded>) {
    let names: Vec<AgentId> = (0..60).map(|number| id(&format!("agent-{number}"))).collect();
    let agents = names.iter().map(|name| scene.agent(name.as_str(), dice));
    let mut roster = Roster::from(agents.collect::<Fleet>());
    let mut recorded = Vec::new();
    for number in 0..80 {
        let mut spec = scene.task(&names, dice);
        spec.prefer.profile =
            dice.pick(&[None, None, Some("odd"), Some("gone")]).map(str::to_owned);
        let Some(agent) = best(&roster, &spec, policy) else { continue };
        let live = dice.once_in(2);
        if live {
            roster.change(&agent, |agent| {
                agent.used.add(&spec.needs);
                agent.assignments += 1;
            });
            roster.join_groups(&agent, &spec);
        }
        let (task, spec) = (task_id(number), Arc::new(spec));
        recorded.push(Recorded { task, spec, agent, live });
    }
    (Fleet::clone(&roster), recorded)
}

/// A policy with a profile.
fn policy(scene: Scene, dice: &mut Dice) -> Policy {
    let text = json!({"profiles": {"odd": {
        "packing": dice.once_in(2), "weights": {"distance": dice.pick(&[0, 500])},
        "filters": {"too_far": dice.once_in(2)},
    }}});
    let profiles = Policy::parse(&text).expect("a policy").profiles;
    Policy { profiles, ..scene.policy(dice) }
}

#[test]
fn what_differs_is_what_full_scans_say_and_under_the_same_policy_nothing() {
    let mut moved = 0;
    for seed in 0..60 {
        let mut dice = Dice::new(seed);
        let scene = Scene::ALL[seed as usize % Scene::ALL.len()];
        let in_force = policy(scene, &mut dice);
        let other = policy(scene, &mut dice);
        let (fleet, recorded) = at_work(scene, &mut dice, &in_force);

        let same = replay(fleet.clone(), &recorded, &in_force, &in_force);
        let change = same.change;
        assert_eq!((change.moved, change.gain, change.lose), (0, 0, 0), "seed {seed}: {same:?}");
        assert_eq!(same.before, same.after);
        assert_eq!((same.agents.len(), same.examples.len()), (0, 0));

        let told = replay(fleet.clone(), &recorded, &in_force, &other);
        let mut expected = BTreeMap::new();
        for one in &recorded {
            let mut without = Roster::from(fleet.clone());
            let others = recorded.iter().filter(|other| other.live && other.task != one.task);
            others.for_each(|other| without.join_groups(&other.agent, &other.spec));
            if let Some(mut agent) = without.get(&one.agent).cloned().filter(|_| one.live) {
                agent.used.subtract(&one.spec.needs);
                agent.assignments -= 1;
                without.put(agent);
            }
            let places = [&in_force, &other].map(|policy| best(&without, &one.spec, policy));
            let kind = match &places {
                [Some(before), Some(after)] if before == after => "stay",
                [Some(_), Some(_)] => "moved",
                [None, Some(_)] => "gain",
                [Some(_), None] => "lose",
                [None, None] => "nowhere",
            };
            *expected.entry(kind).or_insert(0) += 1;
        }
        let of = |kind| expected.get(kind).copied().unwrap_or(0);
        let expected = [of("stay"), of("moved"), of("gain"), of("lose"), of("nowhere")];
        let change = told.change;
        let counts = [change.stay, change.moved, change.gain, change.lose, change.nowhere];
        assert_eq!(counts, expected, "seed {seed}: {told:?}");
        assert_eq!(counts.iter().sum::<u64>(), told.placements);
        moved += change.moved;
    }
    assert!(moved > 100, "only {moved} moved: that proves little");
}

#[test]
fn it_tells_who_moves_whither_and_what_that_is_worth() {
    let near_by = changed("near", |agent| agent.facts.position = Some(position(0.0, 0.0)));
    let idle = changed("idle", |agent| agent.facts.position = Some(position(0.0, 1.0)));
    let mut busy = near_by;
    (busy.used.cpu_millis, busy.assignments) = (2_000, 2);
    let spec = |profile: Option<&str>| {
        task(|spec| {
            spec.name = Some("sample".to_owned());
            spec.needs.cpu_millis = 1_000;
            spec.place.near = near(position(0.0, 0.0), None);
            spec.prefer.profile = profile.map(str::to_owned);
        })
    };
    let record = |number, profile, agent: &str, live| Recorded {
        task: task_id(number),
        spec: Arc::new(spec(profile)),
        agent: id(agent),
        live,
    };
    let recorded = [
        record(1, None, "near", true),
        record(2, None, "idle", false),
        record(3, Some("close"), "near", false),
        record(4, Some("old"), "idle", false),
    ];
    let parse = |document| Policy::parse(&document).expect("a policy");
    let in_force = Policy {
        version: 7,
        ..parse(json!({"profiles": {"close": {"weights": {"distance": 1000}}, "old": {}}}))
    };
    let other = parse(json!({"weights": {"distance": 1000}, "profiles": {"close": {}}}));
    let PolicyReplay {
        policy,
        placements,
        live,
        drifted,
        change,
        before,
        after,
        profiles,
        unknown_profiles,
        agents,
        examples,
    } = replay(fleet([busy, idle]), &recorded, &in_force, &other);
    assert_eq!((policy, placements, live, drifted), (7, 4, 1, 1));
    assert_eq!((change.stay, change.moved), (1, 3));
    assert_eq!(profiles[0].profile, None);
    assert_eq!((profiles[0].change.moved, profiles[1].change.stay), (2, 1));
    assert_eq!(profiles.len(), 3);
    assert_eq!(unknown_profiles, ["old"]);
    assert_eq!(
        (before.distance_m_median, after.distance_m_mean),
        (examples[0].before.as_ref().and_then(|one| one.distance_m), Some(0.0))
    );
    assert!(before.terms.expect("terms").distance < after.terms.expect("terms").distance);
    let of = |name: &str| {
        let one = agents.iter().find(|one| one.agent.as_str() == name).expect("named");
        (one.before, one.after)
    };
    assert_eq!((of("near"), of("idle")), ((1, 4), (3, 0)));
    assert_eq!(examples.len(), 3);
    assert!(examples.windows(2).all(|pair| pair[0].gain >= pair[1].gain));
    let first = examples.iter().find(|one| one.task == task_id(1)).expect("moves");
    assert_eq!((first.name.as_deref(), first.placed.as_str()), (Some("sample"), "near"));
}

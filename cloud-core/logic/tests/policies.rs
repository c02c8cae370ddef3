//! Profiles of the placement policy, and what a change of it does to tasks that wait.

mod common;

use cloud_core_logic::input::Input;
use cloud_core_logic::placement::Policy;
use cloud_core_logic::{Answer, Effect};
use common::{Board, World, answer, noop};
use serde_json::json;
use shared::spec::TaskSpec;
use shared::task::TaskStatus;

fn put(world: &mut World, policy: &serde_json::Value) -> Vec<Effect> {
    let policy = Box::new(Policy::parse(policy).expect("a policy"));
    let reply = world.reply();
    world.step(Input::SetPolicy { policy, only_over: None, reply })
}

fn of_profile(profile: &str) -> TaskSpec {
    let mut spec = noop();
    spec.prefer.profile = Some(profile.to_owned());
    spec
}

/// Two boards alike, of which `a` holds a task.
fn two() -> (World, [Board; 2]) {
    let mut world = World::new();
    let mut boards = [Board::new("a"), Board::new("b")];
    for board in &mut boards {
        board.facts.capacity.cpu_millis = 4_000;
        board.facts.capacity.memory_mib = 4_000;
        board.facts.tasks_max = 10;
        world.hello(board);
    }
    let mut spec = noop();
    (spec.needs.cpu_millis, spec.needs.memory_mib) = (1_000, 1_000);
    world.submit(spec);
    (world, boards)
}

#[test]
fn a_task_is_placed_by_the_profile_it_asks_for_and_the_record_says_so() {
    let (mut world, _) = two();
    let weights = json!({"load": 0, "capacity": 1, "distance": 0, "latency": 0});
    put(&mut world, &json!({"weights": weights, "profiles": {"pack": {"packing": true}}}));
    let placed = |world: &mut World, spec: TaskSpec| {
        let (task, _) = world.submit(spec);
        let row = world.maps.assignments.values().find(|row| row.id.task == task).expect("placed");
        (row.agent.to_string(), row.placed.policy, row.placed.profile.clone())
    };
    let packed = placed(&mut world, of_profile("pack"));
    assert_eq!(packed, ("a".to_owned(), 2, Some("pack".to_owned())));
    assert_eq!(placed(&mut world, noop()), ("b".to_owned(), 2, None));
}

#[test]
fn an_unknown_profile_is_refused_with_those_there_are() {
    let mut world = World::new();
    let refused = |world: &mut World, profile: &str| {
        let (task, effects) = world.submit(of_profile(profile));
        assert!(!world.maps.tasks.contains_key(&task));
        match answer(&effects) {
            Answer::UnknownProfile(problem) => {
                assert_eq!(problem.pointer, "/prefer/profile");
                problem.detail.clone()
            }
            other => panic!("{other:?}"),
        }
    };
    let told = refused(&mut world, "near");
    assert_eq!(told, "there is no profile \"near\": policy 1 has none; leave it out");
    put(&mut world, &json!({"profiles": {"near": {}, "pack": {}}}));
    let told = refused(&mut world, "nera");
    assert!(told.ends_with("policy 2 has near, pack; did you mean `near`?"), "{told}");
}

#[test]
fn a_waiting_task_whose_profile_goes_is_placed_by_the_policy_itself() {
    let mut world = World::new();
    put(&mut world, &json!({"profiles": {"near": {}}}));
    let (task, _) = world.submit(of_profile("near"));
    put(&mut world, &json!({}));
    world.restart();
    world.hello(&mut Board::new("a"));
    let row = world.maps.assignments.values().find(|row| row.id.task == task).expect("placed");
    assert_eq!(row.placed.profile, None);
}

#[test]
fn what_a_filter_kept_waiting_is_tried_when_it_is_turned_off() {
    let mut world = World::new();
    world.hello(&mut Board::new("a"));
    let away = |spec: TaskSpec| {
        let mut spec = spec;
        spec.place.regions = vec!["nowhere".to_owned()];
        spec
    };
    let tasks = [(); 3].map(|()| world.submit(away(noop())).0);
    put(&mut world, &json!({"packing": true}));
    for task in tasks {
        assert_eq!(world.state(task).status(), TaskStatus::Pending);
    }
    put(&mut world, &json!({"filters": {"region": false}}));
    world.pass(0);
    for task in tasks {
        assert_eq!(world.state(task).status(), TaskStatus::Assigned);
    }
}

//! Tasks that wait together: who competes is placed together, who has the higher priority first, and
//! nobody is given more than he has.

mod common;

use std::sync::Arc;

use cloud_core_logic::effect::Notice;
use cloud_core_logic::input::{NewTask, Submissions};
use cloud_core_logic::placement::Policy;
use cloud_core_logic::{Input, Settings};
use common::{Board, World, noop, settings};
use shared::api::BatchStrategy;
use shared::id::{AgentId, TaskId};
use shared::spec::TaskSpec;
use shared::task::TaskState;
use uuid::Uuid;

/// Boards that hold one task each.
fn world(settings: Settings, boards: &[&str]) -> World {
    let mut world = World::with(settings);
    for name in boards {
        let mut board = Board::new(name);
        board.facts.tasks_max = 1;
        world.hello(&mut board);
    }
    world
}

/// Submits tasks at once; says which they are, and what was noticed.
fn submit(world: &mut World, specs: &[TaskSpec]) -> (Vec<TaskId>, Vec<Notice>) {
    let id =
        |at: usize| TaskId(Uuid::from_u128(0x0190_0000_0000_7000_9000_0000_0000_0000 + at as u128));
    let ids: Vec<TaskId> = (0..specs.len()).map(id).collect();
    let new = |(id, spec): (&TaskId, &TaskSpec)| NewTask {
        id: *id,
        spec: Arc::new(spec.clone()),
        key: None,
        trace: None,
    };
    let tasks = ids.iter().zip(specs).map(new).collect();
    let reply = world.reply();
    let input = Input::SubmitMany(Box::new(Submissions { tasks, reply }));
    let outcome = world.cloud.step(input, world.now());
    let notices = outcome.notices.clone();
    world.commit(outcome);
    (ids, notices)
}

fn only(agents: &[&str]) -> TaskSpec {
    let mut spec = noop();
    spec.place.agents = agents.iter().map(|name| id(name)).collect();
    spec
}

fn id(name: &str) -> AgentId {
    name.parse().expect("an agent id")
}

fn goes(world: &World, task: TaskId) -> Option<AgentId> {
    world.task(task).life.agent.clone()
}

fn assigned(notices: &[Notice]) -> Vec<Notice> {
    let one = |notice: &&Notice| matches!(notice, Notice::Assigned { .. });
    notices.iter().filter(one).copied().collect()
}

#[test]
fn a_task_stands_back_for_one_that_has_no_other_place_and_remembers_it() {
    let mut world = world(settings(), &["a", "b"]);
    let (tasks, notices) = submit(&mut world, &[only(&["a", "b"]), only(&["a"])]);
    let [first, second] = tasks[..] else { panic!("two") };
    assert_eq!((goes(&world, first), goes(&world, second)), (Some(id("b")), Some(id("a"))));
    let noticed = assigned(&notices);
    assert!(matches!(noticed[..], [Notice::Assigned { tasks: 2, placed_more: 1, .. }]));
}

#[test]
fn one_after_the_other_when_the_policy_says_so() {
    let mut world = world(settings(), &["a", "b"]);
    let policy = Policy { batch: BatchStrategy::Greedy, ..Policy::default() };
    let reply = world.reply();
    world.step(Input::SetPolicy { policy: Box::new(policy), only_over: None, reply });
    let (tasks, notices) = submit(&mut world, &[only(&["a", "b"]), only(&["a"])]);
    assert_eq!((goes(&world, tasks[0]), goes(&world, tasks[1])), (Some(id("a")), None));
    assert!(assigned(&notices).is_empty());
}

#[test]
fn nobody_stands_back_for_a_lower_priority() {
    let mut world = world(settings(), &["a", "b"]);
    let high = TaskSpec { priority: 90, ..only(&["a", "b"]) };
    let (tasks, notices) = submit(&mut world, &[only(&["a"]), high]);
    assert_eq!((goes(&world, tasks[0]), goes(&world, tasks[1])), (None, Some(id("a"))));
    assert!(assigned(&notices).is_empty());
}

#[test]
fn a_step_places_no_more_than_it_may_and_the_next_goes_on() {
    let few = Settings { placements_per_step: 2, ..settings() };
    let mut world = world(few, &["a", "b", "c", "d"]);
    let specs: Vec<TaskSpec> =
        [&["a", "b"][..], &["a"], &["c", "d"], &["c"]].map(only).into_iter().collect();
    let (tasks, _) = submit(&mut world, &specs);
    let placed = |world: &World| tasks.iter().filter(|task| goes(world, **task).is_some()).count();
    assert_eq!(placed(&world), 2);
    world.pass(0);
    let places: Vec<_> = tasks.iter().filter_map(|task| goes(&world, *task)).collect();
    assert_eq!(places, ["b", "a", "d", "c"].map(id));
}

#[test]
fn a_flood_is_placed_as_far_as_there_is_room_and_the_oldest_first() {
    let boards: Vec<String> = (0..40).map(|name| format!("board-{name:02}")).collect();
    let names: Vec<&str> = boards.iter().map(String::as_str).collect();
    let mut world = world(settings(), &names);
    // Each may go to one of three neighbours; the same three are asked for by many.
    let spec = |at: usize| only(&[names[at % 40], names[(at * 7) % 40], names[(at * 11) % 40]]);
    let specs: Vec<TaskSpec> = (0..300).map(spec).collect();
    let (tasks, _) = submit(&mut world, &specs);
    world.pass(0);
    let placed: Vec<bool> = tasks.iter().map(|task| goes(&world, *task).is_some()).collect();
    assert_eq!(placed.iter().filter(|placed| **placed).count(), 40, "every board has one");
    assert!(placed[..20].iter().all(|placed| *placed), "{placed:?}");
    let waits = |task: &&TaskId| matches!(world.state(**task), TaskState::Queued);
    assert_eq!(tasks.iter().filter(waits).count(), 260);
}

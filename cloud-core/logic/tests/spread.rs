//! Tasks of a group are kept apart: while they are placed, while they wait, and over a restart.

mod common;

use common::{Board, World, attempt, finished, noop};
use shared::geo::Position;
use shared::id::TaskId;
use shared::report::{End, ReportEvent};
use shared::spec::{Per, Spread, TaskSpec, Together};
use shared::task::TaskStatus;

fn web(max: u32, together: Together) -> TaskSpec {
    let mut spec = noop();
    spec.place.spread = vec![Spread { group: "web".to_owned(), max, together }];
    spec
}

/// A world with two agents in zone east and one in zone west, each with the place, in degrees of
/// longitude, that its zone has.
fn zones() -> (World, [Board; 3]) {
    let mut world = World::new();
    let boards = [("e1", "east", 10.0), ("e2", "east", 10.001), ("w1", "west", 20.0)];
    let boards = boards.map(|(name, zone, longitude)| {
        let mut board = Board::new(name);
        board.facts.labels.insert("zone".to_owned(), zone.to_owned());
        board.facts.position = Position::new(0.0, longitude).ok();
        world.hello(&mut board);
        board
    });
    (world, boards)
}

/// On which agent a task is.
fn agent(world: &World, task: TaskId) -> Option<String> {
    let running = world.state(task).status() == TaskStatus::Assigned;
    let agent = world.task(task).life.agent.as_ref().filter(|_| running);
    agent.map(ToString::to_string)
}

fn zone(world: &World, task: TaskId) -> Option<String> {
    agent(world, task).map(|agent| agent[..1].to_owned())
}

/// The agent says that the task is over.
fn ends(world: &mut World, boards: &mut [Board], task: TaskId) {
    let on = agent(world, task).expect("it has a place");
    let board = boards.iter_mut().find(|board| board.id.as_str() == on).expect("an agent");
    world.report(board, attempt(task, 1), ReportEvent::Accepted);
    world.report(board, attempt(task, 1), finished(End::Exited { code: 0 }));
}

#[test]
fn one_of_a_group_goes_into_each_zone_and_the_next_waits_until_one_is_over() {
    for together in [Together::Per(Per::Zone), Together::WithinM(500.0)] {
        let (mut world, mut boards) = zones();
        let [first, second, third] = [(); 3].map(|()| world.submit(web(1, together)).0);
        let taken = [zone(&world, first), zone(&world, second)];
        assert!(taken.contains(&Some("e".to_owned())) && taken.contains(&Some("w".to_owned())));
        assert_eq!(world.state(third).status(), TaskStatus::Pending);
        // The one in the east ends: any agent of the east will do, not only the one that it leaves.
        let east = if taken[0] == Some("e".to_owned()) { first } else { second };
        ends(&mut world, &mut boards, east);
        world.pass(1);
        assert_eq!(zone(&world, third), Some("e".to_owned()), "{together:?}");
    }
}

#[test]
fn one_that_waits_is_woken_though_the_agent_that_was_left_cannot_take_it() {
    let (mut world, mut boards) = zones();
    let mut big = web(1, Together::Per(Per::Zone));
    big.place.agents = vec![boards[1].id.clone()];
    let mut small = web(1, Together::Per(Per::Zone));
    small.place.agents = vec![boards[0].id.clone()];
    let (small, big) = (world.submit(small).0, world.submit(big).0);
    assert_eq!((agent(&world, small), agent(&world, big)), (Some("e1".to_owned()), None));
    ends(&mut world, &mut boards, small);
    world.pass(1);
    assert_eq!(agent(&world, big), Some("e2".to_owned()));
}

#[test]
fn a_core_that_starts_again_counts_those_that_it_finds() {
    let (mut world, mut boards) = zones();
    let tasks = [(); 3].map(|()| world.submit(web(1, Together::Per(Per::Agent))).0);
    assert!(tasks.iter().all(|task| agent(&world, *task).is_some()));
    world.restart();
    boards.iter_mut().for_each(|board| {
        world.hello(board);
    });
    let (fourth, _) = world.submit(web(1, Together::Per(Per::Agent)));
    assert_eq!(world.state(fourth).status(), TaskStatus::Pending);
    let (other, _) = world.submit(web(2, Together::Per(Per::Agent)));
    assert!(agent(&world, other).is_some(), "another rule, and there may be two");
}

#[test]
fn an_agent_that_comes_into_another_zone_makes_room_where_it_was() {
    let (mut world, mut boards) = zones();
    let mut listed = web(1, Together::Per(Per::Zone));
    listed.place.agents = vec![boards[0].id.clone()];
    let (first, _) = world.submit(listed.clone());
    listed.place.agents = vec![boards[1].id.clone()];
    let (second, _) = world.submit(listed);
    assert_eq!((agent(&world, first), agent(&world, second)), (Some("e1".to_owned()), None));
    boards[0].facts.labels.insert("zone".to_owned(), "north".to_owned());
    world.hello(&mut boards[0]);
    world.pass(1);
    assert_eq!(agent(&world, second), Some("e2".to_owned()));
}

#[test]
fn an_agent_that_cannot_be_told_apart_takes_none() {
    let mut world = World::new();
    let mut board = Board::new("a");
    world.hello(&mut board);
    for (together, takes) in [
        (Together::Per(Per::Region), false),
        (Together::Per(Per::Zone), false),
        (Together::Per(Per::Agent), true),
        (Together::WithinM(0.0), true),
    ] {
        let (task, _) = world.submit(web(9, together));
        assert_eq!(agent(&world, task).is_some(), takes, "{together:?}");
    }
}

#[test]
fn an_attempt_that_was_given_up_counts_no_more_until_it_comes_back() {
    let (mut world, mut boards) = zones();
    let mut spec = web(1, Together::Per(Per::Zone));
    spec.disconnect.lost_after_s = 1;
    spec.place.agents = vec![boards[0].id.clone(), boards[1].id.clone()];
    let (task, effects) = world.submit(spec);
    boards[0].apply(&effects);
    assert_eq!(agent(&world, task), Some("e1".to_owned()));
    // Its agent falls silent for good; the other one goes on.
    for _ in 0..120 {
        world.beat(&mut boards[1]);
        world.pass(1_000);
    }
    assert_eq!(agent(&world, task), Some("e2".to_owned()), "replaced in the same zone");
}

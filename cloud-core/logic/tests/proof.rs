//! What the simulator once found, as it happens between one core and its boards: a second copy of
//! an exclusive task needs proof that the first is over, what an agent has applied is forgotten
//! however it is told, and a wall clock that is set back makes no wait longer.

mod common;

use cloud_core_logic::Effect;
use cloud_core_logic::input::Operation;
use common::{Board, World, attempt, finished, noop};
use shared::assignment::AssignmentStatus;
use shared::id::TaskId;
use shared::report::{End, ReportEvent, StopReason};
use shared::spec::{Retry, TaskSpec};
use shared::task::TaskStatus;

fn exclusive() -> TaskSpec {
    TaskSpec { exclusive: true, ..noop() }
}

/// Two agents, and a task that was offered to the first and not answered.
fn offered_to_a(spec: TaskSpec) -> (World, Board, Board, TaskId) {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    world.hello(&mut a);
    let (task, effects) = world.submit(spec);
    a.apply(&effects);
    world.hello(&mut b);
    (world, a, b, task)
}

fn wait(world: &mut World, seconds: u64, alive: &mut [&mut Board]) -> Vec<Effect> {
    let mut effects = Vec::new();
    for _ in 0..seconds {
        effects.extend(world.pass(1_000));
        for board in alive.iter_mut() {
            effects.extend(world.beat(board));
        }
    }
    effects
}

fn is_there_a_second(world: &World, task: TaskId) -> bool {
    world.maps.assignments.contains_key(&attempt(task, 2))
}

#[test]
fn an_unanswered_offer_of_an_exclusive_task_goes_to_nobody_else() {
    let (mut world, mut a, mut b, task) = offered_to_a(exclusive());
    wait(&mut world, 300, &mut [&mut a, &mut b]);
    assert!(!is_there_a_second(&world, task), "it may run on the first");
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
    // Any other is given to the next.
    let (mut world, mut a, mut b, task) = offered_to_a(noop());
    wait(&mut world, 300, &mut [&mut a, &mut b]);
    assert!(is_there_a_second(&world, task));
}

#[test]
fn a_drained_exclusive_task_moves_only_when_its_agent_says_that_it_has_ended() {
    for falls_silent in [false, true] {
        let (mut world, mut a, mut b, task) = offered_to_a(exclusive());
        if falls_silent {
            world.gone(&a);
        }
        world.operate(&a, Operation::Drain);
        let over_s = world.settings.lease_over_ms(60) / 1_000;
        wait(&mut world, over_s - 5, &mut [&mut b]);
        assert!(!is_there_a_second(&world, task), "it may run on the first: {falls_silent}");
        world.hello(&mut a);
        let end = End::Stopped { reason: StopReason::Superseded };
        world.report(&mut a, attempt(task, 1), finished(end));
        world.pass(1);
        assert_eq!(world.maps.assignments[&attempt(task, 2)].agent, b.id);
    }
}

#[test]
fn a_drained_exclusive_task_moves_when_the_lease_of_a_silent_agent_is_over() {
    let (mut world, a, mut b, task) = offered_to_a(exclusive());
    world.gone(&a);
    world.operate(&a, Operation::Drain);
    let over_s = world.settings.lease_over_ms(60) / 1_000;
    wait(&mut world, over_s + 5, &mut [&mut b]);
    assert_eq!(world.maps.assignments[&attempt(task, 2)].agent, b.id);
}

#[test]
fn a_cancel_ends_the_wait_for_a_move_that_is_never_confirmed() {
    let (mut world, a, mut b, task) = offered_to_a(exclusive());
    world.gone(&a);
    world.operate(&a, Operation::Drain);
    wait(&mut world, 30, &mut [&mut b]);
    world.cancel(task);
    wait(&mut world, 100, &mut [&mut b]);
    assert_eq!(world.state(task).status(), TaskStatus::Canceled);
    let first = &world.maps.assignments[&attempt(task, 1)];
    assert_eq!(first.state.status(), AssignmentStatus::Canceled);
}

#[test]
fn a_tombstone_of_which_only_the_hello_tells_is_dropped() {
    let (mut world, mut a, _, task) = offered_to_a(noop());
    let mut effects = world.cancel(task);
    world.report(&mut a, attempt(task, 1), ReportEvent::Accepted);
    world.gone(&a);
    effects.extend(world.pass(60_000));
    assert_eq!(world.maps.wanted.len(), 1, "a tombstone waits for its agent");
    a.apply(&effects);
    world.maps.wanted.values().for_each(|row| a.applied = a.applied.max(row.rev));
    a.forgetful = true;
    world.hello(&mut a);
    wait(&mut world, 5, &mut [&mut a]);
    assert!(world.maps.wanted.is_empty(), "{:?}", world.maps.wanted);
}

#[test]
fn a_hello_that_was_under_way_for_long_changes_nothing() {
    let mut world = World::new();
    let mut a = Board::new("a");
    let late = Board { link: 0, ..a.clone() };
    world.hello(&mut a);
    a.facts.region = Some("moved".to_owned());
    // Said again on the same connection, with the newer facts.
    a.link -= 1;
    world.hello(&mut a);
    let mut late = late;
    assert_eq!(world.hello(&mut late), [], "it is not even answered");
    let region = world.cloud.fleet().get(&a.id).expect("known").facts.region.clone();
    assert_eq!(region.as_deref(), Some("moved"));
}

#[test]
fn a_clock_that_was_set_back_makes_no_wait_longer() {
    let year_ms = 365 * 86_400_000;
    let (mut world, mut a, mut b, task) = offered_to_a(TaskSpec {
        retry: Retry { attempts_max: 2, delay_s: 10, delay_s_max: 10 },
        ..noop()
    });
    world.wall += year_ms;
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 1 }));
    let spec = TaskSpec { deadline_s: Some(60), ..noop() };
    let nowhere = shared::spec::Place { regions: vec!["nowhere".to_owned()], ..Default::default() };
    let (late, _) = world.submit(TaskSpec { place: nowhere, ..spec });
    world.wall -= year_ms;
    world.restart();
    world.hello(&mut a);
    world.hello(&mut b);
    wait(&mut world, 70, &mut [&mut a, &mut b]);
    assert!(is_there_a_second(&world, task), "a wait of 10 s became one of a year");
    assert_eq!(world.state(late).status(), TaskStatus::Failed);
}

//! Copies of `exclusive` tasks that a core put back to a backup has forgotten: none starts while
//! another may run.

mod common;

use common::{Board, World, attempt, leased, noop, sent_to};
use shared::id::{Attempt, Revision, Sequence, TaskId};
use shared::report::{End, Finish, ReportEvent};
use shared::spec::{Disconnect, Reconcile, TaskSpec};
use shared::wire::Uplink;
use shared::wire::downlink::Want;
use shared::wire::uplink::{Held, Reports};

const LOST_AFTER_S: u64 = 60;

fn exclusive(reconcile: Reconcile) -> TaskSpec {
    let disconnect = Disconnect { lost_after_s: LOST_AFTER_S, reconcile, ..Disconnect::default() };
    TaskSpec { exclusive: true, disconnect, ..noop() }
}

fn put_back(world: &mut World, backup: common::Maps) {
    world.maps = backup;
    world.maps.restore_from_backup();
    world.restart();
}

fn wait(world: &mut World, seconds: u64, alive: &mut Board) {
    for _ in 0..seconds {
        let effects = world.pass(1_000);
        alive.apply(&effects);
        world.beat(alive);
    }
}

fn ping(board: &Board) -> Uplink {
    Uplink::Ping { nonce: 1, session: board.session }
}

/// Nothing of its outbox is left to tell.
fn nothing_to_tell(board: &Board) -> Uplink {
    Uplink::Reports(Reports {
        incarnation: board.incarnation,
        session: board.session,
        after: Sequence(0),
        items: Vec::new(),
        upto: board.seq,
    })
}

fn current(world: &World, task: TaskId) -> Option<Attempt> {
    world.state(task).attempt()
}

/// A core that was put back to a backup, `a` with the attempt of a task that it forgot, and `b`, which
/// has said hello.
fn forgotten_on_a(reconcile: Reconcile) -> (World, Board, Board, TaskId) {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    let (task, _) = world.submit(exclusive(reconcile));
    let backup = world.maps.clone();
    let effects = world.hello(&mut a);
    a.apply(&effects);
    a.queue(attempt(task, 1), shared::time::Timestamp(0), ReportEvent::Accepted);
    put_back(&mut world, backup);
    world.hello(&mut b);
    (world, a, b, task)
}

/// The same once the task is assigned to `b`.
fn given_again(reconcile: Reconcile) -> (World, Board, Board, TaskId) {
    let (mut world, a, mut b, task) = forgotten_on_a(reconcile);
    let over_s = world.settings.lease_over_ms(LOST_AFTER_S) / 1_000;
    wait(&mut world, over_s - 1, &mut b);
    assert_eq!(current(&world, task), None, "the forgotten copy may run under its lease");
    wait(&mut world, 2, &mut b);
    assert_eq!(current(&world, task), Some(Attempt(1_001)));
    (world, a, b, task)
}

#[test]
fn a_forgotten_copy_never_takes_the_place_of_one_that_may_run() {
    use Reconcile::{BestScore, KeepOriginal, KeepReplacement, LongestRunning};
    for reconcile in [BestScore, KeepOriginal, KeepReplacement, LongestRunning] {
        for running_ms in [None, Some(1_000_000)] {
            let (mut world, mut a, b, task) = given_again(reconcile);
            assert!(leased(&world.say(&b, ping(&b))), "{reconcile:?}");
            a.inventory = Some(vec![Held { assignment: attempt(task, 1), running_ms }]);
            world.hello(&mut a);
            assert!(!leased(&world.say(&a, ping(&a))), "what it holds is not compared yet");
            let effects = world.say(&a, nothing_to_tell(&a));
            assert_eq!(current(&world, task), Some(Attempt(1_001)), "{reconcile:?}");
            let stopped = sent_to(&effects, &a.id).flat_map(|desired| &desired.rows);
            let stopped = stopped.map(|row| (row.assignment, &row.want)).collect::<Vec<_>>();
            assert!(matches!(stopped[..], [(id, Want::Stop { .. })] if id == attempt(task, 1)));
            assert!(leased(&world.say(&a, ping(&a))), "once it has applied that");
        }
    }
}

#[test]
fn what_a_backup_knows_does_not_start_while_a_forgotten_copy_may_run() {
    for runs in [false, true] {
        let mut world = World::new();
        let (mut a, mut b) = (Board::new("a"), Board::new("b"));
        world.hello(&mut a);
        let (task, effects) = world.submit(exclusive(Reconcile::BestScore));
        a.apply(&effects);
        let backup = world.maps.clone();
        // Meanwhile it was given to `b`, which nobody remembers.
        put_back(&mut world, backup);
        let running_ms = runs.then_some(1_000);
        a.inventory = Some(vec![Held { assignment: attempt(task, 1), running_ms }]);
        world.hello(&mut a);
        assert_eq!(leased(&world.say(&a, ping(&a))), runs, "one that runs is the only one");
        b.inventory = Some(vec![Held { assignment: attempt(task, 2), running_ms: Some(5_000) }]);
        b.applied = Revision(1);
        world.hello(&mut b);
        let stays = if runs { Attempt(1) } else { Attempt(2) };
        assert_eq!(current(&world, task), Some(stays));
        let over_s = world.settings.lease_over_ms(LOST_AFTER_S) / 1_000;
        wait(&mut world, over_s + 1, &mut a);
        assert!(leased(&world.say(&a, ping(&a))), "no copy can run any more");
    }
}

#[test]
fn that_a_forgotten_attempt_is_over_is_no_proof_that_no_copy_of_it_runs() {
    let vanished = End::Vanished { message: String::new() };
    for (end, ran_ms) in [(vanished, None), (End::Exited { code: 1 }, Some(5))] {
        nothing_starts_after(end, ran_ms);
    }
}

fn nothing_starts_after(end: End, ran_ms: Option<u64>) {
    let (mut world, mut a, mut b, task) = forgotten_on_a(Reconcile::BestScore);
    // A copy of the database of `a` speaks, on a board on which nothing runs.
    a.inventory = Some(vec![Held { assignment: attempt(task, 1), running_ms: None }]);
    world.hello(&mut a);
    a.inventory = Some(Vec::new());
    let finish = Finish { end, started_at: None, ran_ms, output: Default::default() };
    world.report(&mut a, attempt(task, 1), ReportEvent::Finished(Box::new(finish)));
    assert_eq!(current(&world, task), None, "the original may run, or run again, under its lease");
    let over_s = world.settings.lease_over_ms(LOST_AFTER_S) / 1_000;
    wait(&mut world, over_s - 1, &mut b);
    assert_eq!(current(&world, task), None);
    wait(&mut world, 2, &mut b);
    assert_eq!(current(&world, task), Some(Attempt(1_001)));
}

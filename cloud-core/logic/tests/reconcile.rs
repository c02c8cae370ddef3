//! Two copies of a task are left when an agent comes back: which of them stays, by policy, and what
//! becomes of the other. And a core that was put back to a backup, which finds what it forgot.

mod common;

use cloud_core_logic::{Effect, Settings};
use common::{Board, World, attempt, finished, noop, sent_to};
use shared::assignment::AssignmentStatus;
use shared::id::{Attempt, Sequence, TaskId};
use shared::report::{End, ReportEvent, StopReason};
use shared::spec::{Disconnect, Reconcile, TaskSpec};
use shared::task::TaskStatus;
use shared::wire::downlink::Want;
use shared::wire::uplink::{Held, Inventory, InventoryPart, Reports};
use shared::wire::{Downlink, Uplink};

const LOST_AFTER_S: u64 = 20;

fn spec(reconcile: Reconcile) -> TaskSpec {
    let disconnect = Disconnect { lost_after_s: LOST_AFTER_S, reconcile, ..Disconnect::default() };
    TaskSpec { disconnect, ..noop() }
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

fn status(world: &World, task: TaskId, number: u32) -> AssignmentStatus {
    world.maps.assignments[&attempt(task, number)].state.status()
}

/// A task that ran on `a` until that fell silent, and runs on `b` since.
fn two_copies(reconcile: Reconcile) -> (World, Board, Board, TaskId) {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    world.hello(&mut a);
    let (task, effects) = world.submit(spec(reconcile));
    a.apply(&effects);
    world.report(&mut a, attempt(task, 1), ReportEvent::Accepted);
    world.report(&mut a, attempt(task, 1), ReportEvent::Started);
    world.hello(&mut b);
    let effects = wait(&mut world, LOST_AFTER_S + 1, &mut [&mut b]);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Lost);
    assert_eq!(world.maps.assignments[&attempt(task, 2)].agent, b.id);
    b.apply(&effects);
    world.report(&mut b, attempt(task, 2), ReportEvent::Accepted);
    world.report(&mut b, attempt(task, 2), ReportEvent::Started);
    (world, a, b, task)
}

fn told_to_stop(effects: &[Effect], board: &Board, number: u32, task: TaskId) -> bool {
    let stop = |want: &Want| matches!(want, Want::Stop { reason: StopReason::Superseded });
    sent_to(effects, &board.id)
        .flat_map(|desired| &desired.rows)
        .any(|row| row.assignment == attempt(task, number) && stop(&row.want))
}

#[test]
fn the_policy_says_which_copy_stays_when_the_first_agent_comes_back() {
    for (reconcile, original_stays) in [
        (Reconcile::KeepOriginal, true),
        (Reconcile::KeepReplacement, false),
        // It has run longer.
        (Reconcile::LongestRunning, true),
        // The second agent's round trip was measured, so it scored higher.
        (Reconcile::BestScore, false),
    ] {
        let (mut world, mut a, mut b, task) = two_copies(reconcile);
        a.running_ms = Some(LOST_AFTER_S * 1_000);
        let effects = world.hello(&mut a);
        let (kept, dropped) = if original_stays { (1, 2) } else { (2, 1) };
        assert_eq!(status(&world, task, kept), AssignmentStatus::Running, "{reconcile:?}");
        assert_eq!(world.state(task).attempt(), Some(Attempt(kept)), "{reconcile:?}");
        assert!(world.maps.assignments[&attempt(task, dropped)].state.is_ended());
        let (keeper, loser) = if original_stays { (&mut a, &mut b) } else { (&mut b, &mut a) };
        assert!(told_to_stop(&effects, loser, dropped, task), "{reconcile:?}");
        // What the dropped copy says is history; what the kept one says decides.
        world.report(loser, attempt(task, dropped), finished(End::Exited { code: 7 }));
        assert_eq!(world.state(task).status(), TaskStatus::Running);
        world.report(keeper, attempt(task, kept), finished(End::Exited { code: 0 }));
        assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
        assert_eq!(world.maps.late.len(), 1);
    }
}

#[test]
fn the_longest_running_copy_is_the_replacement_if_the_first_never_started() {
    let (mut world, mut a, mut b, task) = two_copies(Reconcile::LongestRunning);
    wait(&mut world, 30, &mut [&mut b]);
    a.running_ms = None;
    world.hello(&mut a);
    assert_eq!(world.state(task).attempt(), Some(Attempt(2)));
}

#[test]
fn a_copy_that_succeeded_in_the_dark_is_the_result_unless_the_replacement_is_to_stay() {
    for (reconcile, counts) in [
        (Reconcile::BestScore, true),
        (Reconcile::KeepOriginal, true),
        (Reconcile::LongestRunning, true),
        (Reconcile::KeepReplacement, false),
    ] {
        let (mut world, mut a, mut b, task) = two_copies(reconcile);
        world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
        // Recorded as what it was, whether it counts or not.
        assert_eq!(status(&world, task, 1), AssignmentStatus::Succeeded);
        if counts {
            assert_eq!(world.state(task).status(), TaskStatus::Succeeded, "{reconcile:?}");
            assert!(world.maps.wanted.contains_key(&(b.id.clone(), attempt(task, 2))));
        } else {
            assert_eq!(world.state(task).status(), TaskStatus::Running, "{reconcile:?}");
            world.report(&mut b, attempt(task, 2), finished(End::Exited { code: 0 }));
            assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
        }
    }
}

#[test]
fn a_copy_that_failed_in_the_dark_leaves_the_field_to_the_replacement() {
    let (mut world, mut a, mut b, task) = two_copies(Reconcile::KeepOriginal);
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 1 }));
    assert_eq!(world.state(task).attempt(), Some(Attempt(2)));
    assert_eq!(world.task(task).life.failures, 0);
    world.report(&mut b, attempt(task, 2), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
}

#[test]
fn a_task_that_found_no_other_place_goes_on_where_it_was() {
    for reconcile in [Reconcile::KeepReplacement, Reconcile::BestScore] {
        let mut world = World::new();
        let mut a = Board::new("a");
        world.hello(&mut a);
        let (task, effects) = world.submit(spec(reconcile));
        a.apply(&effects);
        world.report(&mut a, attempt(task, 1), ReportEvent::Started);
        wait(&mut world, 60, &mut []);
        assert_eq!(world.state(task).status(), TaskStatus::Pending);
        // The core may have been started anew meanwhile.
        world.restart();
        a.running_ms = Some(60_000);
        let effects = world.hello(&mut a);
        assert_eq!(world.state(task).status(), TaskStatus::Running);
        assert_eq!(status(&world, task, 1), AssignmentStatus::Running);
        let rows = a.apply(&effects);
        assert!(rows.is_empty(), "an order may come when it is over and forgotten: {rows:?}");
        world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
        assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
        assert_eq!(world.task(task).life.attempt, Attempt(1));
    }
}

#[test]
fn of_two_silent_copies_the_first_to_be_heard_goes_on() {
    let (mut world, mut a, mut b, task) = two_copies(Reconcile::KeepReplacement);
    world.gone(&b);
    a.running_ms = Some(1);
    world.hello(&mut a);
    assert_eq!(world.state(task).attempt(), Some(Attempt(1)));
    assert_eq!(status(&world, task, 2), AssignmentStatus::Lost);
    // The other comes back, and is the replacement: now it is to stay.
    b.running_ms = Some(1);
    world.hello(&mut b);
    assert_eq!(world.state(task).attempt(), Some(Attempt(2)));
    assert!(world.maps.assignments[&attempt(task, 1)].state.is_ended());
}

#[test]
fn an_attempt_that_its_agent_never_heard_of_is_not_begun_when_it_comes_back() {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    world.hello(&mut a);
    // The offer is lost with the link.
    let (task, _) = world.submit(spec(Reconcile::BestScore));
    world.hello(&mut b);
    wait(&mut world, LOST_AFTER_S + 1, &mut [&mut b]);
    assert_eq!(world.state(task).attempt(), Some(Attempt(2)));
    // It comes back with reports that are taken before anything is compared.
    let other = attempt(TaskId(uuid::Uuid::from_u128(77)), 1);
    let message = a.queue(other, shared::time::Timestamp(0), ReportEvent::Started);
    let mut effects = world.hello(&mut a);
    effects.extend(world.say(&a, message));
    let rows = a.apply(&effects);
    assert!(!rows.iter().any(|row| matches!(row.want, Want::Run(_))), "{rows:?}");
    assert!(told_to_stop(&effects, &a, 1, task), "the offer may be under way still");
    assert_eq!(world.state(task).attempt(), Some(Attempt(2)));
}

#[test]
fn an_agent_that_is_heard_again_without_a_hello_is_asked_what_it_holds() {
    let (mut world, mut a, mut b, task) = two_copies(Reconcile::KeepOriginal);
    // Its heartbeats come through again, on the connection that never broke.
    let effects = wait(&mut world, 3, &mut [&mut a, &mut b]);
    let asked = |effect: &Effect| match effect {
        Effect::Send { agent, message: Downlink::WhoIsThere } => *agent == a.id,
        _ => false,
    };
    assert_eq!(effects.iter().filter(|effect| asked(effect)).count(), 1, "once is enough");
    a.running_ms = Some(1);
    world.hello(&mut a);
    assert_eq!(world.state(task).attempt(), Some(Attempt(1)));
}

#[test]
fn a_settled_task_waits_for_no_copy_and_leaves_it_a_tombstone() {
    let (mut world, mut a, mut b, task) = two_copies(Reconcile::KeepOriginal);
    world.report(&mut b, attempt(task, 2), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Lost);
    let effects = world.hello(&mut a);
    assert!(told_to_stop(&effects, &a, 1, task));
}

#[test]
fn nothing_is_decided_before_every_part_and_every_earlier_report_has_come() {
    let (mut world, mut a, _, task) = two_copies(Reconcile::KeepOriginal);
    // A hello whose inventory has two parts, and whose outbox holds one report more.
    let message = a.queue(attempt(task, 1), shared::time::Timestamp(0), ReportEvent::Started);
    a.parts = 2;
    a.forgetful = true;
    world.hello(&mut a);
    assert_eq!(status(&world, task, 1), AssignmentStatus::Lost, "the other part may hold it");
    world.say(&a, message);
    assert_eq!(world.state(task).attempt(), Some(Attempt(2)));
    let part = InventoryPart {
        part: 1,
        parts: 2,
        holds: vec![Held { assignment: attempt(task, 1), running_ms: Some(5) }],
        schedules: Some(vec![]),
    };
    let inventory = |last_seq| {
        Uplink::Inventory(Inventory {
            incarnation: a.incarnation,
            session: a.session,
            link: a.link,
            last_seq,
            part: part.clone(),
        })
    };
    // A part of another hello's list would say what was true at another moment.
    world.say(&a, inventory(shared::id::Sequence(a.seq.0 - 1)));
    assert_eq!(world.state(task).attempt(), Some(Attempt(2)));
    world.say(&a, inventory(a.seq));
    assert_eq!(world.state(task).attempt(), Some(Attempt(1)));
}

#[test]
fn an_agent_whose_parts_do_not_come_is_asked_again() {
    let (mut world, mut a, _, _) = two_copies(Reconcile::KeepOriginal);
    a.parts = 3;
    world.hello(&mut a);
    let effects = wait(&mut world, 31, &mut [&mut a]);
    let asked =
        |effect: &Effect| matches!(effect, Effect::Send { message: Downlink::WhoIsThere, .. });
    assert!(effects.iter().any(asked));
}

#[test]
fn a_run_begun_again_on_the_board_counts_and_changes_no_attempt() {
    let mut world = World::new();
    let mut a = Board::new("a");
    world.hello(&mut a);
    let (task, effects) = world.submit(spec(Reconcile::BestScore));
    let rows = a.apply(&effects);
    let Want::Run(order) = &rows[0].want else { panic!("{rows:?}") };
    assert_eq!((order.retry.failures_max, order.retry.losses_max), (2, 10));
    let retried = |end| match finished(end) {
        ReportEvent::Finished(finish) => ReportEvent::Retried(finish),
        other => other,
    };
    world.report(&mut a, attempt(task, 1), ReportEvent::Started);
    world.report(&mut a, attempt(task, 1), retried(End::Exited { code: 1 }));
    assert_eq!(world.state(task).status(), TaskStatus::Assigned);
    world.report(&mut a, attempt(task, 1), ReportEvent::Started);
    assert_eq!(world.state(task).status(), TaskStatus::Running);
    let vanished = End::Vanished { message: String::new() };
    world.report(&mut a, attempt(task, 1), retried(vanished));
    let life = &world.task(task).life;
    assert_eq!((life.attempt, life.failures, life.losses), (Attempt(1), 1, 1));
    assert_eq!(world.maps.assignments[&attempt(task, 1)].retries, 2);
    world.report(&mut a, attempt(task, 1), ReportEvent::Started);
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
}

#[test]
fn a_core_put_back_to_a_backup_takes_the_outcomes_that_agents_kept() {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    let (task, _) = world.submit(spec(Reconcile::BestScore));
    let backup = world.maps.clone();
    let effects = world.hello(&mut a);
    a.apply(&effects);
    world.hello(&mut b);
    world.report(&mut a, attempt(task, 1), ReportEvent::Accepted);
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
    world.put_back(backup);
    world.hello(&mut b);
    assert_eq!(world.state(task).status(), TaskStatus::Pending, "agents are waited for");
    // The agent has kept the outcome, and is told that the core forgot it.
    a.applied = shared::id::Revision(0);
    a.acked = shared::id::Sequence(0);
    world.hello(&mut a);
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
    assert!(!world.maps.assignments.keys().any(|id| id.attempt > Attempt(1)), "run once");
}

#[test]
fn a_core_put_back_to_a_backup_finds_work_that_it_forgot() {
    let mut world = World::new();
    let mut a = Board::new("a");
    let (task, _) = world.submit(TaskSpec { exclusive: true, ..spec(Reconcile::BestScore) });
    let backup = world.maps.clone();
    let effects = world.hello(&mut a);
    a.apply(&effects);
    world.report(&mut a, attempt(task, 1), ReportEvent::Started);
    world.put_back(backup);
    a.inventory = Some(vec![Held { assignment: attempt(task, 1), running_ms: Some(9) }]);
    world.hello(&mut a);
    // What it reported of the start was acknowledged once, and is not kept.
    world.say(
        &a,
        Uplink::Reports(Reports {
            incarnation: a.incarnation,
            session: a.session,
            after: Sequence(0),
            items: Vec::new(),
            upto: a.seq,
        }),
    );
    assert_eq!(world.state(task).status(), TaskStatus::Running);
    assert_eq!(world.state(task).attempt(), Some(Attempt(1)));
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
}

#[test]
fn a_core_put_back_to_a_backup_gives_nothing_up_before_its_agents_had_their_time() {
    let mut world = World::with(Settings { offer_timeout_ms: 5_000, ..common::settings() });
    let mut a = Board::new("a");
    world.hello(&mut a);
    let disconnect = Disconnect { lost_after_s: 5, replace: false, ..Disconnect::default() };
    let (task, effects) = world.submit(TaskSpec { disconnect, ..noop() });
    let backup = world.maps.clone();
    a.apply(&effects);
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    world.put_back(backup);
    // Its offer looks unanswered, and its agent silent; it has kept the outcome.
    let wait_s = world.settings.recovery_ms / 1_000 - 1;
    wait(&mut world, wait_s, &mut []);
    a.acked = Sequence(0);
    world.hello(&mut a);
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
    assert_eq!(world.maps.assignments.len(), 1, "run once");
}

#[test]
fn of_two_forgotten_attempts_one_may_be_over_and_the_other_run() {
    let mut world = World::new();
    let mut a = Board::new("a");
    let (task, _) = world.submit(spec(Reconcile::BestScore));
    let backup = world.maps.clone();
    world.hello(&mut a);
    world.put_back(backup);
    a.inventory = Some(vec![Held { assignment: attempt(task, 2), running_ms: Some(9) }]);
    // The report comes first, and what is held is compared in the same step.
    let message =
        a.queue(attempt(task, 1), shared::time::Timestamp(0), finished(End::Exited { code: 3 }));
    world.hello(&mut a);
    world.say(&a, message);
    assert_eq!(world.state(task).attempt(), Some(Attempt(2)));
    assert_eq!(world.task(task).life.failures, 1);
    world.report(&mut a, attempt(task, 2), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).status(), TaskStatus::Succeeded);
}

#[test]
fn a_found_attempt_that_was_decided_about_does_not_come_back_with_its_last_words() {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    let (task, _) = world.submit(spec(Reconcile::KeepReplacement));
    let backup = world.maps.clone();
    let effects = world.hello(&mut a);
    a.apply(&effects);
    world.put_back(backup);
    world.hello(&mut b);
    let wait_s = world.settings.recovery_ms / 1_000 + 1;
    wait(&mut world, wait_s, &mut [&mut b]);
    a.inventory = Some(vec![Held { assignment: attempt(task, 1), running_ms: Some(9) }]);
    world.hello(&mut a);
    assert!(world.maps.assignments[&attempt(task, 1)].state.is_ended());
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.state(task).attempt(), Some(Attempt(1_001)));
    assert_eq!(world.maps.late.len(), 1);
}

#[test]
fn a_core_put_back_to_a_backup_goes_on_without_agents_that_do_not_come() {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    world.hello(&mut a);
    world.gone(&a);
    let (task, _) = world.submit(spec(Reconcile::BestScore));
    let backup = world.maps.clone();
    world.put_back(backup);
    world.hello(&mut b);
    assert_eq!(world.state(task).status(), TaskStatus::Pending);
    let wait_s = world.settings.recovery_ms / 1_000 + 1;
    wait(&mut world, wait_s, &mut [&mut b]);
    assert_eq!(world.state(task).status(), TaskStatus::Assigned);
    assert!(!world.maps.recovering);
    // Its attempts have numbers that no forgotten one can have.
    assert_eq!(world.state(task).attempt(), Some(Attempt(1_001)));
}

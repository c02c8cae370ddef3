//! A task's life through the core, stage by stage, with agents played by the test.

mod common;

use cloud_core_logic::change::IdempotencyKey;
use cloud_core_logic::input::Operation;
use cloud_core_logic::{Answer, Effect, Settings};
use common::{Board, World, answer, attempt, finished, noop, sent_to, settings};
use shared::assignment::AssignmentStatus;
use shared::report::{End, RefusalReason, ReportEvent, StopReason};
use shared::spec::{Retry, TaskSpec};
use shared::task::{FailureReason, TaskState, TaskStatus, Verdict};
use shared::wire::downlink::Want;

/// A world with one agent, and a task assigned to it as attempt 1.
fn assigned(spec: TaskSpec) -> (World, Board, shared::id::TaskId) {
    let mut world = World::new();
    let mut board = Board::new("a");
    world.hello(&mut board);
    let (task, effects) = world.submit(spec);
    assert_eq!(board.apply(&effects).len(), 1, "the task was pushed to the agent");
    (world, board, task)
}

fn verdict(world: &World, task: shared::id::TaskId) -> &Verdict {
    match world.state(task) {
        TaskState::Settled { outcome } => &outcome.verdict,
        other => panic!("{task} is not settled but {other:?}"),
    }
}

#[test]
fn a_task_is_placed_pushed_run_and_settled() {
    let (mut world, mut board, task) = assigned(noop());
    assert_eq!(world.state(task).status(), TaskStatus::Assigned);
    world.report(&mut board, attempt(task, 1), ReportEvent::Accepted);
    world.report(&mut board, attempt(task, 1), ReportEvent::Started);
    assert_eq!(world.state(task).status(), TaskStatus::Running);
    world.report(&mut board, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(verdict(&world, task), &Verdict::Succeeded);
    assert!(world.maps.wanted.is_empty(), "nothing is left to be told");
    assert!(world.cloud.fleet().get(&board.id).expect("a").used.is_zero());
}

#[test]
fn tasks_that_ask_for_the_same_keep_their_names_and_labels() {
    let mut world = World::new();
    let spec = |name: &str| TaskSpec {
        name: Some(name.to_owned()),
        labels: [("station".to_owned(), name.to_owned())].into(),
        ..noop()
    };
    let tasks = ["one", "two"].map(|name| (name, world.submit(spec(name)).0));
    // What was shared is shared anew by a core that starts again.
    world.restart();
    let mut board = Board::new("a");
    let effects = world.hello(&mut board);
    let rows = board.apply(&effects);
    for (name, task) in tasks {
        assert_eq!(*world.task(task).spec, spec(name), "all of it is stored");
        let row = rows.iter().find(|row| row.assignment == attempt(task, 1)).expect("pushed");
        let Want::Run(order) = &row.want else { panic!("{row:?}") };
        assert_eq!(order.name.as_deref(), Some(name));
    }
}

#[test]
fn a_submission_with_a_known_key_is_the_same_task() {
    let mut world = World::new();
    let key = |hash: &str| Some(IdempotencyKey { key: "k".into(), body_hash: hash.into() });
    let (first, other) = (attempt_id(1), attempt_id(2));
    assert!(matches!(answer(&world.submit_as(first, noop(), key("x"))), Answer::Submitted(_)));
    assert_eq!(answer(&world.submit_as(other, noop(), key("x"))), &Answer::Repeated(first));
    assert_eq!(answer(&world.submit_as(other, noop(), key("y"))), &Answer::KeyReused(first));
    assert_eq!(world.maps.tasks.len(), 1);
}

fn attempt_id(number: u128) -> shared::id::TaskId {
    shared::id::TaskId(uuid::Uuid::from_u128(number))
}

#[test]
fn the_bound_on_waiting_tasks_is_exact_and_refuses_before_it_acknowledges() {
    let mut world = World::with(Settings { pending_max: 2, ..settings() });
    world.submit(noop());
    world.submit(noop());
    let (refused, effects) = world.submit(noop());
    assert!(matches!(answer(&effects), Answer::QueueFull { pending_max: 2, .. }));
    assert!(!world.maps.tasks.contains_key(&refused));
    let mut board = Board::new("a");
    world.hello(&mut board);
    let (_, effects) = world.submit(noop());
    assert!(matches!(answer(&effects), Answer::Submitted(_)));
}

#[test]
fn higher_priority_goes_first_and_age_breaks_ties() {
    let mut world = World::new();
    let priorities = [50, 10, 90, 50];
    let tasks = priorities.map(|priority| world.submit(TaskSpec { priority, ..noop() }).0);
    let mut board = Board::new("a");
    board.facts.tasks_max = 1;
    let mut order = Vec::new();
    let mut effects = world.hello(&mut board);
    effects.extend(world.pass(0));
    for _ in 0..tasks.len() {
        let rows = board.apply(&effects);
        assert_eq!(rows.len(), 1, "one at a time");
        order.push(rows[0].assignment.task);
        world.report(&mut board, rows[0].assignment, ReportEvent::Accepted);
        let message = board.queue(
            rows[0].assignment,
            shared::time::Timestamp(0),
            finished(End::Exited { code: 0 }),
        );
        effects = world.say(&board, message);
    }
    assert_eq!(order, [tasks[2], tasks[0], tasks[3], tasks[1]]);
}

#[test]
fn a_failed_attempt_is_tried_again_after_a_growing_wait_and_then_fails() {
    let retry = Retry { attempts_max: 3, delay_s: 10, delay_s_max: 300 };
    // Heartbeats play no part here.
    let mut world = World::with(Settings { heartbeat_ms: 3_600_000, ..settings() });
    let mut board = Board::new("a");
    world.hello(&mut board);
    let (task, effects) = world.submit(TaskSpec { retry, ..noop() });
    board.apply(&effects);
    for (number, wait_ms) in [(1, 10_000), (2, 20_000)] {
        world.report(&mut board, attempt(task, number), ReportEvent::Accepted);
        world.report(&mut board, attempt(task, number), finished(End::Exited { code: 3 }));
        assert!(matches!(world.state(task), TaskState::BackingOff { .. }));
        // Jitter takes at most half of the wait away.
        world.pass(wait_ms / 2 - 1);
        assert!(matches!(world.state(task), TaskState::BackingOff { .. }));
        let effects = world.pass(wait_ms / 2 + 1);
        assert_eq!(board.apply(&effects).len(), 1, "attempt {} was pushed", number + 1);
    }
    world.report(&mut board, attempt(task, 3), finished(End::Exited { code: 3 }));
    assert_eq!(verdict(&world, task), &Verdict::Failed { reason: FailureReason::ExitCode });
}

#[test]
fn a_refusal_costs_no_retry_and_leads_to_another_agent() {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    world.hello(&mut a);
    world.hello(&mut b);
    let retry = Retry { attempts_max: 1, ..Retry::default() };
    let (task, effects) = world.submit(TaskSpec { retry, ..noop() });
    assert_eq!(a.apply(&effects).len(), 1, "equal scores: the smaller id");
    let refused = ReportEvent::Refused { reason: RefusalReason::Busy, detail: "full".into() };
    world.report(&mut a, attempt(task, 1), refused);
    let effects = world.pass(1_000);
    assert_eq!(a.apply(&effects).len(), 0);
    assert_eq!(b.apply(&effects).len(), 1, "the one that did not refuse");
}

#[test]
fn cancel_works_at_every_stage() {
    // While it waits.
    let mut world = World::new();
    let (waiting, _) = world.submit(noop());
    assert_eq!(answer(&world.cancel(waiting)), &Answer::Canceling(waiting));
    assert_eq!(verdict(&world, waiting), &Verdict::Canceled);
    assert_eq!(answer(&world.cancel(waiting)), &Answer::NotLive(waiting));
    // While it runs: the agent is told, and its word settles it.
    let (mut world, mut board, task) = assigned(noop());
    world.report(&mut board, attempt(task, 1), ReportEvent::Accepted);
    world.report(&mut board, attempt(task, 1), ReportEvent::Started);
    let effects = world.cancel(task);
    let rows = board.apply(&effects);
    assert_eq!(rows[0].want, Want::Stop { reason: StopReason::Canceled });
    assert_eq!(world.state(task).status(), TaskStatus::Running);
    let stopped = End::Stopped { reason: StopReason::Canceled };
    world.report(&mut board, attempt(task, 1), finished(stopped));
    assert_eq!(verdict(&world, task), &Verdict::Canceled);
    // Too late: what was done is done.
    let (mut world, mut board, task) = assigned(noop());
    world.cancel(task);
    world.report(&mut board, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(verdict(&world, task), &Verdict::Succeeded);
}

#[test]
fn a_cancel_does_not_wait_for_an_agent_that_cannot_be_heard() {
    let (mut world, mut board, task) = assigned(noop());
    world.gone(&board);
    world.cancel(task);
    assert_eq!(verdict(&world, task), &Verdict::Canceled);
    let effects = world.hello(&mut board);
    let rows = board.apply(&effects);
    assert_eq!(rows[0].want, Want::Stop { reason: StopReason::Canceled });
    world.report(&mut board, attempt(task, 1), finished(End::Exited { code: 0 }));
    assert_eq!(world.maps.late.len(), 1, "its word comes too late and is kept");
    let stopped = End::Stopped { reason: StopReason::Canceled };
    world.report(&mut board, attempt(task, 1), finished(stopped));
    assert_eq!(world.maps.late.len(), 1, "what never ran leaves no history");
    world.beat(&mut board);
    assert!(world.maps.wanted.is_empty(), "the tombstone is gone once applied");
}

#[test]
fn a_deadline_ends_the_wait_and_the_run() {
    let spec = || TaskSpec { deadline_s: Some(60), ..noop() };
    let mut world = World::new();
    let (waiting, _) = world.submit(spec());
    world.pass(59_999);
    assert_eq!(world.state(waiting).status(), TaskStatus::Pending);
    world.pass(1);
    let passed = Verdict::Failed { reason: FailureReason::DeadlinePassed };
    assert_eq!(verdict(&world, waiting), &passed);

    let (mut world, mut board, task) = assigned(spec());
    world.report(&mut board, attempt(task, 1), ReportEvent::Accepted);
    for _ in 0..60 {
        let effects = world.pass(1_000);
        world.beat(&mut board);
        board.apply(&effects);
    }
    assert!(matches!(world.state(task), TaskState::Stopping { .. }));
    let stopped = End::Stopped { reason: StopReason::DeadlinePassed };
    world.report(&mut board, attempt(task, 1), finished(stopped));
    assert_eq!(verdict(&world, task), &passed);
}

#[test]
fn a_drain_moves_what_waits_and_lets_run_what_runs() {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    world.hello(&mut a);
    let (running, effects) = world.submit(noop());
    a.apply(&effects);
    world.report(&mut a, attempt(running, 1), ReportEvent::Accepted);
    world.report(&mut a, attempt(running, 1), ReportEvent::Started);
    let (waiting, effects) = world.submit(noop());
    a.apply(&effects);
    world.report(&mut a, attempt(waiting, 1), ReportEvent::Accepted);
    world.hello(&mut b);
    let effects = world.operate(&a, Operation::Drain);
    let rows = a.apply(&effects);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].assignment, attempt(waiting, 1));
    let stopped = End::Stopped { reason: StopReason::Superseded };
    let message = a.queue(attempt(waiting, 1), shared::time::Timestamp(0), finished(stopped));
    let effects = world.say(&a, message);
    assert_eq!(b.apply(&effects).len(), 1, "it goes elsewhere at once");
    assert_eq!(world.task(waiting).life.failures, 0);
    assert_eq!(world.state(running).status(), TaskStatus::Running);
    let effects = world.operate(&a, Operation::Uncordon);
    assert!(matches!(answer(&effects), Answer::Agent(agent) if agent.flags.is_empty()));
}

#[test]
fn what_waits_for_capacity_is_placed_when_it_comes_free() {
    let (mut world, mut board, first) = assigned(needing(3_000));
    let (second, effects) = world.submit(needing(3_000));
    assert_eq!(sent_to(&effects, &board.id).count(), 0);
    assert_eq!(world.state(second).status(), TaskStatus::Pending);
    let done = board.queue(
        attempt(first, 1),
        shared::time::Timestamp(0),
        finished(End::Exited { code: 0 }),
    );
    let effects = world.say(&board, done);
    assert_eq!(board.apply(&effects)[0].assignment, attempt(second, 1));
}

fn needing(cpu_millis: u64) -> TaskSpec {
    let needs = shared::capacity::Resources { cpu_millis, ..Default::default() };
    TaskSpec { needs, ..noop() }
}

#[test]
fn desired_state_too_big_for_one_message_is_split_and_follows_on() {
    let mut world = World::new();
    let mut board = Board::new("a");
    board.facts.tasks_max = 1_000;
    let exec = |n: usize| {
        let args = vec!["x".repeat(30_000), n.to_string()];
        let exec = shared::spec::Exec { command: "/bin/true".into(), args, ..Default::default() };
        TaskSpec::new(shared::spec::Run::Exec(exec))
    };
    for n in 0..20 {
        world.submit(exec(n));
    }
    let mut effects = world.hello(&mut board);
    effects.extend(world.pass(0));
    let messages: Vec<_> = sent_to(&effects, &board.id).cloned().collect();
    assert!(messages.len() > 1);
    for pair in messages.windows(2) {
        assert_eq!(pair[0].upto, pair[1].base);
    }
    for message in &messages {
        shared::wire::encode(&shared::wire::Downlink::Desired(message.clone())).expect("it fits");
    }
    assert_eq!(board.apply(&effects).len(), 20);
    // A message lost on the way is noticed and everything after it sent again.
    board.applied = messages[0].upto;
    world.beat(&mut board);
    let effects = world.pass(world.settings.resend_ms);
    assert_eq!(board.apply(&effects).len(), 20 - messages[0].rows.len());
}

#[test]
fn a_lost_message_is_sent_again_however_much_follows_it() {
    let mut world = World::new();
    let mut board = Board::new("a");
    board.facts.tasks_max = 1_000;
    let effects = world.hello(&mut board);
    board.apply(&effects);
    // Lost on the way. What comes after it cannot be applied without it.
    world.submit(noop());
    let mut applied = 0;
    assert!(world.settings.resend_ms > 1_000, "something follows before it is sent again");
    for _ in 0..30 {
        let (_, mut effects) = world.submit(noop());
        effects.extend(world.pass(1_000));
        effects.extend(world.beat(&mut board));
        applied += board.apply(&effects).len();
    }
    assert!(applied > 20, "{applied} of 31 rows");
}

#[test]
fn an_offer_that_is_never_answered_is_given_up() {
    let (mut world, mut board, task) = assigned(noop());
    let mut effects = Vec::new();
    for _ in 0..61 {
        effects.extend(world.pass(1_000));
        world.beat(&mut board);
    }
    let first = &world.maps.assignments[&attempt(task, 1)];
    assert_eq!(first.state.status(), AssignmentStatus::Lost);
    let rows = board.apply(&effects);
    assert!(rows.iter().any(|row| row.assignment == attempt(task, 2)), "a second attempt");
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Answer { .. })));
}

#[test]
fn what_is_repeated_takes_effect_once() {
    let (mut world, mut board, task) = assigned(noop());
    let stale = attempt(task, 9);
    let message = board.queue(stale, shared::time::Timestamp(0), ReportEvent::Started);
    for _ in 0..3 {
        world.say(&board, message.clone());
    }
    assert_eq!(world.maps.late.len(), 1);
}

#[test]
fn an_agent_that_refused_is_asked_again_after_a_while() {
    let mut world = World::with(Settings { heartbeat_ms: 3_600_000, ..settings() });
    let mut board = Board::new("a");
    world.hello(&mut board);
    let (task, effects) = world.submit(noop());
    board.apply(&effects);
    let refused = ReportEvent::Refused { reason: RefusalReason::Busy, detail: "full".into() };
    world.report(&mut board, attempt(task, 1), refused);
    let effects = world.pass(20_000);
    assert_eq!(board.apply(&effects).len(), 0);
    let effects = world.pass(20_000);
    assert_eq!(board.apply(&effects)[0].assignment, attempt(task, 2));
}

#[test]
fn desired_state_holds_one_row_per_assignment() {
    let mut world = World::new();
    let mut board = Board::new("a");
    world.hello(&mut board);
    // The offer is lost on the way, and the task canceled before it is sent again.
    let (task, _) = world.submit(noop());
    world.cancel(task);
    let effects = world.hello(&mut board);
    let rows = board.apply(&effects);
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].want, Want::Stop { reason: StopReason::Canceled });
}

#[test]
fn tasks_that_avoid_the_same_agent_do_not_wake_each_other_for_ever() {
    let mut world = World::with(Settings { heartbeat_ms: 3_600_000, ..settings() });
    let mut board = Board::new("a");
    world.hello(&mut board);
    let tasks = [world.submit(noop()).0, world.submit(noop()).0];
    for task in tasks {
        let refused = ReportEvent::Refused { reason: RefusalReason::Busy, detail: "full".into() };
        world.report(&mut board, attempt(task, 1), refused);
    }
    world.mono += 5_000;
    for _ in 0..10 {
        world.step(cloud_core_logic::Input::Tick);
    }
    let next = world.cloud.next_wakeup().expect("they wait for the end of their caution");
    assert!(next > shared::time::Monotonic(world.mono), "the core would spin");
}

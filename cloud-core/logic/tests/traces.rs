//! To which trace a task belongs, and what its agents are told of it.

mod common;

use cloud_core_logic::effect::Notice;
use cloud_core_logic::{Input, Settings};
use common::{Board, World, attempt, finished, noop, settings};
use shared::report::{End, ReportEvent};
use shared::spec::{Retry, TaskSpec};
use shared::trace::{Span, SpanId, Trace, TraceId};
use shared::wire::Uplink;
use shared::wire::downlink::{DesiredRow, Want};

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What an agent is told of the trace.
fn told(rows: &[DesiredRow]) -> (String, Option<String>) {
    let [DesiredRow { want: Want::Run(order), .. }] = rows else {
        panic!("one order, not {rows:?}");
    };
    let trace = order.trace.clone().expect("a trace");
    (trace.traceparent, trace.tracestate)
}

fn came_with() -> Box<Trace> {
    Box::new(Trace::read([PARENT.as_bytes()], [&b"rojo=1"[..]]).expect("a trace"))
}

#[test]
fn every_attempt_is_a_span_of_its_own_in_the_trace_of_the_task() {
    // Heartbeats play no part here.
    let mut world = World::with(Settings { heartbeat_ms: 3_600_000, ..settings() });
    let mut board = Board::new("a");
    world.hello(&mut board);
    world.came_with = Some(came_with());
    let retry = Retry { attempts_max: 2, delay_s: 1, delay_s_max: 1 };
    let (task, mut effects) = world.submit(TaskSpec { retry, ..noop() });
    for number in [1, 2] {
        let span = SpanId::of(task, Span::Attempt(shared::id::Attempt(number)));
        let expected = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{span}-01");
        assert_eq!(told(&board.apply(&effects)), (expected, Some("rojo=1".to_owned())));
        // A core that starts again tells the same.
        world.restart();
        world.hello(&mut board);
        assert_eq!(world.task(task).trace(), *came_with());
        world.report(&mut board, attempt(task, number), ReportEvent::Accepted);
        world.report(&mut board, attempt(task, number), finished(End::Exited { code: 3 }));
        effects = world.pass(1_000);
    }
}

#[test]
fn a_task_without_a_trace_has_its_own() {
    let mut world = World::new();
    let mut board = Board::new("a");
    world.hello(&mut board);
    let (task, effects) = world.submit(noop());
    let span = SpanId::of(task, Span::Attempt(shared::id::Attempt(1)));
    let expected = format!("00-{}-{span}-01", TraceId::of_task(task));
    assert_eq!(told(&board.apply(&effects)), (expected, None));
    assert!(world.task(task).trace.is_none(), "nothing to be kept");
}

#[test]
fn one_in_so_many_is_sampled_of_those_that_came_without_a_trace() {
    let mut world = World::with(Settings { trace_one_in: 4, ..settings() });
    let sampled = |world: &mut World| {
        let tasks: Vec<_> = (0..40).map(|_| world.submit(noop()).0).collect();
        tasks.iter().filter(|task| world.task(**task).trace().sampled).count()
    };
    assert_eq!(sampled(&mut world), 10);
    world.came_with = Some(came_with());
    assert_eq!(sampled(&mut world), 40);
}

#[test]
fn who_watches_is_told_of_each_task_that_is_settled_whether_it_is_sampled() {
    let mut world = World::with(Settings { trace_one_in: 0, ..settings() });
    let mut board = Board::new("a");
    world.hello(&mut board);
    for came_with in [None, Some(came_with())] {
        world.came_with = came_with;
        let (task, effects) = world.submit(noop());
        board.apply(&effects);
        world.report(&mut board, attempt(task, 1), ReportEvent::Accepted);
        let at = shared::time::Timestamp(0);
        let message = board.queue(attempt(task, 1), at, finished(End::Exited { code: 0 }));
        assert!(matches!(message, Uplink::Reports(_)));
        let row = world.task(task).clone();
        let now = world.now();
        let input = Input::Uplink { agent: board.id.clone(), message };
        let outcome = world.cloud.step(input, now);
        let sampled = world.came_with.is_some();
        let expected = Notice::Settled { task, trace: row.trace_id(), sampled };
        assert_eq!(outcome.notices.last(), Some(&expected));
        world.commit(outcome);
    }
}

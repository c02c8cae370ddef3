//! What the agent makes of what it finds when it comes back.

use edge_agent_logic::Input;
use edge_agent_logic::attempt::State;
use edge_agent_logic::input::{Exit, Found, ProcessEnd};
use shared::id::Boot;
use shared::report::{End, ReportEvent, StopReason};
use shared::time::Timestamp;
use shared::wire::downlink::Order;

use super::bench::{Bench, acts, events, exec, exited, id};

/// An agent that went down with one attempt in this state.
fn down_with(prepare: fn(&mut Bench)) -> Bench {
    let mut bench = Bench::met();
    bench.run(id(1, 1), Order { timeout_ms: Some(10_000), ..exec() });
    prepare(&mut bench);
    bench.mono_ms = 4_000;
    bench.restart();
    assert_eq!(bench.agent.unresolved(), [id(1, 1)]);
    bench
}

fn found(bench: &mut Bench, found: Found) -> edge_agent_logic::Outcome {
    bench.step(Input::Found { assignment: id(1, 1), found })
}

fn starting(_: &mut Bench) {}

fn running(bench: &mut Bench) {
    bench.started(id(1, 1));
}

fn stopping(bench: &mut Bench) {
    bench.started(id(1, 1));
    bench.stop(id(1, 1), StopReason::Canceled);
}

fn end(outcome: &edge_agent_logic::Outcome) -> Option<&End> {
    events(outcome).into_iter().find_map(|event| match event {
        ReportEvent::Finished(finish) => Some(&finish.end),
        _ => None,
    })
}

const RUNS: Found = Found::Running { started_at: Timestamp(1_000_500), ran_ms: 4_000 };

#[test]
fn what_ended_in_time_is_told_so_by_an_agent_that_was_held_up() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), Order { timeout_ms: Some(10_000), ..exec() });
    bench.started(id(1, 1));
    // A stuck commit: what happened meanwhile is heard only after the timeout.
    bench.tick_at(20_000);
    let outcome = bench.ended(id(1, 1), ProcessEnd { ran_ms: Some(9_000), ..exited(0) });
    assert_eq!(end(&outcome), Some(&End::Exited { code: 0 }));
}

#[test]
fn a_lease_that_ended_a_run_before_its_timeout_is_told_as_that() {
    let mut bench = Bench::met();
    bench.run(id(1, 1), Order { timeout_ms: Some(10_000), ..exec() });
    bench.started(id(1, 1));
    bench.tick_at(20_000);
    let over = ProcessEnd { exit: Exit::LeaseOver, ran_ms: Some(9_000), ..exited(0) };
    let outcome = bench.ended(id(1, 1), over);
    assert_eq!(end(&outcome), Some(&End::Stopped { reason: StopReason::Disconnected }));
}

#[test]
fn what_runs_is_adopted_with_the_time_it_has_left() {
    let mut bench = down_with(running);
    assert!(acts(&found(&mut bench, RUNS)).is_empty());
    assert!(acts(&bench.tick_at(9_999)).is_empty());
    assert_eq!(acts(&bench.tick_at(10_000)), ["terminate 1"]);
    assert_eq!(end(&bench.ended(id(1, 1), exited(0))), Some(&End::TimedOut));
}

#[test]
fn a_start_that_nobody_saw_is_told_when_it_is_found() {
    let mut bench = down_with(starting);
    assert_eq!(events(&found(&mut bench, RUNS)), [&ReportEvent::Started]);
    let state = State::Running { boot: Boot(2), started_at: Timestamp(1_000_500) };
    assert_eq!(bench.agent.live().next(), Some((id(1, 1), state)));
}

#[test]
fn what_ended_meanwhile_is_told_as_it_ended() {
    for prepare in [starting, running] {
        let mut bench = down_with(prepare);
        let outcome = found(&mut bench, Found::Ended(Box::new(exited(4))));
        assert_eq!(end(&outcome), Some(&End::Exited { code: 4 }));
    }
    let mut bench = down_with(stopping);
    let outcome = found(&mut bench, Found::Ended(Box::new(exited(4))));
    assert_eq!(end(&outcome), Some(&End::Stopped { reason: StopReason::Canceled }));
}

#[test]
fn what_never_started_starts_now_and_what_did_never_starts_again() {
    let mut bench = down_with(starting);
    assert_eq!(acts(&found(&mut bench, Found::NeverStarted)), ["spawn 1"]);
    let mut bench = down_with(running);
    let outcome = found(&mut bench, Found::NeverStarted);
    assert!(acts(&outcome).is_empty() && matches!(end(&outcome), Some(End::Vanished { .. })));
}

#[test]
fn what_nobody_knows_is_said_to_be_unknown() {
    for prepare in [starting, running] {
        let mut bench = down_with(prepare);
        assert!(matches!(end(&found(&mut bench, Found::Gone)), Some(End::Vanished { .. })));
    }
    let mut bench = down_with(stopping);
    let stopped = End::Stopped { reason: StopReason::Canceled };
    assert_eq!(end(&found(&mut bench, Found::Gone)), Some(&stopped));
}

#[test]
fn a_stop_that_was_under_way_is_carried_through() {
    let mut bench = down_with(stopping);
    assert_eq!(acts(&found(&mut bench, RUNS)), ["terminate 1"]);
    assert_eq!(acts(&bench.tick_at(5_000)), ["kill 1"]);
}

#[test]
fn nothing_starts_while_something_is_unknown() {
    let mut bench = Bench::met();
    for task in 1..=2 {
        bench.run(id(task, 1), exec());
    }
    bench.restart();
    let first = Input::Found { assignment: id(1, 1), found: Found::NeverStarted };
    assert!(acts(&bench.step(first)).is_empty());
    let second = Input::Found { assignment: id(2, 1), found: Found::NeverStarted };
    assert_eq!(acts(&bench.step(second)), ["spawn 1", "spawn 1"]);
}

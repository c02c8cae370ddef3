//! An agent that an operator revokes is lost for good: what it says counts no more, what it held
//! goes elsewhere, and it may join again only when it is readmitted.

mod common;

use cloud_core_logic::change::{Change, Credential};
use cloud_core_logic::effect::Effect;
use cloud_core_logic::input::Operation;
use cloud_core_logic::{Answer, Input};
use common::{Board, World, answer, attempt, finished, noop};
use shared::api::{AgentFlag, AgentStatus};
use shared::report::{End, ReportEvent};
use shared::spec::{Disconnect, TaskSpec};
use shared::task::{FailureReason, TaskState, TaskStatus};
use shared::wire::Downlink;
use shared::wire::downlink::RefusedBecause;
use shared::wire::uplink::Join;

/// Board `a` runs the task; board `b` came after that.
fn running_on_a(spec: TaskSpec) -> (World, Board, Board, shared::id::TaskId) {
    let mut world = World::new();
    let (mut a, mut b) = (Board::new("a"), Board::new("b"));
    world.hello(&mut a);
    let (task, effects) = world.submit(spec);
    a.apply(&effects);
    world.report(&mut a, attempt(task, 1), ReportEvent::Accepted);
    world.report(&mut a, attempt(task, 1), ReportEvent::Started);
    world.hello(&mut b);
    (world, a, b, task)
}

fn joins(world: &mut World, board: &Board) -> Downlink {
    let join = Join { nonce: "00".to_owned(), incarnation: board.incarnation };
    let credential = Credential { password_hash: "h".to_owned(), seal_key: "k".to_owned() };
    let effects = world.step(Input::Join { agent: board.id.clone(), join, credential });
    match effects.into_iter().next() {
        Some(Effect::AnswerJoin { message, .. }) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_revoked_agent_held_goes_elsewhere_at_once() {
    let (mut world, mut a, mut b, task) = running_on_a(noop());
    let effects = world.operate(&a, Operation::Revoke);
    let Answer::Agent(agent) = answer(&effects) else { panic!("{effects:?}") };
    assert_eq!((agent.status, &*agent.flags), (AgentStatus::Offline, &[AgentFlag::Revoked][..]));
    assert_eq!(b.apply(&effects)[0].assignment, attempt(task, 2));
    assert_eq!(world.task(task).life.losses, 1);

    // Whatever it still says is not heard, not even an outcome.
    world.report(&mut a, attempt(task, 1), finished(End::Exited { code: 0 }));
    world.hello(&mut a);
    world.beat(&mut a);
    assert_eq!(world.state(task).attempt(), Some(attempt(task, 2).attempt));
    let agent = world.cloud.fleet().get(&a.id).expect("known");
    assert_eq!(agent.status, AgentStatus::Offline);
    assert_eq!(agent.assignments, 0);

    let effects = world.operate(&a, Operation::Revoke);
    assert!(matches!(answer(&effects), Answer::Agent(_)), "once more changes nothing");
}

#[test]
fn its_credential_goes_with_the_same_transaction() {
    let (mut world, a, _, _) = running_on_a(noop());
    let reply = world.reply();
    let input = Input::Operate { agent: a.id.clone(), operation: Operation::Revoke, reply };
    let now = world.now();
    let outcome = world.cloud.step(input, now);
    assert!(outcome.changes.contains(&Change::CredentialRemoved { agent: a.id.clone() }));
    world.commit(outcome);
    world.restart();
    assert!(matches!(joins(&mut world, &a), Downlink::JoinRefused(_)), "remembered");
}

#[test]
fn a_task_that_must_not_be_replaced_fails_as_lost() {
    let disconnect = Disconnect { replace: false, ..Disconnect::default() };
    let (mut world, a, _, task) = running_on_a(TaskSpec { disconnect, ..noop() });
    world.operate(&a, Operation::Revoke);
    let TaskState::Settled { outcome } = world.state(task) else { panic!("not settled") };
    assert_eq!(outcome.verdict.status(), TaskStatus::Failed);
    assert_eq!(outcome.verdict.reason(), Some(FailureReason::Lost));
}

#[test]
fn an_exclusive_task_waits_until_its_lease_is_over() {
    let (mut world, a, mut b, task) = running_on_a(TaskSpec { exclusive: true, ..noop() });
    let effects = world.operate(&a, Operation::Revoke);
    assert!(b.apply(&effects).is_empty(), "its copy may run under its lease");
    let mut given = Vec::new();
    for _ in 0..200 {
        let effects = world.pass(1_000);
        given.extend(b.apply(&effects));
        world.beat(&mut b);
    }
    assert_eq!(given.iter().map(|row| row.assignment).collect::<Vec<_>>(), [attempt(task, 2)]);
}

#[test]
fn it_joins_again_only_when_it_is_readmitted_and_stops_what_it_held() {
    let (mut world, mut a, mut b, task) = running_on_a(noop());
    let effects = world.operate(&a, Operation::Revoke);
    b.apply(&effects);
    let Downlink::JoinRefused(refusal) = joins(&mut world, &a) else { panic!("let in") };
    assert_eq!(refusal.reason, RefusedBecause::Revoked);
    assert!(refusal.detail.contains("/v1/agents/a/readmit"), "{}", refusal.detail);
    world.operate(&a, Operation::Uncordon);
    assert!(matches!(joins(&mut world, &a), Downlink::JoinRefused(_)), "no cordon");
    let effects = world.operate(&a, Operation::Readmit);
    assert!(matches!(answer(&effects), Answer::Agent(agent) if agent.flags.is_empty()));
    assert_eq!(joins(&mut world, &a), Downlink::Joined);
    let effects = world.hello(&mut a);
    let rows = a.apply(&effects);
    assert_eq!(rows.len(), 1, "a tombstone waited for it");
    assert_eq!(rows[0].assignment, attempt(task, 1));
    assert_eq!(world.cloud.fleet().get(&a.id).expect("known").status, AgentStatus::Online);
}

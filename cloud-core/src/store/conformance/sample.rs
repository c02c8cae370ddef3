//! Rows to test stores with.

use cloud_core_logic::change::{
    AgentRow, AssignmentRow, Change, Credential, Flags, Forgotten, IdempotencyKey, Placed,
    Progressed, TaskLife, TaskRow, Wanted, WantedRow,
};
use shared::api::{HistoryDocument, Terms, Together};
use shared::assignment::AssignmentState;
use shared::id::{
    AgentId, AssignmentId, Attempt, Boot, CoreId, Incarnation, Revision, Sequence, Session, TaskId,
};
use shared::mailbox::Inbox;
use shared::report::{End, Finish, Output, ProgressMark, ReportEvent, StopReason};
use shared::spec::{Run, TaskSpec};
use shared::task::{FailureReason, Outcome, TaskState, Verdict};
use shared::time::Timestamp;
use shared::trace::{Span, SpanId, Trace, TraceState};
use shared::wire::uplink::Facts;
use uuid::Uuid;

/// The core that the stores under test are of.
pub const CORE: CoreId = CoreId(Uuid::from_u128(0xC0DE));

/// A task's id; a higher number is newer.
pub fn task_id(number: u128) -> TaskId {
    TaskId(Uuid::from_u128(number << 80 | 0x7000_8000_0000_0000_0000))
}

/// An agent's id.
pub fn agent_id(name: &str) -> AgentId {
    name.parse().expect("an agent id")
}

/// An assignment's id.
pub fn assignment_id(task: u128, attempt: u32) -> AssignmentId {
    AssignmentId { task: task_id(task), attempt: Attempt(attempt) }
}

/// A key with the hash of a body.
pub fn key(key: &str) -> Option<IdempotencyKey> {
    Some(IdempotencyKey { key: key.to_owned(), body_hash: format!("hash of {key}") })
}

fn life(state: TaskState, attempt: u32, agent: Option<&str>) -> TaskLife {
    TaskLife {
        state,
        updated_at: Timestamp(2_000 + i64::from(attempt)),
        attempt: Attempt(attempt),
        agent: agent.map(agent_id),
        failures: attempt,
        losses: 1,
        refusals: 2,
        forgotten: attempt.is_multiple_of(2).then_some(Forgotten {
            above: Attempt(attempt),
            upto: Attempt(attempt + 7),
            found: std::iter::once(Attempt(attempt + 1)).collect(),
        }),
    }
}

/// The life of a task that waits.
pub fn queued() -> TaskLife {
    life(TaskState::Queued, 0, None)
}

/// The life of a task that has a place.
pub fn assigned(attempt: u32, agent: &str) -> TaskLife {
    life(TaskState::Assigned { attempt: Attempt(attempt) }, attempt, Some(agent))
}

/// What an attempt that exited left behind.
pub fn finish(code: i32) -> Finish {
    Finish {
        end: End::Exited { code },
        started_at: Some(Timestamp(1_500)),
        ran_ms: Some(17),
        output: Output { stdout_tail: "out\0\n".to_owned(), ..Output::default() },
    }
}

/// The life of a task that is settled: succeeded with code 0, else failed.
pub fn settled(attempt: u32, agent: &str, code: i32) -> TaskLife {
    let failed = Verdict::Failed { reason: FailureReason::ExitCode };
    let outcome = Outcome {
        verdict: if code == 0 { Verdict::Succeeded } else { failed },
        at: Timestamp(3_000),
        attempt: Some(Attempt(attempt)),
        finish: Some(Box::new(finish(code))),
        detail: "exited".to_owned(),
    };
    life(TaskState::Settled { outcome: Box::new(outcome) }, attempt, Some(agent))
}

/// A trace that a task came with.
fn trace(number: u128) -> Trace {
    Trace {
        parent: number.is_multiple_of(4).then(|| SpanId::of(task_id(number), Span::Task)),
        sampled: false,
        state: TraceState::from("rojo=1,congo=t 2".to_owned()),
        ..Trace::of_task(task_id(number))
    }
}

/// A task that waits.
pub fn task_row(number: u128) -> TaskRow {
    TaskRow {
        id: task_id(number),
        spec: TaskSpec::new(Run::Noop {}).into(),
        key: None,
        submitted_at: Timestamp(1_000),
        deadline_at: None,
        trace: number.is_multiple_of(2).then(|| Box::new(trace(number))),
        origin: None,
        life: queued(),
    }
}

/// An assignment that was offered.
pub fn assignment_row(task: u128, attempt: u32, agent: &str) -> AssignmentRow {
    AssignmentRow {
        id: assignment_id(task, attempt),
        agent: agent_id(agent),
        placed: Placed {
            score: 0.1 + 0.2,
            terms: Terms { load: 1.0 / 3.0, capacity: 0.5, distance: None, latency: 1e-300 },
            distance_m: Some(11_120.4),
            latency_ms: None,
            policy: u64::MAX,
            profile: (attempt > 1).then(|| "near".to_owned()),
            gap: (attempt > 2).then_some(0.125),
            together: Some(Box::new(Together { others: 9_999, own_best: agent_id("own-best") })),
        },
        offered_at: Timestamp(1_100),
        accepted_at: Some(Timestamp(1_200)),
        started_at: None,
        state: AssignmentState::offered(),
        progress: Some(Progressed {
            at: Timestamp(1_300),
            mark: ProgressMark { thousandths: Some(7), text: "ü".to_owned() },
        }),
        retries: 3,
    }
}

/// An agent.
pub fn agent_row(name: &str) -> AgentRow {
    AgentRow {
        id: agent_id(name),
        joined_at: Timestamp(10),
        facts: Facts { version: "1".to_owned(), tasks_max: 4, ..Facts::default() },
        flags: Flags { draining: true, ..Flags::default() },
        boot: Boot(3),
        session: Session(u32::MAX),
        withheld: true,
        former: vec![Incarnation(Uuid::from_u128(4))],
        link: 4,
        inbox: Inbox { incarnation: Incarnation(Uuid::from_u128(5)), acked: Sequence(6) },
        desired_rev: Revision(7),
        last_seen: Some(Timestamp(20)),
    }
}

/// A credential.
pub fn credential(number: u8) -> Credential {
    Credential { password_hash: format!("{number:064x}"), seal_key: format!("{number:063x}f") }
}

/// A row of desired state.
pub fn wanted(task: u128, attempt: u32, rev: u64) -> WantedRow {
    let stop = Wanted::Stop { reason: StopReason::Canceled };
    WantedRow {
        rev: Revision(rev),
        assignment: assignment_id(task, attempt),
        wanted: if rev.is_multiple_of(2) { stop } else { Wanted::Run },
    }
}

/// A late report.
pub fn history(agent: &str, attempt: u32, code: i32) -> HistoryDocument {
    HistoryDocument {
        agent: agent_id(agent),
        attempt: Attempt(attempt),
        received_at: Timestamp(4_000),
        event: ReportEvent::Finished(Box::new(finish(code))),
    }
}

/// The change that adds a task.
pub fn added(row: &TaskRow) -> Change {
    Change::TaskAdded(Box::new(row.clone()))
}

/// The change that moves a task on.
pub fn moved(task: u128, life: TaskLife) -> Change {
    Change::TaskMoved { task: task_id(task), life: Box::new(life) }
}

/// The change that writes an assignment.
pub fn assignment_put(row: &AssignmentRow) -> Change {
    Change::AssignmentPut(Box::new(row.clone()))
}

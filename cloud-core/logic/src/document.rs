//! Rows as the API shows them. One place, so that a task just submitted and one read back from a
//! store look alike.

use shared::api::{
    AssignmentDocument, HistoryDocument, OutcomeDocument, ProgressDocument, TaskDocument,
    TaskOrigin, TaskSummary, TraceDocument,
};
use shared::assignment::{AssignmentState, Ending};
use shared::id::TaskId;
use shared::report::End;
use shared::spec::TaskSpec;
use shared::task::{Outcome, TaskState};
use shared::time::Timestamp;
use shared::trace::{Span, SpanId, Trace};

use crate::change::{AssignmentRow, Progressed, TaskLife, TaskRow};

/// A task in a list.
#[must_use]
pub fn summary(row: &TaskRow) -> TaskSummary {
    summary_of(row.id, &row.spec, &row.life, row.submitted_at)
}

fn summary_of(
    id: TaskId,
    spec: &TaskSpec,
    life: &TaskLife,
    submitted_at: Timestamp,
) -> TaskSummary {
    let reason = match &life.state {
        TaskState::Settled { outcome } => outcome.verdict.reason(),
        _ => None,
    };
    TaskSummary {
        id,
        name: spec.name.clone(),
        labels: spec.labels.clone(),
        status: life.state.status(),
        reason,
        priority: spec.priority,
        agent: life.agent.clone(),
        attempt: life.attempt,
        submitted_at,
        updated_at: life.updated_at,
    }
}

/// A task that was taken on just now, in a list.
#[must_use]
pub fn submitted_summary(id: TaskId, spec: &TaskSpec, at: Timestamp) -> TaskSummary {
    summary_of(id, spec, &TaskLife::new(at), at)
}

/// A task in full. `assignments` are all its attempts, first to last.
#[must_use]
pub fn task(
    row: &TaskRow,
    assignments: &[AssignmentRow],
    late_reports: Vec<HistoryDocument>,
) -> TaskDocument {
    let (not_before, outcome) = match &row.life.state {
        TaskState::BackingOff { until } => (Some(*until), None),
        TaskState::Settled { outcome } => (None, Some(self::outcome(outcome, assignments))),
        _ => (None, None),
    };
    TaskDocument {
        summary: summary(row),
        spec: row.spec.clone(),
        not_before,
        deadline_at: row.deadline_at,
        trace: Some(trace(row)),
        schedule: row.origin.as_deref().map(|origin| TaskOrigin {
            name: origin.name.clone(),
            at: origin.at,
            version: origin.version,
        }),
        assignments: assignments.iter().map(assignment).collect(),
        outcome,
        late_reports,
    }
}

fn trace(row: &TaskRow) -> TraceDocument {
    let Trace { id, parent, sampled, state } = row.trace();
    TraceDocument {
        trace_id: id,
        span_id: SpanId::of(row.id, Span::Task),
        parent_span_id: parent,
        sampled,
        tracestate: state.header().map(str::to_owned),
    }
}

/// One attempt.
#[must_use]
pub fn assignment(row: &AssignmentRow) -> AssignmentDocument {
    let (ended_at, detail) = match &row.state {
        AssignmentState::Ended { at, ending } => (Some(*at), Some(describe_ending(ending))),
        _ => (None, None),
    };
    AssignmentDocument {
        agent: row.agent.clone(),
        attempt: row.id.attempt,
        status: row.state.status(),
        score: row.placed.score,
        terms: row.placed.terms,
        distance_m: row.placed.distance_m,
        latency_ms: row.placed.latency_ms,
        policy: row.placed.policy,
        profile: row.placed.profile.clone(),
        gap: row.placed.gap,
        together: row.placed.together.as_deref().cloned(),
        offered_at: row.offered_at,
        accepted_at: row.accepted_at,
        started_at: row.started_at,
        ended_at,
        detail,
        progress: row.progress.as_ref().map(progress),
        retries: row.retries,
    }
}

fn progress(progressed: &Progressed) -> ProgressDocument {
    let Progressed { at, mark } = progressed;
    let fraction = mark.thousandths.map(|thousandths| f64::from(thousandths) / 1_000.0);
    ProgressDocument { fraction, text: mark.text.clone(), at: *at }
}

fn outcome(outcome: &Outcome, assignments: &[AssignmentRow]) -> OutcomeDocument {
    let agent = outcome.attempt.and_then(|attempt| {
        assignments.iter().find(|row| row.id.attempt == attempt).map(|row| row.agent.clone())
    });
    let finish = outcome.finish.as_deref();
    let output = finish.map(|finish| finish.output.clone()).unwrap_or_default();
    let (exit_code, signal) = match finish.map(|finish| &finish.end) {
        Some(End::Exited { code }) => (Some(*code), None),
        Some(End::Signaled { signal }) => (None, Some(*signal)),
        _ => (None, None),
    };
    OutcomeDocument {
        status: outcome.verdict.status(),
        reason: outcome.verdict.reason(),
        detail: outcome.detail.clone(),
        settled_at: outcome.at,
        attempt: outcome.attempt,
        agent,
        exit_code,
        signal,
        ran_ms: finish.and_then(|finish| finish.ran_ms),
        stdout_tail: output.stdout_tail,
        stderr_tail: output.stderr_tail,
    }
}

/// How an attempt ended, in words.
#[must_use]
pub fn describe_ending(ending: &Ending) -> String {
    match ending {
        Ending::Finished(finish) => describe_end(&finish.end),
        Ending::Refused { reason, detail } => {
            format!("the agent refused it ({}): {detail}", reason.name())
        }
        Ending::Lost { detail } => format!("lost: {detail}"),
        Ending::Withdrawn => "taken back while its agent could not be heard".to_owned(),
        Ending::Superseded { by } => format!("attempt {by} was kept instead"),
    }
}

/// How a run ended, in words.
#[must_use]
pub fn describe_end(end: &End) -> String {
    match end {
        End::Exited { code } => format!("exited with code {code}"),
        End::Signaled { signal } => format!("ended by signal {signal}"),
        End::TimedOut => "ran longer than its timeout and was stopped".to_owned(),
        End::Stopped { reason } => format!("stopped: {reason:?}").to_lowercase(),
        End::SpawnFailed { message } => format!("could not be started: {message}"),
        End::OutOfMemory => "killed by the system for want of memory".to_owned(),
        End::Vanished { message } => format!("vanished: {message}"),
    }
}

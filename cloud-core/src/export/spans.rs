//! The spans of a settled task, from what the store knows of it: the same whoever asks, and complete
//! even when the core was restarted in the middle. Attributes are those of OpenTelemetry's semantic
//! conventions where there is one, and else begin with `ambit.`.

use shared::api::{AssignmentDocument, OutcomeDocument, TaskDocument, TraceDocument};
use shared::assignment::AssignmentStatus;
use shared::id::{Attempt, TaskId};
use shared::spec::Run;
use shared::task::TaskStatus;
use shared::time::Timestamp;
use shared::trace::{Span as Which, SpanId};

/// The most attempts of one task that are told of.
const ATTEMPTS_MAX: usize = 100;
/// The longest sentence, in characters: it may hold what a program or an agent wrote.
const DETAIL_CHARS_MAX: usize = 1_000;

/// A span.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Span {
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    /// Whether the parent is in another program.
    pub(super) is_called: bool,
    pub(super) name: &'static str,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) attributes: Vec<(String, Value)>,
    pub(super) status: Status,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Whole(i64),
    Real(f64),
}

/// How what a span tells of came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Status {
    /// Neither well nor badly: it was called off, or is only a part of something.
    Unset,
    Succeeded,
    Failed(String),
}

/// The spans of a task, its own first; none while it is not settled or its trace is not sampled.
pub(super) fn of(task: &TaskDocument) -> Vec<Span> {
    let (Some(outcome), Some(trace)) = (&task.outcome, &task.trace) else {
        return Vec::new();
    };
    if !trace.sampled {
        return Vec::new();
    }
    let mut spans = vec![whole(task, outcome, trace)];
    // Since when nothing is under way; not known of an attempt that was given up and never told
    // its end.
    let mut idle_since = Some(task.summary.submitted_at);
    for assignment in task.assignments.iter().take(ATTEMPTS_MAX) {
        let context = Context { id: task.summary.id, parent: trace.span_id };
        if let Some(since) = idle_since.filter(|since| *since <= assignment.offered_at) {
            spans.push(context.wait(assignment.attempt, since, assignment.offered_at));
        }
        context.attempt(assignment, task, outcome, &mut spans);
        idle_since = assignment.ended_at;
    }
    let told_all = task.assignments.len() <= ATTEMPTS_MAX;
    if let Some(since) = idle_since.filter(|since| told_all && *since < outcome.settled_at) {
        let context = Context { id: task.summary.id, parent: trace.span_id };
        spans.push(context.wait(task.summary.attempt.next(), since, outcome.settled_at));
    }
    spans
}

fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

fn whole_number(value: impl TryInto<i64>) -> Value {
    Value::Whole(value.try_into().unwrap_or(i64::MAX))
}

fn failed(detail: &str) -> Status {
    Status::Failed(detail.chars().take(DETAIL_CHARS_MAX).collect())
}

/// The span of the whole task.
fn whole(task: &TaskDocument, outcome: &OutcomeDocument, trace: &TraceDocument) -> Span {
    let summary = &task.summary;
    let mut attributes = vec![
        ("ambit.task.id".to_owned(), text(summary.id.to_string())),
        ("ambit.task.status".to_owned(), text(outcome.status.name())),
        ("ambit.task.priority".to_owned(), whole_number(summary.priority)),
        ("ambit.task.attempts".to_owned(), whole_number(task.assignments.len())),
    ];
    let mut say = |name: &str, value: Option<Value>| {
        attributes.extend(value.map(|value| (name.to_owned(), value)));
    };
    say("ambit.task.name", summary.name.clone().map(Value::Text));
    say("ambit.agent.id", outcome.agent.as_ref().map(|agent| text(agent.as_str())));
    say("error.type", outcome.reason.map(|reason| text(reason.name())));
    for (key, value) in &summary.labels {
        say(&format!("ambit.task.label.{key}"), Some(text(value.as_str())));
    }
    let status = match outcome.status {
        TaskStatus::Succeeded => Status::Succeeded,
        TaskStatus::Failed => failed(&outcome.detail),
        _ => Status::Unset,
    };
    Span {
        id: trace.span_id,
        parent: trace.parent_span_id,
        is_called: trace.parent_span_id.is_some(),
        name: "task",
        start: summary.submitted_at,
        end: outcome.settled_at.max(summary.submitted_at),
        attributes,
        status,
    }
}

/// Below which span of which task.
#[derive(Clone, Copy)]
struct Context {
    id: TaskId,
    parent: SpanId,
}

impl Context {
    fn span(self, which: Which, name: &'static str, start: Timestamp, end: Timestamp) -> Span {
        Span {
            id: SpanId::of(self.id, which),
            parent: Some(self.parent),
            is_called: false,
            name,
            start,
            // Starts are told by agents and placed by the clock offset that was measured.
            end: end.max(start),
            attributes: Vec::new(),
            status: Status::Unset,
        }
    }

    fn wait(self, attempt: Attempt, start: Timestamp, end: Timestamp) -> Span {
        let attributes = vec![("ambit.attempt".to_owned(), whole_number(attempt.0))];
        Span { attributes, ..self.span(Which::Wait(attempt), "wait", start, end) }
    }

    /// An attempt, and in it its acceptance and its run.
    fn attempt(
        self,
        assignment: &AssignmentDocument,
        task: &TaskDocument,
        outcome: &OutcomeDocument,
        spans: &mut Vec<Span>,
    ) {
        let number = assignment.attempt;
        let end = assignment.ended_at.unwrap_or(outcome.settled_at);
        let decided = (outcome.attempt == Some(number)).then_some(outcome);
        let span = self.span(Which::Attempt(number), "attempt", assignment.offered_at, end);
        let inside = Self { parent: span.id, ..self };
        let status = status_of(assignment);
        let attributes = attributes_of(assignment, decided, &status);
        spans.push(Span { attributes, status, ..span });
        if let Some(accepted_at) = assignment.accepted_at {
            let which = Which::Accept(number);
            spans.push(inside.span(which, "accept", assignment.offered_at, accepted_at));
        }
        if let Some(started_at) = assignment.started_at {
            let mut attributes = Vec::new();
            if let Run::Exec(exec) = &task.spec.run {
                attributes.push(("process.command".to_owned(), text(exec.command.as_str())));
            }
            let code = decided.and_then(|outcome| outcome.exit_code);
            attributes.extend(
                code.map(|code| ("process.exit.code".to_owned(), Value::Whole(code.into()))),
            );
            let span = inside.span(Which::Run(number), "run", started_at, end);
            spans.push(Span { attributes, ..span });
        }
    }
}

fn status_of(assignment: &AssignmentDocument) -> Status {
    match assignment.status {
        AssignmentStatus::Succeeded => Status::Succeeded,
        AssignmentStatus::Failed => failed(assignment.detail.as_deref().unwrap_or("failed")),
        AssignmentStatus::Lost => failed(assignment.detail.as_deref().unwrap_or("lost")),
        _ => Status::Unset,
    }
}

fn attributes_of(
    assignment: &AssignmentDocument,
    decided: Option<&OutcomeDocument>,
    status: &Status,
) -> Vec<(String, Value)> {
    let mut attributes = vec![
        ("ambit.attempt".to_owned(), whole_number(assignment.attempt.0)),
        ("ambit.agent.id".to_owned(), text(assignment.agent.as_str())),
        ("ambit.placement.score".to_owned(), Value::Real(assignment.score)),
        ("ambit.placement.policy".to_owned(), whole_number(assignment.policy)),
    ];
    let mut say = |name: &str, value: Option<Value>| {
        attributes.extend(value.map(|value| (name.to_owned(), value)));
    };
    say("ambit.placement.profile", assignment.profile.as_deref().map(text));
    say("ambit.placement.distance_m", assignment.distance_m.map(Value::Real));
    say("ambit.placement.latency_ms", assignment.latency_ms.map(Value::Real));
    let retries = (assignment.retries > 0).then(|| whole_number(assignment.retries));
    say("ambit.attempt.retries", retries);
    if let Status::Failed(_) = status {
        let lost = assignment.status == AssignmentStatus::Lost;
        let reason = decided.and_then(|outcome| outcome.reason).map(|reason| reason.name());
        say("error.type", Some(text(reason.unwrap_or(if lost { "lost" } else { "failed" }))));
    }
    attributes
}

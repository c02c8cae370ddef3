//! Tasks as the API shows them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::placement::Terms;
use crate::assignment::AssignmentStatus;
use crate::id::{AgentId, Attempt, ScheduleName, TaskId};
use crate::label::Labels;
use crate::report::ReportEvent;
use crate::spec::TaskSpec;
use crate::task::{FailureReason, TaskStatus};
use crate::time::Timestamp;
use crate::trace::{SpanId, TraceId};

/// A task in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskSummary {
    /// Its id.
    pub id: TaskId,
    /// Its name.
    pub name: Option<String>,
    /// Its labels.
    pub labels: Labels,
    /// Where it stands.
    pub status: TaskStatus,
    /// Why it failed, if it did.
    pub reason: Option<FailureReason>,
    /// Its priority.
    pub priority: u8,
    /// The agent of its latest attempt.
    pub agent: Option<AgentId>,
    /// The number of its latest attempt; 0 before the first.
    pub attempt: Attempt,
    /// When it was submitted.
    pub submitted_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A task in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskDocument {
    /// What a list shows.
    #[serde(flatten)]
    pub summary: TaskSummary,
    /// What was submitted, defaults filled in.
    pub spec: Arc<TaskSpec>,
    /// Until when it waits before it is tried again.
    pub not_before: Option<Timestamp>,
    /// When its deadline is, if it has one.
    pub deadline_at: Option<Timestamp>,
    /// The trace it belongs to; null only from cores that know of none.
    #[serde(default)]
    pub trace: Option<TraceDocument>,
    /// The schedule that made it; null when somebody submitted it.
    #[serde(default)]
    pub schedule: Option<TaskOrigin>,
    /// Its attempts, first to last.
    pub assignments: Vec<AssignmentDocument>,
    /// How it came out; null until it is settled.
    pub outcome: Option<OutcomeDocument>,
    /// What stale attempts told after they were given up: kept, and without effect.
    pub late_reports: Vec<HistoryDocument>,
}

/// The firing that made a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskOrigin {
    /// The name of the schedule, as it was then.
    pub name: ScheduleName,
    /// The moment that came.
    pub at: Timestamp,
    /// The version of the schedule.
    pub version: u32,
}

/// A task's place in a trace, in the terms of the W3C Trace Context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TraceDocument {
    /// The trace.
    pub trace_id: TraceId,
    /// The task's own span, under which its attempts are.
    pub span_id: SpanId,
    /// The span of whoever submitted it; null when it came without a trace.
    pub parent_span_id: Option<SpanId>,
    /// Whether the trace is recorded.
    pub sampled: bool,
    /// What others in the trace left for one another, as it came in `tracestate`.
    pub tracestate: Option<String>,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AssignmentDocument {
    /// Where.
    pub agent: AgentId,
    /// Its number, from 1.
    pub attempt: Attempt,
    /// Where it stands.
    pub status: AssignmentStatus,
    /// The score it was chosen with.
    pub score: f64,
    /// What the score is made of.
    pub terms: Terms,
    /// How far the agent was from the point to be near, in metres.
    pub distance_m: Option<f64>,
    /// The agent's smoothed round trip then, in milliseconds.
    pub latency_ms: Option<f64>,
    /// The version of the placement policy that decided.
    pub policy: u64,
    /// The profile of that policy, if the task was placed by one.
    #[serde(default)]
    pub profile: Option<String>,
    /// Where the search ended with the policy's budget: no agent that could take the task scored more
    /// than this above it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
    /// That it stood back for others that were placed in the same go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub together: Option<Together>,
    /// When it was offered.
    pub offered_at: Timestamp,
    /// When the agent had it on its disk.
    pub accepted_at: Option<Timestamp>,
    /// When its process ran.
    pub started_at: Option<Timestamp>,
    /// When it ended, by the core's clock.
    pub ended_at: Option<Timestamp>,
    /// How it ended, in words.
    pub detail: Option<String>,
    /// How far it has come, as its process last said.
    pub progress: Option<ProgressDocument>,
    /// How often its agent, cut off, began it again by itself.
    pub retries: u32,
}

/// How a task stood back for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Together {
    /// How many others were placed in the same go.
    pub others: u64,
    /// The agent that was best for it alone.
    pub own_best: AgentId,
}

/// How far an attempt has come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProgressDocument {
    /// The share that is done, 0..1, if it said.
    pub fraction: Option<f64>,
    /// A line of text.
    pub text: String,
    /// When it said so, by the core's clock.
    pub at: Timestamp,
}

/// How a task came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OutcomeDocument {
    /// `succeeded`, `failed` or `canceled`.
    pub status: TaskStatus,
    /// Why it failed, if it did.
    pub reason: Option<FailureReason>,
    /// In words.
    pub detail: String,
    /// When it was settled.
    pub settled_at: Timestamp,
    /// The attempt that decided it, if one did.
    pub attempt: Option<Attempt>,
    /// Its agent.
    pub agent: Option<AgentId>,
    /// Its exit code, if it exited.
    pub exit_code: Option<i32>,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// How long it ran, in milliseconds.
    pub ran_ms: Option<u64>,
    /// The end of what it wrote to standard output.
    pub stdout_tail: String,
    /// The end of what it wrote to standard error.
    pub stderr_tail: String,
}

/// A report that came too late to count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HistoryDocument {
    /// Who told it.
    pub agent: AgentId,
    /// Of which attempt.
    pub attempt: Attempt,
    /// When it arrived.
    pub received_at: Timestamp,
    /// What it told.
    pub event: ReportEvent,
}

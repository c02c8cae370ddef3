//! Schedules as the API shows them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, ScheduleId, ScheduleName, TaskId};
use crate::label::Labels;
use crate::schedule::{Day, Firing, ScheduleSpec, Trigger};
use crate::time::Timestamp;

/// Who fires a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// The core, which then places a task.
    Core,
    /// The agents that hold it, each by itself.
    Resident,
}

/// A schedule in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScheduleSummary {
    /// Its name.
    pub name: ScheduleName,
    /// Its id: another schedule that takes its name later has another one.
    pub id: ScheduleId,
    /// Its labels.
    pub labels: Labels,
    /// Who fires it.
    pub kind: ScheduleKind,
    /// When it fires.
    pub trigger: Trigger,
    /// Whether it rests.
    pub paused: bool,
    /// Counts its changes, from 1.
    pub version: u32,
    /// Its next moment; null while it rests, when there is none any more, and when none is known
    /// before something happens. Its jitter comes on top.
    pub next: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A schedule in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScheduleDocument {
    /// What a list shows.
    #[serde(flatten)]
    pub summary: ScheduleSummary,
    /// What was asked for, defaults filled in.
    pub spec: Arc<ScheduleSpec>,
    /// Every moment of it up to here has come and was dealt with.
    pub through: Timestamp,
    /// Those of its tasks that are not settled, up to a hundred.
    pub under_way: Vec<TaskId>,
}

/// What became of a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FiringStatus {
    /// It made a task.
    Fired,
    /// It waits until the task of an earlier one is over.
    Queued,
    /// It made none.
    Skipped,
    /// It passed while nobody could fire it.
    Missed,
}

/// What became of one moment of a schedule, or of several that were missed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FiringDocument {
    /// The moment that came.
    pub at: Timestamp,
    /// The agent that fired it; null if the core did.
    pub agent: Option<AgentId>,
    /// The version of the schedule that it is of.
    pub version: u32,
    /// What became of it.
    pub status: FiringStatus,
    /// Why it was skipped: `overlap`, `queue_full`, `replaced`, `withdrawn` or `refused`.
    pub reason: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// The task that it made.
    pub task: Option<TaskId>,
    /// The last of the moments that were missed.
    pub upto: Option<Timestamp>,
    /// How many they are, at least.
    pub count: Option<u32>,
    /// When this was known.
    pub recorded_at: Timestamp,
}

/// A schedule was fired by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScheduleFired {
    /// For which moment.
    pub at: Timestamp,
    /// The task that came of it at once; null when its overlap rule made none: its firings say what
    /// became of it.
    pub task: Option<TaskId>,
}

/// A hook was called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HookCalled {
    /// Whether the schedule waits for what came, and does not rest.
    pub fired: bool,
    /// For which moment.
    pub at: Option<Timestamp>,
    /// The task that came of it at once.
    pub task: Option<TaskId>,
}

/// How the hook of a schedule is called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HookDocument {
    /// Its path on this core.
    pub url: String,
    /// What its calls are signed with.
    pub secret: String,
}

/// What to preview.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PreviewWish {
    /// When it fires.
    pub trigger: Trigger,
    /// Only moments behind this one; `None` is now.
    #[serde(default)]
    pub from: Option<Timestamp>,
    /// How many, at most; `None` is 5.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000)))]
    pub count: Option<u64>,
    /// It fires at no moment before this.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// It fires at this moment and later no more.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
    /// Days of its zone on which it does not fire.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::schedule::DAYS_MAX)))]
    pub exclude_days: Vec<Day>,
}

/// When a trigger fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PreviewDocument {
    /// The next firings; fewer than asked for when no more come.
    pub firings: Vec<Firing>,
}

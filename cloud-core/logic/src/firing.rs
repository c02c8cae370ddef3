//! Schedules and their firings, as stored.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::{AgentId, ScheduleId, ScheduleName, TaskId};
use shared::schedule::ScheduleSpec;
use shared::time::Timestamp;

/// A schedule, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleRow {
    /// Names it for good.
    pub id: ScheduleId,
    /// What was asked for last.
    pub spec: Arc<ScheduleSpec>,
    /// Counts what was asked for, from 1.
    pub version: u32,
    /// When it was first asked for. Intervals are counted from here, unless they say from where.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// Whether it rests.
    pub paused: bool,
    /// Every moment of it up to here has come and was dealt with.
    pub through: Timestamp,
}

/// What made a task that nobody submitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The schedule.
    pub schedule: ScheduleId,
    /// Its name then.
    pub name: ScheduleName,
    /// Which version of it.
    pub version: u32,
    /// The moment that came: together with the schedule it names the firing.
    pub at: Timestamp,
    /// What came with the event that fired it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Arc<str>>,
}

/// What became of one moment of a schedule, or of a run of them that were missed. There is one for
/// each schedule, moment and agent, the agent being that which fired it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FiringRow {
    /// Of which schedule.
    pub schedule: ScheduleId,
    /// The moment that came.
    pub at: Timestamp,
    /// The agent that fired it; `None` if the core did.
    pub agent: Option<AgentId>,
    /// The version of the schedule that it is of.
    pub version: u32,
    /// When this was known.
    pub recorded_at: Timestamp,
    /// What became of it.
    pub result: FiringResult,
}

/// What became of a moment of a schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum FiringResult {
    /// It made a task.
    Fired {
        /// Which.
        task: TaskId,
    },
    /// It waits until the task of an earlier one is over.
    Queued {
        /// What came with its event.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        payload: Option<Arc<str>>,
    },
    /// It did not fire.
    Skipped {
        /// Why.
        because: SkippedBecause,
        /// In words.
        detail: String,
    },
    /// Its moment, and those up to another, passed while nobody could fire them.
    Missed {
        /// The last of them.
        upto: Timestamp,
        /// How many they are, at least.
        count: u32,
    },
}

/// Why a firing made no task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkippedBecause {
    /// The task of an earlier firing was not over.
    Overlap,
    /// As many firings waited as may wait.
    QueueFull,
    /// A later one took its place while it waited.
    Replaced,
    /// The schedule was paused or deleted while it waited.
    Withdrawn,
    /// The core did not take its task.
    Refused,
}

impl SkippedBecause {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Overlap => "overlap",
            Self::QueueFull => "queue_full",
            Self::Replaced => "replaced",
            Self::Withdrawn => "withdrawn",
            Self::Refused => "refused",
        }
    }
}

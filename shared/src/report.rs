//! What an agent tells about an assignment: the entries of its outbox. A report is history: it is
//! written once, in the transaction that makes it true, and never changed.

use serde::{Deserialize, Serialize};

use crate::id::{AssignmentId, ScheduleId};
use crate::time::{Stamp, Timestamp};

/// One entry of an agent's outbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Report {
    /// The attempt it is about.
    #[serde(flatten)]
    pub assignment: AssignmentId,
    /// When it happened, by the agent's wall clock.
    pub at: Timestamp,
    /// The agent's other clocks at that moment.
    #[serde(default)]
    pub stamp: Stamp,
    /// What happened.
    pub event: ReportEvent,
}

/// What can happen to an assignment on its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ReportEvent {
    /// It is written to the agent's disk and will run, link or no link.
    Accepted,
    /// A resident schedule fired: the agent made this attempt, the first of a task of its own, which
    /// is written to its disk and will run. Its id is that of the firing
    /// ([`crate::id::TaskId::of_firing`]).
    Fired {
        /// Which schedule.
        schedule: ScheduleId,
        /// Which version of it.
        version: u32,
        /// The moment that came.
        moment: Timestamp,
    },
    /// Moments of a resident schedule came and made no attempt. The id is that of the first.
    NotFired {
        /// Which schedule.
        schedule: ScheduleId,
        /// Which version of it.
        version: u32,
        /// The first of the moments.
        moment: Timestamp,
        /// The last of them.
        upto: Timestamp,
        /// How many they are, at least.
        count: u32,
        /// Why.
        because: NotFiredBecause,
    },
    /// The agent does not take it. It never ran and never will under this attempt.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// A sentence for people.
        detail: String,
    },
    /// Its process runs.
    Started,
    /// A run of it is over, and the agent begins another by itself because it cannot ask.
    Retried(Box<Finish>),
    /// It is over.
    Finished(Box<Finish>),
}

/// How far an attempt has come, as its process wrote it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ProgressMark {
    /// Thousandths of the whole, 0 to 1000, if it said.
    pub thousandths: Option<u16>,
    /// A line of text, bounded, without control characters.
    pub text: String,
}

/// Why moments of a resident schedule made no attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum NotFiredBecause {
    /// They passed while the agent was down, or did not know the time.
    Missed,
    /// An earlier firing was not over.
    Overlap,
    /// As many firings waited as may wait.
    QueueFull,
    /// A later firing took its place while it waited.
    Replaced,
    /// The schedule was taken from the agent while it waited.
    Withdrawn,
    /// The agent holds as much as it may, or its disk is full.
    NoRoom,
}

/// Why an agent refuses an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefusalReason {
    /// As many tasks are held as this agent may hold.
    Busy,
    /// The needs do not fit beside what is held already.
    Resources,
    /// The agent's disk is too full to take more work safely.
    DiskFull,
    /// This kind of `run` is unknown to this agent.
    Runtime,
    /// The agent is stopping.
    Stopping,
}

impl RefusalReason {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Resources => "resources",
            Self::DiskFull => "disk_full",
            Self::Runtime => "runtime",
            Self::Stopping => "stopping",
        }
    }
}

/// How an assignment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Finish {
    /// The way it ended.
    pub end: End,
    /// When its process started, if it did, by the agent's wall clock.
    pub started_at: Option<Timestamp>,
    /// How long it ran, by the agent's monotonic clock, in milliseconds.
    pub ran_ms: Option<u64>,
    /// The end of what it wrote.
    pub output: Output,
}

/// The ends of a task's two streams, each bounded in bytes, made valid UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Output {
    /// The end of standard output.
    pub stdout_tail: String,
    /// The end of standard error.
    pub stderr_tail: String,
    /// Whether standard output was longer than its tail.
    pub stdout_truncated: bool,
    /// Whether standard error was longer than its tail.
    pub stderr_truncated: bool,
}

/// The ways an attempt ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "how", rename_all = "snake_case")]
pub enum End {
    /// The process exited by itself. A `noop` exits with 0.
    Exited {
        /// Its exit code.
        code: i32,
    },
    /// A signal that the agent did not send ended it.
    Signaled {
        /// The signal's number.
        signal: i32,
    },
    /// It ran longer than `timeout_s` and was stopped.
    TimedOut,
    /// It was stopped on request.
    Stopped {
        /// On whose request.
        reason: StopReason,
    },
    /// No process could be made of it.
    SpawnFailed {
        /// Why, as the system said it, with the command's name.
        message: String,
    },
    /// The system killed it for want of memory.
    OutOfMemory,
    /// The agent or the board went down while it ran, and it is not there any more. How it would
    /// have ended nobody knows.
    Vanished {
        /// What is known, for people.
        message: String,
    },
}

/// Why a running or waiting assignment is to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// A user canceled the task.
    Canceled,
    /// Its deadline passed.
    DeadlinePassed,
    /// Another attempt took its place, or the task is settled.
    Superseded,
    /// The agent heard nothing from the core for `stop_after_s`.
    Disconnected,
}

impl End {
    /// Whether the task did what it was meant to do.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Exited { code: 0 })
    }
}

//! Everything that can happen to the agent.

use serde::{Deserialize, Serialize};
use shared::geo::Position;
use shared::id::{AssignmentId, Sequence};
use shared::report::{Output, ProgressMark};
use shared::time::Timestamp;
use shared::wire::Downlink;
use shared::wire::uplink::Load;

/// Everything that can happen to the agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// What became of an attempt that had a process, or was getting one, when the agent last went
    /// down. Given for every one of [`crate::Agent::unresolved`] before anything else.
    Found {
        /// Which attempt.
        assignment: AssignmentId,
        /// What became of it.
        found: Found,
    },
    /// A connection to the broker is up and may be spoken on.
    LinkUp {
        /// Which connection of this process it is, from 1. Its last will carries the same number.
        link: u64,
    },
    /// The connection is gone, or none could be made.
    LinkDown {
        /// Why, for people.
        reason: String,
    },
    /// A message whose seal proves that it comes from the core.
    Downlink(Downlink),
    /// Something happened to an attempt's process.
    Process {
        /// Which attempt.
        assignment: AssignmentId,
        /// What happened.
        event: ProcessEvent,
    },
    /// An attempt's process wrote down how far it has come.
    Progress {
        /// Which attempt.
        assignment: AssignmentId,
        /// How far.
        mark: ProgressMark,
    },
    /// The link took outbox entries only up to here, although more were to be sent.
    ReportsCut {
        /// The last entry that it took.
        sent: Sequence,
    },
    /// The machine was measured.
    Measured {
        /// What it does.
        load: Load,
        /// Whether its disk is too full to take on new work.
        disk_full: bool,
    },
    /// The machine moved.
    Moved {
        /// To where.
        position: Position,
    },
    /// The agent is to stop in an orderly way. What runs goes on running.
    Stop,
    /// Time has passed.
    Tick,
}

/// What became of an attempt while the agent was down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// It runs, and its end will be told.
    Running {
        /// When it started, by the wall clock of that time.
        started_at: Timestamp,
        /// How long it has run, in milliseconds.
        ran_ms: u64,
    },
    /// It ended.
    Ended(Box<ProcessEnd>),
    /// It never ran, and will not unless it is started anew.
    NeverStarted,
    /// It may have run; nobody knows how it ended, and nothing of it runs any more.
    Gone,
}

/// What can happen to an attempt's process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProcessEvent {
    /// It runs.
    Started,
    /// It ended.
    Ended(Box<ProcessEnd>),
    /// It may have run; nobody knows how it ended, and nothing of it runs any more.
    Gone,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessEnd {
    /// The way it ended.
    pub exit: Exit,
    /// When it started, by the wall clock, if it did.
    pub started_at: Option<Timestamp>,
    /// How long it ran, in milliseconds, if it did.
    pub ran_ms: Option<u64>,
    /// The end of what it wrote.
    pub output: Output,
}

/// The ways a process ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It returned.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
    /// The system ended it for want of memory.
    OutOfMemory,
    /// Its supervisor ended it, because the agent did not renew its lease.
    LeaseOver,
    /// It never ran.
    SpawnFailed {
        /// Why, and what to do about it.
        message: String,
    },
}

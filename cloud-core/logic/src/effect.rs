//! What follows from a step: to be done by the driver after the changes are committed, in order.
//! Losing an effect in a crash loses nothing: whatever must still be said follows from the state.

use serde::{Deserialize, Serialize};
use shared::api::{AgentDocument, TaskDocument};
use shared::border::Problem;
use shared::id::{AgentId, AssignmentId, ScheduleName, TaskId};
use shared::time::Timestamp;
use shared::trace::TraceId;
use shared::wire::Downlink;

use crate::change::Change;
use crate::firing::ScheduleRow;
use crate::input::ReplyTo;
use crate::placement::Policy;

/// What comes of one step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// What is different now: to be committed in one transaction, in order.
    pub changes: Vec<Change>,
    /// What to do once that is on disk, in order.
    pub effects: Vec<Effect>,
    /// What to tell those who watch, and nobody else.
    pub notices: Vec<Notice>,
}

/// Something that was seen on the way of a task. Decides nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// An attempt was given an agent.
    Placed {
        /// Which.
        assignment: AssignmentId,
        /// The trace that its task belongs to.
        trace: TraceId,
        /// How long its task had waited for that, in milliseconds.
        waited_ms: u64,
    },
    /// Tasks that competed were placed together, and not one after the other.
    Assigned {
        /// How many.
        tasks: u64,
        /// How many of them have a place that would have none.
        placed_more: u64,
        /// By how much the sum of their scores is greater, in millionths; 0 where it is not.
        score_millionths: u64,
    },
    /// An agent has accepted what it was offered.
    Accepted {
        /// Which attempt.
        assignment: AssignmentId,
        /// How long after the offer the core heard of it, in milliseconds.
        after_ms: u64,
    },
    /// A task has its outcome.
    Settled {
        /// Which.
        task: TaskId,
        /// The trace that it belongs to.
        trace: TraceId,
        /// Whether that is sampled.
        sampled: bool,
    },
    /// An agent's word about an attempt was heard.
    Heard {
        /// Which.
        assignment: AssignmentId,
        /// What it told of.
        word: Word,
        /// How long after it happened, by the core's clock, in milliseconds.
        after_ms: u64,
    },
}

/// What an agent tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// It has accepted an attempt.
    Accepted,
    /// Its process runs.
    Started,
    /// It is over.
    Finished,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Effect {
    /// Answer a caller.
    Answer {
        /// Which.
        reply: ReplyTo,
        /// With what.
        answer: Answer,
    },
    /// Send a message, sealed with the agent's own key. May be lost on the way.
    Send {
        /// To whom.
        agent: AgentId,
        /// What.
        message: Downlink,
    },
    /// Send the answer to a join, sealed with the join key, and let the broker know the agent's
    /// new credential first if it was granted.
    AnswerJoin {
        /// To whom.
        agent: AgentId,
        /// What.
        message: Downlink,
    },
}

/// What became of one of many submissions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Taken {
    /// It is taken on.
    Submitted {
        /// When.
        at: Timestamp,
    },
    /// The same key was used before for the same task.
    Repeated(TaskId),
    /// The same key was used before for another body.
    KeyReused(TaskId),
    /// It asks for a profile that the placement policy does not have.
    UnknownProfile(Box<Problem>),
    /// As many tasks wait as may wait.
    QueueFull {
        /// How many that is.
        pending_max: u64,
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
}

/// An answer to a caller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    /// The task is taken on: on disk, and it will have exactly one outcome.
    Submitted(Box<TaskDocument>),
    /// What became of each of many submissions, in order: those that were taken are on disk.
    SubmittedMany(Vec<Taken>),
    /// The same key was used before for the same task.
    Repeated(TaskId),
    /// The same key was used before for another body.
    KeyReused(TaskId),
    /// The task asks for a profile that the placement policy does not have.
    UnknownProfile(Box<Problem>),
    /// As many tasks wait as may wait.
    QueueFull {
        /// How many that is.
        pending_max: u64,
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
    /// The task is called off, or being called off.
    Canceling(TaskId),
    /// The task is not among those that are not settled: it is settled, or was never there.
    NotLive(TaskId),
    /// The agent as it is now.
    Agent(Box<AgentDocument>),
    /// The placement policy that is in force now.
    Policy(Box<Policy>),
    /// The policy has another version than the one to be replaced: this.
    PolicyMoved(u64),
    /// No agent of this id has ever joined.
    UnknownAgent(AgentId),
    /// The schedule as it is now, or was when it was deleted.
    Schedule(Box<ScheduleRow>),
    /// There is a schedule of this name.
    ScheduleExists(ScheduleName),
    /// There is no schedule of this name, or none that has a hook.
    UnknownSchedule(ScheduleName),
    /// The schedule has changed since the caller read it.
    ScheduleMoved(ScheduleName),
    /// There are as many schedules as there may be.
    SchedulesFull {
        /// How many that is.
        schedules_max: u64,
    },
    /// The schedule never fires, or names what nobody knows.
    BadSchedule(Box<Problem>),
    /// The schedule was fired.
    ScheduleFired {
        /// For which moment.
        at: Timestamp,
        /// The task that came of it at once; what else became of it is in its history.
        task: Option<TaskId>,
    },
    /// The hook was called with something that the schedule does not wait for, or while it rests.
    HookPassed,
    /// Messages were heard by schedules.
    Published {
        /// How often one was fired.
        fired: usize,
    },
}

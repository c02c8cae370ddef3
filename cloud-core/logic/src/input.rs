//! Everything that can happen to the core.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::{AgentId, ScheduleName, TaskId};
use shared::schedule::{ScheduleSpec, TopicFilter};
use shared::spec::TaskSpec;
use shared::trace::Trace;
use shared::wire::Uplink;
use shared::wire::uplink::Join;

use crate::change::{Credential, IdempotencyKey};
use crate::firing::ScheduleRow;
use crate::placement::Policy;

/// Names the slot in which a caller waits for an [`crate::Answer`]. Given by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ReplyTo(pub u64);

/// What an operator does to an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Let it take nothing new.
    Cordon,
    /// Let it take work again: takes back a cordon, a drain and a quarantine.
    Uncordon,
    /// Let it take nothing new, and move what has not started there to other agents.
    Drain,
    /// Void its credential, give up what it holds, and let it join no more.
    Revoke,
    /// Let a revoked agent join again.
    Readmit,
}

/// A task to take on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submission {
    /// The id it will have.
    pub id: TaskId,
    /// What was submitted, already checked.
    pub spec: Arc<TaskSpec>,
    /// The key under which it may be submitted again without becoming two tasks.
    pub key: Option<IdempotencyKey>,
    /// The trace of whoever submits it, if they have one.
    pub trace: Option<Box<Trace>>,
    /// Who waits for the answer.
    pub reply: ReplyTo,
}

/// One of many tasks to take on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewTask {
    /// The id it will have.
    pub id: TaskId,
    /// What was submitted, already checked.
    pub spec: Arc<TaskSpec>,
    /// The key under which it may be submitted again without becoming two tasks.
    pub key: Option<IdempotencyKey>,
    /// The trace of whoever submits it, if they have one.
    pub trace: Option<Box<Trace>>,
}

/// Many tasks to take on at once, each for itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submissions {
    /// The tasks, in order.
    pub tasks: Vec<NewTask>,
    /// Who waits for the answers, which come as one.
    pub reply: ReplyTo,
}

/// A schedule to make or to change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PutSchedule {
    /// What is there under its name now, as the caller read it.
    pub before: Option<Box<ScheduleRow>>,
    /// What is asked for, already checked.
    pub spec: Arc<ScheduleSpec>,
    /// Whether it must not be there yet.
    pub only_new: bool,
    /// Who waits for the answer.
    pub reply: ReplyTo,
}

/// What is done to a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleOperation {
    /// Let it rest.
    Pause,
    /// Let it go on.
    Resume,
    /// Fire it now.
    Fire,
    /// Delete it.
    Delete,
}

/// A message of somebody else's, as schedules hear it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Published {
    /// The filters that let it through, each once.
    pub filters: Vec<TopicFilter>,
    /// What a task is told of it: JSON with its `topic` and its `payload`, which is what conditions
    /// look at; without one, no condition holds.
    pub message: Arc<str>,
}

/// Everything that can happen to the core.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A task is submitted.
    Submit(Box<Submission>),
    /// Many tasks are submitted at once.
    SubmitMany(Box<Submissions>),
    /// A task is to be called off.
    Cancel {
        /// Which.
        task: TaskId,
        /// Who waits for the answer.
        reply: ReplyTo,
    },
    /// An operator does something to an agent.
    Operate {
        /// To which.
        agent: AgentId,
        /// What.
        operation: Operation,
        /// Who waits for the answer.
        reply: ReplyTo,
    },
    /// An operator puts a placement policy in force.
    SetPolicy {
        /// Which. Its version is not looked at.
        policy: Box<Policy>,
        /// Over which version only, if that matters.
        only_over: Option<u64>,
        /// Who waits for the answer.
        reply: ReplyTo,
    },
    /// A schedule is made or changed.
    PutSchedule(Box<PutSchedule>),
    /// Something is done to a schedule.
    OperateSchedule {
        /// To which, as the caller read it.
        before: Box<ScheduleRow>,
        /// What.
        operation: ScheduleOperation,
        /// Who waits for the answer.
        reply: ReplyTo,
    },
    /// The hook of a schedule is called by somebody who holds its secret.
    Hook {
        /// Of which.
        schedule: ScheduleName,
        /// With what.
        payload: Arc<str>,
        /// Who waits for the answer.
        reply: ReplyTo,
    },
    /// Somebody has published messages to topics that schedules listen to.
    Published {
        /// Which, in their order.
        messages: Vec<Published>,
        /// Who waits for the answer.
        reply: ReplyTo,
    },
    /// An agent that holds the join token asks for a credential. The driver has checked the seal
    /// and derived the credential.
    Join {
        /// Under which id.
        agent: AgentId,
        /// What it sent.
        join: Join,
        /// What the core is to remember of its credential.
        credential: Credential,
    },
    /// A message whose seal proves that it comes from this agent.
    Uplink {
        /// From whom.
        agent: AgentId,
        /// What it says.
        message: Uplink,
    },
    /// The core's own connection to the broker is up, or down. While it is down, silence says
    /// nothing about the agents.
    Broker {
        /// Whether it is up.
        up: bool,
    },
    /// Time has passed.
    Tick,
}

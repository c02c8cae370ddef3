//! What happened, one after the other.

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, Attempt, ScheduleName, TaskId};
use crate::task::{FailureReason, TaskStatus};
use crate::time::Timestamp;

/// What kind of thing happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum EventKind {
    /// A task was taken on.
    #[serde(rename = "task.submitted")]
    TaskSubmitted,
    /// A task waits for a place again, after an attempt.
    #[serde(rename = "task.pending")]
    TaskPending,
    /// A task has a place.
    #[serde(rename = "task.assigned")]
    TaskAssigned,
    /// A task runs.
    #[serde(rename = "task.running")]
    TaskRunning,
    /// A task is being stopped.
    #[serde(rename = "task.stopping")]
    TaskStopping,
    /// A task has its outcome.
    #[serde(rename = "task.settled")]
    TaskSettled,
    /// An agent was given a credential.
    #[serde(rename = "agent.joined")]
    AgentJoined,
    /// An agent can be heard.
    #[serde(rename = "agent.online")]
    AgentOnline,
    /// An agent's heartbeats are late, or it is back and not believed yet.
    #[serde(rename = "agent.suspect")]
    AgentSuspect,
    /// An agent cannot be heard.
    #[serde(rename = "agent.offline")]
    AgentOffline,
    /// An operator lets an agent take nothing new.
    #[serde(rename = "operator.cordon")]
    OperatorCordon,
    /// An operator takes that back.
    #[serde(rename = "operator.uncordon")]
    OperatorUncordon,
    /// An operator moves work away from an agent.
    #[serde(rename = "operator.drain")]
    OperatorDrain,
    /// An operator voided an agent's credential.
    #[serde(rename = "operator.revoke")]
    OperatorRevoke,
    /// An operator lets a revoked agent join again.
    #[serde(rename = "operator.readmit")]
    OperatorReadmit,
    /// An operator put another placement policy in force.
    #[serde(rename = "operator.policy")]
    OperatorPolicy,
    /// A schedule is there, or was changed.
    #[serde(rename = "schedule.put")]
    SchedulePut,
    /// A schedule was deleted.
    #[serde(rename = "schedule.deleted")]
    ScheduleDeleted,
    /// A schedule rests.
    #[serde(rename = "schedule.paused")]
    SchedulePaused,
    /// A schedule that rested goes on.
    #[serde(rename = "schedule.resumed")]
    ScheduleResumed,
    /// A schedule has made a task.
    #[serde(rename = "schedule.fired")]
    ScheduleFired,
    /// A moment of a schedule has made no task: its history says why.
    #[serde(rename = "schedule.skipped")]
    ScheduleSkipped,
    /// Moments of a schedule passed while nobody could fire them.
    #[serde(rename = "schedule.missed")]
    ScheduleMissed,
    /// Events are missing here: they were taken away before they were read, or lost with a backup.
    #[serde(rename = "gap")]
    Gap,
}

impl EventKind {
    /// Every kind with its name on the wire.
    pub const ALL: [(&'static str, Self); 24] = [
        ("task.submitted", Self::TaskSubmitted),
        ("task.pending", Self::TaskPending),
        ("task.assigned", Self::TaskAssigned),
        ("task.running", Self::TaskRunning),
        ("task.stopping", Self::TaskStopping),
        ("task.settled", Self::TaskSettled),
        ("agent.joined", Self::AgentJoined),
        ("agent.online", Self::AgentOnline),
        ("agent.suspect", Self::AgentSuspect),
        ("agent.offline", Self::AgentOffline),
        ("operator.cordon", Self::OperatorCordon),
        ("operator.uncordon", Self::OperatorUncordon),
        ("operator.drain", Self::OperatorDrain),
        ("operator.revoke", Self::OperatorRevoke),
        ("operator.readmit", Self::OperatorReadmit),
        ("operator.policy", Self::OperatorPolicy),
        ("schedule.put", Self::SchedulePut),
        ("schedule.deleted", Self::ScheduleDeleted),
        ("schedule.paused", Self::SchedulePaused),
        ("schedule.resumed", Self::ScheduleResumed),
        ("schedule.fired", Self::ScheduleFired),
        ("schedule.skipped", Self::ScheduleSkipped),
        ("schedule.missed", Self::ScheduleMissed),
        ("gap", Self::Gap),
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }
}

/// What there is to say of an event beyond whom it is about. Only what applies is there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventDetail {
    /// The attempt it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<Attempt>,
    /// How the task came out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<TaskStatus>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<FailureReason>,
    /// Until when it waits before it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// The version of the placement policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<u64>,
    /// The last event before a gap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The first event behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// One event. `id` grows from one to the next; a gap has the id before the event it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct EventDocument {
    /// Its number, at most 2^53.
    pub id: u64,
    /// When it happened, by the core's clock.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// To which task.
    pub task: Option<TaskId>,
    /// On, or to, which agent.
    pub agent: Option<AgentId>,
    /// To which schedule.
    #[serde(default)]
    pub schedule: Option<ScheduleName>,
    /// What else there is to say.
    pub detail: Option<EventDetail>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_name_it_is_listed_with() {
        for (name, kind) in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).expect("json"), name);
            assert_eq!(kind.name(), name);
        }
    }
}

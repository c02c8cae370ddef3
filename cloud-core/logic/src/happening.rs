//! What is told of a step to those who follow: one happening for each thing that an outsider would
//! call an event. They are one change at the end of the step's changes, so they are on disk exactly
//! when what they tell is. Stored by the thousand, so their fields have short names there.

use serde::{Deserialize, Serialize};
use shared::api::{AgentStatus, EventDetail, EventKind};
use shared::id::{AgentId, ScheduleName, TaskId};
use shared::task::TaskState;

use crate::change::TaskLife;
use crate::input::Operation;

/// Something that happened, without its number and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Happening {
    /// What.
    #[serde(rename = "k")]
    pub kind: EventKind,
    /// To which task.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskId>,
    /// On, or to, which agent.
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// To which schedule.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<ScheduleName>,
    /// What else there is to say.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<EventDetail>,
}

impl Happening {
    /// A task was taken on.
    #[must_use]
    pub fn submitted(task: TaskId) -> Self {
        Self {
            kind: EventKind::TaskSubmitted,
            task: Some(task),
            agent: None,
            schedule: None,
            detail: None,
        }
    }

    /// A task moved on to the state that it is in; `None` when nobody outside sees a difference.
    #[must_use]
    pub fn moved(task: TaskId, before: &TaskState, life: &TaskLife) -> Option<Self> {
        let attempt = life.state.attempt();
        let detail = |detail: EventDetail| (detail != EventDetail::default()).then_some(detail);
        let waited =
            |state: &TaskState| matches!(state, TaskState::Queued | TaskState::BackingOff { .. });
        if *before == life.state || (waited(before) && waited(&life.state)) {
            return None;
        }
        let (kind, detail) = match &life.state {
            TaskState::Queued => (EventKind::TaskPending, None),
            TaskState::BackingOff { until } => {
                let not_before = Some(*until);
                (EventKind::TaskPending, detail(EventDetail { not_before, ..Default::default() }))
            }
            TaskState::Assigned { .. } => {
                (EventKind::TaskAssigned, detail(EventDetail { attempt, ..Default::default() }))
            }
            TaskState::Running { .. } => {
                (EventKind::TaskRunning, detail(EventDetail { attempt, ..Default::default() }))
            }
            TaskState::Stopping { .. } => {
                (EventKind::TaskStopping, detail(EventDetail { attempt, ..Default::default() }))
            }
            TaskState::Settled { outcome } => {
                let detail = EventDetail {
                    attempt: outcome.attempt,
                    status: Some(outcome.verdict.status()),
                    reason: outcome.verdict.reason(),
                    ..Default::default()
                };
                (EventKind::TaskSettled, Some(detail))
            }
        };
        Some(Self { kind, task: Some(task), agent: life.agent.clone(), schedule: None, detail })
    }

    /// An agent has another status than before.
    #[must_use]
    pub fn heard(agent: &AgentId, status: AgentStatus) -> Self {
        let kind = match status {
            AgentStatus::Online => EventKind::AgentOnline,
            AgentStatus::Suspect => EventKind::AgentSuspect,
            AgentStatus::Offline => EventKind::AgentOffline,
        };
        Self::of_agent(kind, agent)
    }

    /// An agent was given a credential.
    #[must_use]
    pub fn joined(agent: &AgentId) -> Self {
        Self::of_agent(EventKind::AgentJoined, agent)
    }

    /// An operator did something to an agent.
    #[must_use]
    pub fn operated(agent: &AgentId, operation: Operation) -> Self {
        let kind = match operation {
            Operation::Cordon => EventKind::OperatorCordon,
            Operation::Uncordon => EventKind::OperatorUncordon,
            Operation::Drain => EventKind::OperatorDrain,
            Operation::Revoke => EventKind::OperatorRevoke,
            Operation::Readmit => EventKind::OperatorReadmit,
        };
        Self::of_agent(kind, agent)
    }

    /// An operator put another placement policy in force.
    #[must_use]
    pub fn policy(version: u64) -> Self {
        let detail = EventDetail { policy: Some(version), ..EventDetail::default() };
        Self {
            kind: EventKind::OperatorPolicy,
            task: None,
            agent: None,
            schedule: None,
            detail: Some(detail),
        }
    }

    /// A schedule is there, or was changed.
    #[must_use]
    pub fn schedule_put(name: &ScheduleName) -> Self {
        Self::of_schedule(EventKind::SchedulePut, name)
    }

    /// A schedule was deleted.
    #[must_use]
    pub fn schedule_deleted(name: &ScheduleName) -> Self {
        Self::of_schedule(EventKind::ScheduleDeleted, name)
    }

    /// A schedule rests.
    #[must_use]
    pub fn schedule_paused(name: &ScheduleName) -> Self {
        Self::of_schedule(EventKind::SchedulePaused, name)
    }

    /// A schedule goes on.
    #[must_use]
    pub fn schedule_resumed(name: &ScheduleName) -> Self {
        Self::of_schedule(EventKind::ScheduleResumed, name)
    }

    /// A schedule has made a task.
    #[must_use]
    pub fn fired(name: &ScheduleName, task: TaskId) -> Self {
        Self { task: Some(task), ..Self::of_schedule(EventKind::ScheduleFired, name) }
    }

    /// A moment of a schedule has made no task.
    #[must_use]
    pub fn skipped(name: &ScheduleName) -> Self {
        Self::of_schedule(EventKind::ScheduleSkipped, name)
    }

    /// Moments of a schedule passed while nobody could fire them.
    #[must_use]
    pub fn missed(name: &ScheduleName) -> Self {
        Self::of_schedule(EventKind::ScheduleMissed, name)
    }

    fn of_schedule(kind: EventKind, name: &ScheduleName) -> Self {
        Self { kind, task: None, agent: None, schedule: Some(name.clone()), detail: None }
    }

    fn of_agent(kind: EventKind, agent: &AgentId) -> Self {
        Self { kind, task: None, agent: Some(agent.clone()), schedule: None, detail: None }
    }
}

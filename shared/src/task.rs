//! The life of a task as the core knows it. A state carries exactly what is true in it; a
//! transition that makes no sense is a named error and changes nothing; a settled task never
//! changes again.
//!
//! ```text
//! queued ─▶ assigned ─▶ running ─▶ settled
//!   ▲  ▲        └──────────┴──▶ stopping ─▶ settled
//!   │  └─ backing off ◀─┴──────────┘ (an attempt failed or was lost)
//! ```

use serde::{Deserialize, Serialize};

use crate::id::Attempt;
use crate::report::{Finish, StopReason};
use crate::time::Timestamp;

/// What users see of a task's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TaskStatus {
    /// Waits for another task.
    Blocked,
    /// Waits for a place.
    Pending,
    /// Has a place.
    Assigned,
    /// Runs there.
    Running,
    /// Done.
    Succeeded,
    /// Not done; see the reason.
    Failed,
    /// Called off.
    Canceled,
}

impl TaskStatus {
    /// Every status with its name on the wire.
    pub const ALL: [(&'static str, Self); 7] = [
        ("blocked", Self::Blocked),
        ("pending", Self::Pending),
        ("assigned", Self::Assigned),
        ("running", Self::Running),
        ("succeeded", Self::Succeeded),
        ("failed", Self::Failed),
        ("canceled", Self::Canceled),
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, status)| *status == self).map_or("", |(name, _)| name)
    }

    /// Whether nothing can change any more.
    #[must_use]
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Canceled)
    }
}

/// Why a task failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum FailureReason {
    /// Its process exited with another code than 0.
    ExitCode,
    /// A signal ended its process.
    Signal,
    /// It ran longer than `timeout_s`.
    TimedOut,
    /// It was not settled by its deadline.
    DeadlinePassed,
    /// Its agent was lost and it could not be replaced.
    Lost,
    /// Agents refused it too often.
    Rejected,
    /// The system killed it for want of memory.
    OutOfMemory,
    /// A task it depends on failed.
    DependencyFailed,
    /// No process could be made of it.
    SpawnFailed,
}

impl FailureReason {
    /// Every reason with its name on the wire.
    pub const ALL: [(&'static str, Self); 9] = [
        ("exit_code", Self::ExitCode),
        ("signal", Self::Signal),
        ("timed_out", Self::TimedOut),
        ("deadline_passed", Self::DeadlinePassed),
        ("lost", Self::Lost),
        ("rejected", Self::Rejected),
        ("out_of_memory", Self::OutOfMemory),
        ("dependency_failed", Self::DependencyFailed),
        ("spawn_failed", Self::SpawnFailed),
    ];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, reason)| *reason == self).map_or("", |(name, _)| name)
    }
}

/// How a task came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub enum Verdict {
    /// Done.
    Succeeded,
    /// Not done.
    Failed {
        /// Why.
        reason: FailureReason,
    },
    /// Called off.
    Canceled,
}

impl Verdict {
    /// What users see.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        match self {
            Self::Succeeded => TaskStatus::Succeeded,
            Self::Failed { .. } => TaskStatus::Failed,
            Self::Canceled => TaskStatus::Canceled,
        }
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn reason(&self) -> Option<FailureReason> {
        match self {
            Self::Failed { reason } => Some(*reason),
            _ => None,
        }
    }
}

/// The one final record of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// How it came out.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// When it was settled, by the core's clock.
    pub at: Timestamp,
    /// The attempt that decided it, if one did.
    pub attempt: Option<Attempt>,
    /// What that attempt left behind, if it ran.
    pub finish: Option<Box<Finish>>,
    /// A sentence for people.
    pub detail: String,
}

/// The state of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum TaskState {
    /// Waits for a place.
    Queued,
    /// Waits out the time before it is tried again.
    BackingOff {
        /// Until when.
        until: Timestamp,
    },
    /// An agent was chosen.
    Assigned {
        /// The attempt it is in.
        attempt: Attempt,
    },
    /// Its process runs.
    Running {
        /// The attempt it is in.
        attempt: Attempt,
    },
    /// Its agent was told to stop it, and has not confirmed.
    Stopping {
        /// The attempt it is in.
        attempt: Attempt,
        /// Whether its process ran when it was to be stopped.
        running: bool,
        /// Why.
        reason: StopReason,
    },
    /// Settled; this never changes again.
    Settled {
        /// How it came out.
        outcome: Box<Outcome>,
    },
}

/// A transition that the life cycle does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {from:?} cannot {to}")]
pub struct IllegalTaskStep {
    /// Where it stands.
    pub from: TaskStatus,
    /// What was asked of it.
    pub to: &'static str,
}

impl TaskState {
    /// What users see.
    #[must_use]
    pub fn status(&self) -> TaskStatus {
        match self {
            Self::Queued | Self::BackingOff { .. } => TaskStatus::Pending,
            Self::Assigned { .. } | Self::Stopping { running: false, .. } => TaskStatus::Assigned,
            Self::Running { .. } | Self::Stopping { running: true, .. } => TaskStatus::Running,
            Self::Settled { outcome } => outcome.verdict.status(),
        }
    }

    /// The attempt that is under way.
    #[must_use]
    pub fn attempt(&self) -> Option<Attempt> {
        match self {
            Self::Assigned { attempt }
            | Self::Running { attempt }
            | Self::Stopping { attempt, .. } => Some(*attempt),
            Self::Queued | Self::BackingOff { .. } | Self::Settled { .. } => None,
        }
    }

    fn refuse(&self, to: &'static str) -> IllegalTaskStep {
        IllegalTaskStep { from: self.status(), to }
    }

    /// An agent was chosen for a new attempt.
    ///
    /// # Errors
    /// Unless it is queued.
    pub fn assign(&mut self, attempt: Attempt) -> Result<(), IllegalTaskStep> {
        match self {
            Self::Queued => {
                *self = Self::Assigned { attempt };
                Ok(())
            }
            _ => Err(self.refuse("be assigned")),
        }
    }

    /// The process of its attempt runs.
    ///
    /// # Errors
    /// When no attempt is under way, or it runs already.
    pub fn start(&mut self) -> Result<(), IllegalTaskStep> {
        match *self {
            Self::Assigned { attempt } => *self = Self::Running { attempt },
            Self::Stopping { attempt, running: false, reason } => {
                *self = Self::Stopping { attempt, running: true, reason };
            }
            _ => return Err(self.refuse("start")),
        }
        Ok(())
    }

    /// A run of its attempt is over, and its agent begins another within the same attempt.
    ///
    /// # Errors
    /// When no attempt is under way.
    pub fn begin_again(&mut self) -> Result<(), IllegalTaskStep> {
        match *self {
            Self::Assigned { attempt } | Self::Running { attempt } => {
                *self = Self::Assigned { attempt };
            }
            Self::Stopping { attempt, reason, .. } => {
                *self = Self::Stopping { attempt, running: false, reason };
            }
            _ => return Err(self.refuse("be begun again")),
        }
        Ok(())
    }

    /// An earlier attempt, given up before, has come back and takes the place of whatever is there.
    ///
    /// # Errors
    /// When the task is settled or being stopped.
    pub fn take_back(&mut self, attempt: Attempt, running: bool) -> Result<(), IllegalTaskStep> {
        match self {
            Self::Stopping { .. } | Self::Settled { .. } => Err(self.refuse("be taken back")),
            _ if running => {
                *self = Self::Running { attempt };
                Ok(())
            }
            _ => {
                *self = Self::Assigned { attempt };
                Ok(())
            }
        }
    }

    /// The task was done by an earlier attempt before the request to stop reached anybody: that
    /// attempt decides.
    ///
    /// # Errors
    /// Unless it is being stopped.
    pub fn give_way(&mut self, attempt: Attempt) -> Result<(), IllegalTaskStep> {
        match *self {
            Self::Stopping { .. } => {
                *self = Self::Assigned { attempt };
                Ok(())
            }
            _ => Err(self.refuse("give way")),
        }
    }

    /// The attempt under way is to be stopped.
    ///
    /// # Errors
    /// When none is, or it is being stopped already.
    pub fn stop(&mut self, reason: StopReason) -> Result<Attempt, IllegalTaskStep> {
        let (attempt, running) = match *self {
            Self::Assigned { attempt } => (attempt, false),
            Self::Running { attempt } => (attempt, true),
            _ => return Err(self.refuse("be stopped")),
        };
        *self = Self::Stopping { attempt, running, reason };
        Ok(attempt)
    }

    /// The attempt under way is over and the task is to be tried again: at once, or not before a
    /// time.
    ///
    /// # Errors
    /// When no attempt is under way.
    pub fn try_again(&mut self, not_before: Option<Timestamp>) -> Result<(), IllegalTaskStep> {
        if self.attempt().is_none() {
            return Err(self.refuse("be tried again"));
        }
        *self = match not_before {
            None => Self::Queued,
            Some(until) => Self::BackingOff { until },
        };
        Ok(())
    }

    /// The wait before the next attempt is over.
    ///
    /// # Errors
    /// Unless it was waiting.
    pub fn queue_again(&mut self) -> Result<(), IllegalTaskStep> {
        match self {
            Self::BackingOff { .. } => {
                *self = Self::Queued;
                Ok(())
            }
            _ => Err(self.refuse("be queued again")),
        }
    }

    /// Records the one final outcome.
    ///
    /// # Errors
    /// When it was settled before: the first outcome stays.
    pub fn settle(&mut self, outcome: Outcome) -> Result<(), IllegalTaskStep> {
        if let Self::Settled { .. } = self {
            return Err(self.refuse("be settled again"));
        }
        *self = Self::Settled { outcome: Box::new(outcome) };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn outcome(at: i64) -> Outcome {
        Outcome {
            verdict: Verdict::Succeeded,
            at: Timestamp(at),
            attempt: None,
            finish: None,
            detail: String::new(),
        }
    }

    fn step(state: &mut TaskState, which: u8, count: u32) -> Result<(), IllegalTaskStep> {
        match which {
            0 => state.assign(Attempt(count)),
            1 => state.start(),
            2 => state.stop(StopReason::Canceled).map(drop),
            3 => state.try_again(None),
            4 => state.try_again(Some(Timestamp(1))),
            5 => state.queue_again(),
            6 => state.begin_again(),
            7 => state.take_back(Attempt(count), count.is_multiple_of(2)),
            _ => state.settle(outcome(i64::from(count))),
        }
    }

    proptest! {
        #[test]
        fn a_refused_step_changes_nothing_and_an_outcome_is_final(
            steps in prop::collection::vec(0_u8..9, 1..60)
        ) {
            let mut state = TaskState::Queued;
            for (count, which) in (1..).zip(steps) {
                let before = state.clone();
                let result = step(&mut state, which, count);
                if result.is_err() || before.status().is_settled() {
                    prop_assert_eq!(&state, &before);
                }
                // An attempt is under way exactly in the states that say so.
                let under_way = matches!(
                    state.status(), TaskStatus::Assigned | TaskStatus::Running
                );
                prop_assert_eq!(state.attempt().is_some(), under_way);
            }
        }
    }

    #[test]
    fn every_status_and_reason_is_named_as_it_is_serialized() {
        for (name, status) in TaskStatus::ALL {
            assert_eq!(serde_json::to_value(status).expect("json"), name);
        }
        for (name, reason) in FailureReason::ALL {
            assert_eq!(serde_json::to_value(reason).expect("json"), name);
        }
    }
}

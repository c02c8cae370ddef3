//! The life of an assignment as the core knows it. A state carries exactly what is true in it;
//! a transition that makes no sense is a named error and changes nothing.
//!
//! ```text
//! offered ─▶ accepted ◀─▶ running ─▶ ended (finished, refused, lost, withdrawn)
//!     └──────────┴──────────┴─▶ unknown ─▶ stray ─▶ ended
//!                                  └─────────┴─▶ (heard again: back)
//! ```
//! A running attempt becomes an accepted one when its agent, cut off, begins it again by itself.
//! A stray is an attempt that was given up while nobody knew whether it ran, in favour of another:
//! its agent's return decides which of the two stays.

use serde::{Deserialize, Serialize};

use crate::id::Attempt;
use crate::report::{End, Finish, RefusalReason};
use crate::time::Timestamp;

/// What users see of an assignment's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AssignmentStatus {
    /// The agent was told and has not answered.
    Offered,
    /// The agent has it on its disk.
    Accepted,
    /// Its process runs.
    Running,
    /// It did what it was meant to do.
    Succeeded,
    /// It did not.
    Failed,
    /// It was stopped or withdrawn on request.
    Canceled,
    /// Its agent cannot be heard.
    Unknown,
    /// It was given up because its agent was silent for too long, or forgot it. It may come back
    /// while its task is not settled.
    Lost,
}

/// How far an assignment has come, as its agent told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "progress", rename_all = "snake_case")]
pub enum Progress {
    /// Nothing was heard about it yet.
    Offered,
    /// On the agent's disk.
    Accepted {
        /// Since when.
        accepted_at: Timestamp,
    },
    /// Running.
    Running {
        /// Since when.
        started_at: Timestamp,
    },
}

/// How an assignment ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "snake_case")]
pub enum Ending {
    /// The agent told its end.
    Finished(Box<Finish>),
    /// The agent did not take it.
    Refused {
        /// Why.
        reason: RefusalReason,
        /// A sentence for people.
        detail: String,
    },
    /// Given up: nobody knows whether it ran, or still runs.
    Lost {
        /// Why, for people.
        detail: String,
    },
    /// Taken back on request while its agent could not be heard.
    Withdrawn,
    /// Another attempt of the same task was kept instead.
    Superseded {
        /// Which.
        by: Attempt,
    },
}

/// The state of an assignment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AssignmentState {
    /// Its agent can be heard.
    Live(Progress),
    /// Its agent cannot be heard.
    Unknown {
        /// Since when.
        since: Timestamp,
        /// How far it had come when last heard of.
        last: Progress,
    },
    /// Its agent was silent for too long and another attempt was to take its place.
    Stray {
        /// Since when.
        since: Timestamp,
        /// How far it had come when last heard of.
        last: Progress,
    },
    /// It is over; this never changes again.
    Ended {
        /// When.
        at: Timestamp,
        /// How.
        ending: Ending,
    },
}

/// A transition that the life cycle does not have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an assignment that is {from:?} cannot {to}")]
pub struct IllegalAssignmentStep {
    /// Where it stands.
    pub from: AssignmentStatus,
    /// What was asked of it.
    pub to: &'static str,
}

impl AssignmentState {
    /// A new assignment.
    #[must_use]
    pub fn offered() -> Self {
        Self::Live(Progress::Offered)
    }

    /// What users see.
    #[must_use]
    pub fn status(&self) -> AssignmentStatus {
        match self {
            Self::Live(Progress::Offered) => AssignmentStatus::Offered,
            Self::Live(Progress::Accepted { .. }) => AssignmentStatus::Accepted,
            Self::Live(Progress::Running { .. }) => AssignmentStatus::Running,
            Self::Unknown { .. } => AssignmentStatus::Unknown,
            Self::Stray { .. } => AssignmentStatus::Lost,
            Self::Ended { ending, .. } => ending.status(),
        }
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }

    /// How far it had come when last heard of; `None` once it is over.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        match self {
            Self::Live(progress)
            | Self::Unknown { last: progress, .. }
            | Self::Stray { last: progress, .. } => Some(*progress),
            Self::Ended { .. } => None,
        }
    }

    /// Whether it was given up and may come back.
    #[must_use]
    pub fn is_stray(&self) -> bool {
        matches!(self, Self::Stray { .. })
    }

    /// Takes what its agent told; a stray stays one until it is decided which copy stays.
    fn advance(&mut self, progress: Progress) {
        *self = match *self {
            Self::Stray { since, .. } => Self::Stray { since, last: progress },
            _ => Self::Live(progress),
        };
    }

    fn refuse(&self, to: &'static str) -> IllegalAssignmentStep {
        IllegalAssignmentStep { from: self.status(), to }
    }

    /// The agent has it on its disk.
    ///
    /// # Errors
    /// When it was accepted before, or is over.
    pub fn accept(&mut self, accepted_at: Timestamp) -> Result<(), IllegalAssignmentStep> {
        match self.progress() {
            Some(Progress::Offered) => {
                self.advance(Progress::Accepted { accepted_at });
                Ok(())
            }
            _ => Err(self.refuse("be accepted")),
        }
    }

    /// Its process runs.
    ///
    /// # Errors
    /// When it runs already, or is over.
    pub fn start(&mut self, started_at: Timestamp) -> Result<(), IllegalAssignmentStep> {
        match self.progress() {
            Some(Progress::Offered | Progress::Accepted { .. }) => {
                self.advance(Progress::Running { started_at });
                Ok(())
            }
            _ => Err(self.refuse("start")),
        }
    }

    /// A run of it is over and its agent begins another. That the first was accepted, and ran, may
    /// not have been told apart from this.
    ///
    /// # Errors
    /// When it is over.
    pub fn begin_again(&mut self, at: Timestamp) -> Result<(), IllegalAssignmentStep> {
        match self.progress() {
            Some(_) => {
                self.advance(Progress::Accepted { accepted_at: at });
                Ok(())
            }
            _ => Err(self.refuse("be begun again")),
        }
    }

    /// Its agent cannot be heard any more.
    ///
    /// # Errors
    /// When it could not be heard before, or it is over.
    pub fn go_silent(&mut self, since: Timestamp) -> Result<(), IllegalAssignmentStep> {
        match *self {
            Self::Live(last) => {
                *self = Self::Unknown { since, last };
                Ok(())
            }
            _ => Err(self.refuse("go silent")),
        }
    }

    /// It is given up in favour of another attempt, unless it comes back.
    ///
    /// # Errors
    /// When it is over, or was given up before.
    pub fn go_astray(&mut self, since: Timestamp) -> Result<(), IllegalAssignmentStep> {
        match *self {
            Self::Live(last) | Self::Unknown { last, .. } => {
                *self = Self::Stray { since, last };
                Ok(())
            }
            _ => Err(self.refuse("go astray")),
        }
    }

    /// Its agent is heard again and still has it.
    ///
    /// # Errors
    /// When it was neither unknown nor a stray.
    pub fn hear_again(&mut self) -> Result<(), IllegalAssignmentStep> {
        match *self {
            Self::Unknown { last, .. } | Self::Stray { last, .. } => {
                *self = Self::Live(last);
                Ok(())
            }
            _ => Err(self.refuse("be heard again")),
        }
    }

    /// It is over.
    ///
    /// # Errors
    /// When it was over before: what was first recorded stays.
    pub fn end(&mut self, at: Timestamp, ending: Ending) -> Result<(), IllegalAssignmentStep> {
        if self.is_ended() {
            return Err(self.refuse("end"));
        }
        *self = Self::Ended { at, ending };
        Ok(())
    }
}

impl Ending {
    /// What users see.
    #[must_use]
    pub fn status(&self) -> AssignmentStatus {
        match self {
            Self::Finished(finish) => match &finish.end {
                end if end.is_success() => AssignmentStatus::Succeeded,
                End::Stopped { .. } => AssignmentStatus::Canceled,
                _ => AssignmentStatus::Failed,
            },
            Self::Refused { .. } => AssignmentStatus::Failed,
            Self::Lost { .. } => AssignmentStatus::Lost,
            Self::Withdrawn | Self::Superseded { .. } => AssignmentStatus::Canceled,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(state: &mut AssignmentState, which: u8) -> Result<(), IllegalAssignmentStep> {
        let at = Timestamp(i64::from(which));
        match which {
            0 => state.accept(at),
            1 => state.start(at),
            2 => state.go_silent(at),
            3 => state.hear_again(),
            4 => state.go_astray(at),
            5 => state.begin_again(at),
            _ => state.end(at, Ending::Withdrawn),
        }
    }

    proptest! {
        #[test]
        fn a_refused_step_changes_nothing_and_an_end_is_final(
            steps in prop::collection::vec(0_u8..7, 1..40)
        ) {
            let mut state = AssignmentState::offered();
            let mut rank = 0;
            for which in steps {
                let before = state.clone();
                if step(&mut state, which).is_err() {
                    prop_assert_eq!(&state, &before);
                }
                if before.is_ended() {
                    prop_assert_eq!(&state, &before);
                }
                let now = match state.progress() {
                    Some(Progress::Offered) => 0,
                    Some(Progress::Accepted { .. }) => 1,
                    Some(Progress::Running { .. }) => 2,
                    None => 3,
                };
                let again = which == 5 && (rank, now) == (2, 1);
                prop_assert!(now >= rank || again, "an assignment went back");
                // What its agent tells does not make a stray anything else.
                if before.is_stray() && !matches!(which, 3 | 6) {
                    prop_assert!(state.is_stray());
                }
                rank = now;
            }
        }
    }
}

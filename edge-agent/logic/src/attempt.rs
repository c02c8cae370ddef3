//! The life of an attempt on its agent. A state carries exactly what is true in it; a transition
//! that makes no sense is a named error and changes nothing.
//!
//! ```text
//! accepted ─▶ starting ─▶ running ─▶ (finished)
//!    │  ▲         │ │        │
//!    │  └─────────┘ └──▶ stopping ─▶ (finished)
//!    └──▶ (finished)
//! ```
//! A run that failed or vanished while the core cannot be asked may be followed by another: then
//! the attempt is accepted again.
//!
//! Finished attempts are only remembered by the number of their final report, until the core has
//! acknowledged it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::{Boot, ScheduleId, Sequence};
use shared::report::{End, Output, StopReason};
use shared::time::{Monotonic, Timestamp};
use shared::wire::downlink::{LocalRetry, Order};

/// Why the agent ends an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum Cause {
    /// Somebody wants it to end.
    Requested {
        /// Who, and why.
        reason: StopReason,
    },
    /// It ran longer than it may.
    TimedOut,
}

impl Cause {
    /// How the attempt ended because of it.
    #[must_use]
    pub fn end(self) -> End {
        match self {
            Self::Requested { reason } => End::Stopped { reason },
            Self::TimedOut => End::TimedOut,
        }
    }
}

/// The state of an attempt that is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// On disk; waits for its turn.
    Accepted,
    /// A process is being made of it, or was when the agent went down. On disk before the
    /// process is asked for, so that after a crash one knows to look for it.
    Starting {
        /// The agent's start that asked for the process.
        boot: Boot,
    },
    /// Its process runs.
    Running {
        /// The agent's start that saw it start, or found it.
        boot: Boot,
        /// When it started, by the wall clock.
        started_at: Timestamp,
    },
    /// Its process was told to end.
    Stopping {
        /// Why.
        #[serde(flatten)]
        cause: Cause,
        /// When the process started, if it was seen to.
        started_at: Option<Timestamp>,
    },
}

/// A transition that the life cycle does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("an attempt that is {from:?} cannot {to:?}")]
pub struct IllegalStep {
    /// Where it stands.
    pub from: State,
    /// What was asked of it.
    pub to: Move,
}

/// What can be asked of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Move {
    /// Get a process.
    Begin,
    /// Wait again: no process was made.
    WaitAgain,
    /// Run.
    Run,
    /// Be stopped.
    Stop,
    /// Wait for another run: the one before is over.
    BeginAgain,
}

impl State {
    /// The name users see.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Starting { .. } => "starting",
            Self::Running { .. } => "running",
            Self::Stopping { .. } => "stopping",
        }
    }

    /// Whether there is a process, or may be.
    #[must_use]
    pub fn is_active(self) -> bool {
        !matches!(self, Self::Accepted)
    }

    /// When its process started, if it was seen to.
    #[must_use]
    pub fn started_at(self) -> Option<Timestamp> {
        match self {
            Self::Accepted | Self::Starting { .. } => None,
            Self::Running { started_at, .. } => Some(started_at),
            Self::Stopping { started_at, .. } => started_at,
        }
    }

    fn refuse(self, to: Move) -> IllegalStep {
        IllegalStep { from: self, to }
    }

    /// A process is to be made of it.
    ///
    /// # Errors
    /// Unless it waits.
    pub fn begin(&mut self, boot: Boot) -> Result<(), IllegalStep> {
        match *self {
            Self::Accepted => *self = Self::Starting { boot },
            other => return Err(other.refuse(Move::Begin)),
        }
        Ok(())
    }

    /// No process was made of it, and none will be unless it is begun anew.
    ///
    /// # Errors
    /// Unless one was being made.
    pub fn wait_again(&mut self) -> Result<(), IllegalStep> {
        match *self {
            Self::Starting { .. } => *self = Self::Accepted,
            other => return Err(other.refuse(Move::WaitAgain)),
        }
        Ok(())
    }

    /// Its process runs.
    ///
    /// # Errors
    /// Unless one was being made, or it was stopped before it was seen to run.
    pub fn run(&mut self, boot: Boot, started_at: Timestamp) -> Result<(), IllegalStep> {
        match *self {
            Self::Starting { .. } => *self = Self::Running { boot, started_at },
            Self::Stopping { cause, started_at: None } => {
                *self = Self::Stopping { cause, started_at: Some(started_at) };
            }
            other => return Err(other.refuse(Move::Run)),
        }
        Ok(())
    }

    /// A run of it is over and another follows.
    ///
    /// # Errors
    /// When it has no process, or was stopped on request.
    pub fn begin_again(&mut self) -> Result<(), IllegalStep> {
        match *self {
            Self::Starting { .. }
            | Self::Running { .. }
            | Self::Stopping { cause: Cause::TimedOut, .. } => *self = Self::Accepted,
            other => return Err(other.refuse(Move::BeginAgain)),
        }
        Ok(())
    }

    /// Its process is told to end. The first cause stays.
    ///
    /// # Errors
    /// When it has no process or is being stopped already.
    pub fn stop(&mut self, cause: Cause) -> Result<(), IllegalStep> {
        match *self {
            Self::Starting { .. } | Self::Running { .. } => {
                *self = Self::Stopping { cause, started_at: self.started_at() };
            }
            other => return Err(other.refuse(Move::Stop)),
        }
        Ok(())
    }
}

/// An attempt that is not over, with all that is needed to carry it out.
#[derive(Debug, Clone, PartialEq)]
pub struct Live {
    /// Counts acceptances: among equal priorities the lower one starts first.
    pub number: u64,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// What to run.
    pub order: Arc<Order>,
    /// The schedule of this agent's own that made it, if one did.
    pub schedule: Option<ScheduleId>,
    /// Where it stands.
    pub state: State,
    /// How often it was run before, and why that was not enough.
    pub runs: Runs,
    /// Since when its process runs, by the monotonic clock, if it does.
    pub started: Option<Monotonic>,
    /// What was told of its way and may still be dropped when its end is told.
    pub told: Vec<Sequence>,
}

/// A run that is over, while the core cannot be asked what is to follow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Undecided {
    /// How it ended.
    pub end: End,
    /// What is known of it beside that.
    pub remains: Remains,
    /// When the agent decides by itself.
    pub at: Monotonic,
}

/// What is known of a run that ended, beside how.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Remains {
    /// When its process started, if it was seen to.
    pub started_at: Option<Timestamp>,
    /// How long it ran, in milliseconds.
    pub ran_ms: Option<u64>,
    /// The end of what it wrote.
    pub output: Output,
}

/// The runs of one attempt that are over and were followed by another.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Runs {
    /// How many of them failed.
    pub failures: u32,
    /// How many of them vanished.
    pub losses: u32,
}

impl Runs {
    /// The number of the run that is under way or comes next, from 0.
    #[must_use]
    pub fn number(self) -> u32 {
        self.failures.saturating_add(self.losses)
    }

    /// Whether a run that ended like this may be followed by another.
    #[must_use]
    pub fn allow_another(self, end: &End, retry: &LocalRetry) -> bool {
        match end {
            End::Exited { code: 0 } | End::Stopped { .. } => false,
            End::Vanished { .. } => self.losses < retry.losses_max,
            _ => self.failures < retry.failures_max,
        }
    }

    /// The same with one more that ended like this.
    #[must_use]
    pub fn with(self, end: &End) -> Self {
        match end {
            End::Vanished { .. } => Self { losses: self.losses.saturating_add(1), ..self },
            _ => Self { failures: self.failures.saturating_add(1), ..self },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rank(state: State) -> u8 {
        match state {
            State::Accepted => 0,
            State::Starting { .. } => 1,
            State::Running { .. } => 2,
            State::Stopping { .. } => 3,
        }
    }

    proptest! {
        #[test]
        fn a_refused_move_changes_nothing_and_only_waiting_again_goes_back(
            moves in prop::collection::vec(0_u8..5, 1..40)
        ) {
            let mut state = State::Accepted;
            for which in moves {
                let before = state;
                let at = Timestamp(7);
                let result = match which {
                    0 => state.begin(Boot(1)),
                    1 => state.wait_again(),
                    2 => state.run(Boot(1), at),
                    3 => state.begin_again(),
                    _ => state.stop(Cause::TimedOut),
                };
                match result {
                    Err(refused) => {
                        prop_assert_eq!(state, before);
                        prop_assert_eq!(refused.from, before);
                    }
                    Ok(()) => {
                        prop_assert!(matches!(which, 1 | 3) || rank(state) >= rank(before));
                    }
                }
                // A process that was seen to start is never forgotten before its run is over.
                let seen = before.started_at().is_some();
                prop_assert!(!seen || state.started_at() == before.started_at() || which == 3);
            }
        }
    }

    #[test]
    fn the_first_cause_stays() {
        let mut state = State::Starting { boot: Boot(1) };
        state.stop(Cause::TimedOut).expect("stop");
        let canceled = Cause::Requested { reason: StopReason::Canceled };
        assert!(state.stop(canceled).is_err());
        assert_eq!(state, State::Stopping { cause: Cause::TimedOut, started_at: None });
        state.run(Boot(1), Timestamp(3)).expect("seen to run after all");
        assert_eq!(state.started_at(), Some(Timestamp(3)));
    }

    #[test]
    fn a_state_survives_the_disk() {
        for state in [
            State::Accepted,
            State::Starting { boot: Boot(2) },
            State::Running { boot: Boot(2), started_at: Timestamp(5) },
            State::Stopping { cause: Cause::TimedOut, started_at: None },
            State::Stopping {
                cause: Cause::Requested { reason: StopReason::Superseded },
                started_at: Some(Timestamp(5)),
            },
        ] {
            let text = serde_json::to_string(&state).expect("json");
            assert_eq!(serde_json::from_str::<State>(&text).expect(&text), state);
            assert!(text.contains(state.name()), "{text}");
        }
    }
}

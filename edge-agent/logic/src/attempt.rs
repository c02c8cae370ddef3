//! The life of an attempt on its agent. A state carries exactly what is true in it; a transition
//! that makes no sense is a named error and changes nothing.
//!
//! ```text
//! accepted ─▶ starting ─▶ running ─▶ (finished)
//!    │  ▲         │ │        │
//!    │  └─────────┘ └──▶ stopping ─▶ (finished)
//!    └──▶ (finished)
//! ```
//! Finished attempts are only remembered by the number of their final report, until the core has
//! acknowledged it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::Boot;
use shared::report::{End, StopReason};
use shared::time::Timestamp;
use shared::wire::downlink::Order;

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
    /// Where it stands.
    pub state: State,
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
            moves in prop::collection::vec(0_u8..4, 1..40)
        ) {
            let mut state = State::Accepted;
            for which in moves {
                let before = state;
                let at = Timestamp(7);
                let result = match which {
                    0 => state.begin(Boot(1)),
                    1 => state.wait_again(),
                    2 => state.run(Boot(1), at),
                    _ => state.stop(Cause::TimedOut),
                };
                match result {
                    Err(refused) => {
                        prop_assert_eq!(state, before);
                        prop_assert_eq!(refused.from, before);
                    }
                    Ok(()) => prop_assert!(which == 1 || rank(state) >= rank(before)),
                }
                // A process that was seen to start is never forgotten.
                prop_assert!(before.started_at().is_none() || state.started_at() == before.started_at());
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

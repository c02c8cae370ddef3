//! What the edge agent decides. Pure: `step` takes the state, one input and the moment, and says
//! what changed (to be committed) and what follows (to be done once it is). No I/O, no clock, no
//! randomness; the same inputs give the same changes and effects, byte for byte.
//!
//! One attempt's way: `flow``::accept` → `start` → `finish` → `report`; `cancel`, `offline` and
//! `lease` end it early, `retry` runs it again while the core cannot be asked, `recover` takes it
//! up again after a restart, `fire` makes attempts of the moments of schedules, `resync` keeps core and agent in step. `step` is the one match over
//! everything that can happen.

pub mod admission;
pub mod agent;
pub mod attempt;
mod book;
pub mod change;
pub mod clock;
pub mod effect;
mod entries;
mod flow;
pub mod input;
pub mod invariant;
pub mod link;
pub mod memory;
#[cfg(not(feature = "planted"))]
mod planted;
#[cfg(feature = "planted")]
pub mod planted;
pub mod progress;
pub mod resident;
pub mod settings;
mod step;

pub use agent::{Agent, Start};
pub use change::{Change, Stored};
pub use effect::{Effect, Notice, Outcome};
pub use input::Input;
pub use settings::Settings;

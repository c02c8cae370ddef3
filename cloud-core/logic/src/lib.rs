//! What the cloud core decides. Pure: `step` takes the state, one input and the moment, and says
//! what changed (to be committed) and what follows (to be done once it is). No I/O, no clock, no
//! randomness; the same inputs give the same changes and effects, byte for byte.

pub mod change;
mod channel;
pub mod cloud;
pub mod document;
pub mod effect;
pub mod firing;
pub mod fleet;
mod flow;
pub mod happening;
pub mod input;
pub mod invariant;
mod ledger;
mod lookup;
pub mod placement;
#[cfg(not(feature = "planted"))]
mod planted;
#[cfg(feature = "planted")]
pub mod planted;
mod queue;
pub mod schedules;
pub mod settings;
mod shelves;
mod specs;
mod step;
mod timers;

pub use change::{Change, Stored};
pub use cloud::Cloud;
pub use effect::{Answer, Effect, Outcome, Taken};
pub use flow::submit::KEYS_MAX;
pub use input::{
    Input, NewTask, Published, PutSchedule, ReplyTo, ScheduleOperation, Submission, Submissions,
};
pub use settings::Settings;
pub use step::Watch;

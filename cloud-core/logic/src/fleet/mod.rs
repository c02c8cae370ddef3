//! The agents the core knows: what they are, whether they can be heard, what they measure.

pub mod agent;
pub mod liveness;
pub mod signal;

pub use agent::{Agent, Fleet};
pub use liveness::Liveness;
pub use signal::Signal;

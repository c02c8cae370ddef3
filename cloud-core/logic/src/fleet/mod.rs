//! The agents the core knows: what they are, whether they can be heard, what they measure.

pub mod agent;
mod ids;
pub mod liveness;
mod numbered;
pub mod signal;

pub use agent::Agent;
pub use liveness::Liveness;
pub use numbered::{Fleet, Number};
pub use signal::Signal;

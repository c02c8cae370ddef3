//! What the agent finds out about its own machine: how busy it is, what it has, where it is.
//! Reads small files and one system call; keeps nothing but the last sample to compare with.

mod host;
mod position;

pub use host::{HostFacts, HostProbe, HostSample};
pub use position::{PositionError, PositionProbe};

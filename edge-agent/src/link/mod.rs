//! The agent's line to its core: one connection at a time, each with its own number and its own
//! last will, every message sealed. Before the agent has a credential the line joins; afterwards
//! it speaks for the agent. Decides nothing but when to connect and as whom.
//!
//! A connection that was up and broke is never taken up again: its last will names it, so the
//! next connection needs another will. Until a connection is up, the link below goes on trying.

mod dial;
mod event;
mod join;
mod line;
#[cfg(test)]
mod malformed;

pub use dial::{Caller, Dial, mqtt, reach};
pub use event::{LineError, LineEvent, Me};
pub use line::Line;

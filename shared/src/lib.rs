//! The words that both towers speak: identifiers, time, geography, tasks, reports, and the
//! messages that carry them. Pure: no I/O, no clock, no randomness; time and chance are arguments.

pub mod api;
pub mod assignment;
pub mod backoff;
pub mod border;
pub mod capacity;
pub mod geo;
pub mod id;
pub mod label;
pub mod mailbox;
pub mod report;
pub mod schedule;
#[cfg(feature = "schema")]
mod schema;
pub mod spec;
pub mod task;
pub mod time;
pub mod trace;
pub mod wire;

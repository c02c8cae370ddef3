//! A core and a fleet as two processes of this program. On the core's side everything that a core has
//! but HTTP and MQTT: links, seals, driver, decisions, SQLite. On the agents' side every agent is the
//! real logic with a store in memory. Between them is a socket.

pub mod agents;
pub mod board;
mod bridge;
pub mod core;
mod frame;
mod side;
mod tally;

pub use side::{Side, Status};

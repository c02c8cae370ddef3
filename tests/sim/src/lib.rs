//! The simulator: the real decisions of the core and of the agents over a network, disks, clocks
//! and processes that are played, in one thread and virtual time, everything from one seed. See
//! `docs/SIMULATION.md` for how to run it and what it has found.
#![allow(missing_docs)]

mod agent_node;
mod board;
mod board_life;
mod calm;
mod chance;
mod clients;
mod copies;
mod core_node;
pub mod coverage;
pub mod cut;
mod describe;
mod disk;
mod event;
mod failure;
mod faults;
mod keepers;
mod maps;
mod moments;
mod network;
mod parcel;
pub mod plan;
#[cfg(not(feature = "planted"))]
mod planted;
#[cfg(feature = "planted")]
pub mod planted;
#[cfg(feature = "planted")]
pub mod planting;
mod processes;
pub mod report;
mod residents;
pub mod runs;
pub mod schedules;
pub mod script;
pub mod shrink;
mod specs;
pub mod sweep;
pub mod trace;
mod watch;
pub mod wiretap;
mod world;
mod zones;

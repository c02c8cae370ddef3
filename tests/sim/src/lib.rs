//! The simulator: the real decisions of the core and of the agents over a network, disks, clocks
//! and processes that are played, in one thread and virtual time, everything from one seed. See
//! `docs/SIMULATION.md` for how to run it and what it has found.
#![allow(missing_docs)]

mod agent_node;
mod board;
mod chance;
mod clients;
mod core_node;
mod coverage;
mod faults;
mod maps;
mod network;
mod plan;
mod processes;
pub mod runs;
mod world;

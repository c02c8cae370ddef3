//! The promises, held against real processes: the core, agents, and each of the two brokers.

mod access;
mod agent_death;
mod backup;
mod chaos;
mod cli;
mod core_death;
mod documented;
mod events;
mod https;
mod logs;
mod offline;
mod outcomes;
mod overload;
mod partitions;
mod placement;
mod policy;
mod schedules;
mod security;
mod status;
mod topics;
mod traces;

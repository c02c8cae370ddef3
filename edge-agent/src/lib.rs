//! The edge agent's I/O: what it runs, measures, stores and says. What it decides is in
//! `edge-agent-logic`; `driver` is where the two meet.

pub mod app;
pub mod cli;
pub mod config;
pub mod doctor;
pub mod driver;
pub mod exec;
pub mod folder;
pub mod identity;
pub mod link;
pub mod look;
pub mod observe;
pub mod probe;
pub mod room;
pub mod shelf;
pub mod store;

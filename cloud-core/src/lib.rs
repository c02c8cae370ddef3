//! The cloud core's outside: everything that touches the world. It decides nothing; what follows
//! from what is in `cloud-core-logic`, and the driver here commits before it speaks.

pub mod access;
pub mod app;
pub mod broker;
pub mod cli;
pub mod client;
pub mod config;
pub mod dev;
pub mod driver;
pub mod export;
pub mod http;
pub mod link;
pub mod observe;
pub mod store;
pub mod topics;

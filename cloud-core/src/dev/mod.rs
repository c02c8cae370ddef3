//! `ambit dev`: a whole fleet on this machine. A core with the embedded broker in this process, and
//! one agent process per city behind a link of its own. Everything stops together.

pub mod boards;
pub mod cities;
pub mod client;
pub mod delay;
mod tour;

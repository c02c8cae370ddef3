//! The edge agent's I/O: what it runs, measures, stores and says.

pub mod exec;
pub mod probe;

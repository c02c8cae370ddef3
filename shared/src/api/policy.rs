//! The placement policy as the API shows it.

use serde::{Deserialize, Serialize};

/// The placement policy in force, and how often it was changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyDocument {
    /// Its version; recorded with every placement.
    pub version: u64,
    /// What it says.
    pub policy: PlacementPolicy,
}

/// How agents are ranked. A field that is left out has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlacementPolicy {
    /// The weights of the terms for tasks that do not set their own.
    pub weights: PolicyWeights,
    /// The distance at which the distance term is one half, in metres.
    pub distance_m_ref: f64,
    /// The round trip at which the latency term is one half, in milliseconds.
    pub latency_ms_ref: f64,
    /// Fill agents up one after the other instead of spreading work.
    pub packing: bool,
}

/// How much each term of a score counts, relative to the others; 0 to 1000 each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyWeights {
    /// Weight of a low load.
    pub load: u32,
    /// Weight of free capacity.
    pub capacity: u32,
    /// Weight of a short distance.
    pub distance: u32,
    /// Weight of a low latency.
    pub latency: u32,
}

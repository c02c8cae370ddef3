//! The placement policy as the API shows it. What is the same in the core (filters, strategies,
//! profiles) has its one type here.

use std::collections::BTreeMap;

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
    /// Which of the filters that can be turned off are on.
    #[serde(default)]
    pub filters: PolicyFilters,
    /// How long a search may take, in microseconds; null is as long as the exact answer takes.
    #[serde(default)]
    pub budget_us: Option<u32>,
    /// How tasks that wait together are placed.
    #[serde(default)]
    pub batch: BatchStrategy,
    /// Variants by name, for tasks that ask for one in `prefer.profile`. The fields above are what
    /// all other tasks are placed by.
    #[serde(default)]
    pub profiles: BTreeMap<String, PolicyProfile>,
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

/// The filters that a policy can turn off, each true while it is on: those that a task sets on
/// where it runs, not on what it needs to run. One that is off lets every agent pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PolicyFilters {
    /// Keep to `where.regions`.
    pub region: bool,
    /// Keep to `where.near.within_m`.
    pub too_far: bool,
    /// Keep to `where.area`.
    pub outside_area: bool,
    /// Keep to `where.latency_ms_max`.
    pub latency_too_high: bool,
    /// Count a latency that was never measured as one above `where.latency_ms_max`.
    pub latency_unknown: bool,
}

impl Default for PolicyFilters {
    fn default() -> Self {
        Self {
            region: true,
            too_far: true,
            outside_area: true,
            latency_too_high: true,
            latency_unknown: true,
        }
    }
}

impl PolicyFilters {
    /// Each by its name.
    pub fn named_mut(&mut self) -> [(&'static str, &mut bool); 5] {
        [
            ("region", &mut self.region),
            ("too_far", &mut self.too_far),
            ("outside_area", &mut self.outside_area),
            ("latency_too_high", &mut self.latency_too_high),
            ("latency_unknown", &mut self.latency_unknown),
        ]
    }
}

/// How tasks that wait together are placed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum BatchStrategy {
    /// One after the other, each on the agent that is best for it.
    Greedy,
    /// Together, so that the sum of their scores is highest.
    Assign,
    /// One after the other, unless they compete for few agents.
    #[default]
    Auto,
}

impl BatchStrategy {
    /// Every strategy with its name.
    pub const ALL: [(&'static str, Self); 3] =
        [("greedy", Self::Greedy), ("assign", Self::Assign), ("auto", Self::Auto)];
}

/// A variant of the policy: what it says holds instead of what stands beside `profiles`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct PolicyProfile {
    /// The weights that differ.
    #[serde(skip_serializing_if = "ProfileWeights::is_empty")]
    pub weights: ProfileWeights,
    /// The distance at which the distance term is one half, in metres.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance_m_ref: Option<f64>,
    /// The round trip at which the latency term is one half, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms_ref: Option<f64>,
    /// Fill agents up one after the other instead of spreading work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packing: Option<bool>,
    /// The filters that differ.
    #[serde(skip_serializing_if = "ProfileFilters::is_empty")]
    pub filters: ProfileFilters,
    /// How long a search may take, in microseconds; 0 is as long as the exact answer takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_us: Option<u32>,
    /// How tasks that wait together are placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<BatchStrategy>,
}

/// The weights that a profile sets; the others are the policy's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ProfileWeights {
    /// Weight of a low load.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<u32>,
    /// Weight of free capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Weight of a short distance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distance: Option<u32>,
    /// Weight of a low latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<u32>,
}

impl ProfileWeights {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The filters that a profile turns on or off; the others are as the policy has them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, default)]
pub struct ProfileFilters {
    /// Keep to `where.regions`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<bool>,
    /// Keep to `where.near.within_m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub too_far: Option<bool>,
    /// Keep to `where.area`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outside_area: Option<bool>,
    /// Keep to `where.latency_ms_max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_too_high: Option<bool>,
    /// Count a latency that was never measured as one above `where.latency_ms_max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_unknown: Option<bool>,
}

impl ProfileFilters {
    /// Each by its name.
    pub fn named_mut(&mut self) -> [(&'static str, &mut Option<bool>); 5] {
        [
            ("region", &mut self.region),
            ("too_far", &mut self.too_far),
            ("outside_area", &mut self.outside_area),
            ("latency_too_high", &mut self.latency_too_high),
            ("latency_unknown", &mut self.latency_unknown),
        ]
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

//! The placement policy: what a good place is, apart from what each task says. Configuration, with
//! a version that every placement records; owns the defaults, and what a profile comes to. Reading
//! and checking one is in [`read`].

mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::api::{
    BatchStrategy, PlacementPolicy, PolicyDocument, PolicyFilters, PolicyProfile, PolicyWeights,
};
use shared::spec::TaskSpec;

/// How agents are chosen and ranked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Counts its changes; recorded with every placement.
    pub version: u64,
    /// The weights of the terms for tasks that do not set their own.
    pub weights: Weights,
    /// The distance at which the distance term is one half, in metres.
    pub distance_m_ref: f64,
    /// The round trip at which the latency term is one half, in milliseconds.
    pub latency_ms_ref: f64,
    /// Fill agents up one after the other instead of spreading work: turns the capacity term
    /// round.
    pub packing: bool,
    /// Which of the filters that can be turned off are on.
    pub filters: PolicyFilters,
    /// How long a search may take, in microseconds; `None` is as long as the exact answer takes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_us: Option<u32>,
    /// How tasks that wait together are placed.
    pub batch: BatchStrategy,
    /// Variants by name, for the tasks that ask for one. All else here is for the others.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, PolicyProfile>,
}

/// How much each term of a score counts, relative to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Weights {
    /// Weight of a low load.
    pub load: u32,
    /// Weight of free capacity.
    pub capacity: u32,
    /// Weight of a short distance.
    pub distance: u32,
    /// Weight of a low latency.
    pub latency: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self { load: 30, capacity: 40, distance: 20, latency: 10 }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            version: 1,
            weights: Weights::default(),
            distance_m_ref: 100_000.0,
            latency_ms_ref: 50.0,
            packing: false,
            filters: PolicyFilters::default(),
            budget_us: None,
            batch: BatchStrategy::default(),
            profiles: BTreeMap::new(),
        }
    }
}

impl Policy {
    /// What tasks of a profile are placed by: the policy, with what the profile says in its place.
    /// Without a profile, or with one that the policy does not have, the policy itself.
    #[must_use]
    pub fn of(&self, profile: Option<&str>) -> Cow<'_, Self> {
        match profile.and_then(|name| self.profiles.get(name)) {
            Some(profile) => Cow::Owned(self.with(profile)),
            None => Cow::Borrowed(self),
        }
    }

    /// The profile that a task is placed by: the one it asks for, while there is one.
    #[must_use]
    pub fn profile_of<'a>(&self, spec: &'a TaskSpec) -> Option<&'a str> {
        let asked = spec.prefer.profile.as_deref();
        asked.filter(|name| self.profiles.contains_key(*name))
    }

    /// The policy without its profiles, and with what one says in its place.
    fn with(&self, profile: &PolicyProfile) -> Self {
        let PolicyProfile {
            weights,
            distance_m_ref,
            latency_ms_ref,
            packing,
            filters,
            budget_us,
            batch,
        } = profile;
        let (usual, on) = (&self.weights, &self.filters);
        Self {
            version: self.version,
            weights: Weights {
                load: weights.load.unwrap_or(usual.load),
                capacity: weights.capacity.unwrap_or(usual.capacity),
                distance: weights.distance.unwrap_or(usual.distance),
                latency: weights.latency.unwrap_or(usual.latency),
            },
            distance_m_ref: distance_m_ref.unwrap_or(self.distance_m_ref),
            latency_ms_ref: latency_ms_ref.unwrap_or(self.latency_ms_ref),
            packing: packing.unwrap_or(self.packing),
            filters: PolicyFilters {
                region: filters.region.unwrap_or(on.region),
                too_far: filters.too_far.unwrap_or(on.too_far),
                outside_area: filters.outside_area.unwrap_or(on.outside_area),
                latency_too_high: filters.latency_too_high.unwrap_or(on.latency_too_high),
                latency_unknown: filters.latency_unknown.unwrap_or(on.latency_unknown),
            },
            budget_us: budget_us.map_or(self.budget_us, exact_at_0),
            batch: batch.unwrap_or(self.batch),
            profiles: BTreeMap::new(),
        }
    }

    /// The policy as the API shows it.
    #[must_use]
    pub fn document(&self) -> PolicyDocument {
        let Weights { load, capacity, distance, latency } = self.weights;
        let policy = PlacementPolicy {
            weights: PolicyWeights { load, capacity, distance, latency },
            distance_m_ref: self.distance_m_ref,
            latency_ms_ref: self.latency_ms_ref,
            packing: self.packing,
            filters: self.filters,
            budget_us: self.budget_us,
            batch: self.batch,
            profiles: self.profiles.clone(),
        };
        PolicyDocument { version: self.version, policy }
    }
}

/// A search that may take 0 µs is one that may take as long as it likes.
fn exact_at_0(budget_us: u32) -> Option<u32> {
    (budget_us > 0).then_some(budget_us)
}

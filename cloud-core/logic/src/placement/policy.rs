//! The placement policy: what a good place is, apart from what each task says. Configuration, with
//! a version that every placement records; owns the defaults and their check.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use shared::api::{PlacementPolicy, PolicyDocument, PolicyWeights};
use shared::border::{Fields, Problem, Problems};

/// The highest weight of a term, as in a task's `prefer`.
const WEIGHT_MAX: u32 = 1_000;

/// How agents are ranked.
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
        }
    }
}

impl Policy {
    /// Reads a policy that a stranger wrote; fields that are left out have their defaults.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its JSON pointer.
    pub fn parse(document: &Value) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::default();
        let mut policy = Self::default();
        if let Some(mut fields) = Fields::of(document, "", &mut problems) {
            if let Some(mut terms) = fields.object("weights", &mut problems) {
                let weights = &mut policy.weights;
                for (term, weight) in [
                    ("load", &mut weights.load),
                    ("capacity", &mut weights.capacity),
                    ("distance", &mut weights.distance),
                    ("latency", &mut weights.latency),
                ] {
                    let given = terms.integer(term, 0..=u64::from(WEIGHT_MAX), &mut problems);
                    *weight = given.and_then(|given| u32::try_from(given).ok()).unwrap_or(*weight);
                }
                terms.finish(&mut problems);
            }
            for (name, reference) in [
                ("distance_m_ref", &mut policy.distance_m_ref),
                ("latency_ms_ref", &mut policy.latency_ms_ref),
            ] {
                let given = fields.number(name, f64::MIN..=f64::MAX, &mut problems);
                *reference = given.unwrap_or(*reference);
            }
            policy.packing = fields.boolean("packing", &mut problems).unwrap_or(policy.packing);
            fields.finish(&mut problems);
        }
        problems.into_result(())?;
        policy.check()?;
        Ok(policy)
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
        };
        PolicyDocument { version: self.version, policy }
    }

    /// Whether it makes sense. Placement itself survives any policy; this is for the border, where
    /// a person can still be told.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its JSON pointer.
    pub fn check(&self) -> Result<(), Vec<Problem>> {
        let mut problems = Problems::default();
        let references =
            [("/distance_m_ref", self.distance_m_ref), ("/latency_ms_ref", self.latency_ms_ref)];
        for (pointer, reference) in references {
            if !(reference.is_finite() && reference > 0.0) {
                problems.add(pointer, format!("must be a number above 0, not {reference}"));
            }
        }
        let Weights { load, capacity, distance, latency } = self.weights;
        let weights =
            [("load", load), ("capacity", capacity), ("distance", distance), ("latency", latency)];
        for (term, weight) in weights {
            if weight > WEIGHT_MAX {
                let detail = format!("must be a whole number from 0 to {WEIGHT_MAX}, not {weight}");
                problems.add(format!("/weights/{term}"), detail);
            }
        }
        if weights.iter().all(|&(_, weight)| weight == 0) {
            problems.add("/weights", "must give at least one term a weight above 0");
        }
        problems.into_result(())
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    proptest! {
        #[test]
        fn no_document_breaks_the_reader(weight: f64, reference: f64, key in ".{0,8}", text in ".{0,8}") {
            let weights = json!({"load": weight, "capacity": reference, key.clone(): text});
            let document = json!({"weights": weights, "distance_m_ref": reference, key: [weight]});
            if let Err(problems) = Policy::parse(&document) {
                prop_assert!(!problems.is_empty());
            }
        }
    }
}

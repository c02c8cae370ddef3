//! The arithmetic of a score: plain IEEE operations in a fixed order, so that every build comes to
//! the same bits, and nothing that an agent or a policy says makes them NaN.
//!
//! Every function here is monotone in what describes an agent, rounding included: each operation
//! is, and so is one after the other. The index relies on it. It puts the best value of every
//! column among many agents into the very same functions, and what comes out is at least what any
//! of them scores, to the last bit.

use super::Request;
use super::policy::Policy;

/// How much each term counts for one task. A weight comes from the task, else from the policy;
/// without a point to be near, the distance has none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighing {
    pub(super) load: f64,
    pub(super) capacity: f64,
    pub(super) distance: f64,
    pub(super) latency: f64,
    /// The sum of all; 1 where that is 0.
    pub(super) total: f64,
}

impl Weighing {
    pub(super) fn of(request: &Request<'_>, policy: &Policy) -> Self {
        let (own, usual) = (&request.spec.prefer, &policy.weights);
        let load = f64::from(own.load.unwrap_or(usual.load));
        let capacity = f64::from(own.capacity.unwrap_or(usual.capacity));
        let distance = match request.spec.place.near {
            Some(_) => f64::from(own.distance.unwrap_or(usual.distance)),
            None => 0.0,
        };
        let latency = f64::from(own.latency.unwrap_or(usual.latency));
        let total = load + capacity + distance + latency;
        // Nothing divided by anything is nothing.
        Self { load, capacity, distance, latency, total: if total > 0.0 { total } else { 1.0 } }
    }

    /// Whether the distance counts.
    pub(super) fn counts_distance(&self) -> bool {
        self.distance > 0.0
    }

    /// Σ weight × term ÷ Σ weight, in this order. Rises with every term. Without any weight every
    /// agent scores 0, and the smallest id wins.
    #[inline]
    pub(super) fn mean(&self, load: f64, capacity: f64, distance: f64, latency: f64) -> f64 {
        let sum = self.load * load
            + self.capacity * capacity
            + self.distance * distance
            + self.latency * latency;
        sum / self.total
    }
}

/// free ÷ capacity; an agent that has none of a resource has nothing free. Rises with what is free,
/// falls with the capacity, which is a whole number.
#[inline]
pub(super) fn free_share(free: f64, capacity: f64) -> f64 {
    free / capacity.max(1.0)
}

/// The mean free share as a term: packing turns it round.
#[inline]
pub(super) fn turned(free: f64, packing: bool) -> f64 {
    if packing { 1.0 - free } else { free }
}

/// 1 ÷ (1 + value ÷ reference), for a value from 0 to infinity, which is what is unknown and scores
/// 0. Falls as the value rises. The reference is one that [`reference`] gave.
#[inline]
pub(super) fn closeness(value: f64, reference: f64) -> f64 {
    1.0 / (1.0 + value / reference)
}

/// A reference as [`closeness`] can take it: finite and above 0, whatever a policy says. One that is
/// not above 0 becomes the smallest there is: 1 at nothing, else 0.
pub(super) fn reference(reference: f64) -> f64 {
    if reference > 0.0 { reference.min(f64::MAX) } else { f64::from_bits(1) }
}

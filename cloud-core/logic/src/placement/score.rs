//! The score: four terms, each 0..1, and their weighted mean. Plain IEEE arithmetic in a fixed
//! order, so that every build and every index comes to the same bits; nothing that an agent or a
//! policy says makes it NaN.

use std::cmp::Ordering;

use shared::api::{Candidate, Terms};
use shared::capacity::Resources;
use shared::geo::distance_m;

use super::Request;
use super::policy::Policy;
use crate::fleet::Agent;

/// An agent with its score: a candidate that still borrows its agent, cheap to throw away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scored<'a> {
    agent: &'a Agent,
    score: f64,
    terms: Terms,
    distance_m: Option<f64>,
}

impl<'a> Scored<'a> {
    /// Scores an agent, feasible or not.
    pub(super) fn of(agent: &'a Agent, request: &Request<'_>, policy: &Policy) -> Self {
        let near = request.spec.place.near;
        let distance_m = near.and_then(|near| {
            agent.facts.position.map(|position| distance_m(position, near.position))
        });
        let terms = Terms {
            load: load_term(agent),
            capacity: capacity_term(agent, &request.spec.needs, policy.packing),
            distance: near.map(|_| closeness(distance_m, policy.distance_m_ref)),
            latency: closeness(agent.signal.latency_ms(), policy.latency_ms_ref),
        };
        Self { agent, score: weighted(&terms, request, policy), terms, distance_m }
    }

    /// Best first: the highest score, of equal ones the smaller agent id.
    pub(super) fn ranking(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then_with(|| self.agent.id.cmp(&other.agent.id))
    }

    /// As the API shows it.
    pub(super) fn candidate(&self) -> Candidate {
        Candidate {
            agent: self.agent.id.clone(),
            score: self.score,
            terms: self.terms,
            distance_m: self.distance_m,
            latency_ms: self.agent.signal.latency_ms(),
        }
    }
}

/// What one agent scores for a task, whether or not it may take it.
#[must_use]
pub fn candidate(agent: &Agent, request: &Request<'_>, policy: &Policy) -> Candidate {
    Scored::of(agent, request, policy).candidate()
}

/// Σ weight × term ÷ Σ weight, in the order load, capacity, distance, latency. A weight comes from
/// the task, else from the policy; without a point to be near, the distance has none. Without any
/// weight every agent scores 0, and the smallest id wins.
fn weighted(terms: &Terms, request: &Request<'_>, policy: &Policy) -> f64 {
    let (own, usual) = (&request.spec.prefer, &policy.weights);
    let weighed = [
        (own.load.unwrap_or(usual.load), Some(terms.load)),
        (own.capacity.unwrap_or(usual.capacity), Some(terms.capacity)),
        (own.distance.unwrap_or(usual.distance), terms.distance),
        (own.latency.unwrap_or(usual.latency), Some(terms.latency)),
    ];
    let (mut sum, mut weights) = (0.0, 0.0);
    for (weight, term) in weighed {
        if let Some(term) = term {
            sum += f64::from(weight) * term;
            weights += f64::from(weight);
        }
    }
    if weights > 0.0 { sum / weights } else { 0.0 }
}

/// 1 − max(measured load, reserved share of the scarcest resource), at least 0. The share is what
/// is reserved before this task, and the scarcest resource is the one of all that the agent has,
/// devices included, of which the largest part is reserved.
fn load_term(agent: &Agent) -> f64 {
    let (capacity, used) = (&agent.facts.capacity, &agent.used);
    let scalars = capacity.scalars().into_iter().zip(used.scalars());
    let devices = capacity
        .devices
        .iter()
        .map(|(name, &count)| (u64::from(count), u64::from(used.device(name))));
    let reserved = scalars
        .chain(devices)
        .filter(|&(capacity, _)| capacity > 0)
        .map(|(capacity, used)| used as f64 / capacity as f64)
        .fold(0.0, f64::max);
    (1.0 - agent.signal.load().max(reserved)).clamp(0.0, 1.0)
}

/// The mean over the resources asked for of (free after placement ÷ capacity); nothing asked for:
/// over cpu and memory. A resource the agent has none of counts as nothing free. Packing turns the
/// term round.
fn capacity_term(agent: &Agent, needs: &Resources, packing: bool) -> f64 {
    let (capacity, used) = (&agent.facts.capacity, &agent.used);
    let (all, held, asked) = (capacity.scalars(), used.scalars(), needs.scalars());
    let nothing_asked = needs.is_zero();
    let (mut sum, mut count) = (0.0, 0.0);
    let mut take = |capacity: u64, used: u64, needed: u64| {
        sum += free_share(capacity, used, needed);
        count += 1.0;
    };
    for index in 0..4 {
        // The first two are cpu and memory.
        if asked[index] > 0 || (nothing_asked && index < 2) {
            take(all[index], held[index], asked[index]);
        }
    }
    for (name, &needed) in needs.devices.iter().filter(|&(_, &needed)| needed > 0) {
        take(capacity.device(name).into(), used.device(name).into(), needed.into());
    }
    let free = sum / count;
    if packing { 1.0 - free } else { free }
}

/// (capacity − used − needed) ÷ capacity, at least 0.
fn free_share(capacity: u64, used: u64, needed: u64) -> f64 {
    let free = capacity.saturating_sub(used).saturating_sub(needed);
    if capacity == 0 { 0.0 } else { free as f64 / capacity as f64 }
}

/// 1 ÷ (1 + value ÷ reference); what is unknown scores 0. A reference that is not above 0 is taken
/// as its limit: 1 at nothing, else 0.
fn closeness(value: Option<f64>, reference: f64) -> f64 {
    let Some(value) = value.map(|value| value.max(0.0)) else {
        return 0.0;
    };
    if reference > 0.0 {
        1.0 / (1.0 + value / reference)
    } else if value > 0.0 {
        0.0
    } else {
        1.0
    }
}

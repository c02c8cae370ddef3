//! The score: four terms, each 0..1, and their weighted mean. The arithmetic is in `terms`; here an
//! agent's figures are put into it.

use std::cmp::Ordering;

use shared::api::{Candidate, Terms};
use shared::capacity::Resources;
use shared::geo::distance_m;

use super::Request;
use super::policy::Policy;
use super::terms::{Weighing, closeness, free_share, reference, turned};
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
            distance: near.map(|_| known_closeness(distance_m, policy.distance_m_ref)),
            latency: known_closeness(agent.signal.latency_ms(), policy.latency_ms_ref),
        };
        let distance = terms.distance.unwrap_or(0.0);
        let weighing = Weighing::of(request, policy);
        let score = weighing.mean(terms.load, terms.capacity, distance, terms.latency);
        Self { agent, score, terms, distance_m }
    }

    /// The score, 0..1.
    pub(super) fn score(&self) -> f64 {
        self.score
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
            gap: None,
        }
    }
}

/// What one agent scores for a task, whether or not it may take it.
#[must_use]
pub fn candidate(agent: &Agent, request: &Request<'_>, policy: &Policy) -> Candidate {
    Scored::of(agent, request, policy).candidate()
}

/// 1 − max(measured load, reserved share of the scarcest resource), at least 0. The share is what
/// is reserved before this task, and the scarcest resource is the one of all that the agent has,
/// devices included, of which the largest part is reserved.
pub(super) fn load_term(agent: &Agent) -> f64 {
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
        let free = capacity.saturating_sub(used).saturating_sub(needed);
        sum += free_share(free as f64, capacity as f64);
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
    turned(sum / count, packing)
}

/// What is unknown is nowhere near.
fn known_closeness(value: Option<f64>, reference_value: f64) -> f64 {
    closeness(value.map_or(f64::INFINITY, |value| value.max(0.0)), reference(reference_value))
}

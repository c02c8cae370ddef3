//! Choosing: the one agent of the fleet that no other feasible one beats. The roster's index answers
//! in the core; the straight scan says the same to the last bit, and is what the index is tested
//! against.

use std::fmt::Debug;

use shared::api::Candidate;

use super::Request;
use super::filter::is_feasible;
use super::policy::Policy;
use super::score::Scored;
use crate::fleet::{Agent, Fleet};

/// Knows a fleet, and finds the best agent of it for a task.
pub trait Chooser: Debug {
    /// The feasible agent with the highest score, of equal ones the one with the smaller id;
    /// `None` when no agent is feasible. Exact: not a sample, not an approximation; only a policy's
    /// budget may end the search before, and then the candidate says by how much it may be beaten.
    fn best(&self, request: &Request<'_>, policy: &Policy) -> Option<Candidate>;
}

/// Looks at every agent of a fleet.
#[derive(Debug, Clone, Copy)]
pub struct FullScan<'a>(pub &'a Fleet);

impl Chooser for FullScan<'_> {
    fn best(&self, request: &Request<'_>, policy: &Policy) -> Option<Candidate> {
        let Self(fleet) = self;
        let listed = &request.spec.place.agents;
        if listed.is_empty() {
            best_of(fleet.iter(), request, policy)
        } else {
            best_of(listed.iter().filter_map(|id| fleet.get(id)), request, policy)
        }
    }
}

fn best_of<'a>(
    agents: impl Iterator<Item = &'a Agent>,
    request: &Request<'_>,
    policy: &Policy,
) -> Option<Candidate> {
    agents
        .filter(|agent| is_feasible(agent, request, policy))
        .map(|agent| Scored::of(agent, request, policy))
        .min_by(Scored::ranking)
        .map(|best| best.candidate())
}

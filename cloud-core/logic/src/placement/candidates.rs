//! Choosing: the one agent of the fleet that no other feasible one beats. A straight scan today,
//! behind the trait that an index will take over; both give the same answer to the last bit.

use std::fmt::Debug;

use shared::api::Candidate;

use super::Request;
use super::filter::is_feasible;
use super::policy::Policy;
use super::score::Scored;
use crate::fleet::{Agent, Fleet};

/// Finds the best agent for a task.
pub trait Chooser: Debug + Send + Sync {
    /// The feasible agent with the highest score, of equal ones the one with the smaller id;
    /// `None` when no agent is feasible. Exact: not a sample, not an approximation.
    fn best(&self, fleet: &Fleet, request: &Request<'_>, policy: &Policy) -> Option<Candidate>;
}

/// Looks at every agent.
#[derive(Debug, Clone, Copy, Default)]
pub struct FullScan;

impl Chooser for FullScan {
    fn best(&self, fleet: &Fleet, request: &Request<'_>, policy: &Policy) -> Option<Candidate> {
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
        .filter(|agent| is_feasible(agent, request))
        .map(|agent| Scored::of(agent, request, policy))
        .min_by(Scored::ranking)
        .map(|best| best.candidate())
}

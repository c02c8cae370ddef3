//! How agents would stand while a plan is played: with what those before have reserved. An agent is
//! copied only when somebody looks at it after it was taken from.

use shared::api::Candidate;

use super::shortlist::{Shortlists, Site};
use crate::fleet::Agent;
use crate::placement::Request;
use crate::placement::filter::has_room;
use crate::placement::score::{Scored, candidate};

/// What has been taken from the agents looked at.
#[derive(Debug, Default)]
pub(super) struct Standings<'a> {
    sites: Vec<Standing<'a>>,
}

/// What has been taken from one of them.
#[derive(Debug, Default)]
struct Standing<'a> {
    /// How many tasks it was given.
    taken: u32,
    /// The first of them, while there is no copy.
    first: Option<Request<'a>>,
    copy: Option<Box<Agent>>,
}

fn reserve(agent: &mut Agent, request: &Request<'_>) {
    agent.used.add(&request.spec.needs);
    agent.assignments += 1;
}

impl<'a> Standings<'a> {
    /// How many tasks an agent was given.
    pub(super) fn taken(&self, site: Site) -> u32 {
        self.sites.get(site as usize).map_or(0, |standing| standing.taken)
    }

    /// The agent as it stands.
    fn view<'b>(&'b mut self, lists: &Shortlists<'a>, site: Site) -> &'b Agent
    where
        'a: 'b,
    {
        let agent = lists.agent(site);
        let Some(standing) = self.sites.get_mut(site as usize) else {
            return agent;
        };
        if let Some(first) = standing.first.take() {
            let mut copy = Box::new(agent.clone());
            reserve(&mut copy, &first);
            standing.copy = Some(copy);
        }
        standing.copy.as_deref().unwrap_or(agent)
    }

    /// Whether an agent on the list of a task may take it now.
    pub(super) fn may_take(
        &mut self,
        lists: &Shortlists<'a>,
        site: Site,
        request: &Request<'a>,
    ) -> bool {
        // Untouched, it is as it was when it was listed.
        self.taken(site) == 0 || has_room(self.view(lists, site), request)
    }

    /// What a task scores on an agent now.
    pub(super) fn score(
        &mut self,
        lists: &Shortlists<'a>,
        site: Site,
        request: &Request<'a>,
    ) -> f64 {
        Scored::of(self.view(lists, site), request, lists.policy).score()
    }

    /// The same, with all its terms.
    pub(super) fn candidate(
        &mut self,
        lists: &Shortlists<'a>,
        site: Site,
        request: &Request<'a>,
    ) -> Candidate {
        candidate(self.view(lists, site), request, lists.policy)
    }

    /// Gives an agent a task.
    pub(super) fn reserve(&mut self, lists: &Shortlists<'a>, site: Site, request: &Request<'a>) {
        let at = site as usize;
        if self.sites.len() <= at {
            self.sites.resize_with(at + 1, Standing::default);
        }
        if self.sites[at].taken == 0 {
            self.sites[at].first = Some(*request);
        } else {
            self.view(lists, site);
            if let Some(copy) = &mut self.sites[at].copy {
                reserve(copy, request);
            }
        }
        self.sites[at].taken += 1;
    }
}

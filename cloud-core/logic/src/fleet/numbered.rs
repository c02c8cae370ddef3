//! All agents, by id. Each has a number besides, by which an index over them can be kept. Agents are kept behind `Arc`, so that a reader takes an immutable snapshot of the whole fleet
//! without stopping the core: changing an agent that a snapshot still holds copies that one agent.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use shared::id::AgentId;

use super::agent::Agent;

/// The number of an agent: dense, given in the order of arrival, and never given again.
pub(crate) type Number = u32;

/// All agents, by id.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    agents: BTreeMap<AgentId, Numbered>,
    /// The number of the next newcomer.
    next: Number,
}

/// An agent with the number by which the index knows it.
#[derive(Debug, Clone)]
struct Numbered {
    number: Number,
    agent: Arc<Agent>,
}

impl Fleet {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.agents.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.agents.is_empty()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &AgentId) -> Option<&Agent> {
        self.agents.get(id).map(|numbered| numbered.agent.as_ref())
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values().map(|numbered| numbered.agent.as_ref())
    }

    /// Those behind `after`, by id: a page of the list.
    pub fn after<'a>(&'a self, after: Option<&AgentId>) -> impl Iterator<Item = &'a Agent> {
        let from = after.map_or(Unbounded, |id| Excluded(id.clone()));
        self.agents.range((from, Unbounded)).map(|(_, numbered)| numbered.agent.as_ref())
    }

    /// Adds one, or replaces it.
    pub fn put(&mut self, agent: Agent) {
        self.put_numbered(agent);
    }

    /// Adds one, or replaces it, and says its number.
    pub(crate) fn put_numbered(&mut self, agent: Agent) -> Number {
        let id = agent.id.clone();
        let agent = Arc::new(agent);
        match self.agents.get_mut(&id) {
            Some(known) => {
                known.agent = agent;
                known.number
            }
            None => {
                let number = self.next;
                self.next += 1;
                self.agents.insert(id, Numbered { number, agent });
                number
            }
        }
    }

    /// Changes one; says its number and what it is now, beside what `how` says. `None` when there is
    /// none of this id.
    pub(crate) fn change<R>(
        &mut self,
        id: &AgentId,
        how: impl FnOnce(&mut Agent) -> R,
    ) -> Option<(Number, &Agent, R)> {
        let numbered = self.agents.get_mut(id)?;
        let answer = how(Arc::make_mut(&mut numbered.agent));
        Some((numbered.number, &numbered.agent, answer))
    }

    /// Takes one out; says its number.
    pub(crate) fn remove(&mut self, id: &AgentId) -> Option<Number> {
        self.agents.remove(id).map(|numbered| numbered.number)
    }

    /// All of them with their numbers, by id.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (Number, &Agent)> {
        self.agents.values().map(|numbered| (numbered.number, numbered.agent.as_ref()))
    }

    /// The number of one.
    pub(crate) fn number(&self, id: &AgentId) -> Option<Number> {
        self.agents.get(id).map(|numbered| numbered.number)
    }

    /// The numbers of those next to an id.
    pub(crate) fn beside(&self, id: &AgentId) -> [Option<Number>; 2] {
        let before = self.agents.range((Unbounded, Excluded(id))).next_back();
        let after = self.agents.range((Excluded(id), Unbounded)).next();
        [before, after].map(|beside| beside.map(|(_, numbered)| numbered.number))
    }
}

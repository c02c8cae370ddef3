//! All agents, by id. Each has a number besides, by which an index over them can be kept.
//!
//! Agents are kept behind `Arc`, so that a reader takes an immutable snapshot of the whole fleet
//! without stopping the core: changing an agent that a snapshot still holds copies that one agent.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use shared::id::AgentId;

use super::agent::Agent;
use crate::lookup::{Lookup, hash};

/// The number of an agent: dense, given in the order of arrival, and never given again.
pub(crate) type Number = u32;

/// All agents, by id.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    /// In order of their ids.
    numbers: BTreeMap<AgentId, Number>,
    /// The same numbers, found faster.
    lookup: Lookup,
    /// By number; nobody where one was taken out.
    agents: Vec<Option<Arc<Agent>>>,
}

impl Fleet {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, id: &AgentId) -> Option<&Agent> {
        self.at(self.number(id)?)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.numbered().map(|(_, agent)| agent)
    }

    /// Those behind `after`, by id: a page of the list.
    pub fn after<'a>(&'a self, after: Option<&AgentId>) -> impl Iterator<Item = &'a Agent> {
        let from = after.map_or(Unbounded, |id| Excluded(id.clone()));
        self.numbers.range((from, Unbounded)).filter_map(|(_, number)| self.at(*number))
    }

    /// Adds one, or replaces it; says its number.
    pub(crate) fn put(&mut self, agent: Agent) -> Number {
        let known = self.number(&agent.id);
        let Self { numbers, lookup, agents } = self;
        // As many as fit into memory have numbers that fit into one.
        let number = known.unwrap_or(agents.len() as Number);
        let id = agent.id.clone();
        let agent = Some(Arc::new(agent));
        match agents.get_mut(number as usize) {
            Some(known) => *known = agent,
            None => agents.push(agent),
        }
        if known.is_none() {
            lookup.insert(hash(id.as_str()), number, hash_in(agents));
            numbers.insert(id, number);
        }
        number
    }

    /// Changes the one with a number; says what it is now, beside what `how` says.
    pub(crate) fn change<R>(
        &mut self,
        number: Number,
        how: impl FnOnce(&mut Agent) -> R,
    ) -> Option<(&Agent, R)> {
        let agent = self.agents.get_mut(number as usize)?.as_mut()?;
        let answer = how(Arc::make_mut(agent));
        Some((agent, answer))
    }

    /// Takes one out; says its number.
    pub(crate) fn remove(&mut self, id: &AgentId) -> Option<Number> {
        let number = self.numbers.remove(id)?;
        self.lookup.remove(hash(id.as_str()), number, hash_in(&self.agents));
        self.agents[number as usize] = None;
        Some(number)
    }

    /// The one with a number.
    pub(crate) fn at(&self, number: Number) -> Option<&Agent> {
        self.agents.get(number as usize)?.as_deref()
    }

    /// All of them with their numbers, by id.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (Number, &Agent)> {
        self.numbers.values().filter_map(|number| Some((*number, self.at(*number)?)))
    }

    /// All of them with their numbers, by number.
    pub(crate) fn by_number(&self) -> impl Iterator<Item = (Number, &Agent)> {
        let all = self.agents.iter().enumerate();
        all.filter_map(|(number, agent)| Some((number as Number, agent.as_deref()?)))
    }

    /// All numbers, by id.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = Number> {
        self.numbers.values().copied()
    }

    /// The number of one.
    pub(crate) fn number(&self, id: &AgentId) -> Option<Number> {
        let is = |number| self.at(number).is_some_and(|agent| agent.id == *id);
        self.lookup.find(hash(id.as_str()), is)
    }

    /// The numbers of those next to an id.
    pub(crate) fn beside(&self, id: &AgentId) -> [Option<Number>; 2] {
        let before = self.numbers.range((Unbounded, Excluded(id))).next_back();
        let after = self.numbers.range((Excluded(id), Unbounded)).next();
        [before, after].map(|beside| beside.map(|(_, number)| *number))
    }
}

/// The hash of the id of each.
fn hash_in(agents: &[Option<Arc<Agent>>]) -> impl Fn(Number) -> u64 {
    |number| agents[number as usize].as_ref().map_or(0, |agent| hash(agent.id.as_str()))
}

impl FromIterator<Agent> for Fleet {
    fn from_iter<I: IntoIterator<Item = Agent>>(agents: I) -> Self {
        let mut fleet = Self::default();
        agents.into_iter().for_each(|agent| {
            fleet.put(agent);
        });
        fleet
    }
}

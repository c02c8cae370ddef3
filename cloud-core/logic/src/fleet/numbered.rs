//! All agents, by id. Each has a number besides, by which an index over them can be kept.
//!
//! A reader takes an immutable snapshot of the whole fleet without stopping the core: ids and agents
//! are shared, a few thousand at a time, until they change. Changing an agent that a snapshot still holds copies that
//! one agent, and the list of those beside it.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use shared::id::AgentId;

use super::agent::Agent;
use super::ids::Ids;
use crate::lookup::{Lookup, hash};
use crate::shelves::Shelves;

/// The number of an agent: dense, given in the order of arrival, and never given again.
pub type Number = u32;

/// Agents that are shared, or copied, together.
const TOGETHER: usize = 64;

type Agents = Shelves<[Option<Arc<Agent>>; TOGETHER]>;

/// All agents, by id.
#[derive(Debug, Clone)]
pub struct Fleet {
    ids: Ids,
    /// The same ids, found faster. A snapshot has none: it would have to be copied.
    lookup: Option<Lookup>,
    /// By number; nobody where one was taken out, or has not come yet.
    agents: Agents,
    /// How many numbers were given.
    given: Number,
}

impl Default for Fleet {
    fn default() -> Self {
        let lookup = Some(Lookup::default());
        Self { ids: Ids::default(), lookup, agents: Agents::default(), given: 0 }
    }
}

impl Fleet {
    /// The fleet as it is now, for readers: shared, not copied.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        let (ids, agents) = (self.ids.clone(), self.agents.clone());
        Self { ids, lookup: None, agents, given: self.given }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.len() == 0
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
        let from = after.map_or(Unbounded, Excluded);
        self.ids.from(from).filter_map(|(_, number)| self.at(number))
    }

    /// All ids, in order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &AgentId> {
        self.ids.from(Unbounded).map(|(id, _)| id)
    }

    /// How many numbers were given: each is below this.
    pub(crate) fn given(&self) -> Number {
        self.given
    }

    /// Adds one, or replaces it; says its number.
    pub(crate) fn put(&mut self, agent: Agent) -> Number {
        let number = self.number(&agent.id).unwrap_or_else(|| self.welcome(&agent.id));
        if let Some(place) = self.place(number) {
            *place = Some(Arc::new(agent));
        }
        number
    }

    /// A number for an id that has none.
    fn welcome(&mut self, id: &AgentId) -> Number {
        // As many as fit into memory have numbers that fit into one.
        let number = self.given;
        self.given += 1;
        if number as usize / TOGETHER == self.agents.len() {
            self.agents.push([const { None }; TOGETHER]);
        }
        self.ids.insert(id.clone(), number);
        if let Some(lookup) = &mut self.lookup {
            lookup.insert(hash(id.as_str()), number, hash_in(&self.agents));
        }
        number
    }

    /// Changes the one with a number; says what it is now, beside what `how` says.
    pub(crate) fn change<R>(
        &mut self,
        number: Number,
        how: impl FnOnce(&mut Agent) -> R,
    ) -> Option<(&Agent, R)> {
        let agent = self.place(number)?.as_mut()?;
        let answer = how(Arc::make_mut(agent));
        Some((agent, answer))
    }

    /// Takes one out; says its number.
    pub(crate) fn remove(&mut self, id: &AgentId) -> Option<Number> {
        let number = self.ids.remove(id)?;
        if let Some(lookup) = &mut self.lookup {
            lookup.remove(hash(id.as_str()), number, hash_in(&self.agents));
        }
        *self.place(number)? = None;
        Some(number)
    }

    /// The one with a number.
    pub(crate) fn at(&self, number: Number) -> Option<&Agent> {
        at(&self.agents, number)
    }

    fn place(&mut self, number: Number) -> Option<&mut Option<Arc<Agent>>> {
        let number = number as usize;
        self.agents.get_mut(number / TOGETHER)?.get_mut(number % TOGETHER)
    }

    /// All of them with their numbers, by id.
    pub(crate) fn numbered(&self) -> impl Iterator<Item = (Number, &Agent)> {
        self.ids.from(Unbounded).filter_map(|(_, number)| Some((number, self.at(number)?)))
    }

    /// All of them with their numbers, by number.
    pub(crate) fn by_number(&self) -> impl Iterator<Item = (Number, &Agent)> {
        (0..self.given).filter_map(|number| Some((number, self.at(number)?)))
    }

    /// All numbers, by id.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = Number> {
        self.ids.from(Unbounded).map(|(_, number)| number)
    }

    /// One of them, with its number.
    pub(crate) fn numbered_one(&self, id: &AgentId) -> Option<(Number, &Agent)> {
        let number = self.number(id)?;
        Some((number, self.at(number)?))
    }

    /// The number of one: it keeps it as long as it is there.
    #[must_use]
    pub fn number(&self, id: &AgentId) -> Option<Number> {
        let Some(lookup) = &self.lookup else {
            return self.ids.get(id);
        };
        lookup.find(hash(id.as_str()), |number| self.at(number).is_some_and(|one| one.id == *id))
    }

    /// The numbers of those next to an id.
    pub(crate) fn beside(&self, id: &AgentId) -> [Option<Number>; 2] {
        let after = self.ids.from(Excluded(id)).next();
        [self.ids.before(id), after.map(|(_, number)| number)]
    }
}

/// The hash of the id of each.
fn hash_in(agents: &Agents) -> impl Fn(Number) -> u64 {
    |number| at(agents, number).map_or(0, |agent| hash(agent.id.as_str()))
}

fn at(agents: &Agents, number: Number) -> Option<&Agent> {
    let number = number as usize;
    agents.get(number / TOGETHER)?[number % TOGETHER].as_deref()
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

//! One agent as placement and the API see it, and the fleet that holds them all. Agents are kept
//! behind `Arc`, so that a reader takes an immutable snapshot of the whole fleet without stopping
//! the core: changing an agent that a snapshot still holds copies that one agent.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::api::{AgentDocument, AgentFlag, AgentStatus};
use shared::capacity::Resources;
use shared::id::AgentId;
use shared::time::Timestamp;
use shared::wire::uplink::Facts;

use super::signal::Signal;
use crate::change::Flags;

/// One agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// What it is.
    pub facts: Facts,
    /// What is set on it.
    pub flags: Flags,
    /// Whether it can be heard.
    pub status: AgentStatus,
    /// What it measures, smoothed.
    pub signal: Signal,
    /// What its assignments reserve.
    pub used: Resources,
    /// How many assignments it holds that are not over.
    pub assignments: u32,
    /// When it was last heard.
    pub last_seen: Option<Timestamp>,
}

impl Agent {
    /// The agent as the API shows it.
    #[must_use]
    pub fn document(&self) -> AgentDocument {
        let flags = [
            (self.flags.cordoned, AgentFlag::Cordoned),
            (self.flags.draining, AgentFlag::Draining),
            (self.flags.quarantined, AgentFlag::Quarantined),
            (self.flags.revoked, AgentFlag::Revoked),
        ];
        AgentDocument {
            id: self.id.clone(),
            status: self.status,
            flags: flags.into_iter().filter_map(|(set, flag)| set.then_some(flag)).collect(),
            position: self.facts.position,
            region: self.facts.region.clone(),
            labels: self.facts.labels.clone(),
            taints: self.facts.taints.clone(),
            arch: self.facts.arch.clone(),
            runtimes: self.facts.runtimes.clone(),
            load: self.signal.load(),
            latency_ms: self.signal.latency_ms(),
            assignments: self.assignments,
            assignments_max: self.facts.tasks_max,
            capacity: self.facts.capacity.clone(),
            used: self.used.clone(),
            last_seen: self.last_seen,
            clock_offset_ms: self.signal.clock_offset_ms(),
            clock_trusted: self.signal.clock_trusted(),
            version: self.facts.version.clone(),
        }
    }
}

/// All agents, by id. Every change goes through [`Fleet::put`] or [`Fleet::change`], so that an
/// index over them can follow.
#[derive(Debug, Clone, Default)]
pub struct Fleet {
    agents: BTreeMap<AgentId, Arc<Agent>>,
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
        self.agents.get(id).map(Arc::as_ref)
    }

    /// All of them, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Agent> {
        self.agents.values().map(Arc::as_ref)
    }

    /// Those behind `after`, by id: a page of the list.
    pub fn after<'a>(&'a self, after: Option<&AgentId>) -> impl Iterator<Item = &'a Agent> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, |id| Excluded(id.clone()));
        self.agents.range((from, Unbounded)).map(|(_, agent)| agent.as_ref())
    }

    /// Adds one, or replaces it.
    pub fn put(&mut self, agent: Agent) {
        self.agents.insert(agent.id.clone(), Arc::new(agent));
    }

    /// Changes one; `None` when there is none of this id.
    pub fn change<R>(&mut self, id: &AgentId, how: impl FnOnce(&mut Agent) -> R) -> Option<R> {
        self.agents.get_mut(id).map(|agent| how(Arc::make_mut(agent)))
    }
}

//! One agent as placement and the API see it.

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

//! What core and one agent have agreed on: how far each has come with the other's messages.
//!
//! The invariant of the way down: `wanted` holds one row per assignment that is live here or whose
//! end the agent has not applied, each under its own revision, none above `desired_rev`. What the
//! agent has applied is what it says; what was sent is only a hint for not sending it again yet.

use std::collections::BTreeMap;

use shared::id::{AgentId, AssignmentId, Boot, Revision};
use shared::mailbox::Inbox;
use shared::time::{Monotonic, Timestamp};

use crate::change::{AgentRow, NO_INCARNATION, WantedRow};
use crate::fleet::Liveness;
use crate::fleet::agent::Agent;

/// The state of the conversation with one agent.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) joined_at: Timestamp,
    pub(crate) boot: Boot,
    pub(crate) link: u64,
    pub(crate) inbox: Inbox,
    pub(crate) desired_rev: Revision,
    pub(crate) wanted: BTreeMap<Revision, WantedRow>,
    revision_of: BTreeMap<AssignmentId, Revision>,
    /// What the agent says it has applied.
    pub(crate) applied_rev: Revision,
    /// What was sent to it on this connection.
    pub(crate) sent_rev: Revision,
    pub(crate) liveness: Liveness,
    /// Whether it has said hello on this connection to this process of the core.
    pub(crate) greeted: bool,
    /// The last heartbeat taken on this connection.
    pub(crate) beat: u64,
}

impl Channel {
    pub(crate) fn new(now: Timestamp, liveness: Liveness) -> Self {
        Self {
            joined_at: now,
            boot: Boot(0),
            link: 0,
            inbox: Inbox { incarnation: NO_INCARNATION, acked: shared::id::Sequence(0) },
            desired_rev: Revision(0),
            wanted: BTreeMap::new(),
            revision_of: BTreeMap::new(),
            applied_rev: Revision(0),
            sent_rev: Revision(0),
            liveness,
            greeted: false,
            beat: 0,
        }
    }

    pub(crate) fn restore(row: &AgentRow, now: Monotonic) -> Self {
        Self {
            boot: row.boot,
            link: row.link,
            inbox: row.inbox,
            desired_rev: row.desired_rev,
            ..Self::new(row.joined_at, Liveness::remembered(now))
        }
    }

    /// Writes a row, replacing an earlier one about the same assignment.
    pub(crate) fn put(&mut self, row: WantedRow) {
        if let Some(old) = self.revision_of.insert(row.assignment, row.rev) {
            self.wanted.remove(&old);
        }
        self.wanted.insert(row.rev, row);
        self.desired_rev = self.desired_rev.max(row.rev);
    }

    /// Takes the row about an assignment away.
    pub(crate) fn remove(&mut self, assignment: AssignmentId) -> Option<WantedRow> {
        let rev = self.revision_of.remove(&assignment)?;
        self.wanted.remove(&rev)
    }

    /// The row about an assignment.
    pub(crate) fn row(&self, assignment: AssignmentId) -> Option<&WantedRow> {
        self.revision_of.get(&assignment).and_then(|rev| self.wanted.get(rev))
    }

    /// The agent's row as it is to be stored.
    pub(crate) fn agent_row(&self, agent: &Agent) -> AgentRow {
        AgentRow {
            id: agent.id.clone(),
            joined_at: self.joined_at,
            facts: agent.facts.clone(),
            flags: agent.flags,
            boot: self.boot,
            link: self.link,
            inbox: self.inbox,
            desired_rev: self.desired_rev,
            last_seen: agent.last_seen,
        }
    }
}

/// Every agent's channel.
pub(crate) type Channels = BTreeMap<AgentId, Channel>;

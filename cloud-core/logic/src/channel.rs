//! What core and one agent have agreed on: how far each has come with the other's messages.
//!
//! The invariant of the way down: `wanted` holds one row per assignment that is live here or whose
//! end the agent has not applied, each under its own revision, none above `desired_rev`. What the
//! agent has applied is what it says; what was sent is only a hint for not sending it again yet.

use std::collections::BTreeMap;

use shared::id::{
    AgentId, AssignmentId, Boot, Incarnation, Revision, ScheduleId, Sequence, Session,
};
use shared::mailbox::Inbox;
use shared::time::{Monotonic, Timestamp};
use shared::wire::uplink::{Held, InventoryPart};

use crate::change::{AgentRow, NO_INCARNATION, WantedRow};
use crate::fleet::Liveness;
use crate::fleet::agent::Agent;
use crate::schedules::ResidentRow;

/// The most parts of an inventory.
pub(crate) const PARTS_MAX: u32 = 10_000;

/// What an agent says it holds, as far as its parts have come.
#[derive(Debug, Clone)]
pub(crate) struct Collected {
    pub(crate) parts: BTreeMap<u32, InventoryPart>,
    pub(crate) of: u32,
    /// What it had applied when it said so.
    pub(crate) applied_rev: Revision,
    /// The last entry of its outbox then: what is over by then is told up to there.
    pub(crate) last_seq: Sequence,
    /// Whether what it holds of schedules was compared.
    pub(crate) schedules_compared: bool,
}

impl Collected {
    /// Whether all its parts are there.
    pub(crate) fn is_complete(&self) -> bool {
        self.parts.len() as u64 == u64::from(self.of)
    }

    /// The assignments that are held.
    pub(crate) fn assignments(&self) -> impl Iterator<Item = &Held> {
        self.parts.values().flat_map(|part| &part.holds)
    }

    /// The resident schedules that are held, with their tags; `None` if the agent does not say.
    pub(crate) fn schedules(&self) -> Option<BTreeMap<ScheduleId, u32>> {
        let mut all = BTreeMap::new();
        for part in self.parts.values() {
            all.extend(part.schedules.as_ref()?.iter().map(|held| (held.schedule, held.tag)));
        }
        Some(all)
    }
}

/// The state of the conversation with one agent.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    pub(crate) joined_at: Timestamp,
    pub(crate) boot: Boot,
    pub(crate) session: Session,
    pub(crate) link: u64,
    pub(crate) inbox: Inbox,
    pub(crate) former: Vec<Incarnation>,
    /// What it tells up to here was told before: to another core, or to this one before it was put back
    /// to a backup.
    pub(crate) told_before: Sequence,
    pub(crate) desired_rev: Revision,
    pub(crate) wanted: BTreeMap<Revision, WantedRow>,
    revision_of: BTreeMap<AssignmentId, Revision>,
    /// What it is to make of resident schedules.
    pub(crate) residents: BTreeMap<ScheduleId, ResidentRow>,
    /// The same by when it last changed.
    pub(crate) residents_by_rev: BTreeMap<Revision, ScheduleId>,
    /// What the agent says it has applied.
    pub(crate) applied_rev: Revision,
    /// What was sent to it on this connection.
    pub(crate) sent_rev: Revision,
    /// What of that was sent when it last said how far it is.
    pub(crate) sent_before: Revision,
    /// Whether it has not come on since, as far as it said: then something was lost on the way.
    pub(crate) stuck: bool,
    pub(crate) liveness: Liveness,
    /// Whether it has said hello on this connection to this process of the core.
    pub(crate) greeted: bool,
    /// The last heartbeat or hello taken on this connection.
    pub(crate) beat: u64,
    /// The number of the hello that was taken last.
    pub(crate) hello: u64,
    /// When a ping was last answered, or may have been by the core's process before this one.
    pub(crate) answered: Monotonic,
    /// Which start of which kernel it spoke from, once it said so to this process of the core.
    pub(crate) board: Option<u32>,
    /// Until when no lease is renewed: an earlier process of this name, perhaps on another board,
    /// may hold one.
    pub(crate) lease_from: Option<Monotonic>,
    /// What its present hello says it holds, until that was compared.
    pub(crate) inventory: Option<Collected>,
}

impl Channel {
    pub(crate) fn new(now: Timestamp, mono: Monotonic, liveness: Liveness) -> Self {
        Self {
            joined_at: now,
            boot: Boot(0),
            session: Session(0),
            link: 0,
            inbox: Inbox { incarnation: NO_INCARNATION, acked: shared::id::Sequence(0) },
            former: Vec::new(),
            told_before: Sequence(0),
            desired_rev: Revision(0),
            wanted: BTreeMap::new(),
            revision_of: BTreeMap::new(),
            residents: BTreeMap::new(),
            residents_by_rev: BTreeMap::new(),
            applied_rev: Revision(0),
            sent_rev: Revision(0),
            sent_before: Revision(0),
            stuck: false,
            liveness,
            greeted: false,
            beat: 0,
            hello: 0,
            answered: mono,
            board: None,
            lease_from: None,
            inventory: None,
        }
    }

    pub(crate) fn restore(row: &AgentRow, now: Monotonic) -> Self {
        Self {
            boot: row.boot,
            session: row.session,
            link: row.link,
            inbox: row.inbox,
            former: row.former.clone(),
            desired_rev: row.desired_rev,
            ..Self::new(row.joined_at, now, Liveness::remembered(now))
        }
    }

    /// Whether a message comes from the process and connection that last said hello.
    pub(crate) fn speaks(&self, incarnation: Incarnation, session: Session, link: u64) -> bool {
        self.greeted
            && (self.inbox.incarnation, self.session, self.link) == (incarnation, session, link)
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

    /// Writes a row about a resident schedule, replacing an earlier one.
    pub(crate) fn put_resident(&mut self, row: ResidentRow) {
        self.remove_resident(row.schedule);
        self.desired_rev = self.desired_rev.max(row.rev);
        self.residents_by_rev.insert(row.rev, row.schedule);
        self.residents.insert(row.schedule, row);
    }

    /// Takes the row about a resident schedule away.
    pub(crate) fn remove_resident(&mut self, schedule: ScheduleId) {
        if let Some(row) = self.residents.remove(&schedule) {
            self.residents_by_rev.remove(&row.rev);
        }
    }

    /// How many resident schedules it is to hold.
    pub(crate) fn held(&self) -> u32 {
        let held = self.residents.values().filter(|row| row.held).count();
        u32::try_from(held).unwrap_or(u32::MAX)
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
            session: self.session,
            link: self.link,
            withheld: self.lease_from.is_some(),
            inbox: self.inbox,
            former: self.former.clone(),
            desired_rev: self.desired_rev,
            last_seen: agent.last_seen,
        }
    }
}

/// Every agent's channel.
pub(crate) type Channels = BTreeMap<AgentId, Channel>;

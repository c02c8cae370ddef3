//! The roster: the fleet together with the index over it, so that neither is ever without the other.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;

use shared::api::{AgentStatus, Candidate};
use shared::capacity::Resources;
use shared::geo::Position;
use shared::id::AgentId;
use shared::spec::TaskSpec;

use super::Request;
use super::candidates::Chooser;
use super::groups::{Groups, Membership};
use super::index::Index;
use super::policy::Policy;
use super::repack::{Notes, Repack, Repacked, Repacking, take_over};
use super::score::candidate;
use super::snapshot::Snapshot;
use crate::change::Flags;
use crate::fleet::{Agent, Fleet, Number};

/// A fleet of so many agents is packed where it stands; a larger one beside the core.
const PACKED_AT_ONCE_MAX: usize = 20_000;

/// The fleet, with the index that follows every change of it: an agent changes through
/// [`Roster::put`], [`Roster::change`] and nothing else. Reads as a [`Fleet`].
#[derive(Debug, Default)]
pub struct Roster {
    fleet: Fleet,
    index: Index,
    members: Membership,
    /// Who changes while the index is packed elsewhere.
    notes: Notes,
}

/// What of an agent an ordinary heartbeat leaves as it is.
#[derive(PartialEq)]
struct Standing {
    status: AgentStatus,
    flags: Flags,
    assignments: u32,
    position: Option<Position>,
    used: Resources,
}

impl Standing {
    fn of(agent: &Agent) -> Self {
        Self {
            status: agent.status,
            flags: agent.flags,
            assignments: agent.assignments,
            position: agent.facts.position,
            used: agent.used.clone(),
        }
    }
}

impl Deref for Roster {
    type Target = Fleet;

    fn deref(&self) -> &Fleet {
        &self.fleet
    }
}

impl From<Fleet> for Roster {
    fn from(fleet: Fleet) -> Self {
        let index = Index::new(&fleet);
        Self { fleet, index, members: Membership::default(), notes: Notes::default() }
    }
}

impl Roster {
    /// Adds an agent, or replaces it.
    pub fn put(&mut self, agent: Agent) {
        let id = agent.id.clone();
        let number = self.fleet.put(agent);
        let [before, after] = self.fleet.beside(&id);
        if let Some(agent) = self.fleet.at(number) {
            self.index.put(number, agent, before, after);
            self.members.follow(number, agent);
        }
        self.notes.note(number);
        if self.fleet.len() <= PACKED_AT_ONCE_MAX && self.index.has_outgrown() {
            self.index = Index::new(&self.fleet);
        }
    }

    /// Work to be done beside the core, when the index is worth packing anew and nobody is at it. What
    /// comes of it goes to [`Roster::end_repack`].
    pub fn begin_repack(&mut self) -> Option<Repack> {
        let large = self.fleet.len() > PACKED_AT_ONCE_MAX;
        let worth = large && (self.index.has_outgrown() || self.index.is_worn());
        (worth && !self.notes.are_taken()).then(|| self.repack())
    }

    /// The same, worth while or not.
    pub(super) fn repack(&mut self) -> Repack {
        self.notes.begin();
        Repack::new(self.fleet.snapshot())
    }

    /// Takes what came of packing. It may not be all: more may have come meanwhile than is to be
    /// replayed here.
    pub fn end_repack(&mut self, packed: Repacked) -> Repacking {
        take_over(&mut self.index, &self.fleet, &mut self.notes, packed)
    }

    /// Nothing came of packing.
    pub fn abandon_repack(&mut self) {
        self.notes.end();
    }

    /// Forgets an agent; `false` when there is none of this id.
    pub fn remove(&mut self, id: &AgentId) -> bool {
        let number = self.fleet.remove(id);
        number.into_iter().for_each(|number| {
            self.index.remove(number);
            self.notes.note(number);
        });
        self.members.remove(id);
        number.is_some()
    }

    /// Changes an agent: its status, flags, signal, position, reservations, or when it was heard. What
    /// else it says of itself in a hello goes through [`Roster::put`]. `None` when there is none of
    /// this id.
    pub fn change<R>(&mut self, id: &AgentId, how: impl FnOnce(&mut Agent) -> R) -> Option<R> {
        self.change_numbered(self.fleet.number(id)?, how)
    }

    /// The same, for who knows the agent's number already, see [`Fleet::number`].
    pub fn change_numbered<R>(
        &mut self,
        number: Number,
        how: impl FnOnce(&mut Agent) -> R,
    ) -> Option<R> {
        let before = Standing::of(self.fleet.at(number)?);
        let (agent, answer) = self.fleet.change(number, how)?;
        self.notes.note(number);
        if before == Standing::of(agent) {
            self.index.measure(number, agent);
        } else {
            self.index.refresh(number, agent);
            self.members.follow(number, agent);
        }
        Some(answer)
    }

    /// Reserves room on an agent.
    pub fn reserve(&mut self, id: &AgentId, needs: &Resources) {
        self.change(id, |agent| {
            agent.used.add(needs);
            agent.assignments += 1;
        });
    }

    /// Frees room that was reserved on an agent.
    pub fn release(&mut self, id: &AgentId, needs: &Resources) {
        self.change(id, |agent| {
            agent.used.subtract(needs);
            agent.assignments = agent.assignments.saturating_sub(1);
        });
    }

    /// A task has an attempt on an agent: from now on it counts in its groups.
    pub fn join_groups(&mut self, id: &AgentId, spec: &TaskSpec) {
        if let Some((number, agent)) = self.fleet.numbered_one(id) {
            self.members.join(spec, number, agent);
        }
    }

    /// The attempt is over, or given up: it counts no more.
    pub fn leave_groups(&mut self, id: &AgentId, spec: &TaskSpec) {
        if let Some((number, agent)) = self.fleet.numbered_one(id) {
            self.members.leave(spec, number, agent);
        }
    }

    /// Who is in which group.
    #[must_use]
    pub fn groups(&self) -> &Groups {
        self.members.groups()
    }

    /// Takes the groups of which members have gone or moved since it was last asked.
    pub fn take_thinned(&mut self) -> BTreeSet<Arc<str>> {
        self.members.take_thinned()
    }

    /// The fleet as it is now, for readers. Costs some thousands of steps for a million agents, and
    /// leaves them shared: what changes while somebody holds it is copied, once.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let groups = self.groups().clone();
        Snapshot::new(self.fleet.snapshot(), self.index.survey(), groups)
    }

    /// Whether the index is that of the fleet.
    ///
    /// # Errors
    /// Says what is not as it should be.
    pub fn check(&self) -> Result<(), String> {
        self.index.check(self.fleet.numbered())
    }

    /// The number of the best agent for a task, and by how much it may be beaten, see [`Index::best`].
    pub(super) fn best_number(
        &self,
        request: &Request<'_>,
        policy: &Policy,
    ) -> Option<(Number, Option<f64>)> {
        self.index.best(request, policy, |id| self.fleet.number(id))
    }

    /// The numbers of the `kept_max` best agents for a task with their scores, best first.
    pub(super) fn top(
        &self,
        request: &Request<'_>,
        policy: &Policy,
        kept_max: usize,
    ) -> Vec<(Number, f64)> {
        self.index.top(request, policy, kept_max, |id| self.fleet.number(id))
    }

    /// Whether the groups have exactly the members that these tasks on these agents make, each where
    /// its agent is.
    ///
    /// # Errors
    /// Says what is not as it should be.
    pub fn check_groups<'a>(
        &self,
        held: impl Iterator<Item = (&'a AgentId, &'a TaskSpec)>,
    ) -> Result<(), String> {
        let mut anew = Membership::default();
        for (id, spec) in held {
            if let Some((number, agent)) = self.fleet.numbered_one(id) {
                anew.join(spec, number, agent);
            }
        }
        match self.members.same_as(&anew) {
            true => Ok(()),
            false => Err(format!("{:?}, not {:?}", self.members, anew)),
        }
    }

    #[cfg(test)]
    pub(super) fn check_reach(&self, request: &Request<'_>, policy: &Policy) -> Result<(), String> {
        self.index.check_reach(request, policy)
    }

    /// Bytes of the index that searching and upkeep touch.
    #[must_use]
    pub fn index_bytes(&self) -> usize {
        self.index.bytes()
    }
}

impl Chooser for Roster {
    fn best(&self, request: &Request<'_>, policy: &Policy) -> Option<Candidate> {
        let (number, gap) = self.best_number(request, policy)?;
        let agent = self.fleet.at(number)?;
        Some(Candidate { gap, ..candidate(agent, request, policy) })
    }
}

//! Schedules that agents fire: who is to hold which, and what was told to each.
//!
//! The invariant: an agent holds a row for each resident schedule that it is to hold, or held and has
//! not been told to let go; what it fired is known up to its `through`, and counts once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::{AgentId, Revision, ScheduleId};
use shared::label::Labels;
use shared::schedule::{ScheduleSpec, Zone};
use shared::spec::TaskSpec;
use shared::time::Timestamp;

use super::Slot;
use super::reach::Reach;
use crate::firing::ScheduleRow;

/// How many versions of what a resident schedule makes are kept, for agents that were away.
pub const VERSIONS_MAX: usize = 20;

/// What an agent is to make of a resident schedule: a row of its desired state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResidentRow {
    /// Which schedule.
    pub schedule: ScheduleId,
    /// When it last changed.
    pub rev: Revision,
    /// Which version it is to hold.
    pub version: u32,
    /// Since when it holds it: moments up to here are not its business.
    pub from: Timestamp,
    /// Its moments are known up to here.
    pub through: Timestamp,
    /// Whether it is to hold it; if not, it is to let go.
    pub held: bool,
}

impl ResidentRow {
    /// Of a schedule that nothing is known to have come of.
    pub(crate) const NOTHING: Timestamp = Timestamp(0);

    /// From when an agent begins with it that does not hold it: behind every moment that it is known to
    /// have fired, whatever the clock shows.
    pub(crate) fn given_anew(&self, now: Timestamp) -> Timestamp {
        now.max(self.through)
    }
}

/// What the versions of a schedule make, the latest last.
type Versions = VecDeque<(u32, Arc<TaskSpec>)>;

/// A resident schedule as agents are told of it.
#[derive(Debug)]
pub(crate) struct Resident {
    pub(crate) spec: Arc<ScheduleSpec>,
    pub(crate) created_at: Timestamp,
    pub(crate) zone: Option<Zone>,
    versions: Versions,
    /// Who is to hold it.
    pub(crate) holders: BTreeSet<AgentId>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Residents {
    by_slot: BTreeMap<Slot, Resident>,
    /// What the versions of those make that the core fires now: agents may still tell of firings.
    former: BTreeMap<Slot, Versions>,
    reach: Reach,
    /// Those of which the fleet is to be gone through, each behind an agent.
    pub(crate) pending: VecDeque<(Slot, Option<AgentId>)>,
}

impl Residents {
    pub(crate) fn get(&self, slot: Slot) -> Option<&Resident> {
        self.by_slot.get(&slot)
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Resident> {
        self.by_slot.get_mut(&slot)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// Those that an agent with these labels can matter to.
    pub(crate) fn within_reach_of(&self, agent: &AgentId, labels: &Labels) -> BTreeSet<Slot> {
        self.reach.of(agent, labels)
    }

    /// Takes up a schedule, or its new version.
    pub(super) fn put(&mut self, slot: Slot, row: &ScheduleRow, zone: Option<Zone>) {
        let before = self.by_slot.remove(&slot);
        let (mut versions, holders) = match before {
            Some(before) => (before.versions, before.holders),
            None => (self.former.remove(&slot).unwrap_or_default(), BTreeSet::new()),
        };
        let known = versions.back().is_some_and(|(version, _)| *version == row.version);
        if !known {
            versions.push_back((row.version, Arc::clone(&row.spec.task)));
        }
        while versions.len() > VERSIONS_MAX {
            versions.pop_front();
        }
        let spec = Arc::clone(&row.spec);
        self.reach.put(slot, &spec.task.place);
        let resident = Resident { spec, created_at: row.created_at, zone, versions, holders };
        self.by_slot.insert(slot, resident);
        self.review(slot);
    }

    /// Takes up what an earlier version made.
    pub(crate) fn put_version(&mut self, slot: Slot, version: u32, task: Arc<TaskSpec>) {
        let versions = match self.by_slot.get_mut(&slot) {
            Some(resident) => &mut resident.versions,
            None => self.former.entry(slot).or_default(),
        };
        let at = versions.partition_point(|(known, _)| *known < version);
        if versions.get(at).is_none_or(|(known, _)| *known != version) {
            versions.insert(at, (version, task));
        }
    }

    /// Lets the fleet be gone through for a schedule.
    pub(crate) fn review(&mut self, slot: Slot) {
        self.pending.retain(|(pending, _)| *pending != slot);
        self.pending.push_back((slot, None));
    }

    /// The core fires a schedule from now on. What agents fired of it before they hear of that is
    /// still to be told.
    pub(super) fn retire(&mut self, slot: Slot) {
        if let Some(before) = self.take(slot) {
            self.former.insert(slot, before.versions);
        }
    }

    /// A schedule is no more.
    pub(crate) fn remove(&mut self, slot: Slot) {
        self.take(slot);
        self.former.remove(&slot);
    }

    fn take(&mut self, slot: Slot) -> Option<Resident> {
        self.pending.retain(|(pending, _)| *pending != slot);
        self.reach.remove(slot);
        self.by_slot.remove(&slot)
    }

    /// What a version makes that an agent fired; what the latest does, if that one is forgotten.
    pub(super) fn task_of(&self, slot: Slot, version: u32) -> Option<Arc<TaskSpec>> {
        let held = self.by_slot.get(&slot).map(|resident| &resident.versions);
        let versions = held.or_else(|| self.former.get(&slot))?;
        let found = versions.iter().find(|(known, _)| *known == version);
        found.or(versions.back()).map(|(_, task)| Arc::clone(task))
    }
}

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

/// A resident schedule as agents are told of it.
#[derive(Debug)]
pub(crate) struct Resident {
    pub(crate) spec: Arc<ScheduleSpec>,
    pub(crate) created_at: Timestamp,
    pub(crate) zone: Option<Zone>,
    /// What its versions make, the latest last.
    versions: VecDeque<(u32, Arc<TaskSpec>)>,
    /// Who is to hold it.
    pub(crate) holders: BTreeSet<AgentId>,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Residents {
    by_slot: BTreeMap<Slot, Resident>,
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
            None => (VecDeque::new(), BTreeSet::new()),
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
        if let Some(resident) = self.by_slot.get_mut(&slot) {
            let at = resident.versions.partition_point(|(known, _)| *known < version);
            if resident.versions.get(at).is_none_or(|(known, _)| *known != version) {
                resident.versions.insert(at, (version, task));
            }
        }
    }

    /// Lets the fleet be gone through for a schedule.
    pub(crate) fn review(&mut self, slot: Slot) {
        self.pending.retain(|(pending, _)| *pending != slot);
        self.pending.push_back((slot, None));
    }

    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Resident> {
        self.pending.retain(|(pending, _)| *pending != slot);
        self.reach.remove(slot);
        self.by_slot.remove(&slot)
    }
}

impl Resident {
    /// What a version makes; what the latest does, if that one is forgotten.
    pub(crate) fn task_of(&self, version: u32) -> Arc<TaskSpec> {
        let found = self.versions.iter().find(|(known, _)| *known == version);
        found.map_or_else(|| Arc::clone(&self.spec.task), |(_, task)| Arc::clone(task))
    }
}

//! Schedules and their firings in memory.

use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use cloud_core_logic::change::{AgentRow, Change};
use cloud_core_logic::firing::{FiringResult, FiringRow, ScheduleRow};
use cloud_core_logic::schedules::{ResidentRow, VERSIONS_MAX};
use shared::id::{AgentId, ScheduleId, ScheduleName};
use shared::spec::TaskSpec;
use shared::time::Timestamp;

use super::{State, Undo};
use crate::store::{FiringMark, StoreError};

/// A firing's place: its schedule, its moment, and who fired it.
pub(super) type FiringKey = (ScheduleId, Timestamp, Option<AgentId>);

impl State {
    /// Applies a change of those that are about schedules; any other is none.
    pub(super) fn apply_to_schedules(
        &mut self,
        change: &Change,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        match change {
            Change::SchedulePut(row) => return self.put_schedule(row, undo),
            Change::ScheduleMoved { schedule, through } => {
                return self.move_schedule(*schedule, *through, undo);
            }
            Change::ScheduleRemoved { schedule } => self.remove_schedule(*schedule, undo),
            Change::FiringPut(row) => self.put_firing(row, undo),
            Change::ResidentPut { agent, row } => return self.put_resident(agent, row, undo),
            Change::ResidentRemoved { agent, schedule } => {
                self.remove_resident(agent, *schedule, undo);
            }
            _ => {}
        }
        Ok(())
    }

    fn put_schedule(&mut self, row: &ScheduleRow, undo: &mut Undo) -> Result<(), StoreError> {
        let taken = self.schedule_named(&row.spec.name).is_some_and(|other| other.id != row.id);
        if taken {
            return Err(StoreError::contradiction(format!("{} is taken", row.spec.name)));
        }
        self.put(|state| &mut state.schedules, row.id, row.clone(), undo);
        let before = self.versions.clone();
        if row.spec.resident.is_some() {
            self.versions.insert((row.id, row.version), Arc::clone(&row.spec.task));
        }
        let oldest = row.version.saturating_sub(VERSIONS_MAX as u32);
        let is_old =
            |(schedule, version): (ScheduleId, u32)| schedule == row.id && version <= oldest;
        self.versions.retain(|key, _| !is_old(*key));
        undo.0.push(Box::new(move |state| state.versions = before));
        Ok(())
    }

    fn put_resident(
        &mut self,
        agent: &AgentId,
        row: &ResidentRow,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        let known = self.agent(agent)?;
        let desired_rev = known.desired_rev.max(row.rev);
        let known = AgentRow { desired_rev, ..known };
        self.put(|state| &mut state.agents, agent.clone(), known, undo);
        let key = (agent.clone(), row.schedule);
        self.put(|state| &mut state.residents, key, row.clone(), undo);
        Ok(())
    }

    fn remove_resident(&mut self, agent: &AgentId, schedule: ScheduleId, undo: &mut Undo) {
        let key = (agent.clone(), schedule);
        if let Some(row) = self.residents.remove(&key) {
            undo.0.push(Box::new(move |state| {
                state.residents.insert(key, row);
            }));
        }
    }

    fn move_schedule(
        &mut self,
        id: ScheduleId,
        through: Timestamp,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        let Some(row) = self.schedules.get(&id).cloned() else {
            return Err(StoreError::contradiction(format!("schedule {id} is not there")));
        };
        self.put(|state| &mut state.schedules, id, ScheduleRow { through, ..row }, undo);
        Ok(())
    }

    fn remove_schedule(&mut self, id: ScheduleId, undo: &mut Undo) {
        let before = self.versions.clone();
        self.versions.retain(|(schedule, _), _| *schedule != id);
        undo.0.push(Box::new(move |state| state.versions = before));
        if let Some(row) = self.schedules.remove(&id) {
            undo.0.push(Box::new(move |state| {
                state.schedules.insert(id, row);
            }));
        }
    }

    fn put_firing(&mut self, row: &FiringRow, undo: &mut Undo) {
        let key = (row.schedule, row.at, row.agent.clone());
        self.put(|state| &mut state.firings, key, row.clone(), undo);
    }

    pub(super) fn schedule_named(&self, name: &ScheduleName) -> Option<&ScheduleRow> {
        self.schedules.values().find(|row| row.spec.name == *name)
    }

    pub(super) fn schedules_behind(&self, behind: Option<&str>, limit: usize) -> Vec<ScheduleRow> {
        let follows = |row: &&ScheduleRow| behind.is_none_or(|name| row.spec.name.as_str() > name);
        let mut rows: Vec<ScheduleRow> = self.schedules.values().filter(follows).cloned().collect();
        rows.sort_by(|one, other| one.spec.name.cmp(&other.spec.name));
        rows.truncate(limit);
        rows
    }

    pub(super) fn stored_versions(&self) -> Vec<(ScheduleId, u32, Arc<TaskSpec>)> {
        let versions = self.versions.iter();
        versions.map(|((id, version), task)| (*id, *version, Arc::clone(task))).collect()
    }

    pub(super) fn stored_residents(&self) -> Vec<(AgentId, ResidentRow)> {
        self.residents.iter().map(|((agent, _), row)| (agent.clone(), row.clone())).collect()
    }

    pub(super) fn queued_firings(&self) -> Vec<FiringRow> {
        let queued = |row: &&FiringRow| matches!(row.result, FiringResult::Queued { .. });
        self.firings.values().filter(queued).cloned().collect()
    }

    pub(super) fn firings_behind(
        &self,
        id: ScheduleId,
        behind: Option<&FiringMark>,
        limit: usize,
    ) -> Vec<FiringRow> {
        let first = Included((id, Timestamp(i64::MIN), None));
        let last = match behind {
            Some(mark) => Excluded((id, mark.at, mark.agent.clone())),
            None => Unbounded,
        };
        let of_it = self.firings.range((first, last)).filter(|((schedule, ..), _)| *schedule == id);
        of_it.rev().take(limit).map(|(_, row)| row.clone()).collect()
    }

    pub(super) fn prune_firings(&mut self, before: Timestamp) {
        self.firings.retain(|_, row| {
            row.recorded_at >= before || matches!(row.result, FiringResult::Queued { .. })
        });
    }
}

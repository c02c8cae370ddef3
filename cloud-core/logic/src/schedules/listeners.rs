//! Which schedules wait for which event, found by what an event brings: so that what concerns
//! nobody costs next to nothing.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::{ScheduleName, TaskId};
use shared::schedule::EventTrigger;

use super::Slot;

/// Schedules by what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    by_task: BTreeMap<TaskId, BTreeSet<Slot>>,
    by_schedule: BTreeMap<ScheduleName, BTreeSet<Slot>>,
    /// Those that wait for agents.
    agents: BTreeSet<Slot>,
}

impl Listeners {
    pub(super) fn add(&mut self, slot: Slot, event: &EventTrigger) {
        match event {
            EventTrigger::Webhook { .. } => {}
            EventTrigger::Outcome(outcome) => {
                if let Some(task) = outcome.task {
                    self.by_task.entry(task).or_default().insert(slot);
                }
                if let Some(schedule) = &outcome.schedule {
                    self.by_schedule.entry(schedule.clone()).or_default().insert(slot);
                }
            }
            EventTrigger::Agent(_) => {
                self.agents.insert(slot);
            }
        }
    }

    pub(super) fn remove(&mut self, slot: Slot, event: &EventTrigger) {
        match event {
            EventTrigger::Webhook { .. } => {}
            EventTrigger::Outcome(outcome) => {
                if let Some(task) = outcome.task {
                    take(&mut self.by_task, &task, slot);
                }
                if let Some(schedule) = &outcome.schedule {
                    take(&mut self.by_schedule, schedule, slot);
                }
            }
            EventTrigger::Agent(_) => {
                self.agents.remove(&slot);
            }
        }
    }

    /// Those that wait for the outcome of a task, or of any task that a schedule made.
    pub(crate) fn of_outcome(&self, task: TaskId, schedule: Option<&ScheduleName>) -> Vec<Slot> {
        let by_task = self.by_task.get(&task).into_iter().flatten();
        let by_schedule = schedule.and_then(|name| self.by_schedule.get(name));
        by_task.chain(by_schedule.into_iter().flatten()).copied().collect()
    }

    /// Those that wait for agents.
    pub(crate) fn of_agents(&self) -> Vec<Slot> {
        self.agents.iter().copied().collect()
    }

    /// Whether any waits for agents.
    pub(crate) fn any_of_agents(&self) -> bool {
        !self.agents.is_empty()
    }
}

/// Takes a slot from a set by its key, and the set with it if that was its last.
pub(super) fn take<K: Ord>(map: &mut BTreeMap<K, BTreeSet<Slot>>, key: &K, slot: Slot) {
    if let Some(slots) = map.get_mut(key) {
        slots.remove(&slot);
        if slots.is_empty() {
            map.remove(key);
        }
    }
}

//! Which schedules wait for which event, found by what an event brings: so that what concerns
//! nobody costs next to nothing.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::{ScheduleName, TaskId};
use shared::schedule::{EventTrigger, TopicFilter};

use super::Slot;

/// Schedules by what they wait for.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    by_task: BTreeMap<TaskId, BTreeSet<Slot>>,
    by_schedule: BTreeMap<ScheduleName, BTreeSet<Slot>>,
    by_topic: BTreeMap<TopicFilter, BTreeSet<Slot>>,
    /// Whether who listens to topics may have changed since somebody asked.
    topics_changed: bool,
    /// Those that wait for agents.
    agents: BTreeSet<Slot>,
}

impl Listeners {
    pub(super) fn add(&mut self, slot: Slot, event: &EventTrigger) {
        match event {
            EventTrigger::Webhook { .. } => {}
            EventTrigger::Mqtt(mqtt) => {
                self.by_topic.entry(mqtt.topic.clone()).or_default().insert(slot);
                self.topics_changed = true;
            }
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
            EventTrigger::Mqtt(mqtt) => {
                take(&mut self.by_topic, &mqtt.topic, slot);
                self.topics_changed = true;
            }
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

    /// Those that listen with any of these filters, each once.
    pub(crate) fn of_topics(&self, filters: &[TopicFilter]) -> BTreeSet<Slot> {
        filters.iter().filter_map(|filter| self.by_topic.get(filter)).flatten().copied().collect()
    }

    /// One of them rests, or goes on.
    pub(crate) fn rests(&mut self, event: Option<&EventTrigger>) {
        self.topics_changed |= matches!(event, Some(EventTrigger::Mqtt(_)));
    }

    /// Which filters are asked for by those that do not rest, if that may have changed since this was
    /// last asked.
    pub(super) fn take_topics(
        &mut self,
        rests: impl Fn(Slot) -> bool,
    ) -> Option<BTreeSet<TopicFilter>> {
        let wanted = |slots: &BTreeSet<Slot>| slots.iter().any(|slot| !rests(*slot));
        std::mem::take(&mut self.topics_changed).then(|| {
            let topics = self.by_topic.iter().filter(|(_, slots)| wanted(slots));
            topics.map(|(filter, _)| filter.clone()).collect()
        })
    }

    /// How many different filters there are.
    pub(crate) fn topics(&self) -> usize {
        self.by_topic.len()
    }

    /// Whether anybody listens with this filter.
    pub(crate) fn knows_topic(&self, filter: &TopicFilter) -> bool {
        self.by_topic.contains_key(filter)
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

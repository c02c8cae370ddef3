//! Tasks that wait for a place. *Ready* ones are tried in order of priority, then age. Those for
//! which no agent was found are *parked* in classes of equal demands and wake when an agent
//! changes in a way that makes their class feasible on it; so a hundred thousand waiting tasks
//! cost nothing while nothing changes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::id::TaskId;
use shared::spec::TaskSpec;

/// The order in which tasks are tried. A task id is a UUIDv7, so the smaller one is older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank {
    priority: Reverse<u8>,
    /// The task.
    pub(crate) task: TaskId,
}

impl Rank {
    pub(crate) fn of(task: TaskId, spec: &TaskSpec) -> Self {
        Self { priority: Reverse(spec.priority), task }
    }
}

/// What tasks of one class have in common: everything that decides where they may run.
pub(crate) type Class = Arc<str>;

/// Where a task waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Spot {
    /// Not here.
    #[default]
    Nowhere,
    /// To be tried.
    Ready,
    /// Until its class wakes.
    Parked(Class),
}

#[derive(Debug, Clone)]
struct Parked {
    example: Arc<TaskSpec>,
    ranks: BTreeSet<Rank>,
}

/// All tasks that wait for a place.
#[derive(Debug, Clone, Default)]
pub(crate) struct Queue {
    ready: BTreeSet<Rank>,
    parked: BTreeMap<Class, Parked>,
    /// How many are parked: every submission asks, and there may be as many classes as tasks.
    parked_count: usize,
}

impl Queue {
    /// The class of a task.
    pub(crate) fn class_of(spec: &TaskSpec) -> Class {
        // Serialization of plain data into memory does not fail; if it did, the task would be in
        // the class of everything, which costs time and nothing else.
        let profile = &spec.prefer.profile;
        serde_json::to_string(&(&spec.needs, &spec.place, spec.run.kind(), profile))
            .unwrap_or_default()
            .into()
    }

    /// Adds a task to be tried.
    pub(crate) fn ready(&mut self, rank: Rank) -> Spot {
        self.ready.insert(rank);
        Spot::Ready
    }

    /// Sets a task aside for which no agent was found.
    pub(crate) fn park(&mut self, rank: Rank, spec: &Arc<TaskSpec>) -> Spot {
        let entry = self.parked.entry(Self::class_of(spec));
        // That of the entry, not the one just made: all tasks of a class hold one text.
        let class = entry.key().clone();
        let parked =
            entry.or_insert_with(|| Parked { example: spec.clone(), ranks: BTreeSet::new() });
        self.parked_count += usize::from(parked.ranks.insert(rank));
        Spot::Parked(class)
    }

    /// Takes a task out.
    pub(crate) fn remove(&mut self, rank: Rank, spot: &Spot) {
        match spot {
            Spot::Nowhere => {}
            Spot::Ready => {
                self.ready.remove(&rank);
            }
            Spot::Parked(class) => {
                if let Some(parked) = self.parked.get_mut(class) {
                    self.parked_count -= usize::from(parked.ranks.remove(&rank));
                    if parked.ranks.is_empty() {
                        self.parked.remove(class);
                    }
                }
            }
        }
    }

    /// Whether any task is set aside.
    pub(crate) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Whether there is a task to try.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Takes the task to try next, if it has the priority that is asked for.
    pub(crate) fn pop_of(&mut self, priority: Option<u8>) -> Option<TaskId> {
        let first = self.ready.first()?;
        if priority.is_some_and(|priority| first.priority.0 != priority) {
            return None;
        }
        self.ready.pop_first().map(|rank| rank.task)
    }

    /// Whether somebody who is set aside may come before the task to try next, once one of its class
    /// has had its turn: the first of the class when that one is placed, or one behind it when it
    /// failed by what it alone avoids.
    pub(crate) fn comes_between(&self, class: &Class, avoids: bool) -> bool {
        let parked = self.parked.get(class).and_then(|parked| parked.ranks.first());
        parked.is_some_and(|first| avoids || self.ready.first().is_some_and(|next| first < next))
    }

    /// Makes the first task of every class ready that `feasible` says yes to; says which.
    pub(crate) fn wake(&mut self, feasible: impl Fn(&TaskSpec) -> bool) -> Vec<TaskId> {
        let classes: Vec<Class> = self
            .parked
            .iter()
            .filter(|(_, parked)| feasible(&parked.example))
            .map(|(class, _)| class.clone())
            .collect();
        classes.iter().filter_map(|class| self.wake_first(class, |_| true)).collect()
    }

    /// Makes the first task of every class ready: they may find a place by other rules.
    pub(crate) fn wake_all(&mut self) -> Vec<TaskId> {
        self.wake(|_| true)
    }

    /// Makes the first task of a class ready.
    pub(crate) fn wake_next(&mut self, class: &Class) -> Option<TaskId> {
        self.wake_first(class, |_| true)
    }

    /// Makes the first task of a class ready that stands behind `rank`.
    pub(crate) fn wake_behind(&mut self, class: &Class, rank: Rank) -> Option<TaskId> {
        self.wake_first(class, |other| other > rank)
    }

    fn wake_first(&mut self, class: &Class, which: impl Fn(Rank) -> bool) -> Option<TaskId> {
        let parked = self.parked.get_mut(class)?;
        let rank = *parked.ranks.iter().find(|rank| which(**rank))?;
        self.parked_count -= usize::from(parked.ranks.remove(&rank));
        if parked.ranks.is_empty() {
            self.parked.remove(class);
        }
        self.ready.insert(rank);
        Some(rank.task)
    }

    /// Whether any parked class waits for a latency to fall.
    pub(crate) fn waits_for_latency(&self) -> bool {
        self.parked.values().any(|parked| parked.example.place.latency_ms_max.is_some())
    }

    /// How many wait here.
    pub(crate) fn len(&self) -> usize {
        self.ready.len() + self.parked_count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::spec::Run;
    use uuid::Uuid;

    #[test]
    fn all_tasks_of_a_class_hold_one_text() {
        let mut queue = Queue::default();
        let mut park = |number: u128, spec: TaskSpec| {
            let rank = Rank::of(TaskId(Uuid::from_u128(number)), &spec);
            match queue.park(rank, &Arc::new(spec)) {
                Spot::Parked(class) => class,
                other => panic!("{other:?}"),
            }
        };
        let spec = TaskSpec::new(Run::Noop {});
        let first = park(1, spec.clone());
        assert!(Arc::ptr_eq(&first, &park(2, spec.clone())));
        let mut other = spec;
        other.needs.cpu_millis = 1;
        assert!(!Arc::ptr_eq(&first, &park(3, other)));
    }
}

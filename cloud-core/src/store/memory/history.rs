//! What is over, in memory, by the same rules as on disk.

use shared::id::TaskId;
use shared::task::TaskState;
use shared::time::Timestamp;

use super::State;
use crate::store::StoreError;
use crate::store::history::{Archive, Over};
use crate::store::logs::Shelf;

type Result<T> = std::result::Result<T, StoreError>;

/// Where a task is in the order of submission: its id begins with its time.
fn number(id: TaskId) -> i64 {
    i64::try_from(id.0.as_u64_pair().0).unwrap_or(i64::MAX)
}

impl State {
    fn settled_at(&self, id: TaskId) -> Option<Timestamp> {
        match &self.tasks.get(&id)?.life.state {
            TaskState::Settled { outcome } => Some(outcome.at),
            _ => None,
        }
    }

    fn first_key(&self) -> Option<(u64, String, Timestamp)> {
        let gone = self.keys.iter().filter(|(_, key)| !self.tasks.contains_key(&key.task));
        let first = gone.min_by_key(|(_, key)| key.number);
        first.map(|(name, key)| (key.number, name.clone(), key.taken_at))
    }
}

impl Archive for State {
    fn tasks(&self) -> u64 {
        (self.tasks.len() - self.live.len()) as u64
    }

    fn keys(&self) -> u64 {
        self.keys.values().filter(|key| !self.tasks.contains_key(&key.task)).count() as u64
    }

    fn over(&self, behind: i64, count: usize) -> Result<Vec<Over>> {
        let over = self.tasks.values().filter_map(|row| {
            let (number, settled_at) = (number(row.id), self.settled_at(row.id)?);
            let over = Over { number, submitted_at: row.submitted_at, settled_at };
            (number > behind).then_some(over)
        });
        Ok(over.take(count).collect())
    }

    fn remove(&mut self, wanted: i64, effort: &mut usize) -> Result<bool> {
        let Some(id) = self.tasks.keys().copied().find(|id| number(*id) == wanted) else {
            return Ok(true);
        };
        while self.drop_first_of(id)? {
            if *effort == 0 {
                return Ok(false);
            }
            *effort -= 1;
        }
        self.forget_log(id);
        self.assignments.retain(|assignment, _| assignment.task != id);
        self.late_reports.remove(&id);
        self.tasks.remove(&id);
        Ok(true)
    }

    fn remove_key(&mut self, before: Timestamp) -> Result<bool> {
        let first = self.first_key().filter(|(_, _, taken_at)| *taken_at < before);
        Ok(first.is_some_and(|(_, name, _)| self.keys.remove(&name).is_some()))
    }

    fn remove_firings(&mut self, before: Timestamp, _effort: usize) -> Result<()> {
        self.prune_firings(before);
        Ok(())
    }

    fn remove_reports(&mut self, before: Timestamp, _effort: usize) -> Result<()> {
        let tasks = &self.tasks;
        self.late_reports.retain(|task, reports| {
            if !tasks.contains_key(task) {
                reports.retain(|report| report.received_at >= before);
            }
            !reports.is_empty()
        });
        Ok(())
    }
}

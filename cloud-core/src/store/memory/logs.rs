//! Logs in memory, by the same rules as on disk.

use std::collections::BTreeMap;

use shared::id::{AssignmentId, Attempt, TaskId};
use shared::time::Timestamp;

use super::State;
use crate::store::StoreError;
use crate::store::logs::{
    LogAttempt, LogPart, LogRow, LogState, Owner, PART_COST_MAX, Shelf, Stream, TextPiece,
};

/// The rows of logs.
#[derive(Debug, Default)]
pub(super) struct Logs {
    streams: BTreeMap<AssignmentId, Stream>,
    /// By attempt and offset.
    rows: BTreeMap<(AssignmentId, u64), Numbered>,
    last_number: u64,
}

#[derive(Debug)]
struct Numbered {
    number: u64,
    taken_at: Timestamp,
    row: LogRow,
}

fn first_of(task: TaskId) -> AssignmentId {
    AssignmentId { task, attempt: Attempt(0) }
}

fn last_of(task: TaskId) -> AssignmentId {
    AssignmentId { task, attempt: Attempt(u32::MAX) }
}

impl State {
    fn take_away(&mut self, key: Option<(AssignmentId, u64)>) -> bool {
        let Some(row) = key.and_then(|key| self.logs.rows.remove(&key)) else {
            return false;
        };
        if let Some(stream) = key.and_then(|(id, _)| self.logs.streams.get_mut(&id)) {
            stream.cost = stream.cost.saturating_sub(row.row.cost);
        }
        true
    }

    /// Lets go of what is known of a task's log. Its rows are gone.
    pub(super) fn forget_log(&mut self, task: TaskId) {
        self.logs.streams.retain(|id, _| id.task != task);
    }

    pub(super) fn log_state(&self, task: TaskId) -> Option<LogState> {
        let settled = self.tasks.get(&task)?.life.state.status().is_settled();
        let attempts = self.assignments_of(task).into_iter().map(|row| LogAttempt {
            attempt: row.id.attempt,
            started: row.started_at.is_some(),
            ended: row.state.is_ended(),
            stream: self.logs.streams.get(&row.id).copied(),
        });
        Some(LogState { settled, attempts: attempts.collect() })
    }

    pub(super) fn log_part(&self, id: AssignmentId, from: u64) -> LogPart {
        let upto = self.logs.streams.get(&id).map_or(0, |stream| stream.upto);
        let mut part = LogPart { pieces: Vec::new(), upto, is_last: true };
        let mut cost = 0;
        let begin = self.logs.rows.range((id, 0)..=(id, from)).next_back();
        let begin = begin.map_or(from, |((_, starts), _)| *starts);
        for row in self.logs.rows.range((id, begin)..=(id, u64::MAX)).map(|(_, row)| &row.row) {
            if cost >= PART_COST_MAX {
                part.is_last = false;
                break;
            }
            cost += row.cost;
            part.pieces.extend(row.pieces.iter().filter(|piece| piece.end() > from).cloned());
        }
        part
    }

    pub(super) fn log_before(&self, id: AssignmentId, offset: u64) -> Vec<TextPiece> {
        let row = self.logs.rows.range((id, 0)..(id, offset)).next_back();
        let pieces = row.into_iter().flat_map(|(_, row)| &row.row.pieces);
        pieces.filter(|piece| piece.offset < offset).cloned().collect()
    }
}

type Result<T> = std::result::Result<T, StoreError>;

impl Shelf for State {
    fn owner(&self, id: AssignmentId) -> Result<Option<Owner>> {
        Ok(self.tasks.get(&id.task).map(|task| Owner {
            settled: task.life.state.status().is_settled(),
            forgotten: task.life.forgotten.clone(),
            attempt: self.assignments.get(&id).map(|row| (row.agent.clone(), row.offered_at)),
        }))
    }

    fn restored_at(&self) -> Result<Option<Timestamp>> {
        // What ends with the process is not backed up.
        Ok(None)
    }

    fn stream(&self, id: AssignmentId) -> Result<Option<Stream>> {
        Ok(self.logs.streams.get(&id).copied())
    }

    fn put_stream(&mut self, id: AssignmentId, stream: Stream) -> Result<()> {
        self.logs.streams.insert(id, stream);
        Ok(())
    }

    fn task_cost(&self, task: TaskId) -> Result<u64> {
        let streams = self.logs.streams.range(first_of(task)..=last_of(task));
        Ok(streams.map(|(_, stream)| stream.cost).sum())
    }

    fn total_cost(&self) -> Result<u64> {
        Ok(self.logs.rows.values().map(|row| row.row.cost).sum())
    }

    fn add_row(&mut self, id: AssignmentId, row: &LogRow, now: Timestamp) -> Result<()> {
        self.logs.last_number += 1;
        let number = self.logs.last_number;
        let numbered = Numbered { number, taken_at: now, row: row.clone() };
        self.logs.rows.insert((id, row.offset()), numbered);
        Ok(())
    }

    fn drop_first_of(&mut self, task: TaskId) -> Result<bool> {
        let of_task = (first_of(task), 0)..=(last_of(task), u64::MAX);
        let first = self.logs.rows.range(of_task).next().map(|(key, _)| *key);
        Ok(self.take_away(first))
    }

    fn drop_first(&mut self, before: Timestamp) -> Result<bool> {
        let first = self.logs.rows.iter().min_by_key(|(_, row)| row.number);
        let first = first.filter(|(_, row)| row.taken_at < before).map(|(key, _)| *key);
        Ok(self.take_away(first))
    }
}

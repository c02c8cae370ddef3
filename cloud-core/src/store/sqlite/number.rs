//! The numbers of tasks' rows. A task's number is the front half of its id: a UUIDv7 begins with its
//! time and a count within that (RFC 9562), so numbers have the order of ids, and no index is needed
//! to find one by the other. Ids whose fronts are alike would be in each other's way; none are,
//! because new ids are made to follow all that the store holds. A store from before that was so may
//! hold a few: they have numbers below zero, which are remembered here.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};
use shared::id::TaskId;

use super::rows::task_id;

/// Knows the number of every task.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    displaced: HashMap<TaskId, i64>,
}

impl Numbers {
    /// Learns which tasks are not where their ids say.
    pub(super) fn of_store(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare("SELECT id, number FROM tasks WHERE number < 0")?;
        let displaced = statement.query_map([], |row| Ok((task_id(row, 0)?, row.get(1)?)))?;
        Ok(Self { displaced: displaced.collect::<rusqlite::Result<_>>()? })
    }

    /// Where a task is, or would be.
    pub(super) fn of(&self, id: TaskId) -> i64 {
        if !self.displaced.is_empty()
            && let Some(number) = self.displaced.get(&id)
        {
            return *number;
        }
        front(id)
    }
}

/// The front half of an id. Ids that are no UUIDv7 of these ten thousand years come after all others.
fn front(id: TaskId) -> i64 {
    let (front, _) = id.0.as_u64_pair();
    i64::try_from(front).unwrap_or(i64::MAX)
}

/// The latest id that the store holds.
pub(super) fn latest(connection: &Connection) -> rusqlite::Result<Option<TaskId>> {
    let sql = "SELECT id FROM tasks ORDER BY number DESC LIMIT 1";
    connection.query_row(sql, [], |row| task_id(row, 0)).optional()
}

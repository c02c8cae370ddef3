//! The numbers of tasks' rows. A task's number is the front half of its id: a UUIDv7 begins with its
//! time and a count within that (RFC 9562), so numbers have the order of ids, and no index is needed
//! to find one by the other. Ids whose fronts are alike would be in each other's way; none are,
//! because new ids are made to follow all that the store holds; but for a few of a store from before
//! that was so, and of those that agents make, which do not ask each other. The later one of two has a
//! number below zero, which is remembered here.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use rusqlite::{Connection, OptionalExtension};
use shared::id::TaskId;

use super::rows::task_id;

/// Knows the number of every task.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    displaced: RwLock<HashMap<TaskId, i64>>,
}

impl Numbers {
    /// Learns which tasks are not where their ids say.
    pub(super) fn of_store(connection: &Connection) -> rusqlite::Result<Self> {
        let mut statement = connection.prepare("SELECT id, number FROM tasks WHERE number < 0")?;
        let displaced = statement.query_map([], |row| Ok((task_id(row, 0)?, row.get(1)?)))?;
        Ok(Self { displaced: RwLock::new(displaced.collect::<rusqlite::Result<_>>()?) })
    }

    /// Where a task is, or would be.
    pub(super) fn of(&self, id: TaskId) -> i64 {
        // A panic elsewhere leaves the map as it was.
        let displaced = self.displaced.read().unwrap_or_else(PoisonError::into_inner);
        displaced.get(&id).copied().unwrap_or_else(|| front(id))
    }

    /// Where a task is put whose id was made elsewhere: another may be where it would be. If its
    /// transaction comes to nothing, it is put there the next time.
    pub(super) fn find_room(&self, connection: &Connection, id: TaskId) -> rusqlite::Result<i64> {
        let number = self.of(id);
        let sql = "SELECT id FROM tasks WHERE number = $1";
        let mut statement = connection.prepare_cached(sql)?;
        let there = statement.query_row([number], |row| task_id(row, 0)).optional()?;
        if there.is_none_or(|there| there == id) {
            return Ok(number);
        }
        let sql = "SELECT min(number) FROM tasks";
        let least: i64 = connection.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
        let mut displaced = self.displaced.write().unwrap_or_else(PoisonError::into_inner);
        // Those that were put there and not kept are passed over, too.
        let given = displaced.values().copied().min().unwrap_or(0);
        let number = least.min(given).min(0) - 1;
        displaced.insert(id, number);
        Ok(number)
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

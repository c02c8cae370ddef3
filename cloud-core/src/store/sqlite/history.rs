//! What is over, on disk: taking tasks away with all that hangs on them. Pages that become free are
//! used again for what comes next; the file does not shrink by itself.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use shared::id::TaskId;
use shared::label::Labels;
use shared::task::TaskStatus;
use shared::time::Timestamp;

use super::logs::SqliteShelf;
use super::number::Numbers;
use super::rows::{blob, from_json, task_id, term};
use super::schedules;
use crate::store::StoreError;
use crate::store::history::{Archive, Over};
use crate::store::logs::Shelf;

type Result<T> = std::result::Result<T, StoreError>;

/// Settled tasks of one status, in the order of their numbers.
pub(super) const OVER: &str = "SELECT number, submitted_at, settled_at FROM tasks \
     WHERE status = $1 AND number > $2 ORDER BY number LIMIT $3";
/// The oldest key whose task is gone.
pub(super) const OLDEST_KEY: &str = "SELECT number, taken_at FROM idempotency_keys \
     WHERE pruned = 1 ORDER BY number LIMIT 1";
/// The oldest late reports, with whether their tasks are here.
const REPORTS: &str = "SELECT row, task, received_at FROM late_reports \
     WHERE row > $1 ORDER BY row LIMIT $2";

/// What is counted of the history, so that nobody has to count it again and again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counted {
    /// Settled tasks.
    pub(super) tasks: u64,
    /// Keys whose tasks are gone.
    pub(super) keys: u64,
}

impl Counted {
    /// Counts, by indexes alone.
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let mut tasks = 0;
        for name in settled() {
            let sql = "SELECT count(*) FROM tasks WHERE status = $1";
            tasks += connection.query_row(sql, [name], |row| count(row, 0))?;
        }
        let sql = "SELECT count(*) FROM idempotency_keys WHERE pruned = 1";
        let keys = connection.query_row(sql, [], |row| count(row, 0))?;
        Ok(Self { tasks, keys })
    }
}

fn settled() -> impl Iterator<Item = &'static str> {
    TaskStatus::ALL.iter().filter(|(_, status)| status.is_settled()).map(|(name, _)| *name)
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

fn limit(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// What is over, within a transaction.
pub(super) struct SqliteArchive<'a> {
    transaction: &'a Transaction<'a>,
    numbers: &'a Numbers,
    shelf: SqliteShelf<'a>,
    /// Whether the shelf is another than before.
    shelf_moved: bool,
    counted: Counted,
    /// Behind which late report to go on looking.
    reports_behind: i64,
}

impl<'a> SqliteArchive<'a> {
    pub(super) fn new(
        transaction: &'a Transaction<'a>,
        numbers: &'a Numbers,
        counted: Counted,
        reports_behind: i64,
    ) -> Result<Self> {
        let shelf = SqliteShelf::new(transaction, numbers)?;
        Ok(Self { transaction, numbers, shelf, shelf_moved: false, counted, reports_behind })
    }

    /// Writes down what is left to be; gives what is counted now, and where late reports go on.
    pub(super) fn finish(self) -> Result<(Counted, i64)> {
        if self.shelf_moved {
            self.shelf.finish()?;
        }
        Ok((self.counted, self.reports_behind))
    }

    fn delete(&self, sql: &str, number: i64) -> Result<usize> {
        Ok(self.transaction.prepare_cached(sql)?.execute([number])?)
    }

    /// Takes rows of a task's log away; whether none is left.
    fn remove_log(&mut self, task: TaskId, effort: &mut usize) -> Result<bool> {
        while self.shelf.drop_first_of(task)? {
            self.shelf_moved = true;
            if *effort == 0 {
                return Ok(false);
            }
            *effort -= 1;
        }
        Ok(true)
    }
}

impl Archive for SqliteArchive<'_> {
    fn tasks(&self) -> u64 {
        self.counted.tasks
    }

    fn keys(&self) -> u64 {
        self.counted.keys
    }

    fn over(&self, behind: i64, count: usize) -> Result<Vec<Over>> {
        let mut statement = self.transaction.prepare_cached(OVER)?;
        let mut found = Vec::new();
        for status in settled() {
            let read = |row: &Row<'_>| {
                Ok(Over {
                    number: row.get(0)?,
                    submitted_at: Timestamp(row.get(1)?),
                    settled_at: Timestamp(row.get(2)?),
                })
            };
            let rows = statement.query_map(params![status, behind, limit(count)], read)?;
            found.extend(rows.collect::<rusqlite::Result<Vec<Over>>>()?);
        }
        found.sort_unstable_by_key(|over| over.number);
        found.truncate(count);
        Ok(found)
    }

    fn remove(&mut self, number: i64, effort: &mut usize) -> Result<bool> {
        let sql = "SELECT id, labels, idempotency_key FROM tasks WHERE number = $1";
        let read = |row: &Row<'_>| {
            let labels: Labels = from_json(row, 1)?;
            Ok((task_id(row, 0)?, labels, row.get::<_, Option<i64>>(2)?))
        };
        let (task, labels, key) =
            self.transaction.prepare_cached(sql)?.query_row([number], read)?;
        if !self.remove_log(task, effort)? {
            return Ok(false);
        }
        self.delete("DELETE FROM log_streams WHERE task = $1", number)?;
        self.delete("DELETE FROM assignments WHERE task = $1", number)?;
        self.delete("DELETE FROM specs WHERE task = $1", number)?;
        for (key, value) in &labels {
            let sql = "DELETE FROM task_terms WHERE term = $1 AND task = $2";
            let mut statement = self.transaction.prepare_cached(sql)?;
            statement.execute(params![key, number])?;
            statement.execute(params![term(key, value), number])?;
        }
        self.transaction
            .prepare_cached("DELETE FROM late_reports WHERE task = $1")?
            .execute([blob(&task)])?;
        if let Some(key) = key {
            let sql = "UPDATE idempotency_keys SET pruned = 1 WHERE number = $1";
            self.counted.keys += self.delete(sql, key)? as u64;
        }
        self.delete("DELETE FROM tasks WHERE number = $1", number)?;
        self.counted.tasks = self.counted.tasks.saturating_sub(1);
        Ok(true)
    }

    fn remove_key(&mut self, before: Timestamp) -> Result<bool> {
        let mut statement = self.transaction.prepare_cached(OLDEST_KEY)?;
        let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let found = statement.query_row([], read).optional()?;
        let Some((number, _)) = found.filter(|(_, taken_at)| *taken_at < before.0) else {
            return Ok(false);
        };
        self.delete("DELETE FROM idempotency_keys WHERE number = $1", number)?;
        self.counted.keys = self.counted.keys.saturating_sub(1);
        Ok(true)
    }

    fn remove_firings(&mut self, before: Timestamp, effort: usize) -> Result<()> {
        schedules::prune(self.transaction, before, effort)
    }

    fn remove_reports(&mut self, before: Timestamp, effort: usize) -> Result<()> {
        let mut statement = self.transaction.prepare_cached(REPORTS)?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, task_id(row, 1)?, Timestamp(row.get(2)?)));
        let found = statement.query_map(params![self.reports_behind, limit(effort)], read)?;
        let found: Vec<(i64, TaskId, Timestamp)> = found.collect::<rusqlite::Result<_>>()?;
        let is_last = found.len() < effort;
        for (row, task, received_at) in found {
            if received_at >= before {
                self.reports_behind = i64::MIN;
                return Ok(());
            }
            let sql = "SELECT 1 FROM tasks WHERE number = $1 AND id = $2";
            let key = params![self.numbers.of(task), blob(&task)];
            if !self.transaction.prepare_cached(sql)?.exists(key)? {
                self.delete("DELETE FROM late_reports WHERE row = $1", row)?;
            }
            self.reports_behind = row;
        }
        if is_last {
            self.reports_behind = i64::MIN;
        }
        Ok(())
    }
}

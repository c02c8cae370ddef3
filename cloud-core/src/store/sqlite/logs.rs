//! Logs as rows: what was taken of each attempt, and rows of pieces in the order in which they
//! came. What to keep of them is decided in `store::logs`.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use shared::id::{AssignmentId, Attempt, TaskId};
use shared::time::Timestamp;

use super::number::Numbers;
use super::read::all;
use super::rows::{blob, from_json, from_json_option, from_text_option, json};
use crate::store::StoreError;
use crate::store::logs::{
    LogAttempt, LogPart, LogRow, LogState, Owner, PART_COST_MAX, Shelf, Stream, TextPiece,
};

/// The rows of an attempt from one on.
pub(super) const PART: &str = "SELECT cost, pieces FROM log_rows \
     WHERE task = $1 AND attempt = $2 AND starts >= $3 ORDER BY starts";
/// The last row of an attempt before an offset.
pub(super) const BEFORE: &str = "SELECT pieces FROM log_rows \
     WHERE task = $1 AND attempt = $2 AND starts < $3 ORDER BY starts DESC LIMIT 1";
/// The oldest row of a task.
pub(super) const FIRST_OF_TASK: &str =
    "SELECT id, task, attempt, cost FROM log_rows WHERE task = $1 ORDER BY attempt, starts LIMIT 1";
/// The oldest row: rows are numbered as they come.
pub(super) const FIRST_OF_ALL: &str =
    "SELECT id, task, attempt, cost, taken_at FROM log_rows ORDER BY id LIMIT 1";

type Result<T> = std::result::Result<T, StoreError>;

/// The rows of logs, within a transaction.
pub(super) struct SqliteShelf<'a> {
    transaction: &'a Transaction<'a>,
    numbers: &'a Numbers,
    total: u64,
}

impl<'a> SqliteShelf<'a> {
    pub(super) fn new(transaction: &'a Transaction<'a>, numbers: &'a Numbers) -> Result<Self> {
        let sql = "SELECT value FROM meta WHERE key = 'log_bytes'";
        let total: Option<String> =
            transaction.prepare_cached(sql)?.query_row([], |row| row.get(0)).optional()?;
        let total = total.and_then(|total| total.parse().ok()).unwrap_or(0);
        Ok(Self { transaction, numbers, total })
    }

    /// Writes down what all of it costs, once for the whole transaction.
    pub(super) fn finish(self) -> Result<()> {
        let sql = "INSERT INTO meta (key, value) VALUES ('log_bytes', $1) \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
        self.transaction.prepare_cached(sql)?.execute([self.total.to_string()])?;
        Ok(())
    }

    /// Takes a row away that was found.
    fn take_away(&mut self, found: Option<(i64, i64, u32, u64)>) -> Result<bool> {
        let Some((id, task, attempt, cost)) = found else {
            return Ok(false);
        };
        self.transaction.prepare_cached("DELETE FROM log_rows WHERE id = $1")?.execute([id])?;
        let sql =
            "UPDATE log_streams SET cost = max(cost - $1, 0) WHERE task = $2 AND attempt = $3";
        self.transaction.prepare_cached(sql)?.execute(params![number(cost), task, attempt])?;
        self.total = self.total.saturating_sub(cost);
        Ok(true)
    }
}

/// A count that no column is too small for: see `store::logs`, which bounds them all.
fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

impl Shelf for SqliteShelf<'_> {
    fn owner(&self, id: AssignmentId) -> Result<Option<Owner>> {
        let sql = "SELECT t.settled_at IS NOT NULL, t.forgotten, a.agent, a.offered_at \
                   FROM tasks t LEFT JOIN assignments a ON a.task = t.number AND a.attempt = $1 \
                   WHERE t.number = $2 AND t.id = $3";
        let read = |row: &Row<'_>| {
            let agent = from_text_option(row, 2)?;
            let offered_at: Option<i64> = row.get(3)?;
            Ok(Owner {
                settled: row.get(0)?,
                forgotten: from_json_option(row, 1)?,
                attempt: agent.zip(offered_at.map(Timestamp)),
            })
        };
        let mut statement = self.transaction.prepare_cached(sql)?;
        let key = params![id.attempt.0, self.numbers.of(id.task), blob(&id.task)];
        Ok(statement.query_row(key, read).optional()?)
    }

    fn restored_at(&self) -> Result<Option<Timestamp>> {
        let sql = "SELECT value FROM meta WHERE key = 'restored'";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let value: Option<String> = statement.query_row([], |row| row.get(0)).optional()?;
        Ok(value.and_then(|value| value.parse().ok()).map(Timestamp))
    }

    fn stream(&self, id: AssignmentId) -> Result<Option<Stream>> {
        let sql = "SELECT upto, complete, cost, taken_at FROM log_streams \
                   WHERE task = $1 AND attempt = $2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let read = |row: &Row<'_>| stream(row, 0);
        Ok(statement.query_row(params![self.numbers.of(id.task), id.attempt.0], read).optional()?)
    }

    fn put_stream(&mut self, id: AssignmentId, stream: Stream) -> Result<()> {
        let sql = "INSERT INTO log_streams (task, attempt, upto, complete, cost, taken_at) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (task, attempt) DO UPDATE SET \
                   upto = excluded.upto, complete = excluded.complete, cost = excluded.cost, \
                   taken_at = excluded.taken_at";
        self.transaction.prepare_cached(sql)?.execute(params![
            self.numbers.of(id.task),
            id.attempt.0,
            number(stream.upto),
            stream.complete,
            number(stream.cost),
            stream.taken_at.0,
        ])?;
        Ok(())
    }

    fn task_cost(&self, task: TaskId) -> Result<u64> {
        let sql = "SELECT coalesce(sum(cost), 0) FROM log_streams WHERE task = $1";
        let mut statement = self.transaction.prepare_cached(sql)?;
        Ok(statement.query_row([self.numbers.of(task)], |row| count(row, 0))?)
    }

    fn total_cost(&self) -> Result<u64> {
        Ok(self.total)
    }

    fn add_row(&mut self, id: AssignmentId, row: &LogRow, now: Timestamp) -> Result<()> {
        let sql = "INSERT INTO log_rows (task, attempt, starts, ends, cost, taken_at, pieces) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        self.transaction.prepare_cached(sql)?.execute(params![
            self.numbers.of(id.task),
            id.attempt.0,
            number(row.offset()),
            number(row.upto()),
            number(row.cost),
            now.0,
            json(&row.pieces)?,
        ])?;
        self.total = self.total.saturating_add(row.cost);
        Ok(())
    }

    fn drop_first_of(&mut self, task: TaskId) -> Result<bool> {
        let mut statement = self.transaction.prepare_cached(FIRST_OF_TASK)?;
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, count(row, 3)?));
        let found = statement.query_row([self.numbers.of(task)], read).optional()?;
        drop(statement);
        self.take_away(found)
    }

    fn drop_first(&mut self, before: Timestamp) -> Result<bool> {
        let mut statement = self.transaction.prepare_cached(FIRST_OF_ALL)?;
        let read = |row: &Row<'_>| {
            let found = (row.get(0)?, row.get(1)?, row.get(2)?, count(row, 3)?);
            Ok((found, row.get::<_, i64>(4)?))
        };
        let found = statement.query_row([], read).optional()?;
        drop(statement);
        self.take_away(found.filter(|(_, taken_at)| *taken_at < before.0).map(|(found, _)| found))
    }
}

fn stream(row: &Row<'_>, first: usize) -> rusqlite::Result<Stream> {
    Ok(Stream {
        upto: count(row, first)?,
        complete: row.get(first + 1)?,
        cost: count(row, first + 2)?,
        taken_at: Timestamp(row.get(first + 3)?),
    })
}

/// Where the log of a task stands.
pub(super) fn state(
    connection: &mut Connection,
    task: TaskId,
    number: i64,
) -> Result<Option<LogState>> {
    // One transaction, so that the parts belong to one moment.
    let snapshot = connection.transaction()?;
    let sql = "SELECT settled_at IS NOT NULL FROM tasks WHERE number = $1 AND id = $2";
    let settled: Option<bool> = snapshot
        .prepare_cached(sql)?
        .query_row(params![number, blob(&task)], |row| row.get(0))
        .optional()?;
    let Some(settled) = settled else {
        return Ok(None);
    };
    let sql = "SELECT a.attempt, a.started_at IS NOT NULL, a.ended, s.task IS NOT NULL, \
               coalesce(s.upto, 0), coalesce(s.complete, 0), coalesce(s.cost, 0), \
               coalesce(s.taken_at, 0) FROM assignments a \
               LEFT JOIN log_streams s ON s.task = a.task AND s.attempt = a.attempt \
               WHERE a.task = $1 ORDER BY a.attempt";
    let read = |row: &Row<'_>| {
        let stream = stream(row, 4)?;
        Ok(LogAttempt {
            attempt: Attempt(row.get(0)?),
            started: row.get(1)?,
            ended: row.get(2)?,
            stream: row.get::<_, bool>(3)?.then_some(stream),
        })
    };
    let attempts = all(&snapshot, sql, [number], read)?;
    Ok(Some(LogState { settled, attempts }))
}

/// The pieces from an offset on, of a few rows of the log of an attempt of the task with this number.
pub(super) fn part(
    connection: &mut Connection,
    (task, attempt): (i64, Attempt),
    from: u64,
) -> Result<LogPart> {
    let snapshot = connection.transaction()?;
    let sql = "SELECT upto FROM log_streams WHERE task = $1 AND attempt = $2";
    let upto = snapshot
        .prepare_cached(sql)?
        .query_row(params![task, attempt.0], |row| count(row, 0))
        .optional()?;
    // A row may begin before what is asked for, and end behind it.
    let begin = "SELECT starts FROM log_rows WHERE task = $1 AND attempt = $2 AND starts <= $3 \
                 ORDER BY starts DESC LIMIT 1";
    let begin: Option<i64> = snapshot
        .prepare_cached(begin)?
        .query_row(params![task, attempt.0, number(from)], |row| row.get(0))
        .optional()?;
    let begin = begin.unwrap_or_else(|| number(from));
    let mut statement = snapshot.prepare_cached(PART)?;
    let mut rows = statement.query(params![task, attempt.0, begin])?;
    let mut part = LogPart { pieces: Vec::new(), upto: upto.unwrap_or(0), is_last: true };
    let mut cost = 0;
    while let Some(row) = rows.next()? {
        if cost >= PART_COST_MAX {
            part.is_last = false;
            break;
        }
        cost += count(row, 0)?;
        let pieces: Vec<TextPiece> = from_json(row, 1)?;
        part.pieces.extend(pieces.into_iter().filter(|piece| piece.end() > from));
    }
    Ok(part)
}

/// The pieces of the row that begins last before an offset.
pub(super) fn before(
    connection: &Connection,
    (task, attempt): (i64, Attempt),
    offset: u64,
) -> Result<Vec<TextPiece>> {
    let mut statement = connection.prepare_cached(BEFORE)?;
    let read = |row: &Row<'_>| from_json(row, 0);
    let key = params![task, attempt.0, number(offset)];
    let pieces: Option<Vec<TextPiece>> = statement.query_row(key, read).optional()?;
    let pieces = pieces.unwrap_or_default();
    Ok(pieces.into_iter().filter(|piece| piece.offset < offset).collect())
}

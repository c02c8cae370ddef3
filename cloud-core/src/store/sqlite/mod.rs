//! The store on disk: one SQLite database, written by one owner in whole transactions, each on
//! disk before it counts. All SQL of the core is in this folder.

mod backup;
#[cfg(test)]
mod backup_tests;
mod events;
mod history;
mod last_words;
mod logs;
#[cfg(test)]
mod migration_tests;
mod number;
mod read;
mod rows;
mod schedules;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use std::path::Path;
use std::sync::Arc;

use cloud_core_logic::change::{Change, Stored};
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use shared::id::CoreId;
use shared::time::Timestamp;
use shared_runtime::clock::uuids_follow;
use shared_runtime::sqlite::open;

use super::history::Pass;
use super::logs::{Shelf, keep_all, prune};
use super::{
    AgentLogs, EventBounds, HistoryBounds, HistoryPruned, KeptLogs, LogBounds, Pruned, Reader,
    Store, StoreError,
};
use history::{Counted, SqliteArchive};
use number::Numbers;
use read::SqliteReader;
use write::Writing;

pub use backup::{Backup, PutBack, TakenUp, back_up, put_back};

/// How the writer works. Its log is folded into the database four times less often than by default,
/// because the pages at the end of each table are written again and again; it is kept at that size,
/// since a file that grows has to be given room each time. The cache holds what a thousand tasks
/// change, and the leaves of the index on names, into which they fall anywhere.
const TUNING: &str = "
    PRAGMA wal_autocheckpoint = 4000;
    PRAGMA journal_size_limit = 33554432;
    PRAGMA cache_size = -65536;
";

/// A store in one SQLite database.
pub struct SqliteStore {
    writer: Connection,
    reader: Arc<SqliteReader>,
    numbers: Arc<Numbers>,
    taken_up: Option<TakenUp>,
    events: EventBounds,
    counted: Counted,
    pass: Pass,
    /// Behind which late report that pass goes on.
    reports_behind: i64,
}

impl SqliteStore {
    /// Opens a database, or makes one for the core with the id `fresh`. A database that exists
    /// keeps the id it was made with, unless it is a backup that was put in place: that is another
    /// core from now on.
    ///
    /// # Errors
    /// When it cannot be made, read, written or brought up to date.
    pub fn open(path: &Path, fresh: CoreId, now: Timestamp) -> Result<Self, StoreError> {
        let mut writer = open(path, &schema::MIGRATIONS)?;
        writer.set_prepared_statement_cache_capacity(write::STATEMENTS_KEPT);
        writer.execute_batch(TUNING)?;
        writer.execute(
            "INSERT INTO meta (key, value) VALUES ('core', $1) ON CONFLICT (key) DO NOTHING",
            [fresh.to_string()],
        )?;
        events::begin(&writer, now)?;
        let taken_up = backup::take_up(&mut writer, fresh, now)?;
        if let Some(latest) = number::latest(&writer)? {
            uuids_follow(&latest.0);
        }
        let numbers = Arc::new(Numbers::of_store(&writer)?);
        let reader = Arc::new(SqliteReader::open(path, Arc::clone(&numbers))?);
        Ok(Self {
            counted: Counted::of(&writer)?,
            writer,
            reader,
            numbers,
            taken_up,
            events: EventBounds::default(),
            pass: Pass::default(),
            reports_behind: i64::MIN,
        })
    }

    /// Keeps no more events than these bounds allow.
    #[must_use]
    pub fn with_events(self, events: EventBounds) -> Self {
        Self { events, ..self }
    }

    /// Whether the database was found to be a backup put in place when it was opened.
    #[must_use]
    pub fn taken_up(&self) -> Option<&TakenUp> {
        self.taken_up.as_ref()
    }
}

impl Store for SqliteStore {
    fn load(&mut self) -> Result<Stored, StoreError> {
        read::load(&self.writer)
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let transaction = self.writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (numbers, events) = (self.numbers.as_ref(), &self.events);
        // Dropping the transaction takes back what came before an error.
        let settled = Writing { connection: &transaction, numbers, events }.apply_all(changes)?;
        transaction.commit()?;
        self.counted.tasks += settled;
        Ok(())
    }

    fn keep_logs(
        &mut self,
        logs: &[AgentLogs],
        bounds: &LogBounds,
        now: Timestamp,
    ) -> Result<KeptLogs, StoreError> {
        let transaction = self.writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut shelf = logs::SqliteShelf::new(&transaction, &self.numbers)?;
        let kept = keep_all(&mut shelf, logs, bounds, now)?;
        shelf.finish()?;
        transaction.commit()?;
        Ok(kept)
    }

    fn prune_logs(&mut self, bounds: &LogBounds, now: Timestamp) -> Result<Pruned, StoreError> {
        let transaction = self.writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut shelf = logs::SqliteShelf::new(&transaction, &self.numbers)?;
        let before = shelf.total_cost()?;
        let more = prune(&mut shelf, bounds, now)?;
        let bytes = shelf.total_cost()?;
        if bytes != before {
            shelf.finish()?;
            transaction.commit()?;
        }
        Ok(Pruned { bytes, more })
    }

    fn prune_history(
        &mut self,
        bounds: &HistoryBounds,
        effort: usize,
        now: Timestamp,
    ) -> Result<HistoryPruned, StoreError> {
        let transaction = self.writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let written = transaction.total_changes();
        let (numbers, behind) = (self.numbers.as_ref(), self.reports_behind);
        let mut archive = SqliteArchive::new(&transaction, numbers, self.counted, behind)?;
        let mut pass = self.pass;
        let pruned = pass.step(&mut archive, bounds, effort, now)?;
        let (counted, behind) = archive.finish()?;
        if transaction.total_changes() != written {
            transaction.commit()?;
        }
        (self.counted, self.pass, self.reports_behind) = (counted, pass, behind);
        Ok(pruned)
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader) as Arc<dyn Reader>
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error;
        match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                return Self::Corrupt { source: error.into() };
            }
            Some(ErrorCode::ConstraintViolation) => return Self::contradiction(error.to_string()),
            Some(ErrorCode::DiskFull) => {
                return Self::Full { source: error.into() };
            }
            _ => {}
        }
        match error {
            Error::ToSqlConversionFailure(_) => Self::contradiction(error.to_string()),
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::Utf8Error(..)
            | Error::QueryReturnedNoRows => Self::Corrupt { source: error.into() },
            other => Self::Unavailable { source: other.into() },
        }
    }
}

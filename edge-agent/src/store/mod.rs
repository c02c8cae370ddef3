//! The agent's database: what it holds and what it still has to tell, in SQLite. Every batch of
//! changes is one transaction; what is committed survives a power cut. All SQL of the agent is in
//! this folder.

mod glance;
mod read;
mod rows;
mod write;

use std::path::Path;

use edge_agent_logic::change::{Change, Stored};
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use shared::id::{AgentId, Boot, Incarnation, Sequence};
use shared::mailbox::Outbox;
use shared::wire::uplink::NumberedReport;
use shared_runtime::sqlite::{self, DatabaseError};

use rows::{number, signed};

pub use glance::{Glance, HeldSchedule, HeldTask, Reader, Soundness};

const SCHEMA_1: &str = "
CREATE TABLE head (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    agent TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    boot INTEGER NOT NULL,
    core TEXT,
    applied_rev INTEGER NOT NULL,
    last_seq INTEGER NOT NULL,
    acked_seq INTEGER NOT NULL,
    link TEXT NOT NULL,
    link_at_ms INTEGER,
    heard_at_ms INTEGER
) STRICT;
CREATE TABLE attempt (
    task TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    number INTEGER NOT NULL,
    accepted_at_ms INTEGER NOT NULL,
    name TEXT,
    work TEXT,          -- what to run; NULL once it is over
    state TEXT,         -- NULL once it is over
    report INTEGER,     -- the outbox entry that tells its end; NULL before
    PRIMARY KEY (task, attempt)
) STRICT;
CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY,
    report TEXT NOT NULL
) STRICT;
";

/// What is acknowledged is kept for a while, attempts may have several runs, and clocks are doubted.
const SCHEMA_2: &str = "
ALTER TABLE head ADD COLUMN floor_ms INTEGER;
ALTER TABLE head ADD COLUMN clock TEXT;
ALTER TABLE head ADD COLUMN clock_offset_ms INTEGER;
ALTER TABLE attempt ADD COLUMN runs TEXT;       -- of earlier runs; NULL without any
ALTER TABLE attempt ADD COLUMN progress TEXT;   -- NULL while nothing was said
ALTER TABLE outbox ADD COLUMN kind TEXT;
ALTER TABLE outbox ADD COLUMN task TEXT;
ALTER TABLE outbox ADD COLUMN attempt INTEGER;
ALTER TABLE outbox ADD COLUMN kept_at_ms INTEGER;
UPDATE outbox SET
    kind = CASE json_extract(report, '$.event.kind')
        WHEN 'accepted' THEN 'state' WHEN 'started' THEN 'state' ELSE 'outcome' END,
    task = json_extract(report, '$.task'),
    attempt = json_extract(report, '$.attempt');
";

/// More statements than there are, so that each is prepared once.
const STATEMENTS_MAX: usize = 64;

/// What is written wears the flash, and is counted.
const SCHEMA_3: &str = "ALTER TABLE head ADD COLUMN flash TEXT;";

/// Schedules that are held and fire by the agent's own clock.
const SCHEMA_4: &str = "
CREATE TABLE resident (
    schedule TEXT PRIMARY KEY,
    hold TEXT NOT NULL,         -- what the core wants of it
    standing TEXT NOT NULL      -- how far it has come here
) STRICT;
ALTER TABLE attempt ADD COLUMN schedule TEXT;   -- the one of those that made it; NULL otherwise
";

/// One that is given again goes on behind what it did before.
const SCHEMA_5: &str = "
CREATE TABLE dropped (
    schedule TEXT PRIMARY KEY,
    through_ms INTEGER NOT NULL     -- how far it had come
) STRICT;
";

const MIGRATIONS: [&str; 5] = [SCHEMA_1, SCHEMA_2, SCHEMA_3, SCHEMA_4, SCHEMA_5];

/// Why the store cannot do what it is asked to.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error(transparent)]
    Open(#[from] DatabaseError),
    /// SQLite refuses.
    #[error("the agent's database: {0}; check the free space and the health of its disk")]
    Sql(#[from] rusqlite::Error),
    /// It belongs to another agent.
    #[error(
        "the data belongs to agent {found}, not to {wanted}; write --id {found}, or name another folder with --data"
    )]
    OtherAgent {
        /// Whose it is.
        found: String,
        /// Who asked.
        wanted: AgentId,
    },
    /// A row holds what was never written.
    #[error(
        "the agent's database is damaged ({what}: {detail}); move it away to start afresh, and the core will place its tasks anew"
    )]
    Damaged {
        /// Which row.
        what: &'static str,
        /// What is wrong with it.
        detail: String,
    },
}

impl StoreError {
    /// Whether it may be that there was no room on the disk: `Some(true)` if SQLite says so,
    /// `Some(false)` if it says something that can come of it, `None` if it is something else.
    #[must_use]
    pub fn is_want_of_room(&self) -> Option<bool> {
        let code = match self {
            Self::Sql(error) => error.sqlite_error_code(),
            Self::Open(
                DatabaseError::Unwritable { source, .. } | DatabaseError::Migration { source, .. },
            ) => source.sqlite_error_code(),
            Self::Open(DatabaseError::Create { source, .. }) => {
                return Some(crate::room::is_want_of_room(source)).filter(|out| *out);
            }
            _ => None,
        };
        match code? {
            ErrorCode::DiskFull => Some(true),
            // Its index beside the log could not be made or grow.
            ErrorCode::SystemIoFailure | ErrorCode::CannotOpen => Some(false),
            _ => None,
        }
    }
}

/// How much was written to flash in a day, as far as it was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlashDay {
    /// Which, in days since 1970.
    pub day: u64,
    /// How much, in bytes.
    pub bytes: u64,
    /// How long the agent has run in it, in milliseconds: where nobody knows the date, a day is
    /// over when it has run for one.
    pub ran_ms: u64,
}

/// The agent's database, opened by the one agent that writes it.
pub struct Store {
    connection: Connection,
}

impl Store {
    /// Opens the database of an agent, and makes it if there is none. `fresh` names the
    /// incarnation that a new one gets.
    ///
    /// # Errors
    /// It cannot be opened, belongs to another agent, or cannot be written.
    pub fn open(path: &Path, agent: &AgentId, fresh: Incarnation) -> Result<Self, StoreError> {
        let connection = sqlite::open(path, &MIGRATIONS)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
        // What SQLite sets aside within a statement is never worth a file, least of all on a disk
        // that is full.
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        let owner: Option<String> =
            connection.query_row("SELECT agent FROM head", [], |row| row.get(0)).optional()?;
        match owner {
            Some(found) if found != agent.as_str() => {
                return Err(StoreError::OtherAgent { found, wanted: agent.clone() });
            }
            Some(_) => {}
            None => {
                connection.execute(
                    "INSERT INTO head (only, agent, incarnation, boot, applied_rev, last_seq,
                        acked_seq, link) VALUES (1, ?1, ?2, 0, 0, 0, 0, ?3)",
                    params![agent.as_str(), fresh.to_string(), r#"{"link":"never"}"#],
                )?;
            }
        }
        Ok(Self { connection })
    }

    /// Counts this start of the process, durably, and gives back what is stored.
    ///
    /// # Errors
    /// The database cannot be written, or is damaged.
    pub fn begin_boot(&mut self) -> Result<Stored, StoreError> {
        self.connection.execute("UPDATE head SET boot = boot + 1", [])?;
        self.load()
    }

    /// What is stored.
    ///
    /// # Errors
    /// The database is damaged.
    pub fn load(&self) -> Result<Stored, StoreError> {
        let head = read::head(&self.connection)?;
        let (live, finished) = read::attempts(&self.connection)?;
        Ok(Stored {
            incarnation: head.incarnation,
            boot: Boot(head.boot),
            core: head.core,
            applied_rev: head.applied_rev,
            outbox: Outbox { last: head.last_seq, acked: head.acked_seq, sent: head.acked_seq },
            live,
            finished,
            entries: read::entries(&self.connection)?,
            residents: read::residents(&self.connection)?,
            dropped: read::dropped(&self.connection)?,
            floor: head.floor,
            link: head.link,
            heard_at: head.heard_at,
        })
    }

    /// Commits changes, all of them or none.
    ///
    /// # Errors
    /// The database cannot be written; nothing is changed then.
    pub fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.commit_with(changes, None)
    }

    /// The same, and what was written to flash so far.
    ///
    /// # Errors
    /// The database cannot be written; nothing is changed then.
    pub fn commit_with(
        &mut self,
        changes: &[Change],
        flash: Option<FlashDay>,
    ) -> Result<(), StoreError> {
        let transaction = self.connection.transaction()?;
        for change in changes {
            write::apply(&transaction, change)?;
        }
        if let Some(flash) = flash {
            write::put_flash(&transaction, flash)?;
        }
        transaction.commit()?;
        Ok(())
    }

    /// Writes what is in the log of the database to its place, so that the log is written anew
    /// from its beginning: what is committed next needs no more room than the log has. Answers
    /// whether that was done, and anything was there to do.
    pub fn use_log_anew(&self) -> bool {
        let done = self.connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        });
        done.is_ok_and(|(busy, frames, moved)| busy == 0 && frames > 0 && frames == moved)
    }

    /// What was written to flash, as far as it was counted.
    ///
    /// # Errors
    /// The database is damaged.
    pub fn flash(&self) -> Result<Option<FlashDay>, StoreError> {
        read::flash(&self.connection)
    }

    /// The first outbox entries with `after < seq <= upto`, at most `items_max` of them and about
    /// `bytes_max` bytes in all, but at least one if there is one.
    ///
    /// # Errors
    /// The database cannot be read, or is damaged.
    pub fn reports(
        &self,
        after: Sequence,
        upto: Sequence,
        items_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<NumberedReport>, StoreError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT seq, report FROM outbox WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3",
        )?;
        let most = i64::try_from(items_max).unwrap_or(i64::MAX);
        let mut rows = statement.query(params![signed(after.0), signed(upto.0), most])?;
        let (mut items, mut bytes) = (Vec::new(), 0);
        while let Some(row) = rows.next()? {
            let (seq, text): (i64, String) = (row.get(0)?, row.get(1)?);
            bytes += text.len();
            if bytes > bytes_max && !items.is_empty() {
                break;
            }
            let report = rows::parse("a report", &text)?;
            items.push(NumberedReport { seq: Sequence(number(seq)), report });
        }
        Ok(items)
    }
}

#[cfg(test)]
mod tests;

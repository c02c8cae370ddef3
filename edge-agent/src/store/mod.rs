//! The agent's database: what it holds and what it still has to tell, in SQLite. Every batch of
//! changes is one transaction; what is committed survives a power cut. All SQL of the agent is in
//! this folder.

mod read;
mod rows;

use std::path::Path;

use edge_agent_logic::attempt::{Runs, State};
use edge_agent_logic::change::{AttemptRow, Change, EntryKind, Stored};
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use shared::id::{AgentId, AssignmentId, Boot, Incarnation, Sequence};
use shared::mailbox::Outbox;
use shared::report::Report;
use shared::wire::uplink::NumberedReport;
use shared_runtime::sqlite::{self, DatabaseError};

use rows::{number, signed};

pub use read::{Glance, HeldTask, Reader};

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

const MIGRATIONS: [&str; 2] = [SCHEMA_1, SCHEMA_2];

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
        let transaction = self.connection.transaction()?;
        for change in changes {
            apply(&transaction, change)?;
        }
        transaction.commit()?;
        Ok(())
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

/// What each change means in rows.
fn apply(transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        transaction.prepare_cached(sql).and_then(|mut statement| statement.execute(values))
    };
    match change {
        Change::AttemptAdded(row) => return add(transaction, row),
        Change::AttemptMoved { id, state } => {
            let (task, attempt) = key(id);
            let state = rows::text(state)?;
            run(
                "UPDATE attempt SET state = ?1 WHERE task = ?2 AND attempt = ?3",
                &[&state, &task, &attempt],
            )?
        }
        Change::AttemptBegunAgain { id, runs } => {
            let (task, attempt) = key(id);
            let (state, runs) = (rows::text(&State::Accepted)?, rows::text(runs)?);
            run(
                "UPDATE attempt SET state = ?1, runs = ?2, progress = NULL
                 WHERE task = ?3 AND attempt = ?4",
                &[&state, &runs, &task, &attempt],
            )?
        }
        Change::ProgressPut { id, progress } => {
            let (task, attempt) = key(id);
            run(
                "UPDATE attempt SET progress = ?1
                 WHERE task = ?2 AND attempt = ?3 AND work IS NOT NULL",
                &[&rows::text(progress)?, &task, &attempt],
            )?
        }
        Change::AttemptFinished { id, report } => {
            let (task, attempt) = key(id);
            run(
                "UPDATE attempt SET state = NULL, work = NULL, runs = NULL, progress = NULL,
                    report = ?1 WHERE task = ?2 AND attempt = ?3",
                &[&signed(report.0), &task, &attempt],
            )?
        }
        Change::AttemptForgotten { id } => {
            let (task, attempt) = key(id);
            run("DELETE FROM attempt WHERE task = ?1 AND attempt = ?2", &[&task, &attempt])?
        }
        Change::ReportAdded { seq, report } => return add_report(transaction, *seq, report),
        Change::ReportsAcked { upto, at } => {
            run("DELETE FROM outbox WHERE seq <= ?1 AND kind = 'state'", &[&signed(upto.0)])?;
            run(
                "UPDATE outbox SET kept_at_ms = ?1
                 WHERE seq <= ?2 AND seq > (SELECT acked_seq FROM head)",
                &[&at.map(|at| at.0), &signed(upto.0)],
            )?;
            run("UPDATE head SET acked_seq = ?1", &[&signed(upto.0)])?
        }
        Change::ReportsDropped { seqs } => {
            for seq in seqs {
                run("DELETE FROM outbox WHERE seq = ?1", &[&signed(seq.0)])?;
            }
            0
        }
        Change::ReportsUnacked { acked } => {
            run("UPDATE head SET acked_seq = ?1", &[&signed(acked.0)])?
        }
        Change::KeptForgotten { upto } => {
            run("DELETE FROM outbox WHERE seq <= ?1", &[&signed(upto.0)])?
        }
        Change::Applied { rev } => run("UPDATE head SET applied_rev = ?1", &[&signed(rev.0)])?,
        Change::CoreMet { core } => run("UPDATE head SET core = ?1", &[&core.to_string()])?,
        Change::LinkMoved { seen, at } => {
            let seen = rows::text(seen)?;
            run("UPDATE head SET link = ?1, link_at_ms = ?2", &[&seen, &at.0])?
        }
        Change::Heard { at } => run("UPDATE head SET heard_at_ms = ?1", &[&at.0])?,
        Change::Believed { at } => run("UPDATE head SET floor_ms = ?1", &[&at.0])?,
        Change::ClockMoved { trust, offset_ms } => {
            let trust = rows::text(trust)?;
            run("UPDATE head SET clock = ?1, clock_offset_ms = ?2", &[&trust, offset_ms])?
        }
    };
    Ok(())
}

fn add(transaction: &Transaction<'_>, row: &AttemptRow) -> Result<(), StoreError> {
    let (task, attempt) = key(&row.id);
    let mut statement = transaction.prepare_cached(
        "INSERT INTO attempt (task, attempt, number, accepted_at_ms, name, work, state, runs,
                progress) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    statement.execute(params![
        task,
        attempt,
        signed(row.number),
        row.accepted_at.0,
        row.order.name,
        rows::text(&*row.order)?,
        rows::text(&row.state)?,
        (row.runs != Runs::default()).then(|| rows::text(&row.runs)).transpose()?,
        row.progress.as_ref().map(rows::text).transpose()?,
    ])?;
    Ok(())
}

fn add_report(
    transaction: &Transaction<'_>,
    seq: Sequence,
    report: &Report,
) -> Result<(), StoreError> {
    let (task, attempt) = key(&report.assignment);
    let mut statement = transaction.prepare_cached(
        "INSERT INTO outbox (seq, report, kind, task, attempt) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let kind = rows::kind_text(EntryKind::of(&report.event));
    statement.execute(params![signed(seq.0), rows::text(report)?, kind, task, attempt])?;
    transaction.prepare_cached("UPDATE head SET last_seq = ?1")?.execute([signed(seq.0)])?;
    Ok(())
}

fn key(id: &AssignmentId) -> (String, u32) {
    (id.task.to_string(), id.attempt.0)
}

#[cfg(test)]
mod tests;

//! What each change means in rows.

use edge_agent_logic::attempt::{Runs, State};
use edge_agent_logic::change::{AttemptRow, Change, EntryKind};
use rusqlite::{ToSql, Transaction, params};
use shared::id::{AssignmentId, Sequence};
use shared::report::Report;
use shared::time::Timestamp;

use super::rows::{kind_text, signed, text};
use super::{FlashDay, StoreError};

/// Makes a change.
pub(super) fn apply(transaction: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
    let rows = Rows { transaction };
    match change {
        Change::AttemptAdded(row) => rows.add(row),
        Change::AttemptMoved { id, state } => {
            rows.of_attempt(id, "UPDATE attempt SET state = ?3", &[&text(state)?])
        }
        Change::AttemptBegunAgain { id, runs } => {
            let set = "UPDATE attempt SET state = ?3, runs = ?4, progress = NULL";
            rows.of_attempt(id, set, &[&text(&State::Accepted)?, &text(runs)?])
        }
        Change::ProgressPut { id, progress } => {
            let set = "UPDATE attempt SET progress = iif(work IS NULL, NULL, ?3)";
            rows.of_attempt(id, set, &[&text(progress)?])
        }
        Change::AttemptFinished { id, report } => {
            let set = "UPDATE attempt SET state = NULL, work = NULL, runs = NULL,
                progress = NULL, report = ?3";
            rows.of_attempt(id, set, &[&signed(report.0)])
        }
        Change::AttemptForgotten { id } => rows.of_attempt(id, "DELETE FROM attempt", &[]),
        Change::ReportAdded { seq, report } => rows.add_report(*seq, report),
        Change::ReportsAcked { upto, at } => rows.acknowledge(*upto, *at),
        Change::ReportsDropped { seqs } => seqs
            .iter()
            .try_for_each(|seq| rows.run("DELETE FROM outbox WHERE seq = ?1", &[&signed(seq.0)])),
        Change::ReportsUnacked { acked } => rows.set("acked_seq = ?1", &[&signed(acked.0)]),
        Change::KeptForgotten { upto } => {
            rows.run("DELETE FROM outbox WHERE seq <= ?1", &[&signed(upto.0)])
        }
        Change::ScheduleHeld(row) => {
            let sql = "INSERT INTO resident (schedule, hold, standing) VALUES (?1, ?2, ?3)
                ON CONFLICT (schedule) DO UPDATE SET hold = ?2, standing = ?3";
            let (hold, standing) = (text(&*row.hold)?, text(&row.standing)?);
            let schedule = row.schedule.to_string();
            rows.run("DELETE FROM dropped WHERE schedule = ?1", &[&schedule])?;
            rows.run(sql, &[&schedule, &hold, &standing])
        }
        Change::ScheduleMoved { schedule, standing } => {
            let sql = "UPDATE resident SET standing = ?2 WHERE schedule = ?1";
            rows.run(sql, &[&schedule.to_string(), &text(standing)?])
        }
        Change::ScheduleDropped { schedule, through } => {
            let schedule = schedule.to_string();
            rows.run("DELETE FROM resident WHERE schedule = ?1", &[&schedule])?;
            let sql = "INSERT INTO dropped (schedule, through_ms) VALUES (?1, ?2)
                ON CONFLICT (schedule) DO UPDATE SET through_ms = ?2";
            rows.run(sql, &[&schedule, &through.0])
        }
        Change::DroppedForgotten { schedule } => {
            rows.run("DELETE FROM dropped WHERE schedule = ?1", &[&schedule.to_string()])
        }
        Change::Applied { rev } => rows.set("applied_rev = ?1", &[&signed(rev.0)]),
        Change::CoreMet { core } => rows.set("core = ?1", &[&core.to_string()]),
        Change::LinkMoved { seen, at } => {
            rows.set("link = ?1, link_at_ms = ?2", &[&text(seen)?, &at.0])
        }
        Change::Heard { at } => rows.set("heard_at_ms = ?1", &[&at.0]),
        Change::Believed { at } => rows.set("floor_ms = ?1", &[&at.0]),
        Change::ClockMoved { trust, offset_ms } => {
            rows.set("clock = ?1, clock_offset_ms = ?2", &[&text(trust)?, offset_ms])
        }
    }
}

/// Writes down how much was written to flash.
pub(super) fn put_flash(transaction: &Transaction<'_>, flash: FlashDay) -> Result<(), StoreError> {
    Rows { transaction }.set("flash = ?1", &[&text(&flash)?])
}

/// The rows within one transaction.
struct Rows<'a> {
    transaction: &'a Transaction<'a>,
}

impl Rows<'_> {
    fn run(&self, sql: &str, values: &[&dyn ToSql]) -> Result<(), StoreError> {
        self.transaction.prepare_cached(sql)?.execute(values)?;
        Ok(())
    }

    /// Does something with the row of one attempt; `values` are numbered from 3.
    fn of_attempt(
        &self,
        id: &AssignmentId,
        what: &str,
        values: &[&dyn ToSql],
    ) -> Result<(), StoreError> {
        let (task, attempt) = key(id);
        let key: [&dyn ToSql; 2] = [&task, &attempt];
        let values: Vec<&dyn ToSql> = key.into_iter().chain(values.iter().copied()).collect();
        self.run(&format!("{what} WHERE task = ?1 AND attempt = ?2"), &values)
    }

    /// Changes the one row that says where the agent stands.
    fn set(&self, what: &str, values: &[&dyn ToSql]) -> Result<(), StoreError> {
        self.run(&format!("UPDATE head SET {what}"), values)
    }

    fn add(&self, row: &AttemptRow) -> Result<(), StoreError> {
        let (task, attempt) = key(&row.id);
        let runs = (row.runs != Runs::default()).then(|| text(&row.runs)).transpose()?;
        let progress = row.progress.as_ref().map(text).transpose()?;
        let sql = "INSERT INTO attempt (task, attempt, number, accepted_at_ms, name, work, state,
            runs, progress, schedule) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
        self.transaction.prepare_cached(sql)?.execute(params![
            task,
            attempt,
            signed(row.number),
            row.accepted_at.0,
            row.order.name,
            text(&*row.order)?,
            text(&row.state)?,
            runs,
            progress,
            row.schedule.map(|schedule| schedule.to_string()),
        ])?;
        Ok(())
    }

    fn add_report(&self, seq: Sequence, report: &Report) -> Result<(), StoreError> {
        let (task, attempt) = key(&report.assignment);
        let kind = kind_text(EntryKind::of(&report.event));
        let sql = "INSERT INTO outbox (seq, report, kind, task, attempt)
            VALUES (?1, ?2, ?3, ?4, ?5)";
        self.run(sql, &[&signed(seq.0), &text(report)?, &kind, &task, &attempt])?;
        self.set("last_seq = ?1", &[&signed(seq.0)])
    }

    fn acknowledge(&self, upto: Sequence, at: Option<Timestamp>) -> Result<(), StoreError> {
        // What was acknowledged before may be much, and needs no second look.
        let new = "seq <= ?1 AND seq > (SELECT acked_seq FROM head)";
        let upto = signed(upto.0);
        self.run(&format!("DELETE FROM outbox WHERE {new} AND kind = 'state'"), &[&upto])?;
        let kept = format!("UPDATE outbox SET kept_at_ms = ?2 WHERE {new}");
        self.run(&kept, &[&upto, &at.map(|at| at.0)])?;
        self.set("acked_seq = ?1", &[&upto])
    }
}

fn key(id: &AssignmentId) -> (String, u32) {
    (id.task.to_string(), id.attempt.0)
}

//! Columns to values and back. Everything that may look odd in a column is decided here.

use std::str::FromStr;

use cloud_core_logic::change::{
    AgentRow, AssignmentRow, Credential, IdempotencyKey, TaskLife, TaskRow, WantedRow,
};
use rusqlite::types::Type;
use rusqlite::{Error, Result, Row};
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::api::{HistoryDocument, TaskSummary};
use shared::id::{
    AgentId, AssignmentId, Attempt, Boot, Incarnation, Revision, Sequence, Session, TaskId,
};
use shared::mailbox::Inbox;
use shared::task::{FailureReason, TaskStatus};
use shared::time::Timestamp;
use uuid::Uuid;

/// A task's id as a column.
pub(super) fn blob(id: &TaskId) -> &[u8] {
    id.0.as_bytes()
}

/// A column that holds a task's id.
pub(super) fn task_id(row: &Row<'_>, column: usize) -> Result<TaskId> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|error| damaged(column, error))?;
    Uuid::from_slice(bytes).map(TaskId).map_err(|error| damaged(column, error))
}

/// What a label with its value is found by. A key has no `=` in it.
pub(super) fn term(key: &str, value: &str) -> String {
    format!("{key}={value}")
}

/// An unsigned counter as a column: by its bits, since a peer may choose it as large as it likes.
pub(super) fn bits(counter: u64) -> i64 {
    counter.cast_signed()
}

/// A value as JSON.
pub(super) fn json<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::ToSqlConversionFailure(Box::new(error)))
}

fn unbits(row: &Row<'_>, column: usize) -> Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

pub(super) fn damaged(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// A column that holds JSON.
pub(super) fn from_json<T: DeserializeOwned>(row: &Row<'_>, column: usize) -> Result<T> {
    let text = row.get_ref(column)?.as_str().map_err(|error| damaged(column, error))?;
    serde_json::from_str(text).map_err(|error| damaged(column, error))
}

/// A column that holds JSON or nothing.
pub(super) fn from_json_option<T: DeserializeOwned>(
    row: &Row<'_>,
    column: usize,
) -> Result<Option<T>> {
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => from_json(row, column).map(Some),
    }
}

/// A column that holds something with a text of its own.
pub(super) fn from_text<T>(row: &Row<'_>, column: usize) -> Result<T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text = row.get_ref(column)?.as_str().map_err(|error| damaged(column, error))?;
    text.parse().map_err(|error| damaged(column, error))
}

pub(super) fn from_text_option<T>(row: &Row<'_>, column: usize) -> Result<Option<T>>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    match row.get_ref(column)? {
        rusqlite::types::ValueRef::Null => Ok(None),
        _ => from_text(row, column).map(Some),
    }
}

fn time(row: &Row<'_>, column: usize) -> Result<Timestamp> {
    row.get(column).map(Timestamp)
}

fn time_option(row: &Row<'_>, column: usize) -> Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column).map(|time| time.map(Timestamp))
}

/// A name that the code does not know.
#[derive(Debug, thiserror::Error)]
#[error("unknown name `{0}`")]
struct UnknownName(String);

/// A column that holds one of a list of names.
fn named<T: Copy>(text: &str, column: usize, all: &[(&str, T)]) -> Result<T> {
    let found = all.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
    found.ok_or_else(|| damaged(column, UnknownName(text.to_owned())))
}

/// The columns that [`summary`] reads, of a table called `t`.
pub(super) const SUMMARY_COLUMNS: &str = "t.id, t.name, t.labels, t.status, t.reason, \
     t.priority, t.agent, t.attempt, t.submitted_at, t.updated_at";

/// A task in a list.
pub(super) fn summary(row: &Row<'_>) -> Result<TaskSummary> {
    let status: String = row.get(3)?;
    let reason: Option<String> = row.get(4)?;
    let reason = reason.map(|reason| named(&reason, 4, &FailureReason::ALL)).transpose()?;
    Ok(TaskSummary {
        id: task_id(row, 0)?,
        name: row.get(1)?,
        labels: from_json(row, 2)?,
        status: named(&status, 3, &TaskStatus::ALL)?,
        reason,
        priority: row.get(5)?,
        agent: from_text_option(row, 6)?,
        attempt: Attempt(row.get(7)?),
        submitted_at: time(row, 8)?,
        updated_at: time(row, 9)?,
    })
}

/// The columns that [`task`] reads, of tables called `t`, `s` and `k`.
pub(super) const TASK_COLUMNS: &str = "t.id, s.spec, k.key, k.body_hash, t.submitted_at, t.deadline_at, t.state, t.updated_at, t.attempt, t.agent, t.failures, \
     t.losses, t.refusals, t.forgotten, t.trace, t.origin";

/// The tables that those are of.
pub(super) const TASK_TABLES: &str = "tasks t JOIN specs s ON s.task = t.number \
     LEFT JOIN idempotency_keys k ON k.number = t.idempotency_key";

/// A task as stored.
pub(super) fn task(row: &Row<'_>) -> Result<TaskRow> {
    let key: Option<String> = row.get(2)?;
    let body_hash: Option<String> = row.get(3)?;
    Ok(TaskRow {
        id: task_id(row, 0)?,
        spec: from_json(row, 1)?,
        key: key.zip(body_hash).map(|(key, body_hash)| IdempotencyKey { key, body_hash }),
        submitted_at: time(row, 4)?,
        deadline_at: time_option(row, 5)?,
        trace: from_json_option(row, 14)?,
        origin: from_json_option(row, 15)?,
        life: TaskLife {
            state: from_json(row, 6)?,
            updated_at: time(row, 7)?,
            attempt: Attempt(row.get(8)?),
            agent: from_text_option(row, 9)?,
            failures: row.get(10)?,
            losses: row.get(11)?,
            refusals: row.get(12)?,
            forgotten: from_json_option(row, 13)?,
        },
    })
}

/// The columns that [`assignment`] reads, of tables called `t` and `a`.
pub(super) const ASSIGNMENT_COLUMNS: &str = "t.id, a.attempt, a.agent, a.placed, \
     a.offered_at, a.accepted_at, a.started_at, a.state, a.progress, a.retries";

/// An assignment as stored.
pub(super) fn assignment(row: &Row<'_>) -> Result<AssignmentRow> {
    Ok(AssignmentRow {
        id: AssignmentId { task: task_id(row, 0)?, attempt: Attempt(row.get(1)?) },
        agent: from_text(row, 2)?,
        placed: from_json(row, 3)?,
        offered_at: time(row, 4)?,
        accepted_at: time_option(row, 5)?,
        started_at: time_option(row, 6)?,
        state: from_json(row, 7)?,
        progress: from_json_option(row, 8)?,
        retries: row.get(9)?,
    })
}

/// The columns that [`agent`] reads, of tables called `a` and `m`.
pub(super) const AGENT_COLUMNS: &str = "a.id, a.joined_at, a.facts, a.flags, a.boot, a.link, \
     m.incarnation, m.acked_seq, m.desired_rev, a.last_seen, a.session, a.former, a.withheld";

/// An agent as stored.
pub(super) fn agent(row: &Row<'_>) -> Result<AgentRow> {
    let incarnation: Incarnation = from_text(row, 6)?;
    Ok(AgentRow {
        id: from_text(row, 0)?,
        joined_at: time(row, 1)?,
        facts: from_json(row, 2)?,
        flags: from_json(row, 3)?,
        boot: Boot(unbits(row, 4)?),
        link: unbits(row, 5)?,
        inbox: Inbox { incarnation, acked: Sequence(unbits(row, 7)?) },
        desired_rev: Revision(unbits(row, 8)?),
        last_seen: time_option(row, 9)?,
        session: Session(row.get(10)?),
        former: from_json(row, 11)?,
        withheld: row.get(12)?,
    })
}

/// A row of desired state, from the columns rev, task, attempt, wanted behind the first one.
pub(super) fn wanted(row: &Row<'_>) -> Result<WantedRow> {
    Ok(WantedRow {
        rev: Revision(unbits(row, 1)?),
        assignment: AssignmentId { task: task_id(row, 2)?, attempt: Attempt(row.get(3)?) },
        wanted: from_json(row, 4)?,
    })
}

/// A late report, from the columns agent, attempt, received_at, event.
pub(super) fn late_report(row: &Row<'_>) -> Result<HistoryDocument> {
    Ok(HistoryDocument {
        agent: from_text(row, 0)?,
        attempt: Attempt(row.get(1)?),
        received_at: time(row, 2)?,
        event: from_json(row, 3)?,
    })
}

/// A credential, from the columns agent, password_hash, seal_key.
pub(super) fn credential(row: &Row<'_>) -> Result<(AgentId, Credential)> {
    let credential = Credential { password_hash: row.get(1)?, seal_key: row.get(2)? };
    Ok((from_text(row, 0)?, credential))
}

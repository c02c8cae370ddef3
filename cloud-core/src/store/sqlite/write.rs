//! Changes to SQL. Every statement is prepared once and kept; the caller has begun the
//! transaction.

use std::collections::BTreeMap;

use cloud_core_logic::change::{
    AgentRow, AssignmentRow, Change, Credential, TaskLife, TaskRow, WantedRow,
};
use cloud_core_logic::placement::Policy;
use rusqlite::{Connection, params};
use shared::api::HistoryDocument;
use shared::id::{AgentId, AssignmentId, TaskId};
use shared::mailbox::Inbox;
use shared::task::TaskState;
use shared::time::Timestamp;

use super::events;
use super::rows::{bits, json};
use crate::store::{EventBounds, LATE_REPORTS_MAX, StoreError};

/// How many statements the writer keeps prepared; more than there are below.
pub(super) const STATEMENTS_KEPT: usize = 32;

type Result<T> = std::result::Result<T, StoreError>;

/// The changes without those that a later one of the same transaction makes void: of several rows
/// of one assignment the last counts, so that an agent that tells of progress a hundred times
/// between two commits costs one row.
pub(super) fn last_words(changes: &[Change]) -> impl Iterator<Item = &Change> {
    let mut last: BTreeMap<AssignmentId, usize> = BTreeMap::new();
    for (index, change) in changes.iter().enumerate() {
        if let Change::AssignmentPut(row) = change {
            last.insert(row.id, index);
        }
    }
    changes.iter().enumerate().filter_map(move |(index, change)| match change {
        Change::AssignmentPut(row) if last.get(&row.id) != Some(&index) => None,
        _ => Some(change),
    })
}

/// Applies one change.
pub(super) fn apply(connection: &Connection, change: &Change, bounds: &EventBounds) -> Result<()> {
    match change {
        Change::TaskAdded(row) => add_task(connection, row),
        Change::TaskMoved { task, life } => move_task(connection, *task, life),
        Change::AssignmentPut(row) => put_assignment(connection, row),
        Change::AgentPut(row) => put_agent(connection, row),
        Change::CredentialPut { agent, credential } => {
            put_credential(connection, agent, credential)
        }
        Change::CredentialRemoved { agent } => {
            connection
                .prepare_cached("DELETE FROM credentials WHERE agent = $1")?
                .execute([agent.as_str()])?;
            Ok(())
        }
        Change::InboxMoved { agent, inbox } => move_inbox(connection, agent, *inbox),
        Change::WantedPut { agent, row } => put_wanted(connection, agent, *row),
        Change::WantedRemoved { agent, assignment } => {
            remove_wanted(connection, agent, *assignment)
        }
        Change::LateReport { task, entry } => add_late_report(connection, *task, entry),
        Change::PolicyPut(policy) => put_policy(connection, policy),
        Change::Happened { at, events } => events::append(connection, *at, events, bounds),
        Change::Recovered => {
            connection.prepare_cached("DELETE FROM meta WHERE key = 'recovering'")?.execute([])?;
            Ok(())
        }
    }
}

/// The columns that follow from a state: status, reason, JSON, and when it was settled.
struct StateColumns {
    status: &'static str,
    reason: Option<&'static str>,
    json: String,
    settled_at: Option<i64>,
}

impl StateColumns {
    fn of(state: &TaskState) -> Result<Self> {
        let outcome = match state {
            TaskState::Settled { outcome } => Some(outcome),
            _ => None,
        };
        let reason = outcome.and_then(|outcome| outcome.verdict.reason());
        Ok(Self {
            status: state.status().name(),
            reason: reason.map(|reason| reason.name()),
            json: json(state)?,
            settled_at: outcome.map(|outcome| outcome.at.0),
        })
    }
}

fn add_task(connection: &Connection, row: &TaskRow) -> Result<()> {
    let id = row.id.to_string();
    let state = StateColumns::of(&row.life.state)?;
    connection
        .prepare_cached(
            "INSERT INTO tasks (id, name, labels, priority, idempotency_key, body_hash, \
             submitted_at, deadline_at, status, reason, state, updated_at, attempt, agent, \
             failures, losses, refusals, settled_at, forgotten) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, \
             $18, $19)",
        )?
        .execute(params![
            id,
            row.spec.name,
            json(&row.spec.labels)?,
            row.spec.priority,
            row.key.as_ref().map(|key| &key.key),
            row.key.as_ref().map(|key| &key.body_hash),
            row.submitted_at.0,
            row.deadline_at.map(|at| at.0),
            state.status,
            state.reason,
            state.json,
            row.life.updated_at.0,
            row.life.attempt.0,
            row.life.agent.as_ref().map(AgentId::as_str),
            row.life.failures,
            row.life.losses,
            row.life.refusals,
            state.settled_at,
            row.life.forgotten.as_ref().map(json).transpose()?,
        ])?;
    connection
        .prepare_cached("INSERT INTO specs (task, spec) VALUES ($1, $2)")?
        .execute(params![id, json(&row.spec)?])?;
    for (key, value) in &row.spec.labels {
        connection
            .prepare_cached("INSERT INTO task_labels (key, value, task) VALUES ($1, $2, $3)")?
            .execute(params![key, value, id])?;
    }
    Ok(())
}

fn move_task(connection: &Connection, task: TaskId, life: &TaskLife) -> Result<()> {
    let state = StateColumns::of(&life.state)?;
    let moved = connection
        .prepare_cached(
            "UPDATE tasks SET status = $1, reason = $2, state = $3, updated_at = $4, \
             attempt = $5, agent = $6, failures = $7, losses = $8, refusals = $9, \
             settled_at = $10, forgotten = $11 WHERE id = $12",
        )?
        .execute(params![
            state.status,
            state.reason,
            state.json,
            life.updated_at.0,
            life.attempt.0,
            life.agent.as_ref().map(AgentId::as_str),
            life.failures,
            life.losses,
            life.refusals,
            state.settled_at,
            life.forgotten.as_ref().map(json).transpose()?,
            task.to_string(),
        ])?;
    found(moved, || format!("task {task} is not there"))
}

/// A change to a row that is not there contradicts the store.
fn found(rows: usize, what: impl FnOnce() -> String) -> Result<()> {
    if rows == 0 { Err(StoreError::contradiction(what())) } else { Ok(()) }
}

fn milliseconds(time: Option<Timestamp>) -> Option<i64> {
    time.map(|time| time.0)
}

fn put_assignment(connection: &Connection, row: &AssignmentRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO assignments (task, attempt, agent, placed, offered_at, accepted_at, \
             started_at, state, progress, retries, ended) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
             ON CONFLICT (task, attempt) DO UPDATE SET agent = excluded.agent, \
             placed = excluded.placed, offered_at = excluded.offered_at, \
             accepted_at = excluded.accepted_at, started_at = excluded.started_at, \
             state = excluded.state, progress = excluded.progress, \
             retries = excluded.retries, ended = excluded.ended",
        )?
        .execute(params![
            row.id.task.to_string(),
            row.id.attempt.0,
            row.agent.as_str(),
            json(&row.placed)?,
            row.offered_at.0,
            milliseconds(row.accepted_at),
            milliseconds(row.started_at),
            json(&row.state)?,
            row.progress.as_ref().map(json).transpose()?,
            row.retries,
            row.state.is_ended(),
        ])?;
    Ok(())
}

fn put_agent(connection: &Connection, row: &AgentRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO agents (id, joined_at, facts, flags, boot, link, incarnation, \
             acked_seq, desired_rev, last_seen, session, former, withheld) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
             ON CONFLICT (id) DO UPDATE SET joined_at = excluded.joined_at, \
             facts = excluded.facts, flags = excluded.flags, boot = excluded.boot, \
             link = excluded.link, incarnation = excluded.incarnation, \
             acked_seq = excluded.acked_seq, desired_rev = excluded.desired_rev, \
             last_seen = excluded.last_seen, session = excluded.session, \
             former = excluded.former, withheld = excluded.withheld",
        )?
        .execute(params![
            row.id.as_str(),
            row.joined_at.0,
            json(&row.facts)?,
            json(&row.flags)?,
            bits(row.boot.0),
            bits(row.link),
            row.inbox.incarnation.to_string(),
            bits(row.inbox.acked.0),
            bits(row.desired_rev.0),
            milliseconds(row.last_seen),
            row.session.0,
            json(&row.former)?,
            row.withheld,
        ])?;
    Ok(())
}

fn put_policy(connection: &Connection, policy: &Policy) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO meta (key, value) VALUES ('policy', $1) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        )?
        .execute([json(policy)?])?;
    Ok(())
}

fn put_credential(connection: &Connection, agent: &AgentId, credential: &Credential) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO credentials (agent, password_hash, seal_key) VALUES ($1, $2, $3) \
             ON CONFLICT (agent) DO UPDATE SET password_hash = excluded.password_hash, \
             seal_key = excluded.seal_key",
        )?
        .execute(params![agent.as_str(), credential.password_hash, credential.seal_key])?;
    Ok(())
}

fn move_inbox(connection: &Connection, agent: &AgentId, inbox: Inbox) -> Result<()> {
    let moved = connection
        .prepare_cached("UPDATE agents SET incarnation = $1, acked_seq = $2 WHERE id = $3")?
        .execute(params![inbox.incarnation.to_string(), bits(inbox.acked.0), agent.as_str()])?;
    found(moved, || format!("agent {agent} is not there"))
}

fn put_wanted(connection: &Connection, agent: &AgentId, row: WantedRow) -> Result<()> {
    let rev = bits(row.rev.0);
    let moved = connection
        .prepare_cached("UPDATE agents SET desired_rev = $1 WHERE id = $2")?
        .execute(params![rev, agent.as_str()])?;
    found(moved, || format!("agent {agent} is not there"))?;
    connection
        .prepare_cached(
            "INSERT INTO wanted (agent, task, attempt, rev, wanted) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (agent, task, attempt) DO UPDATE SET rev = excluded.rev, \
             wanted = excluded.wanted",
        )?
        .execute(params![
            agent.as_str(),
            row.assignment.task.to_string(),
            row.assignment.attempt.0,
            rev,
            json(&row.wanted)?,
        ])?;
    Ok(())
}

fn remove_wanted(connection: &Connection, agent: &AgentId, assignment: AssignmentId) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM wanted WHERE agent = $1 AND task = $2 AND attempt = $3")?
        .execute(params![agent.as_str(), assignment.task.to_string(), assignment.attempt.0])?;
    Ok(())
}

/// Keeps a late report once, up to [`LATE_REPORTS_MAX`] of one task.
fn add_late_report(connection: &Connection, task: TaskId, entry: &HistoryDocument) -> Result<()> {
    let task = task.to_string();
    let event = json(&entry.event)?;
    let (known, told): (i64, bool) = connection
        .prepare_cached(
            "SELECT count(*), \
             coalesce(max(CASE WHEN agent = $1 AND attempt = $2 AND event = $3 THEN 1 ELSE 0 END), 0) \
             FROM late_reports WHERE task = $4",
        )?
        .query_row(params![entry.agent.as_str(), entry.attempt.0, event, task], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    if told || usize::try_from(known).is_ok_and(|known| known >= LATE_REPORTS_MAX) {
        return Ok(());
    }
    connection
        .prepare_cached(
            "INSERT INTO late_reports (task, number, agent, attempt, received_at, event) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )?
        .execute(params![
            task,
            known,
            entry.agent.as_str(),
            entry.attempt.0,
            entry.received_at.0,
            event,
        ])?;
    Ok(())
}

//! Changes to SQL. Every statement is prepared once and kept; the caller has begun the
//! transaction.

use cloud_core_logic::change::{
    AgentRow, AssignmentRow, Change, Credential, IdempotencyKey, TaskLife, TaskRow, WantedRow,
};
use cloud_core_logic::placement::Policy;
use rusqlite::{Connection, params};
use shared::api::HistoryDocument;
use shared::id::{AgentId, AssignmentId, Revision, TaskId};
use shared::mailbox::Inbox;
use shared::task::TaskState;
use shared::time::Timestamp;

use super::events;
use super::last_words::LastWords;
use super::number::Numbers;
use super::rows::{bits, blob, json, term};
use super::schedules;
use crate::store::{EventBounds, LATE_REPORTS_MAX, POLICIES_MAX, StoreError};

/// How many statements the writer keeps prepared; more than there are below.
pub(super) const STATEMENTS_KEPT: usize = 64;

type Result<T> = std::result::Result<T, StoreError>;

/// What changes are written with.
pub(super) struct Writing<'a> {
    /// Within a transaction.
    pub(super) connection: &'a Connection,
    pub(super) numbers: &'a Numbers,
    pub(super) events: &'a EventBounds,
}

impl Writing<'_> {
    /// Applies changes in order, but for those that later ones make void. Gives how many tasks are
    /// settled by them.
    pub(super) fn apply_all(&self, changes: &[Change]) -> Result<u64> {
        let last = LastWords::of(changes);
        let mut settled = 0;
        for (index, change) in changes.iter().enumerate() {
            match change {
                Change::TaskAdded(row) => {
                    let life = last.life_of(row);
                    self.add_task(row, life)?;
                    settled += u64::from(life.state.status().is_settled());
                }
                Change::TaskMoved { task, life } if last.is_move(*task, index) => {
                    self.move_task(*task, life)?;
                    settled += u64::from(life.state.status().is_settled());
                }
                Change::AssignmentPut(row) if last.is_row(row.id, index) => {
                    self.put_assignment(row)?;
                }
                Change::InboxMoved { agent, inbox } if last.is_inbox(agent, index) => {
                    move_inbox(self.connection, agent, *inbox)?;
                }
                Change::TaskMoved { .. } | Change::AssignmentPut(_) | Change::InboxMoved { .. } => {
                }
                Change::WantedPut { agent, row } => {
                    if last.is_revision(agent, index) {
                        move_revision(self.connection, agent, row.rev)?;
                    }
                    put_wanted(self.connection, agent, row)?;
                }
                other => self.apply(other)?,
            }
        }
        Ok(settled)
    }

    /// Applies one change of those that are written as they come.
    fn apply(&self, change: &Change) -> Result<()> {
        let connection = self.connection;
        match change {
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
            Change::WantedRemoved { agent, assignment } => {
                remove_wanted(connection, agent, *assignment)
            }
            Change::SchedulePut(row) => schedules::put(connection, row),
            Change::ScheduleMoved { schedule, through } => {
                schedules::moved(connection, *schedule, *through)
            }
            Change::ScheduleRemoved { schedule } => schedules::remove(connection, *schedule),
            Change::FiringPut(row) => schedules::put_firing(connection, row),
            Change::ResidentPut { agent, row } => schedules::put_resident(connection, agent, row),
            Change::ResidentRemoved { agent, schedule } => {
                schedules::remove_resident(connection, agent, *schedule)
            }
            Change::LateReport { task, entry } => add_late_report(connection, *task, entry),
            Change::PolicyPut(policy) => put_policy(connection, policy),
            Change::Happened { at, events } => events::append(connection, *at, events, self.events),
            Change::Recovered => {
                let sql = "DELETE FROM meta WHERE key = 'recovering'";
                connection.prepare_cached(sql)?.execute([])?;
                Ok(())
            }
            Change::TaskAdded(_)
            | Change::TaskMoved { .. }
            | Change::AssignmentPut(_)
            | Change::InboxMoved { .. }
            | Change::WantedPut { .. } => Ok(()),
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

impl Writing<'_> {
    /// Adds a task with the life that it has at the end of its transaction.
    fn add_task(&self, row: &TaskRow, life: &TaskLife) -> Result<()> {
        let connection = self.connection;
        let number = match row.origin {
            Some(_) => self.numbers.find_room(connection, row.id)?,
            None => self.numbers.of(row.id),
        };
        let key = match &row.key {
            Some(key) => Some(add_key(connection, key, row)?),
            None => None,
        };
        let state = StateColumns::of(&life.state)?;
        connection
            .prepare_cached(
                "INSERT INTO tasks (number, id, name, labels, priority, idempotency_key, \
                 submitted_at, deadline_at, status, reason, state, updated_at, attempt, agent, \
                 failures, losses, refusals, settled_at, forgotten, trace, schedule, origin) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, \
                 $17, $18, $19, $20, $21, $22)",
            )?
            .execute(params![
                number,
                blob(&row.id),
                row.spec.name,
                json(&row.spec.labels)?,
                row.spec.priority,
                key,
                row.submitted_at.0,
                row.deadline_at.map(|at| at.0),
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
                row.trace.as_ref().map(json).transpose()?,
                row.origin.as_ref().map(|origin| origin.schedule.0.as_bytes().as_slice()),
                row.origin.as_ref().map(json).transpose()?,
            ])?;
        connection
            .prepare_cached("INSERT INTO specs (task, spec) VALUES ($1, $2)")?
            .execute(params![number, json(&row.spec)?])?;
        for (key, value) in &row.spec.labels {
            let sql = "INSERT INTO task_terms (term, task) VALUES ($1, $2)";
            let mut statement = connection.prepare_cached(sql)?;
            statement.execute(params![key, number])?;
            statement.execute(params![term(key, value), number])?;
        }
        Ok(())
    }

    fn move_task(&self, task: TaskId, life: &TaskLife) -> Result<()> {
        let state = StateColumns::of(&life.state)?;
        let moved = self
            .connection
            .prepare_cached(
                "UPDATE tasks SET status = $1, reason = $2, state = $3, updated_at = $4, \
                 attempt = $5, agent = $6, failures = $7, losses = $8, refusals = $9, \
                 settled_at = $10, forgotten = $11 WHERE number = $12 AND id = $13",
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
                self.numbers.of(task),
                blob(&task),
            ])?;
        found(moved, || format!("task {task} is not there"))
    }

    fn put_assignment(&self, row: &AssignmentRow) -> Result<()> {
        self.connection
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
                self.numbers.of(row.id.task),
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
}

/// Remembers an idempotency key; gives its number.
fn add_key(connection: &Connection, key: &IdempotencyKey, row: &TaskRow) -> Result<i64> {
    connection
        .prepare_cached(
            "INSERT INTO idempotency_keys (key, body_hash, task, taken_at) \
             VALUES ($1, $2, $3, $4)",
        )?
        .execute(params![key.key, key.body_hash, blob(&row.id), row.submitted_at.0])?;
    Ok(connection.last_insert_rowid())
}

/// A change to a row that is not there contradicts the store.
fn found(rows: usize, what: impl FnOnce() -> String) -> Result<()> {
    if rows == 0 { Err(StoreError::contradiction(what())) } else { Ok(()) }
}

fn milliseconds(time: Option<Timestamp>) -> Option<i64> {
    time.map(|time| time.0)
}

fn put_agent(connection: &Connection, row: &AgentRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO agents (id, joined_at, facts, flags, boot, link, last_seen, session, \
             former, withheld) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
             ON CONFLICT (id) DO UPDATE SET joined_at = excluded.joined_at, \
             facts = excluded.facts, flags = excluded.flags, boot = excluded.boot, \
             link = excluded.link, last_seen = excluded.last_seen, \
             session = excluded.session, former = excluded.former, \
             withheld = excluded.withheld",
        )?
        .execute(params![
            row.id.as_str(),
            row.joined_at.0,
            json(&row.facts)?,
            json(&row.flags)?,
            bits(row.boot.0),
            bits(row.link),
            milliseconds(row.last_seen),
            row.session.0,
            json(&row.former)?,
            row.withheld,
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO agent_marks (agent, incarnation, acked_seq, desired_rev) \
             VALUES ($1, $2, $3, $4) ON CONFLICT (agent) DO UPDATE SET \
             incarnation = excluded.incarnation, acked_seq = excluded.acked_seq, \
             desired_rev = excluded.desired_rev",
        )?
        .execute(params![
            row.id.as_str(),
            row.inbox.incarnation.to_string(),
            bits(row.inbox.acked.0),
            bits(row.desired_rev.0),
        ])?;
    Ok(())
}

/// The policy is there twice: as the one in force, and as the one of its version, of which as many
/// as are kept stay.
fn put_policy(connection: &Connection, policy: &Policy) -> Result<()> {
    let text = json(policy)?;
    for key in ["policy", &policy_key(policy.version)] {
        connection
            .prepare_cached(
                "INSERT INTO meta (key, value) VALUES ($1, $2) \
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            )?
            .execute([key, &text])?;
    }
    connection
        .prepare_cached(
            "DELETE FROM meta WHERE key GLOB 'policy/*' AND key NOT IN \
             (SELECT key FROM meta WHERE key GLOB 'policy/*' ORDER BY key DESC LIMIT $1)",
        )?
        .execute([POLICIES_MAX as i64])?;
    Ok(())
}

/// Under which the policy of a version is kept: of two, the later one has the greater key.
pub(super) fn policy_key(version: u64) -> String {
    format!("policy/{version:020}")
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
        .prepare_cached("UPDATE agent_marks SET incarnation = $1, acked_seq = $2 WHERE agent = $3")?
        .execute(params![inbox.incarnation.to_string(), bits(inbox.acked.0), agent.as_str()])?;
    found(moved, || format!("agent {agent} is not there"))
}

fn move_revision(connection: &Connection, agent: &AgentId, rev: Revision) -> Result<()> {
    let moved = connection
        .prepare_cached("UPDATE agent_marks SET desired_rev = $1 WHERE agent = $2")?
        .execute(params![bits(rev.0), agent.as_str()])?;
    found(moved, || format!("agent {agent} is not there"))
}

fn put_wanted(connection: &Connection, agent: &AgentId, row: &WantedRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO wanted (task, attempt, agent, rev, wanted) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (task, attempt, agent) DO UPDATE SET rev = excluded.rev, \
             wanted = excluded.wanted",
        )?
        .execute(params![
            blob(&row.assignment.task),
            row.assignment.attempt.0,
            agent.as_str(),
            bits(row.rev.0),
            json(&row.wanted)?,
        ])?;
    Ok(())
}

fn remove_wanted(connection: &Connection, agent: &AgentId, assignment: AssignmentId) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM wanted WHERE task = $1 AND attempt = $2 AND agent = $3")?
        .execute(params![blob(&assignment.task), assignment.attempt.0, agent.as_str()])?;
    Ok(())
}

/// Keeps a late report once, up to [`LATE_REPORTS_MAX`] of one task.
fn add_late_report(connection: &Connection, task: TaskId, entry: &HistoryDocument) -> Result<()> {
    let task = blob(&task);
    let event = json(&entry.event)?;
    // Earlier ones may be gone: the next number is not how many there are.
    let (known, next, told): (i64, i64, bool) = connection
        .prepare_cached(
            "SELECT count(*), coalesce(max(number), -1) + 1, \
             coalesce(max(CASE WHEN agent = $1 AND attempt = $2 AND event = $3 THEN 1 ELSE 0 END), 0) \
             FROM late_reports WHERE task = $4",
        )?
        .query_row(params![entry.agent.as_str(), entry.attempt.0, event, task], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
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
            next,
            entry.agent.as_str(),
            entry.attempt.0,
            entry.received_at.0,
            event,
        ])?;
    Ok(())
}

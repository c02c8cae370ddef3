//! Reads what is committed, on connections of its own, so that no reader waits for the writer and
//! none holds it up. Every list is driven by an index that already has its order.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use cloud_core_logic::change::{AssignmentRow, Stored, TaskRow};
use cloud_core_logic::document;
use cloud_core_logic::firing::{FiringRow, ScheduleRow};
use cloud_core_logic::placement::Policy;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Params, Row, params, params_from_iter};
use shared::api::{HistoryDocument, Page, TaskDocument, TaskSummary};
use shared::id::{AgentId, AssignmentId, Attempt, CoreId, ScheduleId, ScheduleName, TaskId};
use shared::task::TaskStatus;
use shared_runtime::sqlite::{DatabaseError, open_read_only};

use super::number::Numbers;
use super::write::policy_key;
use super::{events, logs, rows, schedules};
use crate::store::{
    EventPart, FiringMark, LogPart, LogState, PlacementInput, Reader, StoreError, TaskFilter,
    TextPiece, document::placement_input, firings_page, page_limit, page_of, schedule_behind,
    schedules_page, task_behind,
};

/// How many may read at the same moment; more wait for one another.
const CONNECTIONS: usize = 4;
/// How many statements each connection keeps prepared.
const STATEMENTS_KEPT: usize = 32;

/// A few connections that can only read.
pub(super) struct SqliteReader {
    connections: Vec<Mutex<Connection>>,
    next: AtomicUsize,
    numbers: Arc<Numbers>,
}

/// A task with everything that hangs on it.
type Whole = (TaskRow, Vec<AssignmentRow>, Vec<HistoryDocument>);

impl SqliteReader {
    pub(super) fn open(path: &Path, numbers: Arc<Numbers>) -> Result<Self, DatabaseError> {
        let open = |_| {
            let connection = open_read_only(path)?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
            Ok(Mutex::new(connection))
        };
        let connections = (0..CONNECTIONS).map(open).collect::<Result<_, DatabaseError>>()?;
        Ok(Self { connections, next: AtomicUsize::new(0), numbers })
    }

    /// A connection that nobody uses, or else the one whose turn it is.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let (before, from) = self.connections.split_at(first);
        for connection in from.iter().chain(before) {
            match connection.try_lock() {
                Ok(guard) => return guard,
                // A reader that panicked left no transaction behind: dropping it ends it.
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        self.connections[first].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn whole(&self, id: TaskId) -> Result<Option<Whole>, StoreError> {
        let mut connection = self.connection();
        // One transaction, so that the parts belong to one moment.
        let snapshot = connection.transaction()?;
        let number = self.numbers.of(id);
        let sql = format!(
            "SELECT {} FROM {} WHERE t.number = $1 AND t.id = $2",
            rows::TASK_COLUMNS,
            rows::TASK_TABLES
        );
        let row = snapshot
            .prepare_cached(&sql)?
            .query_row(params![number, rows::blob(&id)], rows::task)
            .optional()?;
        let Some(row) = row else { return Ok(None) };
        let sql = format!(
            "SELECT {} FROM tasks t JOIN assignments a ON a.task = t.number \
             WHERE t.number = $1 ORDER BY a.attempt",
            rows::ASSIGNMENT_COLUMNS
        );
        let assignments = all(&snapshot, &sql, [number], rows::assignment)?;
        let late_reports = late_reports(&snapshot, id)?;
        Ok(Some((row, assignments, late_reports)))
    }

    fn log_of(&self, id: AssignmentId) -> (i64, Attempt) {
        (self.numbers.of(id.task), id.attempt)
    }
}

fn late_reports(connection: &Connection, task: TaskId) -> Result<Vec<HistoryDocument>, StoreError> {
    let sql = "SELECT agent, attempt, received_at, event FROM late_reports WHERE task = $1 \
               ORDER BY number";
    all(connection, sql, [rows::blob(&task)], rows::late_report)
}

impl Reader for SqliteReader {
    fn task(&self, id: TaskId) -> Result<Option<TaskDocument>, StoreError> {
        let whole = self.whole(id)?;
        Ok(whole.map(|(row, assignments, late)| document::task(&row, &assignments, late)))
    }

    fn tasks(
        &self,
        filter: &TaskFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<TaskSummary>, StoreError> {
        let limit = page_limit(limit);
        let behind = task_behind(cursor)?.map(|id| self.numbers.of(id));
        let (sql, values) = list_query(filter, behind, limit + 1);
        let connection = self.connection();
        let items = all(&connection, &sql, params_from_iter(values), rows::summary)?;
        Ok(page_of(items, limit))
    }

    fn policy(&self, version: u64) -> Result<Option<Policy>, StoreError> {
        let connection = self.connection();
        let mut statement = connection.prepare_cached("SELECT value FROM meta WHERE key = $1")?;
        let key = policy_key(version);
        Ok(statement.query_row([key], |row| rows::from_json(row, 0)).optional()?)
    }

    fn schedule(&self, name: &ScheduleName) -> Result<Option<ScheduleRow>, StoreError> {
        schedules::named(&self.connection(), name)
    }

    fn schedules(
        &self,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<ScheduleRow>, StoreError> {
        let limit = page_limit(limit);
        let behind = schedule_behind(cursor)?;
        let rows = schedules::list(&self.connection(), behind.as_deref(), limit + 1)?;
        Ok(schedules_page(rows, limit))
    }

    fn firings(
        &self,
        schedule: ScheduleId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<FiringRow>, StoreError> {
        let limit = page_limit(limit);
        let behind = FiringMark::read(cursor)?;
        let rows = schedules::firings(&self.connection(), schedule, behind.as_ref(), limit + 1)?;
        Ok(firings_page(rows, limit))
    }

    fn task_by_key(&self, key: &str) -> Result<Option<(TaskId, String)>, StoreError> {
        let connection = self.connection();
        let mut statement = connection
            .prepare_cached("SELECT task, body_hash FROM idempotency_keys WHERE key = $1")?;
        let found = statement
            .query_row([key], |row| Ok((rows::task_id(row, 0)?, row.get(1)?)))
            .optional()?;
        Ok(found)
    }

    fn late_reports(&self, id: TaskId) -> Result<Vec<HistoryDocument>, StoreError> {
        late_reports(&self.connection(), id)
    }

    fn events(&self, after: u64) -> Result<EventPart, StoreError> {
        events::part(&mut self.connection(), after)
    }

    fn newest_event(&self) -> Result<u64, StoreError> {
        events::newest(&self.connection())
    }

    fn log_state(&self, task: TaskId) -> Result<Option<LogState>, StoreError> {
        logs::state(&mut self.connection(), task, self.numbers.of(task))
    }

    fn log_part(&self, id: AssignmentId, from: u64) -> Result<LogPart, StoreError> {
        logs::part(&mut self.connection(), self.log_of(id), from)
    }

    fn log_before(&self, id: AssignmentId, offset: u64) -> Result<Vec<TextPiece>, StoreError> {
        logs::before(&self.connection(), self.log_of(id), offset)
    }

    fn placement_input(&self, id: TaskId) -> Result<Option<PlacementInput>, StoreError> {
        let whole = self.whole(id)?;
        Ok(whole.map(|(row, assignments, late)| placement_input(&row, &assignments, late)))
    }
}

/// The statuses of tasks that are not settled. By them the working set is found, so that it needs
/// no index of its own.
pub(super) fn live() -> String {
    let live = TaskStatus::ALL.iter().filter(|(_, status)| !status.is_settled());
    let names: Vec<String> = live.map(|(name, _)| format!("'{name}'")).collect();
    format!("t.status IN ({})", names.join(", "))
}

/// The working set.
pub(super) fn load(connection: &Connection) -> Result<Stored, StoreError> {
    let core = core_id(connection)?;
    let tasks = unsettled(connection)?;
    let sql = format!(
        "SELECT {} FROM tasks t JOIN assignments a ON a.task = t.number AND a.ended = 0 WHERE {}",
        rows::ASSIGNMENT_COLUMNS,
        live()
    );
    let mut assignments = all(connection, &sql, [], rows::assignment)?;
    assignments.sort_by_key(|row| row.id);
    let sql = format!(
        "SELECT {} FROM agents a JOIN agent_marks m ON m.agent = a.id ORDER BY a.id",
        rows::AGENT_COLUMNS
    );
    let agents = all(connection, &sql, [], rows::agent)?;
    let sql = "SELECT agent, password_hash, seal_key FROM credentials ORDER BY agent";
    let credentials = all(connection, sql, [], rows::credential)?;
    // Sorted here: the database sorts a revision by its bits, as a signed number.
    let sql = "SELECT agent, rev, task, attempt, wanted FROM wanted ORDER BY agent, task, attempt";
    let mut wanted = all(connection, sql, [], |row| {
        Ok((rows::from_text::<AgentId>(row, 0)?, rows::wanted(row)?))
    })?;
    wanted.sort_by(|(left, a), (right, b)| (left, a.rev).cmp(&(right, b.rev)));
    let sql = "SELECT count(*) FROM meta WHERE key = 'recovering'";
    let recovering = connection.query_row(sql, [], |row| row.get::<_, i64>(0))? > 0;
    let sql = "SELECT value FROM meta WHERE key = 'policy'";
    let policy = connection.query_row(sql, [], |row| rows::from_json(row, 0)).optional()?;
    let (schedules, queued) = (schedules::load(connection)?, schedules::queued(connection)?);
    Ok(Stored {
        core,
        tasks,
        assignments,
        agents,
        credentials,
        wanted,
        recovering,
        policy,
        schedules,
        queued,
        versions: schedules::versions(connection)?,
        residents: schedules::residents(connection)?,
    })
}

/// Every task that is not settled.
pub(super) fn unsettled(connection: &Connection) -> Result<Vec<TaskRow>, StoreError> {
    let sql = format!("SELECT {} FROM {} WHERE {}", rows::TASK_COLUMNS, rows::TASK_TABLES, live());
    let mut tasks = all(connection, &sql, [], rows::task)?;
    tasks.sort_by_key(|row| row.id);
    Ok(tasks)
}

/// The id that the store was made with.
pub(super) fn core_id(connection: &Connection) -> Result<CoreId, StoreError> {
    let sql = "SELECT value FROM meta WHERE key = 'core'";
    Ok(connection.query_row(sql, [], |row| rows::from_text(row, 0))?)
}

pub(super) fn all<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let items = statement.query_map(params, read)?.collect::<rusqlite::Result<_>>()?;
    Ok(items)
}

/// The list's SQL and its parameters. One condition leads, by an index that ends in the task's
/// number and so has the list's order; the others, behind a unary plus, only sift. Left to itself the
/// planner may let `status` lead, which fits most tasks of an old store.
pub(super) fn list_query(
    filter: &TaskFilter,
    behind: Option<i64>,
    limit: usize,
) -> (String, Vec<Value>) {
    let mut values: Vec<Value> = Vec::new();
    let mut conditions: Vec<String> = Vec::new();
    let mut led = filter.label.is_some();
    let mut add = |column: &str, operator: &str, value: Value, leads: bool| {
        values.push(value);
        let plus = if leads { "" } else { "+" };
        conditions.push(format!("{plus}{column} {operator} ${}", values.len()));
    };
    let (tables, number) = match &filter.label {
        None => ("tasks t", "t.number"),
        Some(_) => ("task_terms l CROSS JOIN tasks t ON t.number = l.task", "l.task"),
    };
    if let Some((key, value)) = &filter.label {
        let term = value.as_ref().map_or_else(|| key.clone(), |value| rows::term(key, value));
        add("l.term", "=", Value::Text(term), true);
    }
    let columns = [
        ("t.name", filter.name.clone()),
        ("t.agent", filter.agent.as_ref().map(ToString::to_string)),
        ("t.status", filter.status.map(|status| status.name().to_owned())),
    ];
    if let Some(schedule) = &filter.schedule {
        add("t.schedule", "=", Value::Blob(schedule.0.as_bytes().to_vec()), !led);
        led = true;
    }
    for (column, value) in columns {
        if let Some(value) = value {
            add(column, "=", Value::Text(value), !led);
            led = true;
        }
    }
    if let Some(behind) = behind {
        add(number, "<", Value::Integer(behind), true);
    }
    let matching = if conditions.is_empty() {
        String::new()
    } else {
        format!("WHERE {} ", conditions.join(" AND "))
    };
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT {} FROM {tables} {matching}ORDER BY {number} DESC LIMIT ${}",
        rows::SUMMARY_COLUMNS,
        values.len()
    );
    (sql, values)
}

//! Schedules and their firings in SQL.

use std::collections::HashMap;
use std::sync::Arc;

use cloud_core_logic::firing::{FiringResult, FiringRow, ScheduleRow};
use cloud_core_logic::schedules::{ResidentRow, VERSIONS_MAX};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use shared::id::{AgentId, ScheduleId, ScheduleName};
use shared::schedule::ScheduleSpec;
use shared::spec::TaskSpec;
use shared::time::Timestamp;
use uuid::Uuid;

use super::read::all;
use super::rows::{bits, damaged, from_json, from_text, json};
use crate::store::{FiringMark, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

/// The columns that [`Texts::schedule`] reads, of tables called `s` and `m`.
const COLUMNS: &str =
    "s.id, s.spec, s.task, s.version, s.created_at, s.updated_at, s.paused, m.through";
const TABLES: &str = "schedules s JOIN schedule_marks m ON m.schedule = s.id";
/// The columns that [`firing`] reads.
const FIRING_COLUMNS: &str = "schedule, at, agent, version, recorded_at, result";

fn blob(id: &ScheduleId) -> &[u8] {
    id.0.as_bytes()
}

fn schedule_id(row: &Row<'_>, column: usize) -> rusqlite::Result<ScheduleId> {
    let bytes = row.get_ref(column)?.as_blob().map_err(|error| damaged(column, error))?;
    Uuid::from_slice(bytes).map(ScheduleId).map_err(|error| damaged(column, error))
}

/// What schedules say, mostly read once: a million of them mostly say the same, but for their names.
#[derive(Default)]
struct Texts {
    tasks: HashMap<String, Arc<TaskSpec>>,
    last: Option<Alike>,
}

/// A spec, and its text around its name.
struct Alike {
    before: String,
    after: String,
    spec: ScheduleSpec,
}

impl Alike {
    /// `None` if more than one name in the text may be that of the schedule: a label may be called
    /// `name`, too. The text is as [`put`] wrote it, without spaces.
    fn of(text: &str, spec: ScheduleSpec) -> Option<Self> {
        let (key, name) = ("\"name\":\"", spec.name.as_str());
        let whole = format!("{key}{name}\"");
        let mut found = text.match_indices(&whole).map(|(at, _)| at + key.len());
        let (at, None) = (found.next()?, found.next()) else {
            return None;
        };
        let (before, after) = (text[..at].to_owned(), text[at + name.len()..].to_owned());
        Some(Self { before, after, spec })
    }

    /// The spec of another text, if that says the same but for the name.
    fn read(&self, text: &str) -> Option<ScheduleSpec> {
        let name = text.strip_prefix(&self.before)?.strip_suffix(&self.after)?;
        // A text with more in it than a name is none.
        Some(ScheduleSpec { name: name.parse().ok()?, ..self.spec.clone() })
    }
}

impl Texts {
    fn spec(&mut self, text: &str) -> serde_json::Result<ScheduleSpec> {
        if let Some(spec) = self.last.as_ref().and_then(|last| last.read(text)) {
            return Ok(spec);
        }
        let spec: ScheduleSpec = serde_json::from_str(text)?;
        self.last = Alike::of(text, spec.clone());
        Ok(spec)
    }

    fn schedule(&mut self, row: &Row<'_>) -> rusqlite::Result<ScheduleRow> {
        let text = row.get_ref(2)?.as_str().map_err(|error| damaged(2, error))?;
        let task = match self.tasks.get(text) {
            Some(task) => Arc::clone(task),
            None => {
                let task: Arc<TaskSpec> = from_json(row, 2)?;
                self.tasks.insert(text.to_owned(), Arc::clone(&task));
                task
            }
        };
        let text = row.get_ref(1)?.as_str().map_err(|error| damaged(1, error))?;
        let spec = self.spec(text).map_err(|error| damaged(1, error))?;
        Ok(ScheduleRow {
            id: schedule_id(row, 0)?,
            spec: Arc::new(ScheduleSpec { task, ..spec }),
            version: row.get(3)?,
            created_at: Timestamp(row.get(4)?),
            updated_at: Timestamp(row.get(5)?),
            paused: row.get(6)?,
            through: Timestamp(row.get(7)?),
        })
    }
}

fn firing(row: &Row<'_>) -> rusqlite::Result<FiringRow> {
    let agent: String = row.get(2)?;
    let agent: Option<AgentId> = match agent.as_str() {
        "" => None,
        id => Some(id.parse().map_err(|error| damaged(2, error))?),
    };
    Ok(FiringRow {
        schedule: schedule_id(row, 0)?,
        at: Timestamp(row.get(1)?),
        agent,
        version: row.get(3)?,
        recorded_at: Timestamp(row.get(4)?),
        result: from_json(row, 5)?,
    })
}

pub(super) fn put(connection: &Connection, row: &ScheduleRow) -> Result<()> {
    let mut spec = serde_json::to_value(&row.spec)
        .map_err(|error| StoreError::contradiction(error.to_string()))?;
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("task");
    }
    connection
        .prepare_cached(
            "INSERT INTO schedules (id, name, spec, task, version, created_at, updated_at, paused) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (id) DO UPDATE SET \
             name = excluded.name, spec = excluded.spec, task = excluded.task, \
             version = excluded.version, updated_at = excluded.updated_at, \
             paused = excluded.paused",
        )?
        .execute(params![
            blob(&row.id),
            row.spec.name.as_str(),
            spec.to_string(),
            json(&row.spec.task)?,
            row.version,
            row.created_at.0,
            row.updated_at.0,
            row.paused,
        ])?;
    connection
        .prepare_cached(
            "INSERT INTO schedule_marks (schedule, through) VALUES ($1, $2) \
             ON CONFLICT (schedule) DO UPDATE SET through = excluded.through",
        )?
        .execute(params![blob(&row.id), row.through.0])?;
    put_version(connection, row)
}

/// Keeps what this version makes if agents fire it, and those before it up to a bound, also when the
/// core fires this one: agents may still tell of them.
fn put_version(connection: &Connection, row: &ScheduleRow) -> Result<()> {
    if row.spec.resident.is_some() {
        connection
            .prepare_cached(
                "INSERT INTO schedule_versions (schedule, version, task) VALUES ($1, $2, $3) \
                 ON CONFLICT (schedule, version) DO UPDATE SET task = excluded.task",
            )?
            .execute(params![blob(&row.id), row.version, json(&row.spec.task)?])?;
    }
    let oldest = row.version.saturating_sub(VERSIONS_MAX as u32);
    let sql = "DELETE FROM schedule_versions WHERE schedule = $1 AND version <= $2";
    connection.prepare_cached(sql)?.execute(params![blob(&row.id), oldest])?;
    Ok(())
}

pub(super) fn put_resident(
    connection: &Connection,
    agent: &AgentId,
    row: &ResidentRow,
) -> Result<()> {
    let moved = connection
        .prepare_cached(
            "UPDATE agent_marks SET desired_rev = max(desired_rev, $1) WHERE agent = $2",
        )?
        .execute(params![bits(row.rev.0), agent.as_str()])?;
    if moved == 0 {
        return Err(StoreError::contradiction(format!("agent {agent} is not there")));
    }
    connection
        .prepare_cached(
            "INSERT INTO residents (agent, schedule, row) VALUES ($1, $2, $3) \
             ON CONFLICT (agent, schedule) DO UPDATE SET row = excluded.row",
        )?
        .execute(params![agent.as_str(), blob(&row.schedule), json(row)?])?;
    Ok(())
}

pub(super) fn remove_resident(
    connection: &Connection,
    agent: &AgentId,
    schedule: ScheduleId,
) -> Result<()> {
    connection
        .prepare_cached("DELETE FROM residents WHERE agent = $1 AND schedule = $2")?
        .execute(params![agent.as_str(), blob(&schedule)])?;
    Ok(())
}

/// What the latest versions of each resident schedule make, in order.
pub(super) fn versions(connection: &Connection) -> Result<Vec<(ScheduleId, u32, Arc<TaskSpec>)>> {
    let sql = "SELECT schedule, version, task FROM schedule_versions ORDER BY schedule, version";
    all(connection, sql, [], |row| Ok((schedule_id(row, 0)?, row.get(1)?, from_json(row, 2)?)))
}

/// What each agent is to make of resident schedules, in the order of agents and schedules.
pub(super) fn residents(connection: &Connection) -> Result<Vec<(AgentId, ResidentRow)>> {
    let sql = "SELECT agent, row FROM residents ORDER BY agent, schedule";
    all(connection, sql, [], |row| Ok((from_text(row, 0)?, from_json(row, 1)?)))
}

pub(super) fn moved(connection: &Connection, id: ScheduleId, through: Timestamp) -> Result<()> {
    let moved = connection
        .prepare_cached("UPDATE schedule_marks SET through = $1 WHERE schedule = $2")?
        .execute(params![through.0, blob(&id)])?;
    match moved {
        0 => Err(StoreError::contradiction(format!("schedule {id} is not there"))),
        _ => Ok(()),
    }
}

pub(super) fn remove(connection: &Connection, id: ScheduleId) -> Result<()> {
    for sql in [
        "DELETE FROM schedules WHERE id = $1",
        "DELETE FROM schedule_marks WHERE schedule = $1",
        "DELETE FROM schedule_versions WHERE schedule = $1",
    ] {
        connection.prepare_cached(sql)?.execute([blob(&id)])?;
    }
    Ok(())
}

pub(super) fn put_firing(connection: &Connection, row: &FiringRow) -> Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO firings (schedule, at, agent, version, recorded_at, queued, result) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (schedule, at, agent) DO UPDATE SET \
             version = excluded.version, recorded_at = excluded.recorded_at, \
             queued = excluded.queued, result = excluded.result",
        )?
        .execute(params![
            blob(&row.schedule),
            row.at.0,
            row.agent.as_ref().map_or("", AgentId::as_str),
            row.version,
            row.recorded_at.0,
            matches!(row.result, FiringResult::Queued { .. }),
            json(&row.result)?,
        ])?;
    Ok(())
}

/// Every schedule, in the order of their ids.
pub(super) fn load(connection: &Connection) -> Result<Vec<ScheduleRow>> {
    let mut texts = Texts::default();
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} ORDER BY s.id");
    all(connection, &sql, [], |row| texts.schedule(row))
}

/// Every firing that waits, in the order of their schedules and moments.
pub(super) fn queued(connection: &Connection) -> Result<Vec<FiringRow>> {
    let sql = format!(
        "SELECT {FIRING_COLUMNS} FROM firings WHERE queued = 1 ORDER BY schedule, at, agent"
    );
    all(connection, &sql, [], firing)
}

pub(super) fn named(connection: &Connection, name: &ScheduleName) -> Result<Option<ScheduleRow>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE s.name = $1");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row([name.as_str()], |row| Texts::default().schedule(row)).optional()?)
}

/// Schedules in the order of their names, behind one.
pub(super) fn list(
    connection: &Connection,
    behind: Option<&str>,
    limit: usize,
) -> Result<Vec<ScheduleRow>> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE s.name > $1 ORDER BY s.name LIMIT $2");
    let mut texts = Texts::default();
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    all(connection, &sql, params![behind.unwrap_or(""), limit], |row| texts.schedule(row))
}

/// Firings of a schedule, the latest moment first, behind one.
pub(super) fn firings(
    connection: &Connection,
    id: ScheduleId,
    behind: Option<&FiringMark>,
    limit: usize,
) -> Result<Vec<FiringRow>> {
    let mut values = vec![Value::Blob(blob(&id).to_vec())];
    let mut and = "";
    if let Some(mark) = behind {
        and = "AND (at, agent) < ($2, $3) ";
        let agent = mark.agent.as_ref().map_or(String::new(), ToString::to_string);
        values.extend([Value::Integer(mark.at.0), Value::Text(agent)]);
    }
    values.push(Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
    let sql = format!(
        "SELECT {FIRING_COLUMNS} FROM firings WHERE schedule = $1 {and}\
         ORDER BY at DESC, agent DESC LIMIT ${}",
        values.len()
    );
    all(connection, &sql, params_from_iter(values), firing)
}

/// Takes away a few of the firings that were recorded before a moment and wait for nothing.
pub(super) fn prune(connection: &Connection, before: Timestamp, effort: usize) -> Result<()> {
    let limit = i64::try_from(effort).unwrap_or(i64::MAX);
    connection
        .prepare_cached(
            "DELETE FROM firings WHERE (schedule, at, agent) IN (SELECT schedule, at, agent \
             FROM firings WHERE recorded_at < $1 AND queued = 0 ORDER BY recorded_at LIMIT $2)",
        )?
        .execute(params![before.0, limit])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn specs_are_read_as_they_are_whatever_came_before() {
        let spec = |name: &str, label: (&str, &str), interval_s: u64| {
            let task = json!({"run": {"noop": {}}});
            shared::schedule::parse(&json!({
                "name": name, "labels": {label.0: label.1}, "task": task,
                "trigger": {"interval_s": interval_s},
            }))
            .expect("a schedule")
        };
        let specs = [
            spec("a", ("name", "a"), 60),
            spec("b", ("name", "a"), 60),
            spec("b", ("name", "b"), 60),
            spec("b", ("name", "c"), 60),
            spec("d", ("name", "c"), 60),
            spec("d", ("site", "b"), 60),
            spec("schedule-2", ("site", "b"), 60),
            spec("schedule-2", ("site", "b"), 600),
        ];
        let mut texts = Texts::default();
        let mut alike = 0;
        for spec in &specs {
            let text = serde_json::to_value(spec).expect("JSON").to_string();
            alike += usize::from(texts.last.as_ref().is_some_and(|it| it.read(&text).is_some()));
            assert_eq!(texts.spec(&text).expect("a spec"), *spec);
        }
        assert_eq!(alike, 2, "those that say the same as the one before");
    }
}

//! What the database says to people: beside an agent that runs, and when there is none. Reads only.

use std::path::Path;

use edge_agent_logic::attempt::{Runs, State};
use edge_agent_logic::change::{LinkSeen, ProgressRow};
use edge_agent_logic::clock::Trust;
use edge_agent_logic::resident::{ResidentRow, next_moment, timetable};
use rusqlite::Connection;
use serde::Serialize;
use shared::id::{AssignmentId, Attempt, CoreId, Incarnation, Revision, ScheduleId, ScheduleName};
use shared::report::{End, ProgressMark, Report, ReportEvent};
use shared::schedule::Timetable;
use shared::time::Timestamp;
use shared_runtime::sqlite;

use super::read::{flash, head, residents};
use super::rows::{id, number, parse, signed};
use super::{FlashDay, MIGRATIONS, StoreError};

/// The schema that knows of schedules.
const SCHEDULES_SINCE: u32 = 4;

/// What an agent's database says about it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Glance {
    /// Its id.
    pub id: String,
    /// Made when the database was made.
    pub incarnation: Incarnation,
    /// How often its process was started.
    pub boot: u64,
    /// The core it last spoke with.
    pub core: Option<CoreId>,
    /// How far the core's wishes are applied.
    pub applied_rev: Revision,
    /// Reports that the core has not acknowledged.
    pub reports_waiting: u64,
    /// Outcomes that it has acknowledged, and that are kept in case it loses them.
    pub reports_kept: u64,
    /// Whether the wall clock is believed.
    #[serde(flatten)]
    pub clock: Trust,
    /// What is to be added to it to get the core's, in milliseconds, if that is known.
    pub clock_offset_ms: Option<i64>,
    /// The last wall time that was believed, as far as it was written down.
    pub clock_floor: Option<Timestamp>,
    /// How it last stood with its core.
    #[serde(flatten)]
    pub link: LinkSeen,
    /// Since when.
    pub link_since: Option<Timestamp>,
    /// When the core was last heard, as far as it was written down.
    pub last_contact: Option<Timestamp>,
    /// What was written to flash on the day that it last counted, as far as it was written down.
    pub flash: Option<FlashDay>,
    /// What it holds.
    pub tasks: Vec<HeldTask>,
    /// The schedules that it fires by its own clock.
    pub schedules: Vec<HeldSchedule>,
}

/// A schedule that an agent holds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldSchedule {
    /// Which.
    pub schedule: ScheduleId,
    /// Its name.
    pub name: ScheduleName,
    /// Its version.
    pub version: u32,
    /// The next moment that it fires for, if one comes; `None` too while one that counts from the
    /// end of its last run runs.
    pub next: Option<Timestamp>,
    /// The last moment that it fired for here.
    pub last: Option<Timestamp>,
    /// How many firings wait for an earlier one to be over.
    pub waiting: usize,
}

/// A task that an agent holds, or whose end its core has not acknowledged.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HeldTask {
    /// The task and its attempt.
    #[serde(flatten)]
    pub assignment: AssignmentId,
    /// Its name.
    pub name: Option<String>,
    /// `accepted`, `starting`, `running`, `stopping`, or `finished` while its end is not
    /// acknowledged.
    pub state: &'static str,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When its process was seen to start, if it was and it is not over.
    pub started_at: Option<Timestamp>,
    /// When it ended, if it did.
    pub ended_at: Option<Timestamp>,
    /// How it ended, if it did.
    pub end: Option<End>,
    /// How often it was run before and run again, because the core could not be asked.
    pub runs_before: u32,
    /// How far it said it is, as far as that was written down.
    pub progress: Option<ProgressMark>,
}

impl HeldTask {
    /// Since when it is in its state, as far as that is known.
    #[must_use]
    pub fn since(&self) -> Timestamp {
        self.ended_at.or(self.started_at).unwrap_or(self.accepted_at)
    }
}

/// Whether a database is as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soundness {
    /// What is wrong with it, in SQLite's words; empty if nothing is.
    pub faults: Vec<String>,
    /// Its schema's version.
    pub version: u32,
    /// The newest version that this program knows.
    pub known: u32,
}

/// Reads the database of an agent, whether it runs or not.
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens the database for reading.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { connection: sqlite::open_read_only(path)? })
    }

    /// Looks through all of it.
    ///
    /// # Errors
    /// It cannot be read at all.
    pub fn look_through(&self) -> Result<Soundness, StoreError> {
        let mut statement = self.connection.prepare("PRAGMA quick_check(10)")?;
        let said = statement.query_map([], |row| row.get(0))?;
        let said: Vec<String> = said.collect::<Result<_, _>>()?;
        let faults = said.into_iter().filter(|line| line != "ok").collect();
        let version = sqlite::schema_version(&self.connection)?;
        let known = u32::try_from(MIGRATIONS.len()).unwrap_or(u32::MAX);
        Ok(Soundness { faults, version, known })
    }

    /// What it says about its agent.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub fn glance(&mut self) -> Result<Glance, StoreError> {
        // One transaction, so that all reads see the same moment.
        let transaction = self.connection.transaction()?;
        let head = head(&transaction)?;
        let tasks = held(&transaction)?;
        let schedules = held_schedules(&transaction)?;
        // A database that an earlier program wrote has no place for it.
        let flash = flash(&transaction).unwrap_or_default();
        let acked = signed(head.acked_seq.0);
        let count = |sql| transaction.query_row(sql, [acked], |row| row.get(0));
        let waiting = count("SELECT count(*) FROM outbox WHERE seq > ?1")?;
        let kept = count("SELECT count(*) FROM outbox WHERE seq <= ?1")?;
        Ok(Glance {
            id: head.agent,
            incarnation: head.incarnation,
            boot: head.boot,
            core: head.core,
            applied_rev: head.applied_rev,
            reports_waiting: number(waiting),
            reports_kept: number(kept),
            clock: head.clock,
            clock_offset_ms: head.clock_offset_ms,
            clock_floor: head.floor,
            link: head.link,
            link_since: head.link_at,
            last_contact: head.heard_at,
            flash,
            tasks,
            schedules,
        })
    }
}

fn held_schedules(connection: &Connection) -> Result<Vec<HeldSchedule>, StoreError> {
    // A database that an earlier program wrote has no place for them.
    if sqlite::schema_version(connection)? < SCHEDULES_SINCE {
        return Ok(Vec::new());
    }
    let rows = residents(connection)?;
    let made = "SELECT count(*) FROM attempt WHERE schedule = ?1 AND work IS NOT NULL";
    let mut statement = connection.prepare(made)?;
    let mut schedules = Vec::new();
    for ResidentRow { schedule, hold, standing } in rows {
        let running: i64 = statement.query_row([schedule.to_string()], |row| row.get(0))?;
        let timetable = timetable(&hold).ok();
        let idle = |it: &Timetable| it.after_end_ms().is_none() || running == 0;
        schedules.push(HeldSchedule {
            schedule,
            name: hold.name.clone(),
            version: hold.version,
            next: timetable.filter(idle).and_then(|it| next_moment(&it, standing.through)),
            last: standing.fired,
            waiting: standing.queue.len(),
        });
    }
    schedules.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(schedules)
}

fn held(connection: &Connection) -> Result<Vec<HeldTask>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT a.task, a.attempt, a.name, a.accepted_at_ms, a.state, a.runs, a.progress, o.report
         FROM attempt a LEFT JOIN outbox o ON o.seq = a.report ORDER BY a.number",
    )?;
    let mut rows = statement.query([])?;
    let mut tasks = Vec::new();
    while let Some(row) = rows.next()? {
        let (task, state): (String, Option<String>) = (row.get(0)?, row.get(4)?);
        let state: Option<State> = state.map(|state| parse("a state", &state)).transpose()?;
        let runs: Option<String> = row.get(5)?;
        let runs: Option<Runs> = runs.map(|runs| parse("earlier runs", &runs)).transpose()?;
        let progress: Option<String> = row.get(6)?;
        let progress: Option<ProgressRow> =
            progress.map(|progress| parse("progress", &progress)).transpose()?;
        let report: Option<String> = row.get(7)?;
        let report: Option<Report> = report.map(|report| parse("a report", &report)).transpose()?;
        tasks.push(HeldTask {
            assignment: AssignmentId {
                task: id("a task's id", &task)?,
                attempt: Attempt(row.get(1)?),
            },
            name: row.get(2)?,
            state: state.map_or("finished", State::name),
            accepted_at: Timestamp(row.get(3)?),
            started_at: state.and_then(State::started_at),
            ended_at: report.as_ref().map(|report| report.at),
            end: report.and_then(|report| match report.event {
                ReportEvent::Finished(finish) => Some(finish.end),
                _ => None,
            }),
            runs_before: runs.unwrap_or_default().number(),
            progress: progress.map(|progress| progress.mark),
        });
    }
    Ok(tasks)
}

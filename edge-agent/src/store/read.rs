//! What the database says, for the agent at its start.

use edge_agent_logic::change::{AttemptRow, EntryRow, LinkSeen};
use edge_agent_logic::clock::Trust;
use edge_agent_logic::resident::ResidentRow;
use rusqlite::Connection;
use shared::id::{AssignmentId, Attempt, CoreId, Incarnation, Revision, ScheduleId, Sequence};
use shared::time::Timestamp;

use super::rows::{damaged, id, number, parse};
use super::{FlashDay, StoreError};

/// The one row that says where the agent stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    pub agent: String,
    pub incarnation: Incarnation,
    pub boot: u64,
    pub core: Option<CoreId>,
    pub applied_rev: Revision,
    pub last_seq: Sequence,
    pub acked_seq: Sequence,
    pub link: LinkSeen,
    pub link_at: Option<Timestamp>,
    pub heard_at: Option<Timestamp>,
    pub floor: Option<Timestamp>,
    pub clock: Trust,
    pub clock_offset_ms: Option<i64>,
}

struct RawHead {
    texts: (String, String, Option<String>, String, Option<String>),
    counters: (i64, i64, i64, i64),
    times: [Option<i64>; 4],
}

pub(super) fn head(connection: &Connection) -> Result<Head, StoreError> {
    let raw = connection.query_row(
        "SELECT agent, incarnation, core, link, boot, applied_rev, last_seq, acked_seq,
                link_at_ms, heard_at_ms, floor_ms, clock_offset_ms, clock FROM head",
        [],
        |row| {
            Ok(RawHead {
                texts: (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(12)?),
                counters: (row.get(4)?, row.get(5)?, row.get(6)?, row.get(7)?),
                times: [row.get(8)?, row.get(9)?, row.get(10)?, row.get(11)?],
            })
        },
    )?;
    let (agent, incarnation, core, link, clock) = raw.texts;
    let [link_at, heard_at, floor, clock_offset_ms] = raw.times;
    let (boot, applied_rev, last_seq, acked_seq) = raw.counters;
    Ok(Head {
        agent,
        incarnation: id("its incarnation", &incarnation)?,
        boot: number(boot),
        core: core.map(|core| id("its core", &core)).transpose()?,
        applied_rev: Revision(number(applied_rev)),
        last_seq: Sequence(number(last_seq)),
        acked_seq: Sequence(number(acked_seq)),
        link: parse("its link", &link)?,
        link_at: link_at.map(Timestamp),
        heard_at: heard_at.map(Timestamp),
        floor: floor.map(Timestamp),
        clock: clock.map_or(Ok(Trust::Trusted), |clock| parse("its clock", &clock))?,
        clock_offset_ms,
    })
}

pub(super) fn flash(connection: &Connection) -> Result<Option<FlashDay>, StoreError> {
    let text: Option<String> =
        connection.query_row("SELECT flash FROM head", [], |row| row.get(0))?;
    optional("what was written to flash", text)
}

type Attempts = (Vec<AttemptRow>, Vec<(AssignmentId, Sequence)>);

pub(super) fn attempts(connection: &Connection) -> Result<Attempts, StoreError> {
    let mut statement = connection.prepare(
        "SELECT task, attempt, number, accepted_at_ms, work, state, report, runs, progress,
                schedule
         FROM attempt ORDER BY task, attempt",
    )?;
    let mut rows = statement.query([])?;
    let (mut live, mut finished) = (Vec::new(), Vec::new());
    while let Some(row) = rows.next()? {
        let task: String = row.get(0)?;
        let assignment =
            AssignmentId { task: id("a task's id", &task)?, attempt: Attempt(row.get(1)?) };
        let (work, state): (Option<String>, Option<String>) = (row.get(4)?, row.get(5)?);
        match (work, state, row.get::<_, Option<i64>>(6)?) {
            (Some(work), Some(state), None) => live.push(AttemptRow {
                id: assignment,
                number: number(row.get(2)?),
                accepted_at: Timestamp(row.get(3)?),
                order: parse("an order", &work)?,
                schedule: row
                    .get::<_, Option<String>>(9)?
                    .map(|text| id("a schedule's id", &text))
                    .transpose()?,
                state: parse("a state", &state)?,
                runs: optional("earlier runs", row.get(7)?)?.unwrap_or_default(),
                progress: optional("progress", row.get(8)?)?,
            }),
            (None, None, Some(report)) => finished.push((assignment, Sequence(number(report)))),
            _ => return Err(damaged("an attempt", &"it is neither live nor over")),
        }
    }
    Ok((live, finished))
}

fn optional<T: serde::de::DeserializeOwned>(
    what: &'static str,
    text: Option<String>,
) -> Result<Option<T>, StoreError> {
    text.map(|text| parse(what, &text)).transpose()
}

pub(super) fn entries(connection: &Connection) -> Result<Vec<EntryRow>, StoreError> {
    let mut statement = connection
        .prepare("SELECT seq, kind, task, attempt, kept_at_ms FROM outbox ORDER BY seq")?;
    let mut rows = statement.query([])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        let (kind, task): (String, String) = (row.get(1)?, row.get(2)?);
        entries.push(EntryRow {
            seq: Sequence(number(row.get(0)?)),
            assignment: AssignmentId {
                task: id("a task's id", &task)?,
                attempt: Attempt(row.get(3)?),
            },
            kind: super::rows::kind(&kind)?,
            kept_at: row.get::<_, Option<i64>>(4)?.map(Timestamp),
        });
    }
    Ok(entries)
}

pub(super) fn residents(connection: &Connection) -> Result<Vec<ResidentRow>, StoreError> {
    let mut statement =
        connection.prepare("SELECT schedule, hold, standing FROM resident ORDER BY schedule")?;
    let mut rows = statement.query([])?;
    let mut residents = Vec::new();
    while let Some(row) = rows.next()? {
        let (schedule, hold, standing): (String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        residents.push(ResidentRow {
            schedule: id("a schedule's id", &schedule)?,
            hold: parse("a schedule", &hold)?,
            standing: parse("how far a schedule has come", &standing)?,
        });
    }
    Ok(residents)
}

pub(super) fn dropped(connection: &Connection) -> Result<Vec<(ScheduleId, Timestamp)>, StoreError> {
    let mut statement =
        connection.prepare("SELECT schedule, through_ms FROM dropped ORDER BY schedule")?;
    let mut rows = statement.query([])?;
    let mut dropped = Vec::new();
    while let Some(row) = rows.next()? {
        let schedule: String = row.get(0)?;
        dropped.push((id("a schedule's id", &schedule)?, Timestamp(row.get(1)?)));
    }
    Ok(dropped)
}

//! `status`: how the agent stands with its core, in one look.

use std::fmt::Write as _;
use std::path::Path;

use edge_agent_logic::change::LinkSeen;
use edge_agent_logic::clock::{Doubt, Trust};
use serde::Serialize;
use shared::time::Now;

use super::{duration, glance, json, when};
use crate::folder::Folder;
use crate::store::{Glance, HeldSchedule, HeldTask, StoreError};

/// What is said about an agent.
#[derive(Debug, Serialize)]
struct Status {
    /// Whether its process runs.
    running: bool,
    /// That process, if it runs.
    process: Option<u32>,
    #[serde(flatten)]
    glance: Glance,
}

/// The status as JSON.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn status_json(data: &Path) -> Result<String, StoreError> {
    let user = Folder::user_of(data);
    let status = Status { running: user.is_some(), process: user.flatten(), glance: glance(data)? };
    Ok(json(&status))
}

/// The status for people.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn status_table(data: &Path, now: Now) -> Result<String, StoreError> {
    let glance = glance(data)?;
    let user = Folder::user_of(data);
    let process = match user {
        Some(Some(pid)) => format!("running, process {pid}"),
        Some(None) => "running".to_owned(),
        None => "not running".to_owned(),
    };
    let mut lines = String::new();
    let mut line = |name: &str, text: String| {
        let _ = writeln!(lines, "{name:<14}{text}");
    };
    line("agent", format!("{} ({process})", glance.id));
    line("link", link(&glance, user.is_some(), now));
    line("last contact", contact(&glance, user.is_some(), now));
    line("core", glance.core.map_or_else(|| "none met yet".to_owned(), |core| core.to_string()));
    line("tasks", counts(&glance.tasks));
    for (nth, schedule) in glance.schedules.iter().enumerate() {
        line(if nth == 0 { "schedules" } else { "" }, one_schedule(schedule, now));
    }
    line("reports", format!("{} wait for the core", glance.reports_waiting));
    line("clock", clock(&glance));
    line("revision", glance.applied_rev.to_string());
    line("incarnation", format!("{}, start {}", glance.incarnation, glance.boot));
    Ok(lines)
}

fn link(glance: &Glance, running: bool, now: Now) -> String {
    let since =
        glance.link_since.map_or_else(String::new, |at| format!(" since {}", when(at, now)));
    match &glance.link {
        LinkSeen::Never => "not tried yet".to_owned(),
        LinkSeen::Connected if running => format!("connected{since}"),
        LinkSeen::Connected => "was connected when the agent last ran".to_owned(),
        LinkSeen::Refused { detail } => format!("refused by the core{since}: {detail}"),
        LinkSeen::Down { reason } => format!("down{since}: {reason}"),
        LinkSeen::Stopped => format!("stopped{since}"),
    }
}

/// Written down seldom, since every write wears flash; while core and agent speak, it is now.
fn contact(glance: &Glance, running: bool, now: Now) -> String {
    match glance.last_contact {
        Some(_) if running && glance.link == LinkSeen::Connected => "now".to_owned(),
        Some(at) => when(at, now),
        None => "never".to_owned(),
    }
}

fn clock(glance: &Glance) -> String {
    let offset = glance.clock_offset_ms.map_or_else(String::new, |offset_ms| {
        let apart = duration(offset_ms.unsigned_abs() / 1_000);
        let side = if offset_ms < 0 { "ahead of" } else { "behind" };
        format!(", {apart} {side} the core's")
    });
    match glance.clock {
        Trust::Trusted => format!("believed{offset}"),
        Trust::Unsynced { why } => format!("not believed: {}{offset}", doubt(&why)),
    }
}

/// Why a clock is not believed, in words.
pub(crate) fn doubt(why: &Doubt) -> String {
    match why {
        Doubt::BehindFloor { floor } => format!("it is behind {floor}, when it was last believed"),
        Doubt::FarAhead { floor } => {
            format!("it is years ahead of {floor}, when it was last believed")
        }
        Doubt::Jumped { by_ms } => {
            let way = if *by_ms < 0 { "back" } else { "ahead" };
            format!("it jumped {} {way}", duration(by_ms.unsigned_abs() / 1_000))
        }
        Doubt::CoreDiffers { .. } => "the core's shows something else".to_owned(),
    }
}

fn one_schedule(schedule: &HeldSchedule, now: Now) -> String {
    let HeldSchedule { name, version, next, last, waiting, .. } = schedule;
    let next = next.map_or_else(|| "none".to_owned(), |at| at.to_string());
    let last = last.map_or_else(|| "none yet".to_owned(), |at| when(at, now));
    let mut line = format!("{name} v{version}: next {next}, last {last}");
    if *waiting > 0 {
        let _ = write!(line, ", {waiting} waiting");
    }
    line
}

fn counts(tasks: &[HeldTask]) -> String {
    let states = ["running", "starting", "stopping", "accepted", "finished"];
    let count = |state: &&str| tasks.iter().filter(|task| task.state == *state).count();
    let parts: Vec<String> = states
        .iter()
        .filter(|state| count(state) > 0)
        .map(|state| format!("{} {state}", count(state)))
        .collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join(", ") }
}

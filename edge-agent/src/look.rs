//! `status` and `tasks`: what the agent's database says, as a table or as JSON. Reads files only,
//! so it answers without a network and without an agent.

use std::fmt::Write as _;
use std::path::Path;

use edge_agent_logic::change::LinkSeen;
use serde::Serialize;
use shared::time::{Now, Timestamp};

use crate::config::database_in;
use crate::folder::Folder;
use crate::store::{Glance, HeldTask, Reader, StoreError};

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

/// Reads how the agent of a data folder stands.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn glance(data: &Path) -> Result<Glance, StoreError> {
    Reader::open(&database_in(data))?.glance()
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

/// The tasks as JSON.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn tasks_json(data: &Path) -> Result<String, StoreError> {
    #[derive(Serialize)]
    struct Items {
        items: Vec<HeldTask>,
    }
    Ok(json(&Items { items: glance(data)?.tasks }))
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
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
    let contact = glance.last_contact.map_or_else(|| "never".to_owned(), |at| when(at, now));
    line("last contact", contact);
    line("core", glance.core.map_or_else(|| "none met yet".to_owned(), |core| core.to_string()));
    line("tasks", counts(&glance.tasks));
    line("reports", format!("{} wait for the core", glance.reports_waiting));
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

/// A time, and how long ago that is.
fn when(at: Timestamp, now: Now) -> String {
    let seconds = now.wall.since_ms(at) / 1_000;
    let ago = match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    };
    format!("{at} ({ago} ago)")
}

/// The tasks for people.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn tasks_table(data: &Path) -> Result<String, StoreError> {
    let tasks = glance(data)?.tasks;
    if tasks.is_empty() {
        return Ok("no tasks\n".to_owned());
    }
    let mut lines =
        format!("{:<36}  {:>7}  {:<9}  {:<24}  NAME\n", "TASK", "ATTEMPT", "STATE", "SINCE");
    for task in tasks {
        let since = task.started_at.unwrap_or(task.accepted_at).to_string();
        let (id, attempt) = (task.assignment.task.to_string(), task.assignment.attempt.0);
        let name = task.name.unwrap_or_default();
        let _ = writeln!(lines, "{id}  {attempt:>7}  {:<9}  {since:<24}  {name}", task.state);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use edge_agent_logic::Change;
    use shared::id::Incarnation;
    use shared::time::Monotonic;
    use shared_runtime::clock::new_uuid_v4;

    use super::*;
    use crate::store::Store;

    const NOW: Now = Now { wall: Timestamp(1_795_223_223_456), mono: Monotonic(0), chance: 0 };

    #[test]
    fn it_answers_without_a_network_and_without_an_agent() {
        let root = tempfile::tempdir().expect("a folder");
        let data = root.path();
        let error = status_table(data, NOW).expect_err("no database").to_string();
        assert!(error.contains("start the program that makes it first"), "{error}");

        let agent = "board-7".parse().expect("an id");
        let fresh = Incarnation(new_uuid_v4());
        let mut store = Store::open(&database_in(data), &agent, fresh).expect("open");
        let at = NOW.wall.plus_ms(-12_000);
        let reason = "no connection to the broker".to_owned();
        let changes =
            [Change::Heard { at }, Change::LinkMoved { seen: LinkSeen::Down { reason }, at }];
        store.commit(&changes).expect("commit");
        let table = status_table(data, NOW).expect("status");
        for part in ["board-7 (not running)", "down since", "no connection", "12 s ago", "0 wait"] {
            assert!(table.contains(part), "{part}: {table}");
        }
        let _folder = Folder::take(data).expect("free");
        let json: serde_json::Value =
            serde_json::from_str(&status_json(data).expect("status")).expect("json");
        assert_eq!((json["running"].as_bool(), json["link"].as_str()), (Some(true), Some("down")));
        assert_eq!(json["id"], "board-7");
        assert_eq!(tasks_table(data).expect("tasks"), "no tasks\n");
    }
}

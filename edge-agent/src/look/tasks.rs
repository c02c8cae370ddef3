//! `tasks`: what the agent holds, and what is over and not acknowledged by its core yet.

use std::path::Path;

use serde::Serialize;
use shared::report::{End, ProgressMark, StopReason};
use shared::time::Now;
use shared_runtime::table::Table;

use super::{age, glance, json};
use crate::driver::mark_of;
use crate::exec::ProgressWatch;
use crate::store::{HeldTask, StoreError};

/// The tasks as JSON.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn tasks_json(data: &Path) -> Result<String, StoreError> {
    #[derive(Serialize)]
    struct Items {
        items: Vec<HeldTask>,
    }
    Ok(json(&Items { items: held(data)? }))
}

/// What is held, with the newest word of what runs: the database has it an hour later at the
/// latest, since every write wears flash.
fn held(data: &Path) -> Result<Vec<HeldTask>, StoreError> {
    let mut tasks = glance(data)?.tasks;
    let active = |task: &HeldTask| !matches!(task.state, "accepted" | "finished");
    let ids = tasks.iter().filter(|task| active(task)).map(|task| task.assignment);
    let news = ProgressWatch::new(&data.join("attempts")).poll(ids.collect::<Vec<_>>());
    for (id, progress) in news {
        if let Some(task) = tasks.iter_mut().find(|task| task.assignment == id) {
            task.progress = Some(mark_of(progress));
        }
    }
    Ok(tasks)
}

/// The tasks for people, in lines of at most `width` characters.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn tasks_table(data: &Path, width: Option<usize>, now: Now) -> Result<String, StoreError> {
    let tasks = held(data)?;
    if tasks.is_empty() {
        return Ok("no tasks\n".to_owned());
    }
    let names = ["TASK", "ATTEMPT", "STATE", "SINCE", "RUNS", "PROGRESS", "NAME"];
    let rows = std::iter::once(names.map(str::to_owned)).chain(tasks.iter().map(|task| {
        [
            task.assignment.task.to_string(),
            task.assignment.attempt.to_string(),
            task.state.to_owned(),
            age(task.since(), now),
            runs(task).to_string(),
            how_far(task),
            task.name.clone().unwrap_or_default(),
        ]
    }));
    Ok(Table { give_way: &[6, 5], rows: rows.collect(), paint: None }.show(width))
}

/// How many runs it had, with the one that is under way.
fn runs(task: &HeldTask) -> u32 {
    let own = u32::from(task.state != "accepted");
    task.runs_before.saturating_add(own)
}

/// What it said of its progress, or how it ended.
fn how_far(task: &HeldTask) -> String {
    match (&task.end, &task.progress) {
        (Some(end), _) => in_words(end),
        (None, Some(ProgressMark { thousandths: Some(thousandths), text })) => {
            format!("{} % {text}", thousandths / 10).trim_end().to_owned()
        }
        (None, Some(ProgressMark { thousandths: None, text })) => text.clone(),
        (None, None) => String::new(),
    }
}

/// How an attempt ended, in few words.
fn in_words(end: &End) -> String {
    match end {
        End::Exited { code } => format!("exited with {code}"),
        End::Signaled { signal } => format!("ended by signal {signal}"),
        End::TimedOut => "timed out".to_owned(),
        End::Stopped { reason } => match reason {
            StopReason::Canceled => "canceled".to_owned(),
            StopReason::DeadlinePassed => "stopped: deadline passed".to_owned(),
            StopReason::Superseded => "stopped: superseded".to_owned(),
            StopReason::Disconnected => "stopped: disconnected".to_owned(),
        },
        End::SpawnFailed { .. } => "could not start".to_owned(),
        End::OutOfMemory => "out of memory".to_owned(),
        End::Vanished { .. } => "vanished".to_owned(),
    }
}

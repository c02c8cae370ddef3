//! The port to whatever keeps the core's state: a [`Store`] that the driver alone writes, and
//! [`Reader`]s that anybody may ask. Every store passes the suite in `conformance`, so that one
//! can take another's place; the SQL is in `sqlite` and nowhere else.

#[cfg(test)]
pub mod conformance;
mod document;
mod error;
mod events;
mod history;
mod logs;
mod memory;
mod sqlite;

use std::sync::Arc;

use cloud_core_logic::change::{Change, Stored, TaskRow};
use cloud_core_logic::firing::{FiringRow, ScheduleRow};
use cloud_core_logic::placement::Policy;
use shared::api::{HistoryDocument, Page, TaskDocument, TaskSummary};
use shared::id::{AgentId, AssignmentId, ScheduleId, ScheduleName, TaskId};
use shared::task::TaskStatus;
use shared::time::Timestamp;

pub use error::{BackupError, StoreError};
pub use events::{EventBounds, EventPart};
pub use history::{HistoryBounds, HistoryPruned};
pub use logs::{
    AgentLogs, KeptLogs, LogAttempt, LogBounds, LogDrop, LogFate, LogPart, LogState, Pruned,
    Stream, TASK_BYTES_LEAST, TextPiece,
};
pub use memory::MemoryStore;
pub use sqlite::{Backup, PutBack, SqliteStore, TakenUp, back_up, put_back};

/// The most items on one page of a list, whatever is asked for.
pub const PAGE_ITEMS_MAX: usize = 1_000;
/// The most late reports kept of one task; a stale attempt that goes on talking is not listened
/// to for ever.
pub const LATE_REPORTS_MAX: usize = 100;
/// The most placement policies kept by version, beside the one in force: the latest.
pub const POLICIES_MAX: usize = 50;

/// What keeps the core's state. One owner, which is the driver.
pub trait Store: Send {
    /// The working set: all that is not settled.
    ///
    /// # Errors
    /// When it cannot be read.
    fn load(&mut self) -> Result<Stored, StoreError>;

    /// Applies the changes in order, all or none, and returns once they would survive a power
    /// cut.
    ///
    /// # Errors
    /// When nothing of it was kept. [`StoreError::is_permanent`] says whether trying the same
    /// again could succeed.
    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError>;

    /// Keeps what is new of these chunks, in order and in one transaction, takes away a few of the
    /// oldest when there are too many, and returns once that would survive a power cut.
    ///
    /// # Errors
    /// When nothing of it was kept.
    fn keep_logs(
        &mut self,
        logs: &[AgentLogs],
        bounds: &LogBounds,
        now: Timestamp,
    ) -> Result<KeptLogs, StoreError>;

    /// Takes away a few of those logs that are too old, or too many.
    ///
    /// # Errors
    /// When nothing was taken away.
    fn prune_logs(&mut self, bounds: &LogBounds, now: Timestamp) -> Result<Pruned, StoreError>;

    /// Takes away a few of those settled tasks that are too old, or too many, and of the
    /// idempotency keys of tasks that are gone. `effort` bounds how many: a task is one, and so is a
    /// row of its log.
    ///
    /// # Errors
    /// When nothing was taken away.
    fn prune_history(
        &mut self,
        bounds: &HistoryBounds,
        effort: usize,
        now: Timestamp,
    ) -> Result<HistoryPruned, StoreError>;

    /// A way to read what is committed, from any thread.
    fn reader(&self) -> Arc<dyn Reader>;
}

/// Reads what is committed. Calls block; an async caller makes them from a blocking thread.
pub trait Reader: Send + Sync {
    /// A task in full; `None` when there is none of this id.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn task(&self, id: TaskId) -> Result<Option<TaskDocument>, StoreError>;

    /// Tasks, newest first: at most `limit` (and [`PAGE_ITEMS_MAX`]) behind the cursor of an
    /// earlier page.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] for a cursor that no page ever gave, or when the store cannot
    /// be read.
    fn tasks(
        &self,
        filter: &TaskFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<TaskSummary>, StoreError>;

    /// The placement policy of a version, if it is one of the [`POLICIES_MAX`] latest that were put
    /// in force.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn policy(&self, version: u64) -> Result<Option<Policy>, StoreError>;

    /// The schedule of a name, as it was last committed.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn schedule(&self, name: &ScheduleName) -> Result<Option<ScheduleRow>, StoreError>;

    /// Schedules by their names: at most `limit` (and [`PAGE_ITEMS_MAX`]) behind the cursor of an
    /// earlier page.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] for a cursor that no page ever gave, or when the store cannot
    /// be read.
    fn schedules(
        &self,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<ScheduleRow>, StoreError>;

    /// What became of the moments of a schedule, the latest first: at most `limit` (and
    /// [`PAGE_ITEMS_MAX`]) behind the cursor of an earlier page.
    ///
    /// # Errors
    /// [`StoreError::BadCursor`] for a cursor that no page ever gave, or when the store cannot
    /// be read.
    fn firings(
        &self,
        schedule: ScheduleId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<FiringRow>, StoreError>;

    /// The task that was submitted under an idempotency key, with the hash of its body; the task may
    /// be gone.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn task_by_key(&self, key: &str) -> Result<Option<(TaskId, String)>, StoreError>;

    /// What stale attempts told of a task, first to last; also of one that is not here, because the
    /// store was put back to a backup.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn late_reports(&self, id: TaskId) -> Result<Vec<HistoryDocument>, StoreError>;

    /// A bounded part of the log of events, behind the event numbered `after`; 0 stands before the
    /// first that is kept.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn events(&self, after: u64) -> Result<EventPart, StoreError>;

    /// The number of the last event.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn newest_event(&self) -> Result<u64, StoreError>;

    /// Where the log of a task stands; `None` when there is no task of this id.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn log_state(&self, task: TaskId) -> Result<Option<LogState>, StoreError>;

    /// A bounded part of an attempt's log, from the piece on in which `from` lies.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn log_part(&self, id: AssignmentId, from: u64) -> Result<LogPart, StoreError>;

    /// A few pieces of an attempt's log that begin before `offset`, in order, the last of them
    /// last; none when there are none.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn log_before(&self, id: AssignmentId, offset: u64) -> Result<Vec<TextPiece>, StoreError>;

    /// What it takes to explain where a task is; `None` when there is none of this id.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn placement_input(&self, id: TaskId) -> Result<Option<PlacementInput>, StoreError>;
}

/// Which tasks a list shows. Every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Where they stand.
    pub status: Option<TaskStatus>,
    /// The agent of their latest attempt.
    pub agent: Option<AgentId>,
    /// A label they have: its key, and its value unless any will do.
    pub label: Option<(String, Option<String>)>,
    /// Their name.
    pub name: Option<String>,
    /// The schedule that made them.
    pub schedule: Option<ScheduleId>,
}

impl TaskFilter {
    /// Whether a list by this filter shows a task.
    fn shows(&self, row: &TaskRow) -> bool {
        let has_label = |(key, value): &(String, Option<String>)| {
            let held = row.spec.labels.get(key);
            held.is_some_and(|held| value.as_ref().is_none_or(|value| value == held))
        };
        self.status.is_none_or(|status| row.life.state.status() == status)
            && self.agent.as_ref().is_none_or(|agent| row.life.agent.as_ref() == Some(agent))
            && self.name.as_ref().is_none_or(|name| row.spec.name.as_ref() == Some(name))
            && self.schedule.is_none_or(|schedule| {
                row.origin.as_ref().is_some_and(|origin| origin.schedule == schedule)
            })
            && self.label.as_ref().is_none_or(has_label)
    }
}

/// What it takes to explain where a task is.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacementInput {
    /// The task: its spec, its status, and its attempts with their placements.
    pub task: TaskDocument,
    /// The agents that refused it, each once, in the order in which they did.
    pub refused_by: Vec<AgentId>,
}

/// Reads a cursor: the id of the last task on the page that gave it.
fn task_behind(cursor: Option<&str>) -> Result<Option<TaskId>, StoreError> {
    cursor.map(|text| text.parse().map_err(|_| StoreError::BadCursor)).transpose()
}

/// Cuts what was found, one more than wanted if there is more, to a page.
fn page_of(mut items: Vec<TaskSummary>, limit: usize) -> Page<TaskSummary> {
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next_cursor = last.map(|item| item.id.to_string());
    Page { items, next_cursor }
}

/// Reads a cursor: the name of the last schedule on the page that gave it.
fn schedule_behind(cursor: Option<&str>) -> Result<Option<String>, StoreError> {
    let name = cursor.map(|text| text.parse::<ScheduleName>().map_err(|_| StoreError::BadCursor));
    Ok(name.transpose()?.map(|name| name.to_string()))
}

fn schedules_page(mut items: Vec<ScheduleRow>, limit: usize) -> Page<ScheduleRow> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next_cursor = items.last().filter(|_| more).map(|row| row.spec.name.to_string());
    Page { items, next_cursor }
}

/// Where a page of firings ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FiringMark {
    at: Timestamp,
    agent: Option<AgentId>,
}

impl FiringMark {
    /// Reads a cursor: the last moment on the page that gave it, and who fired it.
    fn read(cursor: Option<&str>) -> Result<Option<Self>, StoreError> {
        let Some(text) = cursor else { return Ok(None) };
        let (at, agent) = text.split_once('~').unwrap_or((text, ""));
        let at = at.parse().map(Timestamp).map_err(|_| StoreError::BadCursor)?;
        let agent = match agent {
            "" => None,
            id => Some(id.parse().map_err(|_| StoreError::BadCursor)?),
        };
        Ok(Some(Self { at, agent }))
    }
}

fn firings_page(mut items: Vec<FiringRow>, limit: usize) -> Page<FiringRow> {
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next_cursor = last.map(|row| match &row.agent {
        Some(agent) => format!("{}~{agent}", row.at.0),
        None => row.at.0.to_string(),
    });
    Page { items, next_cursor }
}

/// A limit that a page can have.
fn page_limit(limit: usize) -> usize {
    limit.clamp(1, PAGE_ITEMS_MAX)
}

//! Logs of tasks: what is taken of a chunk that an agent sends, how much is kept, and what is
//! dropped first. The rules are here once, over the few things that a store must be able to do
//! (a [`Shelf`]), so that every store keeps the same.
//!
//! What is kept of an attempt are pieces of text with their offsets. Whatever lies between two
//! pieces, or before the end of what was taken, is missing: a gap needs no row of its own.

mod pieces;

use cloud_core_logic::change::Forgotten;
use serde::{Deserialize, Serialize};
use shared::id::{AgentId, AssignmentId, Attempt, TaskId};
use shared::time::Timestamp;
use shared::wire::uplink::LogChunk;

use super::StoreError;
use pieces::{Fresh, fresh_of, rows_of};

pub use pieces::TextPiece;

/// The least that may be kept of one task, in bytes; several times what a row costs.
pub const TASK_BYTES_LEAST: u64 = 64 * 1024;
/// What one row costs at most, in bytes.
const ROW_COST_MAX: u64 = 16 * 1024;
/// What a piece costs beside its text, in bytes: a log of single letters is not free.
const PIECE_COST: u64 = 64;
/// The most rows that one step of pruning takes away.
const PRUNED_MAX: usize = 256;
/// How much text one read gives at most, in bytes; at least one row.
pub const PART_COST_MAX: u64 = 64 * 1024;

/// How much is kept of logs. Text counts with its bytes, and each piece with 64 bytes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogBounds {
    /// Of one task, in bytes; beyond it the oldest goes first.
    pub task_bytes_max: u64,
    /// Of all tasks together, in bytes; beyond it the oldest goes first.
    pub bytes_max: u64,
    /// For how long, in days.
    pub keep_days: u64,
}

impl Default for LogBounds {
    fn default() -> Self {
        Self { task_bytes_max: 1024 * 1024, bytes_max: 1024 * 1024 * 1024, keep_days: 7 }
    }
}

impl LogBounds {
    /// What was taken before this is too old.
    fn oldest(&self, now: Timestamp) -> Timestamp {
        let kept_ms = self.keep_days.saturating_mul(24 * 3_600 * 1_000);
        now.plus_ms(i64::try_from(kept_ms).unwrap_or(i64::MAX).saturating_neg())
    }
}

/// A chunk, and who sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentLogs {
    /// Who.
    pub agent: AgentId,
    /// What.
    pub chunk: LogChunk,
}

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogFate {
    /// Up to where the sender need not keep it any more, if it is to be told.
    pub acked: Option<u64>,
    /// How much text was kept of it, in bytes.
    pub kept: u64,
    /// Why nothing of it was kept, if that is so.
    pub dropped: Option<LogDrop>,
}

/// Why nothing is kept of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LogDrop {
    /// Its pieces do not follow one another, or cannot be what they say.
    Malformed,
    /// The attempt is another agent's, or not known yet.
    NotItsOwn,
    /// Nobody will ever ask for it: its task is forgotten, or settled without this attempt.
    Forgotten,
    /// What comes before it is missing, and will be sent again.
    Gap,
    /// As much waits to be kept as may wait. Noted by whoever holds the queue.
    LaneFull,
    /// The store cannot be written now. Noted by whoever writes.
    StoreFailing,
}

/// What is known of the log of one attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stream {
    /// Where what was taken ends.
    pub upto: u64,
    /// Whether nothing more will come.
    pub complete: bool,
    /// What is kept of it costs this much, in bytes.
    pub cost: u64,
    /// When something was last taken.
    pub taken_at: Timestamp,
}

/// Pieces that are kept and dropped together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogRow {
    /// The pieces, in order.
    pub pieces: Vec<TextPiece>,
    /// What they cost, in bytes.
    pub cost: u64,
}

impl LogRow {
    /// Where the first piece begins.
    pub(super) fn offset(&self) -> u64 {
        self.pieces.first().map_or(0, |piece| piece.offset)
    }

    /// Where the last piece ends.
    pub(super) fn upto(&self) -> u64 {
        self.pieces.last().map_or(0, TextPiece::end)
    }
}

/// What a store knows of a task and one of its attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner {
    /// Whether the task is settled.
    pub settled: bool,
    /// Attempts that the store may have forgotten.
    pub forgotten: Option<Forgotten>,
    /// The attempt's agent, and when it was offered, if it is known.
    pub attempt: Option<(AgentId, Timestamp)>,
}

type Result<T> = std::result::Result<T, StoreError>;

/// What keeping logs needs of a store, within one transaction.
pub(super) trait Shelf {
    /// A task and one of its attempts; `None` when there is no such task.
    fn owner(&self, id: AssignmentId) -> Result<Option<Owner>>;
    /// When the store was put back to a backup, if it ever was.
    fn restored_at(&self) -> Result<Option<Timestamp>>;
    /// The log of an attempt, if anything of it was ever taken.
    fn stream(&self, id: AssignmentId) -> Result<Option<Stream>>;
    /// Writes what is known of the log of an attempt.
    fn put_stream(&mut self, id: AssignmentId, stream: Stream) -> Result<()>;
    /// What is kept of all attempts of a task costs this much.
    fn task_cost(&self, task: TaskId) -> Result<u64>;
    /// What is kept of all tasks costs this much.
    fn total_cost(&self) -> Result<u64>;
    /// Keeps a row.
    fn add_row(&mut self, id: AssignmentId, row: &LogRow, now: Timestamp) -> Result<()>;
    /// Takes away the oldest row of a task, with its cost.
    fn drop_first_of(&mut self, task: TaskId) -> Result<bool>;
    /// Takes away the oldest row of all, with its cost, if it was taken before `before`.
    fn drop_first(&mut self, before: Timestamp) -> Result<bool>;
}

/// Keeps what is new of some chunks, and takes a few old rows away.
pub(super) fn keep_all(
    shelf: &mut impl Shelf,
    logs: &[AgentLogs],
    bounds: &LogBounds,
    now: Timestamp,
) -> Result<KeptLogs> {
    let mut fates = Vec::with_capacity(logs.len());
    for logs in logs {
        fates.push(keep(shelf, logs, bounds, now)?);
    }
    prune(shelf, bounds, now)?;
    Ok(KeptLogs { fates, bytes: shelf.total_cost()? })
}

/// Keeps what is new of a chunk.
fn keep(
    shelf: &mut impl Shelf,
    logs: &AgentLogs,
    bounds: &LogBounds,
    now: Timestamp,
) -> Result<LogFate> {
    let id = logs.chunk.assignment;
    let dropped = |acked, why| Ok(LogFate { acked, kept: 0, dropped: Some(why) });
    let owner = match whose(shelf.owner(id)?, &logs.agent, id.attempt) {
        Ok(owner) => owner,
        // Told that it is taken, so that it need not be sent for ever.
        Err(LogDrop::Forgotten) => {
            let end = logs.chunk.pieces.last().map(shared::wire::uplink::LogPiece::end);
            return dropped(end, LogDrop::Forgotten);
        }
        Err(why) => return dropped(None, why),
    };
    let known = shelf.stream(id)?;
    let mut stream = known.unwrap_or_default();
    let may_skip = match shelf.restored_at()? {
        None => false,
        Some(restored_at) => {
            let before = known.map_or(owner.offered_at, |stream| stream.taken_at) < restored_at;
            before || (known.is_none() && owner.was_forgotten)
        }
    };
    let Fresh { pieces, upto } = match fresh_of(&logs.chunk.pieces, stream.upto, may_skip) {
        Ok(fresh) => fresh,
        Err(LogDrop::Gap) => return dropped(Some(stream.upto), LogDrop::Gap),
        Err(why) => return dropped(None, why),
    };
    let kept = pieces.iter().map(|piece| piece.text.len() as u64).sum();
    for row in rows_of(pieces) {
        shelf.add_row(id, &row, now)?;
        stream.cost += row.cost;
    }
    (stream.upto, stream.taken_at) = (upto, now);
    stream.complete |= logs.chunk.last;
    shelf.put_stream(id, stream)?;
    while shelf.task_cost(id.task)? > bounds.task_bytes_max && shelf.drop_first_of(id.task)? {}
    Ok(LogFate { acked: Some(upto), kept, dropped: None })
}

/// Takes away a few rows that are too old, or too many; whether there may be more of them.
pub(super) fn prune(shelf: &mut impl Shelf, bounds: &LogBounds, now: Timestamp) -> Result<bool> {
    let oldest = bounds.oldest(now);
    for _ in 0..PRUNED_MAX {
        let too_many = shelf.total_cost()? > bounds.bytes_max;
        let before = if too_many { Timestamp(i64::MAX) } else { oldest };
        if !shelf.drop_first(before)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An attempt that is the sender's own.
struct Own {
    offered_at: Timestamp,
    was_forgotten: bool,
}

fn whose(
    owner: Option<Owner>,
    agent: &AgentId,
    attempt: Attempt,
) -> std::result::Result<Own, LogDrop> {
    let owner = owner.ok_or(LogDrop::Forgotten)?;
    match owner.attempt {
        Some((own, offered_at)) if own == *agent => {
            let was_forgotten = owner
                .forgotten
                .is_some_and(|Forgotten { above, upto, .. }| attempt > above && attempt <= upto);
            Ok(Own { offered_at, was_forgotten })
        }
        None if owner.settled => Err(LogDrop::Forgotten),
        _ => Err(LogDrop::NotItsOwn),
    }
}

/// What was kept of some chunks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptLogs {
    /// What became of each of them.
    pub fates: Vec<LogFate>,
    /// All that is kept costs this much now, in bytes.
    pub bytes: u64,
}

/// What pruning has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pruned {
    /// What is kept costs this much, in bytes.
    pub bytes: u64,
    /// Whether more is due.
    pub more: bool,
}

/// Where the log of a task stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogState {
    /// Whether the task is settled.
    pub settled: bool,
    /// Its attempts, first to last.
    pub attempts: Vec<LogAttempt>,
}

/// Where the log of an attempt stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogAttempt {
    /// Which.
    pub attempt: Attempt,
    /// Whether its process ever ran, as far as is known.
    pub started: bool,
    /// Whether it is over.
    pub ended: bool,
    /// Its log, if anything of it was ever taken.
    pub stream: Option<Stream>,
}

/// A part of the log of an attempt, at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPart {
    /// Pieces in order, none of which was kept in part.
    pub pieces: Vec<TextPiece>,
    /// Where what was taken ends.
    pub upto: u64,
    /// Whether there is nothing beyond these pieces.
    pub is_last: bool,
}

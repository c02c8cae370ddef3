//! What is over: for how long settled tasks are kept, with all that hangs on them, and their
//! idempotency keys after them. The rules are here once, over the few things that a store must be
//! able to do (an [`Archive`]), so that every store keeps the same. Nothing that is not settled is
//! ever taken away, and no key before its task.

use serde::{Deserialize, Serialize};
use shared::time::Timestamp;

use super::StoreError;

/// How much is kept of what is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryBounds {
    /// How many settled tasks; beyond it the oldest go first.
    pub count_max: u64,
    /// For how long after they were settled, in hours.
    pub keep_hours: u64,
    /// How many idempotency keys of tasks that are gone; beyond it the oldest go first.
    pub keys_count_max: u64,
    /// For how long after they were used, in hours; a key whose task is kept is kept in any case.
    pub keys_keep_hours: u64,
}

impl Default for HistoryBounds {
    fn default() -> Self {
        Self {
            count_max: 1_000_000,
            keep_hours: 7 * 24,
            keys_count_max: 10_000_000,
            keys_keep_hours: 14 * 24,
        }
    }
}

/// What was before this is too old.
fn before(hours: u64, now: Timestamp) -> Timestamp {
    let kept_ms = i64::try_from(hours.saturating_mul(3_600_000)).unwrap_or(i64::MAX);
    now.plus_ms(kept_ms.saturating_neg())
}

/// What a step of pruning took away, and what it left.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HistoryPruned {
    /// Tasks that were taken away.
    pub tasks: u64,
    /// Keys that were taken away.
    pub keys: u64,
    /// Settled tasks that are kept.
    pub tasks_kept: u64,
    /// Keys that are kept although their tasks are gone.
    pub keys_kept: u64,
    /// When the oldest settled task that is kept was submitted.
    pub oldest: Option<Timestamp>,
    /// Whether there may be more to take away.
    pub more: bool,
}

/// A settled task, as pruning sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Over {
    /// Where it is in the order of submission.
    pub number: i64,
    pub submitted_at: Timestamp,
    pub settled_at: Timestamp,
}

/// What pruning needs of a store, within one transaction.
pub(super) trait Archive {
    /// How many tasks are settled.
    fn tasks(&self) -> u64;
    /// How many keys there are whose tasks are gone.
    fn keys(&self) -> u64;
    /// Settled tasks behind a number, a few, in the order of their numbers.
    fn over(&self, behind: i64, count: usize) -> Result<Vec<Over>, StoreError>;
    /// Takes a settled task away with all that hangs on it, for so much effort; a long log may take
    /// more. Says whether all of it is gone.
    fn remove(&mut self, number: i64, effort: &mut usize) -> Result<bool, StoreError>;
    /// Takes away the oldest key whose task is gone, if it was used before `before`.
    fn remove_key(&mut self, before: Timestamp) -> Result<bool, StoreError>;
    /// Takes away a few of the firings that were recorded before `before` and wait for nothing.
    fn remove_firings(&mut self, before: Timestamp, effort: usize) -> Result<(), StoreError>;
    /// Takes away a few of the late reports that came before `before` about tasks that are not here.
    fn remove_reports(&mut self, before: Timestamp, effort: usize) -> Result<(), StoreError>;
}

/// Where a pass over the settled tasks is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pass {
    behind: i64,
}

impl Default for Pass {
    fn default() -> Self {
        Self { behind: i64::MIN }
    }
}

impl Pass {
    /// Takes away what is too old or too many, for so much effort: a task is one, and so is a row of
    /// its log.
    pub(super) fn step(
        &mut self,
        archive: &mut impl Archive,
        bounds: &HistoryBounds,
        mut effort: usize,
        now: Timestamp,
    ) -> Result<HistoryPruned, StoreError> {
        let oldest = before(bounds.keep_hours, now);
        let mut pruned = HistoryPruned { more: true, ..HistoryPruned::default() };
        let mut excess = archive.tasks().saturating_sub(bounds.count_max);
        let found = archive.over(self.behind, effort)?;
        let is_last = found.len() < effort;
        let mut passed = is_last;
        for over in found {
            if effort == 0 {
                passed = false;
                break;
            }
            if excess > 0 || over.settled_at < oldest {
                effort -= 1;
                if !archive.remove(over.number, &mut effort)? {
                    passed = false;
                    break;
                }
                excess = excess.saturating_sub(1);
                pruned.tasks += 1;
            } else if over.submitted_at >= oldest && over.submitted_at <= now {
                // What was submitted later was settled later, unless a clock was wrong.
                passed = true;
                break;
            }
            self.behind = over.number;
        }
        if passed {
            *self = Self::default();
            pruned.more = false;
            archive.remove_reports(oldest, effort)?;
            archive.remove_firings(oldest, effort)?;
        }
        self.step_keys(archive, bounds, effort, now, &mut pruned)?;
        pruned.tasks_kept = archive.tasks();
        pruned.keys_kept = archive.keys();
        pruned.oldest = archive.over(i64::MIN, 1)?.first().map(|over| over.submitted_at);
        Ok(pruned)
    }

    fn step_keys(
        &self,
        archive: &mut impl Archive,
        bounds: &HistoryBounds,
        effort: usize,
        now: Timestamp,
        pruned: &mut HistoryPruned,
    ) -> Result<(), StoreError> {
        let oldest = before(bounds.keys_keep_hours, now);
        for _ in 0..effort {
            let too_many = archive.keys() > bounds.keys_count_max;
            let before = if too_many { Timestamp(i64::MAX) } else { oldest };
            if !archive.remove_key(before)? {
                return Ok(());
            }
            pruned.keys += 1;
        }
        pruned.more = true;
        Ok(())
    }
}

//! What is in the outbox, without what it says: the entries that wait to be told, and the outcomes
//! that are kept after they were acknowledged, in case the core is put back from an old backup.

use std::collections::BTreeMap;

use shared::id::{AssignmentId, Sequence};
use shared::time::Timestamp;

use crate::change::{EntryKind, EntryRow};
use crate::planted::planted;

/// An entry of the outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub assignment: AssignmentId,
    pub kind: EntryKind,
    /// When it was acknowledged, if it was and the clock was confirmed by the core.
    pub kept_at: Option<Timestamp>,
}

/// The entries of the outbox.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entries {
    /// Not acknowledged, by number.
    pub waiting: BTreeMap<Sequence, Entry>,
    /// Acknowledged and kept, by number.
    pub kept: BTreeMap<Sequence, Entry>,
    /// Which of them all tells what became of an attempt.
    pub outcomes: BTreeMap<AssignmentId, Sequence>,
}

impl Entries {
    /// As they are stored.
    pub fn restore(rows: Vec<EntryRow>, acked: Sequence) -> Self {
        let mut entries = Self::default();
        for EntryRow { seq, assignment, kind, kept_at } in rows {
            let list = if seq > acked { &mut entries.waiting } else { &mut entries.kept };
            list.insert(seq, Entry { assignment, kind, kept_at });
            if kind == EntryKind::Outcome {
                entries.outcomes.insert(assignment, seq);
            }
        }
        entries
    }

    /// A new one.
    pub fn push(&mut self, seq: Sequence, assignment: AssignmentId, kind: EntryKind) {
        self.waiting.insert(seq, Entry { assignment, kind, kept_at: None });
        if kind == EntryKind::Outcome {
            self.outcomes.insert(assignment, seq);
        }
    }

    /// These are of no use any more.
    pub fn drop_waiting(&mut self, seqs: &[Sequence]) {
        for seq in seqs {
            self.waiting.remove(seq);
        }
    }

    /// Those up to here are acknowledged.
    pub fn acknowledge(&mut self, upto: Sequence, at: Option<Timestamp>) {
        while let Some(first) = self.waiting.first_entry().filter(|entry| *entry.key() <= upto) {
            let (seq, entry) = first.remove_entry();
            if planted!(OutcomesNotKept) {
                self.outcomes.retain(|_, outcome| *outcome != seq);
                continue;
            }
            if entry.kind != EntryKind::State {
                self.kept.insert(seq, Entry { kept_at: at, ..entry });
            }
        }
    }

    /// Those beyond this wait again. Answers how many.
    pub fn restore_to(&mut self, acked: Sequence) -> usize {
        let again = self.kept.split_off(&acked.next());
        let count = again.len();
        self.waiting.extend(again);
        count
    }

    /// Forgets what is kept beyond a number, and what was acknowledged before this time. Answers
    /// the last that was forgotten. They are acknowledged in order, so one without a time is at
    /// least as old as the next that has one.
    pub fn forget(&mut self, kept_max: usize, before: Option<Timestamp>) -> Option<Sequence> {
        let too_many = self.kept.len().saturating_sub(kept_max);
        let by_number = too_many.checked_sub(1).and_then(|nth| self.kept.keys().nth(nth)).copied();
        let old = |kept_at: Timestamp| before.is_some_and(|before| kept_at < before);
        let by_age = self
            .kept
            .iter()
            .take_while(|(_, entry)| entry.kept_at.is_none_or(old))
            .filter(|(_, entry)| entry.kept_at.is_some())
            .map(|(seq, _)| *seq)
            .last();
        let upto = by_number.max(by_age)?;
        while let Some(first) = self.kept.first_entry().filter(|entry| *entry.key() <= upto) {
            let (seq, entry) = first.remove_entry();
            if self.outcomes.get(&entry.assignment) == Some(&seq) {
                self.outcomes.remove(&entry.assignment);
            }
        }
        Some(upto)
    }

    /// The last entry that may be under way when `window` of them may be; `None` when they all may.
    pub fn window_end(&self, window: u64) -> Option<Sequence> {
        let nth = usize::try_from(window.saturating_sub(1)).unwrap_or(usize::MAX);
        self.waiting.keys().nth(nth).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::id::{Attempt, TaskId};

    fn kept(times: &[Option<i64>]) -> Entries {
        let mut entries = Entries::default();
        for (seq, at) in (1..).map(Sequence).zip(times) {
            let task: TaskId = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b".parse().expect("an id");
            let attempt = Attempt(u32::try_from(seq.0).expect("small"));
            entries.push(seq, AssignmentId { task, attempt }, EntryKind::Outcome);
            entries.acknowledge(seq, at.map(Timestamp));
        }
        entries
    }

    #[test]
    fn what_is_kept_is_bounded_in_number() {
        let mut entries = kept(&[Some(1), Some(2), None, Some(4)]);
        assert_eq!(entries.forget(4, None), None);
        assert_eq!(entries.forget(3, None), Some(Sequence(1)));
        assert_eq!(entries.forget(1, None), Some(Sequence(3)));
        assert_eq!((entries.kept.len(), entries.outcomes.len()), (1, 1));
        assert_eq!(entries.forget(0, None), Some(Sequence(4)));
        assert!(entries.outcomes.is_empty());
    }

    #[test]
    fn what_is_kept_is_bounded_in_age_and_one_without_a_time_goes_with_the_next() {
        let mut entries = kept(&[None, Some(10), None, Some(20), None]);
        assert_eq!(entries.forget(9, Some(Timestamp(10))), None);
        assert_eq!(entries.forget(9, Some(Timestamp(11))), Some(Sequence(2)));
        assert_eq!(entries.forget(9, Some(Timestamp(99))), Some(Sequence(4)));
        assert_eq!(entries.kept.len(), 1, "its age is not known");
        assert_eq!(entries.forget(9, None), None);
    }
}

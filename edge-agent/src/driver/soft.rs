//! Changes that may wait to be written with others. Of two kinds: those on which no promise depends
//! (how it stands with the link, when the core was heard, what time was believed, how far tasks
//! are), written by themselves only while that is seldom, because a link that flaps all day must not
//! wear out the flash; and what the core has acknowledged, which is not lost with a crash but told
//! again, and taken by its number: under load it goes into the transaction of the next task.

use std::mem::discriminant;

use edge_agent_logic::Change;
use shared::time::{Monotonic, Timestamp};

/// How often changes that no promise depends on may be written by themselves in a row.
const BURST: u64 = 6;
/// How long it takes until they may be once more, in milliseconds.
const ONE_MORE_MS: u64 = 600_000;
/// How long what was acknowledged waits for something to be written with, in milliseconds.
const ACKED_WAITS_MS: u64 = 500;
/// How many changes wait at most.
const WAITING_MAX: usize = 512;

/// How urgent it is to write a change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Urgency {
    /// Before anything that follows from it is said or done.
    Now,
    /// Within [`ACKED_WAITS_MS`].
    Soon,
    /// Now and then.
    Seldom,
}

/// Changes that wait to be written.
pub(super) struct Soft {
    waiting: Vec<Change>,
    /// When what is to be written soon is due.
    soon: Option<Monotonic>,
    /// Whether something else waits.
    seldom: bool,
    allowed: u64,
    counted: Monotonic,
    /// The believed time that is on disk, or waits.
    floor: Option<Timestamp>,
}

impl Soft {
    pub fn new(floor: Option<Timestamp>, now: Monotonic) -> Self {
        let (waiting, soon, seldom) = (Vec::new(), None, false);
        Self { waiting, soon, seldom, allowed: BURST, counted: now, floor }
    }

    /// What is to be committed now that these changes came; what may wait stays here. While
    /// `thrifty`, nothing is written for its own sake, and progress not at all.
    pub fn take(&mut self, changes: Vec<Change>, thrifty: bool, now: Monotonic) -> Vec<Change> {
        let mut hard = Vec::new();
        for change in changes {
            let urgency = self.urgency(&change);
            match &change {
                Change::ProgressPut { .. } if thrifty => {}
                // In the order in which they came.
                _ if urgency == Urgency::Now || !hard.is_empty() => hard.push(change),
                _ => self.wait(change, urgency, now),
            }
        }
        if hard.is_empty() {
            return self.due(thrifty, now);
        }
        let mut all = self.flush();
        all.extend(hard);
        all
    }

    /// When something is due to be written, even if nothing comes.
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        self.soon
    }

    /// What may be written by itself now.
    pub fn due(&mut self, thrifty: bool, now: Monotonic) -> Vec<Change> {
        if self.soon.is_some_and(|at| at <= now) || self.waiting.len() >= WAITING_MAX {
            return self.flush();
        }
        let more = now.since_ms(self.counted) / ONE_MORE_MS;
        self.counted = self.counted + more * ONE_MORE_MS;
        self.allowed = self.allowed.saturating_add(more).min(BURST);
        if !self.seldom || thrifty || self.allowed == 0 {
            return Vec::new();
        }
        self.allowed -= 1;
        self.flush()
    }

    /// Everything that waits.
    pub fn flush(&mut self) -> Vec<Change> {
        (self.soon, self.seldom) = (None, false);
        std::mem::take(&mut self.waiting)
    }

    fn urgency(&mut self, change: &Change) -> Urgency {
        match change {
            Change::ReportsAcked { .. } | Change::AttemptForgotten { .. } => Urgency::Soon,
            Change::LinkMoved { .. } | Change::Heard { .. } | Change::ClockMoved { .. } => {
                Urgency::Seldom
            }
            Change::ProgressPut { .. } => Urgency::Seldom,
            // One that was too high must not be believed again after a crash.
            Change::Believed { at } => match self.floor.replace(*at) {
                Some(before) if before > *at => Urgency::Now,
                _ => Urgency::Seldom,
            },
            _ => Urgency::Now,
        }
    }

    /// Keeps a change in the place of an earlier one that it makes void.
    fn wait(&mut self, change: Change, urgency: Urgency, now: Monotonic) {
        self.waiting.retain(|other| match (other, &change) {
            (Change::ProgressPut { id: one, .. }, Change::ProgressPut { id: two, .. }) => {
                one != two
            }
            // Each is about an attempt of its own.
            (Change::AttemptForgotten { .. }, _) => true,
            (other, change) => discriminant(other) != discriminant(change),
        });
        self.waiting.push(change);
        match urgency {
            Urgency::Soon => {
                self.soon.get_or_insert(now + ACKED_WAITS_MS);
            }
            _ => self.seldom = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use edge_agent_logic::change::LinkSeen;
    use shared::id::{AssignmentId, Attempt, Revision, Sequence, TaskId};
    use uuid::Uuid;

    use super::*;

    fn moved(at: i64) -> Change {
        Change::LinkMoved { seen: LinkSeen::Connected, at: Timestamp(at) }
    }

    fn heard(at: i64) -> Change {
        Change::Heard { at: Timestamp(at) }
    }

    #[test]
    fn a_link_that_flaps_is_written_seldom_and_its_last_word_is_not_lost() {
        let mut soft = Soft::new(None, Monotonic(0));
        let written = |soft: &mut Soft, at: u64| {
            let changes = vec![moved(i64::try_from(at).expect("small"))];
            soft.take(changes, false, Monotonic(at)).len()
        };
        let first: usize = (0..100).map(|at| written(&mut soft, at)).sum();
        assert_eq!(first, 6);
        let day: usize = (0..86_400).map(|second| written(&mut soft, second * 1_000)).sum();
        assert!((143..=145).contains(&day), "{day}");
        assert_eq!(soft.flush().len(), 1);
        assert!(soft.flush().is_empty());
    }

    #[test]
    fn what_matters_takes_what_waits_along_in_its_order() {
        let mut soft = Soft::new(None, Monotonic(0));
        assert!(soft.take(vec![moved(1), heard(2)], true, Monotonic(0)).is_empty());
        assert!(soft.take(vec![moved(3)], true, Monotonic(0)).is_empty());
        let applied = Change::Applied { rev: Revision(1) };
        let changes = vec![heard(4), applied.clone(), moved(5)];
        let all = soft.take(changes, true, Monotonic(0));
        assert_eq!(all, [moved(3), heard(4), applied, moved(5)]);
        assert!(soft.due(false, Monotonic(0)).is_empty());
    }

    #[test]
    fn a_belief_that_was_too_high_is_put_right_at_once() {
        let believed = |at| vec![Change::Believed { at: Timestamp(at) }];
        let mut soft = Soft::new(Some(Timestamp(10)), Monotonic(0));
        assert!(soft.take(believed(20), true, Monotonic(0)).is_empty());
        let all = soft.take(believed(15), true, Monotonic(0));
        assert_eq!(all.last(), believed(15).last());
    }

    fn acked(upto: u64) -> Change {
        Change::ReportsAcked { upto: Sequence(upto), at: None }
    }

    fn forgotten(task: u128) -> Change {
        let id = AssignmentId { task: TaskId(Uuid::from_u128(task)), attempt: Attempt(1) };
        Change::AttemptForgotten { id }
    }

    #[test]
    fn what_is_acknowledged_goes_with_the_next_task_or_soon_by_itself() {
        let mut soft = Soft::new(None, Monotonic(0));
        let first = vec![acked(1), forgotten(1)];
        assert!(soft.take(first, false, Monotonic(10)).is_empty());
        assert!(soft.take(vec![acked(2), forgotten(2)], false, Monotonic(20)).is_empty());
        let applied = Change::Applied { rev: Revision(1) };
        let all = soft.take(vec![applied.clone()], false, Monotonic(30));
        assert_eq!(all, [forgotten(1), acked(2), forgotten(2), applied]);
        assert_eq!(soft.next_wakeup(), None);

        assert!(soft.take(vec![acked(3)], true, Monotonic(1_000)).is_empty());
        let due = soft.next_wakeup().expect("due");
        assert!(soft.take(Vec::new(), true, Monotonic(due.0 - 1)).is_empty());
        assert_eq!(soft.take(Vec::new(), true, due), [acked(3)]);
    }

    #[test]
    fn what_is_acknowledged_does_not_use_up_what_is_allowed_to_the_link() {
        let mut soft = Soft::new(None, Monotonic(0));
        let mut written = |change| soft.take(vec![change], false, Monotonic(0)).len();
        assert_eq!((1..=100).map(|n| written(acked(n))).sum::<usize>(), 0);
        assert_eq!(written(moved(1)), 2, "the last word on each, with the link");
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut soft = Soft::new(None, Monotonic(0));
        let waits = |n: u128| soft.take(vec![forgotten(n)], true, Monotonic(0)).len();
        let written: Vec<usize> = (0..1_024).map(waits).collect();
        assert_eq!(written.iter().filter(|count| **count == WAITING_MAX).count(), 2);
        assert_eq!(written.iter().sum::<usize>(), 1_024);
    }
}

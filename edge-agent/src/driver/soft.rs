//! Changes on which no promise depends: how it stands with the link, when the core was heard, what
//! time was believed, how far tasks are. They are written with what is written anyway, and by
//! themselves only while that is seldom: a link that flaps all day must not wear out the flash.

use std::mem::discriminant;

use edge_agent_logic::Change;
use shared::time::{Monotonic, Timestamp};

/// How often such changes may be written by themselves in a row.
const BURST: u64 = 6;
/// How long it takes until they may be once more, in milliseconds.
const ONE_MORE_MS: u64 = 600_000;

/// Changes that wait to be written.
pub(super) struct Soft {
    waiting: Vec<Change>,
    allowed: u64,
    counted: Monotonic,
    /// The believed time that is on disk, or waits.
    floor: Option<Timestamp>,
}

impl Soft {
    pub fn new(floor: Option<Timestamp>, now: Monotonic) -> Self {
        Self { waiting: Vec::new(), allowed: BURST, counted: now, floor }
    }

    /// What is to be committed now that these changes came; what may wait stays here. While
    /// `thrifty`, nothing is written for its own sake, and progress not at all.
    pub fn take(&mut self, changes: Vec<Change>, thrifty: bool, now: Monotonic) -> Vec<Change> {
        let mut hard = Vec::new();
        for change in changes {
            let waits = hard.is_empty() && self.is_soft(&change);
            match &change {
                Change::ProgressPut { .. } if thrifty => {}
                _ if waits => self.wait(change),
                // In the order in which they came.
                _ => hard.push(change),
            }
        }
        if hard.is_empty() {
            return self.due(thrifty, now);
        }
        let mut all = std::mem::take(&mut self.waiting);
        all.extend(hard);
        all
    }

    /// What may be written by itself now.
    pub fn due(&mut self, thrifty: bool, now: Monotonic) -> Vec<Change> {
        let more = now.since_ms(self.counted) / ONE_MORE_MS;
        self.counted = self.counted + more * ONE_MORE_MS;
        self.allowed = self.allowed.saturating_add(more).min(BURST);
        if self.waiting.is_empty() || thrifty || self.allowed == 0 {
            return Vec::new();
        }
        self.allowed -= 1;
        self.flush()
    }

    /// Everything that waits.
    pub fn flush(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.waiting)
    }

    fn is_soft(&mut self, change: &Change) -> bool {
        match change {
            Change::LinkMoved { .. } | Change::Heard { .. } | Change::ClockMoved { .. } => true,
            Change::ProgressPut { .. } => true,
            // One that was too high must not be believed again after a crash.
            Change::Believed { at } => self.floor.replace(*at).is_none_or(|before| before <= *at),
            _ => false,
        }
    }

    /// Keeps a change in the place of an earlier one of its kind.
    fn wait(&mut self, change: Change) {
        self.waiting.retain(|other| match (other, &change) {
            (Change::ProgressPut { id: one, .. }, Change::ProgressPut { id: two, .. }) => {
                one != two
            }
            (other, change) => discriminant(other) != discriminant(change),
        });
        self.waiting.push(change);
    }
}

#[cfg(test)]
mod tests {
    use edge_agent_logic::change::LinkSeen;
    use shared::id::Revision;

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
}

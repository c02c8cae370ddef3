//! How far the attempts that run have come: the newest word of each, when it may be told, and
//! whether it is on disk. Old words are worth nothing, so there is one place for each attempt.

use std::collections::{BTreeMap, BTreeSet};

use shared::id::AssignmentId;
use shared::report::ProgressMark;
use shared::time::Monotonic;

use crate::change::ProgressRow;

/// The longest text of a mark, in bytes.
pub const TEXT_BYTES_MAX: usize = 256;
/// The most attempts in one message.
pub const ITEMS_MAX: usize = 200;
/// The shortest time between two messages, in milliseconds.
pub const MESSAGE_EVERY_MS: u64 = 1_000;

/// The newest word about one attempt.
#[derive(Debug, Clone, PartialEq)]
struct Newest {
    row: ProgressRow,
    /// When it was last told.
    told: Option<Monotonic>,
    /// When it is to be told, if it is.
    due: Option<Monotonic>,
}

/// How far the attempts that run have come.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Progress {
    newest: BTreeMap<AssignmentId, Newest>,
    /// What is to be told, and when.
    queue: BTreeSet<(Monotonic, AssignmentId)>,
    /// When the next message may be sent.
    message_at: Monotonic,
    unsaved: BTreeSet<AssignmentId>,
}

impl Progress {
    /// What was written down before the process started. It is told after the next welcome.
    pub fn restore(&mut self, id: AssignmentId, row: ProgressRow) {
        self.newest.insert(id, Newest { row, told: None, due: None });
    }

    /// Takes a word. One that says nothing new is dropped.
    pub fn put(&mut self, id: AssignmentId, row: ProgressRow, every_ms: u64, now: Monotonic) {
        let before = self.newest.remove(&id);
        let old = before.as_ref().filter(|before| before.row.mark == row.mark);
        if let Some(old) = old {
            self.newest.insert(id, old.clone());
            return;
        }
        let told = before.as_ref().and_then(|before| before.told);
        let due = before.and_then(|before| before.due);
        let due = due.unwrap_or_else(|| told.map_or(now, |told| now.max(told + every_ms)));
        self.queue.insert((due, id));
        self.unsaved.insert(id);
        self.newest.insert(id, Newest { row, told, due: Some(due) });
    }

    /// Nothing is to be told of it any more.
    pub fn forget(&mut self, id: AssignmentId) {
        self.unsaved.remove(&id);
        if let Some(due) = self.newest.remove(&id).and_then(|newest| newest.due) {
            self.queue.remove(&(due, id));
        }
    }

    /// Everything is to be told anew, from this moment on.
    pub fn tell_all(&mut self, at: Monotonic) {
        self.message_at = at;
        self.queue.clear();
        for (id, newest) in &mut self.newest {
            newest.due = Some(at);
            self.queue.insert((at, *id));
        }
    }

    /// What is to be told now, oldest first, as much as goes into one message.
    pub fn take_due(&mut self, now: Monotonic) -> Vec<(AssignmentId, ProgressRow)> {
        let mut items = Vec::new();
        while self.message_at <= now && items.len() < ITEMS_MAX {
            let Some((due, id)) = self.queue.first().copied().filter(|(due, _)| *due <= now) else {
                break;
            };
            self.queue.remove(&(due, id));
            if let Some(newest) = self.newest.get_mut(&id) {
                (newest.told, newest.due) = (Some(now), None);
                items.push((id, newest.row.clone()));
            }
        }
        if !items.is_empty() {
            self.message_at = now + MESSAGE_EVERY_MS;
        }
        items
    }

    /// When there is something to tell.
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        self.queue.first().map(|(due, _)| (*due).max(self.message_at))
    }

    /// What is not on disk.
    pub fn take_unsaved(&mut self) -> Vec<(AssignmentId, ProgressRow)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        let row = |id: AssignmentId| self.newest.get(&id).map(|newest| (id, newest.row.clone()));
        unsaved.into_iter().filter_map(row).collect()
    }

    /// The attempts that have said something.
    pub fn attempts(&self) -> impl Iterator<Item = AssignmentId> + '_ {
        self.newest.keys().copied()
    }
}

/// A mark within its bounds, whatever was written into the file it comes from.
pub(crate) fn within_bounds(mark: ProgressMark) -> ProgressMark {
    let mut text: String = mark.text.chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    ProgressMark { thousandths: mark.thousandths.map(|it| it.min(1_000)), text }
}

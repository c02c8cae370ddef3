//! A board's disk: a store whose commits are on disk when they return, but for those that promise
//! nobody anything. These wait for the next one that does; a power cut loses any number of the
//! last of them.

use edge_agent_logic::Change;
use edge_agent_logic::change::Stored;
use edge_agent_logic::memory::MemoryStore;
use shared::id::{Incarnation, Sequence};
use shared::wire::uplink::NumberedReport;

use crate::planted::planted;
use crate::residents::Shelf;

/// The board's disk.
#[derive(Debug, Clone)]
pub struct Disk {
    store: MemoryStore,
    /// What is certainly on it, and the batches since, while there are any that may be lost.
    synced: Option<MemoryStore>,
    unsynced: Vec<Vec<Change>>,
    /// What became of schedules on it: for whoever watches.
    pub shelf: Shelf,
    /// Tells this disk from any other, a copy of it included.
    pub number: u64,
    /// Until when no commit works.
    pub full_until_ms: u64,
    /// Until when it is low on room, although commits work.
    pub low_until_ms: u64,
    /// When a commit failed last.
    pub failed_ms: Option<u64>,
}

/// Whether somebody relies on it once it is committed: what tells people how it stands, and what
/// is measured anew, may be lost.
fn is_promise(change: &Change) -> bool {
    let reported = matches!(change, Change::ReportAdded { .. } | Change::AttemptMoved { .. });
    if reported && planted!(PromiseNotSynced) {
        return false;
    }
    !matches!(
        change,
        Change::Heard { .. }
            | Change::Believed { .. }
            | Change::ProgressPut { .. }
            | Change::LinkMoved { .. }
            | Change::ClockMoved { .. }
    )
}

impl Disk {
    pub fn new(incarnation: Incarnation, number: u64) -> Self {
        Self {
            store: MemoryStore::new(incarnation),
            synced: None,
            unsynced: Vec::new(),
            shelf: Shelf::default(),
            number,
            full_until_ms: 0,
            low_until_ms: 0,
            failed_ms: None,
        }
    }

    /// Another disk with the same on it.
    pub fn copy(&self, number: u64) -> Self {
        Self { number, full_until_ms: 0, low_until_ms: 0, failed_ms: None, ..self.clone() }
    }

    pub fn commit(&mut self, changes: Vec<Change>) {
        if changes.iter().any(is_promise) {
            self.store.commit(&changes);
            self.sync();
        } else if !changes.is_empty() {
            self.synced.get_or_insert_with(|| self.store.clone());
            self.store.commit(&changes);
            self.unsynced.push(changes);
        }
    }

    fn sync(&mut self) {
        self.synced = None;
        self.unsynced.clear();
    }

    /// How many commits a power cut may lose.
    pub fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// The power is cut: all but the first of the commits that were not synced are lost.
    pub fn lose_power(&mut self, kept: usize) {
        if let Some(mut store) = self.synced.take() {
            for changes in self.unsynced.iter().take(kept) {
                store.commit(changes);
            }
            self.store = store;
        }
        self.unsynced.clear();
    }

    /// Counts a start of the process, and gives back what is stored.
    pub fn begin_boot(&mut self) -> Stored {
        self.sync();
        self.store.begin_boot()
    }

    pub fn reports(&self, after: Sequence, upto: Sequence, most: usize) -> Vec<NumberedReport> {
        self.store.reports(after, upto, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::id::Revision;
    use shared::time::Timestamp;
    use uuid::Uuid;

    #[test]
    fn a_power_cut_loses_only_what_promised_nothing() {
        let heard = |at| vec![Change::Heard { at: Timestamp(at) }];
        let mut disk = Disk::new(Incarnation(Uuid::nil()), 1);
        disk.commit(heard(1));
        disk.commit(vec![Change::Applied { rev: Revision(7) }]);
        assert_eq!(disk.unsynced(), 0);
        disk.commit(heard(2));
        disk.commit(heard(3));
        assert_eq!(disk.unsynced(), 2);
        disk.lose_power(1);
        let stored = disk.begin_boot();
        assert_eq!((stored.applied_rev, stored.heard_at), (Revision(7), Some(Timestamp(2))));
    }
}

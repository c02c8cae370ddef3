//! A store in memory: what every change means, in code. The model that other stores are tested
//! against, and the store of simulated agents.

use std::collections::BTreeMap;

use shared::id::{AssignmentId, Boot, Incarnation, ScheduleId, Sequence};
use shared::report::Report;
use shared::time::Timestamp;
use shared::wire::uplink::NumberedReport;

use crate::attempt::{Runs, State};
use crate::change::{AttemptRow, Change, EntryKind, EntryRow, Stored};
use crate::planted::planted;
use crate::resident::ResidentRow;

/// A store in memory.
#[derive(Debug, Clone, PartialEq)]
pub struct MemoryStore {
    head: Stored,
    live: BTreeMap<AssignmentId, AttemptRow>,
    finished: BTreeMap<AssignmentId, Sequence>,
    outbox: BTreeMap<Sequence, (Report, Option<Timestamp>)>,
    residents: BTreeMap<ScheduleId, ResidentRow>,
    dropped: BTreeMap<ScheduleId, Timestamp>,
}

impl MemoryStore {
    /// A store that was just made.
    #[must_use]
    pub fn new(incarnation: Incarnation) -> Self {
        Self {
            head: Stored::empty(incarnation),
            live: BTreeMap::new(),
            finished: BTreeMap::new(),
            outbox: BTreeMap::new(),
            residents: BTreeMap::new(),
            dropped: BTreeMap::new(),
        }
    }

    /// Counts a start of the process, and gives back what is stored.
    pub fn begin_boot(&mut self) -> Stored {
        self.head.boot = Boot(self.head.boot.0.saturating_add(1));
        self.stored()
    }

    /// What is stored.
    #[must_use]
    pub fn stored(&self) -> Stored {
        let entry =
            |(seq, (report, kept_at)): (&Sequence, &(Report, Option<Timestamp>))| EntryRow {
                seq: *seq,
                assignment: report.assignment,
                kind: EntryKind::of(&report.event),
                kept_at: *kept_at,
            };
        Stored {
            live: self.live.values().cloned().collect(),
            finished: self.finished.iter().map(|(id, report)| (*id, *report)).collect(),
            entries: self.outbox.iter().map(entry).collect(),
            residents: self.residents.values().cloned().collect(),
            dropped: self.dropped.iter().map(|(id, through)| (*id, *through)).collect(),
            ..self.head.clone()
        }
    }

    /// Applies changes, in order.
    pub fn commit(&mut self, changes: &[Change]) {
        for change in changes {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::AttemptAdded(row) => {
                self.live.insert(row.id, (**row).clone());
            }
            Change::AttemptMoved { id, state } => self.change_row(*id, |row| row.state = *state),
            Change::AttemptBegunAgain { id, runs } => self.begin_again(*id, *runs),
            Change::ProgressPut { id, progress } => {
                self.change_row(*id, |row| row.progress = Some(progress.clone()));
            }
            Change::AttemptFinished { id, report } => {
                self.live.remove(id);
                self.finished.insert(*id, *report);
            }
            Change::AttemptForgotten { id } => {
                self.live.remove(id);
                self.finished.remove(id);
            }
            Change::ReportAdded { seq, report } => {
                self.outbox.insert(*seq, ((**report).clone(), None));
                self.head.outbox.last = *seq;
            }
            Change::ReportsAcked { upto, at } => self.acknowledge(*upto, *at),
            Change::ReportsDropped { seqs } => self.outbox.retain(|seq, _| !seqs.contains(seq)),
            Change::ReportsUnacked { acked } => self.head.outbox.acked = *acked,
            Change::KeptForgotten { upto } => self.outbox.retain(|seq, _| seq > upto),
            Change::ScheduleHeld(row) => {
                self.residents.insert(row.schedule, (**row).clone());
                self.dropped.remove(&row.schedule);
            }
            Change::ScheduleMoved { schedule, standing } => {
                if let Some(row) = self.residents.get_mut(schedule) {
                    row.standing = standing.clone();
                }
            }
            Change::ScheduleDropped { schedule, through } => {
                self.residents.remove(schedule);
                self.dropped.insert(*schedule, *through);
            }
            Change::DroppedForgotten { schedule } => {
                self.dropped.remove(schedule);
            }
            Change::Applied { rev } => self.head.applied_rev = *rev,
            Change::CoreMet { core } => self.head.core = Some(*core),
            Change::LinkMoved { seen, .. } => self.head.link = seen.clone(),
            Change::Heard { at } => self.head.heard_at = Some(*at),
            Change::Believed { at } => self.head.floor = Some(*at),
            // For people only; nothing reads it back.
            Change::ClockMoved { .. } => {}
        }
    }

    fn change_row(&mut self, id: AssignmentId, change: impl FnOnce(&mut AttemptRow)) {
        if let Some(row) = self.live.get_mut(&id) {
            change(row);
        }
    }

    fn begin_again(&mut self, id: AssignmentId, runs: Runs) {
        self.change_row(id, |row| {
            row.state = State::Accepted;
            row.runs = runs;
            row.progress = None;
        });
    }

    fn acknowledge(&mut self, upto: Sequence, at: Option<Timestamp>) {
        let before = self.head.outbox.acked;
        let keeps = !planted!(OutcomesNotKept);
        self.outbox.retain(|seq, (report, kept_at)| {
            if *seq > before && *seq <= upto {
                *kept_at = at;
            }
            *seq > upto || (keeps && EntryKind::of(&report.event) != EntryKind::State)
        });
        self.head.outbox.acked = upto;
    }

    /// The outbox entries with `after < seq <= upto`, at most `items_max` of them.
    #[must_use]
    pub fn reports(
        &self,
        after: Sequence,
        upto: Sequence,
        items_max: usize,
    ) -> Vec<NumberedReport> {
        self.outbox
            .range(after.next()..)
            .take_while(|(seq, _)| **seq <= upto)
            .take(items_max)
            .map(|(seq, (report, _))| NumberedReport { seq: *seq, report: report.clone() })
            .collect()
    }
}

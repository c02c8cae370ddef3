//! The core's side of the world: what it wants, what it was told, and how it is put back to what
//! it knew before.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::id::{
    AssignmentId, Attempt, CoreId, Incarnation, Revision, ScheduleId, Sequence, TaskId,
};
use shared::mailbox::{Admission, Inbox};
use shared::report::{End, NotFiredBecause, ReportEvent, StopReason};
use shared::time::Timestamp;
use shared::wire::downlink::{Desired, DesiredRow, ScheduleRow, Want};
use shared::wire::uplink::NumberedReport;
use uuid::Uuid;

use super::things::{order, schedule};

/// The core that is played.
pub const CORE: CoreId = CoreId(Uuid::from_u128(0xC));
pub const INCARNATION: Incarnation = Incarnation(Uuid::from_u128(0xA));

/// A run of outbox entries.
#[derive(Debug, Clone)]
pub struct Run {
    pub after: Sequence,
    pub upto: Sequence,
    pub items: Vec<NumberedReport>,
}

/// What a core has been told.
#[derive(Debug, Clone)]
pub struct Told {
    pub inbox: Inbox,
    accepted: BTreeSet<AssignmentId>,
    /// How often each attempt was told to be over.
    pub ended: BTreeMap<AssignmentId, u32>,
}

pub struct Core {
    /// Whether it is put back now and then, and wants again what it wanted before.
    forgetful: bool,
    pub told: Told,
    /// What it will be put back to.
    pub backup: Told,
    pub rev: u64,
    wanted: BTreeMap<AssignmentId, DesiredRow>,
    schedules: BTreeMap<ScheduleId, ScheduleRow>,
    attempts: BTreeMap<u128, u32>,
}

impl Core {
    pub fn new(forgetful: bool) -> Self {
        let inbox = Inbox { incarnation: INCARNATION, acked: Sequence(0) };
        let told = Told { inbox, accepted: BTreeSet::new(), ended: BTreeMap::new() };
        Self {
            forgetful,
            backup: told.clone(),
            told,
            rev: 0,
            wanted: BTreeMap::new(),
            schedules: BTreeMap::new(),
            attempts: BTreeMap::new(),
        }
    }

    /// Wants something new of a task; or, with a bad memory, what it wanted before.
    pub fn want(&mut self, pick: u64) {
        self.rev += 1;
        let task = u128::from(pick % 7);
        let attempt = self.attempts.entry(task).or_insert(0);
        let stop = pick % 5 == 4 && *attempt > 0;
        let again = self.forgetful && pick % 13 == 5 && *attempt > 0;
        if !stop && !again {
            *attempt += 1;
        }
        let assignment =
            AssignmentId { task: TaskId(Uuid::from_u128(task)), attempt: Attempt(*attempt) };
        let want = if stop {
            Want::Stop { reason: StopReason::Canceled }
        } else {
            Want::Run(Arc::new(order(pick)))
        };
        let row = DesiredRow { rev: Revision(self.rev), assignment, want };
        self.wanted.insert(assignment, row);
    }

    /// Wants a schedule to be held, as it is from now on, or no more.
    pub fn schedule(&mut self, pick: u64, at: Timestamp) {
        self.rev += 1;
        let id = ScheduleId(Uuid::from_u128(u128::from(0x50 + pick % 3)));
        let version = u32::try_from(self.rev).expect("few");
        let hold = (pick >> 8 & 3 != 0).then(|| Box::new(schedule(pick, version, at)));
        self.schedules.insert(id, ScheduleRow { rev: Revision(self.rev), schedule: id, hold });
    }

    /// Wants no schedule to be held any more.
    pub fn withdraw_all(&mut self) {
        for row in self.schedules.values_mut() {
            self.rev += 1;
            (row.rev, row.hold) = (Revision(self.rev), None);
        }
    }

    /// What it believes to be missing.
    pub fn desired(&self, base: u64) -> Desired {
        let base = base.min(self.rev);
        let mut rows: Vec<_> =
            self.wanted.values().filter(|row| row.rev.0 > base).cloned().collect();
        rows.sort_by_key(|row| row.rev);
        let schedules = self.schedules.values().filter(|row| row.rev.0 > base).cloned().collect();
        let (base, upto) = (Revision(base), Revision(self.rev));
        Desired { core: CORE, incarnation: INCARNATION, base, upto, rows, schedules }
    }

    /// Its side of the mailbox.
    pub fn take(&mut self, Run { after, upto, items }: Run) {
        let Admission::Above(held) = self.told.inbox.admit(after) else {
            return;
        };
        for item in items.into_iter().filter(|item| item.seq > held) {
            assert!(item.seq > self.told.inbox.acked && item.seq <= upto, "out of order");
            self.told.inbox.acked = item.seq;
            let id = item.report.assignment;
            let over = self.told.ended.contains_key(&id);
            match item.report.event {
                ReportEvent::Accepted => {
                    assert!(self.told.accepted.insert(id), "{id} was accepted twice");
                }
                ReportEvent::Finished(finish) if over && !self.forgetful => {
                    // The answer to a tombstone for what the agent has long forgotten.
                    let stopped = matches!(finish.end, End::Stopped { .. });
                    assert!(stopped && finish.started_at.is_none(), "{id} ended twice");
                }
                ReportEvent::Finished(_) => *self.told.ended.entry(id).or_default() += 1,
                ReportEvent::Refused { .. } => {
                    assert!(!self.told.accepted.contains(&id), "{id} was refused after all");
                }
                ReportEvent::Started => assert!(!over, "{id} started after its end"),
                ReportEvent::Fired { schedule, moment, .. } => {
                    assert_eq!(id.task, TaskId::of_firing(schedule, moment, INCARNATION));
                    assert!(self.told.accepted.insert(id), "{id} was fired twice");
                }
                ReportEvent::NotFired { moment, upto, count, because, .. } => {
                    assert!(moment <= upto && count > 0);
                    let alone = (moment, count) == (upto, 1);
                    assert!(alone || because == NotFiredBecause::Missed, "a run of {because:?}");
                    let single = alone && because != NotFiredBecause::Missed;
                    let fired = self.told.accepted.contains(&id);
                    assert!(!(single && fired), "{id} was fired and not fired");
                }
                ReportEvent::Retried(finish) => {
                    assert!(!over, "{id} was begun again after its end");
                    assert!(!finish.end.is_success(), "{id} was begun again for nothing");
                }
            }
        }
        self.told.inbox.acked = self.told.inbox.acked.max(upto);
    }

    /// It is put back to an earlier state.
    pub fn put_back(&mut self) {
        if self.forgetful {
            self.told = self.backup.clone();
        }
    }
}

//! A small world around one agent: a core that wants things and remembers what it was told, a
//! pipe that loses, repeats and reorders, processes that start, end and vanish, and crashes at
//! every commit boundary.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use edge_agent_logic::input::{Found, ProcessEvent};
use edge_agent_logic::memory::MemoryStore;
use edge_agent_logic::{Agent, Effect, Input, Outcome, Settings, invariant};
use shared::id::{AssignmentId, Attempt, CoreId, Incarnation, Revision, Sequence, TaskId};
use shared::mailbox::{Admission, Inbox};
use shared::report::{ReportEvent, StopReason};
use shared::time::{Monotonic, Now, Timestamp, mix};
use shared::wire::Downlink;
use shared::wire::downlink::{Desired, DesiredRow, Want, Welcome};
use shared::wire::uplink::{Load, NumberedReport};
use uuid::Uuid;

use super::things::{end, facts, order};

pub const INCARNATION: Incarnation = Incarnation(Uuid::from_u128(0xA));
pub const TASKS_MAX: u32 = 5;
const REPEATS_KEPT: usize = 40;

/// One thing the world does; `pick` chooses among what it can be done to.
#[derive(Debug, Clone, Copy)]
pub struct Op {
    pub kind: u8,
    pub pick: u64,
}

/// What became of a process, as only the world knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    Asked,
    Runs,
    Ended,
    Gone,
}

/// How a step is cut short by a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crash {
    No,
    BeforeCommit,
    BeforeEffects,
}

pub struct World {
    pub agent: Agent,
    pub store: MemoryStore,
    pub log: String,
    settings: Settings,
    clock_ms: u64,
    chances: u64,
    link: u64,
    processes: BTreeMap<AssignmentId, Process>,
    wanted: BTreeMap<AssignmentId, DesiredRow>,
    rev: u64,
    attempts: BTreeMap<u128, u32>,
    down: Vec<Downlink>,
    up: Vec<(Sequence, Vec<NumberedReport>)>,
    inbox: Inbox,
    pub accepted: BTreeSet<AssignmentId>,
    pub ended: BTreeMap<AssignmentId, u32>,
    crash: Crash,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        let mut store = MemoryStore::new(INCARNATION);
        let stored = store.begin_boot();
        let now = Now { wall: Timestamp(1_000), mono: Monotonic(0), chance: 0 };
        Self {
            agent: Agent::restore(stored, settings.clone(), facts(), now),
            store,
            log: String::new(),
            settings,
            clock_ms: 0,
            chances: 0,
            link: 0,
            processes: BTreeMap::new(),
            wanted: BTreeMap::new(),
            rev: 0,
            attempts: BTreeMap::new(),
            down: Vec::new(),
            up: Vec::new(),
            inbox: Inbox { incarnation: INCARNATION, acked: Sequence(0) },
            accepted: BTreeSet::new(),
            ended: BTreeMap::new(),
            crash: Crash::No,
        }
    }

    fn now(&mut self) -> Now {
        self.chances += 1;
        let wall = Timestamp(1_000 + i64::try_from(self.clock_ms).expect("small"));
        Now { wall, mono: Monotonic(self.clock_ms), chance: mix(self.chances, 1) }
    }

    /// One step as a driver makes it, with the invariants after it.
    pub fn step(&mut self, input: Input) {
        let now = self.now();
        let outcome = self.agent.step(input, now);
        self.log.push_str(&serde_json::to_string(&outcome).expect("json"));
        self.log.push('\n');
        if let Err(broken) = invariant::check(&self.agent) {
            panic!("{broken}");
        }
        let Outcome { changes, effects } = outcome;
        let crash = std::mem::replace(&mut self.crash, Crash::No);
        if crash == Crash::BeforeCommit {
            return self.restart();
        }
        self.store.commit(&changes);
        self.compare_with_store();
        if crash == Crash::BeforeEffects {
            return self.restart();
        }
        for effect in effects {
            self.perform(effect);
        }
    }

    fn compare_with_store(&self) {
        let stored = self.store.stored();
        let live: Vec<_> = stored.live.iter().map(|row| (row.id, row.state)).collect();
        assert_eq!(live, self.agent.live().collect::<Vec<_>>(), "the store holds other attempts");
        let held = stored.live.iter().map(|row| row.id).chain(stored.finished.iter().map(|f| f.0));
        assert_eq!(held.collect::<Vec<_>>(), self.agent.holds().collect::<Vec<_>>());
        assert_eq!(stored.applied_rev, self.agent.applied_rev());
        let outbox = self.agent.outbox();
        assert_eq!((stored.outbox.last, stored.outbox.acked), (outbox.last, outbox.acked));
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { assignment, .. } => {
                let before = self.processes.insert(assignment, Process::Asked);
                assert_eq!(before, None, "{assignment} was spawned twice");
            }
            Effect::SendReports { after, upto } => {
                let items = self.store.reports(after, upto, usize::MAX);
                assert_eq!(items.len() as u64, upto.0 - after.0, "entries are missing");
                self.up.push((after, items));
                keep_last(&mut self.up);
            }
            Effect::Forget { assignment } => {
                assert!(
                    self.ended.contains_key(&assignment),
                    "{assignment} was forgotten too soon"
                );
            }
            Effect::Terminate { .. } | Effect::Kill { .. } | Effect::Send(_) | Effect::Note(_) => {}
        }
    }

    /// The agent's process dies and comes back.
    fn restart(&mut self) {
        self.clock_ms += 50;
        let stored = self.store.begin_boot();
        let now = self.now();
        self.agent = Agent::restore(stored, self.settings.clone(), facts(), now);
        for id in self.agent.unresolved() {
            let found = self.find(id);
            self.step(Input::Found { assignment: id, found });
        }
    }

    fn find(&mut self, id: AssignmentId) -> Found {
        match self.processes.get(&id) {
            None => Found::NeverStarted,
            Some(Process::Asked) => {
                // Its supervisor was kept out by the question.
                self.processes.remove(&id);
                Found::NeverStarted
            }
            Some(Process::Runs) => Found::Running { started_at: Timestamp(1_000), ran_ms: 3 },
            Some(Process::Ended) => Found::Ended(Box::new(end(0))),
            Some(Process::Gone) => Found::Gone,
        }
    }

    pub fn op(&mut self, Op { kind, pick }: Op) {
        let rarely = pick.is_multiple_of(4);
        match kind {
            0..=3 => self.want(pick),
            4..=6 => self.deliver_down(pick),
            7..=9 => self.process_moves(pick),
            10 => self.link_up(),
            11 if rarely => self.step(Input::LinkDown { reason: "cut".to_owned() }),
            12..=14 => self.deliver_up(pick),
            15 => {
                let seq = Sequence(pick % (self.inbox.acked.0 + 1));
                self.hear(Downlink::Acked { incarnation: INCARNATION, seq });
            }
            16 | 17 => {
                self.clock_ms += pick % 20_000;
                self.step(Input::Tick);
            }
            18 => {
                let disk_full = pick.is_multiple_of(3);
                self.step(Input::Measured { load: Load::default(), disk_full });
            }
            19 => self.hear(Downlink::WhoIsThere),
            20 if rarely => self.crash = Crash::BeforeCommit,
            21 if rarely => self.crash = Crash::BeforeEffects,
            22 if rarely => self.restart(),
            23 => self.step(Input::ReportsCut { sent: Sequence(pick % 20) }),
            _ => {
                if !self.agent.is_met() {
                    self.link_up();
                }
                self.welcome();
            }
        }
    }

    fn hear(&mut self, message: Downlink) {
        self.step(Input::Downlink(message));
    }

    fn link_up(&mut self) {
        self.link += 1;
        self.step(Input::LinkUp { link: self.link });
    }

    fn welcome(&mut self) {
        let welcome = Welcome {
            core: CoreId(Uuid::from_u128(0xC)),
            incarnation: INCARNATION,
            acked_seq: self.inbox.acked,
            desired_rev: Revision(self.rev),
            heartbeat_ms: 5_000,
            sent_at: Timestamp(0),
        };
        self.hear(Downlink::Welcome(welcome));
    }

    /// The core wants something new of a task.
    fn want(&mut self, pick: u64) {
        self.rev += 1;
        let task = u128::from(pick % 7);
        let attempt = self.attempts.entry(task).or_insert(0);
        let stop = pick % 5 == 4 && *attempt > 0;
        if !stop {
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
        self.send_down(pick);
    }

    /// The core sends what it believes to be missing; its belief may be old.
    fn send_down(&mut self, pick: u64) {
        let base = (pick >> 8) % (self.agent.applied_rev().0 + 3);
        let base = base.min(self.rev);
        let mut rows: Vec<_> =
            self.wanted.values().filter(|row| row.rev.0 > base).cloned().collect();
        rows.sort_by_key(|row| row.rev);
        let (base, upto) = (Revision(base), Revision(self.rev));
        let desired = Desired { incarnation: INCARNATION, base, upto, rows };
        self.down.push(Downlink::Desired(desired));
        keep_last(&mut self.down);
    }

    fn deliver_down(&mut self, pick: u64) {
        if self.down.is_empty() {
            return;
        }
        let at = index(pick, self.down.len());
        let message = self.down[at].clone();
        if pick & 0x100 == 0 {
            self.down.remove(at);
        }
        self.hear(message);
    }

    fn deliver_up(&mut self, pick: u64) {
        if self.up.is_empty() {
            return;
        }
        let at = index(pick, self.up.len());
        let (after, items) = self.up[at].clone();
        if pick & 0x100 == 0 {
            self.up.remove(at);
        }
        self.take(after, items);
        if pick & 0x200 == 0 {
            self.hear(Downlink::Acked { incarnation: INCARNATION, seq: self.inbox.acked });
        }
    }

    /// The core's side of the mailbox.
    fn take(&mut self, after: Sequence, items: Vec<NumberedReport>) {
        let Admission::Above(held) = self.inbox.admit(after) else {
            return;
        };
        for item in items.into_iter().filter(|item| item.seq > held) {
            self.inbox.acked = item.seq;
            let id = item.report.assignment;
            match item.report.event {
                ReportEvent::Accepted => {
                    assert!(self.accepted.insert(id), "{id} was accepted twice");
                }
                ReportEvent::Finished(finish)
                    if !self.accepted.contains(&id) || self.ended.contains_key(&id) =>
                {
                    // The answer to a tombstone for what was never here, or is here no more.
                    let never_ran = finish.started_at.is_none()
                        && matches!(finish.end, shared::report::End::Stopped { .. });
                    assert!(never_ran, "{id} ended without being accepted");
                }
                ReportEvent::Finished(_) => {
                    *self.ended.entry(id).or_default() += 1;
                }
                ReportEvent::Refused { .. } => {
                    assert!(!self.accepted.contains(&id), "{id} was refused after all");
                }
                ReportEvent::Started => {
                    assert!(!self.ended.contains_key(&id), "{id} started after its end");
                }
            }
        }
    }

    fn process_moves(&mut self, pick: u64) {
        let moving: Vec<_> = self
            .processes
            .iter()
            .filter(|(_, process)| matches!(process, Process::Asked | Process::Runs))
            .map(|(id, process)| (*id, *process))
            .collect();
        if moving.is_empty() {
            return;
        }
        let (assignment, process) = moving[index(pick, moving.len())];
        let (next, event) = match (process, (pick >> 8) % 8) {
            (Process::Asked, 0..=4) => (Process::Runs, ProcessEvent::Started),
            (_, 5) => (Process::Gone, ProcessEvent::Gone),
            // An agent may miss the start of what ends quickly.
            _ => (Process::Ended, ProcessEvent::Ended(Box::new(end((pick >> 16) as i32 % 3)))),
        };
        self.processes.insert(assignment, next);
        self.step(Input::Process { assignment, event });
    }

    /// The faults stop; everything has to come to its end.
    pub fn settle(&mut self) {
        self.crash = Crash::No;
        self.step(Input::Measured { load: Load::default(), disk_full: false });
        self.link_up();
        self.welcome();
        for round in 0..200 {
            for pick in 0..20 {
                self.process_moves(6 << 8 | pick);
            }
            self.clock_ms += 30_000;
            self.welcome();
            self.step(Input::Tick);
            for (after, items) in std::mem::take(&mut self.up) {
                self.take(after, items);
            }
            self.hear(Downlink::Acked { incarnation: INCARNATION, seq: self.inbox.acked });
            let quiet = self.agent.holds().next().is_none() && self.agent.outbox().waiting() == 0;
            if quiet && round > 0 {
                return;
            }
        }
        let held: Vec<_> = self.agent.live().collect();
        panic!("something is stuck: {held:?}, outbox {:?}", self.agent.outbox());
    }
}

fn index(pick: u64, length: usize) -> usize {
    usize::try_from(pick & 0xff).expect("small") % length
}

fn keep_last<T>(list: &mut Vec<T>) {
    if list.len() > REPEATS_KEPT {
        list.remove(0);
    }
}

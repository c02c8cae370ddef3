//! A small world around one agent: a core that wants things and remembers what it was told, a
//! pipe that loses, repeats and reorders, processes that start, end and vanish, clocks that jump,
//! and crashes at every commit boundary.

use std::collections::{BTreeMap, BTreeSet};

use edge_agent_logic::attempt::State;
use edge_agent_logic::input::{Found, ProcessEvent};
use edge_agent_logic::memory::MemoryStore;
use edge_agent_logic::{Agent, Change, Effect, Input, Outcome, Settings, invariant};
use shared::id::{AssignmentId, Revision, Sequence};
use shared::report::ProgressMark;
use shared::time::{Monotonic, Now, Timestamp, mix};
use shared::wire::downlink::Welcome;
use shared::wire::uplink::Load;
use shared::wire::{Downlink, Uplink};

use super::core::{CORE, Core, INCARNATION, Run};
use super::things::{end, start, true_wall};

const REPEATS_KEPT: usize = 40;
const YEAR_MS: i64 = 365 * 24 * 3_600 * 1_000;

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
    Ended(i32),
    Gone,
}

/// A process of one run of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Running {
    run: u32,
    process: Process,
    /// How long after the last answered ping was sent it is to be told to end.
    lease_ms: Option<u64>,
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
    pub core: Core,
    pub log: String,
    settings: Settings,
    clock_ms: u64,
    wall_ahead_ms: i64,
    chances: u64,
    link: u64,
    /// How many more things happen while nothing gets through.
    dark: u64,
    /// Pings that were sent, and when.
    pings: Vec<(u64, u64)>,
    /// When the newest ping that was answered was sent; the agent may know less.
    renewed: Option<u64>,
    /// From when the agent says that leases count; what it found running when it came back is its
    /// supervisor's business until it knows.
    counted: Option<u64>,
    processes: BTreeMap<AssignmentId, Running>,
    /// Every run that ever had a process.
    ran: BTreeSet<(AssignmentId, u32)>,
    down: Vec<Downlink>,
    up: Vec<Run>,
    /// Every attempt that the agent has on its disk, or had.
    pub accepted: BTreeSet<AssignmentId>,
    /// Runs after the first.
    pub retried: u32,
    crash: Crash,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        let mut store = MemoryStore::new(INCARNATION);
        let stored = store.begin_boot();
        let now = Now { wall: true_wall(0), mono: Monotonic(0), chance: 0 };
        Self {
            agent: Agent::restore(start(stored, &settings, now)),
            store,
            // One whose outcomes are not kept for long may not forget them.
            core: Core::new(settings.kept_max > 100),
            log: String::new(),
            settings,
            clock_ms: 0,
            wall_ahead_ms: 0,
            chances: 0,
            link: 0,
            dark: 0,
            pings: Vec::new(),
            renewed: None,
            counted: None,
            processes: BTreeMap::new(),
            ran: BTreeSet::new(),
            down: Vec::new(),
            up: Vec::new(),
            accepted: BTreeSet::new(),
            retried: 0,
            crash: Crash::No,
        }
    }

    fn now(&mut self) -> Now {
        self.chances += 1;
        let wall = true_wall(self.clock_ms).plus_ms(self.wall_ahead_ms);
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
        let wakeup = self.agent.next_wakeup();
        assert!(wakeup.is_none_or(|at| at > now.mono), "it wakes without end, at {wakeup:?}");
        let Outcome { changes, effects } = outcome;
        let crash = std::mem::replace(&mut self.crash, Crash::No);
        if crash == Crash::BeforeCommit {
            return self.restart();
        }
        self.store.commit(&changes);
        for change in &changes {
            if let Change::AttemptAdded(row) = change {
                assert!(self.accepted.insert(row.id), "{} was accepted twice", row.id);
            }
        }
        self.compare_with_store();
        if crash == Crash::BeforeEffects {
            return self.restart();
        }
        for effect in effects {
            self.perform(effect);
        }
        self.check_leases();
    }

    fn compare_with_store(&self) {
        let stored = self.store.stored();
        let live: Vec<_> = stored.live.iter().map(|row| (row.id, row.state)).collect();
        assert_eq!(live, self.agent.live().collect::<Vec<_>>(), "the store holds other attempts");
        let held = stored.live.iter().map(|row| row.id).chain(stored.finished.iter().map(|f| f.0));
        assert_eq!(held.collect::<Vec<_>>(), self.agent.holds().collect::<Vec<_>>());
        assert_eq!(stored.applied_rev, self.agent.applied_rev());
        let standing = stored
            .residents
            .iter()
            .map(|it| (it.schedule, it.hold.version, it.standing.through, &it.standing.queue));
        let held = self.agent.schedules();
        let held = held.map(|(id, version, it)| (id, version, it.through, &it.queue));
        assert_eq!(standing.collect::<Vec<_>>(), held.collect::<Vec<_>>());
        let outbox = self.agent.outbox();
        assert_eq!((stored.outbox.last, stored.outbox.acked), (outbox.last, outbox.acked));
        let waiting = stored.entries.iter().filter(|entry| entry.seq > outbox.acked).count();
        assert_eq!(waiting, self.agent.reports_waiting());
        assert_eq!(stored.entries.len() - waiting, self.agent.reports_kept());
    }

    /// What runs under a lease was told to end before the lease is over.
    fn check_leases(&self) {
        for (id, state) in self.agent.live() {
            let told = !matches!(state, State::Starting { .. } | State::Running { .. });
            let running = self.processes.get(&id).filter(|it| it.process == Process::Runs);
            let lease_ms = running.and_then(|running| running.lease_ms).filter(|_| !told);
            if let (Some(lease_ms), Some(renewed)) = (lease_ms, self.counted) {
                assert!(self.clock_ms < renewed + lease_ms, "{id} outlives its lease");
            }
        }
    }

    fn perform(&mut self, effect: Effect) {
        match effect {
            Effect::Spawn { assignment, run, order, renewed } => {
                let stop_ms = order.grace_ms + 2 * self.settings.lease_margin_ms;
                let lease_ms = order.lease_ms.map(|lease_ms| lease_ms - stop_ms);
                if let Some(lease_ms) = lease_ms {
                    let renewed = renewed.expect("a lease that counts from something").0;
                    assert!(Some(renewed) <= self.renewed && self.clock_ms < renewed + lease_ms);
                    self.counted = self.counted.max(Some(renewed));
                }
                let running = Running { run, process: Process::Asked, lease_ms };
                let before = self.processes.insert(assignment, running);
                assert_eq!(before, None, "{assignment} was spawned twice");
                self.retried += u32::from(run > 0);
            }
            Effect::RenewLease { sent } => {
                assert!(Some(sent.0) <= self.renewed);
                self.counted = self.counted.max(Some(sent.0));
            }
            Effect::SendReports { after, upto } => {
                let items = self.store.reports(after, upto, usize::MAX);
                self.up.push(Run { after, upto, items });
                keep_last(&mut self.up);
            }
            Effect::Forget { assignment } => {
                let goes_on = self.agent.live().any(|(id, _)| id == assignment);
                let ended = self.core.told.ended.contains_key(&assignment);
                assert!(goes_on || ended, "{assignment} was forgotten too soon");
                self.forget(assignment);
            }
            Effect::Send(Uplink::Ping { nonce, .. }) => self.pings.push((nonce, self.clock_ms)),
            Effect::Terminate { .. } | Effect::Kill { .. } | Effect::Send(_) | Effect::Note(_) => {}
        }
    }

    fn forget(&mut self, id: AssignmentId) {
        if let Some(running) = self.processes.remove(&id) {
            let over = matches!(running.process, Process::Ended(_) | Process::Gone);
            assert!(over || running.process == Process::Asked, "{id} was forgotten while it runs");
        }
    }

    /// The agent's process dies and comes back.
    fn restart(&mut self) {
        self.clock_ms += 50;
        (self.renewed, self.counted) = (None, None);
        self.pings.clear();
        let stored = self.store.begin_boot();
        let now = self.now();
        self.agent = Agent::restore(start(stored, &self.settings, now));
        let waits = |(id, state): (AssignmentId, State)| (!state.is_active()).then_some(id);
        for id in self.agent.live().filter_map(waits).collect::<Vec<_>>() {
            self.forget(id);
        }
        for id in self.agent.unresolved() {
            let found = self.find(id);
            self.step(Input::Found { assignment: id, found });
        }
    }

    fn find(&mut self, id: AssignmentId) -> Found {
        match self.processes.get(&id).map(|running| running.process) {
            None => Found::NeverStarted,
            Some(Process::Asked) => {
                // Its supervisor was kept out by the question.
                self.processes.remove(&id);
                Found::NeverStarted
            }
            Some(Process::Runs) => Found::Running { started_at: Timestamp(1_000), ran_ms: 3 },
            Some(Process::Ended(code)) => Found::Ended(Box::new(end(code))),
            Some(Process::Gone) => Found::Gone,
        }
    }

    pub fn op(&mut self, Op { kind, pick }: Op) {
        let rarely = pick.is_multiple_of(4);
        self.dark = self.dark.saturating_sub(1);
        if self.dark > 0 && matches!(kind, 4..=6 | 10 | 12..=15 | 19 | 24 | 28..) {
            // Instead of what would come over the link, time passes.
            self.clock_ms += pick % 4_000;
            self.step(Input::Tick);
            return self.process_moves(pick >> 3);
        }
        match kind {
            0..=3 => {
                match pick >> 56 & 7 {
                    0 | 1 => self.core.schedule(pick, true_wall(self.clock_ms)),
                    _ => self.core.want(pick),
                }
                let base = (pick >> 8) % (self.agent.applied_rev().0 + 3);
                self.down.push(Downlink::Desired(self.core.desired(base)));
                keep_last(&mut self.down);
            }
            4..=6 => self.deliver_down(pick),
            7..=9 => self.process_moves(pick),
            10 => self.link_up(),
            11 => {
                self.dark = pick % 80;
                self.step(Input::LinkDown { reason: "cut".to_owned() });
            }
            12..=14 => self.deliver_up(pick),
            15 => {
                let seq = Sequence(pick % (self.core.told.inbox.acked.0 + 1));
                self.hear(Downlink::Acked { core: CORE, incarnation: INCARNATION, seq });
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
            24 => self.pong(pick),
            25 => self.progress(pick),
            26 if rarely => self.wall_ahead_ms = i64::try_from(pick % 5).expect("small") - 2,
            27 if rarely => self.wall_ahead_ms = YEAR_MS * ((pick >> 8) % 5) as i64 - 2 * YEAR_MS,
            28 if rarely => self.core.backup = self.core.told.clone(),
            29 if rarely => {
                self.core.put_back();
                self.link_up();
                self.welcome();
            }
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
            core: CORE,
            incarnation: INCARNATION,
            session: self.agent.session(),
            beat: self.agent.beat(),
            reports_after_ms: self.chances % 3 * 1_000,
            acked_seq: self.core.told.inbox.acked,
            desired_rev: Revision(self.core.rev),
            heartbeat_ms: 5_000,
            sent_at: true_wall(self.clock_ms),
        };
        self.hear(Downlink::Welcome(welcome));
    }

    /// Answers one of the last pings.
    fn pong(&mut self, pick: u64) {
        let recent = self.pings.len().saturating_sub(5);
        let recent = &self.pings[recent..];
        if recent.is_empty() || !self.agent.is_met() {
            return;
        }
        let (nonce, sent) = recent[index(pick, recent.len())];
        self.renewed = self.renewed.max(Some(sent));
        let desired_rev = Revision(if pick & 0x100 == 0 { 0 } else { self.core.rev });
        self.hear(Downlink::Pong { nonce, desired_rev, lease: true });
    }

    fn progress(&mut self, pick: u64) {
        let live: Vec<_> = self.agent.live().map(|(id, _)| id).collect();
        if live.is_empty() {
            return;
        }
        let thousandths = u16::try_from(pick >> 50).ok();
        let mark = ProgressMark { thousandths, text: "\u{7}text".to_owned() };
        self.step(Input::Progress { assignment: live[index(pick, live.len())], mark });
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
        let run = self.up[at].clone();
        if pick & 0x100 == 0 {
            self.up.remove(at);
        }
        self.core.take(run);
        if pick & 0x200 == 0 {
            let seq = self.core.told.inbox.acked;
            self.hear(Downlink::Acked { core: CORE, incarnation: INCARNATION, seq });
        }
    }

    fn process_moves(&mut self, pick: u64) {
        let moves = |running: &Running| matches!(running.process, Process::Asked | Process::Runs);
        let moving: Vec<_> =
            self.processes.iter().filter(|(_, it)| moves(it)).map(|(id, it)| (*id, *it)).collect();
        if moving.is_empty() {
            return;
        }
        let (assignment, running) = moving[index(pick, moving.len())];
        let code = (pick >> 16) as i32 % 3;
        let (next, event) = match (running.process, (pick >> 8) % 8) {
            (Process::Asked, 0..=4) => (Process::Runs, ProcessEvent::Started),
            (_, 5) => (Process::Gone, ProcessEvent::Gone),
            // An agent may miss the start of what ends quickly.
            _ => (Process::Ended(code), ProcessEvent::Ended(Box::new(end(code)))),
        };
        if running.process == Process::Asked {
            let first = self.ran.insert((assignment, running.run));
            assert!(first, "run {} of {assignment} ran twice", running.run);
        }
        self.processes.insert(assignment, Running { process: next, ..running });
        self.step(Input::Process { assignment, event });
    }

    /// The faults stop; everything has to come to its end.
    pub fn settle(&mut self) {
        (self.crash, self.dark, self.wall_ahead_ms) = (Crash::No, 0, 0);
        self.step(Input::Measured { load: Load::default(), disk_full: false });
        self.link_up();
        self.welcome();
        self.core.withdraw_all();
        for round in 0..200 {
            self.hear(Downlink::Desired(self.core.desired(self.agent.applied_rev().0)));
            for pick in 0..20 {
                self.process_moves(6 << 8 | pick);
            }
            self.clock_ms += 7_000;
            self.step(Input::Tick);
            self.welcome();
            self.pong(4);
            for run in std::mem::take(&mut self.up) {
                self.core.take(run);
            }
            let seq = self.core.told.inbox.acked;
            self.hear(Downlink::Acked { core: CORE, incarnation: INCARNATION, seq });
            let quiet = self.agent.holds().next().is_none() && self.agent.reports_waiting() == 0;
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

//! One board: its disk, its clocks, its processes under their supervisors, and the agent's process
//! while that is up. Values and small steps; what happens when is the world's business.

use std::collections::{BTreeMap, VecDeque};

use edge_agent_logic::clock::Trust;
use edge_agent_logic::input::ProcessEnd;
use edge_agent_logic::{Agent, Change, Effect, Input};
use shared::id::{AgentId, AssignmentId, Incarnation};
use shared::time::{Monotonic, Now, Timestamp};
use shared::wire::downlink::Order;
use shared::wire::uplink::{Facts, Gone};

use crate::board_life::Snapshot;
use crate::disk::Disk;
use crate::residents::Clock;
use crate::script::Armed;
use crate::watch::Limits;

/// What the folder of an attempt says, and its supervisor.
#[derive(Debug, Clone)]
pub enum Process {
    /// A supervisor was asked for and has not taken the lock.
    Asked,
    /// It runs since then, by the board's clocks.
    Runs { since_ms: u64, wall: Timestamp },
    /// The exit record is on disk.
    Ended(Box<ProcessEnd>),
    /// It was there before a power cut.
    Gone,
}

/// What a supervisor knows of its order's lease.
#[derive(Debug, Clone, Copy)]
pub struct Lease {
    /// How long it lasts from its renewal, and how long before its end the process is asked to
    /// end.
    pub lasts_ms: u64,
    pub grace_ms: u64,
    /// Since when, by the board's monotonic clock.
    pub renewed: u64,
}

impl Lease {
    /// The lease of an order, if it has one, that was renewed at this moment.
    pub fn of(order: &Order, renewed: Option<Monotonic>) -> Option<Self> {
        let (lasts_ms, renewed) = (order.lease_ms?, renewed?.0);
        Some(Self { lasts_ms, grace_ms: order.grace_ms, renewed })
    }

    /// When its supervisor asks the process to end, and when it kills it.
    pub fn ends(&self, margin_ms: u64) -> (Monotonic, Monotonic) {
        let end = self.renewed + self.lasts_ms.saturating_sub(margin_ms);
        (Monotonic(end.saturating_sub(self.grace_ms)), Monotonic(end))
    }
}

/// An attempt's process, as its order made it.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub process: Process,
    /// Which of its runs.
    pub run: u32,
    pub lease: Option<Lease>,
    pub limits: Limits,
    /// Tells this supervisor from one that was kept out before.
    pub token: u64,
    /// Whether the agent's process of now hears of it.
    pub watched: bool,
    pub run_ms: u64,
    pub code: i32,
    pub heeds_term: bool,
}

/// The agent's connection, as the broker and the network see it.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// The last will that the broker holds while the agent is connected.
    pub will: Option<Gone>,
    /// What seals that will.
    pub seal: u64,
    /// Which connection of the agent's process it is.
    pub link: u64,
    /// Tells events about this connection from events about an earlier one.
    pub session: u64,
    /// When a message of the core could last be read on it.
    pub heard_ms: u64,
    pub up_cut: bool,
    pub down_cut: bool,
}

/// A batch that was decided and is not on disk.
#[derive(Debug)]
pub struct Batch {
    pub changes: Vec<Change>,
    pub effects: Vec<Effect>,
    pub crash: Option<Armed>,
    /// The clock when it was decided.
    pub clock: Clock,
    /// How often its commit was tried.
    pub tries: u32,
}

/// One board.
pub struct Board {
    pub id: AgentId,
    /// The number in its agent's name.
    pub number: usize,
    /// Whether it was made of a copy of another's disk.
    pub copy: bool,
    /// What was on its disk some time ago.
    pub snapshot: Option<Snapshot>,
    /// Whether its core has told it that its disk is a copy.
    pub barred: bool,
    /// Whether it will never come back.
    pub retired: bool,
    pub facts: Facts,
    pub disk: Disk,
    pub agent: Option<Agent>,
    /// The nonce that it asks to join with, and that of the credential that it holds.
    pub nonce: Option<u64>,
    pub credential: Option<u64>,
    /// The credential that it goes back to when nobody answers.
    pub former: Option<u64>,
    /// When it may ask to join again.
    pub join_at_ms: u64,
    pub incarnation: Incarnation,
    pub inputs: VecDeque<Input>,
    pub stuck: Option<Batch>,
    pub armed: Option<Armed>,
    pub turn_due: bool,
    pub wake_at: Option<u64>,
    pub attempts: BTreeMap<AssignmentId, Attempt>,
    pub line: Line,
    /// When its agent last heard its core, or started.
    pub heard_ms: u64,
    pub powered: bool,
    pub booted_ms: u64,
    /// What a right wall clock showed when the world began.
    pub epoch_ms: i64,
    /// Which start of its kernel this is.
    pub kernel: u32,
    pub has_clock: bool,
    pub wall_offset_ms: i64,
    pub drift_ppm: i64,
    /// Counts crashes and starts: an event for an earlier process is void.
    pub life: u64,
}

impl Board {
    pub fn new(
        number: usize,
        facts: Facts,
        incarnation: Incarnation,
        disk: Disk,
        epoch_ms: i64,
    ) -> Self {
        Self {
            id: format!("agent-{number}").parse().expect("an id"),
            number,
            copy: false,
            snapshot: None,
            barred: false,
            retired: false,
            facts,
            disk,
            agent: None,
            nonce: None,
            credential: None,
            former: None,
            join_at_ms: 0,
            incarnation,
            inputs: VecDeque::new(),
            stuck: None,
            armed: None,
            turn_due: false,
            wake_at: None,
            attempts: BTreeMap::new(),
            line: Line::default(),
            heard_ms: 0,
            powered: false,
            booted_ms: 0,
            epoch_ms,
            kernel: 0,
            has_clock: true,
            wall_offset_ms: 0,
            drift_ppm: 0,
            life: 0,
        }
    }

    /// What the board's monotonic clock shows: it starts with the board, and runs a little wrong.
    pub fn mono(&self, now_ms: u64) -> Monotonic {
        let elapsed = i64::try_from(now_ms - self.booted_ms).expect("a time");
        let shown = elapsed + elapsed * self.drift_ppm / 1_000_000;
        Monotonic(u64::try_from(shown).expect("elapsed time"))
    }

    /// When the board's monotonic clock shows at least this, in true time.
    pub fn true_ms(&self, at: Monotonic) -> u64 {
        let shown = i128::from(at.0);
        let elapsed = shown * 1_000_000 / (1_000_000 + i128::from(self.drift_ppm)) + 1;
        self.booted_ms.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX / 2))
    }

    pub fn wall(&self, now_ms: u64) -> Timestamp {
        let true_wall = self.epoch_ms + i64::try_from(now_ms).expect("a time");
        Timestamp(true_wall + self.wall_offset_ms)
    }

    pub fn now(&self, now_ms: u64, chance: u64) -> Now {
        Now { wall: self.wall(now_ms), mono: self.mono(now_ms), chance }
    }

    /// Whether its agent believes its wall clock.
    pub fn believes(&self) -> bool {
        self.agent.as_ref().is_some_and(|agent| agent.clock().trust() == Trust::Trusted)
    }

    /// What lies in the folders of attempts on a copy of this disk: whatever ran, ran elsewhere.
    pub fn attempts_elsewhere(&self) -> BTreeMap<AssignmentId, Attempt> {
        let mut attempts = self.attempts.clone();
        for attempt in attempts.values_mut() {
            attempt.watched = false;
            if let Process::Runs { .. } = attempt.process {
                attempt.process = Process::Gone;
            }
        }
        attempts.retain(|_, attempt| !matches!(attempt.process, Process::Asked));
        attempts
    }

    /// The wall clock shows 1970, and counts from there.
    pub fn forget_time(&mut self, now_ms: u64) {
        self.wall_offset_ms = -(self.epoch_ms + i64::try_from(now_ms).expect("a time"));
    }

    /// The agent's process is gone; what it had not written down is gone with it.
    pub fn stop_process(&mut self) {
        self.agent = None;
        self.inputs.clear();
        self.stuck = None;
        self.turn_due = false;
        self.wake_at = None;
        self.life += 1;
        for attempt in self.attempts.values_mut() {
            attempt.watched = false;
        }
    }

    /// The agent has heard from its core: it tells the supervisors of what runs under a lease. A
    /// lease that was over when the ping was sent stays over.
    pub fn renew_leases(&mut self, sent: Monotonic, margin_ms: u64) {
        for attempt in self.attempts.values_mut() {
            if let Some(lease) = &mut attempt.lease
                && sent <= lease.ends(margin_ms).1
            {
                lease.renewed = lease.renewed.max(sent.0);
            }
        }
    }

    /// Nobody answers to its credential: it joins anew.
    pub fn leave_credential(&mut self, now_ms: u64) {
        self.former = self.credential.take();
        self.line.heard_ms = now_ms;
    }

    /// What seals its messages.
    pub fn seal(&self) -> u64 {
        self.credential.unwrap_or(0)
    }

    pub fn is_connected(&self) -> bool {
        self.agent.is_some() && self.line.will.is_some()
    }
}

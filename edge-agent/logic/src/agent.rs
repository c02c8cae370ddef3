//! The state of an agent: what it holds, what is still to be told, how it stands with its core.
//! Made from what a store gives back; changed only by [`Agent::step`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use shared::capacity::Resources;
use shared::id::{
    AssignmentId, Attempt, Boot, CoreId, Incarnation, Revision, ScheduleId, Sequence, Session,
    TaskId,
};
use shared::mailbox::Outbox;
use shared::time::{Monotonic, Now, Timestamp, mix};
use shared::wire::downlink::Order;
use shared::wire::uplink::{Facts, Load};

use crate::attempt::{Live, State, Undecided};
use crate::change::{AttemptRow, EntryKind, Stored};
use crate::clock::{Clock, Trust};
use crate::entries::Entries;
use crate::link::Link;
use crate::planted::planted;
use crate::progress::Progress;
use crate::resident::{Residents, Standing};
use crate::settings::Settings;

/// An attempt in the order in which those that wait are started: higher priority first, then in
/// the order of acceptance.
pub(crate) type Turn = (Reverse<u8>, u64, AssignmentId);

/// How the machine and the process are.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Health {
    /// What was last measured.
    pub load: Load,
    /// Whether the disk is too full to take on new work.
    pub disk_full: bool,
    /// Whether the agent is stopping.
    pub stopping: bool,
}

/// The state of an agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    pub(crate) settings: Settings,
    pub(crate) facts: Facts,
    pub(crate) incarnation: Incarnation,
    pub(crate) boot: Boot,
    /// Drawn anew by each process, so that a copy of this database elsewhere is told apart.
    pub(crate) session: Session,
    pub(crate) core: Option<CoreId>,
    pub(crate) applied_rev: Revision,
    pub(crate) outbox: Outbox,
    pub(crate) entries: Entries,
    /// Every attempt that is not over.
    pub(crate) live: BTreeMap<AssignmentId, Live>,
    /// Those of them that wait for their turn.
    pub(crate) waiting: BTreeSet<Turn>,
    /// What all of them reserve.
    pub(crate) reserved: Resources,
    /// The number of the last acceptance.
    pub(crate) accepted_last: u64,
    /// Every attempt that is over and whose final report is not acknowledged.
    pub(crate) finished: BTreeMap<AssignmentId, Sequence>,
    /// The same by the number of the report.
    pub(crate) finished_by_report: BTreeMap<Sequence, AssignmentId>,
    /// Attempts that had a process when the process before this one ended, and about which
    /// nothing is known yet. Nothing is started while there are any.
    pub(crate) unresolved: BTreeSet<AssignmentId>,
    /// When to act on a running attempt (it timed out) or a stopping one (it does not stop).
    pub(crate) alarms: BTreeMap<AssignmentId, Monotonic>,
    /// Attempts that are not over and run under a lease.
    pub(crate) leased: BTreeSet<AssignmentId>,
    /// Attempts whose run is over while the core cannot be asked what is to follow.
    pub(crate) undecided: BTreeMap<AssignmentId, Undecided>,
    pub(crate) progress: Progress,
    pub(crate) residents: Residents,
    pub(crate) clock: Clock,
    /// What the database says about the clock.
    pub(crate) clock_told: Option<(Trust, Option<i64>)>,
    /// The floor that is on disk.
    pub(crate) floor_saved: Option<Timestamp>,
    /// When what may wait was last written down.
    pub(crate) saved: Monotonic,
    /// When it is next looked for outcomes that were kept for long enough.
    pub(crate) kept_look: Monotonic,
    pub(crate) health: Health,
    pub(crate) link: Link,
}

/// What an agent is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// What its store remembers. `stored.boot` is this start of the process, already on disk.
    pub stored: Stored,
    /// The bounds and times that it decides by.
    pub settings: Settings,
    /// What it is.
    pub facts: Facts,
    /// Which start of the board's kernel this is; the monotonic clock belongs to it.
    pub board: u32,
    /// No right clock has ever shown less to this program.
    pub built_at: Timestamp,
    /// This moment.
    pub now: Now,
}

/// Makes a session's number independent of what else the first moment's chance decides.
const CHANCE_SESSION: u64 = 0x5e55;

fn draw_session(chance: u64) -> Session {
    Session((mix(chance, CHANCE_SESSION) >> 32) as u32)
}

impl Agent {
    /// The agent as its store remembers it. What lies in the folders of attempts that are
    /// [`State::Accepted`] now is left of runs that are over: remove it first. Then follow with
    /// one [`crate::Input::Found`] for each of [`Agent::unresolved`].
    #[must_use]
    pub fn restore(start: Start) -> Self {
        let Start { stored, settings, facts, board, built_at, now } = start;
        let mut agent = Self {
            link: Link::new(stored.link, stored.heard_at, now.mono),
            settings,
            facts,
            incarnation: stored.incarnation,
            boot: stored.boot,
            session: draw_session(now.chance),
            core: stored.core,
            applied_rev: stored.applied_rev,
            entries: Entries::restore(stored.entries, stored.outbox.acked),
            outbox: stored.outbox,
            live: BTreeMap::new(),
            waiting: BTreeSet::new(),
            reserved: Resources::default(),
            accepted_last: 0,
            finished: stored.finished.iter().copied().collect(),
            finished_by_report: stored.finished.iter().map(|(id, seq)| (*seq, *id)).collect(),
            unresolved: BTreeSet::new(),
            alarms: BTreeMap::new(),
            leased: BTreeSet::new(),
            undecided: BTreeMap::new(),
            progress: Progress::default(),
            residents: Residents::restore(stored.residents, stored.dropped, board, now),
            clock: Clock::new(board, built_at, stored.floor),
            clock_told: None,
            floor_saved: stored.floor,
            saved: now.mono,
            kept_look: now.mono,
            health: Health::default(),
        };
        agent.clock.look(now);
        agent.outbox.rewind();
        if planted!(SequenceReused) && agent.outbox.last > agent.outbox.acked {
            agent.outbox.last = Sequence(agent.outbox.last.0 - 1);
        }
        for row in stored.live {
            agent.restore_attempt(row);
        }
        for (seq, entry) in &agent.entries.waiting {
            if let (EntryKind::State, Some(live)) =
                (entry.kind, agent.live.get_mut(&entry.assignment))
            {
                live.told.push(*seq);
            }
        }
        agent
    }

    fn restore_attempt(&mut self, row: AttemptRow) {
        let AttemptRow { id, number, accepted_at, order, schedule, state, runs, progress } = row;
        self.accepted_last = self.accepted_last.max(number);
        self.reserved.add(&order.needs);
        if state.is_active() {
            self.unresolved.insert(id);
        } else {
            self.waiting.insert((Reverse(order.priority), number, id));
        }
        if order.lease_ms.is_some() {
            self.leased.insert(id);
        }
        if let Some(progress) = progress.filter(|_| state.is_active()) {
            self.progress.restore(id, progress);
        }
        let (started, told) = (None, Vec::new());
        if let Some(schedule) = schedule {
            self.residents.began(schedule, id);
        }
        let live = Live { number, accepted_at, order, schedule, state, runs, started, told };
        self.live.insert(id, live);
    }

    /// Attempts of which the driver must find out what became of them, and say so with
    /// [`crate::Input::Found`], before anything is started.
    #[must_use]
    pub fn unresolved(&self) -> Vec<AssignmentId> {
        self.unresolved.iter().copied().collect()
    }

    /// Which database speaks.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Which start of the process this is.
    #[must_use]
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// Which process of that start this is.
    #[must_use]
    pub fn session(&self) -> Session {
        self.session
    }

    /// The core that it last spoke with.
    #[must_use]
    pub fn core(&self) -> Option<CoreId> {
        self.core
    }

    /// The number of its last hello or heartbeat.
    #[must_use]
    pub fn beat(&self) -> u64 {
        self.link.beat
    }

    /// How far desired state is applied.
    #[must_use]
    pub fn applied_rev(&self) -> Revision {
        self.applied_rev
    }

    /// What is numbered, sent and acknowledged of the outbox.
    #[must_use]
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// What the agent is.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the attempts that are not over reserve.
    #[must_use]
    pub fn reserved(&self) -> &Resources {
        &self.reserved
    }

    /// Every attempt that is not over.
    pub fn live(&self) -> impl Iterator<Item = (AssignmentId, State)> + '_ {
        self.live.iter().map(|(id, live)| (*id, live.state))
    }

    /// Every attempt that is remembered: not over, or its end not acknowledged.
    pub fn holds(&self) -> impl Iterator<Item = AssignmentId> + '_ {
        self.live.keys().chain(self.finished.keys()).copied()
    }

    /// Whether an attempt is remembered by more than what was told of its end.
    #[must_use]
    pub fn remembers(&self, id: AssignmentId) -> bool {
        self.live.contains_key(&id) || self.finished.contains_key(&id)
    }

    /// Whether an attempt is remembered at all: held, or over with an outcome that is to be told
    /// or kept. It is never begun a second time then.
    pub(crate) fn knows(&self, id: AssignmentId) -> bool {
        self.remembers(id) || self.entries.outcomes.contains_key(&id)
    }

    /// Every schedule that is held, with its version and how far it has come.
    pub fn schedules(&self) -> impl Iterator<Item = (ScheduleId, u32, &Standing)> + '_ {
        self.residents.held.iter().map(|(id, it)| (*id, it.hold.version, &it.standing))
    }

    /// How many reports wait to be acknowledged.
    #[must_use]
    pub fn reports_waiting(&self) -> usize {
        self.entries.waiting.len()
    }

    /// How many acknowledged outcomes are kept.
    #[must_use]
    pub fn reports_kept(&self) -> usize {
        self.entries.kept.len()
    }

    /// Whether the wall clock is believed.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Whether the core knows this agent on the present connection.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.link.is_met()
    }

    /// When the driver should give [`crate::Input::Tick`], if nothing happens before.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        let alarms = self.alarms.values().copied();
        let disconnects = self.disconnects().map(|(at, _)| at);
        let leases = self.lease_ends().map(|(at, _)| at);
        let decisions = self.undecided.values().map(|it| it.at);
        let decisions = decisions.filter(|_| !self.health.stopping);
        let progress = self.link.is_met().then(|| self.progress.next_wakeup()).flatten();
        let ends = alarms.chain(disconnects).chain(leases).chain(decisions);
        let fires = self.residents.look_at.filter(|_| !self.residents.held.is_empty());
        ends.chain(self.link.next_wakeup()).chain(progress).chain(fires).min()
    }

    /// The attempts that are not to go on without the core, and when they are to be stopped if it
    /// stays unheard.
    pub(crate) fn disconnects(&self) -> impl Iterator<Item = (Monotonic, AssignmentId)> + '_ {
        self.live.iter().filter_map(|(id, live)| {
            let stop_after_ms = live.order.stop_after_ms?;
            let over = self.undecided.contains_key(id);
            let stopping = matches!(live.state, State::Stopping { .. }) && !over;
            (!stopping).then(|| (self.link.heard + stop_after_ms, *id))
        })
    }

    /// When a process under this order's lease is told to end, if nothing renews it. `None` without
    /// a lease, and while no ping was answered.
    pub(crate) fn lease_end(&self, order: &Order) -> Option<Monotonic> {
        let margins_ms = self.settings.lease_margin_ms.saturating_mul(2);
        let before_ms = order.grace_ms.saturating_add(margins_ms);
        let for_ms = order.lease_ms?.saturating_sub(before_ms);
        self.link.renewed.map(|renewed| renewed + for_ms)
    }

    /// The attempts with a process under a lease, and when they are to be stopped.
    pub(crate) fn lease_ends(&self) -> impl Iterator<Item = (Monotonic, AssignmentId)> + '_ {
        self.leased.iter().filter_map(|id| {
            let live = self.live.get(id)?;
            let runs = matches!(live.state, State::Starting { .. } | State::Running { .. });
            let runs = runs && !self.undecided.contains_key(id);
            Some((self.lease_end(&live.order).filter(|_| runs)?, *id))
        })
    }

    /// The attempts of one task that are not over.
    pub(crate) fn attempts_of(&self, task: TaskId) -> impl Iterator<Item = (AssignmentId, &Live)> {
        let first = AssignmentId { task, attempt: Attempt(0) };
        let last = AssignmentId { task, attempt: Attempt(u32::MAX) };
        self.live.range(first..=last).map(|(id, live)| (*id, live))
    }

    /// The most attempts that may have a process at once.
    pub(crate) fn running_max(&self) -> usize {
        let most = self.settings.running_max.unwrap_or(self.facts.tasks_max);
        usize::try_from(most.min(self.facts.tasks_max)).unwrap_or(usize::MAX)
    }
}

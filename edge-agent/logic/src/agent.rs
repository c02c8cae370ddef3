//! The state of an agent: what it holds, what is still to be told, how it stands with its core.
//! Made from what a store gives back; changed only by [`Agent::step`].

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use shared::capacity::Resources;
use shared::id::{AssignmentId, Attempt, Boot, CoreId, Incarnation, Revision, Sequence, TaskId};
use shared::mailbox::Outbox;
use shared::time::{Monotonic, Now};
use shared::wire::uplink::{Facts, Load};

use crate::attempt::{Live, State};
use crate::change::{AttemptRow, Stored};
use crate::link::Link;
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
    pub(crate) core: Option<CoreId>,
    pub(crate) applied_rev: Revision,
    pub(crate) outbox: Outbox,
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
    pub(crate) health: Health,
    pub(crate) link: Link,
}

impl Agent {
    /// The agent as its store remembers it. `stored.boot` is this start of the process, already
    /// on disk. Follow with one [`crate::Input::Found`] for each of [`Agent::unresolved`].
    #[must_use]
    pub fn restore(stored: Stored, settings: Settings, facts: Facts, now: Now) -> Self {
        let mut agent = Self {
            link: Link::new(stored.link, stored.heard_at, now.mono),
            settings,
            facts,
            incarnation: stored.incarnation,
            boot: stored.boot,
            core: stored.core,
            applied_rev: stored.applied_rev,
            outbox: stored.outbox,
            live: BTreeMap::new(),
            waiting: BTreeSet::new(),
            reserved: Resources::default(),
            accepted_last: 0,
            finished: stored.finished.iter().copied().collect(),
            finished_by_report: stored.finished.iter().map(|(id, seq)| (*seq, *id)).collect(),
            unresolved: BTreeSet::new(),
            alarms: BTreeMap::new(),
            health: Health::default(),
        };
        agent.outbox.rewind();
        for row in stored.live {
            agent.restore_attempt(row);
        }
        agent
    }

    fn restore_attempt(&mut self, row: AttemptRow) {
        let AttemptRow { id, number, accepted_at, order, state } = row;
        self.accepted_last = self.accepted_last.max(number);
        self.reserved.add(&order.needs);
        if state.is_active() {
            self.unresolved.insert(id);
        } else {
            self.waiting.insert((Reverse(order.priority), number, id));
        }
        self.live.insert(id, Live { number, accepted_at, order, state });
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

    /// Whether an attempt is remembered.
    #[must_use]
    pub fn remembers(&self, id: AssignmentId) -> bool {
        self.live.contains_key(&id) || self.finished.contains_key(&id)
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
        alarms.chain(disconnects).chain(self.link.next_wakeup()).min()
    }

    /// The attempts that are not to go on without the core, and when they are to be stopped if it
    /// stays unheard.
    pub(crate) fn disconnects(&self) -> impl Iterator<Item = (Monotonic, AssignmentId)> + '_ {
        self.live.iter().filter_map(|(id, live)| {
            let stop_after_ms = live.order.stop_after_ms?;
            let stopping = matches!(live.state, State::Stopping { .. });
            (!stopping).then(|| (self.link.heard + stop_after_ms, *id))
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

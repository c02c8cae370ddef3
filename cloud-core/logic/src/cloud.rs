//! The state of the core: its working set, rebuilt from the store at the start. Settled tasks are
//! not in it. What it says of itself to readers is the fleet, the policy and a few counts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::api::AgentStatus;
use shared::id::{AgentId, AssignmentId, CoreId, TaskId};
use shared::schedule::{TopicFilter, Zones};
use shared::spec::TaskSpec;
use shared::task::TaskState;
use shared::time::{Monotonic, Now, Timestamp};
use shared::trace::{Trace, TraceId};

use crate::change::{AssignmentRow, Stored, TaskLife, TaskRow, Wanted};
use crate::channel::{Channel, Channels};
use crate::firing::Origin;
use crate::fleet::{Agent, Fleet, Signal};
use crate::flow::submit::RecentKeys;
use crate::placement::{Policy, Repack, Repacked, Repacking, Roster, Snapshot};
use crate::planted::planted;
use crate::queue::{Queue, Rank, Spot};
use crate::schedules::{Residents, Schedules};
use crate::settings::Settings;
use crate::specs::Specs;
use crate::timers::{Alarm, Timers};

/// The part of a task's row that is needed to decide. Its labels, its key and its times are kept in
/// the store, and asked for there.
#[derive(Debug, Clone)]
pub(crate) struct LiveRow {
    /// Its name, which its agent is told.
    pub(crate) name: Option<Box<str>>,
    /// What it asks for, without name and labels: one for all tasks that ask for the same.
    pub(crate) spec: Arc<TaskSpec>,
    /// The trace that it came with, if that is not its own.
    pub(crate) trace: Option<Box<Trace>>,
    /// What made it, if nobody submitted it.
    pub(crate) origin: Option<Box<Origin>>,
    /// What changes in its life.
    pub(crate) life: TaskLife,
}

impl LiveRow {
    /// Where the task of this id, which is its own, stands in a trace.
    pub(crate) fn trace(&self, id: TaskId) -> Trace {
        self.trace.as_deref().cloned().unwrap_or_else(|| Trace::of_task(id))
    }

    /// In which trace it is.
    pub(crate) fn trace_id(&self, id: TaskId) -> TraceId {
        self.trace.as_ref().map_or_else(|| TraceId::of_task(id), |trace| trace.id)
    }
}

/// A task that is not settled.
#[derive(Debug, Clone)]
pub(crate) struct Task {
    pub(crate) row: LiveRow,
    /// The attempt that is under way. Most tasks of a large working set have none.
    pub(crate) assignment: Option<Box<AssignmentRow>>,
    /// Earlier attempts that were given up and may come back.
    pub(crate) strays: Vec<AssignmentRow>,
    /// Agents it keeps away from for a while, and until when.
    pub(crate) avoid: Vec<(AgentId, Monotonic)>,
    /// Before when it must not run anywhere, because a copy may still run under its lease.
    pub(crate) hold_until: Option<Monotonic>,
    /// Where in the queue it waits.
    pub(crate) spot: Spot,
}

impl Task {
    pub(crate) fn new(row: &TaskRow, spec: Arc<TaskSpec>, spot: Spot) -> Self {
        let name = row.spec.name.as_deref().map(Box::from);
        Self {
            row: LiveRow {
                name,
                spec,
                trace: row.trace.clone(),
                origin: row.origin.clone(),
                life: row.life.clone(),
            },
            assignment: None,
            strays: Vec::new(),
            avoid: Vec::new(),
            hold_until: None,
            spot,
        }
    }

    /// The row of one of its attempts that are not over.
    pub(crate) fn attempt(&self, id: AssignmentId) -> Option<&AssignmentRow> {
        self.assignment.as_deref().into_iter().chain(&self.strays).find(|row| row.id == id)
    }

    /// The same, to be changed.
    pub(crate) fn attempt_mut(&mut self, id: AssignmentId) -> Option<&mut AssignmentRow> {
        self.assignment.as_deref_mut().into_iter().chain(&mut self.strays).find(|row| row.id == id)
    }

    /// The id of the attempt that is under way.
    pub(crate) fn current(&self) -> Option<AssignmentId> {
        self.assignment.as_deref().map(|row| row.id)
    }
}

/// The core's working set.
#[derive(Debug)]
pub struct Cloud {
    pub(crate) core: CoreId,
    pub(crate) settings: Settings,
    pub(crate) policy: Policy,
    /// Boxed, because half of every node of such a map is room for more.
    pub(crate) tasks: BTreeMap<TaskId, Box<Task>>,
    pub(crate) specs: Specs,
    pub(crate) fleet: Roster,
    pub(crate) channels: Channels,
    pub(crate) queue: Queue,
    pub(crate) timers: Timers,
    pub(crate) keys: RecentKeys,
    pub(crate) schedules: Schedules,
    pub(crate) residents: Residents,
    /// Agents with something to be sent at the end of this step.
    pub(crate) unsent: BTreeSet<AgentId>,
    /// Agents that may take more than before, since the queue last looked.
    pub(crate) freed: BTreeSet<AgentId>,
    /// Tasks that wait before they are tried again.
    pub(crate) backing_off: usize,
    /// Which strays each agent may still hold.
    pub(crate) strays_on: BTreeMap<AgentId, BTreeSet<AssignmentId>>,
    pub(crate) broker_up: bool,
    /// Whether the agents of a restored core are still to say what they hold: nothing is placed
    /// meanwhile.
    pub(crate) recovering: bool,
    /// Until when they have time for that.
    pub(crate) recovered_at: Monotonic,
    /// Up to when the moments at which returning agents send their reports are given away.
    pub(crate) reports_from: Monotonic,
}

/// How much of what there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Tasks that wait for a place.
    pub pending: u64,
    /// Tasks that wait before they are tried again.
    pub backing_off: u64,
    /// Tasks that have a place and do not run yet.
    pub assigned: u64,
    /// Tasks that run.
    pub running: u64,
    /// How long the oldest task that waits for a place has waited, in milliseconds.
    pub oldest_pending_ms: u64,
    /// Agents that can be heard.
    pub agents_online: u64,
    /// Agents whose heartbeats are late.
    pub agents_suspect: u64,
    /// Agents that cannot be heard.
    pub agents_offline: u64,
}

impl Cloud {
    /// The working set of a core that starts with what its store holds. Of the configured policy
    /// and the one that was last put in force, that with the higher version holds; of two with the
    /// same, the latter. `zones` says what time it is where a schedule says so.
    #[must_use]
    pub fn restore(
        stored: Stored,
        settings: Settings,
        policy: Policy,
        zones: Arc<dyn Zones>,
        now: Now,
    ) -> Self {
        let recovery_ms = settings.recovery_ms;
        let put = stored.policy.filter(|put| put.version >= policy.version);
        let policy = put.unwrap_or(policy);
        let mut cloud = Self {
            core: stored.core,
            settings,
            policy,
            tasks: BTreeMap::new(),
            specs: Specs::default(),
            fleet: Roster::default(),
            channels: Channels::new(),
            queue: Queue::default(),
            timers: Timers::default(),
            keys: RecentKeys::default(),
            schedules: Schedules::new(zones),
            residents: Residents::default(),
            unsent: BTreeSet::new(),
            freed: BTreeSet::new(),
            backing_off: 0,
            strays_on: BTreeMap::new(),
            broker_up: false,
            recovering: stored.recovering,
            recovered_at: now.mono + recovery_ms,
            reports_from: now.mono,
        };
        if cloud.recovering {
            cloud.timers.set(Alarm::Recovered, cloud.recovered_at);
        }
        let withheld = stored.agents.iter().filter(|row| row.withheld);
        let withheld: Vec<AgentId> = withheld.map(|row| row.id.clone()).collect();
        let agents = stored.agents.into_iter().map(|row| {
            cloud.channels.insert(row.id.clone(), Channel::restore(&row, now.mono));
            cloud.timers.set(Alarm::Silence(row.id.clone()), now.mono);
            Agent {
                id: row.id,
                facts: row.facts,
                flags: row.flags,
                status: AgentStatus::Suspect,
                signal: Signal::default(),
                used: shared::capacity::Resources::default(),
                assignments: 0,
                last_seen: row.last_seen,
            }
        });
        let fleet: Fleet = agents.collect();
        cloud.fleet = Roster::from(fleet);
        for (agent, row) in stored.wanted {
            if let Some(channel) = cloud.channels.get_mut(&agent) {
                channel.put(row);
            }
        }
        for row in stored.tasks {
            cloud.restore_task(&row, now);
        }
        for row in stored.assignments {
            cloud.restore_assignment(row, now);
        }
        withheld.iter().for_each(|agent| cloud.withhold_lease(agent));
        cloud.restore_schedules(stored.schedules, stored.queued);
        cloud.restore_residents(stored.versions, stored.residents);
        cloud
    }

    fn restore_task(&mut self, row: &TaskRow, now: Now) {
        let id = row.id;
        // A wall clock that was set back meanwhile must not make a wait longer than it was ever to
        // be.
        let remaining = |at: Timestamp, since: Timestamp| {
            let at_most = if planted!(WallTrusted) { u64::MAX } else { at.since_ms(since) };
            now.mono + at.since_ms(now.wall).min(at_most)
        };
        if let Some(at) = row.deadline_at {
            self.timers.set(Alarm::Deadline(id), remaining(at, row.submitted_at));
        }
        let mut spot = Spot::Nowhere;
        match row.life.state {
            TaskState::Queued => spot = self.queue.ready(Rank::of(id, &row.spec)),
            TaskState::BackingOff { until } => {
                self.backing_off += 1;
                self.timers.set(Alarm::BackOff(id), remaining(until, row.life.updated_at));
            }
            TaskState::Stopping { .. } => {
                self.timers.set(Alarm::Stop(id), now.mono + self.settings.stop_timeout_ms());
            }
            TaskState::Assigned { .. } | TaskState::Running { .. } => {}
            TaskState::Settled { .. } => return,
        }
        let mut task = Task::new(row, self.specs.share(&row.spec), spot);
        // When the lease of an earlier copy began nobody remembers; it was before now.
        let (spec, life) = (&task.row.spec, &task.row.life);
        if spec.exclusive && (life.losses > 0 || life.forgotten.is_some()) {
            let over_ms = self.settings.lease_over_ms(spec.disconnect.lost_after_s);
            task.hold_until = Some(now.mono + over_ms);
        }
        self.tasks.insert(id, Box::new(task));
    }

    fn restore_assignment(&mut self, row: AssignmentRow, now: Now) {
        let under_way = |task: &Task| task.row.life.state.attempt() == Some(row.id.attempt);
        let Some(task) = self.tasks.get_mut(&row.id.task) else {
            return;
        };
        let stray = row.state.is_stray();
        if row.state.is_ended() || !(stray || under_way(task)) {
            return;
        }
        if !planted!(ReservationForgotten) {
            self.fleet.reserve(&row.agent, &task.row.spec.needs);
        }
        if stray {
            self.strays_on.entry(row.agent.clone()).or_default().insert(row.id);
            task.strays.push(row);
            return;
        }
        self.fleet.join_groups(&row.agent, &task.row.spec);
        // An agent that was silent before the core stopped is given its time again: how long the
        // core itself was deaf nobody knows.
        if matches!(row.state, shared::assignment::AssignmentState::Unknown { .. }) {
            let lost_after_ms = task.row.spec.disconnect.lost_after_s.saturating_mul(1_000);
            let grace_ms = self.settings.offline_after_beats * self.settings.heartbeat_ms;
            let from = now.mono.max(self.patient_until());
            self.timers.set(Alarm::Lost(row.id.task), from + lost_after_ms.max(grace_ms));
        }
        let offered = now.mono.max(self.patient_until()) + self.settings.offer_timeout_ms;
        self.timers.set(Alarm::Offer(row.id.task), offered);
        if let Some(task) = self.tasks.get_mut(&row.id.task) {
            task.assignment = Some(Box::new(row));
        }
    }

    /// Before when silence loses nothing: the agents of a restored core may hold the outcome of what
    /// it believes under way, and are first to have their time to say so.
    pub(crate) fn patient_until(&self) -> Monotonic {
        if self.recovering { self.recovered_at } else { Monotonic(0) }
    }

    /// Work to be done beside the core, on any thread, when there is some: the index of a large fleet
    /// is packed anew. Decides nothing; what comes of it goes to [`Cloud::end_repack`].
    pub fn begin_repack(&mut self) -> Option<Repack> {
        self.fleet.begin_repack()
    }

    /// Takes what came of that work.
    pub fn end_repack(&mut self, packed: Repacked) -> Repacking {
        self.fleet.end_repack(packed)
    }

    /// Nothing came of it; it is begun anew.
    pub fn abandon_repack(&mut self) {
        self.fleet.abandon_repack();
    }

    /// When to step with a tick, at the latest; a moment that has passed means at once.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        // While agents are waited for, what is ready waits too.
        if !self.recovering && (self.queue.has_ready() || !self.freed.is_empty()) {
            return Some(Monotonic(0));
        }
        if !self.residents.pending.is_empty() {
            return Some(Monotonic(0));
        }
        [self.timers.next(), self.schedules.look_at].into_iter().flatten().min()
    }

    /// The agents.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The agents as they are now, for readers on other threads.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.fleet.snapshot()
    }

    /// Which topics of others schedules listen to, if that may have changed since this was last asked.
    pub fn take_topics(&mut self) -> Option<BTreeSet<TopicFilter>> {
        self.schedules.take_topics()
    }

    /// Whether an operator does not want to hear an agent any more.
    pub(crate) fn is_revoked(&self, agent: &AgentId) -> bool {
        self.fleet.get(agent).is_some_and(|agent| agent.flags.revoked)
    }

    /// The placement policy in force.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Until when nothing is placed because the agents of a restored core have their time to say what
    /// they hold.
    #[must_use]
    pub fn recovering_until(&self) -> Option<Monotonic> {
        self.recovering.then_some(self.recovered_at)
    }

    /// Before when a task must not run anywhere because a copy of it may still run under its lease.
    #[must_use]
    pub fn held_until(&self, task: TaskId) -> Option<Monotonic> {
        self.tasks.get(&task).and_then(|task| task.hold_until)
    }

    /// How much of what there is.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> Counts {
        let mut counts = Counts { pending: self.queue.len() as u64, ..Counts::default() };
        for task in self.tasks.values() {
            match task.row.life.state {
                TaskState::BackingOff { .. } => counts.backing_off += 1,
                TaskState::Assigned { .. } | TaskState::Stopping { running: false, .. } => {
                    counts.assigned += 1;
                }
                TaskState::Running { .. } | TaskState::Stopping { running: true, .. } => {
                    counts.running += 1;
                }
                TaskState::Queued => {
                    let waited_ms = now.since_ms(task.row.life.updated_at);
                    counts.oldest_pending_ms = counts.oldest_pending_ms.max(waited_ms);
                }
                TaskState::Settled { .. } => {}
            }
        }
        for agent in self.fleet.iter() {
            match agent.status {
                AgentStatus::Online => counts.agents_online += 1,
                AgentStatus::Suspect => counts.agents_suspect += 1,
                AgentStatus::Offline => counts.agents_offline += 1,
            }
        }
        counts
    }

    /// Agents a task keeps away from at this moment: those it avoids for a while, and those whose
    /// return decides about a copy that they hold.
    pub(crate) fn avoided(task: &Task, now: Monotonic) -> Vec<AgentId> {
        let avoided = task.avoid.iter().filter(|(_, until)| *until > now).map(|(agent, _)| agent);
        avoided.chain(task.strays.iter().map(|row| &row.agent)).cloned().collect()
    }

    /// What is wanted of an assignment on an agent.
    pub(crate) fn wanted(&self, agent: &AgentId, assignment: AssignmentId) -> Option<Wanted> {
        let channel = self.channels.get(agent)?;
        channel.row(assignment).map(|row| row.wanted)
    }

    /// What a task asks for, if it is not settled; without name and labels.
    #[must_use]
    pub fn spec(&self, task: TaskId) -> Option<Arc<TaskSpec>> {
        self.tasks.get(&task).map(|task| task.row.spec.clone())
    }
}

//! The core's store as a few maps: what every change means, with the promises that a store can
//! see for itself asserted where they would be broken. A batch is committed whole or not at all.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cloud_core_logic::change::{AgentRow, AssignmentRow, TaskLife, TaskRow, WantedRow};
use cloud_core_logic::firing::{FiringResult, FiringRow, ScheduleRow};
use cloud_core_logic::schedules::{ResidentRow, VERSIONS_MAX};
use cloud_core_logic::{Change, Stored};
use shared::assignment::AssignmentState;
use shared::capacity::Resources;
use shared::id::{AgentId, AssignmentId, Attempt, CoreId, ScheduleId, TaskId};
use shared::spec::TaskSpec;
use shared::task::{Outcome, TaskState};
use shared::time::Timestamp;

use crate::coverage::{Coverage, Kind, ending_kind, firing_kind, settled_kind};
use crate::describe;
use crate::failure::ensure;
use crate::moments::Account;

/// The store of a simulated core. A copy of it is a backup.
#[derive(Debug, Clone)]
pub struct Maps {
    core: CoreId,
    pub tasks: BTreeMap<TaskId, TaskRow>,
    pub unsettled: BTreeSet<TaskId>,
    pub assignments: BTreeMap<AssignmentId, AssignmentRow>,
    pub agents: BTreeMap<AgentId, AgentRow>,
    pub wanted: BTreeMap<(AgentId, AssignmentId), WantedRow>,
    pub keys: BTreeMap<String, TaskId>,
    pub schedules: BTreeMap<ScheduleId, ScheduleRow>,
    pub versions: BTreeMap<(ScheduleId, u32), Arc<TaskSpec>>,
    pub residents: BTreeMap<(AgentId, ScheduleId), ResidentRow>,
    /// What became of each moment of a schedule, and of who fired it.
    pub firings: BTreeMap<(ScheduleId, Timestamp, Option<AgentId>), FiringRow>,
    /// What seals the messages of each agent: the nonce that it joined with.
    pub credentials: BTreeMap<AgentId, u64>,
    /// Whether it is a backup whose agents have not had their time to say what they hold.
    pub recovering: bool,
    /// Whether it ever was one.
    put_back: bool,
    /// Tasks that were settled and are not kept any more, as they were: for whoever watches, and for
    /// nobody in the world.
    pruned: BTreeMap<TaskId, TaskRow>,
    /// What became of the moments of schedules: for whoever watches, too.
    pub account: Account,
    /// How many settled tasks are kept.
    settled_max: usize,
}

/// The tasks that a schedule made and that are not settled.
fn made_by<'a>(
    tasks: &'a BTreeMap<TaskId, TaskRow>,
    unsettled: &'a BTreeSet<TaskId>,
    schedule: ScheduleId,
) -> impl Iterator<Item = TaskId> + 'a {
    let its = move |task: &&TaskId| {
        let origin = tasks.get(task).and_then(|row| row.origin.as_ref());
        origin.is_some_and(|origin| origin.schedule == schedule)
    };
    unsettled.iter().filter(its).copied()
}

/// How many settled tasks a store keeps that keeps few.
const SETTLED_FEW: usize = 2;

impl Maps {
    pub fn new(core: CoreId) -> Self {
        Self {
            core,
            tasks: BTreeMap::new(),
            unsettled: BTreeSet::new(),
            assignments: BTreeMap::new(),
            agents: BTreeMap::new(),
            wanted: BTreeMap::new(),
            keys: BTreeMap::new(),
            schedules: BTreeMap::new(),
            versions: BTreeMap::new(),
            residents: BTreeMap::new(),
            firings: BTreeMap::new(),
            credentials: BTreeMap::new(),
            recovering: false,
            put_back: false,
            pruned: BTreeMap::new(),
            account: Account::default(),
            // Every other store, by a chance that is drawn anyway.
            settled_max: if core.0.as_u128() & 1 == 0 { SETTLED_FEW } else { usize::MAX },
        }
    }

    /// A task that was ever taken on, kept or not.
    pub fn known(&self, task: TaskId) -> Option<&TaskRow> {
        self.tasks.get(&task).or_else(|| self.pruned.get(&task))
    }

    /// Takes the oldest settled tasks away when there are too many, with their attempts.
    fn prune(&mut self, coverage: &mut Coverage) {
        let settled = self.tasks.keys().filter(|id| !self.unsettled.contains(id));
        let excess = (self.tasks.len() - self.unsettled.len()).saturating_sub(self.settled_max);
        for id in settled.take(excess).copied().collect::<Vec<_>>() {
            self.assignments.retain(|attempt, _| attempt.task != id);
            self.pruned.extend(self.tasks.remove_entry(&id));
            coverage.count(Kind::Pruned);
        }
    }

    /// A backup becomes the store: in one transaction it gets a new id, and the attempts of its
    /// tasks numbers that none given after the backup can have.
    pub fn restored(mut self, core: CoreId) -> Self {
        self.core = core;
        self.recovering = true;
        self.put_back = true;
        for task in &self.unsettled {
            if let Some(row) = self.tasks.get_mut(task) {
                row.life.restore_from_backup();
            }
        }
        self
    }

    /// Commits a batch that was decided when the wall clock showed this. Outcomes that it recorded
    /// are given back.
    pub fn commit(
        &mut self,
        changes: &[Change],
        wall: Timestamp,
        coverage: &mut Coverage,
    ) -> Vec<(TaskId, Outcome)> {
        let mut outcomes = Vec::new();
        for change in changes {
            self.apply(change, wall, coverage, &mut outcomes);
        }
        let Self { account, tasks, unsettled, .. } = self;
        account.end_batch(|schedule| made_by(tasks, unsettled, schedule).next().is_some());
        self.prune(coverage);
        outcomes
    }

    fn apply(
        &mut self,
        change: &Change,
        wall: Timestamp,
        coverage: &mut Coverage,
        outcomes: &mut Vec<(TaskId, Outcome)>,
    ) {
        let about = match change {
            Change::TaskAdded(row) => Some(row.id),
            Change::TaskMoved { task, .. } => Some(*task),
            Change::AssignmentPut(row) => Some(row.id.task),
            _ => None,
        };
        let gone = about.filter(|task| self.pruned.contains_key(task));
        ensure(gone.is_none(), "what_is_pruned_does_not_come_back", || format!("{change:?}"));
        match change.clone() {
            Change::TaskAdded(row) => self.add_task(*row),
            Change::TaskMoved { task, life } => {
                outcomes.extend(self.move_task(task, *life, coverage));
            }
            Change::AssignmentPut(row) => self.put_assignment(*row, coverage),
            Change::AgentPut(row) => {
                self.agents.insert(row.id.clone(), *row);
            }
            Change::CredentialPut { agent, credential } => {
                let nonce = u64::from_str_radix(&credential.password_hash, 16);
                self.credentials.insert(agent, nonce.expect("a nonce of ours"));
            }
            Change::CredentialRemoved { agent } => {
                self.credentials.remove(&agent);
            }
            Change::InboxMoved { agent, inbox } => {
                let known = &mut self.agents.get_mut(&agent).expect("a known agent").inbox;
                let grows = known.incarnation != inbox.incarnation || known.acked < inbox.acked;
                ensure(grows, "what_was_taken_is_not_taken_again", || {
                    format!("{agent}: {} after {}", inbox.acked, known.acked)
                });
                *known = inbox;
            }
            Change::WantedPut { agent, row } => {
                let known = self.agents.get_mut(&agent).expect("a known agent");
                ensure(row.rev > known.desired_rev, "revisions_only_grow", || format!("{row:?}"));
                known.desired_rev = row.rev;
                self.wanted.insert((agent, row.assignment), row);
            }
            Change::WantedRemoved { agent, assignment } => {
                self.wanted.remove(&(agent, assignment)).expect("a row that was there");
            }
            // Nobody puts a policy in force here.
            Change::PolicyPut(_) => {}
            change @ (Change::SchedulePut(_)
            | Change::ScheduleMoved { .. }
            | Change::ScheduleRemoved { .. }
            | Change::FiringPut(_)
            | Change::ResidentPut { .. }
            | Change::ResidentRemoved { .. }) => {
                coverage.count(self.schedule_kind(&change));
                self.apply_to_schedules(change, wall);
            }
            // What is told follows from the other changes.
            Change::Happened { .. } => {}
            Change::LateReport { .. } => coverage.count(Kind::LateReport),
            Change::Recovered => {
                coverage.count(Kind::Recovered);
                self.recovering = false;
            }
        }
    }

    fn apply_to_schedules(&mut self, change: Change, wall: Timestamp) {
        match change {
            Change::SchedulePut(row) => {
                self.account.put(&row, wall);
                let key = (row.id, row.version);
                self.versions.insert(key, Arc::clone(&row.spec.task));
                self.schedules.insert(row.id, *row);
            }
            Change::ScheduleMoved { schedule, through } => {
                self.account.moved(schedule, through, wall);
                let row = self.schedules.get_mut(&schedule).expect("a schedule that moved");
                ensure(through >= row.through, "what_was_dealt_with_stays_so", String::new);
                row.through = through;
            }
            Change::ResidentPut { agent, row } => {
                let known = self.agents.get_mut(&agent).expect("a known agent");
                known.desired_rev = known.desired_rev.max(row.rev);
                self.residents.insert((agent, row.schedule), row);
            }
            Change::ResidentRemoved { agent, schedule } => {
                self.residents.remove(&(agent, schedule));
            }
            Change::ScheduleRemoved { schedule } => {
                self.account.remove(schedule, wall);
                self.schedules.remove(&schedule);
            }
            Change::FiringPut(row) => self.put_firing(*row, wall),
            _ => {}
        }
    }

    /// What happens to schedules by a change that is one of theirs.
    fn schedule_kind(&self, change: &Change) -> Kind {
        match change {
            Change::SchedulePut(row) => match self.schedules.get(&row.id) {
                None => Kind::ScheduleMade,
                Some(before) if before.version != row.version => Kind::ScheduleChanged,
                Some(_) if row.paused => Kind::ScheduleRests,
                Some(_) => Kind::ScheduleGoesOn,
            },
            Change::ScheduleRemoved { .. } => Kind::ScheduleDeleted,
            Change::FiringPut(row) => firing_kind(row),
            Change::ResidentPut { row, .. } if row.held => Kind::ResidentGiven,
            Change::ResidentPut { .. } => Kind::ResidentTaken,
            _ => Kind::ScheduleMoved,
        }
    }

    fn put_firing(&mut self, row: FiringRow, wall: Timestamp) {
        if let FiringResult::Fired { task } = &row.result {
            self.check_made(*task, &row);
        }
        if row.agent.is_none() {
            let made = made_by(&self.tasks, &self.unsettled, row.schedule);
            let others = made.filter(
                |task| !matches!(row.result, FiringResult::Fired { task: it } if it == *task),
            );
            let others = others.count();
            self.account.firing(&row, others, wall);
        }
        let waits = |row: &FiringRow| matches!(row.result, FiringResult::Queued { .. });
        let key = (row.schedule, row.at, row.agent.clone());
        let before = self.firings.insert(key.clone(), row);
        // An agent whose clock ran ahead goes back, and may pass over a moment again.
        let fired = |row: &FiringRow| matches!(row.result, FiringResult::Fired { .. });
        let may_change =
            |row: &FiringRow| if row.agent.is_some() { !fired(row) } else { waits(row) };
        ensure(before.as_ref().is_none_or(may_change), "a_moment_is_dealt_with_once", || {
            format!("{:?} replaces {before:?}", self.firings[&key])
        });
    }

    /// A task is of the moment and the version of the schedule that made it.
    fn check_made(&self, task: TaskId, row: &FiringRow) {
        let made = self.tasks.get(&task);
        let origin = made.and_then(|made| made.origin.as_ref());
        let of = origin.map(|origin| (origin.schedule, origin.at, origin.version));
        let firing = (row.schedule, row.at, row.version);
        ensure(of == Some(firing), "a_task_is_of_the_moment_that_made_it", || format!("{row:?}"));
        // One that was put back counts versions again, and agents tell of those that it has forgotten.
        let is_sure =
            row.agent.is_none() || (!self.put_back && self.keeps(row.schedule, row.version));
        let version = self.versions.get(&(row.schedule, row.version)).filter(|_| is_sure);
        let run = made.map(|made| &made.spec.run);
        let runs = version.is_none_or(|task| Some(&task.run) == run);
        ensure(runs, "a_firing_runs_what_its_version_says", || format!("{row:?}"));
    }

    /// Whether a version of a schedule is one of the latest, of which a core knows what they make.
    pub fn keeps(&self, schedule: ScheduleId, version: u32) -> bool {
        let later = (schedule, version)..=(schedule, u32::MAX);
        self.versions.range(later).count() <= VERSIONS_MAX
    }

    /// The firings that wait.
    fn queued(&self) -> Vec<FiringRow> {
        let waits = |row: &&FiringRow| matches!(row.result, FiringResult::Queued { .. });
        self.firings.values().filter(waits).cloned().collect()
    }

    fn add_task(&mut self, row: TaskRow) {
        if let Some(key) = &row.key {
            let first = self.keys.insert(key.key.clone(), row.id);
            ensure(first.is_none(), "a_key_makes_one_task", || key.key.clone());
        }
        self.unsettled.insert(row.id);
        let before = self.tasks.insert(row.id, row);
        ensure(before.is_none(), "a_task_is_added_once", String::new);
    }

    /// Moves a task on. Its outcome is given back when it has one now.
    fn move_task(
        &mut self,
        task: TaskId,
        life: TaskLife,
        coverage: &mut Coverage,
    ) -> Option<(TaskId, Outcome)> {
        let row = self.tasks.get_mut(&task).expect("a task that moved was added");
        let settled = row.life.state.status().is_settled();
        ensure(!settled, "a_task_has_one_outcome", || {
            format!("{} moved after it was settled", describe::task(task))
        });
        row.life = life;
        let TaskState::Settled { outcome } = &row.life.state else {
            return None;
        };
        if let Some(kind) = settled_kind(outcome.verdict.status()) {
            coverage.count(kind);
        }
        self.unsettled.remove(&task);
        Some((task, (**outcome).clone()))
    }

    fn put_assignment(&mut self, row: AssignmentRow, coverage: &mut Coverage) {
        let id = row.id;
        let (strays, lives) = (row.state.is_stray(), row.state.progress().is_some());
        if let AssignmentState::Ended { ending, .. } = &row.state {
            coverage.count(ending_kind(ending));
        }
        let before = self.assignments.insert(id, row);
        let strayed = before.as_ref().is_some_and(|before| before.state.is_stray());
        if strays && !strayed {
            coverage.count(Kind::Strayed);
        } else if strayed && lives && !strays {
            coverage.count(Kind::CameBack);
        }
        let ended = before.is_some_and(|before| before.state.is_ended());
        ensure(!ended, "an_attempt_ends_once", || describe::attempt(id));
    }

    pub fn stored(&self) -> Stored {
        let row = |id: &TaskId| self.tasks[id].clone();
        let assignments = self.unsettled.iter().flat_map(|id| self.under_way(*id));
        Stored {
            assignments: assignments.cloned().collect(),
            tasks: self.unsettled.iter().map(row).collect(),
            agents: self.agents.values().cloned().collect(),
            wanted: self.wanted.iter().map(|((agent, _), row)| (agent.clone(), *row)).collect(),
            recovering: self.recovering,
            schedules: self.schedules.values().cloned().collect(),
            versions: self
                .versions
                .iter()
                .filter(|((id, _), _)| self.schedules.contains_key(id))
                .map(|((id, version), task)| (*id, *version, Arc::clone(task)))
                .collect(),
            residents: self
                .residents
                .iter()
                .map(|((agent, _), row)| (agent.clone(), row.clone()))
                .collect(),
            queued: self.queued(),
            ..Stored::empty(self.core)
        }
    }

    /// The attempts of a task that are not over: the one under way, and strays.
    fn under_way(&self, task: TaskId) -> impl Iterator<Item = &AssignmentRow> {
        let first = AssignmentId { task, attempt: Attempt(0) };
        let last = AssignmentId { task, attempt: Attempt(u32::MAX) };
        let rows = self.assignments.range(first..=last).map(|(_, row)| row);
        rows.filter(|row| !row.state.is_ended())
    }

    /// What is reserved on every agent that has anything reserved, by the rows.
    pub fn reserved(&self) -> BTreeMap<AgentId, Resources> {
        let mut sums: BTreeMap<AgentId, Resources> = BTreeMap::new();
        for id in &self.unsettled {
            for row in self.under_way(*id) {
                let sum = match sums.get_mut(&row.agent) {
                    Some(sum) => sum,
                    None => sums.entry(row.agent.clone()).or_default(),
                };
                sum.add(&self.tasks[id].spec.needs);
            }
        }
        sums
    }
}

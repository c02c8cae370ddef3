//! A store in memory, for tests and simulations: the same rules as the one on disk, and nothing
//! survives the process. A reopened copy shares what the first one holds.

mod events;
mod history;
mod logs;
mod schedules;
mod undo;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use cloud_core_logic::change::{
    AgentRow, AssignmentRow, Change, Credential, Stored, TaskLife, TaskRow, WantedRow,
};
use cloud_core_logic::document;
use cloud_core_logic::firing::{FiringRow, ScheduleRow};
use cloud_core_logic::placement::Policy;
use cloud_core_logic::schedules::ResidentRow;
use shared::api::{HistoryDocument, Page, TaskDocument, TaskSummary};
use shared::id::{AgentId, AssignmentId, Attempt, CoreId, ScheduleId, ScheduleName, TaskId};
use shared::mailbox::Inbox;
use shared::spec::TaskSpec;
use shared::time::Timestamp;

use super::history::Pass;
use super::logs::{Shelf, keep_all, prune};
use super::{
    AgentLogs, EventBounds, EventPart, FiringMark, HistoryBounds, HistoryPruned, KeptLogs,
    LATE_REPORTS_MAX, LogBounds, LogPart, LogState, POLICIES_MAX, PlacementInput, Pruned, Reader,
    Store, StoreError, TaskFilter, TextPiece, document::placement_input, firings_page, page_limit,
    page_of, schedule_behind, schedules_page, task_behind,
};
use events::Events;
use logs::Logs;
use schedules::FiringKey;
use undo::Undo;

/// A store in memory. A clone shares the state, as a second look at the same disk would.
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<RwLock<State>>,
}

#[derive(Debug)]
struct State {
    core: CoreId,
    tasks: BTreeMap<TaskId, TaskRow>,
    live: BTreeSet<TaskId>,
    keys: BTreeMap<String, KeptKey>,
    keys_taken: u64,
    assignments: BTreeMap<AssignmentId, AssignmentRow>,
    agents: BTreeMap<AgentId, AgentRow>,
    credentials: BTreeMap<AgentId, Credential>,
    wanted: BTreeMap<(AgentId, AssignmentId), WantedRow>,
    late_reports: BTreeMap<TaskId, Vec<HistoryDocument>>,
    logs: Logs,
    events: Events,
    recovering: bool,
    policy: Option<Policy>,
    policies: BTreeMap<u64, Policy>,
    schedules: BTreeMap<ScheduleId, ScheduleRow>,
    firings: BTreeMap<FiringKey, FiringRow>,
    versions: BTreeMap<(ScheduleId, u32), Arc<TaskSpec>>,
    residents: BTreeMap<(AgentId, ScheduleId), ResidentRow>,
    pass: Pass,
}

/// An idempotency key, which outlives its task.
#[derive(Debug)]
struct KeptKey {
    number: u64,
    task: TaskId,
    body_hash: String,
    taken_at: Timestamp,
}

impl MemoryStore {
    /// A store that was just made, of the core with this id.
    #[must_use]
    pub fn new(core: CoreId) -> Self {
        let state = State {
            core,
            tasks: BTreeMap::new(),
            live: BTreeSet::new(),
            keys: BTreeMap::new(),
            keys_taken: 0,
            assignments: BTreeMap::new(),
            agents: BTreeMap::new(),
            credentials: BTreeMap::new(),
            wanted: BTreeMap::new(),
            late_reports: BTreeMap::new(),
            logs: Logs::default(),
            events: Events::default(),
            recovering: false,
            policy: None,
            policies: BTreeMap::new(),
            schedules: BTreeMap::new(),
            firings: BTreeMap::new(),
            versions: BTreeMap::new(),
            residents: BTreeMap::new(),
            pass: Pass::default(),
        };
        Self { shared: Arc::new(RwLock::new(state)) }
    }

    /// Keeps no more events than these bounds allow.
    #[must_use]
    pub fn with_events(self, bounds: EventBounds) -> Self {
        self.write().events.bounds = bounds;
        self
    }

    /// Does what opening a backup that was put in place does, with the state as it is: it is the
    /// store of another core from now on.
    pub fn put_back(&self, fresh: CoreId) {
        let mut state = self.write();
        (state.core, state.recovering) = (fresh, true);
        for id in state.live.clone() {
            if let Some(row) = state.tasks.get_mut(&id) {
                row.life.restore_from_backup();
            }
        }
    }

    // A panic in a reader leaves the state as it was; the writer undoes what it began.
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.shared.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Stored, StoreError> {
        let state = self.read();
        let tasks: Vec<TaskRow> =
            state.live.iter().filter_map(|id| state.tasks.get(id)).cloned().collect();
        let open = |task: &TaskRow| {
            state.assignments_of(task.id).into_iter().filter(|row| !row.state.is_ended())
        };
        let mut wanted: Vec<(AgentId, WantedRow)> =
            state.wanted.iter().map(|((agent, _), row)| (agent.clone(), *row)).collect();
        wanted.sort_by(|(left, a), (right, b)| {
            (left, a.rev, a.assignment).cmp(&(right, b.rev, b.assignment))
        });
        Ok(Stored {
            core: state.core,
            assignments: tasks.iter().flat_map(open).collect(),
            tasks,
            agents: state.agents.values().cloned().collect(),
            credentials: state
                .credentials
                .iter()
                .map(|(agent, credential)| (agent.clone(), credential.clone()))
                .collect(),
            wanted,
            recovering: state.recovering,
            policy: state.policy.clone(),
            schedules: state.schedules.values().cloned().collect(),
            queued: state.queued_firings(),
            versions: state.stored_versions(),
            residents: state.stored_residents(),
        })
    }

    fn commit(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut state = self.write();
        let mut undo = Undo::default();
        for change in changes {
            if let Err(error) = state.apply(change, &mut undo) {
                undo.run(&mut state);
                return Err(error);
            }
        }
        Ok(())
    }

    fn keep_logs(
        &mut self,
        logs: &[AgentLogs],
        bounds: &LogBounds,
        now: Timestamp,
    ) -> Result<KeptLogs, StoreError> {
        keep_all(&mut *self.write(), logs, bounds, now)
    }

    fn prune_logs(&mut self, bounds: &LogBounds, now: Timestamp) -> Result<Pruned, StoreError> {
        let mut state = self.write();
        let more = prune(&mut *state, bounds, now)?;
        Ok(Pruned { bytes: state.total_cost()?, more })
    }

    fn prune_history(
        &mut self,
        bounds: &HistoryBounds,
        effort: usize,
        now: Timestamp,
    ) -> Result<HistoryPruned, StoreError> {
        let mut state = self.write();
        let mut pass = state.pass;
        let pruned = pass.step(&mut *state, bounds, effort, now)?;
        state.pass = pass;
        Ok(pruned)
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(self.clone())
    }
}

impl State {
    fn apply(&mut self, change: &Change, undo: &mut Undo) -> Result<(), StoreError> {
        match change {
            Change::TaskAdded(row) => self.add_task(row, undo),
            Change::TaskMoved { task, life } => self.move_task(*task, life, undo),
            Change::AssignmentPut(row) => {
                if !self.tasks.contains_key(&row.id.task) {
                    return Err(StoreError::contradiction(format!("{} is of no task", row.id)));
                }
                self.put(|state| &mut state.assignments, row.id, row.as_ref().clone(), undo);
                Ok(())
            }
            Change::AgentPut(row) => {
                self.put(|state| &mut state.agents, row.id.clone(), row.as_ref().clone(), undo);
                Ok(())
            }
            Change::CredentialPut { agent, credential } => {
                self.put(|state| &mut state.credentials, agent.clone(), credential.clone(), undo);
                Ok(())
            }
            Change::CredentialRemoved { agent } => {
                if let Some(credential) = self.credentials.remove(agent) {
                    let agent = agent.clone();
                    undo.0.push(Box::new(move |state| {
                        state.credentials.insert(agent, credential);
                    }));
                }
                Ok(())
            }
            Change::InboxMoved { agent, inbox } => self.move_inbox(agent, *inbox, undo),
            Change::WantedPut { agent, row } => self.put_wanted(agent, *row, undo),
            Change::WantedRemoved { agent, assignment } => {
                let key = (agent.clone(), *assignment);
                if let Some(row) = self.wanted.remove(&key) {
                    undo.0.push(Box::new(move |state| {
                        state.wanted.insert(key, row);
                    }));
                }
                Ok(())
            }
            Change::Recovered => {
                let before = std::mem::take(&mut self.recovering);
                undo.0.push(Box::new(move |state| state.recovering = before));
                Ok(())
            }
            Change::PolicyPut(policy) => {
                self.put_policy(policy, undo);
                Ok(())
            }
            Change::Happened { at, events } => {
                let before = self.events.append(*at, events);
                undo.0.push(Box::new(move |state| state.events.take_back(before)));
                Ok(())
            }
            Change::SchedulePut(_)
            | Change::ScheduleMoved { .. }
            | Change::ScheduleRemoved { .. }
            | Change::FiringPut(_)
            | Change::ResidentPut { .. }
            | Change::ResidentRemoved { .. } => self.apply_to_schedules(change, undo),
            Change::LateReport { task, entry } => {
                self.add_late_report(*task, entry, undo);
                Ok(())
            }
        }
    }

    fn put_policy(&mut self, policy: &Policy, undo: &mut Undo) {
        let before = (self.policy.take(), self.policies.clone());
        undo.0.push(Box::new(move |state| (state.policy, state.policies) = before));
        self.policy = Some(policy.clone());
        self.policies.insert(policy.version, policy.clone());
        while self.policies.len() > POLICIES_MAX {
            self.policies.pop_first();
        }
    }

    fn add_task(&mut self, row: &TaskRow, undo: &mut Undo) -> Result<(), StoreError> {
        if self.tasks.contains_key(&row.id) {
            return Err(StoreError::contradiction(format!("task {} is there already", row.id)));
        }
        if let Some(key) = &row.key {
            if self.keys.contains_key(&key.key) {
                return Err(StoreError::contradiction("an idempotency key is used already"));
            }
            self.keys_taken += 1;
            let kept = KeptKey {
                number: self.keys_taken,
                task: row.id,
                body_hash: key.body_hash.clone(),
                taken_at: row.submitted_at,
            };
            self.put(|state| &mut state.keys, key.key.clone(), kept, undo);
        }
        self.put_task(row.clone(), undo);
        Ok(())
    }

    fn move_task(
        &mut self,
        task: TaskId,
        life: &TaskLife,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        let Some(row) = self.tasks.get(&task) else {
            return Err(StoreError::contradiction(format!("task {task} is not there")));
        };
        if row.life.state.status().is_settled() {
            return Err(StoreError::contradiction(format!("task {task} is settled")));
        }
        let row = TaskRow { life: life.clone(), ..row.clone() };
        self.put_task(row, undo);
        Ok(())
    }

    fn put_task(&mut self, row: TaskRow, undo: &mut Undo) {
        let id = row.id;
        let is_live = !row.life.state.status().is_settled();
        let was_live = self.live.contains(&id);
        self.set_live(id, is_live);
        undo.0.push(Box::new(move |state| state.set_live(id, was_live)));
        self.put(|state| &mut state.tasks, id, row, undo);
    }

    fn set_live(&mut self, id: TaskId, live: bool) {
        if live {
            self.live.insert(id);
        } else {
            self.live.remove(&id);
        }
    }

    fn agent(&self, agent: &AgentId) -> Result<AgentRow, StoreError> {
        let row = self.agents.get(agent).cloned();
        row.ok_or_else(|| StoreError::contradiction(format!("agent {agent} is not there")))
    }

    fn move_inbox(
        &mut self,
        agent: &AgentId,
        inbox: Inbox,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        let row = AgentRow { inbox, ..self.agent(agent)? };
        self.put(|state| &mut state.agents, agent.clone(), row, undo);
        Ok(())
    }

    fn put_wanted(
        &mut self,
        agent: &AgentId,
        row: WantedRow,
        undo: &mut Undo,
    ) -> Result<(), StoreError> {
        let agent_row = AgentRow { desired_rev: row.rev, ..self.agent(agent)? };
        self.put(|state| &mut state.agents, agent.clone(), agent_row, undo);
        self.put(|state| &mut state.wanted, (agent.clone(), row.assignment), row, undo);
        Ok(())
    }

    fn add_late_report(&mut self, task: TaskId, entry: &HistoryDocument, undo: &mut Undo) {
        let reports = self.late_reports.entry(task).or_default();
        let told = |known: &HistoryDocument| {
            known.agent == entry.agent
                && known.attempt == entry.attempt
                && known.event == entry.event
        };
        if reports.len() < LATE_REPORTS_MAX && !reports.iter().any(told) {
            reports.push(entry.clone());
            undo.0.push(Box::new(move |state| {
                state.late_reports.entry(task).or_default().pop();
            }));
        }
    }

    fn assignments_of(&self, task: TaskId) -> Vec<AssignmentRow> {
        let first = AssignmentId { task, attempt: Attempt(0) };
        let last = AssignmentId { task, attempt: Attempt(u32::MAX) };
        self.assignments.range(first..=last).map(|(_, row)| row.clone()).collect()
    }

    fn late_reports_of(&self, task: TaskId) -> Vec<HistoryDocument> {
        self.late_reports.get(&task).cloned().unwrap_or_default()
    }
}

impl Reader for MemoryStore {
    fn task(&self, id: TaskId) -> Result<Option<TaskDocument>, StoreError> {
        let state = self.read();
        Ok(state
            .tasks
            .get(&id)
            .map(|row| document::task(row, &state.assignments_of(id), state.late_reports_of(id))))
    }

    fn tasks(
        &self,
        filter: &TaskFilter,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<TaskSummary>, StoreError> {
        use std::ops::Bound::{Excluded, Unbounded};
        let limit = page_limit(limit);
        let below = task_behind(cursor)?.map_or(Unbounded, Excluded);
        let state = self.read();
        let newest_first = state.tasks.range((Unbounded, below)).rev();
        let found = newest_first.filter(|(_, row)| filter.shows(row));
        Ok(page_of(found.map(|(_, row)| document::summary(row)).take(limit + 1).collect(), limit))
    }

    fn policy(&self, version: u64) -> Result<Option<Policy>, StoreError> {
        Ok(self.read().policies.get(&version).cloned())
    }

    fn schedule(&self, name: &ScheduleName) -> Result<Option<ScheduleRow>, StoreError> {
        Ok(self.read().schedule_named(name).cloned())
    }

    fn schedules(
        &self,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<ScheduleRow>, StoreError> {
        let (limit, behind) = (page_limit(limit), schedule_behind(cursor)?);
        Ok(schedules_page(self.read().schedules_behind(behind.as_deref(), limit + 1), limit))
    }

    fn firings(
        &self,
        schedule: ScheduleId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Page<FiringRow>, StoreError> {
        let (limit, behind) = (page_limit(limit), FiringMark::read(cursor)?);
        let rows = self.read().firings_behind(schedule, behind.as_ref(), limit + 1);
        Ok(firings_page(rows, limit))
    }

    fn task_by_key(&self, key: &str) -> Result<Option<(TaskId, String)>, StoreError> {
        let state = self.read();
        Ok(state.keys.get(key).map(|key| (key.task, key.body_hash.clone())))
    }

    fn late_reports(&self, id: TaskId) -> Result<Vec<HistoryDocument>, StoreError> {
        Ok(self.read().late_reports_of(id))
    }

    fn events(&self, after: u64) -> Result<EventPart, StoreError> {
        Ok(self.read().events.part(after))
    }

    fn newest_event(&self) -> Result<u64, StoreError> {
        Ok(self.read().events.newest())
    }

    fn log_state(&self, task: TaskId) -> Result<Option<LogState>, StoreError> {
        Ok(self.read().log_state(task))
    }

    fn log_part(&self, id: AssignmentId, from: u64) -> Result<LogPart, StoreError> {
        Ok(self.read().log_part(id, from))
    }

    fn log_before(&self, id: AssignmentId, offset: u64) -> Result<Vec<TextPiece>, StoreError> {
        Ok(self.read().log_before(id, offset))
    }

    fn placement_input(&self, id: TaskId) -> Result<Option<PlacementInput>, StoreError> {
        let state = self.read();
        Ok(state.tasks.get(&id).map(|row| {
            let late_reports = state.late_reports_of(id);
            placement_input(row, &state.assignments_of(id), late_reports)
        }))
    }
}

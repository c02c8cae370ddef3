//! The core's store as a few maps: what every change means, with the promises that a store can
//! see for itself asserted where they would be broken. A batch is committed whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use cloud_core_logic::change::{AgentRow, AssignmentRow, TaskRow, WantedRow};
use cloud_core_logic::{Change, Stored};
use shared::assignment::AssignmentState;
use shared::capacity::Resources;
use shared::id::{AgentId, AssignmentId, CoreId, Incarnation, Sequence, TaskId};
use shared::task::{Outcome, TaskState};

use crate::coverage::{Coverage, Kind, ending_kind, settled_kind};
use crate::describe;
use crate::failure::ensure;

/// The store of a simulated core.
#[derive(Debug)]
pub struct Maps {
    core: CoreId,
    pub tasks: BTreeMap<TaskId, TaskRow>,
    pub unsettled: BTreeSet<TaskId>,
    pub assignments: BTreeMap<AssignmentId, AssignmentRow>,
    pub agents: BTreeMap<AgentId, AgentRow>,
    pub wanted: BTreeMap<(AgentId, AssignmentId), WantedRow>,
    pub keys: BTreeMap<String, TaskId>,
    /// How far reports of each incarnation were ever taken.
    pub taken: BTreeMap<Incarnation, Sequence>,
}

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
            taken: BTreeMap::new(),
        }
    }

    /// Commits a batch. Outcomes that it recorded are given back.
    pub fn commit(
        &mut self,
        changes: &[Change],
        coverage: &mut Coverage,
    ) -> Vec<(TaskId, Outcome)> {
        let mut outcomes = Vec::new();
        for change in changes {
            self.apply(change, coverage, &mut outcomes);
        }
        outcomes
    }

    fn apply(
        &mut self,
        change: &Change,
        coverage: &mut Coverage,
        outcomes: &mut Vec<(TaskId, Outcome)>,
    ) {
        match change.clone() {
            Change::TaskAdded(row) => {
                if let Some(key) = &row.key {
                    let first = self.keys.insert(key.key.clone(), row.id);
                    ensure(first.is_none(), "a_key_makes_one_task", || key.key.clone());
                }
                self.unsettled.insert(row.id);
                let before = self.tasks.insert(row.id, *row);
                ensure(before.is_none(), "a_task_is_added_once", String::new);
            }
            Change::TaskMoved { task, life } => {
                let row = self.tasks.get_mut(&task).expect("a task that moved was added");
                let settled = row.life.state.status().is_settled();
                ensure(!settled, "a_task_has_one_outcome", || {
                    format!("{} moved after it was settled", describe::task(task))
                });
                if let TaskState::Settled { outcome } = &life.state {
                    if let Some(kind) = settled_kind(outcome.verdict.status()) {
                        coverage.count(kind);
                    }
                    self.unsettled.remove(&task);
                    outcomes.push((task, (**outcome).clone()));
                }
                row.life = *life;
            }
            Change::AssignmentPut(row) => {
                if let AssignmentState::Ended { ending, .. } = &row.state {
                    coverage.count(ending_kind(ending));
                }
                let id = row.id;
                let before = self.assignments.insert(id, *row);
                let ended = before.is_some_and(|before| before.state.is_ended());
                ensure(!ended, "an_attempt_ends_once", || describe::attempt(id));
            }
            Change::AgentPut(row) => {
                self.agents.insert(row.id.clone(), *row);
            }
            Change::CredentialPut { .. } | Change::Recovered => {}
            Change::InboxMoved { agent, inbox } => {
                self.agents.get_mut(&agent).expect("a known agent").inbox = inbox;
                let taken = self.taken.entry(inbox.incarnation).or_default();
                *taken = (*taken).max(inbox.acked);
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
            Change::LateReport { .. } => coverage.count(Kind::LateReport),
        }
    }

    pub fn stored(&self) -> Stored {
        let row = |id: &TaskId| self.tasks[id].clone();
        let tasks: Vec<TaskRow> = self.unsettled.iter().map(row).collect();
        Stored {
            assignments: tasks.iter().filter_map(|row| self.latest(row)).cloned().collect(),
            tasks,
            agents: self.agents.values().cloned().collect(),
            wanted: self.wanted.iter().map(|((agent, _), row)| (agent.clone(), *row)).collect(),
            ..Stored::empty(self.core)
        }
    }

    fn latest(&self, row: &TaskRow) -> Option<&AssignmentRow> {
        self.assignments.get(&AssignmentId { task: row.id, attempt: row.life.attempt })
    }

    /// What is reserved on every agent that has anything reserved, by the rows.
    pub fn reserved(&self) -> BTreeMap<AgentId, Resources> {
        let mut sums: BTreeMap<AgentId, Resources> = BTreeMap::new();
        for id in &self.unsettled {
            let task = &self.tasks[id];
            let live = self.latest(task).filter(|row| !row.state.is_ended());
            if let Some(row) = live {
                sums.entry(row.agent.clone()).or_default().add(&task.spec.needs);
            }
        }
        sums
    }
}

//! The meaning of changes, in maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use cloud_core_logic::change::{AgentRow, AssignmentRow, TaskRow, WantedRow};
use cloud_core_logic::firing::{FiringResult, FiringRow, ScheduleRow};
use cloud_core_logic::schedules::ResidentRow;
use cloud_core_logic::{Change, Stored};
use shared::api::HistoryDocument;
use shared::id::{AgentId, AssignmentId, ScheduleId, TaskId};
use shared::spec::TaskSpec;
use shared::time::Timestamp;

use super::CORE;

/// The meaning of changes, in maps.
#[derive(Debug, Clone, Default)]
pub struct Maps {
    pub tasks: BTreeMap<TaskId, TaskRow>,
    pub assignments: BTreeMap<AssignmentId, AssignmentRow>,
    pub agents: BTreeMap<AgentId, AgentRow>,
    pub wanted: BTreeMap<(AgentId, AssignmentId), WantedRow>,
    pub late: Vec<(TaskId, HistoryDocument)>,
    pub schedules: BTreeMap<ScheduleId, ScheduleRow>,
    pub versions: BTreeMap<(ScheduleId, u32), Arc<TaskSpec>>,
    pub residents: BTreeMap<(AgentId, ScheduleId), ResidentRow>,
    pub firings: BTreeMap<(ScheduleId, Timestamp, Option<AgentId>), FiringRow>,
    pub recovering: bool,
}

impl Maps {
    pub fn apply(&mut self, change: &Change) {
        match change.clone() {
            Change::TaskAdded(row) => {
                assert!(self.tasks.insert(row.id, *row).is_none(), "a task was added twice");
            }
            Change::TaskMoved { task, life } => {
                let row = self.tasks.get_mut(&task).expect("a task that moved was added");
                let settled = row.life.state.status().is_settled();
                assert!(!settled, "{task} moved after it was settled");
                row.life = *life;
            }
            Change::AssignmentPut(row) => {
                self.assignments.insert(row.id, *row);
            }
            Change::AgentPut(row) => {
                self.agents.insert(row.id.clone(), *row);
            }
            Change::CredentialPut { .. } | Change::CredentialRemoved { .. } => {}
            Change::InboxMoved { agent, inbox } => {
                self.agents.get_mut(&agent).expect("a known agent").inbox = inbox;
            }
            Change::WantedPut { agent, row } => {
                let known = self.agents.get_mut(&agent).expect("a known agent");
                assert!(row.rev > known.desired_rev, "revisions only grow");
                known.desired_rev = row.rev;
                self.wanted.insert((agent, row.assignment), row);
            }
            Change::WantedRemoved { agent, assignment } => {
                self.wanted.remove(&(agent, assignment)).expect("a row that was there");
            }
            Change::Recovered => self.recovering = false,
            Change::PolicyPut(_) => {}
            Change::SchedulePut(row) => {
                let key = (row.id, row.version);
                self.versions.insert(key, Arc::clone(&row.spec.task));
                self.schedules.insert(row.id, *row);
            }
            Change::ScheduleMoved { schedule, through } => {
                self.schedules.get_mut(&schedule).expect("a known schedule").through = through;
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
                self.schedules.remove(&schedule).expect("a known schedule");
            }
            Change::FiringPut(row) => {
                let before = self.firings.insert((row.schedule, row.at, row.agent.clone()), *row);
                let waited =
                    before.is_none_or(|row| matches!(row.result, FiringResult::Queued { .. }));
                assert!(waited, "a moment was dealt with twice");
            }
            Change::Happened { .. } => {}
            Change::LateReport { task, entry } => self.late.push((task, *entry)),
        }
    }

    /// What a store does when it is opened as a backup that was put back.
    pub fn restore_from_backup(&mut self) {
        self.recovering = true;
        let live = |row: &&mut TaskRow| !row.life.state.status().is_settled();
        self.tasks.values_mut().filter(live).for_each(|row| row.life.restore_from_backup());
    }

    pub fn stored(&self) -> Stored {
        let live = |row: &&TaskRow| !row.life.state.status().is_settled();
        let tasks: Vec<TaskRow> = self.tasks.values().filter(live).cloned().collect();
        let open = |row: &TaskRow| {
            let of_task = self.assignments.values().filter({
                let id = row.id;
                move |assignment| assignment.id.task == id && !assignment.state.is_ended()
            });
            of_task.cloned().collect::<Vec<_>>()
        };
        Stored {
            assignments: tasks.iter().flat_map(open).collect(),
            tasks,
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
            queued: self
                .firings
                .values()
                .filter(|row| matches!(row.result, FiringResult::Queued { .. }))
                .cloned()
                .collect(),
            ..Stored::empty(CORE)
        }
    }
}

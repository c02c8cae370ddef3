//! Which changes of a transaction count. Many of them are made void by later ones of the same: of a
//! hundred words of progress about one attempt the last is the row, and a task that was taken on,
//! placed and settled between two commits needs to be written once. What contradicts the store is
//! refused all the same.

use std::collections::HashMap;

use cloud_core_logic::change::{Change, TaskLife, TaskRow};
use shared::id::{AgentId, AssignmentId, TaskId};

/// What a transaction says of a task.
#[derive(Default)]
struct Moves<'a> {
    added: bool,
    last: Option<(usize, &'a TaskLife)>,
    settled: bool,
    /// Whether they do not fit one another, and are to be refused one by one.
    is_odd: bool,
}

/// The last word about each thing.
#[derive(Default)]
pub(super) struct LastWords<'a> {
    tasks: HashMap<TaskId, Moves<'a>>,
    assignments: HashMap<AssignmentId, usize>,
    inboxes: HashMap<&'a AgentId, usize>,
    revisions: HashMap<&'a AgentId, usize>,
}

impl<'a> LastWords<'a> {
    pub(super) fn of(changes: &'a [Change]) -> Self {
        let mut words = Self::default();
        // Where nothing moves, which is most transactions of a core that takes tasks on, there is
        // nothing to find out.
        if changes
            .iter()
            .all(|change| matches!(change, Change::TaskAdded(_) | Change::Happened { .. }))
        {
            return words;
        }
        for (index, change) in changes.iter().enumerate() {
            match change {
                Change::TaskAdded(row) => {
                    let moves = words.tasks.entry(row.id).or_default();
                    moves.is_odd |= moves.added || moves.last.is_some();
                    moves.added = true;
                }
                Change::TaskMoved { task, life } => {
                    let moves = words.tasks.entry(*task).or_default();
                    // Whatever follows an outcome.
                    moves.is_odd |= moves.settled;
                    moves.settled |= life.state.status().is_settled();
                    moves.last = Some((index, life));
                }
                Change::AssignmentPut(row) => drop(words.assignments.insert(row.id, index)),
                Change::InboxMoved { agent, .. } => drop(words.inboxes.insert(agent, index)),
                Change::WantedPut { agent, .. } => drop(words.revisions.insert(agent, index)),
                _ => {}
            }
        }
        words
    }

    /// The life to add a task with.
    pub(super) fn life_of<'b>(&'b self, row: &'b TaskRow) -> &'b TaskLife {
        match self.tasks.get(&row.id) {
            Some(Moves { is_odd: false, last: Some((_, life)), .. }) => life,
            _ => &row.life,
        }
    }

    /// Whether this move of a task is to be written.
    pub(super) fn is_move(&self, task: TaskId, index: usize) -> bool {
        match self.tasks.get(&task) {
            Some(moves) if !moves.is_odd => {
                !moves.added && moves.last.is_some_and(|(last, _)| last == index)
            }
            _ => true,
        }
    }

    /// Whether this row of an assignment is to be written.
    pub(super) fn is_row(&self, id: AssignmentId, index: usize) -> bool {
        self.assignments.get(&id) == Some(&index)
    }

    /// Whether this is how far an agent's reports are taken in the end.
    pub(super) fn is_inbox(&self, agent: &AgentId, index: usize) -> bool {
        self.inboxes.get(agent) == Some(&index)
    }

    /// Whether this row of desired state has the agent's last revision.
    pub(super) fn is_revision(&self, agent: &AgentId, index: usize) -> bool {
        self.revisions.get(agent) == Some(&index)
    }
}

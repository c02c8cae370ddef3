//! Random changes that a core could make, and the claim that two stores fed with the same ones
//! cannot be told apart.

use std::collections::{BTreeMap, BTreeSet};

use cloud_core_logic::change::{AgentRow, AssignmentRow, Change, TaskLife, TaskRow};
use proptest::prelude::*;
use shared::assignment::{AssignmentState, Ending};
use shared::id::{Incarnation, Sequence, TaskId};
use shared::mailbox::Inbox;
use shared::report::StopReason;
use shared::task::{TaskState, TaskStatus};
use shared::time::Timestamp;
use uuid::Uuid;

use super::sample::{
    agent_id, agent_row, assignment_row, credential, finish, history, key, settled, task_id,
    task_row, wanted,
};
use crate::store::{HistoryBounds, Reader, Store, TaskFilter};

/// A move of the script: what kind, about which task, which agent, and how.
pub type Move = (u8, u8, u8, u8);

/// Batches of moves.
pub fn batches() -> impl Strategy<Value = Vec<Vec<Move>>> {
    let one = (0_u8..12, 0_u8..10, 0_u8..4, any::<u8>());
    prop::collection::vec(prop::collection::vec(one, 0..12), 1..8)
}

const AGENTS: [&str; 4] = ["a", "B", "a.1", "z_2"];

/// Knows just enough to make only changes that fit what went before.
#[derive(Default)]
struct Script {
    tasks: BTreeMap<TaskId, TaskRow>,
    agents: BTreeMap<usize, AgentRow>,
    rev: u64,
    /// Tasks that were settled and are not kept any more.
    pruned: BTreeSet<TaskId>,
}

impl Script {
    fn play(&mut self, (kind, task, agent, how): Move) -> Option<Change> {
        // Numbers that do not come in order, so that an order is made by the store.
        let number = u128::from(task) * 7 % 10 + 1;
        let at = usize::from(agent);
        let name = AGENTS[at];
        match kind {
            0..=2 => self.add_task(number, name, how),
            3..=6 => self.move_task(number, name, how),
            7 => {
                self.tasks.get(&task_id(number))?;
                Some(Change::AssignmentPut(Box::new(assignment(number, name, how))))
            }
            8 => {
                let mut row = agent_row(name);
                row.flags.cordoned = how.is_multiple_of(2);
                row.boot.0 = u64::from(how) << 56;
                row.last_seen = (how > 9).then_some(Timestamp(i64::from(how)));
                self.agents.insert(at, row.clone());
                Some(Change::AgentPut(Box::new(row)))
            }
            9 => self.about_agent(number, at, how),
            10 => {
                Some(Change::CredentialPut { agent: agent_id(name), credential: credential(how) })
            }
            _ => Some(Change::LateReport {
                task: task_id(number),
                entry: Box::new(history(name, u32::from(how % 2), i32::from(how % 3))),
            }),
        }
    }

    fn add_task(&mut self, number: u128, name: &str, how: u8) -> Option<Change> {
        let mut row = task_row(number);
        if self.tasks.contains_key(&row.id) || self.pruned.contains(&row.id) {
            return None;
        }
        let mut spec = (*row.spec).clone();
        spec.name = (!how.is_multiple_of(3)).then(|| name.to_owned());
        for label in 0..how % 4 {
            spec.labels.insert(format!("k{label}"), format!("v{}", how % 2));
        }
        row.spec = spec.into();
        row.key = key(&format!("key {number}")).filter(|_| how.is_multiple_of(2));
        row.deadline_at = (how > 100).then_some(Timestamp(i64::from(how)));
        self.tasks.insert(row.id, row.clone());
        Some(Change::TaskAdded(Box::new(row)))
    }

    fn move_task(&mut self, number: u128, name: &str, how: u8) -> Option<Change> {
        let row = self.tasks.get_mut(&task_id(number))?;
        let mut life = row.life.clone();
        let attempt = life.attempt.next();
        let legal = match how % 7 {
            0 | 1 => life.state.assign(attempt).map(|()| life.attempt = attempt),
            2 => life.state.start(),
            3 => life.state.stop(StopReason::Canceled).map(drop),
            4 => life.state.try_again(Some(Timestamp(i64::from(how)))),
            5 => life.state.queue_again(),
            _ => {
                let ended = settled(life.attempt.0, name, i32::from(how % 2));
                match ended.state {
                    TaskState::Settled { outcome } => life.state.settle(*outcome),
                    _ => return None,
                }
            }
        };
        legal.ok()?;
        let agent = (!how.is_multiple_of(5)).then(|| agent_id(name));
        row.life = TaskLife { agent, failures: u32::from(how), ..life };
        Some(Change::TaskMoved { task: row.id, life: Box::new(row.life.clone()) })
    }

    /// Knows no more of what a store has taken away.
    fn forget(&mut self, reader: &dyn Reader) {
        let (tasks, pruned) = (&mut self.tasks, &mut self.pruned);
        tasks.retain(|id, _| {
            let kept = reader.task(*id).expect("read").is_some();
            if !kept {
                pruned.insert(*id);
            }
            kept
        });
    }

    fn about_agent(&mut self, number: u128, at: usize, how: u8) -> Option<Change> {
        self.agents.get(&at)?;
        let agent = agent_id(AGENTS[at]);
        self.rev += 1;
        let row = wanted(number, u32::from(how % 2), self.rev);
        Some(match how % 4 {
            0 | 1 => Change::WantedPut { agent, row },
            2 => Change::WantedRemoved { agent, assignment: row.assignment },
            _ => {
                let incarnation = Incarnation(Uuid::from_u128(u128::from(how)));
                let inbox = Inbox { incarnation, acked: Sequence(self.rev) };
                Change::InboxMoved { agent, inbox }
            }
        })
    }
}

fn assignment(number: u128, name: &str, how: u8) -> AssignmentRow {
    let mut row = assignment_row(number, u32::from(how % 4), name);
    row.started_at = (how > 50).then_some(Timestamp(i64::from(how)));
    if how.is_multiple_of(3) {
        let ending = Ending::Finished(Box::new(finish(i32::from(how))));
        row.state = AssignmentState::Ended { at: Timestamp(5), ending };
    }
    row
}

fn filters() -> Vec<TaskFilter> {
    let none = TaskFilter::default;
    let mut filters = vec![none()];
    filters
        .extend(TaskStatus::ALL.map(|(_, status)| TaskFilter { status: Some(status), ..none() }));
    for name in AGENTS {
        let agent = Some(agent_id(name));
        let pending = Some(TaskStatus::Pending);
        filters.push(TaskFilter { agent: agent.clone(), ..none() });
        filters.push(TaskFilter { name: Some(name.to_owned()), ..none() });
        filters.push(TaskFilter { name: Some(name.to_owned()), status: pending, ..none() });
        let label = Some(("k0".to_owned(), Some("v1".to_owned())));
        filters.push(TaskFilter { label, agent, ..none() });
    }
    filters.push(TaskFilter { label: Some(("k1".to_owned(), None)), ..none() });
    filters
}

/// Lets both take away what is too much, and now and then what is too old.
fn prune_alike(
    left: &mut dyn Store,
    right: &mut dyn Store,
    round: usize,
) -> Result<(), TestCaseError> {
    let bounds = HistoryBounds {
        count_max: 2,
        keep_hours: if round % 3 == 2 { 0 } else { 1 },
        keys_count_max: 1,
        keys_keep_hours: 1,
    };
    // Behind the time at which samples are settled, before that of late reports.
    let now = Timestamp(3_500);
    let one = left.prune_history(&bounds, 3, now).expect("pruned");
    prop_assert_eq!(one, right.prune_history(&bounds, 3, now).expect("pruned"));
    Ok(())
}

/// Feeds both stores the same batches and compares all that can be read of them after each.
///
/// # Errors
/// When they differ.
pub fn alike(
    left: &mut dyn Store,
    right: &mut dyn Store,
    batches: Vec<Vec<Move>>,
) -> Result<(), TestCaseError> {
    let mut script = Script::default();
    for (round, moves) in batches.into_iter().enumerate() {
        let changes: Vec<Change> = moves.into_iter().filter_map(|step| script.play(step)).collect();
        let taken = (left.commit(&changes).is_ok(), right.commit(&changes).is_ok());
        prop_assert_eq!(taken, (true, true));
        prune_alike(left, right, round)?;
        script.forget(&*left.reader());
        prop_assert_eq!(left.load().expect("load"), right.load().expect("load"));
        let (left, right) = (left.reader(), right.reader());
        for number in 0..12 {
            let id = task_id(number);
            prop_assert_eq!(left.task(id).expect("read"), right.task(id).expect("read"));
            let input = left.placement_input(id).expect("read");
            prop_assert_eq!(input, right.placement_input(id).expect("read"));
            let key = format!("key {number}");
            let found = left.task_by_key(&key).expect("read");
            prop_assert_eq!(found, right.task_by_key(&key).expect("read"));
        }
        for filter in filters() {
            let mut cursor: Option<String> = None;
            loop {
                let page = left.tasks(&filter, 2, cursor.as_deref()).expect("page");
                prop_assert_eq!(&page, &right.tasks(&filter, 2, cursor.as_deref()).expect("page"));
                cursor = page.next_cursor;
                if cursor.is_none() {
                    break;
                }
            }
        }
    }
    Ok(())
}

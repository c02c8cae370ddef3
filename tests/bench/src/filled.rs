//! A store with a history: made once by the core's own code, copied for each core that begins with
//! it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ::tests::Scratch;
use cloud_core::store::{SqliteStore, Store};
use cloud_core_logic::change::{AssignmentRow, Change, Placed, TaskLife, TaskRow};
use shared::assignment::{AssignmentState, Ending};
use shared::id::{AgentId, AssignmentId, Attempt, CoreId, TaskId};
use shared::report::{End, Finish, Output};
use shared::spec::{TaskSpec, parse};
use shared::task::{Outcome, TaskState, Verdict};
use shared_runtime::clock::{Clock, new_uuid_v4, new_uuid_v7};

use crate::{knob, sample};

/// Changes in one transaction.
const TASKS_TOGETHER: u64 = 2_000;
/// How many agents the history knows.
const AGENTS: u64 = 50;
const FILE: &str = "core.db";

/// The store that was made, until [`forget`] takes it away.
static MADE: Mutex<Option<Scratch>> = Mutex::new(None);

/// How many settled tasks a history has.
pub fn settled() -> u64 {
    knob::number("AMBIT_BENCH_SETTLED_TASKS", 1_000_000)
}

/// Lays a store with that history into a core's data folder, and these tasks that wait.
///
/// # Panics
/// When it cannot be made.
pub fn lay(data: &Path, pending: u64) {
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    let original = made.get_or_insert_with(make).join(FILE);
    shared_runtime::disk::create_private_folder(data).expect("a data folder");
    let copy = data.join(FILE);
    fs::copy(&original, &copy).expect("a copy of the store");
    if pending > 0 {
        let mut store = open(&copy);
        write(&mut store, pending, |task, _| vec![Change::TaskAdded(Box::new(task))]);
    }
}

/// Takes the original away.
pub fn forget() {
    MADE.lock().unwrap_or_else(PoisonError::into_inner).take();
}

fn make() -> Scratch {
    let scratch = Scratch::new();
    let path: PathBuf = scratch.join(FILE);
    let mut store = open(&path);
    write(&mut store, settled(), history);
    // Closing the last connection moves the log into the file.
    drop(store);
    scratch
}

fn open(path: &Path) -> SqliteStore {
    let now = Clock::new().now().wall;
    SqliteStore::open(path, CoreId(new_uuid_v4()), now).expect("a store")
}

fn write(store: &mut SqliteStore, count: u64, changes: fn(TaskRow, u64) -> Vec<Change>) {
    let clock = Clock::new();
    let mut number = 0;
    while number < count {
        let upto = count.min(number + TASKS_TOGETHER);
        let now = clock.now();
        let rows = (number..upto).map(|number| {
            let spec = Arc::new(spec(number));
            let (id, life) = (TaskId(new_uuid_v7(&now)), TaskLife::new(now.wall));
            let row = TaskRow {
                id,
                spec,
                key: None,
                submitted_at: now.wall,
                deadline_at: None,
                trace: None,
                origin: None,
                life,
            };
            changes(row, number)
        });
        let rows: Vec<Change> = rows.flatten().collect();
        store.commit(&rows).expect("committed");
        number = upto;
    }
}

fn spec(number: u64) -> TaskSpec {
    parse(&sample::task(number)).expect("a task of ours is right")
}

/// What a task leaves behind that one of the agents has done.
fn history(row: TaskRow, number: u64) -> Vec<Change> {
    let agent: AgentId = format!("agent-{}", number % AGENTS).parse().expect("an id");
    let (task, at, attempt) = (row.id, row.submitted_at, Attempt(1));
    let finish = Finish {
        end: End::Exited { code: 0 },
        started_at: Some(at),
        ran_ms: Some(number % 10_000),
        output: Output { stdout_tail: "ok\n".to_owned(), ..Output::default() },
    };
    let outcome = Outcome {
        verdict: Verdict::Succeeded,
        at,
        attempt: Some(attempt),
        finish: Some(Box::new(finish.clone())),
        detail: String::new(),
    };
    let state = TaskState::Settled { outcome: Box::new(outcome) };
    let life = TaskLife { state, attempt, agent: Some(agent.clone()), ..row.life.clone() };
    let assignment = AssignmentRow {
        id: AssignmentId { task, attempt },
        agent,
        placed: Placed::forgotten(),
        offered_at: at,
        accepted_at: Some(at),
        started_at: Some(at),
        state: AssignmentState::Ended { at, ending: Ending::Finished(Box::new(finish)) },
        progress: None,
        retries: 0,
    };
    vec![
        Change::TaskAdded(Box::new(row)),
        Change::AssignmentPut(Box::new(assignment)),
        Change::TaskMoved { task, life: Box::new(life) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_there_and_what_is_settled_is_not_in_the_working_set() {
        let scratch = Scratch::new();
        let path = scratch.join(FILE);
        let mut store = open(&path);
        write(&mut store, 30, history);
        write(&mut store, 7, |task, _| vec![Change::TaskAdded(Box::new(task))]);
        let stored = store.load().expect("it loads");
        assert_eq!((stored.tasks.len(), stored.assignments.len()), (7, 0));
        let page = store.reader().tasks(&Default::default(), 100, None).expect("a page");
        let settled = page.items.iter().filter(|task| task.status.is_settled()).count();
        assert_eq!(settled, 30);
    }
}

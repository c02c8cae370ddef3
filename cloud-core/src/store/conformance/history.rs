//! What is over goes when it is old or too much, a little at a time, and nothing else goes.

use cloud_core_logic::change::{Change, TaskRow};
use shared::id::TaskId;
use shared::time::Timestamp;

use super::sample::{
    added, agent_id, assigned, assignment_id, assignment_put, assignment_row, history, key, moved,
    queued, settled, task_id, task_row,
};
use super::{commit, ids, logs, refused};
use crate::store::{HistoryBounds, HistoryPruned, LogBounds, Store, TaskFilter};

/// More effort than anything here takes.
const ALL: usize = 1_000;
const HOUR_MS: i64 = 3_600_000;
/// When samples are settled, and when they are submitted.
const SETTLED_AT: i64 = 3_000;
const SUBMITTED_AT: i64 = 1_000;

fn bounds() -> HistoryBounds {
    HistoryBounds { count_max: 100, keep_hours: 1, keys_count_max: 100, keys_keep_hours: 2 }
}

fn prune(store: &mut dyn Store, bounds: HistoryBounds, effort: usize, now: i64) -> HistoryPruned {
    store.prune_history(&bounds, effort, Timestamp(now)).expect("pruned")
}

/// A task with everything that can hang on one, settled.
fn add_settled(store: &mut dyn Store, number: u128) {
    let mut row = task_row(number);
    let mut spec = (*row.spec).clone();
    spec.labels.insert("team".to_owned(), "air".to_owned());
    (row.spec, row.key) = (spec.into(), key(&format!("key {number}")));
    let late = Change::LateReport { task: row.id, entry: Box::new(history("a", 2, 9)) };
    commit(store, &[added(&row), assignment_put(&assignment_row(number, 1, "a")), late]);
    let logs = logs::logs("a", number, 1, &[logs::text(0, "a line\n")], true);
    store.keep_logs(&[logs], &LogBounds::default(), Timestamp(2_000)).expect("kept");
    commit(store, &[moved(number, settled(1, "a", 0))]);
}

fn all(store: &dyn Store) -> Vec<TaskId> {
    ids(&*store.reader(), &TaskFilter::default())
}

pub fn what_is_settled_goes_whole_when_it_is_old(store: &mut dyn Store) {
    add_settled(store, 1);
    commit(store, &[added(&task_row(2)), moved(2, assigned(1, "a"))]);
    let before = store.load().expect("load");
    let kept = prune(store, bounds(), ALL, SETTLED_AT + HOUR_MS);
    assert_eq!((kept.tasks, kept.tasks_kept, kept.more), (0, 1, false));
    assert_eq!(kept.oldest, Some(Timestamp(SUBMITTED_AT)));
    let gone = prune(store, bounds(), ALL, SETTLED_AT + HOUR_MS + 1);
    assert_eq!((gone.tasks, gone.tasks_kept, gone.oldest), (1, 0, None));
    let reader = store.reader();
    assert_eq!(reader.task(task_id(1)).expect("read"), None);
    assert_eq!(reader.placement_input(task_id(1)).expect("read"), None);
    assert_eq!(reader.log_state(task_id(1)).expect("read"), None);
    assert!(reader.log_part(assignment_id(1, 1), 0).expect("read").pieces.is_empty());
    assert!(reader.late_reports(task_id(1)).expect("read").is_empty());
    let label = Some(("team".to_owned(), None));
    assert!(ids(&*reader, &TaskFilter { label, ..TaskFilter::default() }).is_empty());
    let agent = Some(agent_id("a"));
    assert_eq!(ids(&*reader, &TaskFilter { agent, ..TaskFilter::default() }), [task_id(2)]);
    let logs = store.prune_logs(&LogBounds::default(), Timestamp(2_000)).expect("pruned");
    assert_eq!(logs.bytes, 0, "what its log cost is free again");
    // However old it is: what is not settled stays.
    prune(store, bounds(), ALL, i64::MAX);
    assert_eq!(store.load().expect("load"), before);
    assert_eq!(all(store), [task_id(2)]);
}

pub fn what_is_too_much_goes_oldest_first(store: &mut dyn Store) {
    for number in 1..=6 {
        add_settled(store, number);
    }
    commit(store, &[added(&task_row(7))]);
    let bounds = HistoryBounds { count_max: 2, ..bounds() };
    // Each is one, and so is the row of its log.
    let step = prune(store, bounds, 4, SETTLED_AT);
    assert_eq!((step.tasks, step.tasks_kept, step.more), (2, 4, true));
    assert_eq!(all(store), [7, 6, 5, 4, 3].map(task_id));
    while prune(store, bounds, 1, SETTLED_AT).more {}
    assert_eq!(all(store), [7, 6, 5].map(task_id));
    assert_eq!(prune(store, bounds, ALL, SETTLED_AT).tasks, 0);
}

pub fn what_runs_long_does_not_keep_what_came_after_it(store: &mut dyn Store) {
    commit(store, &[added(&task_row(1))]);
    add_settled(store, 2);
    add_settled(store, 3);
    let late = settled(1, "a", 0);
    let at = |hours: i64| {
        let mut life = late.clone();
        if let shared::task::TaskState::Settled { outcome } = &mut life.state {
            outcome.at = Timestamp(hours * HOUR_MS);
        }
        life
    };
    commit(store, &[moved(1, at(5))]);
    for _ in 0..9 {
        prune(store, bounds(), 2, 5 * HOUR_MS);
    }
    assert_eq!(all(store), [task_id(1)]);
    prune(store, bounds(), ALL, 6 * HOUR_MS + 1);
    assert!(all(store).is_empty());
}

pub fn a_key_outlives_its_task_and_is_free_after_its_time(store: &mut dyn Store) {
    add_settled(store, 1);
    let mut waits = task_row(2);
    waits.key = key("key 2");
    commit(store, &[added(&waits)]);
    let found = store.reader().task_by_key("key 1").expect("read");
    let step = prune(store, bounds(), ALL, SUBMITTED_AT + 2 * HOUR_MS);
    assert_eq!((step.tasks, step.keys, step.keys_kept), (1, 0, 1));
    assert_eq!(store.reader().task_by_key("key 1").expect("read"), found);
    let again = TaskRow { key: key("key 1"), ..task_row(3) };
    refused(store, &[added(&again)]);
    let step = prune(store, bounds(), ALL, SUBMITTED_AT + 2 * HOUR_MS + 1);
    assert_eq!((step.keys, step.keys_kept), (1, 0));
    assert_eq!(store.reader().task_by_key("key 1").expect("read"), None);
    commit(store, &[added(&again)]);
    // The key of a task that is here stays, however old it is.
    prune(store, bounds(), ALL, i64::MAX);
    assert!(store.reader().task_by_key("key 2").expect("read").is_some());
    assert_eq!(store.load().expect("load").tasks.len(), 2);
}

pub fn of_too_many_keys_the_oldest_go_first(store: &mut dyn Store) {
    for number in 1..=4 {
        add_settled(store, number);
    }
    let bounds = HistoryBounds { count_max: 0, keys_count_max: 2, ..bounds() };
    while prune(store, bounds, 3, SETTLED_AT).more {}
    let reader = store.reader();
    let there = (1..=4).map(|n| reader.task_by_key(&format!("key {n}")).expect("read").is_some());
    assert_eq!(there.collect::<Vec<_>>(), [false, false, true, true]);
}

pub fn a_list_goes_on_while_tasks_come_and_go(store: &mut dyn Store) {
    for number in 1..=6 {
        add_settled(store, number);
    }
    commit(store, &[added(&task_row(7))]);
    let reader = store.reader();
    let page = reader.tasks(&TaskFilter::default(), 2, None).expect("page");
    assert_eq!(page.items.last().map(|item| item.id), Some(task_id(6)));
    // The very task that the cursor names goes, others with it, and new ones come.
    let cut = HistoryBounds { count_max: 0, ..bounds() };
    prune(store, cut, ALL, SETTLED_AT);
    commit(store, &[added(&task_row(4)), added(&task_row(3)), added(&task_row(9))]);
    let rest = reader.tasks(&TaskFilter::default(), 2, page.next_cursor.as_deref()).expect("page");
    let rest: Vec<TaskId> = rest.items.iter().map(|item| item.id).collect();
    assert_eq!(rest, [task_id(4), task_id(3)]);
}

pub fn what_is_gone_does_not_come_back(store: &mut dyn Store) {
    add_settled(store, 1);
    let cut = HistoryBounds { count_max: 0, ..bounds() };
    prune(store, cut, ALL, SETTLED_AT);
    let empty = store.load().expect("load");
    let late = Change::LateReport { task: task_id(1), entry: Box::new(history("a", 1, 0)) };
    commit(store, &[late.clone(), late]);
    refused(store, &[moved(1, queued())]);
    refused(store, &[assignment_put(&assignment_row(1, 1, "a"))]);
    assert_eq!(store.load().expect("load"), empty);
    assert_eq!(store.reader().task(task_id(1)).expect("read"), None);
    assert_eq!(store.reader().late_reports(task_id(1)).expect("read").len(), 1);
}

pub fn what_was_told_of_nothing_that_is_here_goes_when_it_is_old(store: &mut dyn Store) {
    let late = |task, attempt| Change::LateReport {
        task: task_id(task),
        entry: Box::new(history("a", attempt, 0)),
    };
    commit(store, &[added(&task_row(1)), late(1, 1), late(404, 1), late(404, 2)]);
    // They came at 4,000.
    prune(store, bounds(), ALL, 4_000 + HOUR_MS);
    assert_eq!(store.reader().late_reports(task_id(404)).expect("read").len(), 2);
    prune(store, bounds(), 2, 4_000 + HOUR_MS + 1);
    prune(store, bounds(), 2, 4_000 + HOUR_MS + 1);
    let reader = store.reader();
    assert!(reader.late_reports(task_id(404)).expect("read").is_empty());
    assert_eq!(reader.late_reports(task_id(1)).expect("read").len(), 1, "its task is here");
    commit(store, &[late(404, 3), late(1, 2)]);
    assert_eq!(store.reader().late_reports(task_id(1)).expect("read").len(), 2);
}

//! What only a store on disk can be asked: what survives, what happens when the disk says no, and
//! which index answers.

use std::path::{Path, PathBuf};

use cloud_core_logic::change::{Change, Progressed, TaskRow};
use proptest::prelude::*;
use shared::id::CoreId;
use shared::report::ProgressMark;
use shared::task::TaskStatus;
use uuid::Uuid;

use super::read::{list_query, live};
use super::rows::TASK_TABLES;
use super::*;
use crate::store::conformance::logs;
use crate::store::conformance::random::{alike, batches};
use crate::store::conformance::sample::{
    CORE, added, agent_id, agent_row, assignment_id, assignment_put, assignment_row, credential,
    history, key, moved, settled, task_id, task_row, wanted,
};
use crate::store::{MemoryStore, TaskFilter, conformance::conformance};

const NOW: Timestamp = Timestamp(9_000);

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("core.db");
    (folder, path)
}

fn open_at(path: &Path) -> SqliteStore {
    SqliteStore::open(path, CORE, NOW).expect("open")
}

#[test]
fn the_store_on_disk_conforms() {
    let folder = tempfile::tempdir().expect("folder");
    let next = std::cell::Cell::new(0);
    conformance(|| {
        next.set(next.get() + 1);
        Box::new(open_at(&folder.path().join(format!("{}.db", next.get()))))
    });
}

#[test]
fn the_store_in_memory_conforms() {
    conformance(|| Box::new(MemoryStore::new(CORE)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_disk_cannot_be_told_apart(batches in batches()) {
        let (_folder, path) = place();
        let mut disk = open_at(&path);
        alike(&mut MemoryStore::new(CORE), &mut disk, batches)?;
        let before = disk.load().expect("load");
        drop(disk);
        prop_assert_eq!(open_at(&path).load().expect("load"), before);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn memory_and_disk_keep_the_same_logs(batches in logs::chunks()) {
        let (_folder, path) = place();
        logs::alike(&mut MemoryStore::new(CORE), &mut open_at(&path), batches)?;
    }
}

fn everything() -> Vec<Change> {
    vec![
        added(&task_row(1)),
        added(&task_row(2)),
        Change::AgentPut(Box::new(agent_row("a"))),
        Change::CredentialPut { agent: agent_id("a"), credential: credential(1) },
        assignment_put(&assignment_row(1, 1, "a")),
        Change::WantedPut { agent: agent_id("a"), row: wanted(1, 1, 1) },
        moved(2, settled(1, "a", 3)),
        Change::LateReport { task: task_id(2), entry: Box::new(history("a", 1, 3)) },
    ]
}

#[test]
fn logs_and_what_they_cost_are_there_when_the_store_is_opened_again() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    store.commit(&everything()).expect("commit");
    let logs = logs::logs("a", 1, 1, &[logs::text(0, "a line\n")], true);
    let bounds = LogBounds::default();
    let kept = store.keep_logs(&[logs], &bounds, NOW).expect("kept");
    let part = store.reader().log_part(assignment_id(1, 1), 0).expect("read");
    std::mem::forget(store);
    let mut again = open_at(&path);
    assert_eq!(again.reader().log_part(assignment_id(1, 1), 0).expect("read"), part);
    assert_eq!(again.prune_logs(&bounds, NOW).expect("pruned").bytes, kept.bytes);
}

#[test]
fn logs_are_found_by_an_index_and_the_oldest_without_looking_at_the_others() {
    let (_folder, path) = place();
    let store = open_at(&path);
    for (sql, parameters, expected) in [
        (super::logs::PART, 3, "log_rows_by_start (task=? AND attempt=? AND starts>?)"),
        (super::logs::BEFORE, 3, "log_rows_by_start (task=? AND attempt=? AND starts<?)"),
        (super::logs::FIRST_OF_TASK, 1, "log_rows_by_start (task=?)"),
        (super::logs::FIRST_OF_ALL, 0, "SCAN log_rows"),
    ] {
        let plan = query_plan(&store, sql, parameters);
        assert!(plan.contains(expected) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

#[test]
fn what_is_over_is_found_by_an_index_in_its_order() {
    let (_folder, path) = place();
    let store = open_at(&path);
    for (sql, parameters, expected) in [
        (super::history::OVER, 3, "tasks_by_status (status=? AND rowid>?)"),
        (super::history::OLDEST_KEY, 0, "idempotency_keys_pruned (pruned=?)"),
    ] {
        let plan = query_plan(&store, sql, parameters);
        assert!(plan.contains(expected) && !plan.contains("TEMP B-TREE"), "{sql}: {plan}");
    }
}

#[test]
fn a_file_does_not_grow_when_as_much_goes_as_comes_and_what_is_counted_is_counted_right() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    let bounds = HistoryBounds { count_max: 50, keys_count_max: 50, ..HistoryBounds::default() };
    let pages = |store: &SqliteStore| -> i64 {
        store.writer.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("pages")
    };
    let mut sizes = Vec::new();
    for round in 0..30_u128 {
        let numbers = (1..=20).map(|number| round * 20 + number);
        let changes = numbers.flat_map(|number| {
            let row = TaskRow { key: key(&format!("key {number}")), ..task_row(number) };
            [added(&row), moved(number, settled(1, "a", 0))]
        });
        store.commit(&changes.collect::<Vec<_>>()).expect("commit");
        while store.prune_history(&bounds, 7, NOW).expect("pruned").more {}
        sizes.push(pages(&store));
    }
    assert!(sizes[29] * 10 <= sizes[9] * 11, "{sizes:?}");
    let counted = store.counted;
    assert_eq!((counted.tasks, counted.keys), (50, 50));
    drop(store);
    assert_eq!(open_at(&path).counted, counted);
}

#[test]
fn everything_is_there_when_it_is_opened_again() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    store.commit(&everything()).expect("commit");
    let (before, settled) = (store.load().expect("load"), store.reader().task(task_id(2)));
    // Never closed: as after a kill, all that there is lies in the log.
    std::mem::forget(store);
    let mut again = SqliteStore::open(&path, CoreId(Uuid::nil()), NOW).expect("open");
    assert_eq!(again.load().expect("load"), before, "the id of the core included");
    assert_eq!(again.reader().task(task_id(2)).expect("read"), settled.expect("read"));
}

#[test]
fn a_full_disk_keeps_nothing_of_a_batch_and_says_so() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    store.commit(&[added(&task_row(1))]).expect("commit");
    let before = store.load().expect("load");
    let pages: i64 =
        store.writer.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("pages");
    store.writer.pragma_update(None, "max_page_count", pages + 2).expect("limit");
    let many: Vec<Change> = (2..500).map(|number| added(&task_row(number))).collect();
    for _ in 0..2 {
        let error = store.commit(&many).expect_err("full");
        assert!(matches!(error, StoreError::Full { .. }), "{error}");
        assert!(!error.is_permanent());
        assert_eq!(store.load().expect("load"), before);
        assert_eq!(store.reader().task(task_id(2)).expect("read"), None);
    }
    // Once there is room, the very same batch goes through.
    store.writer.pragma_update(None, "max_page_count", 1_000_000).expect("limit");
    store.commit(&many).expect("room again");
    assert_eq!(store.load().expect("load").tasks.len(), 499);
}

#[test]
fn logs_that_are_taken_away_make_room_for_decisions() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    store.commit(&everything()).expect("commit");
    let bounds = LogBounds::default();
    let line = "a line of many bytes\n".repeat(700);
    let chunk = |number: u64| {
        logs::logs("a", 1, 1, &[logs::text(number * line.len() as u64, &line)], false)
    };
    let many: Vec<_> = (0..40).map(chunk).collect();
    let kept = store.keep_logs(&many, &bounds, NOW).expect("kept");
    let pages: i64 =
        store.writer.query_row("PRAGMA page_count", [], |row| row.get(0)).expect("pages");
    store.writer.pragma_update(None, "max_page_count", pages + 2).expect("limit");
    let tasks: Vec<Change> = (10..200).map(|number| added(&task_row(number))).collect();
    assert!(matches!(store.commit(&tasks), Err(StoreError::Full { .. })));
    assert!(matches!(store.keep_logs(&[chunk(40)], &bounds, NOW), Err(StoreError::Full { .. })));
    let nothing = LogBounds { bytes_max: 0, ..bounds };
    let left = store.prune_logs(&nothing, NOW).expect("that needs no room").bytes;
    assert!(left < kept.bytes, "{left}");
    store.commit(&tasks).expect("room again");
}

#[test]
fn a_database_that_cannot_be_written_is_named_and_can_recover() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    store.writer.pragma_update(None, "query_only", true).expect("switch");
    let error = store.commit(&everything()).expect_err("read-only");
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(!error.is_permanent());
    store.writer.pragma_update(None, "query_only", false).expect("switch");
    store.commit(&everything()).expect("writable again");
}

#[test]
fn a_row_that_cannot_be_read_is_a_damaged_store_and_not_a_missing_task() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    store.commit(&[added(&task_row(1))]).expect("commit");
    store.writer.execute("UPDATE tasks SET state = '{'", []).expect("damage");
    let error = store.load().expect_err("damaged");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert!(error.is_permanent());
    assert!(matches!(store.reader().task(task_id(1)), Err(StoreError::Corrupt { .. })));
}

#[test]
fn the_database_itself_refuses_a_second_outcome() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    store.commit(&[added(&task_row(1)), moved(1, settled(1, "a", 0))]).expect("commit");
    let error = store.writer.execute("UPDATE tasks SET state = '{}'", []).expect_err("refused");
    assert!(error.to_string().contains("a settled task never changes"), "{error}");
}

#[test]
fn a_hundred_words_of_progress_in_one_batch_are_one_row_written() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    store.commit(&[added(&task_row(1)), added(&task_row(2))]).expect("commit");
    let before = store.writer.total_changes();
    let words = |attempt| {
        (0..100).map(move |thousandths| {
            let mut row = assignment_row(1, attempt, "a");
            let mark = ProgressMark { thousandths: Some(thousandths), ..ProgressMark::default() };
            row.progress = Some(Progressed { at: Timestamp(7), mark });
            assignment_put(&row)
        })
    };
    let changes: Vec<Change> = words(1).zip(words(2)).flat_map(|(one, two)| [one, two]).collect();
    store.commit(&changes).expect("commit");
    assert_eq!(store.writer.total_changes() - before, 2);
    for row in store.load().expect("load").assignments {
        let mark = row.progress.expect("progress").mark;
        assert_eq!(mark.thousandths, Some(99), "the last word counts");
    }
}

fn query_plan(store: &SqliteStore, sql: &str, parameters: usize) -> String {
    let mut statement =
        store.writer.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("prepare");
    let nothing = vec![rusqlite::types::Value::Null; parameters];
    let lines = statement.query_map(rusqlite::params_from_iter(nothing), |row| row.get(3));
    let lines: Vec<String> = lines.expect("plan").map(|line| line.expect("line")).collect();
    lines.join("; ")
}

#[test]
fn every_list_is_answered_by_an_index_in_its_order() {
    let (_folder, path) = place();
    let store = open_at(&path);
    let none = TaskFilter::default;
    let status = Some(TaskStatus::Pending);
    let agent = Some(agent_id("a"));
    let name = Some("n".to_owned());
    let label = Some(("k".to_owned(), Some("v".to_owned())));
    let cases = [
        (none(), "SEARCH t USING INTEGER PRIMARY KEY (rowid<?)"),
        (TaskFilter { status, ..none() }, "tasks_by_status (status=? AND rowid<?)"),
        (
            TaskFilter { status, agent: agent.clone(), ..none() },
            "tasks_by_agent (agent=? AND rowid<?)",
        ),
        (
            TaskFilter { status, agent, name, ..TaskFilter::default() },
            "tasks_by_name (name=? AND rowid<?)",
        ),
        (TaskFilter { label, status, ..none() }, "PRIMARY KEY (term=? AND task<?)"),
        (
            TaskFilter { label: Some(("k".to_owned(), None)), ..none() },
            "PRIMARY KEY (term=? AND task<?)",
        ),
    ];
    // Statistics that make `status` look best, as they are when most tasks are settled and the
    // question is about those that are not.
    store
        .writer
        .execute_batch(
            "ANALYZE; DELETE FROM sqlite_stat1; INSERT INTO sqlite_stat1 VALUES \
             ('tasks', 'tasks_by_status', '1000000 2 1'), ('tasks', 'tasks_by_agent', '1000000 50000 1'), \
             ('tasks', 'tasks_by_name', '1000000 90000 1'); ANALYZE sqlite_schema;",
        )
        .expect("statistics");
    for (filter, expected) in cases {
        let (sql, values) = list_query(&filter, Some(1), 10);
        let plan = query_plan(&store, &sql, values.len());
        assert!(plan.contains(expected), "{filter:?}: {plan}");
        assert!(!plan.contains("SCAN") && !plan.contains("TEMP B-TREE"), "{filter:?}: {plan}");
    }
    let sql = format!("SELECT t.id FROM {} WHERE {}", TASK_TABLES, live());
    let plan = query_plan(&store, &sql, 0);
    assert!(plan.contains("tasks_by_status (status=?)") && !plan.contains("SCAN"), "{plan}");
}

#[test]
fn readers_do_not_wait_for_the_writer_nor_for_each_other() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    store.commit(&everything()).expect("commit");
    let reader = store.reader();
    let writing = store.writer.transaction_with_behavior(TransactionBehavior::Immediate);
    let writing = writing.expect("transaction");
    writing.execute("DELETE FROM wanted", []).expect("write");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    assert!(reader.task(task_id(1)).expect("read").is_some());
                    assert_eq!(
                        reader.tasks(&TaskFilter::default(), 9, None).expect("list").items.len(),
                        2
                    );
                }
            });
        }
    });
}

/// Agents make ids without asking each other: two may begin alike.
#[test]
fn two_tasks_that_agents_made_may_begin_alike() {
    let (_folder, path) = place();
    let mut store = open_at(&path);
    let origin = || {
        Some(Box::new(cloud_core_logic::firing::Origin {
            schedule: shared::id::ScheduleId(Uuid::from_u128(7)),
            name: "s".parse().expect("a name"),
            version: 1,
            at: Timestamp(5),
            payload: None,
        }))
    };
    let twin = |back: u64| {
        let (front, _) = task_row(8).id.0.as_u64_pair();
        let id = shared::id::TaskId(Uuid::from_u64_pair(front, 1 << 63 | back));
        TaskRow { id, origin: origin(), ..task_row(8) }
    };
    for back in 0..4 {
        store.commit(&[Change::TaskAdded(Box::new(twin(back)))]).expect("kept");
    }
    drop(store);
    let mut store = open_at(&path);
    let tasks = store.load().expect("load").tasks;
    assert_eq!(tasks.len(), 4);
    for back in 0..4 {
        let found = store.reader().task(twin(back).id).expect("read").expect("there");
        assert_eq!(found.summary.id, twin(back).id);
    }
}

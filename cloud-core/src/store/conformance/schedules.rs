//! Schedules and what became of their moments.

use std::sync::Arc;

use cloud_core_logic::change::Change;
use cloud_core_logic::firing::{FiringResult, FiringRow, Origin, ScheduleRow, SkippedBecause};
use shared::id::ScheduleId;
use shared::schedule::{IntervalTrigger, ScheduleSpec, Trigger};
use shared::spec::{Run, TaskSpec};
use shared::time::Timestamp;
use uuid::Uuid;

use super::sample::{added, agent_id, task_id, task_row};
use super::{commit, ids};
use crate::store::{HistoryBounds, Store, StoreError, TaskFilter};

/// A schedule's id.
fn id(number: u128) -> ScheduleId {
    ScheduleId(Uuid::from_u128(number << 80 | 0x7000_8000_0000_0000_0000))
}

fn row(number: u128, name: &str) -> ScheduleRow {
    let interval = IntervalTrigger { interval_s: 60, anchor: None, after_end: false };
    let mut task = TaskSpec::new(Run::Noop {});
    task.name = Some("ü".to_owned());
    let name = name.parse().expect("a name");
    let mut spec = ScheduleSpec::new(name, Trigger::Interval(interval), Arc::new(task));
    spec.jitter_s = 7;
    ScheduleRow {
        id: id(number),
        spec: Arc::new(spec),
        version: 3,
        created_at: Timestamp(10),
        updated_at: Timestamp(20),
        paused: number.is_multiple_of(2),
        through: Timestamp(30),
    }
}

fn put(row: &ScheduleRow) -> Change {
    Change::SchedulePut(Box::new(row.clone()))
}

fn firing(number: u128, at: i64, agent: Option<&str>, result: FiringResult) -> FiringRow {
    FiringRow {
        schedule: id(number),
        at: Timestamp(at),
        agent: agent.map(agent_id),
        version: 1,
        recorded_at: Timestamp(at + 1),
        result,
    }
}

fn fired(row: &FiringRow) -> Change {
    Change::FiringPut(Box::new(row.clone()))
}

fn skipped() -> FiringResult {
    FiringResult::Skipped { because: SkippedBecause::Overlap, detail: "not over".to_owned() }
}

pub(in crate::store) fn a_schedule_is_found_by_its_name_and_moves_on(store: &mut dyn Store) {
    let names = ["c", "a", "B", "b.1", "b"];
    let rows: Vec<ScheduleRow> =
        names.iter().zip(1..).map(|(name, number)| row(number, name)).collect();
    commit(store, &rows.iter().map(put).collect::<Vec<_>>());
    let reader = store.reader();
    let find = |name: &str| reader.schedule(&name.parse().expect("a name")).expect("read");
    assert_eq!(find("b.1"), Some(rows[3].clone()));
    assert_eq!(find("d"), None);
    let mut loaded = store.load().expect("load").schedules;
    loaded.sort_by_key(|row| row.id);
    assert_eq!(loaded, rows);
    let through = Timestamp(40);
    commit(store, &[Change::ScheduleMoved { schedule: id(1), through }]);
    assert_eq!(find("c"), Some(ScheduleRow { through, ..rows[0].clone() }));
    let changed = ScheduleRow { version: 4, ..rows[0].clone() };
    commit(store, &[put(&changed), Change::ScheduleRemoved { schedule: id(2) }]);
    assert_eq!((find("c"), find("a")), (Some(changed), None));
    // The name is free for another one.
    commit(store, &[put(&row(9, "a"))]);
    assert_eq!(find("a").map(|row| row.id), Some(id(9)));
    let (mut cursor, mut found): (Option<String>, Vec<String>) = (None, Vec::new());
    loop {
        let page = reader.schedules(2, cursor.as_deref()).expect("a page");
        found.extend(page.items.iter().map(|row| row.spec.name.to_string()));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(found, ["B", "a", "b", "b.1", "c"]);
    assert!(matches!(reader.schedules(1, Some("a/b")), Err(StoreError::BadCursor)));
}

pub(in crate::store) fn firings_go_latest_first_page_by_page(store: &mut dyn Store) {
    commit(store, &[put(&row(1, "one")), put(&row(2, "two"))]);
    let payload = Some(Arc::from("{}"));
    let rows = [
        firing(1, 100, None, FiringResult::Fired { task: task_id(1) }),
        firing(1, 200, None, skipped()),
        firing(1, 200, Some("a"), FiringResult::Missed { upto: Timestamp(250), count: 2 }),
        firing(1, 200, Some("b"), skipped()),
        firing(1, 300, None, FiringResult::Queued { payload }),
        firing(2, 150, None, skipped()),
    ];
    commit(store, &rows.iter().map(fired).collect::<Vec<_>>());
    let reader = store.reader();
    for limit in 1..=6 {
        let (mut cursor, mut found): (Option<String>, Vec<FiringRow>) = (None, Vec::new());
        loop {
            let page = reader.firings(id(1), limit, cursor.as_deref()).expect("a page");
            found.extend(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        let expected: Vec<FiringRow> = rows[..5].iter().rev().cloned().collect();
        assert_eq!(found, expected, "limit {limit}");
    }
    for cursor in ["", "x", "1~a/b", "~"] {
        let page = reader.firings(id(1), 1, Some(cursor));
        assert!(matches!(page, Err(StoreError::BadCursor)), "{cursor}");
    }
    assert_eq!(store.load().expect("load").queued, [rows[4].clone()]);
    // What waited has come to something.
    let over = firing(1, 300, None, FiringResult::Fired { task: task_id(2) });
    commit(store, &[fired(&over)]);
    assert!(store.load().expect("load").queued.is_empty());
    assert_eq!(reader.firings(id(1), 1, None).expect("a page").items, std::slice::from_ref(&over));
    commit(store, &[Change::ScheduleRemoved { schedule: id(1) }]);
    let left = reader.firings(id(1), 1, None).expect("a page").items;
    assert_eq!(left, [over], "they stay for a while");
    assert_eq!(reader.firings(id(2), 9, None).expect("a page").items.len(), 1);
}

pub(in crate::store) fn old_firings_go_and_those_that_wait_stay(store: &mut dyn Store) {
    let waiting = firing(1, 100, None, FiringResult::Queued { payload: None });
    let rows =
        [waiting.clone(), firing(1, 200, None, skipped()), firing(1, 10_000_000, None, skipped())];
    let mut changes = vec![put(&row(1, "one"))];
    changes.extend(rows.iter().map(fired));
    commit(store, &changes);
    let bounds = HistoryBounds { keep_hours: 1, ..HistoryBounds::default() };
    store.prune_history(&bounds, 1_000, Timestamp(10_000_001)).expect("pruned");
    let left = store.reader().firings(id(1), 9, None).expect("a page").items;
    assert_eq!(left, [rows[2].clone(), waiting]);
}

pub(in crate::store) fn tasks_are_found_by_the_schedule_that_made_them(store: &mut dyn Store) {
    let made = |number, schedule| {
        let mut task = task_row(number);
        task.origin = Some(Box::new(Origin {
            schedule: id(schedule),
            name: "one".parse().expect("a name"),
            version: 2,
            at: Timestamp(100),
            payload: Some(Arc::from("\u{1}ü")),
        }));
        task
    };
    let tasks = [made(1, 1), made(2, 2), task_row(3), made(4, 1)];
    commit(store, &tasks.iter().map(added).collect::<Vec<_>>());
    let reader = store.reader();
    let of = |number| TaskFilter { schedule: Some(id(number)), ..TaskFilter::default() };
    assert_eq!(ids(&*reader, &of(1)), [task_id(4), task_id(1)]);
    assert_eq!(ids(&*reader, &of(2)), [task_id(2)]);
    assert!(ids(&*reader, &of(3)).is_empty());
    let origin = reader.task(task_id(1)).expect("read").expect("a task").schedule;
    let origin = origin.expect("an origin");
    assert_eq!((origin.name.as_str(), origin.at, origin.version), ("one", Timestamp(100), 2));
    assert_eq!(reader.task(task_id(3)).expect("read").expect("a task").schedule, None);
}

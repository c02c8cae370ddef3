//! How tasks are found: by key, in lists, by filters, page by page.

use cloud_core_logic::change::Change;
use shared::id::TaskId;
use shared::task::TaskStatus;

use super::sample::{added, agent_id, assigned, key, moved, settled, task_id, task_row};
use super::{commit, ids};
use crate::store::{Store, StoreError, TaskFilter};

pub(super) fn a_list_goes_newest_first_page_by_page(store: &mut dyn Store) {
    let changes: Vec<Change> = (1..=7).map(|number| added(&task_row(number))).collect();
    commit(store, &changes);
    let reader = store.reader();
    let mut cursor: Option<String> = None;
    let mut pages = Vec::new();
    loop {
        let page = reader.tasks(&TaskFilter::default(), 3, cursor.as_deref()).expect("page");
        pages.push(page.items.iter().map(|item| item.id).collect::<Vec<_>>());
        // What is submitted meanwhile is newer and moves no page.
        commit(store, &[added(&task_row(100 + pages.len() as u128))]);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let expected = [vec![7, 6, 5], vec![4, 3, 2], vec![1]];
    assert_eq!(pages, expected.map(|page| page.into_iter().map(task_id).collect::<Vec<_>>()));
    let all = reader.tasks(&TaskFilter::default(), 0, None).expect("page");
    assert_eq!(all.items.len(), 1, "a limit of nothing is a limit of one");
    let all = reader.tasks(&TaskFilter::default(), usize::MAX, None).expect("page");
    assert_eq!(all.items.len(), 10);
}

pub(super) fn a_list_is_filtered(store: &mut dyn Store) {
    let labelled = |number, labels: &[(&str, &str)], name: Option<&str>| {
        let mut row = task_row(number);
        let mut spec = (*row.spec).clone();
        spec.name = name.map(str::to_owned);
        spec.labels =
            labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        row.spec = spec.into();
        added(&row)
    };
    commit(
        store,
        &[
            labelled(1, &[("team", "air")], Some("x")),
            labelled(2, &[("team", "water"), ("site", "north")], Some("y")),
            labelled(3, &[("site", "north")], Some("x")),
            labelled(4, &[("team", "air"), ("site", "south")], None),
            moved(1, settled(1, "a", 0)),
            moved(2, assigned(1, "a")),
            moved(4, assigned(1, "b")),
        ],
    );
    let reader = store.reader();
    let label = |key: &str, value: Option<&str>| Some((key.to_owned(), value.map(str::to_owned)));
    let none = TaskFilter::default;
    let status = Some(TaskStatus::Assigned);
    let agent = Some(agent_id("a"));
    let name = Some("x".to_owned());
    let cases: [(TaskFilter, &[u128]); 12] = [
        (none(), &[4, 3, 2, 1]),
        (TaskFilter { status, ..none() }, &[4, 2]),
        (TaskFilter { agent: agent.clone(), ..none() }, &[2, 1]),
        (TaskFilter { name: name.clone(), ..none() }, &[3, 1]),
        (TaskFilter { label: label("team", None), ..none() }, &[4, 2, 1]),
        (TaskFilter { label: label("team", Some("air")), ..none() }, &[4, 1]),
        (TaskFilter { label: label("team", Some("")), ..none() }, &[]),
        (TaskFilter { status, agent: agent.clone(), ..none() }, &[2]),
        (TaskFilter { status, label: label("site", Some("south")), ..none() }, &[4]),
        (TaskFilter { name: name.clone(), label: label("site", None), ..none() }, &[3]),
        (TaskFilter { agent: Some(agent_id("A")), ..none() }, &[]),
        (
            TaskFilter { status, agent, label: label("team", None), name: None, schedule: None },
            &[2],
        ),
    ];
    for (filter, expected) in cases {
        let expected: Vec<TaskId> = expected.iter().copied().map(task_id).collect();
        assert_eq!(ids(&*reader, &filter), expected, "{filter:?}");
        // And page by page.
        let mut paged = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let page = reader.tasks(&filter, 1, cursor.as_deref()).expect("page");
            paged.extend(page.items.iter().map(|item| item.id));
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(paged, expected, "{filter:?}");
    }
}

pub(super) fn a_cursor_from_elsewhere_is_refused(store: &mut dyn Store) {
    for cursor in ["", "x", "0", "' OR 1=1 --", &"a".repeat(100_000)] {
        let result = store.reader().tasks(&TaskFilter::default(), 1, Some(cursor));
        assert!(matches!(result, Err(StoreError::BadCursor)), "{cursor}");
    }
}

pub(super) fn a_task_is_found_by_its_key(store: &mut dyn Store) {
    let mut task = task_row(1);
    task.key = key("k");
    commit(store, &[added(&task), added(&task_row(2)), moved(1, settled(1, "a", 0))]);
    let found = store.reader().task_by_key("k").expect("read");
    assert_eq!(found, Some((task_id(1), "hash of k".to_owned())));
    assert_eq!(store.reader().task_by_key("K").expect("read"), None);
}

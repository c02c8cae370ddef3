//! A database as the version before numbered rows left it is brought up to date whole, or stays as
//! it was.

use std::path::Path;

use cloud_core_logic::change::{Change, TaskLife, TaskRow};
use rusqlite::{Connection, params};
use shared::api::Page;
use shared::id::{Attempt, TaskId};
use shared::task::TaskState;
use shared::time::Timestamp;
use shared_runtime::sqlite::{DatabaseError, open, schema_version};
use uuid::Uuid;

use super::rows::{bits, json};
use super::{SqliteStore, schema};
use crate::store::conformance::sample::{
    CORE, added, agent_id, agent_row, assigned, assignment_id, assignment_put, assignment_row,
    credential, history, key, moved, settled, task_id, task_row, wanted,
};
use crate::store::conformance::schedules;
use crate::store::{MemoryStore, Store, StoreError, TaskFilter};

const NOW: Timestamp = Timestamp(9_000);

/// What version 4 wrote of a task.
fn write_task(old: &Connection, row: &TaskRow, life: &TaskLife) {
    let outcome = match &life.state {
        TaskState::Settled { outcome } => Some(outcome),
        _ => None,
    };
    let id = row.id.to_string();
    let reason = outcome.and_then(|outcome| outcome.verdict.reason());
    old.execute(
        "INSERT INTO tasks (id, name, labels, priority, idempotency_key, body_hash, submitted_at, \
         deadline_at, status, reason, state, updated_at, attempt, agent, failures, losses, \
         refusals, settled_at, forgotten) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, \
         $12, $13, $14, $15, $16, $17, $18, $19)",
        params![
            id,
            row.spec.name,
            json(&row.spec.labels).expect("JSON"),
            row.spec.priority,
            row.key.as_ref().map(|key| &key.key),
            row.key.as_ref().map(|key| &key.body_hash),
            row.submitted_at.0,
            row.deadline_at.map(|at| at.0),
            life.state.status().name(),
            reason.map(|reason| reason.name()),
            json(&life.state).expect("JSON"),
            life.updated_at.0,
            life.attempt.0,
            life.agent.as_ref().map(|agent| agent.as_str()),
            life.failures,
            life.losses,
            life.refusals,
            outcome.map(|outcome| outcome.at.0),
            life.forgotten.as_ref().map(|forgotten| json(forgotten).expect("JSON")),
        ],
    )
    .expect("a task");
    let spec = json(&row.spec).expect("JSON");
    old.execute("INSERT INTO specs VALUES ($1, $2)", params![id, spec]).expect("a spec");
    for (key, value) in &row.spec.labels {
        let sql = "INSERT INTO task_labels (key, value, task) VALUES ($1, $2, $3)";
        old.execute(sql, params![key, value, id]).expect("a label");
    }
}

/// What version 4 wrote of a change that is not about a task's own row.
fn write(old: &Connection, change: &Change) {
    let written = match change {
        Change::AssignmentPut(row) => old.execute(
            "INSERT INTO assignments (task, attempt, agent, placed, offered_at, accepted_at, \
             started_at, state, progress, retries, ended) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            params![
                row.id.task.to_string(),
                row.id.attempt.0,
                row.agent.as_str(),
                json(&row.placed).expect("JSON"),
                row.offered_at.0,
                row.accepted_at.map(|at| at.0),
                row.started_at.map(|at| at.0),
                json(&row.state).expect("JSON"),
                row.progress.as_ref().map(|progress| json(progress).expect("JSON")),
                row.retries,
                row.state.is_ended(),
            ],
        ),
        Change::AgentPut(row) => old.execute(
            "INSERT INTO agents (id, joined_at, facts, flags, boot, link, incarnation, acked_seq, \
             desired_rev, last_seen, session, former, withheld) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
            params![
                row.id.as_str(),
                row.joined_at.0,
                json(&row.facts).expect("JSON"),
                json(&row.flags).expect("JSON"),
                bits(row.boot.0),
                bits(row.link),
                row.inbox.incarnation.to_string(),
                bits(row.inbox.acked.0),
                bits(row.desired_rev.0),
                row.last_seen.map(|at| at.0),
                row.session.0,
                json(&row.former).expect("JSON"),
                row.withheld,
            ],
        ),
        Change::CredentialPut { agent, credential } => old.execute(
            "INSERT INTO credentials VALUES ($1, $2, $3)",
            params![agent.as_str(), credential.password_hash, credential.seal_key],
        ),
        Change::WantedPut { agent, row } => old.execute(
            "INSERT INTO wanted VALUES ($1, $2, $3, $4, $5)",
            params![
                agent.as_str(),
                row.assignment.task.to_string(),
                row.assignment.attempt.0,
                bits(row.rev.0),
                json(&row.wanted).expect("JSON"),
            ],
        ),
        Change::LateReport { task, entry } => old.execute(
            "INSERT INTO late_reports VALUES ($1, 0, $2, $3, $4, $5)",
            params![
                task.to_string(),
                entry.agent.as_str(),
                entry.attempt.0,
                entry.received_at.0,
                json(&entry.event).expect("JSON"),
            ],
        ),
        other => panic!("not written here: {other:?}"),
    };
    written.expect("written");
}

/// Ids whose front halves are alike, as of a clock that was set back.
fn twin(number: u128, back: u128) -> TaskId {
    TaskId(Uuid::from_u128(task_id(number).0.as_u128() | back))
}

fn tasks() -> Vec<(TaskRow, TaskLife)> {
    let mut labelled = task_row(1);
    let mut spec = (*labelled.spec).clone();
    spec.name = Some("n'ame".to_owned());
    spec.labels.insert("team".to_owned(), "a=b".to_owned());
    spec.labels.insert("site".to_owned(), String::new());
    (labelled.spec, labelled.key) = (spec.into(), key("k1"));
    let queued = labelled.life.clone();
    let mut done = task_row(3);
    done.key = key("k3");
    let mut twins: Vec<(TaskRow, TaskLife)> = [5_u128, 6, 7]
        .map(|back| (TaskRow { id: twin(8, back), ..task_row(8) }, settled(1, "a", 0)))
        .into();
    twins[1].1 = assigned(2, "a");
    let mut all =
        vec![(labelled, queued), (task_row(2), assigned(1, "a")), (done, settled(1, "a", 7))];
    all.extend(twins);
    all
}

fn others() -> Vec<Change> {
    vec![
        Change::AgentPut(Box::new(agent_row("a"))),
        Change::CredentialPut { agent: agent_id("a"), credential: credential(1) },
        assignment_put(&assignment_row(2, 1, "a")),
        assignment_put(&assignment_row(3, 1, "a")),
        Change::WantedPut { agent: agent_id("a"), row: wanted(2, 1, 9) },
        Change::WantedPut { agent: agent_id("a"), row: wanted(404, 1, 10) },
        Change::LateReport { task: task_id(3), entry: Box::new(history("a", 1, 3)) },
        Change::LateReport { task: task_id(404), entry: Box::new(history("a", 1, 3)) },
    ]
}

fn fill(path: &Path) {
    let old = open(path, &schema::MIGRATIONS[..4]).expect("version 4");
    let sql = "INSERT INTO meta (key, value) VALUES ('core', $1)";
    old.execute(sql, [CORE.to_string()]).expect("an id");
    for (row, life) in tasks() {
        write_task(&old, &row, &life);
    }
    for mut change in others() {
        if let Change::AgentPut(row) = &mut change {
            // By then its desired state had grown.
            row.desired_rev = shared::id::Revision(10);
        }
        write(&old, &change);
    }
    let task = task_id(2).to_string();
    let sql = "INSERT INTO log_streams VALUES ($1, 1, 5, 0, 69, 77)";
    old.execute(sql, [&task]).expect("a stream");
    let sql = "INSERT INTO log_rows VALUES (4, $1, 1, 0, 5, 69, 77, $2)";
    let pieces = r#"[[0,5,1,"stdout","hello"]]"#;
    old.execute(sql, [task.as_str(), pieces]).expect("a row");
}

/// The same, written by a store of today.
fn expected() -> MemoryStore {
    let mut store = MemoryStore::new(CORE);
    for (row, life) in tasks() {
        // That version knew of no traces.
        let row = TaskRow { trace: None, ..row };
        store.commit(&[added(&row)]).expect("added");
        if life != row.life {
            let change = Change::TaskMoved { task: row.id, life: Box::new(life) };
            store.commit(&[change]).expect("moved");
        }
    }
    store.commit(&others()).expect("the rest");
    store
}

#[test]
fn a_filled_database_of_the_version_before_is_brought_up_to_date_whole() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("core.db");
    fill(&path);
    for _ in 0..2 {
        let mut store = SqliteStore::open(&path, CORE, NOW).expect("open");
        let mut expected = expected();
        assert_eq!(store.load().expect("load"), expected.load().expect("load"));
        let (reader, expected) = (store.reader(), expected.reader());
        for (row, _) in tasks() {
            let task = reader.task(row.id).expect("read");
            assert_eq!(task, expected.task(row.id).expect("read"));
            assert!(task.is_some());
            assert!(reader.log_state(row.id).expect("read").is_some());
        }
        for id in [task_id(8), task_id(404)] {
            assert_eq!(reader.task(id).expect("read"), None);
            let reports = expected.late_reports(id).expect("read");
            assert_eq!(reader.late_reports(id).expect("read"), reports);
        }
        for name in ["k1", "k3", "k404"] {
            let found = reader.task_by_key(name).expect("read");
            assert_eq!(found, expected.task_by_key(name).expect("read"), "{name}");
        }
        let label = |key: &str, value: Option<&str>| TaskFilter {
            label: Some((key.to_owned(), value.map(str::to_owned))),
            ..TaskFilter::default()
        };
        for filter in [
            label("team", None),
            label("team", Some("a=b")),
            label("site", Some("")),
            TaskFilter { name: Some("n'ame".to_owned()), ..TaskFilter::default() },
        ] {
            let page = reader.tasks(&filter, 9, None).expect("list");
            assert_eq!(page, expected.tasks(&filter, 9, None).expect("list"));
            assert_eq!(page.items.len(), 1, "{filter:?}");
        }
        // Page by page, those without a number of their own last.
        let mut ids = Vec::new();
        let mut page = Page { items: Vec::new(), next_cursor: None };
        loop {
            page =
                reader.tasks(&TaskFilter::default(), 2, page.next_cursor.as_deref()).expect("list");
            ids.extend(page.items.iter().map(|item| item.id));
            if page.next_cursor.is_none() {
                break;
            }
        }
        let in_order = [twin(8, 5), task_id(3), task_id(2), task_id(1), twin(8, 7), twin(8, 6)];
        assert_eq!(ids, in_order);
        let part = reader.log_part(assignment_id(2, 1), 0).expect("read");
        assert_eq!((part.upto, part.pieces[0].text.as_str()), (5, "hello"));
    }
    // What has no number of its own lives on like any other.
    let mut store = SqliteStore::open(&path, CORE, NOW).expect("open");
    let ended = Change::TaskMoved { task: twin(8, 6), life: Box::new(settled(2, "a", 0)) };
    store.commit(&[ended, moved(2, settled(1, "a", 0))]).expect("settled");
    let task = store.reader().task(twin(8, 6)).expect("read").expect("there");
    assert_eq!(task.summary.attempt, Attempt(2));
    assert!(matches!(
        store.commit(&[added(&TaskRow { id: twin(8, 6), ..task_row(8) })]),
        Err(StoreError::Contradiction { .. })
    ));
}

#[test]
fn a_database_of_before_schedules_takes_them() {
    for check in [
        schedules::a_schedule_is_found_by_its_name_and_moves_on,
        schedules::firings_go_latest_first_page_by_page,
        schedules::tasks_are_found_by_the_schedule_that_made_them,
    ] {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("core.db");
        let old = open(&path, &schema::MIGRATIONS[..6]).expect("version 6");
        let sql = "INSERT INTO meta (key, value) VALUES ('core', $1)";
        old.execute(sql, [CORE.to_string()]).expect("an id");
        drop(old);
        check(&mut SqliteStore::open(&path, CORE, NOW).expect("open"));
    }
}

#[test]
fn a_database_that_cannot_be_brought_up_to_date_stays_as_it_was_and_can_be_tried_again() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("core.db");
    fill(&path);
    let old = |sql: &str| {
        let old = Connection::open(&path).expect("open");
        old.execute_batch(sql).expect("changed");
        schema_version(&old).expect("version")
    };
    let id = task_id(1).to_string();
    let damaged =
        format!("PRAGMA foreign_keys = OFF; UPDATE tasks SET id = 'x' WHERE id = '{id}';");
    assert_eq!(old(&damaged), 4);
    for _ in 0..2 {
        let error = SqliteStore::open(&path, CORE, NOW).err().expect("refused");
        assert!(
            matches!(&error, StoreError::Open(DatabaseError::Migration { version: 5, .. })),
            "{error}"
        );
        // Every table is there under its old name.
        assert_eq!(
            old(
                "UPDATE specs SET spec = spec; UPDATE tasks SET priority = priority WHERE settled_at IS NULL;"
            ),
            4
        );
    }
    old(&format!("PRAGMA foreign_keys = OFF; UPDATE tasks SET id = '{id}' WHERE id = 'x';"));
    let mut store = SqliteStore::open(&path, CORE, NOW).expect("whole again");
    assert_eq!(store.load().expect("load"), expected().load().expect("load"));
}

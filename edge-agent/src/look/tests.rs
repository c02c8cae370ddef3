//! What is seen, from a database that the store wrote.

use std::sync::Arc;

use edge_agent_logic::Change;
use edge_agent_logic::attempt::{Runs, State};
use edge_agent_logic::change::{AttemptRow, LinkSeen, ProgressRow};
use edge_agent_logic::clock::{Doubt, Trust};
use edge_agent_logic::resident::{ResidentRow, Standing};
use shared::capacity::Resources;
use shared::id::{AssignmentId, Attempt, Boot, Incarnation, ScheduleId, Sequence};
use shared::report::{End, Finish, Output, ProgressMark, Report, ReportEvent};
use shared::schedule::{CronTrigger, MissedRule, Overlap, Trigger};
use shared::spec::Run;
use shared::time::{Monotonic, Stamp};
use shared::wire::downlink::{LocalRetry, Order, ResidentSchedule};
use shared_runtime::clock::new_uuid_v4;

use super::*;
use crate::folder::Folder;
use crate::store::Store;

const NOW: Now = Now { wall: Timestamp(1_795_223_223_456), mono: Monotonic(0), chance: 0 };

fn store(data: &Path) -> Store {
    let agent = "board-7".parse().expect("an id");
    Store::open(&database_in(data), &agent, Incarnation(new_uuid_v4())).expect("open")
}

#[test]
fn status_answers_without_a_network_and_without_an_agent() {
    let root = tempfile::tempdir().expect("a folder");
    let data = root.path();
    let error = status_table(data, NOW).expect_err("no database").to_string();
    assert!(error.contains("start the program that makes it first"), "{error}");

    let at = NOW.wall.plus_ms(-12_000);
    let reason = "no connection to the broker".to_owned();
    let why = Doubt::Jumped { by_ms: -7_200_000 };
    let changes = [
        Change::Heard { at },
        Change::LinkMoved { seen: LinkSeen::Down { reason }, at },
        Change::ClockMoved { trust: Trust::Unsynced { why }, offset_ms: Some(7_200_000) },
    ];
    store(data).commit(&changes).expect("commit");
    let table = status_table(data, NOW).expect("status");
    for part in [
        "board-7 (not running)",
        "down since",
        "no connection",
        "12 s ago",
        "0 wait",
        "not believed: it jumped 2 h back, 2 h behind the core's",
    ] {
        assert!(table.contains(part), "{part}: {table}");
    }
    let _folder = Folder::take(data).expect("free");
    let json: serde_json::Value =
        serde_json::from_str(&status_json(data).expect("status")).expect("json");
    assert_eq!((json["running"].as_bool(), json["link"].as_str()), (Some(true), Some("down")));
    assert_eq!((json["id"].as_str(), json["clock"].as_str()), (Some("board-7"), Some("unsynced")));
    assert_eq!(tasks_table(data, None, NOW).expect("tasks"), "no tasks\n");
}

fn added(attempt: u32, name: &str, runs: Runs) -> Change {
    let order = Order {
        name: Some(name.to_owned()),
        run: Run::Noop {},
        needs: Resources::default(),
        priority: 50,
        timeout_ms: None,
        grace_ms: 0,
        stop_after_ms: None,
        lease_ms: None,
        retry: LocalRetry::default(),
        firing: None,
        trace: None,
    };
    Change::AttemptAdded(Box::new(AttemptRow {
        id: assignment(attempt),
        number: u64::from(attempt),
        accepted_at: NOW.wall.plus_ms(-600_000),
        order: Arc::new(order),
        schedule: None,
        state: State::Accepted,
        runs,
        progress: None,
    }))
}

fn assignment(attempt: u32) -> AssignmentId {
    let task = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b".parse().expect("a task id");
    AssignmentId { task, attempt: Attempt(attempt) }
}

#[test]
fn schedules_are_shown_with_their_next_moment_and_their_last() {
    let root = tempfile::tempdir().expect("a folder");
    let mut store = store(root.path());
    let Change::AttemptAdded(row) = added(1, "probe", Runs::default()) else {
        unreachable!("it is added")
    };
    let cron = CronTrigger { cron: "@hourly".to_owned(), fields: None, zone: None, dst: None };
    let hold = Arc::new(ResidentSchedule {
        name: "hourly".parse().expect("a name"),
        version: 3,
        tag: 0,
        created_at: Timestamp(0),
        from: Timestamp(0),
        trigger: Trigger::Cron(cron),
        zone: None,
        starts_at: None,
        ends_at: None,
        exclude_days: Vec::new(),
        offset_ms: 0,
        missed: MissedRule::Once,
        missed_max: 1,
        catch_up_s: 60,
        overlap: Overlap::Queue,
        queue_max: 1,
        order: row.order,
    });
    let last = Timestamp(1_799_996_400_000);
    let standing =
        Standing { through: last, queue: vec![last], fired: Some(last), ..Standing::default() };
    let schedule = ScheduleId(new_uuid_v4());
    let held = Change::ScheduleHeld(Box::new(ResidentRow { schedule, hold, standing }));
    store.commit(&[held]).expect("committed");
    let table = status_table(root.path(), NOW).expect("status");
    let line = table.lines().find(|line| line.starts_with("schedules")).expect(&table);
    assert!(line.contains("hourly v3: next 2027-01-15T08:00:00.000Z, last 2027-01-15T07:00"));
    assert!(line.ends_with(", 1 waiting"), "{line}");
    let json = status_json(root.path()).expect("status");
    let json: serde_json::Value = serde_json::from_str(&json).expect("json");
    assert_eq!(json["schedules"][0]["next"], "2027-01-15T08:00:00.000Z");
}

#[test]
fn tasks_are_listed_with_what_is_over_and_not_acknowledged() {
    let root = tempfile::tempdir().expect("a folder");
    let mut store = store(root.path());
    let started_at = NOW.wall.plus_ms(-90_000);
    let mark = ProgressMark { thousandths: Some(429), text: "downloading".to_owned() };
    let row = ProgressRow { at: NOW.wall, stamp: Stamp::default(), mark };
    let finish = Finish {
        end: End::Exited { code: 7 },
        started_at: None,
        ran_ms: None,
        output: Output::default(),
    };
    let event = ReportEvent::Finished(Box::new(finish));
    let (at, stamp) = (NOW.wall.plus_ms(-30_000), Stamp::default());
    let report = Report { assignment: assignment(3), at, stamp, event };
    let changes = [
        added(1, "a name that is rather long for a terminal", Runs { failures: 2, losses: 1 }),
        Change::AttemptMoved {
            id: assignment(1),
            state: State::Running { boot: Boot(1), started_at },
        },
        Change::ProgressPut { id: assignment(1), progress: row },
        added(2, "second", Runs::default()),
        added(3, "third", Runs::default()),
        Change::ReportAdded { seq: Sequence(1), report: Box::new(report) },
        Change::AttemptFinished { id: assignment(3), report: Sequence(1) },
    ];
    store.commit(&changes).expect("commit");
    let table = tasks_table(root.path(), None, NOW).expect("tasks");
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    let task = assignment(1).task.to_string();
    assert_eq!(rows[1][..6], [&task, "1", "running", "90 s", "4", "42 % downloading"], "{table}");
    assert_eq!(rows[2], [&task, "2", "accepted", "10 min", "0", "second"], "{table}");
    assert_eq!(rows[3], [&task, "3", "finished", "30 s", "1", "exited with 7", "third"], "{table}");
    let narrow = tasks_table(root.path(), Some(100), NOW).expect("tasks");
    assert!(narrow.lines().all(|line| line.chars().count() <= 100), "{narrow}");
    let json: serde_json::Value =
        serde_json::from_str(&tasks_json(root.path()).expect("tasks")).expect("json");
    assert_eq!(json["items"][0]["progress"]["thousandths"], 429);
    assert_eq!(json["items"][2]["end"]["how"], "exited");
}

//! The database against the model in memory: the same changes give the same contents, also after
//! a restart.

use std::sync::Arc;

use edge_agent_logic::attempt::{Cause, Runs, State};
use edge_agent_logic::change::{AttemptRow, LinkSeen, ProgressRow};
use edge_agent_logic::clock::{Doubt, Trust};
use edge_agent_logic::memory::MemoryStore;
use edge_agent_logic::resident::{ResidentRow, Standing};
use shared::capacity::Resources;
use shared::id::{AssignmentId, Attempt, CoreId, Revision, ScheduleId, TaskId};
use shared::report::{End, Finish, Output, ProgressMark, Report, ReportEvent};
use shared::schedule::{IntervalTrigger, MissedRule, Overlap, Trigger, Zone};
use shared::spec::{Exec, Run};
use shared::time::{Stamp, Timestamp};
use shared::trace::TraceContext;
use shared::wire::downlink::{LocalRetry, Order, ResidentSchedule};
use shared_runtime::clock::new_uuid_v4;

use super::*;

fn agent(name: &str) -> AgentId {
    name.parse().expect("an agent id")
}

fn fresh() -> Incarnation {
    Incarnation(new_uuid_v4())
}

fn assignment(attempt: u32) -> AssignmentId {
    let task = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b".parse::<TaskId>().expect("a task id");
    AssignmentId { task, attempt: Attempt(attempt) }
}

fn added(attempt: u32) -> Change {
    let exec = Exec { command: "it's \"odd\"\u{1}".to_owned(), ..Exec::default() };
    Change::AttemptAdded(Box::new(AttemptRow {
        id: assignment(attempt),
        number: u64::from(attempt),
        accepted_at: Timestamp(-5),
        order: Arc::new(Order {
            name: Some("name".to_owned()),
            run: Run::Exec(exec),
            needs: Resources { cpu_millis: 7, ..Resources::default() },
            priority: 50,
            timeout_ms: Some(1),
            grace_ms: 2,
            stop_after_ms: None,
            lease_ms: Some(3),
            retry: LocalRetry::default(),
            firing: None,
            trace: Some(TraceContext {
                traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned(),
                tracestate: Some("a=1".to_owned()),
            }),
        }),
        schedule: (attempt == 2).then_some(SCHEDULE),
        state: State::Accepted,
        runs: Runs::default(),
        progress: None,
    }))
}

const SCHEDULE: ScheduleId = ScheduleId(uuid::Uuid::from_u128(0x5c));

fn resident(version: u32) -> Change {
    let order = match added(1) {
        Change::AttemptAdded(row) => row.order,
        _ => unreachable!("it is added"),
    };
    let interval = IntervalTrigger { interval_s: 60, anchor: None, after_end: false };
    let hold = Arc::new(ResidentSchedule {
        name: "read".parse().expect("a name"),
        version,
        tag: 0,
        created_at: Timestamp(1_000),
        from: Timestamp(2_000),
        trigger: Trigger::Interval(interval),
        zone: Some(Zone::utc()),
        starts_at: None,
        ends_at: Some(Timestamp(9_000_000)),
        exclude_days: Vec::new(),
        offset_ms: 7,
        missed: MissedRule::All,
        missed_max: 3,
        catch_up_s: 60,
        overlap: Overlap::Queue,
        queue_max: 2,
        order,
    });
    let standing = Standing { through: Timestamp(2_000), ..Standing::default() };
    Change::ScheduleHeld(Box::new(ResidentRow { schedule: SCHEDULE, hold, standing }))
}

fn come_farther() -> Change {
    let standing = Standing {
        through: Timestamp(61_000),
        since: Stamp { board: 1, mono_ms: 5, trusted: false },
        queue: vec![Timestamp(1_000), Timestamp(61_000)],
        fired: Some(Timestamp(1_000)),
    };
    Change::ScheduleMoved { schedule: SCHEDULE, standing }
}

fn dropped(through: i64) -> Change {
    Change::ScheduleDropped { schedule: SCHEDULE, through: Timestamp(through) }
}

fn report(seq: u64, event: ReportEvent) -> Change {
    let stamp = Stamp { board: 1, mono_ms: 2, trusted: true };
    let report = Report { assignment: assignment(1), at: Timestamp(9), stamp, event };
    Change::ReportAdded { seq: Sequence(seq), report: Box::new(report) }
}

fn finish() -> Box<Finish> {
    Box::new(Finish {
        end: End::Signaled { signal: 9 },
        started_at: Some(Timestamp(1)),
        ran_ms: Some(4),
        output: Output { stdout_tail: "x".repeat(1_000), ..Output::default() },
    })
}

fn finished() -> ReportEvent {
    ReportEvent::Finished(finish())
}

fn progress(attempt: u32) -> Change {
    let mark = ProgressMark { thousandths: Some(7), text: "so far".to_owned() };
    let progress = ProgressRow { at: Timestamp(8), stamp: Stamp::default(), mark };
    Change::ProgressPut { id: assignment(attempt), progress }
}

/// Batches that use every change.
fn batches() -> Vec<Vec<Change>> {
    let moved = |attempt, state| Change::AttemptMoved { id: assignment(attempt), state };
    let seen = |seen| Change::LinkMoved { seen, at: Timestamp(3) };
    let running = State::Running { boot: Boot(1), started_at: Timestamp(8) };
    vec![
        vec![
            added(1),
            report(1, ReportEvent::Accepted),
            moved(1, State::Starting { boot: Boot(1) }),
            Change::Applied { rev: Revision(4) },
            Change::CoreMet { core: CoreId(new_uuid_v4()) },
            seen(LinkSeen::Connected),
        ],
        vec![resident(1), resident(2)],
        vec![added(2), added(3), moved(1, running), report(2, ReportEvent::Started)],
        vec![come_farther(), resident(3), come_farther()],
        vec![
            moved(2, State::Stopping { cause: Cause::TimedOut, started_at: None }),
            report(3, finished()),
            Change::AttemptFinished { id: assignment(1), report: Sequence(3) },
            Change::Heard { at: Timestamp(77) },
        ],
        vec![Change::ReportsAcked { upto: Sequence(2), at: None }],
        vec![seen(LinkSeen::Down { reason: "cut".to_owned() })],
        vec![
            Change::ReportsAcked { upto: Sequence(3), at: Some(Timestamp(-4)) },
            Change::AttemptForgotten { id: assignment(1) },
        ],
        vec![progress(2), progress(3), progress(9)],
        vec![
            report(4, ReportEvent::Retried(finish())),
            Change::AttemptBegunAgain { id: assignment(2), runs: Runs { failures: 1, losses: 2 } },
            report(5, ReportEvent::Started),
            report(6, finished()),
            Change::ReportsDropped { seqs: vec![Sequence(5)] },
            Change::AttemptFinished { id: assignment(3), report: Sequence(6) },
        ],
        vec![Change::ReportsAcked { upto: Sequence(6), at: Some(Timestamp(5)) }],
        vec![
            Change::ReportsUnacked { acked: Sequence(3) },
            Change::Believed { at: Timestamp(70) },
            Change::ClockMoved {
                trust: Trust::Unsynced { why: Doubt::Jumped { by_ms: -5 } },
                offset_ms: Some(-3),
            },
        ],
        vec![Change::ReportsAcked { upto: Sequence(4), at: Some(Timestamp(7)) }],
        vec![Change::KeptForgotten { upto: Sequence(3) }, Change::Believed { at: Timestamp(60) }],
        vec![dropped(61_000)],
        vec![resident(4), dropped(1_000), dropped(62_000)],
        vec![resident(5)],
        vec![dropped(63_000), Change::DroppedForgotten { schedule: SCHEDULE }],
    ]
}

#[test]
fn it_holds_what_the_model_holds_after_every_batch_and_every_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.sqlite");
    let incarnation = fresh();
    let mut model = MemoryStore::new(incarnation);
    for batch in batches() {
        let mut store = Store::open(&path, &agent("a"), incarnation).expect("open");
        let before = store.begin_boot().expect("boot");
        let mut expected = model.begin_boot();
        expected.outbox.rewind();
        assert_eq!(before, expected);
        store.commit(&batch).expect("commit");
        model.commit(&batch);
        let mut expected = model.stored();
        expected.outbox.rewind();
        assert_eq!(store.load().expect("load"), expected);
        let (after, upto) = (Sequence(0), Sequence(99));
        let reports = store.reports(after, upto, 100, usize::MAX).expect("reports");
        assert_eq!(reports, model.reports(after, upto, 100));
    }
}

#[test]
fn a_batch_is_committed_whole_or_not_at_all() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.sqlite");
    let mut store = Store::open(&path, &agent("a"), fresh()).expect("open");
    store.commit(&[report(1, ReportEvent::Accepted)]).expect("commit");
    let before = store.load().expect("load");
    // The second row has a number that is taken.
    let batch = [added(1), report(1, ReportEvent::Started)];
    assert!(matches!(store.commit(&batch), Err(StoreError::Sql(_))));
    assert_eq!(store.load().expect("load"), before);
    store.commit(&[added(1)]).expect("it can be used on");
}

#[test]
fn reports_are_read_in_runs_of_bounded_size() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.sqlite");
    let mut store = Store::open(&path, &agent("a"), fresh()).expect("open");
    let all: Vec<_> = (1..=10).map(|seq| report(seq, finished())).collect();
    store.commit(&all).expect("commit");
    let run = |after, upto, items, bytes| {
        let run = store.reports(Sequence(after), Sequence(upto), items, bytes).expect("reports");
        run.iter().map(|item| item.seq.0).collect::<Vec<_>>()
    };
    assert_eq!(run(3, 6, 100, usize::MAX), [4, 5, 6]);
    assert_eq!(run(0, 10, 2, usize::MAX), [1, 2]);
    assert_eq!(run(0, 10, 100, 3_000), [1, 2]);
    assert_eq!(run(0, 10, 100, 1), [1], "one that is too large goes alone");
    assert!(run(10, 10, 100, 1).is_empty());
}

#[test]
fn the_data_of_another_agent_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.sqlite");
    let first = fresh();
    Store::open(&path, &agent("a"), first).expect("open");
    let Err(error) = Store::open(&path, &agent("b"), fresh()) else { panic!("opened") };
    assert!(error.to_string().contains("write --id a"), "{error}");
    let store = Store::open(&path, &agent("a"), fresh()).expect("open");
    assert_eq!(store.load().expect("load").incarnation, first, "made once, kept");
}

#[test]
fn a_row_that_was_never_written_has_a_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.sqlite");
    let mut store = Store::open(&path, &agent("a"), fresh()).expect("open");
    store.commit(&[added(1)]).expect("commit");
    for sql in [
        "UPDATE attempt SET state = '{}'",
        "UPDATE attempt SET state = NULL",
        "UPDATE attempt SET state = '{\"state\":\"accepted\"}', work = '[]'",
        "UPDATE attempt SET task = 'x'",
    ] {
        store.connection.execute(sql, []).expect(sql);
        assert!(matches!(store.load(), Err(StoreError::Damaged { .. })), "{sql}");
    }
}

#[test]
fn people_can_read_beside_the_agent_and_without_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.sqlite");
    assert!(Reader::open(&path).is_err(), "there is none yet");
    let mut store = Store::open(&path, &agent("a"), fresh()).expect("open");
    store.begin_boot().expect("boot");
    for batch in batches().into_iter().take(5) {
        store.commit(&batch).expect("commit");
    }
    let beside = Reader::open(&path).expect("open").glance().expect("glance");
    let states: Vec<_> = beside.tasks.iter().map(|task| task.state).collect();
    assert_eq!(states, ["finished", "stopping", "accepted"]);
    assert_eq!((beside.reports_waiting, beside.boot, beside.id.as_str()), (3, 1, "a"));
    assert_eq!((beside.reports_kept, beside.clock), (0, Trust::Trusted));
    assert_eq!(beside.last_contact, Some(Timestamp(77)));
    let schedules: Vec<_> = beside.schedules.iter().map(|it| (it.version, it.waiting)).collect();
    assert_eq!(schedules, [(3, 2)]);
    drop(store);
    let without = Reader::open(&path).expect("open").glance().expect("glance");
    assert_eq!(without, beside);
}

#[test]
fn what_is_written_to_flash_is_counted_by_day() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("agent.sqlite");
    let mut store = Store::open(&path, &agent("a"), fresh()).expect("open");
    assert_eq!(store.flash().expect("read"), None);
    let today = FlashDay { day: 20_778, bytes: 4_096, ran_ms: 7 };
    store.commit_with(&[added(1)], Some(today)).expect("commit");
    store.commit(&[added(2)]).expect("commit");
    assert_eq!(store.flash().expect("read"), Some(today));
    let glance = Reader::open(&path).expect("open").glance().expect("glance");
    assert_eq!((glance.flash, glance.tasks.len()), (Some(today), 2));
}

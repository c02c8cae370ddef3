//! The driver with stores that fail, hang and come back: what is said, and when.

mod logs;
mod stage;

use std::sync::Arc;
use std::time::Duration;

use cloud_core_logic::change::{Credential, IdempotencyKey};
use cloud_core_logic::{Answer, KEYS_MAX, NewTask, Taken};
use shared::api::AgentStatus;
use shared::id::{AgentId, Boot, CoreId, Incarnation, Revision, Sequence, TaskId};
use shared::spec::{Run as TaskRun, TaskSpec};
use shared::task::{FailureReason, TaskStatus};
use shared::time::Timestamp;
use shared::wire::Uplink;
use shared::wire::uplink::{Facts, Hello, Join, Load};
use uuid::Uuid;

use super::*;
use crate::store::{MemoryStore, SqliteStore, TaskFilter};
use stage::{Happened, Mood, Moody, Recorder, Stage};

struct Rig {
    core: Core,
    uplinks: Uplinks,
    driver: DriverHandle,
    stage: Arc<Stage>,
}

fn rig_on(store: Box<dyn Store>, bounds: Bounds) -> Rig {
    rig_with(store, bounds, Settings::default())
}

fn rig_with(store: Box<dyn Store>, bounds: Bounds, settings: Settings) -> Rig {
    let stage = Stage::new();
    let mut store = Moody { store, stage: Arc::clone(&stage) };
    let parts = Parts {
        topics: tokio::sync::watch::Sender::default(),
        zones: std::sync::Arc::new(shared::schedule::OnlyUtc),
        stored: store.load().expect("load"),
        store: Box::new(store),
        outbound: Box::new(Recorder(Arc::clone(&stage))),
        settings,
        policy: Policy::default(),
        bounds,
        logs: LogBounds::default(),
        history: HistoryBounds::default(),
        metrics: Metrics::unread(),
        traces: TraceLane::default(),
    };
    let (core, uplinks, driver) = start(parts).expect("start");
    Rig { core, uplinks, driver, stage }
}

fn rig() -> Rig {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    rig_on(Box::new(store), Bounds::default())
}

fn spec() -> Arc<TaskSpec> {
    TaskSpec::new(TaskRun::Noop {}).into()
}

fn agent(id: &str) -> AgentId {
    id.parse().expect("an agent id")
}

fn join(id: &str) -> Input {
    let credential = Credential { password_hash: "0".repeat(64), seal_key: "1".repeat(64) };
    let incarnation = Incarnation(Uuid::from_u128(9));
    Input::Join { agent: agent(id), join: Join { nonce: "2".repeat(64), incarnation }, credential }
}

fn submitted(answer: Result<Answer, CoreBusy>) -> TaskId {
    match answer {
        Ok(Answer::Submitted(task)) => task.summary.id,
        other => panic!("not submitted: {other:?}"),
    }
}

/// Submits in the background.
fn submitting(core: &Core) -> tokio::task::JoinHandle<Result<Answer, CoreBusy>> {
    let core = core.clone();
    tokio::spawn(async move { core.submit(spec(), None, None).await })
}

fn count(core: &Core) -> usize {
    core.reader().tasks(&TaskFilter::default(), 1_000, None).expect("list").items.len()
}

#[tokio::test]
async fn an_acknowledgement_never_leaves_before_the_commit() {
    let Rig { core, stage, driver: _driver, .. } = rig();
    stage.set(Mood::Full);
    let waiting = submitting(&core);
    stage.until(|happened| happened.len() >= 3).await;
    assert!(!waiting.is_finished(), "acknowledged without a commit");
    assert_eq!(count(&core), 0);
    // Meanwhile nothing new is taken, and that is said at once.
    assert!(!core.is_ready().store_writable);
    assert!(matches!(core.submit(spec(), None, None).await, Err(CoreBusy::StoreFailing { .. })));
    assert!(matches!(core.fleet().await, Err(CoreBusy::StoreFailing { .. })));
    stage.set(Mood::Works);
    let id = submitted(waiting.await.expect("task"));
    assert!(core.reader().task(id).expect("read").is_some());
    assert_eq!(count(&core), 1, "what was refused was not done");
    assert!(core.is_ready().store_writable);
    submitted(core.submit(spec(), None, None).await);
}

#[tokio::test]
async fn whoever_waits_in_the_queue_when_the_store_fails_is_refused() {
    let Rig { core, stage, driver: _driver, .. } = rig();
    stage.set(Mood::Hangs);
    let first = submitting(&core);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let second = submitting(&core);
    tokio::time::sleep(Duration::from_millis(50)).await;
    stage.set(Mood::Full);
    let busy = second.await.expect("task").expect_err("refused");
    assert!(matches!(busy, CoreBusy::StoreFailing { .. }), "{busy:?}");
    assert!(!first.is_finished());
    stage.set(Mood::Works);
    submitted(first.await.expect("task"));
    assert_eq!(count(&core), 1);
}

#[tokio::test]
async fn a_join_is_on_disk_and_in_force_before_it_is_answered() {
    let Rig { uplinks, stage, driver: _driver, .. } = rig();
    stage.set(Mood::Full);
    uplinks.send(join("a")).await.expect("taken");
    stage.until(|happened| happened.len() >= 2).await;
    assert!(stage.happened().iter().all(|happened| *happened == Happened::Failed));
    stage.set(Mood::Works);
    stage.until(|happened| happened.contains(&Happened::JoinAnswered(agent("a"), true))).await;
    let after: Vec<_> =
        stage.happened().into_iter().skip_while(|happened| *happened == Happened::Failed).collect();
    assert_eq!(
        after,
        [
            // The credential, and what is told of it.
            Happened::Committed { changes: 2 },
            Happened::CredentialPut(agent("a")),
            Happened::JoinAnswered(agent("a"), true),
        ]
    );
}

#[tokio::test]
async fn messages_of_agents_wait_out_a_failing_store() {
    let Rig { core, uplinks, stage, driver: _driver, .. } = rig();
    stage.set(Mood::Full);
    let first = submitting(&core);
    stage.until(|happened| !happened.is_empty()).await;
    for id in ["a", "b", "c"] {
        uplinks.send(join(id)).await.expect("taken");
    }
    stage.set(Mood::Works);
    submitted(first.await.expect("task"));
    stage.until(|happened| happened.contains(&Happened::JoinAnswered(agent("c"), true))).await;
}

fn hello() -> Input {
    let hello = Hello {
        incarnation: Incarnation(Uuid::from_u128(9)),
        boot: Boot(1),
        session: shared::id::Session(1),
        link: 1,
        beat: 1,
        facts: Facts { arch: "arm".to_owned(), tasks_max: 1, ..Facts::default() },
        core: None,
        applied_rev: Revision(0),
        last_seq: Sequence(0),
        acked_seq: Sequence(0),
        inventory: shared::wire::uplink::InventoryPart { parts: 1, ..Default::default() },
        stamp: shared::time::Stamp::default(),
        load: Load::default(),
        sent_at: Timestamp(0),
    };
    Input::Uplink { agent: agent("a"), message: Uplink::Hello(Box::new(hello)) }
}

#[tokio::test]
async fn silence_says_nothing_while_the_core_itself_was_deaf() {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let settings = Settings { heartbeat_ms: 200, ..Settings::default() };
    let Rig { core, uplinks, stage, driver: _driver } =
        rig_with(Box::new(store), Bounds::default(), settings);
    for input in [Input::Broker { up: true }, join("a"), hello()] {
        uplinks.send(input).await.expect("taken");
    }
    let status = |view: Arc<FleetView>| view.fleet.get(&agent("a")).map(|agent| agent.status);
    let mut online = false;
    for _ in 0..100 {
        online = online || status(core.fleet().await.expect("view")) == Some(AgentStatus::Online);
    }
    assert!(online);
    stage.set(Mood::Hangs);
    let stuck = submitting(&core);
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    stage.set(Mood::Works);
    submitted(stuck.await.expect("task"));
    assert_eq!(status(core.fleet().await.expect("view")), Some(AgentStatus::Online));
    // And when it can be heard, it does.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    assert_eq!(status(core.fleet().await.expect("view")), Some(AgentStatus::Offline));
}

#[tokio::test]
async fn a_failure_that_does_not_pass_ends_the_driver() {
    let Rig { core, uplinks, mut driver, stage } = rig();
    stage.set(Mood::Contradicts);
    let busy = core.submit(spec(), None, None).await.expect_err("refused");
    assert_eq!(busy, CoreBusy::Stopping);
    let error = driver.ended().await.expect_err("an error");
    assert!(matches!(error, DriverError::Store(StoreError::Contradiction { .. })), "{error}");
    assert_eq!(core.submit(spec(), None, None).await, Err(CoreBusy::Stopping));
    assert_eq!(uplinks.send(Input::Tick).await, Err(Stopped));
    assert!(!core.is_ready().is_ready());
    assert_eq!(stage.happened(), [Happened::Failed], "it was not tried again");
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_loses_nothing_it_took() {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let bounds = Bounds { requests_max: 4, ..Bounds::default() };
    let Rig { core, stage, driver: _driver, .. } = rig_on(Box::new(store), bounds);
    stage.set(Mood::Hangs);
    let mut taken = vec![submitting(&core)];
    tokio::time::sleep(Duration::from_millis(50)).await;
    taken.extend((0..4).map(|_| submitting(&core)));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let refused = core.submit(spec(), None, None).await;
    assert!(matches!(refused, Err(CoreBusy::QueueFull { retry_after_s: 1.. })), "{refused:?}");
    stage.set(Mood::Works);
    for waiting in taken {
        submitted(waiting.await.expect("task"));
    }
    assert_eq!(count(&core), 5);
}

#[tokio::test]
async fn many_submissions_share_one_transaction() {
    let Rig { core, stage, driver: _driver, .. } = rig();
    stage.set(Mood::Hangs);
    let mut waiting = vec![submitting(&core)];
    tokio::time::sleep(Duration::from_millis(50)).await;
    waiting.extend((0..500).map(|_| submitting(&core)));
    tokio::time::sleep(Duration::from_millis(100)).await;
    stage.set(Mood::Works);
    for waiting in waiting {
        submitted(waiting.await.expect("task"));
    }
    assert!(stage.commits() <= 3, "{} commits for 501 submissions", stage.commits());
}

fn new_task(core: &Core, key: Option<String>) -> NewTask {
    let key = key.map(|key| IdempotencyKey { key, body_hash: "same".to_owned() });
    NewTask { id: core.new_task_id(), spec: spec(), key, trace: None }
}

#[tokio::test]
async fn many_tasks_are_one_message_and_share_no_transaction_with_too_many_others() {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let bounds = Bounds { batch_max: 100, ..Bounds::default() };
    let Rig { core, stage, driver: _driver, .. } = rig_on(Box::new(store), bounds);
    stage.set(Mood::Hangs);
    let mut waiting = vec![submitting(&core)];
    tokio::time::sleep(Duration::from_millis(50)).await;
    for _ in 0..4 {
        let core = core.clone();
        let tasks = (0..80).map(|_| new_task(&core, None)).collect();
        let mark = core.key_mark();
        waiting.push(tokio::spawn(async move { core.submit_many(tasks, mark).await }));
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    stage.set(Mood::Works);
    submitted(waiting.remove(0).await.expect("task"));
    for waiting in waiting {
        let answer = waiting.await.expect("task").expect("an answer");
        let Answer::SubmittedMany(taken) = answer else { panic!("{answer:?}") };
        assert_eq!(taken.len(), 80);
        assert!(taken.iter().all(|one| matches!(one, Taken::Submitted { .. })));
    }
    assert_eq!(count(&core), 321);
    assert_eq!(stage.commits(), 3, "the first alone, then twice two batches");
}

#[tokio::test]
async fn a_look_for_keys_that_is_too_old_to_be_relied_on_is_asked_for_again() {
    let Rig { core, driver: _driver, .. } = rig();
    let early = core.key_mark();
    for batch in 0..KEYS_MAX / 10_000 {
        let key = |n: usize| Some(format!("{batch}-{n}"));
        let tasks = (0..10_000).map(|n| new_task(&core, key(n))).collect();
        core.submit_many(tasks, core.key_mark()).await.expect("taken");
    }
    let first = || vec![new_task(&core, Some("0-0".to_owned()))];
    let busy = core.submit_many(first(), early).await;
    assert!(matches!(busy, Err(CoreBusy::QueueFull { .. })), "{busy:?}");
    let unkeyed = core.submit_many(vec![new_task(&core, None)], early).await;
    assert!(unkeyed.is_ok(), "{unkeyed:?}");
}

#[tokio::test]
async fn a_caller_who_is_gone_does_not_undo_what_was_asked() {
    let Rig { core, stage, driver: _driver, .. } = rig();
    stage.set(Mood::Hangs);
    let gone = submitting(&core);
    tokio::time::sleep(Duration::from_millis(50)).await;
    gone.abort();
    stage.set(Mood::Works);
    submitted(core.submit(spec(), None, None).await);
    assert_eq!(count(&core), 2);
}

#[tokio::test]
async fn a_look_at_the_fleet_is_shared_by_all_who_ask_together() {
    let Rig { core, stage, uplinks, driver: _driver, .. } = rig();
    stage.set(Mood::Hangs);
    let first = submitting(&core);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let looks: Vec<_> = (0..2)
        .map(|_| {
            let core = core.clone();
            tokio::spawn(async move { core.fleet().await })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    stage.set(Mood::Works);
    let mut views = Vec::new();
    for look in looks {
        views.push(look.await.expect("task").expect("a view"));
    }
    assert!(Arc::ptr_eq(&views[0], &views[1]));
    submitted(first.await.expect("task"));
    uplinks.send(Input::Broker { up: true }).await.expect("taken");
    core.fleet().await.expect("a view");
    assert!(core.is_ready().is_ready());
}

#[tokio::test]
async fn time_passes_without_any_input() {
    let Rig { core, driver: _driver, .. } = rig();
    let mut spec = (*spec()).clone();
    spec.deadline_s = Some(1);
    let id = submitted(core.submit(spec.into(), None, None).await);
    for _ in 0..300 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let task = core.reader().task(id).expect("read").expect("there");
        if task.summary.status == TaskStatus::Failed {
            assert_eq!(task.summary.reason, Some(FailureReason::DeadlinePassed));
            return;
        }
    }
    panic!("its deadline never passed");
}

#[tokio::test]
async fn a_stop_finishes_what_was_taken_and_refuses_the_rest() {
    let Rig { core, mut driver, stage, .. } = rig();
    stage.set(Mood::Hangs);
    let taken = submitting(&core);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let queued = submitting(&core);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let reader = core.reader();
    let stopping = tokio::spawn(async move { driver.stop().await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    stage.set(Mood::Works);
    let id = submitted(taken.await.expect("task"));
    assert_eq!(queued.await.expect("task"), Err(CoreBusy::Stopping));
    stopping.await.expect("task").expect("in order");
    assert_eq!(core.submit(spec(), None, None).await, Err(CoreBusy::Stopping));
    assert!(reader.task(id).expect("read").is_some());
    assert_eq!(core.is_ready().reasons().first(), Some(&"the core is stopping"));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_store_that_fails() {
    let Rig { core, mut driver, stage, .. } = rig();
    stage.set(Mood::Full);
    let waiting = submitting(&core);
    stage.until(|happened| happened.len() >= 2).await;
    driver.stop().await.expect("in order");
    assert_eq!(waiting.await.expect("task"), Err(CoreBusy::Stopping), "nothing was acknowledged");
    assert_eq!(count(&core), 0);
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("core.db");
    let open = || SqliteStore::open(&path, CoreId(Uuid::from_u128(1)), Timestamp(0)).expect("open");
    let mut ids = Vec::new();
    for _ in 0..3 {
        let Rig { core, mut driver, .. } = rig_on(Box::new(open()), Bounds::default());
        for _ in 0..20 {
            ids.push(submitted(core.submit(spec(), None, None).await));
        }
        driver.stop().await.expect("in order");
    }
    let stored: Vec<TaskId> =
        open().load().expect("load").tasks.iter().map(|task| task.id).collect();
    ids.sort();
    assert_eq!(stored, ids);
}

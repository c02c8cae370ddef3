//! Logs beside the decisions: written after them, never in their way, and acknowledged only once
//! they are on disk.

use shared::assignment::AssignmentStatus;
use shared::id::{AssignmentId, Attempt};
use shared::wire::uplink::{LogChunk, LogPiece, LogStream};

use super::*;
use crate::store::LogDrop;

fn chunk(task: TaskId, offset: u64, text: &str) -> LogChunk {
    let piece = LogPiece::Text {
        offset,
        bytes: text.len() as u64,
        at: Timestamp(5),
        stream: LogStream::Stdout,
        text: text.to_owned(),
    };
    let assignment = AssignmentId { task, attempt: Attempt(1) };
    LogChunk { assignment, pieces: vec![piece], last: false }
}

/// A rig with a task that an agent has been offered.
async fn placed(bounds: Bounds) -> (Rig, TaskId) {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let rig = rig_on(Box::new(store), bounds);
    rig.uplinks.send(Input::Broker { up: true }).await.expect("a driver");
    let mut hello = hello();
    if let Input::Uplink { message: Uplink::Hello(hello), .. } = &mut hello {
        hello.facts.runtimes = vec!["noop".to_owned()];
        hello.facts.tasks_max = 4;
    }
    rig.uplinks.send(hello).await.expect("a driver");
    let task = submitted(rig.core.submit(spec(), None, None).await);
    let offered = || {
        let task = rig.core.reader().task(task).expect("read").expect("there");
        task.assignments.first().is_some_and(|one| one.status == AssignmentStatus::Offered)
    };
    until(offered).await;
    (rig, task)
}

/// Waits for what comes about by itself.
async fn until(holds: impl Fn() -> bool) {
    for _ in 0..4_000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("it never came about");
}

fn acks(happened: &[Happened]) -> Vec<u64> {
    let upto = |one: &Happened| match one {
        Happened::LogsAcked(_, upto) => Some(*upto),
        _ => None,
    };
    happened.iter().filter_map(upto).collect()
}

#[tokio::test]
async fn logs_are_acknowledged_once_they_are_kept_and_to_their_agent_only() {
    let (Rig { uplinks, stage, core, driver: _driver }, task) = placed(Bounds::default()).await;
    stage.set(Mood::Full);
    uplinks.offer_logs(agent("a"), chunk(task, 0, "one\n")).expect("room");
    stage.until(|happened| happened.contains(&Happened::LogsFailed)).await;
    assert!(acks(&stage.happened()).is_empty(), "acknowledged without a commit");
    stage.set(Mood::Works);
    uplinks.offer_logs(agent("b"), chunk(task, 0, "forged")).expect("room");
    uplinks.offer_logs(agent("a"), chunk(task, 0, "one\n")).expect("room");
    uplinks.offer_logs(agent("a"), chunk(task, 4, "two\n")).expect("room");
    stage.until(|happened| acks(happened).last() == Some(&8)).await;
    let happened = stage.happened();
    let kept = happened.iter().position(|one| matches!(one, Happened::LogsKept { .. }));
    let acked = happened.iter().position(|one| matches!(one, Happened::LogsAcked(..)));
    assert!(kept.expect("kept") < acked.expect("acknowledged"));
    let to_another =
        |one: &Happened| matches!(one, Happened::LogsAcked(to, _) if *to != agent("a"));
    assert!(!happened.iter().any(to_another));
    let id = AssignmentId { task, attempt: Attempt(1) };
    let part = core.reader().log_part(id, 0).expect("read");
    let text: String = part.pieces.into_iter().map(|piece| piece.text).collect();
    assert_eq!(text, "one\ntwo\n");
}

#[tokio::test]
async fn a_flood_of_logs_is_dropped_and_decisions_go_first() {
    // Two requests are decided at a time.
    let bounds = Bounds { logs_max: 8, batch_max: 2, ..Bounds::default() };
    let (Rig { core, uplinks, stage, driver: _driver }, task) = placed(bounds).await;
    stage.set(Mood::Hangs);
    let first = submitting(&core);
    // The driver hangs in the commit of the first; the others wait, and so do logs.
    until(|| stage.hangs()).await;
    let others = [submitting(&core), submitting(&core), submitting(&core)];
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut dropped = 0;
    for number in 0..1_000 {
        match uplinks.offer_logs(agent("a"), chunk(task, number, "x")) {
            Ok(()) => {}
            Err(LogDrop::LaneFull) => dropped += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(dropped >= 1_000 - 9, "{dropped} dropped");
    let before = stage.happened().len();
    stage.set(Mood::Works);
    submitted(first.await.expect("joined"));
    for other in others {
        submitted(other.await.expect("joined"));
    }
    stage.until(|happened| !acks(happened).is_empty()).await;
    let happened = stage.happened();
    let after = &happened[before..];
    let kept = after.iter().position(|one| matches!(one, Happened::LogsKept { .. }));
    let commits = after[..kept.expect("kept")]
        .iter()
        .filter(|one| matches!(one, Happened::Committed { .. }))
        .count();
    assert_eq!(commits, 3, "logs were written before a decision that waited: {after:?}");
}

#[tokio::test]
async fn decisions_that_never_cease_do_not_keep_logs_out() {
    let bounds = Bounds { batch_max: 2, ..Bounds::default() };
    let (Rig { core, uplinks, stage, driver: _driver }, task) = placed(bounds).await;
    let begun = stage.commits();
    let mut busy = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let core = core.clone();
        busy.spawn(async move {
            loop {
                submitted(core.submit(spec(), None, None).await);
            }
        });
    }
    until(|| stage.commits() > begun + 200).await;
    uplinks.offer_logs(agent("a"), chunk(task, 0, "one\n")).expect("room");
    stage.until(|happened| !acks(happened).is_empty()).await;
    busy.abort_all();
}

#[tokio::test]
async fn logs_go_when_there_is_no_room_for_a_decision() {
    let (Rig { core, uplinks, stage, driver: _driver }, task) = placed(Bounds::default()).await;
    uplinks.offer_logs(agent("a"), chunk(task, 0, "one\n")).expect("room");
    stage.until(|happened| !acks(happened).is_empty()).await;
    stage.set(Mood::Full);
    let waiting = submitting(&core);
    stage.until(|happened| happened.contains(&Happened::LogsGivenUp)).await;
    let id = AssignmentId { task, attempt: Attempt(1) };
    assert!(core.reader().log_part(id, 0).expect("read").pieces.is_empty());
    stage.set(Mood::Works);
    submitted(waiting.await.expect("joined"));
}

//! Schedules in the small world: made, changed and fired, and a board that does what it is told.

use std::sync::Arc;

use cloud_core_logic::firing::{FiringResult, FiringRow, ScheduleRow, SkippedBecause};
use cloud_core_logic::{Effect, Input, PutSchedule, ScheduleOperation};
use serde_json::{Value, json};
use shared::id::{AssignmentId, Attempt, ScheduleName, TaskId};
use shared::report::{End, ReportEvent};
use shared::schedule;
use shared::time::Timestamp;
use shared::wire::downlink::Want;

use super::{Board, World, finished};

pub const MINUTE_MS: u64 = 60_000;

pub fn every_minute(more: Value) -> Value {
    let mut document = json!({
        "name": "tick", "trigger": {"interval_s": 60, "anchor": "1970-01-01T00:00:00Z"},
        "task": {"run": {"noop": {}}},
    });
    for (key, value) in more.as_object().expect("an object") {
        document[key] = value.clone();
    }
    document
}

pub fn put(world: &mut World, document: &Value) -> Vec<Effect> {
    let spec = Arc::new(schedule::parse(document).expect("a schedule"));
    let before = row_named(world, &spec.name).map(Box::new);
    let reply = world.reply();
    let wish = PutSchedule { before, spec, only_new: false, reply };
    world.step(Input::PutSchedule(Box::new(wish)))
}

pub fn row_named(world: &World, name: &ScheduleName) -> Option<ScheduleRow> {
    world.maps.schedules.values().find(|row| row.spec.name == *name).cloned()
}

pub fn operate(world: &mut World, name: &str, operation: ScheduleOperation) -> Vec<Effect> {
    let row = row_named(world, &name.parse().expect("a name")).expect("a schedule");
    let reply = world.reply();
    world.step(Input::OperateSchedule { before: Box::new(row), operation, reply })
}

pub fn firings(world: &World) -> Vec<FiringRow> {
    world.maps.firings.values().cloned().collect()
}

/// The tasks that were fired, with the minute that they were fired for.
pub fn fired(world: &World) -> Vec<(i64, TaskId)> {
    let rows = world.maps.firings.values();
    rows.filter_map(|row| match row.result {
        FiringResult::Fired { task } => Some((row.at.0 / 60_000, task)),
        _ => None,
    })
    .collect()
}

pub fn skipped(world: &World) -> Vec<SkippedBecause> {
    let rows = world.maps.firings.values();
    rows.filter_map(|row| match row.result {
        FiringResult::Skipped { because, .. } => Some(because),
        _ => None,
    })
    .collect()
}

pub fn first_attempt(task: TaskId) -> AssignmentId {
    AssignmentId { task, attempt: Attempt(1) }
}

/// A world with a board on which tasks stay until the test ends them.
pub fn with_board(document: &Value) -> (World, Board) {
    let mut world = World::new();
    let mut board = Board::new("a");
    world.hello(&mut board);
    put(&mut world, document);
    (world, board)
}

/// The board takes on what it was sent.
pub fn take(world: &mut World, board: &mut Board, effects: &[Effect]) {
    for row in board.apply(effects) {
        match row.want {
            Want::Run(_) => world.report(board, row.assignment, ReportEvent::Accepted),
            Want::Stop { reason } => {
                world.report(board, row.assignment, finished(End::Stopped { reason }));
            }
        }
    }
}

pub fn end(world: &mut World, board: &mut Board, task: TaskId) {
    let effects = world.beat(board);
    take(world, board, &effects);
    let message =
        board.queue(first_attempt(task), Timestamp(world.wall), finished(End::Exited { code: 0 }));
    let effects = world.say(board, message);
    take(world, board, &effects);
}

pub fn pass(world: &mut World, board: &mut Board, milliseconds: u64) {
    for _ in 0..milliseconds / 500 {
        let effects = world.pass(500);
        take(world, board, &effects);
        world.beat(board);
    }
}

//! Resident schedules in the small world: made, held by boards, and what boards tell of them.

use std::sync::Arc;

use cloud_core_logic::firing::ScheduleRow;
use cloud_core_logic::{Effect, Input, PutSchedule, ScheduleOperation};
use serde_json::{Value, json};
use shared::id::{AssignmentId, Attempt, ScheduleId, TaskId};
use shared::report::ReportEvent;
use shared::schedule;
use shared::task::TaskStatus;
use shared::time::Timestamp;
use shared::wire::downlink::ScheduleRow as Told;

use super::{Board, World, sent_to};

pub fn resident(more: Value) -> Value {
    let mut document = json!({
        "name": "sample", "trigger": {"cron": "*/5 * * * *"}, "resident": true,
        "task": {"run": {"noop": {}}, "where": {"labels": {"kind": "shop"}}},
    });
    for (key, value) in more.as_object().expect("an object") {
        document[key] = value.clone();
    }
    document
}

pub fn row(world: &World) -> ScheduleRow {
    world.maps.schedules.values().next().cloned().expect("a schedule")
}

pub fn put(world: &mut World, document: &Value) -> Vec<Effect> {
    let spec = Arc::new(schedule::parse(document).expect("a schedule"));
    let same = |row: &&ScheduleRow| row.spec.name == spec.name;
    let before = world.maps.schedules.values().find(same).cloned().map(Box::new);
    let reply = world.reply();
    let wish = PutSchedule { before, spec, only_new: false, reply };
    world.step(Input::PutSchedule(Box::new(wish)))
}

pub fn operate(world: &mut World, operation: ScheduleOperation) -> Vec<Effect> {
    let (before, reply) = (Box::new(row(world)), world.reply());
    world.step(Input::OperateSchedule { before, operation, reply })
}

pub fn shop(name: &str) -> Board {
    let mut board = Board::new(name);
    board.facts.labels.insert("kind".to_owned(), "shop".to_owned());
    board.facts.schedules_max = 10;
    board
}

/// A world with a board, and a schedule that it has taken on.
pub fn holding(document: &Value) -> (World, Board) {
    let mut world = World::new();
    let mut board = shop("a");
    let effects = world.hello(&mut board);
    board.apply(&effects);
    let effects = put(&mut world, document);
    board.apply(&effects);
    (world, board)
}

/// What is told to a board of schedules.
pub fn told(effects: &[Effect], board: &Board) -> Vec<Told> {
    sent_to(effects, &board.id).flat_map(|desired| desired.schedules.clone()).collect()
}

/// Who is to hold a schedule, as it is stored.
pub fn holders(world: &World) -> Vec<String> {
    let held = world.maps.residents.iter().filter(|(_, row)| row.held);
    held.map(|((agent, _), _)| agent.to_string()).collect()
}

/// The attempt that a board makes of a moment.
pub fn made(world: &World, board: &Board, moment: Timestamp) -> AssignmentId {
    let task = TaskId::of_firing(row(world).id, moment, board.incarnation);
    AssignmentId { task, attempt: Attempt(1) }
}

pub fn fired(schedule: ScheduleId, version: u32, moment: Timestamp) -> ReportEvent {
    ReportEvent::Fired { schedule, version, moment }
}

pub fn state(world: &World, id: AssignmentId) -> Option<TaskStatus> {
    world.maps.tasks.get(&id.task).map(|row| row.life.state.status())
}

//! Schedules that agents fire: who holds them, and what is made of what they tell.

mod common;

use std::sync::Arc;

use cloud_core_logic::firing::{FiringResult, ScheduleRow, SkippedBecause};
use cloud_core_logic::input::Operation;
use cloud_core_logic::{Effect, Input, PutSchedule, ScheduleOperation};
use common::{Board, World, finished, sent_to};
use serde_json::{Value, json};
use shared::id::{AssignmentId, Attempt, ScheduleId, TaskId};
use shared::report::{End, NotFiredBecause, ReportEvent, StopReason};
use shared::schedule;
use shared::task::{TaskState, TaskStatus};
use shared::time::Timestamp;
use shared::wire::downlink::ScheduleRow as Told;

fn resident(more: Value) -> Value {
    let mut document = json!({
        "name": "sample", "trigger": {"cron": "*/5 * * * *"}, "resident": true,
        "task": {"run": {"noop": {}}, "where": {"labels": {"kind": "shop"}}},
    });
    for (key, value) in more.as_object().expect("an object") {
        document[key] = value.clone();
    }
    document
}

fn row(world: &World) -> ScheduleRow {
    world.maps.schedules.values().next().cloned().expect("a schedule")
}

fn put(world: &mut World, document: &Value) -> Vec<Effect> {
    let spec = Arc::new(schedule::parse(document).expect("a schedule"));
    let same = |row: &&ScheduleRow| row.spec.name == spec.name;
    let before = world.maps.schedules.values().find(same).cloned().map(Box::new);
    let reply = world.reply();
    let wish = PutSchedule { before, spec, only_new: false, reply };
    world.step(Input::PutSchedule(Box::new(wish)))
}

fn operate(world: &mut World, operation: ScheduleOperation) -> Vec<Effect> {
    let (before, reply) = (Box::new(row(world)), world.reply());
    world.step(Input::OperateSchedule { before, operation, reply })
}

fn shop(name: &str) -> Board {
    let mut board = Board::new(name);
    board.facts.labels.insert("kind".to_owned(), "shop".to_owned());
    board.facts.schedules_max = 10;
    board
}

/// What is told to a board of schedules.
fn told(effects: &[Effect], board: &Board) -> Vec<Told> {
    sent_to(effects, &board.id).flat_map(|desired| desired.schedules.clone()).collect()
}

/// Who is to hold a schedule, as it is stored.
fn holders(world: &World) -> Vec<String> {
    let held = world.maps.residents.iter().filter(|(_, row)| row.held);
    held.map(|((agent, _), _)| agent.to_string()).collect()
}

/// The attempt that a board makes of a moment.
fn made(world: &World, board: &Board, moment: Timestamp) -> AssignmentId {
    let task = TaskId::of_firing(row(world).id, moment, board.incarnation);
    AssignmentId { task, attempt: Attempt(1) }
}

fn fired(schedule: ScheduleId, version: u32, moment: Timestamp) -> ReportEvent {
    ReportEvent::Fired { schedule, version, moment }
}

fn state(world: &World, id: AssignmentId) -> Option<TaskStatus> {
    world.maps.tasks.get(&id.task).map(|row| row.life.state.status())
}

#[test]
fn it_goes_to_every_agent_that_matches_and_follows_the_match() {
    let mut world = World::new();
    let (mut a, mut b) = (shop("a"), shop("b"));
    let mut farm = Board::new("farm");
    farm.facts.schedules_max = 10;
    let mut old = shop("old");
    old.facts.schedules_max = 0;
    for board in [&mut a, &mut farm, &mut old] {
        world.hello(board);
    }
    let effects = put(&mut world, &resident(json!({})));
    let rows = told(&effects, &a);
    let hold = rows[0].hold.as_ref().expect("to hold");
    assert_eq!((hold.name.as_str(), hold.version, hold.from), ("sample", 1, Timestamp(world.wall)));
    assert_eq!(holders(&world), ["a"]);
    // One that joins, one that becomes a shop, and one that is none any more.
    let effects = world.hello(&mut b);
    assert_eq!(told(&effects, &b).len(), 1);
    farm.facts.labels.insert("kind".to_owned(), "shop".to_owned());
    world.hello(&mut farm);
    assert_eq!(holders(&world), ["a", "b", "farm"]);
    farm.facts.labels.clear();
    let effects = world.hello(&mut farm);
    let rows = told(&effects, &farm);
    assert!(rows.last().is_some_and(|row| row.hold.is_none()), "{rows:?}");
    assert_eq!(holders(&world), ["a", "b"]);
    // An agent that is not to take more keeps what it has; one that is revoked has nothing.
    world.operate(&a, Operation::Cordon);
    assert_eq!(holders(&world), ["a", "b"]);
    world.operate(&b, Operation::Revoke);
    assert_eq!(holders(&world), ["a"]);
}

#[test]
fn an_edit_reaches_one_that_was_away_as_one_row() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    let effects = put(&mut world, &resident(json!({})));
    a.apply(&effects);
    for jitter_s in 1..5 {
        put(&mut world, &resident(json!({"jitter_s": jitter_s})));
    }
    world.restart();
    let effects = world.hello(&mut a);
    let rows = told(&effects, &a);
    assert_eq!(rows.len(), 1);
    let hold = rows[0].hold.as_ref().expect("to hold");
    assert_eq!((hold.version, hold.from), (5, Timestamp(1_000_000)));
}

#[test]
fn what_an_agent_fires_is_a_task_once_and_of_the_version_it_ran() {
    let mut world = World::new();
    let mut a = shop("a");
    let effects = world.hello(&mut a);
    a.apply(&effects);
    let effects = put(&mut world, &resident(json!({})));
    a.apply(&effects);
    let schedule = row(&world).id;
    // It fires while it is away, and the schedule is changed meanwhile.
    let task = json!({"run": {"noop": {}}, "where": {"labels": {"kind": "shop"}}, "priority": 7});
    put(&mut world, &resident(json!({"task": task})));
    let (first, second) = (Timestamp(1_200_000), Timestamp(1_500_000));
    world.wall = 1_600_000;
    let one = made(&world, &a, first);
    let two = made(&world, &a, second);
    world.report(&mut a, one, fired(schedule, 1, first));
    assert_eq!(state(&world, one), Some(TaskStatus::Assigned));
    world.restart();
    world.hello(&mut a);
    world.report(&mut a, one, ReportEvent::Started);
    world.report(&mut a, one, finished(End::Exited { code: 0 }));
    assert_eq!(state(&world, one), Some(TaskStatus::Succeeded));
    world.report(&mut a, two, fired(schedule, 2, second));
    let stored = |id: AssignmentId| &world.maps.tasks[&id.task];
    let origin = stored(one).origin.clone().expect("an origin");
    assert_eq!((origin.version, origin.at, stored(one).spec.priority), (1, first, 50));
    assert_eq!(
        (stored(two).spec.priority, &stored(two).spec.place.agents[..]),
        (7, &[a.id.clone()][..])
    );
    let known: Vec<_> = world.maps.firings.values().map(|row| (row.at, row.version)).collect();
    assert_eq!(known, [(first, 1), (second, 2)]);
    // Told again, by an agent that lies or has lost count: history, and nothing else.
    let before = (world.maps.tasks.len(), world.maps.firings.len());
    world.report(&mut a, one, fired(schedule, 1, first));
    world.report(&mut a, two, fired(schedule, 1, second));
    let strange = AssignmentId { task: TaskId(uuid::Uuid::from_u128(5)), attempt: Attempt(1) };
    world.report(&mut a, strange, fired(schedule, 1, Timestamp(1_800_000)));
    assert_eq!((world.maps.tasks.len(), world.maps.firings.len()), before);
}

#[test]
fn a_task_that_an_agent_made_fails_there_and_goes_nowhere_else() {
    let mut world = World::new();
    let (mut a, mut b) = (shop("a"), shop("b"));
    world.hello(&mut a);
    world.hello(&mut b);
    put(&mut world, &resident(json!({})));
    let moment = Timestamp(1_200_000);
    let id = made(&world, &a, moment);
    let schedule = row(&world).id;
    world.wall = 1_300_000;
    world.report(&mut a, id, fired(schedule, 1, moment));
    world.report(&mut a, id, finished(End::Exited { code: 3 }));
    world.beat(&mut a);
    for _ in 0..20 {
        world.pass(1_000);
        world.beat(&mut a);
        world.beat(&mut b);
    }
    let life = &world.maps.tasks[&id.task].life;
    assert_eq!((life.attempt, life.agent.as_ref()), (Attempt(2), Some(&a.id)));
    // Its agent is lost, and so is it.
    for _ in 0..120 {
        world.pass(1_000);
        world.beat(&mut b);
    }
    assert!(matches!(world.state(id.task), TaskState::Settled { .. }));
}

#[test]
fn what_did_not_fire_is_written_down() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    put(&mut world, &resident(json!({})));
    let schedule = row(&world).id;
    let missed = |moment, upto, because| ReportEvent::NotFired {
        schedule,
        version: 1,
        moment: Timestamp(moment),
        upto: Timestamp(upto),
        count: 3,
        because,
    };
    world.wall = 3_000_000;
    let id = made(&world, &a, Timestamp(1_200_000));
    world.report(&mut a, id, missed(1_200_000, 1_800_000, NotFiredBecause::Missed));
    world.report(&mut a, id, missed(2_100_000, 2_100_000, NotFiredBecause::NoRoom));
    let results: Vec<_> = world.maps.firings.values().map(|row| row.result.clone()).collect();
    assert_eq!(results[0], FiringResult::Missed { upto: Timestamp(1_800_000), count: 3 });
    assert!(matches!(results[1], FiringResult::Skipped { because: SkippedBecause::Refused, .. }));
    assert_eq!(results.len(), 2);
}

#[test]
fn a_moment_that_waited_fires_after_later_ones_did_not() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    put(&mut world, &resident(json!({"overlap": "queue"})));
    let schedule = row(&world).id;
    world.wall = 3_000_000;
    let (first, waited, full) = (1_200_000, 1_500_000, Timestamp(1_800_000));
    for moment in [first, waited] {
        if moment == waited {
            let event = ReportEvent::NotFired {
                schedule,
                version: 1,
                moment: full,
                upto: full,
                count: 1,
                because: NotFiredBecause::QueueFull,
            };
            let id = made(&world, &a, full);
            world.report(&mut a, id, event);
        }
        let id = made(&world, &a, Timestamp(moment));
        world.report(&mut a, id, fired(schedule, 1, Timestamp(moment)));
        assert_eq!(state(&world, id), Some(TaskStatus::Assigned), "{moment}");
        world.report(&mut a, id, finished(End::Exited { code: 0 }));
    }
    assert_eq!(world.maps.firings.len(), 3);
}

#[test]
fn the_moment_at_which_it_was_given_may_fire() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    put(&mut world, &resident(json!({"trigger": {"interval_s": 60, "after_end": true}})));
    let schedule = row(&world).id;
    let from = world.maps.residents[&(a.id.clone(), schedule)].from;
    let id = made(&world, &a, from);
    world.report(&mut a, id, fired(schedule, 1, from));
    assert_eq!(state(&world, id), Some(TaskStatus::Assigned));
}

#[test]
fn a_clock_that_is_years_ahead_does_not_silence_its_agent() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    put(&mut world, &resident(json!({})));
    let schedule = row(&world).id;
    world.wall = 2_000_000;
    let (ahead, right) = (Timestamp(90_000_000_000), Timestamp(1_800_000));
    let id = made(&world, &a, ahead);
    world.report(&mut a, id, fired(schedule, 1, ahead));
    assert_eq!(state(&world, id), None, "its word is kept, and makes nothing");
    let id = made(&world, &a, right);
    world.report(&mut a, id, fired(schedule, 1, right));
    assert_eq!(state(&world, id), Some(TaskStatus::Assigned));
}

#[test]
fn one_that_gave_way_to_the_next_on_its_agent_is_canceled() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    put(&mut world, &resident(json!({"overlap": "replace"})));
    let schedule = row(&world).id;
    world.wall = 2_000_000;
    let moment = Timestamp(1_200_000);
    let id = made(&world, &a, moment);
    world.report(&mut a, id, fired(schedule, 1, moment));
    world.report(&mut a, id, finished(End::Stopped { reason: StopReason::Canceled }));
    assert_eq!(state(&world, id), Some(TaskStatus::Canceled));
}

#[test]
fn the_best_few_hold_it_and_one_that_is_lost_is_replaced() {
    let mut world = World::new();
    let mut boards = ["a", "b", "c"].map(shop);
    for board in &mut boards {
        world.hello(board);
    }
    put(&mut world, &resident(json!({"resident": {"best": 2}})));
    let before = holders(&world);
    assert_eq!(before.len(), 2);
    // The first is not heard any more.
    for _ in 0..30 {
        world.pass(1_000);
        for board in &mut boards {
            if board.id.as_str() != before[0] {
                world.beat(board);
            }
        }
    }
    let after = holders(&world);
    assert_eq!(after.len(), 2);
    assert!(!after.contains(&before[0]) && after.contains(&before[1]), "{before:?} {after:?}");
}

#[test]
fn paused_changed_and_deleted_it_is_taken_from_those_who_hold_it() {
    let mut world = World::new();
    let mut a = shop("a");
    let effects = world.hello(&mut a);
    a.apply(&effects);
    let effects = put(&mut world, &resident(json!({})));
    a.apply(&effects);
    let effects = operate(&mut world, ScheduleOperation::Pause);
    a.apply(&effects);
    world.pass(10);
    assert!(holders(&world).is_empty());
    let effects = operate(&mut world, ScheduleOperation::Resume);
    a.apply(&effects);
    world.pass(10);
    assert_eq!(holders(&world), ["a"]);
    let schedule = row(&world).id;
    let resumed = Timestamp(world.wall - 10);
    assert_eq!(world.maps.residents[&(a.id.clone(), schedule)].from, resumed);
    let effects = operate(&mut world, ScheduleOperation::Delete);
    a.apply(&effects);
    assert!(holders(&world).is_empty());
    world.beat(&mut a);
    assert!(world.maps.residents.is_empty(), "it was told, and applied it");
}

#[test]
fn an_agent_with_a_new_database_begins_anew() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    put(&mut world, &resident(json!({})));
    world.gone(&a);
    world.wall += 500_000;
    a.incarnation = shared::id::Incarnation(uuid::Uuid::from_u128(77));
    a.boot = shared::id::Boot(1);
    a.applied = shared::id::Revision(0);
    let effects = world.hello(&mut a);
    let rows = told(&effects, &a);
    let hold = rows.last().and_then(|row| row.hold.as_ref()).expect("to hold");
    assert_eq!(hold.from, Timestamp(world.wall));
}

#[test]
fn a_core_put_back_to_a_backup_gives_and_takes_what_agents_hold_otherwise() {
    let mut world = World::new();
    let mut a = shop("a");
    let effects = world.hello(&mut a);
    a.apply(&effects);
    let effects = put(&mut world, &resident(json!({})));
    a.apply(&effects);
    let (sample, before) = (row(&world).id, a.schedules.clone());
    assert_eq!(before.len(), 1);
    let backup = world.maps.clone();
    let effects = put(&mut world, &resident(json!({"jitter_s": 60})));
    a.apply(&effects);
    let effects = put(&mut world, &resident(json!({"name": "later"})));
    a.apply(&effects);
    assert!(a.schedules.len() == 2 && a.schedules[&sample] != before[&sample]);

    world.put_back(backup.clone());
    let mut away = a.clone();
    let effects = world.hello(&mut a);
    a.apply(&effects);
    assert_eq!(a.schedules, before, "as the core knows it, and nothing else");
    world.beat(&mut a);
    assert_eq!(world.maps.residents.len(), 1, "that it let go is known, and forgotten");
    let effects = world.hello(&mut a);
    assert!(told(&effects, &a).is_empty(), "there is nothing more to be said");

    // Changed again before the agent comes back: another version 2 than the one it holds.
    world.put_back(backup);
    let changed = put(&mut world, &resident(json!({"missed": "skip"})));
    assert_eq!((row(&world).version, told(&changed, &away).len()), (2, 0));
    let effects = world.hello(&mut away);
    away.apply(&effects);
    let hold = told(&effects, &away).into_iter().find_map(|row| row.hold).expect("to hold");
    assert_eq!((hold.version, hold.missed), (2, schedule::MissedRule::Skip));
    assert_eq!(away.schedules, [(sample, hold.tag)].into());
}

#[test]
fn one_that_does_not_say_what_it_holds_is_left_alone() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    let effects = put(&mut world, &resident(json!({})));
    a.apply(&effects);
    a.schedules.clear();
    a.silent_of_schedules = true;
    let effects = world.hello(&mut a);
    assert!(told(&effects, &a).is_empty());
    a.silent_of_schedules = false;
    let effects = world.hello(&mut a);
    assert_eq!(told(&effects, &a).len(), 1, "it has lost what it was told");
}

#[test]
fn what_an_agent_fired_is_taken_after_the_core_has_taken_the_schedule_over() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    let mut task = json!({"run": {"noop": {}}, "deadline_s": 30});
    put(&mut world, &resident(json!({"task": task})));
    task["priority"] = json!(7);
    put(&mut world, &resident(json!({"task": task, "resident": false})));
    let (first, second) = (Timestamp(1_200_000), Timestamp(1_500_000));
    let (one, two) = (made(&world, &a, first), made(&world, &a, second));
    let schedule = row(&world).id;
    world.restart();
    world.hello(&mut a);
    world.report(&mut a, one, fired(schedule, 1, first));
    assert_eq!(state(&world, one), Some(TaskStatus::Assigned));
    assert_eq!(world.maps.tasks[&one.task].spec.priority, 50);
    // And after it was given back: of the version that ran.
    put(&mut world, &resident(json!({"task": task})));
    world.report(&mut a, two, fired(schedule, 1, second));
    assert_eq!(world.maps.tasks[&two.task].spec.priority, 50);
    // Its deadline holds.
    world.pass(31_000);
    let ended = format!("{:?}", world.state(two.task));
    assert!(ended.contains("DeadlinePassed"), "{ended}");
}

#[test]
fn an_agent_is_not_told_to_run_what_it_fired() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    put(&mut world, &resident(json!({})));
    let moment = Timestamp(1_200_000);
    let id = made(&world, &a, moment);
    let schedule = row(&world).id;
    world.wall = 1_300_000;
    let report = a.queue(id, moment, fired(schedule, 1, moment));
    let effects = world.say(&a, report);
    let told: Vec<_> = sent_to(&effects, &a.id).flat_map(|desired| desired.rows.clone()).collect();
    assert!(told.is_empty(), "it may be over: {told:?}");
    // What is tried again it does not know of.
    world.report(&mut a, id, finished(End::Exited { code: 3 }));
    let mut told = Vec::new();
    for _ in 0..20 {
        let effects = world.pass(1_000);
        told.extend(sent_to(&effects, &a.id).flat_map(|desired| desired.rows.clone()));
        world.beat(&mut a);
    }
    assert!(told.iter().any(|row| row.assignment.attempt == Attempt(2)), "{told:?}");
}

#[test]
fn one_that_agents_count_from_its_end_is_never_due_in_the_core() {
    let mut world = World::new();
    let mut a = shop("a");
    world.hello(&mut a);
    let trigger = json!({"interval_s": 60, "after_end": true});
    put(&mut world, &resident(json!({"trigger": trigger})));
    let moment = Timestamp(world.wall);
    let id = made(&world, &a, moment);
    let schedule = row(&world).id;
    world.report(&mut a, id, fired(schedule, 1, moment));
    world.report(&mut a, id, finished(End::Exited { code: 0 }));
    // Others go on when it would be.
    let other = json!({"name": "tick", "resident": false, "trigger": {"interval_s": 10}});
    put(&mut world, &resident(other));
    let before = world.maps.firings.len();
    for _ in 0..300 {
        world.pass(1_000);
        world.beat(&mut a);
    }
    assert_eq!(world.maps.firings.len(), before + 30);
}

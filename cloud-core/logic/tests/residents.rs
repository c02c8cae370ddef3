//! Schedules that agents fire: who holds them, and what is made of what they tell.

mod common;

use cloud_core_logic::ScheduleOperation;
use cloud_core_logic::firing::{FiringResult, SkippedBecause};
use cloud_core_logic::input::Operation;
use common::residents::{
    fired, holders, holding, made, operate, put, resident, row, shop, state, told,
};
use common::{Board, World, finished, sent_to};
use serde_json::json;
use shared::id::{AssignmentId, Attempt, TaskId};
use shared::report::{End, NotFiredBecause, ReportEvent, StopReason};
use shared::task::{TaskState, TaskStatus};
use shared::time::Timestamp;

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
    let (mut world, mut a) = holding(&resident(json!({})));
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
    let (mut world, mut a) = holding(&resident(json!({})));
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
    let (mut world, mut a) = holding(&resident(json!({})));
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
    let (mut world, mut a) = holding(&resident(json!({"overlap": "queue"})));
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
    let (mut world, mut a) =
        holding(&resident(json!({"trigger": {"interval_s": 60, "after_end": true}})));
    let schedule = row(&world).id;
    let from = world.maps.residents[&(a.id.clone(), schedule)].from;
    let id = made(&world, &a, from);
    world.report(&mut a, id, fired(schedule, 1, from));
    assert_eq!(state(&world, id), Some(TaskStatus::Assigned));
}

#[test]
fn a_clock_that_is_years_ahead_does_not_silence_its_agent() {
    let (mut world, mut a) = holding(&resident(json!({})));
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
    let (mut world, mut a) = holding(&resident(json!({"overlap": "replace"})));
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
    let (mut world, mut a) = holding(&resident(json!({})));
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
    let (mut world, mut a) = holding(&resident(json!({})));
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

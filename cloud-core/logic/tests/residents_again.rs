//! Schedules that agents fire, where one side has forgotten: a core that was put back to a backup, an agent
//! with a new database, and what is held otherwise than it should be.

mod common;

use cloud_core_logic::ScheduleOperation;
use common::residents::{fired, holding, made, operate, put, resident, row, shop, state, told};
use common::{Board, Maps, World, finished};
use serde_json::{Value, json};
use shared::id::{AssignmentId, Attempt, Incarnation, Revision, Sequence};
use shared::report::End;
use shared::schedule;
use shared::task::TaskStatus;
use shared::time::Timestamp;
use shared::wire::Uplink;
use uuid::Uuid;

#[test]
fn an_agent_with_a_new_database_begins_anew() {
    let (mut world, mut a) = holding(&resident(json!({})));
    world.gone(&a);
    world.wall += 500_000;
    a.incarnation = Incarnation(Uuid::from_u128(77));
    a.boot = shared::id::Boot(1);
    a.applied = Revision(0);
    let effects = world.hello(&mut a);
    let rows = told(&effects, &a);
    let hold = rows.last().and_then(|row| row.hold.as_ref()).expect("to hold");
    assert_eq!(hold.from, Timestamp(world.wall));
}

#[test]
fn a_core_put_back_to_a_backup_gives_and_takes_what_agents_hold_otherwise() {
    let (mut world, mut a) = holding(&resident(json!({})));
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
    let (mut world, mut a) = holding(&resident(json!({})));
    a.schedules.clear();
    a.silent_of_schedules = true;
    let effects = world.hello(&mut a);
    assert!(told(&effects, &a).is_empty());
    a.silent_of_schedules = false;
    let effects = world.hello(&mut a);
    assert_eq!(told(&effects, &a).len(), 1, "it has lost what it was told");
}

#[test]
fn what_is_given_anew_begins_behind_all_that_is_known_of_it() {
    let (mut world, mut a) = holding(&resident(json!({})));
    let backup = world.maps.clone();
    let (schedule, moment) = (row(&world).id, Timestamp(1_200_000));
    world.wall = 1_300_000;
    // It fired, and then the core took the schedule over; of neither the backup knows.
    let id = made(&world, &a, moment);
    let report = a.queue(id, moment, fired(schedule, 1, moment));
    world.say(&a, report);
    a.schedules.clear();
    world.put_back(backup);
    // A clock that was set back besides.
    world.wall = 1_100_000;
    let effects = world.hello(&mut a);
    a.apply(&effects);
    let again = told(&effects, &a).into_iter().find_map(|row| row.hold).expect("to hold");
    assert_eq!(again.from, Timestamp(1_100_000), "not since when it held it before");
    // Held, let go and held again, once it is known what it fired.
    let id = made(&world, &a, moment);
    world.report(&mut a, id, fired(schedule, 1, moment));
    a.facts.labels.clear();
    let effects = world.hello(&mut a);
    a.apply(&effects);
    assert!(a.schedules.is_empty());
    a.facts.labels.insert("kind".to_owned(), "shop".to_owned());
    let effects = world.hello(&mut a);
    let again = told(&effects, &a).into_iter().find_map(|row| row.hold).expect("to hold");
    assert_eq!(
        again.from, moment,
        "its moments up to here are dealt with, whatever the clock shows"
    );
}

#[test]
fn what_a_database_fired_of_which_the_core_has_forgotten_is_taken() {
    for paused in [false, true] {
        let (mut world, mut a) = holding(&resident(json!({})));
        let schedule = row(&world).id;
        // The core was put back to a backup from before this database, which has fired since.
        world.gone(&a);
        a.incarnation = Incarnation(Uuid::from_u128(77));
        world.wall = 1_300_000;
        if paused {
            operate(&mut world, ScheduleOperation::Pause);
        }
        let moment = Timestamp(1_200_000);
        let id = made(&world, &a, moment);
        let report = a.queue(id, moment, fired(schedule, 1, moment));
        let effects = world.hello(&mut a);
        a.apply(&effects);
        assert_eq!(a.schedules.is_empty(), paused);
        world.say(&a, report);
        assert_eq!(state(&world, id), Some(TaskStatus::Assigned), "paused: {paused}");
    }
}

/// A firing that the core was told of since a backup from before its agent joined.
struct FiredSince {
    world: World,
    a: Board,
    backup: Maps,
    id: AssignmentId,
    moment: Timestamp,
    report: Uplink,
}

fn fired_since_a_backup(document: &Value) -> FiredSince {
    let mut world = World::new();
    put(&mut world, document);
    let backup = world.maps.clone();
    let mut a = shop("a");
    let effects = world.hello(&mut a);
    a.apply(&effects);
    world.wall = 1_300_000;
    let moment = Timestamp(1_200_000);
    let id = made(&world, &a, moment);
    let report = a.queue(id, moment, fired(row(&world).id, 1, moment));
    world.say(&a, report.clone());
    FiredSince { world, a, backup, id, moment, report }
}

#[test]
fn what_an_agent_fired_of_which_a_backup_knows_nothing_is_taken() {
    let since = fired_since_a_backup(&resident(json!({})));
    let FiredSince { mut world, mut a, backup, id, report, .. } = since;
    world.put_back(backup);
    let effects = world.hello(&mut a);
    a.apply(&effects);
    world.say(&a, report);
    assert_eq!(state(&world, id), Some(TaskStatus::Assigned));
}

#[test]
fn what_is_held_is_compared_before_all_that_it_fired_is_taken() {
    let mut world = World::new();
    let mut a = shop("a");
    let effects = world.hello(&mut a);
    a.apply(&effects);
    let backup = world.maps.clone();
    let effects = put(&mut world, &resident(json!({})));
    a.apply(&effects);
    world.put_back(backup);
    // It fires faster than it is heard: the core never has all that it wrote before a hello.
    a.seq = Sequence(a.seq.0 + 1_000);
    let effects = world.hello(&mut a);
    let rows = told(&effects, &a);
    assert!(rows.iter().any(|row| row.hold.is_none()), "it is told to let go: {rows:?}");
}

#[test]
fn what_a_forgotten_firing_came_to_is_not_begun_again_under_a_number_that_it_had() {
    let task = json!({"run": {"noop": {}}, "where": {"labels": {"kind": "shop"}},
                      "retry": {"attempts_max": 9, "delay_s": 1, "delay_s_max": 1}});
    let since = fired_since_a_backup(&resident(json!({"task": task})));
    let FiredSince { mut world, mut a, backup, id, moment, report } = since;
    a.acked = a.seq;
    let end = a.queue(id, moment, finished(End::Exited { code: 1 }));
    world.say(&a, end.clone());
    world.pass(1_500);
    world.beat(&mut a);
    world.pass(1_500);
    assert_eq!(world.state(id.task).attempt(), Some(Attempt(2)), "the core has tried it again");
    // The backup knows of neither; the agent may have the second attempt behind it, and have forgotten it.
    world.put_back(backup);
    world.pass(world.settings.recovery_ms + 1);
    let effects = world.hello(&mut a);
    a.apply(&effects);
    world.say(&a, report);
    world.say(&a, end);
    world.pass(1_500);
    world.beat(&mut a);
    world.pass(1_500);
    assert!(world.state(id.task).attempt() > Some(Attempt(1_000)), "{:?}", world.state(id.task));
}

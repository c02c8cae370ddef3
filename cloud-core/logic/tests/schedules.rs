//! Schedules that the core fires: once for each moment, whatever happens meanwhile.

mod common;

use std::collections::BTreeSet;
use std::sync::Arc;

use cloud_core_logic::firing::{FiringResult, SkippedBecause};
use cloud_core_logic::{Answer, Input, PutSchedule, ScheduleOperation, Settings};
use common::schedules::{
    MINUTE_MS, end, every_minute, fired, firings, operate, pass, put, row_named, skipped, take,
    with_board,
};
use common::{Board, World, answer, noop, settings};
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::id::{ScheduleName, TaskId};
use shared::schedule;
use shared::time::Timestamp;

#[test]
fn each_moment_makes_one_task_that_knows_where_it_comes_from() {
    let mut world = World::new();
    put(&mut world, &every_minute(json!({"overlap": "allow"})));
    world.pass(3 * MINUTE_MS / 2);
    world.pass(MINUTE_MS);
    let fired = fired(&world);
    assert_eq!(fired.iter().map(|(minute, _)| *minute).collect::<Vec<_>>(), [17, 18, 19]);
    let origin = world.task(fired[1].1).origin.clone().expect("an origin");
    assert_eq!((origin.name.as_str(), origin.version, origin.at.0), ("tick", 1, 18 * 60_000));
    let ids: BTreeSet<TaskId> = fired.iter().map(|(_, task)| *task).collect();
    assert_eq!(ids.len(), 3);
    assert!(ids.iter().all(|id| id.0.get_version_num() == 7));
}

#[test]
fn what_overlaps_follows_the_rule() {
    let minutes = |overlap: &str| {
        let (mut world, mut board) = with_board(&every_minute(json!({"overlap": overlap})));
        pass(&mut world, &mut board, 3 * MINUTE_MS);
        (world, board)
    };
    let (world, _) = minutes("allow");
    assert_eq!(fired(&world).len(), 3);
    let (world, _) = minutes("forbid");
    assert_eq!((fired(&world).len(), skipped(&world)), (1, vec![SkippedBecause::Overlap; 2]));

    let (mut world, mut board) = minutes("queue");
    assert_eq!((fired(&world).len(), skipped(&world).len()), (1, 0));
    let first = fired(&world)[0].1;
    // A core that starts again knows who waits.
    world.restart();
    world.hello(&mut board);
    end(&mut world, &mut board, first);
    let two = fired(&world);
    assert_eq!(two.iter().map(|(minute, _)| *minute).collect::<Vec<_>>(), [17, 18]);
    end(&mut world, &mut board, two[1].1);
    assert_eq!(fired(&world).len(), 3);

    let (world, _) = minutes("replace");
    // The board stops each when it is told to.
    assert_eq!((fired(&world).len(), skipped(&world).len()), (3, 0));
    let often = json!({"interval_s": 5, "anchor": "1970-01-01T00:00:00Z"});
    let (mut world, mut board) =
        with_board(&every_minute(json!({"overlap": "replace", "trigger": often})));
    let effects = world.pass(5_000);
    take(&mut world, &mut board, &effects);
    // A board that does not answer: the second gives way to the third before it began.
    for _ in 0..20 {
        world.pass(500);
        world.beat(&mut board);
    }
    let first = fired(&world)[0].1;
    assert_eq!((fired(&world).len(), skipped(&world)), (1, vec![SkippedBecause::Replaced]));
    end(&mut world, &mut board, first);
    assert_eq!(fired(&world).len(), 2);
}

#[test]
fn a_full_queue_of_firings_takes_no_more_and_says_so() {
    let (mut world, mut board) =
        with_board(&every_minute(json!({"overlap": "queue", "queue_max": 1})));
    pass(&mut world, &mut board, 4 * MINUTE_MS);
    assert_eq!((fired(&world).len(), skipped(&world)), (1, vec![SkippedBecause::QueueFull; 2]));
}

#[test]
fn what_was_missed_while_the_core_was_down_follows_the_rule() {
    let absent = |missed: &str| {
        let document = every_minute(json!({"overlap": "allow", "missed": missed, "missed_max": 3}));
        let mut world = World::new();
        put(&mut world, &document);
        world.pass(MINUTE_MS / 3);
        (world.wall, world.mono) = (world.wall + 10 * 60_000 + 25_000, 0);
        world.restart();
        world.pass(1_000);
        let minutes: Vec<i64> = fired(&world).iter().map(|(minute, _)| *minute).collect();
        let missed = firings(&world).into_iter().find_map(|row| match row.result {
            FiringResult::Missed { upto, count } => {
                Some((row.at.0 / 60_000, upto.0 / 60_000, count))
            }
            _ => None,
        });
        (minutes, missed)
    };
    assert_eq!(absent("skip"), (vec![17], Some((18, 27, 10))));
    assert_eq!(absent("once"), (vec![17, 27], Some((18, 26, 9))));
    assert_eq!(absent("all"), (vec![17, 25, 26, 27], Some((18, 24, 7))));
}

#[test]
fn many_that_were_missed_catch_up_one_after_the_other() {
    let mut world = World::with(Settings { catch_up_per_second: 10, ..settings() });
    for number in 0..40 {
        put(&mut world, &every_minute(json!({"name": format!("s{number}")})));
    }
    world.wall += 1_000_000;
    world.restart();
    world.pass(1_000);
    assert!((9..=12).contains(&fired(&world).len()), "{}", fired(&world).len());
    world.pass(5_000);
    assert_eq!(fired(&world).len(), 40);
}

#[test]
fn turns_that_a_wrong_clock_gave_are_taken_back_with_it() {
    let mut world = World::with(Settings { catch_up_per_second: 1, ..settings() });
    for number in 0..20 {
        put(&mut world, &every_minute(json!({"name": format!("s{number}")})));
    }
    world.wall += 86_400_000;
    world.pass(1_000);
    let fooled = fired(&world).len();
    assert!((1..=3).contains(&fooled), "{fooled} had their turn");
    world.wall -= 86_400_000;
    world.pass(MINUTE_MS);
    world.pass(25_000);
    assert_eq!(fired(&world).len(), 20, "the others go by the true clock");
}

#[test]
fn a_clock_that_is_set_fires_nothing_twice_and_forgets_nothing() {
    let mut world = World::new();
    put(&mut world, &every_minute(json!({"overlap": "allow"})));
    world.pass(MINUTE_MS);
    assert_eq!(fired(&world).len(), 1);
    // An hour back: what was fired is not fired again.
    world.wall -= 3_600_000;
    world.pass(30 * MINUTE_MS);
    assert_eq!(fired(&world).len(), 1);
    world.restart();
    world.pass(30 * MINUTE_MS);
    assert_eq!(fired(&world).len(), 1);
    for _ in 0..24 {
        world.pass(5_000);
    }
    assert_eq!(fired(&world).len(), 3);
    // A day forward: the latest that was missed is made up for.
    world.wall += 86_400_000;
    world.pass(2_000);
    assert_eq!(fired(&world).len(), 4);
}

#[test]
fn a_clock_that_is_set_back_while_it_rests_fires_nothing_twice() {
    let mut world = World::new();
    put(&mut world, &every_minute(json!({"overlap": "allow"})));
    world.pass(MINUTE_MS);
    world.wall -= 600_000;
    operate(&mut world, "tick", ScheduleOperation::Pause);
    operate(&mut world, "tick", ScheduleOperation::Resume);
    for _ in 0..60 {
        world.pass(5_000);
    }
    assert_eq!(fired(&world).len(), 1);
    let again = json!({
        "name": "again", "trigger": {"interval_s": 60, "after_end": true},
        "task": {"run": {"noop": {}}},
    });
    let (mut world, mut board) = with_board(&again);
    pass(&mut world, &mut board, 500);
    let first = fired(&world)[0].1;
    world.wall -= 600_000;
    end(&mut world, &mut board, first);
    // It goes on, by moments that it has not had.
    pass(&mut world, &mut board, MINUTE_MS + 1_000);
    assert_eq!(fired(&world).len(), 2);
}

#[test]
fn what_waits_and_is_not_taken_does_not_wait_for_ever() {
    let mut world = World::with(Settings { pending_max: 1, ..settings() });
    let mut board = Board::new("a");
    world.hello(&mut board);
    put(&mut world, &every_minute(json!({"overlap": "queue"})));
    pass(&mut world, &mut board, 3 * MINUTE_MS);
    let first = fired(&world)[0].1;
    // Another task waits for a place, and no more may.
    let mut nowhere = noop();
    nowhere.place.regions = vec!["nowhere".to_owned()];
    world.submit(nowhere);
    end(&mut world, &mut board, first);
    assert_eq!((fired(&world).len(), skipped(&world)), (1, vec![SkippedBecause::Refused; 2]));
}

#[test]
fn a_paused_schedule_rests_and_makes_up_for_nothing() {
    let mut world = World::new();
    put(&mut world, &every_minute(json!({"overlap": "allow"})));
    operate(&mut world, "tick", ScheduleOperation::Pause);
    world.pass(5 * MINUTE_MS);
    world.restart();
    world.pass(5 * MINUTE_MS);
    assert_eq!(firings(&world).len(), 0);
    operate(&mut world, "tick", ScheduleOperation::Resume);
    world.pass(MINUTE_MS);
    assert_eq!(firings(&world).len(), 1);
}

#[test]
fn a_change_takes_effect_for_moments_to_come_only() {
    let mut world = World::new();
    put(&mut world, &every_minute(json!({"overlap": "allow"})));
    // Due, and not looked at yet.
    world.wall += 60_000;
    let changed =
        every_minute(json!({"overlap": "allow", "task": {"run": {"noop": {}}, "priority": 9}}));
    put(&mut world, &changed);
    let first = fired(&world)[0].1;
    let version = |world: &World, task| world.task(task).origin.as_ref().expect("origin").version;
    assert_eq!((version(&world, first), world.task(first).spec.priority), (1, 50));
    world.pass(MINUTE_MS);
    let second = fired(&world)[1].1;
    assert_eq!((version(&world, second), world.task(second).spec.priority), (2, 9));
    // The same again changes nothing.
    let effects = put(&mut world, &changed);
    assert!(matches!(answer(&effects), Answer::Schedule(row) if row.version == 2));
}

#[test]
fn two_who_change_one_schedule_do_not_undo_each_other() {
    let mut world = World::new();
    put(&mut world, &every_minute(json!({})));
    let stale = row_named(&world, &"tick".parse().expect("name")).expect("row");
    put(&mut world, &every_minute(json!({"jitter_s": 5})));
    let spec = Arc::new(schedule::parse(&every_minute(json!({"jitter_s": 9}))).expect("spec"));
    let reply = world.reply();
    let wish = PutSchedule { before: Some(Box::new(stale.clone())), spec, only_new: false, reply };
    let effects = world.step(Input::PutSchedule(Box::new(wish)));
    assert!(matches!(answer(&effects), Answer::ScheduleMoved(_)));
    let reply = world.reply();
    let operation = ScheduleOperation::Delete;
    let before = Box::new(stale);
    let effects = world.step(Input::OperateSchedule { before, operation, reply });
    assert!(matches!(answer(&effects), Answer::ScheduleMoved(_)));
}

#[test]
fn a_deleted_schedule_fires_no_more_and_another_may_take_its_name() {
    let (mut world, mut board) = with_board(&every_minute(json!({"overlap": "queue"})));
    pass(&mut world, &mut board, 2 * MINUTE_MS);
    operate(&mut world, "tick", ScheduleOperation::Delete);
    assert_eq!(skipped(&world), [SkippedBecause::Withdrawn]);
    let task = fired(&world)[0].1;
    end(&mut world, &mut board, task);
    world.pass(5 * MINUTE_MS);
    assert_eq!(fired(&world).len(), 1);
    put(&mut world, &every_minute(json!({})));
    world.restart();
    world.pass(MINUTE_MS);
    assert_eq!(fired(&world).len(), 2);
}

#[test]
fn by_hand_it_fires_now_and_its_moments_stay() {
    let mut world = World::new();
    put(&mut world, &every_minute(json!({"overlap": "allow"})));
    world.wall -= world.wall % 1_000;
    let effects = operate(&mut world, "tick", ScheduleOperation::Fire);
    let Answer::ScheduleFired { task: Some(_), .. } = answer(&effects) else {
        panic!("{effects:?}");
    };
    operate(&mut world, "tick", ScheduleOperation::Fire);
    world.pass(MINUTE_MS);
    assert_eq!(fired(&world).len(), 3);
}

#[test]
fn by_hand_it_never_takes_a_moment_that_is_another_firings() {
    let mut world = World::new();
    // At its own moment, to the millisecond.
    let at = Timestamp(world.wall).plus_ms(123);
    let anchored = json!({"interval_s": 60, "anchor": at.to_string()});
    put(&mut world, &every_minute(json!({"overlap": "allow", "trigger": anchored})));
    world.wall += 123;
    operate(&mut world, "tick", ScheduleOperation::Fire);
    assert_eq!(firings(&world).len(), 2);
    // By a clock that was set back, before a restart and after it.
    world.wall -= 40_123;
    for _ in 0..3 {
        operate(&mut world, "tick", ScheduleOperation::Fire);
        world.restart();
        world.wall += 1;
    }
    assert_eq!(firings(&world).len(), 5);
    assert_eq!(world.maps.tasks.len(), 5);
    world.wall += 40_000;
    world.pass(2 * MINUTE_MS);
    assert_eq!(firings(&world).len(), 6);
}

#[test]
fn by_hand_it_never_takes_a_moment_that_it_had_by_hand_before_a_restart() {
    for later in [false, true] {
        let mut world = World::new();
        let moments = [123, 5_000].map(|ms| Timestamp(world.wall).plus_ms(ms).to_string());
        put(&mut world, &every_minute(json!({"overlap": "allow", "trigger": {"at": moments}})));
        world.wall += 123;
        operate(&mut world, "tick", ScheduleOperation::Fire);
        assert_eq!(firings(&world).len(), 2, "its own, and one behind it");
        world.pass(if later { 10_000 } else { 0 });
        world.restart();
        let before = firings(&world).len();
        world.wall -= 60_000;
        operate(&mut world, "tick", ScheduleOperation::Fire);
        assert_eq!(firings(&world).len(), before + 1);
    }
}

#[test]
fn after_the_end_of_a_task_the_next_is_counted_from_there() {
    let document = json!({
        "name": "again", "trigger": {"interval_s": 60, "after_end": true},
        "task": {"run": {"noop": {}}},
    });
    let (mut world, mut board) = with_board(&document);
    world.pass(100);
    let first = fired(&world)[0].1;
    pass(&mut world, &mut board, 5 * MINUTE_MS);
    assert_eq!(fired(&world).len(), 1, "it is not over");
    end(&mut world, &mut board, first);
    pass(&mut world, &mut board, MINUTE_MS / 2);
    world.restart();
    world.hello(&mut board);
    assert_eq!(fired(&world).len(), 1);
    pass(&mut world, &mut board, MINUTE_MS / 2 + 500);
    assert_eq!(fired(&world).len(), 2);
}

#[test]
fn events_fire_those_that_wait_for_them() {
    let event = |name: &str, event: Value| json!({"name": name, "trigger": {"event": event}, "overlap": "allow", "task": {"run": {"noop": {}}}});
    let mut world = World::new();
    let open = json!({"webhook": {"when": [{"pointer": "/open", "op": "eq", "value": true}]}});
    put(&mut world, &event("door", open));
    put(&mut world, &event("hook", json!({"webhook": {}})));
    put(
        &mut world,
        &event("after-door", json!({"outcome": {"schedule": "door", "status": ["succeeded"]}})),
    );
    put(&mut world, &event("hello", json!({"agent": {"becomes": "online"}})));
    let square = json!({"type": "Polygon", "coordinates": [[[10.0, 10.0], [11.0, 10.0], [11.0, 11.0], [10.0, 11.0], [10.0, 10.0]]]});
    put(&mut world, &event("inside", json!({"agent": {"becomes": "inside", "area": square}})));
    let by = |world: &World, name: &str| {
        let id = row_named(world, &name.parse().expect("name")).expect("row").id;
        world.maps.firings.keys().filter(|(schedule, _, _)| *schedule == id).count()
    };
    let say = |world: &mut World, payload: &str| {
        let (schedule, reply) = ("door".parse().expect("name"), world.reply());
        world.step(Input::Hook { schedule, payload: payload.into(), reply })
    };
    say(&mut world, r#"{"open": false}"#);
    say(&mut world, "not json");
    assert_eq!(by(&world, "door"), 0);
    say(&mut world, r#"{"open": true}"#);
    say(&mut world, r#"{"open": true}"#);
    assert_eq!(by(&world, "door"), 2);
    let task = fired(&world)[0].1;
    let payload = world.task(task).origin.as_ref().and_then(|origin| origin.payload.clone());
    assert_eq!(payload.as_deref(), Some(r#"{"open": true}"#));

    let reply = world.reply();
    let schedule: ScheduleName = "hook".parse().expect("name");
    let effects = world.step(Input::Hook { schedule, payload: "{}".into(), reply });
    assert!(matches!(answer(&effects), Answer::ScheduleFired { task: Some(_), .. }));

    let mut board = Board::new("a");
    board.facts.tasks_max = 100;
    let effects = world.hello(&mut board);
    take(&mut world, &mut board, &effects);
    pass(&mut world, &mut board, 1_500);
    assert_eq!(by(&world, "hello"), 1);
    end(&mut world, &mut board, task);
    assert_eq!(by(&world, "after-door"), 1);
    board.facts.position = shared::geo::Position::new(10.5, 10.5).ok();
    world.hello(&mut board);
    world.hello(&mut board);
    assert_eq!(by(&world, "inside"), 1);
}

#[test]
fn schedules_that_fire_one_another_in_a_circle_do_not_hold_the_core() {
    let mut world = World::new();
    let circle = |name: &str, other: &str| {
        json!({
            "name": name, "trigger": {"event": {"outcome": {"schedule": other}}},
            "overlap": "replace", "task": {"run": {"noop": {}}},
        })
    };
    put(&mut world, &circle("a", "b"));
    put(&mut world, &circle("b", "a"));
    operate(&mut world, "a", ScheduleOperation::Fire);
    let task = fired(&world)[0].1;
    world.cancel(task);
    operate(&mut world, "a", ScheduleOperation::Fire);
    operate(&mut world, "b", ScheduleOperation::Fire);
    assert!(firings(&world).len() < 10_000);
}

#[test]
fn what_never_fires_or_is_too_much_is_refused() {
    let mut world = World::with(Settings { schedules_max: 1, ..settings() });
    let never =
        json!({"name": "never", "trigger": {"cron": "0 0 30 2 *"}, "task": {"run": {"noop": {}}}});
    assert!(
        matches!(answer(&put(&mut world, &never)), Answer::BadSchedule(problem) if problem.pointer.starts_with("/trigger"))
    );
    let zone = json!({"name": "z", "trigger": {"cron": "0 0 * * *", "zone": "Mars/Base"}, "task": {"run": {"noop": {}}}});
    assert!(
        matches!(answer(&put(&mut world, &zone)), Answer::BadSchedule(problem) if problem.pointer == "/trigger/zone")
    );
    put(&mut world, &every_minute(json!({})));
    let more = put(&mut world, &every_minute(json!({"name": "more"})));
    assert!(matches!(answer(&more), Answer::SchedulesFull { schedules_max: 1 }));
    let profile = every_minute(json!({"task": {"run": {"noop": {}}, "prefer": {"profile": "x"}}}));
    assert!(
        matches!(answer(&put(&mut world, &profile)), Answer::BadSchedule(problem) if problem.pointer.starts_with("/task/prefer"))
    );
}

#[test]
fn a_core_that_takes_no_more_tasks_says_why_a_firing_made_none() {
    let mut world = World::with(Settings { pending_max: 0, ..settings() });
    put(&mut world, &every_minute(json!({})));
    world.pass(MINUTE_MS);
    assert_eq!(skipped(&world), [SkippedBecause::Refused]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever happens, every moment that came is accounted for once, in its order; `Maps` refuses
    /// one that is dealt with twice.
    #[test]
    fn every_moment_is_accounted_for_once(
        steps in prop::collection::vec((0_u8..8, 0_u64..90_000), 1..40), which in 0..4_usize,
        missed in 0..3_usize,
    ) {
        let overlap = shared::schedule::Overlap::ALL[which].0;
        let missed = shared::schedule::MissedRule::ALL[missed].0;
        let document = json!({
            "name": "tick", "trigger": {"interval_s": 20, "anchor": "1970-01-01T00:00:00Z"},
            "overlap": overlap, "missed": missed, "missed_max": 2, "catch_up_s": 60,
            "task": {"run": {"noop": {}}},
        });
        let (mut world, mut board) = with_board(&document);
        let began = Timestamp(world.wall);
        for (what, ms) in steps {
            match what {
                0..=2 => { world.pass(ms); }
                3 => pass(&mut world, &mut board, ms.min(5_000)),
                4 => {
                    world.wall += ms as i64;
                    world.restart();
                    world.hello(&mut board);
                }
                5 => world.wall -= (ms / 2) as i64,
                6 => {
                    let under_way = |(_, task): &(i64, TaskId)| world.cloud.held_until(*task).is_some()
                        || !world.state(*task).status().is_settled();
                    let next = fired(&world).into_iter().find(under_way);
                    if let Some((_, task)) = next { world.cancel(task); }
                }
                _ => { world.restart(); world.hello(&mut board); }
            }
        }
        // Long enough for all turns to catch up, and for the clock to be where it was.
        for _ in 0..400 { world.pass(10_000); }
        let through = world.maps.schedules.values().next().expect("row").through;
        let mut accounted = 0;
        for row in firings(&world) {
            accounted += match row.result {
                FiringResult::Missed { count, .. } => i64::from(count),
                _ => 1,
            };
        }
        prop_assert_eq!(accounted, through.0 / 20_000 - began.0 / 20_000);
    }
}

//! Schedules that listen to topics of others: who hears what, and which topics are listened to.

mod common;

use std::sync::Arc;

use cloud_core_logic::{Answer, Input, Published, ScheduleOperation};
use common::schedules::{end, every_minute, fired, operate, put, with_board};
use common::{World, answer};
use serde_json::{Value, json};
use shared::schedule::TopicFilter;

fn listens(name: &str, topic: &str, when: Value) -> Value {
    let event = json!({"mqtt": {"topic": topic, "when": when}});
    every_minute(json!({"name": name, "overlap": "allow", "trigger": {"event": event}}))
}

fn filter(text: &str) -> TopicFilter {
    text.parse().expect("a filter")
}

/// A message comes through these filters; how many schedules it fires.
fn publish(world: &mut World, filters: &[&str], message: &Value) -> usize {
    let filters = filters.iter().map(|text| filter(text)).collect();
    let message = Published { filters, message: Arc::from(message.to_string()) };
    let reply = world.reply();
    let effects = world.step(Input::Published { messages: vec![message], reply });
    match answer(&effects) {
        Answer::Published { fired } => *fired,
        other => panic!("{other:?}"),
    }
}

fn alarm(level: u64) -> Value {
    json!({"topic": "factory/3/alarm", "payload": {"level": level}})
}

#[test]
fn a_message_fires_whoever_listens_and_whose_conditions_hold_once() {
    let mut world = World::new();
    let high = json!([{"pointer": "/level", "op": "ge", "value": 3}]);
    put(&mut world, &listens("any", "factory/#", json!([])));
    put(&mut world, &listens("high", "factory/+/alarm", high));
    put(&mut world, &listens("other", "barn/#", json!([])));
    let both = ["factory/#", "factory/+/alarm"];
    assert_eq!(publish(&mut world, &both, &alarm(2)), 1);
    assert_eq!(publish(&mut world, &both, &alarm(3)), 2);
    // A copy for each filter, or one for both: what comes through a filter is for those who asked so.
    assert_eq!(publish(&mut world, &["factory/#"], &alarm(3)), 1);
    assert_eq!(publish(&mut world, &["factory/#", "factory/#"], &alarm(3)), 1);
    assert_eq!(publish(&mut world, &["attic/#"], &alarm(3)), 0);
    let tasks = fired(&world);
    assert_eq!(tasks.len(), 5);
    let origin = world.task(tasks[0].1).origin.clone().expect("an origin");
    assert_eq!(origin.payload.as_deref(), Some(alarm(2).to_string().as_str()));
}

#[test]
fn a_payload_that_is_no_json_is_a_text_and_bytes_meet_no_condition() {
    let mut world = World::new();
    put(
        &mut world,
        &listens("open", "door", json!([{"pointer": "", "op": "eq", "value": "open"}])),
    );
    put(&mut world, &listens("not", "door", json!([{"pointer": "/a", "op": "missing"}])));
    let say = |payload: Value| json!({"topic": "door", "payload": payload});
    assert_eq!(publish(&mut world, &["door"], &say(json!("open"))), 2);
    assert_eq!(publish(&mut world, &["door"], &say(json!("shut"))), 1);
    let bytes = json!({"topic": "door", "payload_base64": "//4="});
    assert_eq!(publish(&mut world, &["door"], &bytes), 0, "nothing can be said of it");
}

#[test]
fn what_overlaps_follows_the_rule_for_messages_too() {
    let document = listens("calm", "door", json!([]));
    let (mut world, mut board) = with_board(&every_minute(json!({
        "name": "calm", "trigger": document["trigger"], "overlap": "forbid",
    })));
    publish(&mut world, &["door"], &alarm(1));
    publish(&mut world, &["door"], &alarm(2));
    assert_eq!(fired(&world).len(), 1);
    let first = fired(&world)[0].1;
    end(&mut world, &mut board, first);
    publish(&mut world, &["door"], &alarm(3));
    assert_eq!(fired(&world).len(), 2);
}

#[test]
fn which_topics_are_listened_to_follows_the_schedules() {
    let mut world = World::new();
    let topics = |world: &mut World| {
        let topics = world.cloud.take_topics();
        topics.map(|topics| topics.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    assert_eq!(topics(&mut world), None, "nobody ever listened");
    put(&mut world, &listens("one", "a/+", json!([])));
    put(&mut world, &listens("two", "a/+", json!([])));
    put(&mut world, &listens("three", "b/#", json!([])));
    assert_eq!(topics(&mut world), Some(vec!["a/+".to_owned(), "b/#".to_owned()]));
    put(&mut world, &every_minute(json!({})));
    assert_eq!(topics(&mut world), None, "nothing has changed");
    operate(&mut world, "three", ScheduleOperation::Pause);
    operate(&mut world, "one", ScheduleOperation::Pause);
    assert_eq!(topics(&mut world), Some(vec!["a/+".to_owned()]), "the second listens still");
    assert_eq!(publish(&mut world, &["a/+", "b/#"], &alarm(1)), 1, "who rests hears nothing");
    operate(&mut world, "three", ScheduleOperation::Resume);
    put(&mut world, &listens("two", "c", json!([])));
    assert_eq!(topics(&mut world), Some(vec!["b/#".to_owned(), "c".to_owned()]));
    // A core that starts again knows all of it.
    world.restart();
    assert_eq!(topics(&mut world), Some(vec!["b/#".to_owned(), "c".to_owned()]));
    operate(&mut world, "three", ScheduleOperation::Delete);
    operate(&mut world, "two", ScheduleOperation::Delete);
    assert_eq!(topics(&mut world), Some(vec![]));
}

#[test]
fn there_is_an_end_to_different_filters() {
    let mut world = World::new();
    for number in 0..1_024 {
        put(&mut world, &listens(&format!("s{number}"), &format!("t/{number}"), json!([])));
    }
    let effects = put(&mut world, &listens("more", "t/more", json!([])));
    let Answer::BadSchedule(problem) = answer(&effects) else { panic!("{effects:?}") };
    assert!(problem.detail.contains("1024 different filters"), "{problem:?}");
    assert_eq!(problem.pointer, "/trigger/event/mqtt/topic");
    let effects = put(&mut world, &listens("same", "t/7", json!([])));
    assert!(matches!(answer(&effects), Answer::Schedule(_)));
}

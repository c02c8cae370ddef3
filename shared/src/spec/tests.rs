//! The border of task specs: what comes through, and what each wrong document is told.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Per, Reconcile, Run, TaskSpec, Together, parse};
use crate::border::Problem;

fn problems(document: &Value) -> Vec<Problem> {
    parse(document).expect_err("the document is wrong")
}

/// The one problem of a document, which otherwise runs nothing.
fn problem(field: &str, value: Value) -> (String, String) {
    let found = problems(&json!({"run": {"noop": {}}, field: value}));
    assert_eq!(found.len(), 1, "{found:?}");
    (found[0].pointer.clone(), found[0].detail.clone())
}

/// The one problem of a rule that keeps a group apart.
fn spread(rule: Value) -> (String, String) {
    problem("where", json!({"spread": [rule]}))
}

#[test]
fn only_run_is_required_and_the_rest_has_its_defaults() {
    let spec = parse(&json!({"run": {"noop": {}}})).expect("a task");
    assert_eq!(spec, TaskSpec::new(Run::Noop {}));
    assert_eq!((spec.priority, spec.timeout_s, spec.deadline_s), (50, Some(600), None));
    assert_eq!((spec.retry.attempts_max, spec.retry.delay_s, spec.retry.delay_s_max), (3, 5, 300));
    assert_eq!((spec.disconnect.lost_after_s, spec.disconnect.replace), (60, true));
    assert_eq!(spec.disconnect.reconcile, Reconcile::BestScore);
}

#[test]
fn everything_a_task_can_say_is_kept() {
    let document = json!({
        "name": "air-quality-sample",
        "labels": {"team": "air"},
        "run": {"exec": {"command": "/usr/bin/python3", "args": ["sample.py"],
            "env": {"RATE": "10"}, "dir": null}},
        "needs": {"cpu_millis": 500, "memory_mib": 128, "disk_mib": 64, "bandwidth_kbps": 0,
            "devices": {"camera": 1}},
        "where": {
            "near": {"latitude": -37.8136, "longitude": 144.9631, "within_m": 50000},
            "area": {"type": "Polygon", "coordinates":
                [[[144.9, -37.9], [145.0, -37.9], [145.0, -37.7], [144.9, -37.7], [144.9, -37.9]]]},
            "regions": ["au-south"],
            "latency_ms_max": 40,
            "labels": {"sensor": "pm25"},
            "expressions": [{"key": "os", "op": "in", "values": ["debian", "ubuntu"]}],
            "arch": ["aarch64", "x86_64"],
            "agents": [], "avoid_agents": ["board-9"],
            "tolerate": ["maintenance-window"],
            "spread": [{"group": "air", "max": 2, "per": "zone"},
                {"group": "air", "max": 1, "within_m": 500}]
        },
        "prefer": {"load": 30, "capacity": 40, "distance": 20, "latency": 10, "profile": "near"},
        "priority": 50,
        "timeout_s": null,
        "deadline_s": null,
        "retry": {"attempts_max": 3, "delay_s": 5, "delay_s_max": 300},
        "disconnect": {"lost_after_s": 60, "stop_after_s": null, "replace": true,
            "reconcile": "best_score"},
        "exclusive": false
    });
    let spec = parse(&document).expect("a task");
    assert_eq!(spec.timeout_s, None, "null is no limit, absent is the default");
    assert_eq!(spec.place.near.expect("near").within_m, Some(50_000.0));
    assert_eq!(spec.needs.device("camera"), 1);
    let within = Together::WithinM(500.0);
    assert_eq!(spec.place.spread[0].together, Together::Per(Per::Zone));
    assert_eq!((spec.place.spread[1].max, spec.place.spread[1].together), (1, within));
    assert!(spec.place.groups().eq(["air"]));
    assert_eq!(spec.prefer.profile.as_deref(), Some("near"));
    // The hash of a task under a key is of this text, also for one that an earlier core took.
    let plain = TaskSpec::new(Run::Noop {});
    assert_eq!(
        serde_json::to_string(&plain.prefer).expect("serialize"),
        r#"{"load":null,"capacity":null,"distance":null,"latency":null}"#
    );
    let place = serde_json::to_value(&plain.place).expect("serialize");
    assert!(place.get("spread").is_none(), "{place}");
    // What is stored and shown reads back as the same task.
    let again = serde_json::to_value(&spec).expect("serialize");
    assert_eq!(parse(&again).expect("a task"), spec);
    assert_eq!(serde_json::from_value::<TaskSpec>(again).expect("deserialize"), spec);
}

#[test]
fn each_wrong_field_is_named_with_what_to_write_instead() {
    let table = [
        (problem("prioritty", json!(1)), "/prioritty", "did you mean `priority`?"),
        (problem("priority", json!(101)), "/priority", "from 0 to 100, not 101"),
        (problem("priority", json!("high")), "/priority", "not the text \"high\""),
        (problem("timeout_s", json!(0)), "/timeout_s", "from 1 to"),
        (problem("labels", json!({"a b": "c"})), "/labels/a b", "label key"),
        (problem("labels", json!({"a/b": 1})), "/labels/a~1b", "must be a text, not 1"),
        (problem("needs", json!({"cpu": 1})), "/needs/cpu", "did you mean `cpu_millis`?"),
        (problem("needs", json!({"devices": {"gpu": -1}})), "/needs/devices/gpu", "whole number"),
        (problem("needs", json!([])), "/needs", "must be an object, not a list"),
        (problem("where", json!({"near": {"latitude": 1}})), "/where/near/longitude", "is missing"),
        (
            problem("where", json!({"near": {"latitude": 91, "longitude": 0}})),
            "/where/near/latitude",
            "from -90 to 90, not 91",
        ),
        (
            problem("where", json!({"near": {"latitude": 1, "longitude": 2, "radius_m": 3}})),
            "/where/near/radius_m",
            "known here: latitude, longitude, within_m",
        ),
        (
            problem("where", json!({"expressions": [{"key": "os", "op": "inn", "values": ["a"]}]})),
            "/where/expressions/0/op",
            "did you mean `in`?",
        ),
        (
            problem("where", json!({"expressions": [{"key": "os", "op": "in"}]})),
            "/where/expressions/0/values",
            "at least one value",
        ),
        (spread(json!({"max": 1, "per": "zone"})), "/where/spread/0/group", "must name the group"),
        (spread(json!({"group": null, "per": "zone"})), "/where/spread/0/group", "must name"),
        (spread(json!({"group": "a", "max": 0, "per": "zone"})), "/where/spread/0/max", "from 1"),
        (
            spread(json!({"group": "a", "per": "zones"})),
            "/where/spread/0/per",
            "did you mean `zone`?",
        ),
        (spread(json!({"group": "a", "within_m": -1})), "/where/spread/0/within_m", "from 0 to"),
        (
            spread(json!({"group": "a", "max": 1})),
            "/where/spread/0",
            "`per` (region, zone or agent)",
        ),
        (
            spread(json!({"group": "a", "per": "zone", "within_m": 5})),
            "/where/spread/0",
            "one of `per` and `within_m`, not both",
        ),
        (problem("where", json!({"spread": [1, 2, 3, 4, 5]})), "/where/spread", "at most 4"),
        (problem("where", json!({"agents": ["a/b"]})), "/where/agents/0", "`/` is not allowed"),
        (problem("prefer", json!({"load": -1})), "/prefer/load", "from 0 to 1000"),
        (problem("prefer", json!({"profile": 1})), "/prefer/profile", "must be a text, not 1"),
        (problem("prefer", json!({"profil": "x"})), "/prefer/profil", "did you mean `profile`?"),
        (problem("retry", json!({"attempts_max": 0})), "/retry/attempts_max", "from 1 to 100"),
        (
            problem("disconnect", json!({"reconcile": "best_scor"})),
            "/disconnect/reconcile",
            "did you mean `best_score`?",
        ),
        (problem("exclusive", json!("yes")), "/exclusive", "true or false"),
    ];
    for ((pointer, detail), expected, words) in table {
        assert_eq!(pointer, expected);
        assert!(detail.contains(words), "{pointer}: {detail:?} does not say {words:?}");
    }
}

#[test]
fn what_to_run_is_checked_before_it_can_be_too_big_to_send() {
    let one = |run: Value| problems(&json!({"run": run})).remove(0);
    assert_eq!(problems(&json!({})).remove(0).pointer, "/run");
    assert!(one(json!({})).detail.contains("one of `exec`"));
    assert!(one(json!({"exec": {"command": "a"}, "noop": {}})).detail.contains("not both"));
    assert_eq!(one(json!({"exec": {"command": ""}})).pointer, "/run/exec/command");
    assert_eq!(one(json!({"exec": {"command": "a", "dir": "b"}})).pointer, "/run/exec/dir");
    assert_eq!(
        one(json!({"exec": {"command": "a", "env": {"A=B": "c"}}})).pointer,
        "/run/exec/env/A=B"
    );
    let big = "x".repeat(super::RUN_BYTES_MAX);
    let found = one(json!({"exec": {"command": "a", "args": [big]}}));
    assert!(found.detail.contains("at most 65536 fit"), "{found:?}");
}

#[test]
fn all_problems_are_told_at_once_and_not_without_bound() {
    let found = problems(&json!({"priority": 101, "exclusive": 3, "rum": {}}));
    assert_eq!(found.len(), 4, "{found:?}");
    let many: serde_json::Map<String, Value> =
        (0..1_000).map(|n| (format!("field{n}"), json!(1))).collect();
    assert_eq!(problems(&Value::Object(many)).len(), crate::border::PROBLEMS_MAX);
}

fn hostile() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
    ];
    let names = prop::sample::select(vec![
        "run",
        "exec",
        "noop",
        "command",
        "args",
        "env",
        "needs",
        "where",
        "near",
        "latitude",
        "longitude",
        "within_m",
        "area",
        "type",
        "coordinates",
        "expressions",
        "key",
        "op",
        "values",
        "retry",
        "disconnect",
        "labels",
        "devices",
        "agents",
        "spread",
        "group",
        "max",
        "per",
        "x",
    ]);
    leaf.prop_recursive(5, 60, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(names.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn a_hostile_document_is_refused_with_problems_and_never_panics(document in hostile()) {
        match parse(&document) {
            Ok(spec) => {
                let again = serde_json::to_value(&spec).expect("serialize");
                prop_assert_eq!(parse(&again).expect("a task"), spec);
            }
            Err(found) => prop_assert!(!found.is_empty()),
        }
    }
}

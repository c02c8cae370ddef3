//! Traces that requests come with.

use serde_json::{Value, json};
use shared::id::TaskId;

use super::{CoreId, HttpSettings, MemoryStore, Served, Settings, Uuid, client, noop};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// The trace that a task has of itself.
fn own(task: &Value) -> String {
    let id: TaskId = task["id"].as_str().expect("id").parse().expect("an id");
    id.0.simple().to_string()
}

#[test]
fn a_task_is_in_the_trace_it_came_with() {
    let served = Served::new();
    let headers = [("traceparent", PARENT), ("TraceState", "rojo=1"), ("tracestate", "congo=2, ")];
    let task = served.submit_text(&noop().to_string(), &headers).json();
    let trace = &task["trace"];
    assert_eq!(
        (&trace["trace_id"], &trace["parent_span_id"]),
        (&json!(ID), &json!("00f067aa0ba902b7"))
    );
    assert_eq!(
        (&trace["sampled"], &trace["tracestate"]),
        (&json!(false), &json!("rojo=1,congo=2"))
    );
    let shown = served.get(&format!("/v1/tasks/{}", task["id"].as_str().expect("id"))).json();
    assert_eq!(shown["trace"], *trace);
}

#[test]
fn what_is_no_trace_is_as_if_it_were_not_there() {
    let served = Served::new();
    let body = noop().to_string();
    let twice = [("traceparent", PARENT), ("traceparent", PARENT)];
    let state_alone = [("tracestate", "rojo=1")];
    let wrong = [("traceparent", "00-nonsense"), ("tracestate", "rojo=1")];
    for headers in [&[][..], &twice, &state_alone, &wrong] {
        let reply = served.submit_text(&body, headers);
        assert_eq!(reply.status, 201, "{headers:?}");
        let (task, trace) = (reply.json(), reply.json()["trace"].clone());
        assert_eq!(trace["trace_id"], own(&task), "{headers:?}");
        assert_eq!((&trace["sampled"], &trace["parent_span_id"]), (&json!(true), &Value::Null));
        assert_eq!(trace["tracestate"], Value::Null);
    }
    let long = format!("a={}", "x".repeat(600));
    let reply = served.submit_text(&body, &[("traceparent", PARENT), ("tracestate", &long)]);
    let trace = reply.json()["trace"].clone();
    assert_eq!((&trace["trace_id"], &trace["tracestate"]), (&json!(ID), &Value::Null));
}

#[test]
fn the_first_submission_of_a_key_says_the_trace() {
    let served = Served::new();
    let body = noop().to_string();
    let key = ("Idempotency-Key", "k-1");
    let first = served.submit_text(&body, &[key, ("traceparent", PARENT)]).json();
    let again = served.submit_text(&body, &[key]);
    assert_eq!((again.status, &again.json()["trace"]), (200, &first["trace"]));
}

#[test]
fn a_batch_is_in_the_trace_of_its_request() {
    let served = Served::new();
    let headers = [("content-type", "application/json"), ("traceparent", PARENT)];
    let body = json!([noop(), noop()]).to_string();
    let reply =
        client::send(served.address, "POST", "/v1/tasks/batch", &headers, body.as_bytes()).json();
    for result in reply["results"].as_array().expect("results") {
        let id = result["task"]["id"].as_str().expect("an id");
        assert_eq!(served.get(&format!("/v1/tasks/{id}")).json()["trace"]["trace_id"], ID);
    }
}

#[test]
fn tasks_without_a_trace_are_sampled_as_configured_and_others_as_they_say() {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let settings = Settings { trace_one_in: 0, ..Settings::default() };
    let served = Served::deciding(store, HttpSettings::default(), settings);
    let body = noop().to_string();
    let task = served.submit_text(&body, &[]).json();
    assert_eq!(
        (&task["trace"]["sampled"], task["trace"]["trace_id"].as_str()),
        (&json!(false), Some(&*own(&task)))
    );
    let sampled = format!("{}1", &PARENT[..PARENT.len() - 1]);
    let task = served.submit_text(&body, &[("traceparent", &sampled)]).json();
    assert_eq!(task["trace"]["sampled"], true);
}

//! Many tasks in one request.

use serde_json::{Value, json};

use super::client::{self, Reply};
use super::{HttpSettings, Served, noop};

const LINES: &str = "application/x-ndjson";

fn batch(served: &Served, kind: &str, body: &[u8]) -> Reply {
    client::send(served.address, "POST", "/v1/tasks/batch", &[("content-type", kind)], body)
}

fn array(served: &Served, items: &Value) -> Vec<Value> {
    let reply = batch(served, "application/json", items.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.json());
    results(&reply)
}

fn results(reply: &Reply) -> Vec<Value> {
    reply.json()["results"].as_array().expect("results").clone()
}

fn statuses(results: &[Value]) -> Vec<u64> {
    results.iter().map(|result| result["status"].as_u64().expect("a status")).collect()
}

fn kind(result: &Value) -> &str {
    let kind = result["problem"]["type"].as_str().expect("a problem");
    kind.strip_prefix(crate::http::problem::TYPE_PREFIX).expect("our prefix")
}

#[test]
fn every_item_of_a_batch_has_its_result_and_a_bad_one_harms_no_other() {
    let served = Served::new();
    let results = array(
        &served,
        &json!([
            {"name": "first", "run": {"noop": {}}},
            {"run": {"noop": {}}, "prioritty": 1},
            7,
            {"name": "last", "labels": {"team": "air"}, "run": {"noop": {}}},
        ]),
    );
    assert_eq!(statuses(&results), [201, 422, 422, 201]);
    assert_eq!(results[1]["problem"]["errors"][0]["pointer"], "/prioritty");
    assert_eq!(kind(&results[2]), "invalid-task");
    for (index, name) in [(0, "first"), (3, "last")] {
        let told = &results[index]["task"];
        assert_eq!((&told["name"], &told["status"]), (&json!(name), &json!("pending")));
        let stored = served.get(&format!("/v1/tasks/{}", told["id"].as_str().expect("id"))).json();
        for field in told.as_object().expect("an object").keys() {
            assert_eq!(told[field], stored[field], "{field}");
        }
    }
    assert_eq!(served.get("/v1/tasks").json()["items"].as_array().expect("items").len(), 2);
}

#[test]
fn a_batch_may_be_a_task_a_line() {
    let served = Served::new();
    let body = format!("{}\n\n  {}\r\n{{\"run\": nope}}\n{}", noop(), noop(), noop());
    let results = results(&batch(&served, LINES, body.as_bytes()));
    assert_eq!(statuses(&results), [201, 201, 400, 201]);
    assert_eq!(kind(&results[2]), "invalid-json");
    let ids: Vec<&str> = [0, 1, 3].map(|n| results[n]["task"]["id"].as_str().expect("id")).to_vec();
    assert!(ids.is_sorted(), "ids are in the order of the items: {ids:?}");
}

#[test]
fn every_item_may_have_a_key_of_its_own() {
    let served = Served::new();
    let keyed =
        |key: &str, name: &str| json!({"idempotency_key": key, "name": name, "run": {"noop": {}}});
    let first = array(&served, &json!([keyed("a", "one"), keyed("a", "one"), keyed("a", "two")]));
    assert_eq!(statuses(&first), [201, 200, 422], "within one batch");
    assert_eq!(first[0]["task"]["id"], first[1]["task"]["id"]);
    assert_eq!(kind(&first[2]), "idempotency-key-reused");
    let again = array(
        &served,
        &json!([keyed("a", "one"), keyed("a", "two"), keyed("", "x"), {"idempotency_key": 7, "run": {"noop": {}}}]),
    );
    assert_eq!(statuses(&again), [200, 422, 400, 400], "from one batch to the next");
    assert_eq!(again[0]["task"]["id"], first[0]["task"]["id"]);
    assert_eq!(kind(&again[2]), "invalid-idempotency-key");
    let header =
        served.submit_text(r#"{"name":"one","run":{"noop":{}}}"#, &[("Idempotency-Key", "a")]);
    assert_eq!((header.status, &header.json()["id"]), (200, &first[0]["task"]["id"]));
}

#[test]
fn what_does_not_fit_any_more_is_told_item_by_item_or_as_a_whole() {
    let served = Served::with(HttpSettings::default(), 2);
    let results = array(&served, &json!([noop(), noop(), noop()]));
    assert_eq!(statuses(&results), [201, 201, 429]);
    assert_eq!(kind(&results[2]), "queue-full");
    let reply = batch(&served, "application/json", json!([noop(), noop()]).to_string().as_bytes());
    assert_eq!((reply.status, reply.problem().as_str()), (429, "queue-full"));
    assert!(reply.header("retry-after").is_some());
}

#[test]
fn what_is_no_batch_is_refused_by_name() {
    let served = Served::new();
    let many = |count: usize| vec!["{}"; count];
    let lines = many(10_001).join("\n");
    let elements = format!("[{}]", many(10_001).join(","));
    let large = "x".repeat(17 * 1024 * 1024);
    for (kind, body, status, problem) in [
        ("application/json", "", 400, "invalid-json"),
        ("application/json", "[{]", 400, "invalid-json"),
        ("application/json", "[{},", 400, "invalid-json"),
        ("application/json", "[] []", 400, "invalid-json"),
        ("application/json", r#"{"run": {"noop": {}}}"#, 422, "invalid-batch"),
        ("application/json", "null", 422, "invalid-batch"),
        ("application/json", elements.as_str(), 422, "invalid-batch"),
        (LINES, lines.as_str(), 422, "invalid-batch"),
        ("text/csv", "a,b", 415, "unsupported-media-type"),
        (LINES, large.as_str(), 413, "body-too-large"),
    ] {
        let reply = batch(&served, kind, body.as_bytes());
        let start = &body[..body.len().min(20)];
        assert_eq!((reply.status, reply.problem().as_str()), (status, problem), "{start}");
    }
    for (kind, body) in [("application/json", "[]"), (LINES, ""), (LINES, "\n \n")] {
        assert!(results(&batch(&served, kind, body.as_bytes())).is_empty(), "{body:?}");
    }
    let wide = json!({"name": "x".repeat(130 * 1024), "run": {"noop": {}}});
    assert_eq!(kind(&array(&served, &json!([wide]))[0]), "body-too-large");
    assert!(served.get("/v1/tasks").json()["items"].as_array().expect("items").is_empty());
}

#[test]
fn the_largest_batch_is_taken_whole() {
    let served = Served::with(HttpSettings::default(), 20_000);
    let body = vec![noop().to_string(); 10_000].join("\n");
    let results = results(&batch(&served, LINES, body.as_bytes()));
    assert_eq!(results.len(), 10_000);
    assert!(results.iter().all(|result| result["status"] == 201));
}

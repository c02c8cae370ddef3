//! Submitting, finding, canceling.

use std::time::Duration;

use serde_json::json;

use shared::time::Timestamp;

use super::{CoreId, HistoryBounds, HttpSettings, MemoryStore, Served, Store, Uuid, noop};

#[test]
fn a_submitted_task_is_there() {
    let served = Served::new();
    let reply =
        served.submit(&json!({"name": "air", "labels": {"team": "air"}, "run": {"noop": {}}}));
    assert_eq!(reply.status, 201);
    let task = reply.json();
    let id = task["id"].as_str().expect("id");
    assert_eq!(reply.header("location"), Some(format!("/v1/tasks/{id}").as_str()));
    assert_eq!(task["status"], "pending");
    assert_eq!(task["spec"]["priority"], 50);
    let shown = served.get(&format!("/v1/tasks/{id}"));
    assert_eq!((shown.status, shown.json()), (200, task));
}

#[test]
fn a_key_makes_one_task_of_many_submissions() {
    let served = Served::new();
    let key = [("Idempotency-Key", "k-1")];
    let first = served.submit_text(r#"{"name":"a","run":{"noop":{}},"priority":50}"#, &key);
    assert_eq!(first.status, 201);
    // The same task in other words: order, whitespace, a default left out.
    let again = served.submit_text("{\n \"run\": {\"noop\": {}},\n \"name\": \"a\"\n}", &key);
    assert_eq!((again.status, &again.json()["id"]), (200, &first.json()["id"]));
    let other = served.submit_text(r#"{"name":"a","run":{"noop":{}},"priority":51}"#, &key);
    assert_eq!((other.status, other.problem().as_str()), (422, "idempotency-key-reused"));
    assert!(
        other.json()["detail"]
            .as_str()
            .expect("detail")
            .contains(first.json()["id"].as_str().expect("id"))
    );
    let new =
        served.submit_text(r#"{"name":"b","run":{"noop":{}}}"#, &[("Idempotency-Key", "k-2")]);
    assert_eq!(new.status, 201);
    assert_eq!(served.get("/v1/tasks").json()["items"].as_array().expect("items").len(), 2);
}

#[test]
fn a_key_outlives_its_task_and_its_core() {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let key = [("Idempotency-Key", "k-1")];
    let served = Served::over(store.clone(), HttpSettings::default(), 10);
    let first = served.submit_text(&noop().to_string(), &key).json();
    let id = first["id"].as_str().expect("id");
    assert_eq!(served.post(&format!("/v1/tasks/{id}/cancel")).json()["status"], "canceled");
    drop(served);
    let served = Served::over(store, HttpSettings::default(), 10);
    let again = served.submit_text(&noop().to_string(), &key);
    assert_eq!((again.status, &again.json()["id"]), (200, &first["id"]));
    let other = served.submit_text(r#"{"name":"b","run":{"noop":{}}}"#, &key);
    assert_eq!(other.problem(), "idempotency-key-reused");
}

#[test]
fn one_key_from_many_clients_at_once_is_one_task() {
    let served = Served::new();
    let ids: std::collections::BTreeSet<String> = std::thread::scope(|scope| {
        let send = || {
            let reply = served.submit_text(&noop().to_string(), &[("Idempotency-Key", "same")]);
            assert!(matches!(reply.status, 200 | 201), "{}", reply.status);
            reply.json()["id"].as_str().expect("id").to_owned()
        };
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(send)).collect();
        clients.into_iter().map(|client| client.join().expect("client")).collect()
    });
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[test]
fn a_key_outlives_its_task_and_never_makes_a_second_one() {
    let mut store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let served = Served::over(store.clone(), HttpSettings::default(), 1_000);
    let key = [("Idempotency-Key", "k-1")];
    let first = served.submit_text(&noop().to_string(), &key).json();
    let id = first["id"].as_str().expect("id");
    served.post(&format!("/v1/tasks/{id}/cancel"));
    let bounds = HistoryBounds { count_max: 0, ..HistoryBounds::default() };
    let pruned = store.prune_history(&bounds, 9, Timestamp(0)).expect("pruned");
    assert_eq!((pruned.tasks, pruned.keys_kept), (1, 1));

    let again = served.submit_text(&noop().to_string(), &key);
    assert_eq!((again.status, again.problem().as_str()), (410, "task-pruned"));
    assert!(again.json()["detail"].as_str().expect("detail").contains(id));
    let other = served.submit_text(r#"{"run":{"noop":{}},"priority":51}"#, &key);
    assert_eq!((other.status, other.problem().as_str()), (422, "idempotency-key-reused"));
    let mut item = noop();
    item["idempotency_key"] = json!("k-1");
    let headers = [("content-type", "application/json")];
    let body = json!([item]).to_string();
    let batch =
        super::client::send(served.address, "POST", "/v1/tasks/batch", &headers, body.as_bytes());
    let result = batch.json()["results"][0].clone();
    assert_eq!((batch.status, &result["status"]), (200, &json!(410)), "{result}");
    assert!(result.to_string().contains("task-pruned"), "{result}");
    for (method, path) in [("GET", ""), ("GET", "/explain"), ("POST", "/cancel")] {
        let path = format!("/v1/tasks/{id}{path}");
        let reply = super::client::send(served.address, method, &path, &[], b"");
        assert_eq!((reply.status, reply.problem().as_str()), (404, "task-not-found"), "{path}");
    }
    assert_eq!(served.get("/v1/tasks").json()["items"], json!([]), "no second run");
}

#[test]
fn canceling_may_be_repeated() {
    let served = Served::new();
    let id = served.submitted(&noop());
    for _ in 0..2 {
        let reply = served.post(&format!("/v1/tasks/{id}/cancel"));
        assert_eq!(reply.status, 200);
        assert_eq!(reply.json()["status"], "canceled");
        assert_eq!(reply.json()["outcome"]["status"], "canceled");
    }
}

#[test]
fn a_list_is_paged_newest_first_and_filtered() {
    let served = Served::new();
    let ids: Vec<String> = (0..5)
        .map(|n| {
            let team = if n % 2 == 0 { "air" } else { "sea" };
            // Ids sort by the millisecond of the submission.
            std::thread::sleep(Duration::from_millis(2));
            served.submitted(
                &json!({"name": format!("t{n}"), "labels": {"team": team}, "run": {"noop": {}}}),
            )
        })
        .collect();
    served.post(&format!("/v1/tasks/{}/cancel", ids[4]));
    let list = |query: &str| -> (Vec<String>, Option<String>) {
        let reply = served.get(&format!("/v1/tasks{query}"));
        assert_eq!(reply.status, 200, "{query}: {}", reply.json());
        let page = reply.json();
        let items = page["items"].as_array().expect("items");
        let ids = items.iter().map(|item| item["id"].as_str().expect("id").to_owned()).collect();
        (ids, page["next_cursor"].as_str().map(str::to_owned))
    };
    let newest_first: Vec<String> = ids.iter().rev().cloned().collect();
    assert_eq!(list(""), (newest_first.clone(), None));
    let (mut seen, cursor) = list("?limit=2");
    let (rest, end) = list(&format!("?limit=3&cursor={}", cursor.expect("more")));
    seen.extend(rest);
    assert_eq!((seen, end), (newest_first, None));
    assert_eq!(list("?status=canceled").0, [ids[4].clone()]);
    assert_eq!(list("?label=team=sea").0, [ids[3].clone(), ids[1].clone()]);
    assert_eq!(list("?label=team&limit=1").0.len(), 1);
    assert_eq!(list("?name=t2").0, [ids[2].clone()]);
    assert_eq!(list("?agent=board-1").0, Vec::<String>::new());
}

#[test]
fn a_full_queue_says_when_to_come_back() {
    let served = Served::with(HttpSettings::default(), 2);
    let ids = [served.submitted(&noop()), served.submitted(&noop())];
    let reply = served.submit(&noop());
    assert_eq!((reply.status, reply.problem().as_str()), (429, "queue-full"));
    assert!(reply.header("retry-after").expect("header").parse::<u64>().expect("seconds") >= 1);
    served.post(&format!("/v1/tasks/{}/cancel", ids[0]));
    served.submitted(&noop());
}

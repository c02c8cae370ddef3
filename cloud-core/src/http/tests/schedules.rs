//! Schedules, made, changed, fired and previewed.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use shared_runtime::seal::HookSecret;

use super::client::{self, Reply};
use super::{Served, schedule_parts};

fn send(served: &Served, method: &str, path: &str, body: &Value) -> Reply {
    client::send(served.address, method, path, &[], body.to_string().as_bytes())
}

fn daily(name: &str) -> Value {
    json!({"name": name, "trigger": {"cron": "30 2 * * *", "zone": "America/New_York"},
        "task": {"run": {"noop": {}}}})
}

#[test]
fn a_schedule_is_made_once_replaced_paused_and_deleted() {
    let served = Served::new();
    let made = send(&served, "POST", "/v1/schedules", &daily("report"));
    assert_eq!((made.status, made.header("location")), (201, Some("/v1/schedules/report")));
    assert_eq!(made.json()["version"], 1);
    assert!(made.json()["next"].is_string() && made.json()["kind"] == "core");
    let again = send(&served, "POST", "/v1/schedules", &daily("report"));
    assert_eq!((again.status, again.problem().as_str()), (409, "schedule-exists"));
    assert!(again.json()["detail"].as_str().expect("text").contains("PUT /v1/schedules/report"));
    let path = "/v1/schedules/report";
    let same = send(&served, "PUT", path, &daily("report"));
    assert_eq!((same.status, same.json()["version"].as_u64()), (200, Some(1)));
    let mut other = daily("report");
    other.as_object_mut().expect("fields").remove("name");
    other["jitter_s"] = json!(5);
    assert_eq!(send(&served, "PUT", path, &other).json()["version"], 2);
    let fresh = send(&served, "PUT", "/v1/schedules/another", &other);
    assert_eq!((fresh.status, fresh.json()["name"].as_str()), (201, Some("another")));
    let wrong = send(&served, "PUT", "/v1/schedules/third", &daily("report"));
    assert_eq!(wrong.json()["errors"][0]["pointer"], "/name");
    let page = served.get("/v1/schedules?limit=1").json();
    assert_eq!(page["items"][0]["name"], "another");
    let cursor = page["next_cursor"].as_str().expect("a cursor").to_owned();
    let rest = served.get(&format!("/v1/schedules?cursor={cursor}")).json();
    assert_eq!((&rest["items"][0]["name"], &rest["next_cursor"]), (&json!("report"), &Value::Null));
    for _ in 0..2 {
        let paused = served.post("/v1/schedules/report/pause").json();
        assert_eq!((&paused["paused"], &paused["next"]), (&json!(true), &Value::Null));
    }
    assert_eq!(served.post("/v1/schedules/report/resume").json()["paused"], false);
    assert_eq!(client::send(served.address, "DELETE", path, &[], b"").status, 200);
    for (method, path) in [
        ("GET", "/v1/schedules/report"),
        ("DELETE", "/v1/schedules/report"),
        ("POST", "/v1/schedules/report/fire"),
        ("GET", "/v1/schedules/report/firings"),
        ("GET", "/v1/schedules/another/hook"),
    ] {
        let reply = client::send(served.address, method, path, &[], b"");
        assert_eq!((reply.status, reply.problem().as_str()), (404, "schedule-not-found"), "{path}");
    }
}

#[test]
fn a_schedule_that_makes_no_sense_is_refused_with_its_place() {
    let served = Served::new();
    for (field, value, pointer) in [
        ("trigger", json!({"cron": "61 * * * *"}), "/trigger/cron"),
        ("trigger", json!({"cron": "0 0 30 2 *"}), "/trigger/cron"),
        ("trigger", json!({"cron": "0 0 * * *", "zone": "Europe/Berln"}), "/trigger/zone"),
        ("trigger", json!({"at": ["2001-01-01T00:00:00Z"]}), "/trigger/at"),
        ("trigger", json!({}), "/trigger"),
        ("task", json!({"run": {"noop": {}}, "priority": 101}), "/task/priority"),
        ("overlap", json!("fobid"), "/overlap"),
        ("jiter_s", json!(1), "/jiter_s"),
        ("name", json!("a/b"), "/name"),
    ] {
        let mut schedule = daily("report");
        schedule[field] = value;
        let reply = send(&served, "POST", "/v1/schedules", &schedule);
        let told = (reply.status, reply.problem());
        assert_eq!(told, (422, "invalid-schedule".to_owned()), "{schedule}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{}", reply.json());
    }
    let reply = served.get("/v1/schedules/a%20b");
    assert_eq!((reply.status, reply.problem().as_str()), (400, "invalid-id"));
}

#[test]
fn a_schedule_that_fires_makes_tasks_that_name_it() {
    let served = Served::new();
    let mut schedule = daily("report");
    schedule["overlap"] = json!("forbid");
    send(&served, "POST", "/v1/schedules", &schedule);
    let fired = served.post("/v1/schedules/report/fire").json();
    let task = fired["task"].as_str().expect("a task").to_owned();
    let shown = served.get(&format!("/v1/tasks/{task}")).json();
    assert_eq!(shown["schedule"], json!({"name": "report", "at": fired["at"], "version": 1}));
    assert_eq!(served.get("/v1/schedules/report").json()["under_way"], json!([task]));
    assert_eq!(served.post("/v1/schedules/report/fire").json()["task"], Value::Null);
    let firings = served.get("/v1/schedules/report/firings?limit=1").json();
    let latest = &firings["items"][0];
    assert_eq!((&latest["status"], &latest["reason"]), (&json!("skipped"), &json!("overlap")));
    let cursor = firings["next_cursor"].as_str().expect("a cursor");
    let older = served.get(&format!("/v1/schedules/report/firings?cursor={cursor}")).json();
    assert_eq!(older["items"][0]["task"], task);
    let alone = served.submitted(&super::noop());
    let tasks = served.get("/v1/tasks?schedule=report").json();
    assert_eq!(
        (tasks["items"].as_array().map(Vec::len), &tasks["items"][0]["id"]),
        (Some(1), &json!(task))
    );
    assert_eq!(served.get("/v1/tasks?schedule=nobody").json()["items"], json!([]));
    assert_eq!(served.get(&format!("/v1/tasks/{alone}")).json()["schedule"], Value::Null);
    assert_eq!(served.get("/v1/tasks?schedule=a%2Fb").problem(), "invalid-query");
}

#[test]
fn a_preview_says_what_time_changes_do() {
    let served = Served::new();
    let preview = |body: &Value| send(&served, "POST", "/v1/schedules/preview", body);
    let trigger = json!({"cron": "30 2 * * *", "zone": "America/New_York"});
    let wish = json!({"trigger": trigger, "from": "2026-03-07T08:00:00Z", "count": 2});
    assert_eq!(
        preview(&wish).json(),
        json!({"firings": [
            {"at": "2026-03-08T07:00:00.000Z", "local": "2026-03-08T03:00:00-04:00", "note": "moved"},
            {"at": "2026-03-09T06:30:00.000Z", "local": "2026-03-09T02:30:00-04:00", "note": null},
        ]})
    );
    let firings = |body: &Value| preview(body).json()["firings"].as_array().map(Vec::len);
    assert_eq!(firings(&json!({"trigger": trigger})), Some(5));
    let bounded = json!({"trigger": trigger, "from": "2026-06-01T00:00:00Z",
        "ends_at": "2026-06-03T00:00:00Z", "exclude_days": ["06-01"]});
    assert_eq!(firings(&bounded), Some(1));
    for (body, pointer) in [
        (json!({"trigger": {"event": {"webhook": {}}}}), "/trigger/event"),
        (json!({"trigger": trigger, "count": 0}), "/count"),
        (json!({"trigger": trigger, "count": 1_001}), "/count"),
        (json!({"trigger": trigger, "from": "soon"}), "/from"),
        (json!({"trigger": trigger, "form": 1}), "/form"),
        (json!({}), "/trigger"),
    ] {
        let reply = preview(&body);
        assert_eq!((reply.status, reply.problem().as_str()), (422, "invalid-schedule"), "{body}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{body}");
    }
}

/// A delivery that is signed so.
fn deliver(served: &Served, secret: &HookSecret, id: &str, late_s: u64, body: &str) -> Reply {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let time = (now - late_s).to_string();
    let signature = secret.sign(id, &time, body.as_bytes());
    let headers =
        [("webhook-id", id), ("webhook-timestamp", &time), ("webhook-signature", &signature)];
    client::send(served.address, "POST", "/v1/hooks/door", &headers, body.as_bytes())
}

#[test]
fn a_hook_takes_what_is_signed_once() {
    let served = Served::new();
    let schedule = json!({"name": "door", "overlap": "allow", "task": {"run": {"noop": {}}},
        "trigger": {"event": {"webhook": {"when": [{"pointer": "/open", "op": "eq", "value": true}]}}}});
    let made = send(&served, "POST", "/v1/schedules", &schedule).json();
    let id = made["id"].as_str().expect("id").parse().expect("an id");
    let secret = schedule_parts().hook_key.secret(id);
    let hook = served.get("/v1/schedules/door/hook").json();
    assert_eq!(hook, json!({"url": "/v1/hooks/door", "secret": secret.expose()}));
    let open = r#"{"open": true}"#;
    let first = deliver(&served, &secret, "msg_1", 0, open);
    assert_eq!((first.status, &first.json()["fired"]), (200, &json!(true)));
    assert!(first.json()["task"].is_string());
    assert_eq!(deliver(&served, &secret, "msg_1", 0, open).json(), first.json());
    let passed = deliver(&served, &secret, "msg_2", 0, r#"{"open": false}"#);
    assert_eq!(passed.json(), json!({"fired": false, "at": null, "task": null}));
    let other = schedule_parts()
        .hook_key
        .secret("01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b".parse().expect("id"));
    for reply in [
        deliver(&served, &other, "msg_3", 0, open),
        deliver(&served, &secret, "msg_3", 400, open),
        client::send(served.address, "POST", "/v1/hooks/door", &[], open.as_bytes()),
    ] {
        assert_eq!((reply.status, reply.problem().as_str()), (401, "bad-signature"));
    }
    let large = deliver(&served, &secret, "msg_4", 0, &"x".repeat(16 * 1024 + 1));
    assert_eq!((large.status, large.problem().as_str()), (413, "body-too-large"));
    let tasks = served.get("/v1/tasks?schedule=door").json();
    assert_eq!(tasks["items"].as_array().map(Vec::len), Some(1));
}

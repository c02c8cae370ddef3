//! Plans and explanations.

use serde_json::json;
use shared::api::{AssignmentDocument, Terms};
use shared::assignment::AssignmentStatus;
use shared::id::Attempt;
use shared::report::{End, Finish, Output, ReportEvent};
use shared::time::Timestamp;

use super::{CoreId, HttpSettings, MemoryStore, Served, Settings, Store, Uuid, client, noop};
use crate::http::explain;
use crate::store::conformance::sample::{added, task_id, task_row};

#[test]
fn a_plan_names_every_refusal_and_stores_nothing() {
    let served = Served::new();
    let task = json!({"run": {"noop": {}}, "where": {"regions": ["au-north"]}}).to_string();
    let reply = client::send(served.address, "POST", "/v1/tasks/plan", &[], task.as_bytes());
    assert_eq!(reply.status, 200);
    let plan = reply.json();
    assert_eq!(plan["chosen"], json!(null));
    let reasons: Vec<_> =
        plan["refused"].as_array().expect("refused").iter().map(|one| &one["reason"]).collect();
    assert!(reasons.contains(&&json!("region")), "{plan}");
    assert_eq!(served.get("/v1/tasks").json()["items"], json!([]));
}

#[test]
fn a_waiting_task_says_why_and_what_helps() {
    let served = Served::new();
    let id = served.submitted(&json!({"run": {"noop": {}}, "needs": {"cpu_millis": 9000}}));
    let explained = served.get(&format!("/v1/tasks/{id}/explain")).json();
    assert_eq!((&explained["task"], &explained["status"]), (&json!(id), &json!("pending")));
    let summary = explained["summary"].as_str().expect("summary");
    assert!(
        summary.starts_with("It waits for a place. None of 3 agents may take it now"),
        "{summary}"
    );
    assert!(!explained["what_helps"].as_array().expect("advice").is_empty());
    assert_eq!(explained["plan"]["agents"], 3);
    assert_eq!(explained["placed"], json!(null));
}

#[test]
fn a_task_that_never_had_a_place_says_so() {
    let served = Served::new();
    let id = served.submitted(&noop());
    served.post(&format!("/v1/tasks/{id}/cancel"));
    let explained = served.get(&format!("/v1/tasks/{id}/explain")).json();
    let summary = explained["summary"].as_str().expect("summary");
    assert!(summary.starts_with("It was canceled before it had a place"), "{summary}");
    assert_eq!((&explained["placed"], &explained["plan"]), (&json!(null), &json!(null)));
}

#[test]
fn a_task_is_placed_where_the_plan_said() {
    let served = Served::new();
    served.greet("lamp-1");
    let task = noop().to_string();
    let plan = client::send(served.address, "POST", "/v1/tasks/plan", &[], task.as_bytes()).json();
    assert_eq!((&plan["chosen"], &plan["feasible"]), (&json!("lamp-1"), &json!(1)));
    let id = served.submitted(&noop());
    let status = || served.get(&format!("/v1/tasks/{id}")).json()["status"].clone();
    served.until(|| status() == "assigned");
    let explained = served.get(&format!("/v1/tasks/{id}/explain")).json();
    assert_eq!(explained["placed"]["agent"], "lamp-1");
    assert_eq!(explained["placed"]["score"], plan["candidates"][0]["score"]);
    let summary = explained["summary"].as_str().expect("summary");
    assert!(summary.starts_with("Placed on lamp-1"), "{summary}");
    assert!(summary.ends_with("was offered to lamp-1, which has not answered yet"), "{summary}");
    assert_eq!(served.get("/v1/tasks?agent=lamp-1").json()["items"][0]["id"], json!(id));
    assert_eq!(served.get("/v1/agents?status=online").json()["items"][0]["assignments"], 1);
}

#[test]
fn a_task_that_failed_and_waits_says_both() {
    let served = Served::new();
    served.greet("lamp-1");
    let id = served.submitted(&noop());
    let status = || served.get(&format!("/v1/tasks/{id}")).json()["status"].clone();
    served.until(|| status() == "assigned");
    let finish = Finish {
        end: End::Exited { code: 3 },
        started_at: None,
        ran_ms: Some(5),
        output: Output::default(),
    };
    let task = id.parse().expect("id");
    served.report("lamp-1", task, ReportEvent::Finished(Box::new(finish)));
    served.until(|| status() == "pending");
    let explained = served.get(&format!("/v1/tasks/{id}/explain")).json();
    let summary = explained["summary"].as_str().expect("summary");
    assert!(
        summary.starts_with("Attempt 1 failed on lamp-1: exited with code 3. It waits until "),
        "{summary}"
    );
    assert_eq!(explained["placed"]["agent"], "lamp-1");
    assert_eq!(explained["plan"]["agents"], 4);
}

#[test]
fn a_placed_task_says_why_there_and_what_became_of_it() {
    let served = Served::new();
    let id = served.submitted(&noop());
    let document = served.get(&format!("/v1/tasks/{id}")).json();
    let mut task: shared::api::TaskDocument = serde_json::from_value(document).expect("a task");
    task.summary.status = shared::task::TaskStatus::Running;
    task.assignments.push(AssignmentDocument {
        agent: "board-1".parse().expect("id"),
        attempt: Attempt(1),
        status: AssignmentStatus::Running,
        score: 0.83,
        terms: Terms { load: 0.9, capacity: 0.8, distance: Some(0.7), latency: 0.6 },
        distance_m: Some(11_120.4),
        latency_ms: Some(3.1),
        policy: 3,
        profile: None,
        gap: None,
        together: None,
        offered_at: Timestamp(0),
        accepted_at: None,
        started_at: None,
        ended_at: None,
        detail: None,
        progress: None,
        retries: 0,
    });
    let told = |task: &shared::api::TaskDocument| explain::placed(task).summary;
    let running = explain::placed(&task);
    assert!(
        running.summary.starts_with("Placed on board-1 with score 0.83"),
        "{}",
        running.summary
    );
    assert!(running.summary.ends_with("Attempt 1 runs on board-1"), "{}", running.summary);
    assert_eq!(running.placed.expect("placed").distance_m, Some(11_120.4));
    task.assignments[0].status = AssignmentStatus::Unknown;
    assert!(
        told(&task).ends_with("cannot be heard; it is replaced after 60 s of silence"),
        "{}",
        told(&task)
    );
    task.assignments[0].status = AssignmentStatus::Failed;
    task.assignments[0].detail = Some("exited with code 1".to_owned());
    assert!(
        told(&task).ends_with("Attempt 1 failed on board-1: exited with code 1"),
        "{}",
        told(&task)
    );
    task.summary.status = shared::task::TaskStatus::Pending;
    assert!(explain::waits(&task));
    let now = shared::api::Explanation {
        task: task.summary.id,
        status: task.summary.status,
        summary: "It waits.".to_owned(),
        what_helps: Vec::new(),
        placed: None,
        plan: None,
    };
    let explained = explain::after_attempts(&task, now);
    assert_eq!(explained.summary, "Attempt 1 failed on board-1: exited with code 1. It waits.");
    assert_eq!(explained.placed.expect("the last placement").agent.as_str(), "board-1");
}

#[test]
fn a_task_that_is_held_back_says_why_and_until_when() {
    let mut store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let (mut exclusive, plain) = (task_row(1), task_row(2));
    let mut spec = (*exclusive.spec).clone();
    spec.exclusive = true;
    exclusive.spec = spec.into();
    store.commit(&[added(&exclusive), added(&plain)]).expect("commit");
    store.put_back(CoreId(Uuid::from_u128(2)));
    let settings = Settings { recovery_ms: 6_000, ..Settings::default() };
    let served = Served::deciding(store, HttpSettings::default(), settings);
    let explain = |number| served.get(&format!("/v1/tasks/{}/explain", task_id(number))).json();
    let summary = |number| explain(number)["summary"].as_str().expect("summary").to_owned();
    for number in [1, 2] {
        let told = summary(number);
        assert!(
            told.starts_with("It is held back: this core was put back to a backup")
                && told.contains("It waits for a place"),
            "{told}"
        );
        let help = &explain(number)["what_helps"];
        assert!(help[0].as_str().expect("help").contains("core.recovery_ms"), "{help}");
        assert!(help[1].as_str().expect("help").contains("ambit-agent run"), "{help}");
    }
    // The agents have had their time.
    served.greet("lamp-1");
    let status = |number| served.get(&format!("/v1/tasks/{}", task_id(number))).json();
    served.until(|| status(2)["status"] == "assigned");
    let told = summary(1);
    assert!(told.starts_with("It is held back: it is exclusive"), "{told}");
    assert!(told.contains("under its lease until 20"), "{told}");
    let help = explain(1)["what_helps"].clone();
    assert_eq!(help.as_array().map(Vec::len), Some(1), "{help}");
}

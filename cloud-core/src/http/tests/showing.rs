//! One task in full: how far it has come, and one that the core has forgotten.

use cloud_core_logic::change::Change;
use serde_json::json;
use shared::api::HistoryDocument;
use shared::id::{AssignmentId, Attempt};
use shared::report::{ProgressMark, ReportEvent};
use shared::time::Timestamp;
use shared::wire::Uplink;
use shared::wire::uplink::{AttemptProgress, ProgressNews};
use shared_runtime::clock::Clock;

use super::{CoreId, HttpSettings, INCARNATION, Input, MemoryStore, Served, Store, Uuid, noop};

#[test]
fn progress_is_shown_with_its_attempt() {
    let served = Served::new();
    served.greet("lamp-1");
    let id = served.submitted(&noop());
    let task = || served.get(&format!("/v1/tasks/{id}")).json();
    served.until(|| task()["status"] == "assigned");
    assert_eq!(task()["assignments"][0]["progress"], json!(null));
    let item = |thousandths, text: &str| AttemptProgress {
        assignment: AssignmentId { task: id.parse().expect("id"), attempt: Attempt(1) },
        at: Timestamp(0),
        stamp: Default::default(),
        mark: ProgressMark { thousandths, text: text.to_owned() },
    };
    let message = Uplink::Progress(ProgressNews {
        incarnation: INCARNATION,
        session: shared::id::Session(1),
        items: vec![item(Some(250), "a quarter"), item(Some(425), "nearly half")],
    });
    let input = Input::Uplink { agent: "lamp-1".parse().expect("id"), message };
    served.runtime.block_on(served.uplinks.send(input)).expect("a driver");
    served.until(|| task()["assignments"][0]["progress"] != json!(null));
    let progress = &task()["assignments"][0]["progress"];
    assert_eq!((&progress["fraction"], &progress["text"]), (&json!(0.425), &json!("nearly half")));
    assert!(progress["at"].as_str().expect("a time").ends_with('Z'), "{progress}");
}

#[test]
fn a_forgotten_task_says_so_and_what_was_told_of_it() {
    let mut store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let id = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b";
    let entry = HistoryDocument {
        agent: "board-1".parse().expect("id"),
        attempt: Attempt(2),
        // Now: what came long ago about a task that is not here is not kept.
        received_at: Clock::new().now().wall,
        event: ReportEvent::Started,
    };
    let change = Change::LateReport { task: id.parse().expect("id"), entry: Box::new(entry) };
    store.commit(&[change]).expect("commit");
    let served = Served::over(store, HttpSettings::default(), 10);
    let replies = [
        served.get(&format!("/v1/tasks/{id}")),
        served.get(&format!("/v1/tasks/{id}/explain")),
        served.post(&format!("/v1/tasks/{id}/cancel")),
    ];
    for reply in replies {
        assert_eq!((reply.status, reply.problem().as_str()), (404, "task-forgotten"));
        let told = &reply.json()["late_reports"];
        assert_eq!(told.as_array().map(Vec::len), Some(1));
        assert_eq!((&told[0]["agent"], &told[0]["attempt"]), (&json!("board-1"), &json!(2)));
        assert_eq!(told[0]["event"]["kind"], "started");
    }
    let unknown = served.get("/v1/tasks/01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7c");
    assert_eq!(unknown.problem(), "task-not-found");
    assert_eq!(unknown.json()["late_reports"], json!(null), "left out where there is none");
}

//! The placement policy, read and changed.

use serde_json::{Value, json};

use super::client::{self, Reply};
use super::{CoreId, HttpSettings, MemoryStore, Served, Settings, Uuid, noop};

fn put(served: &Served, policy: &Value, headers: &[(&str, &str)]) -> Reply {
    client::send(served.address, "PUT", "/v1/policy", headers, policy.to_string().as_bytes())
}

#[test]
fn a_policy_is_put_once_per_version_and_outlives_the_core() {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let open = || Served::deciding(store.clone(), HttpSettings::default(), Settings::default());
    let served = open();
    let first = served.get("/v1/policy");
    assert_eq!((first.status, first.header("etag")), (200, Some("\"1\"")));
    let mut policy = first.json()["policy"].clone();
    assert_eq!(policy["weights"]["capacity"], 40);
    policy["weights"]["capacity"] = json!(5);
    let changed = put(&served, &policy, &[("if-match", "\"1\"")]);
    assert_eq!((changed.status, changed.header("etag")), (200, Some("\"2\"")));
    assert_eq!(changed.json(), json!({"version": 2, "policy": policy}));
    let late = put(&served, &json!({}), &[("if-match", "\"1\"")]);
    assert_eq!((late.status, late.problem().as_str()), (412, "policy-changed"));
    let same = put(&served, &policy, &[("if-match", "*")]);
    assert_eq!(same.json()["version"], 2, "what changes nothing is no new version");
    drop(served);

    let served = open();
    assert_eq!(served.get("/v1/policy").json(), changed.json());
    served.greet("tram-9");
    let id = served.submitted(&noop());
    let task = || served.get(&format!("/v1/tasks/{id}")).json();
    served.until(|| task()["assignments"][0].is_object());
    assert_eq!(task()["assignments"][0]["policy"], 2);
    let defaults = put(&served, &json!({}), &[]).json();
    assert_eq!((&defaults["version"], &defaults["policy"]), (&json!(3), &first.json()["policy"]));
    let events = served.reader().events(0).expect("events").events;
    let versions: Vec<_> =
        events.iter().filter_map(|event| event.detail.as_ref()?.policy).collect();
    assert_eq!(versions, [2, 3]);
}

#[test]
fn a_policy_that_makes_no_sense_is_refused_with_its_place() {
    let served = Served::new();
    for (policy, pointer) in [
        (json!({"weights": {"load": 1_001}}), "/weights/load"),
        (json!({"weights": {"lod": 1}}), "/weights/lod"),
        (json!({"weights": {"load": 0, "capacity": 0, "distance": 0, "latency": 0}}), "/weights"),
        (json!({"distance_m_ref": 0}), "/distance_m_ref"),
        (json!({"latency_ms_ref": "fast"}), "/latency_ms_ref"),
        (json!({"packing": 1}), "/packing"),
        (json!({"version": 7}), "/version"),
        (json!([]), ""),
    ] {
        let reply = put(&served, &policy, &[]);
        assert_eq!((reply.status, reply.problem().as_str()), (422, "invalid-policy"), "{policy}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{policy}");
    }
    let reply = put(&served, &json!({}), &[("if-match", "3")]);
    assert_eq!((reply.status, reply.problem().as_str()), (400, "invalid-if-match"));
    assert_eq!(served.get("/v1/policy").json()["version"], 1);
}

fn replay(served: &Served, query: &str, policy: &Value) -> Reply {
    let (path, body) = (format!("/v1/policy/replay{query}"), policy.to_string());
    client::send(served.address, "POST", &path, &[], body.as_bytes())
}

#[test]
fn earlier_policies_are_kept_by_their_version() {
    let served = Served::new();
    let first = served.get("/v1/policy").json();
    put(&served, &json!({"packing": true}), &[]);
    put(&served, &json!({"profiles": {"near": {"weights": {"distance": 200}}}}), &[]);
    assert_eq!(served.get("/v1/policy?version=1").json(), first, "also the one that it began with");
    let second = served.get("/v1/policy?version=2");
    assert_eq!(
        (second.header("etag"), &second.json()["policy"]["packing"]),
        (Some("\"2\""), &json!(true))
    );
    let third = served.get("/v1/policy?version=3").json();
    assert_eq!(third, served.get("/v1/policy").json());
    assert_eq!(third["policy"]["profiles"], json!({"near": {"weights": {"distance": 200}}}));
    let none = served.get("/v1/policy?version=4");
    assert_eq!((none.status, none.problem().as_str()), (404, "policy-not-found"));
    let wrong = served.get("/v1/policy?version=0");
    assert_eq!((wrong.status, wrong.problem().as_str()), (400, "invalid-query"));
}

#[test]
fn a_task_of_an_unknown_profile_is_refused_wherever_it_comes_in() {
    let served = Served::new();
    put(&served, &json!({"profiles": {"near": {}}}), &[]);
    let task = |profile| {
        let mut task = noop();
        task["prefer"] = json!({"profile": profile});
        task
    };
    let send = |path, body: Value| {
        client::send(served.address, "POST", path, &[], body.to_string().as_bytes())
    };
    let one = served.submit(&task("naer"));
    for reply in [&one, &send("/v1/tasks/plan", task("naer"))] {
        assert_eq!((reply.status, reply.problem().as_str()), (422, "invalid-task"));
        assert_eq!(reply.json()["errors"][0]["pointer"], "/prefer/profile");
        let told = reply.json()["detail"].as_str().expect("a sentence").to_owned();
        assert!(told.contains("policy 2 has near; did you mean `near`?"), "{told}");
    }
    let results =
        send("/v1/tasks/batch", json!([task("near"), task("far")])).json()["results"].clone();
    assert_eq!((&results[0]["status"], &results[1]["status"]), (&json!(201), &json!(422)));
    assert_eq!(results[1]["problem"]["errors"][0]["pointer"], "/prefer/profile");
    assert_eq!(send("/v1/tasks/plan", task("near")).json()["profile"], "near");
    let id = results[0]["task"]["id"].as_str().expect("an id").to_owned();
    put(&served, &json!({}), &[]);
    let told = served.get(&format!("/v1/tasks/{id}/explain")).json();
    let told = told["summary"].as_str().expect("a sentence");
    assert!(told.contains("Policy 3 has no profile near any more"), "{told}");
}

#[test]
fn a_policy_from_a_file_is_not_put_over_http() {
    let policy_file = Some("/etc/ambit/policy.toml".into());
    let served = Served::with(HttpSettings { policy_file, ..HttpSettings::default() }, 10);
    let reply = put(&served, &json!({"packing": true}), &[]);
    assert_eq!((reply.status, reply.problem().as_str()), (409, "policy-from-file"));
    assert!(reply.json()["detail"].as_str().expect("told").contains("/etc/ambit/policy.toml"));
    assert_eq!(served.get("/v1/policy").json()["version"], 1);
    assert_eq!(replay(&served, "", &json!({})).status, 200, "what it would do can be asked");
}

#[test]
fn a_replay_looks_at_what_is_recorded_and_changes_nothing() {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    let served = Served::deciding(store, HttpSettings::default(), Settings::default());
    let empty = replay(&served, "", &json!({"packing": true}));
    assert_eq!((empty.status, &empty.json()["placements"]), (200, &json!(0)));
    assert_eq!(empty.json()["before"]["score"], Value::Null);
    for name in ["tram-8", "tram-9"] {
        served.greet(name);
    }
    for _ in 0..4 {
        let id = served.submitted(&noop());
        let task = || served.get(&format!("/v1/tasks/{id}")).json();
        served.until(|| task()["assignments"][0].is_object());
    }
    let told = replay(&served, "", &json!({})).json();
    assert_eq!((&told["placements"], &told["live"]), (&json!(4), &json!(4)));
    assert_eq!(told["change"]["stay"], 4, "the same policy moves nothing");
    assert_eq!((&told["before"], &told["policy"]), (&told["after"], &json!(1)));
    assert_eq!(replay(&served, "?last=3", &json!({})).json()["placements"], 3);
    assert_eq!(served.get("/v1/policy").json()["version"], 1);

    for (query, policy, status, problem) in [
        ("?last=0", json!({}), 400, "invalid-query"),
        ("?last=10001", json!({}), 400, "invalid-query"),
        ("", json!({"filters": {"cpu": false}}), 422, "invalid-policy"),
        ("", json!([]), 422, "invalid-policy"),
    ] {
        let reply = replay(&served, query, &policy);
        assert_eq!((reply.status, reply.problem().as_str()), (status, problem), "{query} {policy}");
    }
}

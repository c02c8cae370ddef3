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

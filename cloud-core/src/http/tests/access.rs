//! Who may do what: a core with tokens, asked by those who have one and those who do not.

use std::sync::Arc;

use cloud_core_logic::Settings;

use super::{CoreId, Gate, HttpSettings, Limits, MemoryStore, Reply, Served, Store, Uuid, agent};
use super::{client, noop};
use crate::access::{Role, TokenFile, Wish};

/// A core that knows one token of each role: viewer, submitter, operator.
pub(super) fn closed(limits: Limits) -> (Served, [String; 3]) {
    let folder = tempfile::tempdir().expect("folder");
    let file = TokenFile::of(folder.path());
    let bearers = [Role::Viewer, Role::Submitter, Role::Operator].map(|role| {
        let name = format!("a-{role}").parse().expect("name");
        let wish = Wish { name, role, expires_in_s: None };
        let (secret, _) = file.create(wish, shared::time::Timestamp(0)).expect("create");
        format!("Bearer {}", secret.expose())
    });
    let gate = Gate::new(limits, true);
    gate.put(file.read().expect("read"), &file.used());
    let mut store = MemoryStore::new(CoreId(Uuid::from_u128(1)));
    store.commit(&[agent("board-1")]).expect("commit");
    let settings = HttpSettings::default();
    (Served::behind(Arc::new(gate), store, settings, Settings::default()), bearers)
}

fn ask(served: &Served, method: &str, target: &str, bearer: Option<&str>) -> Reply {
    let task = noop().to_string();
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.map(|bearer| ("authorization", bearer)));
    let body = if method == "POST" && target.starts_with("/v1/tasks") { task.as_str() } else { "" };
    client::send(served.address, method, target, &headers, body.as_bytes())
}

const ID: &str = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b";

/// Every route, with the least role it asks for as the place of its token.
fn routes() -> Vec<(&'static str, String, usize)> {
    [
        ("GET", "/v1/tasks", 0),
        ("POST", "/v1/tasks", 1),
        ("POST", "/v1/tasks/plan", 0),
        ("GET", "/v1/tasks/{id}", 0),
        ("GET", "/v1/tasks/{id}/explain", 0),
        ("POST", "/v1/tasks/{id}/cancel", 1),
        ("GET", "/v1/tasks/{id}/logs", 0),
        ("GET", "/v1/agents", 0),
        ("GET", "/v1/agents/board-1", 0),
        ("POST", "/v1/agents/board-1/cordon", 2),
        ("POST", "/v1/agents/board-1/uncordon", 2),
        ("POST", "/v1/agents/board-1/drain", 2),
        ("POST", "/v1/agents/board-1/revoke", 2),
        ("POST", "/v1/agents/board-1/readmit", 2),
        ("POST", "/v1/tasks/batch", 1),
        ("GET", "/v1/policy", 0),
        ("PUT", "/v1/policy", 2),
        ("POST", "/v1/policy/replay", 0),
        ("GET", "/metrics", 0),
    ]
    .map(|(method, path, least)| (method, path.replace("{id}", ID), least))
    .to_vec()
}

#[test]
fn every_route_asks_for_its_role() {
    let (served, bearers) = closed(Limits::default());
    for (method, path, least) in routes() {
        let reply = ask(&served, method, &path, None);
        assert_eq!((reply.status, reply.problem().as_str()), (401, "unauthenticated"), "{path}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"ambit\""));
        for (role, bearer) in bearers.iter().enumerate() {
            let reply = ask(&served, method, &path, Some(bearer));
            if role < least {
                assert_eq!((reply.status, reply.problem().as_str()), (403, "forbidden"), "{path}");
            } else {
                assert!(!matches!(reply.status, 401 | 403), "{method} {path}: {}", reply.status);
            }
        }
    }
}

#[test]
fn health_is_open_and_what_does_not_exist_tells_strangers_nothing() {
    let (served, bearers) = closed(Limits::default());
    for path in ["/", "/health/live", "/health/ready", "/docs", "/docs/docs.js", "/v1/openapi.json"]
    {
        assert_eq!(ask(&served, "GET", path, None).status, 200, "{path}");
    }
    for path in ["/v1/nothing", "/nothing", "/v1/agents/board-1/drain", "/v1", "/%761/tasks"] {
        assert_eq!(ask(&served, "GET", path, None).status, 401, "{path}");
    }
    let found = ask(&served, "GET", "/v1/nothing", Some(&bearers[0]));
    assert_eq!((found.status, found.problem().as_str()), (404, "path-not-found"));
    let method = ask(&served, "DELETE", "/v1/tasks", Some(&bearers[0]));
    assert_eq!((method.status, method.problem().as_str()), (405, "method-not-allowed"));
}

#[test]
fn a_path_that_is_spelled_otherwise_asks_for_the_same_role() {
    let (served, bearers) = closed(Limits::default());
    for path in ["/v1/t%61sks", "/%76%31/tasks", "/v1/agents/board-1/dr%61in"] {
        assert_eq!(ask(&served, "POST", path, None).status, 401, "{path}");
        let reply = ask(&served, "POST", path, Some(&bearers[0]));
        assert!(matches!(reply.status, 403 | 404), "{path}: {}", reply.status);
    }
    assert_eq!(
        ask(&served, "GET", "/v1/tasks", Some(&bearers[0])).json()["items"],
        serde_json::json!([])
    );
}

#[test]
fn what_is_wrong_with_a_token_is_told_and_never_the_token() {
    let (served, bearers) = closed(Limits::default());
    let guess = format!("{}0000", &bearers[2][..bearers[2].len() - 4]);
    for wrong in ["", "Basic YTpi", "Bearer nonsense", &guess] {
        let reply = ask(&served, "GET", "/v1/agents", Some(wrong));
        assert_eq!((reply.status, reply.problem().as_str()), (401, "unauthenticated"), "{wrong}");
        let random = &bearers[2][24..60];
        assert!(!String::from_utf8_lossy(&reply.body).contains(random));
    }
    let name = ask(&served, "POST", "/v1/tasks", Some(&bearers[0])).json()["detail"].to_string();
    assert!(name.contains("a-viewer") && name.contains("submitter"), "{name}");
}

#[test]
fn one_who_asks_too_often_is_told_when_to_come_back() {
    let (served, bearers) = closed(Limits { requests_per_second: 1, requests_burst: 2 });
    let statuses: Vec<u16> = (0..8)
        .map(|_| {
            let reply = ask(&served, "GET", "/v1/agents", Some(&bearers[0]));
            if reply.status == 429 {
                assert_eq!(reply.problem(), "too-many-requests");
                assert_eq!(reply.header("retry-after"), Some("1"));
            }
            reply.status
        })
        .collect();
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses.contains(&429), "{statuses:?}");
    assert_eq!(ask(&served, "GET", "/v1/agents", Some(&bearers[1])).status, 200);
}

#[test]
fn guesses_are_not_looked_at_for_a_while() {
    let (served, bearers) = closed(Limits::default());
    let guess = format!("{}0000", &bearers[0][..bearers[0].len() - 4]);
    let last = (0..30).map(|_| ask(&served, "GET", "/v1/agents", Some(&guess)).status).last();
    assert_eq!(last, Some(429));
    assert_eq!(ask(&served, "GET", "/v1/agents", Some(&bearers[1])).status, 200);
}

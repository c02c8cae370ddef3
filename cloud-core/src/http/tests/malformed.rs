//! A table of requests that are wrong, each with what is answered.

use super::{Served, client};

/// method, target, headers, body, status, problem, pointer of the first error or part of `detail`.
type Row = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
    u16,
    &'static str,
    &'static str,
);

const ID: &str = "/v1/tasks/01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b";
const NOOP: &str = r#"{"run":{"noop":{}}}"#;

// One row a line: it is a table.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    // Bodies that are no JSON, or not declared as such.
    ("POST", "/v1/tasks", &[], "", 400, "invalid-json", "the body is empty"),
    ("POST", "/v1/tasks", &[], "{\n\"run\": nope}", 400, "invalid-json", "at line 2 column 9"),
    ("POST", "/v1/tasks", &[], "{\"run\":", 400, "invalid-json", "ends too early"),
    ("POST", "/v1/tasks/plan", &[], "[1, 2", 400, "invalid-json", "at line 1"),
    ("POST", "/v1/tasks", &[("content-type", "text/plain")], NOOP, 415, "unsupported-media-type", "send application/json"),
    ("POST", "/v1/tasks", &[("content-type", "")], NOOP, 415, "unsupported-media-type", "send application/json"),
    ("POST", "/v1/tasks", &[("content-encoding", "gzip")], NOOP, 415, "unsupported-media-type", "send it as it is"),
    // JSON that is no task.
    ("POST", "/v1/tasks", &[], "[]", 422, "invalid-task", "the task must be an object"),
    ("POST", "/v1/tasks", &[], "{}", 422, "invalid-task", "/run"),
    ("POST", "/v1/tasks", &[], r#"{"run":{}}"#, 422, "invalid-task", "/run"),
    ("POST", "/v1/tasks", &[], r#"{"run":{"noop":{}},"prioritty":1}"#, 422, "invalid-task", "/prioritty"),
    ("POST", "/v1/tasks", &[], r#"{"run":{"noop":{}},"priority":101}"#, 422, "invalid-task", "/priority"),
    ("POST", "/v1/tasks", &[], r#"{"run":{"exec":{"command":""}}}"#, 422, "invalid-task", "/run/exec/command"),
    ("POST", "/v1/tasks/plan", &[], r#"{"run":{"noop":{}},"where":{"near":{"latitude":91,"longitude":0}}}"#, 422, "invalid-task", "/where/near/latitude"),
    ("POST", "/v1/tasks", &[], r#"{"run":{"noop":{}},"where":{"agents":["ok","a/b"]}}"#, 422, "invalid-task", "/where/agents/1"),
    // Keys.
    ("POST", "/v1/tasks", &[("idempotency-key", "")], NOOP, 400, "invalid-idempotency-key", "it is empty"),
    ("POST", "/v1/tasks", &[("idempotency-key", "a b")], NOOP, 400, "invalid-idempotency-key", "another character"),
    ("POST", "/v1/tasks", &[("idempotency-key", "ü")], NOOP, 400, "invalid-idempotency-key", "another character"),
    ("POST", "/v1/tasks", &[("idempotency-key", "a"), ("idempotency-key", "a")], NOOP, 400, "invalid-idempotency-key", "more than once"),
    // Queries.
    ("GET", "/v1/tasks?limit=0", &[], "", 400, "invalid-query", "`limit` must be a whole number from 1 to 500"),
    ("GET", "/v1/tasks?limit=501", &[], "", 400, "invalid-query", "`limit`"),
    ("GET", "/v1/tasks?status=runing", &[], "", 400, "invalid-query", "did you mean `running`?"),
    ("GET", "/v1/tasks?stats=running", &[], "", 400, "invalid-query", "did you mean `status`?"),
    ("GET", "/v1/tasks?cursor=nonsense", &[], "", 400, "invalid-query", "`cursor`"),
    ("GET", "/v1/tasks?cursor=", &[], "", 400, "invalid-query", "`cursor` must not be empty"),
    ("GET", "/v1/tasks?name=%00", &[], "", 400, "invalid-query", "`name`"),
    ("GET", "/v1/tasks?agent=a%2Fb", &[], "", 400, "invalid-query", "`agent`"),
    ("GET", "/v1/tasks?label=%20=x", &[], "", 400, "invalid-query", "`label`"),
    ("GET", "/v1/agents?cursor=board-1", &[], "", 400, "invalid-query", "`cursor`"),
    ("GET", "/v1/agents?status=onlin", &[], "", 400, "invalid-query", "did you mean `online`?"),
    ("GET", "/v1/agents?name=x", &[], "", 400, "invalid-query", "unknown parameter \"name\""),
    ("POST", "/v1/tasks?dry_run=true", &[], NOOP, 400, "invalid-query", "takes none"),
    ("GET", "/?x=1", &[], "", 400, "invalid-query", "takes none"),
    // Ids.
    ("GET", "/v1/tasks/nope", &[], "", 400, "invalid-id", "must be a UUID such as"),
    ("GET", "/v1/tasks/01936f2e8a3c7d4e9b1a2c3d4e5f6a7b", &[], "", 400, "invalid-id", "must be a UUID"),
    ("POST", "/v1/tasks/nope/cancel", &[], "", 400, "invalid-id", "must be a UUID"),
    ("GET", "/v1/tasks/nope/explain", &[], "", 400, "invalid-id", "must be a UUID"),
    ("GET", "/v1/agents/%23", &[], "", 400, "invalid-id", "looks like board-7"),
    ("GET", "/v1/agents/%ff", &[], "", 400, "invalid-id", "looks like board-7"),
    ("POST", "/v1/agents/-x/drain", &[], "", 400, "invalid-id", "looks like board-7"),
    ("GET", ID, &[], "", 404, "task-not-found", "GET /v1/tasks lists"),
    ("POST", "/v1/tasks/01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b/cancel", &[], "", 404, "task-not-found", "GET /v1/tasks lists"),
    ("GET", "/v1/tasks/01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b/explain", &[], "", 404, "task-not-found", "GET /v1/tasks lists"),
    // Paths and methods.
    ("GET", "/v1/task", &[], "", 404, "path-not-found", "did you mean /v1/tasks?"),
    ("GET", "/v1/tasks/", &[], "", 404, "path-not-found", "did you mean /v1/tasks?"),
    ("POST", "/v1/agents/board-1/dain", &[], "", 404, "path-not-found", "did you mean /v1/agents/{id}/drain?"),
    ("GET", "/favicon.ico", &[], "", 404, "path-not-found", "GET / lists"),
    ("DELETE", "/v1/tasks", &[], "", 405, "method-not-allowed", "takes GET, HEAD, POST"),
    ("GET", "/v1/tasks/plan", &[], "", 405, "method-not-allowed", "takes POST"),
    ("GET", "/v1/agents/board-1/drain", &[], "", 405, "method-not-allowed", "takes POST"),
    ("PUT", "/metrics", &[], "", 405, "method-not-allowed", "takes GET, HEAD"),
    // Browsers.
    ("POST", "/v1/tasks", &[("origin", "http://evil.example")], NOOP, 403, "cross-origin", "another site"),
    ("POST", "/v1/agents/board-1/drain", &[("sec-fetch-site", "cross-site")], "", 403, "cross-origin", "another site"),
];

#[test]
fn every_malformed_request_is_told_what_is_wrong_with_it() {
    let served = Served::new();
    for &(method, target, headers, body, status, problem, told) in TABLE {
        let reply = client::send(served.address, method, target, headers, body.as_bytes());
        let shown = format!("{method} {target} {headers:?} {body}: {}", reply.json());
        assert_eq!(reply.status, status, "{shown}");
        assert_eq!(reply.problem(), problem, "{shown}");
        let document = reply.json();
        let pointer = document["errors"][0]["pointer"].as_str().unwrap_or_default();
        let detail = document["detail"].as_str().expect("detail");
        assert!(pointer == told || detail.contains(told), "{shown}");
        if status == 405 {
            let allowed = reply.header("allow").expect("Allow");
            assert!(detail.contains(allowed), "{shown}");
        }
    }
    assert_eq!(served.get("/v1/tasks").json()["items"].as_array().expect("items").len(), 0);
}

#[test]
fn a_large_body_is_refused_whether_declared_or_not() {
    let served = Served::new();
    let large = vec![b' '; crate::http::BODY_BYTES_MAX + 1];
    let reply = client::send(served.address, "POST", "/v1/tasks", &[], &large);
    assert_eq!((reply.status, reply.problem().as_str()), (413, "body-too-large"));
    // Without a declared length, in chunks.
    let mut chunked = format!(
        "POST /v1/tasks HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n",
        served.address,
        large.len()
    )
    .into_bytes();
    chunked.extend_from_slice(&large);
    chunked.extend_from_slice(b"\r\n0\r\n\r\n");
    let reply = client::send_raw(served.address, &chunked).expect("an answer");
    assert_eq!((reply.status, reply.problem().as_str()), (413, "body-too-large"));
    // As large as it may be.
    let mut fits = br#"{"run":{"noop":{}}}"#.to_vec();
    fits.resize(crate::http::BODY_BYTES_MAX, b' ');
    assert_eq!(client::send(served.address, "POST", "/v1/tasks", &[], &fits).status, 201);
}

#[test]
fn a_long_key_is_refused_and_the_longest_is_not() {
    let served = Served::new();
    let body = super::noop().to_string();
    let (fits, long) = ("k".repeat(255), "k".repeat(256));
    assert_eq!(served.submit_text(&body, &[("Idempotency-Key", &fits)]).status, 201);
    let reply = served.submit_text(&body, &[("Idempotency-Key", &long)]);
    assert_eq!((reply.status, reply.problem().as_str()), (400, "invalid-idempotency-key"));
}

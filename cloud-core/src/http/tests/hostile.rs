//! Properties: whatever is sent, the core answers with something other than a 5xx, or closes the
//! connection, and goes on serving.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{Served, client};

/// How many requests of each kind are tried.
const CASES: u32 = 300;

fn runner() -> TestRunner {
    TestRunner::new(ProptestConfig {
        cases: CASES,
        failure_persistence: None,
        ..ProptestConfig::default()
    })
}

fn alive(served: &Served) {
    assert_eq!(served.get("/health/live").status, 200);
    assert_eq!(served.get("/v1/agents/board-1").status, 200);
}

/// JSON of any shape, with the names that a task has among its keys.
fn json() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(Value::from("in")),
        Just(Value::from("/bin/true")),
    ];
    let name = prop_oneof![
        prop::sample::select(vec![
            "run",
            "exec",
            "noop",
            "command",
            "args",
            "env",
            "where",
            "near",
            "latitude",
            "longitude",
            "within_m",
            "area",
            "type",
            "coordinates",
            "needs",
            "devices",
            "labels",
            "expressions",
            "key",
            "op",
            "values",
            "retry",
            "prefer",
            "load",
            "priority",
            "timeout_s",
            "name",
            "agents",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    leaf.prop_recursive(5, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

#[test]
fn no_json_makes_the_core_fail() {
    let served = Served::new();
    let strategy = (prop::sample::select(vec!["/v1/tasks", "/v1/tasks/plan"]), json());
    let outcome = runner().run(&strategy, |(target, mut body)| {
        // Half of what is random would fail for want of `run` alone.
        if let Some(fields) = body.as_object_mut() {
            fields.entry("run").or_insert(serde_json::json!({"noop": {}}));
        }
        let text = body.to_string();
        let reply = client::send(served.address, "POST", target, &[], text.as_bytes());
        prop_assert!(
            matches!(reply.status, 200 | 201 | 400 | 413 | 422),
            "{text}: {}",
            reply.status
        );
        Ok(())
    });
    outcome.expect("the property holds");
    alive(&served);
}

#[test]
fn no_query_path_or_header_makes_the_core_fail() {
    let served = Served::new();
    let target = prop_oneof![
        "/v1/(tasks|agents)\\?((status|agent|label|name|limit|cursor|region)=[!-~]{0,12}&?){0,4}",
        "/v1/(tasks|agents)/[!-~]{0,40}",
        "/v1/(tasks|agents)/[!-~]{0,12}/[!-~]{0,8}",
        "/[!-~]{0,60}",
        "[!-~]{1,60}",
        "/v1/tasks\\?limit=1&cursor=(%[0-9a-f]{2}){0,20}",
    ];
    let method =
        prop::sample::select(vec!["GET", "POST", "HEAD", "DELETE", "OPTIONS", "CONNECT", "X"]);
    let strategy = (method, target, "[ -~]{0,300}");
    let outcome = runner().run(&strategy, |(method, target, key)| {
        let text = format!(
            "{method} {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             idempotency-key: {key}\r\norigin: {key}\r\ncontent-length: 0\r\n\r\n"
        );
        if let Some(reply) = client::send_raw_and_close(served.address, text.as_bytes()) {
            prop_assert!(reply.status < 500, "{method} {target}: {}", reply.status);
        }
        Ok(())
    });
    outcome.expect("the property holds");
    alive(&served);
}

#[test]
fn no_bytes_make_the_core_fail() {
    let served = Served::new();
    let heads = prop_oneof![
        Just(Vec::new()),
        Just(b"POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 40\r\n\r\n".to_vec()),
        Just(b"POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()),
        Just(b"GET / HTTP/1.1\r\n".to_vec()),
    ];
    let strategy = (heads, prop::collection::vec(any::<u8>(), 40..200));
    let outcome = runner().run(&strategy, |(mut bytes, rest)| {
        bytes.extend(rest);
        // Ends the connection whatever the bytes meant.
        let reply = client::send_raw_and_close(served.address, &bytes);
        if let Some(reply) = reply {
            prop_assert!(reply.status < 500, "{}", reply.status);
        }
        Ok(())
    });
    outcome.expect("the property holds");
    alive(&served);
}

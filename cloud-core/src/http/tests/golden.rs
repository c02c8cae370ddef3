//! Requests that are malformed, byte for byte, each with the whole answer, kept as golden files:
//! headers, queries, bodies, batches, methods, and what is no HTTP at all.
//! `INSTA_UPDATE=always cargo test -p cloud-core golden` writes the answers anew.

use std::fmt::Write as _;

use super::{Served, client};
use crate::access::Limits;

/// What a request is about, the request line, headers, and the body.
type Row<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [u8]);

const NOOP: &[u8] = br#"{"run":{"noop":{}}}"#;
const JSON: (&str, &str) = ("content-type", "application/json");
const LINES: (&str, &str) = ("content-type", "application/x-ndjson");
const TASK: &str = "/v1/tasks/01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b";

/// What is written of an answer: its status, the headers a client acts on, and the problem.
fn told(reply: Option<&client::Reply>) -> String {
    let Some(reply) = reply else { return "< no answer; the connection is closed\n".to_owned() };
    let mut text = format!("< {}", reply.status);
    for name in ["allow", "retry-after", "www-authenticate", "connection"] {
        if let Some(value) = reply.header(name) {
            let _ = write!(text, "; {name}: {value}");
        }
    }
    text.push('\n');
    if reply.body.is_empty() {
        return text + "  no body\n";
    }
    let document = reply.json();
    if reply.header("content-type") != Some("application/problem+json") {
        return text + &format!("  {document}\n");
    }
    let _ = writeln!(text, "  {}: {}", reply.problem(), document["detail"].as_str().unwrap_or(""));
    for error in document["errors"].as_array().into_iter().flatten() {
        let part = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
        let _ = writeln!(text, "  {} {}", part("pointer"), part("detail"));
    }
    text
}

/// Bytes as one can read them, cut where they are many.
fn shown(bytes: &[u8]) -> String {
    let text: String = bytes.escape_ascii().to_string();
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], bytes.len()),
        None => text,
    }
}

fn table(served: &Served, rows: &[Row<'_>]) -> String {
    let mut text = String::new();
    for (about, line, headers, body) in rows {
        let mut head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in *headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        if !body.is_empty() {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(body);
        let _ = writeln!(text, "# {about}\n> {}", shown(line.as_bytes()));
        for (name, value) in *headers {
            let _ = writeln!(text, "> {}", shown(format!("{name}: {value}").as_bytes()));
        }
        if !body.is_empty() {
            let _ = writeln!(text, "> {}", shown(body));
        }
        let reply = client::send_raw(served.address, &bytes);
        assert!(reply.as_ref().is_none_or(|reply| reply.status != 500), "{about}");
        // What was taken on would have another id each time.
        assert_ne!(reply.as_ref().map(|reply| reply.status), Some(201), "{about}");
        let _ = writeln!(text, "{}", told(reply.as_ref()));
    }
    text
}

#[test]
fn malformed_headers() {
    let served = Served::new();
    let long = "k".repeat(256);
    let huge = "k".repeat(200_000);
    let post = "POST /v1/tasks";
    let key = "idempotency-key";
    let rows: &[Row<'_>] = &[
        ("an empty key", post, &[JSON, (key, "")], NOOP),
        ("a key with a space", post, &[JSON, (key, "a b")], NOOP),
        ("a key with a tabulator", post, &[JSON, (key, "a\tb")], NOOP),
        ("a key beyond ASCII", post, &[JSON, (key, "schlüssel")], NOOP),
        ("a key that is too long", post, &[JSON, (key, &long)], NOOP),
        ("a key twice", post, &[JSON, (key, "a"), (key, "b")], NOOP),
        ("a key with a control character", post, &[JSON, (key, "a\u{1}b")], NOOP),
        ("a key with a line break", post, &[JSON, (key, "a\rb")], NOOP),
        ("a head larger than any may be", post, &[JSON, (key, &huge)], NOOP),
        ("a header without a name", post, &[JSON, ("", "x")], NOOP),
        ("a header with a space in its name", post, &[JSON, ("a b", "x")], NOOP),
        ("plain text", post, &[("content-type", "text/plain")], NOOP),
        ("a form", post, &[("content-type", "application/x-www-form-urlencoded")], NOOP),
        ("a media type that is none", post, &[("content-type", "json")], NOOP),
        (
            "another character set",
            post,
            &[("content-type", "application/json; charset=utf-16")],
            NOOP,
        ),
        ("two media types", post, &[JSON, ("content-type", "text/plain")], NOOP),
        ("a compressed body", post, &[JSON, ("content-encoding", "gzip")], NOOP),
        ("lines where one task is taken", post, &[LINES], NOOP),
        ("a length that is none", post, &[JSON, ("content-length", "many")], b""),
        ("a negative length", post, &[JSON, ("content-length", "-1")], b""),
        ("two lengths", post, &[JSON, ("content-length", "1"), ("content-length", "2")], b""),
        (
            "a length and chunks",
            post,
            &[JSON, ("content-length", "2"), ("transfer-encoding", "chunked")],
            b"",
        ),
        ("an unknown transfer encoding", post, &[JSON, ("transfer-encoding", "rot13")], b""),
        ("another site", post, &[JSON, ("origin", "https://evil.example")], NOOP),
        ("an origin that is none", post, &[JSON, ("origin", "null")], NOOP),
        ("an event id that is no number", "GET /v1/events", &[("last-event-id", "latest")], b""),
        ("a negative event id", "GET /v1/events", &[("last-event-id", "-1")], b""),
        (
            "an event id that is too large",
            "GET /v1/events",
            &[("last-event-id", "99999999999999999999")],
            b"",
        ),
        ("an event id beyond ASCII", "GET /v1/events", &[("last-event-id", "é")], b""),
        (
            "a policy for a version that is none",
            "PUT /v1/policy",
            &[JSON, ("if-match", "two")],
            b"{}",
        ),
    ];
    insta::assert_snapshot!(table(&served, rows));
}

#[test]
fn malformed_authorization() {
    let (served, bearers) = super::access::closed(Limits::default());
    // The secret is another one each time; the golden file has none.
    let secret = bearers[0].strip_prefix("Bearer ").expect("a token");
    let name = "authorization";
    let list = "GET /v1/tasks";
    let twice = format!("Bearer {secret} again");
    let long = format!("Bearer {}", "x".repeat(5_000));
    let rows: &[Row<'_>] = &[
        ("nobody", list, &[], b""),
        ("an empty header", list, &[(name, "")], b""),
        ("a scheme alone", list, &[(name, "Bearer")], b""),
        ("another scheme", list, &[(name, "Basic YTpi")], b""),
        ("a token that is none", list, &[(name, "Bearer nonsense")], b""),
        ("a token of nobody", list, &[(name, "Bearer ambit_ghost_0000")], b""),
        ("two tokens in one", list, &[(name, &twice)], b""),
        ("two headers", list, &[(name, "Bearer a"), (name, "Bearer b")], b""),
        ("a long token", list, &[(name, &long)], b""),
        ("a token beyond ASCII", list, &[(name, "Bearer ü")], b""),
        ("a token in the query", "GET /v1/tasks?access_token=x", &[], b""),
    ];
    insta::assert_snapshot!(table(&served, rows).replace(secret, "ambit_a-viewer_…"));
}

#[test]
fn malformed_targets_and_queries() {
    let served = Served::new();
    let logs = format!("GET {TASK}/logs?tail=lots");
    let since = format!("GET {TASK}/logs?since=yesterday");
    let stream = format!("GET {TASK}/logs?stream=both");
    let long = format!("GET /v1/tasks?cursor={}", "a".repeat(3_000));
    let rows: &[Row<'_>] = &[
        ("a limit of none", "GET /v1/tasks?limit=0", &[], b""),
        ("a limit that is too large", "GET /v1/tasks?limit=501", &[], b""),
        ("a limit that is no number", "GET /v1/tasks?limit=ten", &[], b""),
        ("a limit twice", "GET /v1/tasks?limit=1&limit=2", &[], b""),
        ("a status that is mistyped", "GET /v1/tasks?status=runing", &[], b""),
        ("a parameter that is mistyped", "GET /v1/tasks?stats=running", &[], b""),
        ("a parameter of nobody", "GET /v1/agents?colour=red", &[], b""),
        ("a cursor of nobody", "GET /v1/tasks?cursor=nonsense", &[], b""),
        ("a cursor that is no base64", "GET /v1/tasks?cursor=%2B%2F%3D", &[], b""),
        ("a cursor of another list", "GET /v1/agents?cursor=board-1", &[], b""),
        ("a cursor that is long", &long, &[], b""),
        ("an escape that is none", "GET /v1/tasks?name=%zz", &[], b""),
        ("bytes that are no text", "GET /v1/tasks?name=%ff%fe", &[], b""),
        ("a NUL", "GET /v1/tasks?name=%00", &[], b""),
        ("a label without a key", "GET /v1/tasks?label==x", &[], b""),
        ("events of an unknown kind", "GET /v1/events?kind=task.setled", &[], b""),
        ("events of an agent that cannot be", "GET /v1/events?agent=a%2Fb", &[], b""),
        ("a number of lines that is none", &logs, &[], b""),
        ("a time that is none", &since, &[], b""),
        ("a stream that is none", &stream, &[], b""),
        ("a query where none is taken", "POST /v1/tasks?dry_run=true", &[JSON], NOOP),
        ("a path that is mistyped", "GET /v1/task", &[], b""),
        ("a path with a slash more", "GET /v1/tasks/", &[], b""),
        ("a path that climbs", "GET /v1/../../etc/passwd", &[], b""),
        ("an id that is none", "GET /v1/tasks/nope", &[], b""),
        ("an agent that MQTT would not stand", "GET /v1/agents/a%2Bb", &[], b""),
        ("an agent with a wildcard", "POST /v1/agents/%23/drain", &[], b""),
        ("a method that a path does not take", "DELETE /v1/tasks", &[], b""),
        ("a method that nobody knows", "BREW /v1/tasks", &[], b""),
        ("a tunnel", "CONNECT localhost:80", &[], b""),
        ("a target that is none", "GET v1/tasks", &[], b""),
        ("no target", "GET ", &[], b""),
    ];
    insta::assert_snapshot!(table(&served, rows));
}

#[test]
fn malformed_bodies() {
    let served = Served::new();
    let (one, many, policy) = ("POST /v1/tasks", "POST /v1/tasks/batch", "PUT /v1/policy");
    let huge = vec![b' '; crate::http::BODY_BYTES_MAX + 1];
    let deep = [vec![b'['; 5_000], vec![b']'; 5_000]].concat();
    let crowd = [b"[".to_vec(), b"0,".repeat(10_000), b"0]".to_vec()].concat();
    let lines = b"0\n".repeat(10_001);
    let rows: &[Row<'_>] = &[
        ("nothing", one, &[JSON], b""),
        ("no JSON", one, &[JSON], b"run: {noop: {}}"),
        ("JSON that ends too early", one, &[JSON], b"{\"run\":"),
        ("JSON and something more", one, &[JSON], b"{} {}"),
        ("bytes that are no text", one, &[JSON], b"{\"name\": \"\xff\xfe\"}"),
        ("a lone surrogate", one, &[JSON], br#"{"name": "\ud800"}"#),
        ("a number that is none", one, &[JSON], b"{\"priority\": 1e999}"),
        ("nested without end", one, &[JSON], &deep),
        ("more than a body may have", one, &[JSON], &huge),
        ("a list where one task is taken", one, &[JSON], b"[]"),
        ("null", one, &[JSON], b"null"),
        ("a field that is mistyped", one, &[JSON], br#"{"run":{"noop":{}},"prioritty":1}"#),
        ("several mistakes", one, &[JSON], br#"{"run":{"exec":{"command":""}},"priority":-1,"retry":{"attempts_max":0},"where":{"near":{"latitude":91,"longitude":"x"}}}"#),
        ("two things to run", one, &[JSON], br#"{"run":{"noop":{},"exec":{"command":"x"}}}"#),
        ("an agent with a slash", one, &[JSON], br#"{"run":{"noop":{}},"where":{"agents":["a/b"],"avoid_agents":["+"]}}"#),
        ("an area that is open", one, &[JSON], br#"{"run":{"noop":{}},"where":{"area":{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1]]]}}}"#),
        ("a command with a NUL", one, &[JSON], br#"{"run":{"exec":{"command":"a\u0000b"}}}"#),
        ("a batch that is one task", many, &[JSON], NOOP),
        ("a batch of nothing", many, &[JSON], b""),
        ("a batch that is broken in the middle", many, &[JSON], br#"[{"run":{"noop":{}}}, {]"#),
        ("a batch of too many", many, &[JSON], &crowd),
        ("too many lines", many, &[LINES], &lines),
        ("a batch in plain text", many, &[("content-type", "text/plain")], b"[]"),
        ("items that are wrong, and one line that is no JSON", many, &[LINES], b"{\"run\":{}}\n7\n{\n{\"run\":{\"noop\":{}},\"idempotency_key\":\"a b\"}\n{\"run\":{\"noop\":{}},\"idempotency_key\":7}\n"),
        ("a policy that is a number", policy, &[JSON], b"7"),
        ("a policy with a field of nobody", policy, &[JSON], br#"{"weigths":{"load":1}}"#),
        ("a policy that weighs nothing", policy, &[JSON], br#"{"weights":{"load":0,"capacity":0,"distance":0,"latency":0}}"#),
    ];
    insta::assert_snapshot!(table(&served, rows));
}

/// The server's HTTP layer answers these before anything of ours is asked.
#[test]
fn what_is_no_http() {
    let served = Served::new();
    let rows: &[(&str, &[u8])] = &[
        ("words", b"hello\r\n\r\n"),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        ("MQTT", b"\x10\x10\x00\x04MQTT\x05\x02\x00\x3c\x00\x00\x03abc\r\n\r\n"),
        ("another version", b"GET / HTTP/9.9\r\nhost: localhost\r\n\r\n"),
        ("the beginning of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("a header without a colon", b"GET / HTTP/1.1\r\nhost localhost\r\n\r\n"),
        ("a chunk that is none", b"POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n\r\n"),
        ("no host", b"GET / HTTP/1.1\r\nconnection: close\r\n\r\n"),
        ("a host of somebody else", b"GET / HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n"),
        ("nothing", b""),
    ];
    let mut text = String::new();
    for (about, bytes) in rows {
        let reply = client::send_raw_and_close(served.address, bytes);
        let _ = writeln!(text, "# {about}\n> {}\n{}", shown(bytes), told(reply.as_ref()));
    }
    insta::assert_snapshot!(text);
}

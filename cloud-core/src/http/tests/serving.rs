//! Health, metrics, and how the server behaves as a server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::{HttpSettings, Served, client};
use crate::http::body::BODY_TIMEOUT;

#[test]
fn machines_are_answered() {
    let served = Served::new();
    assert_eq!(served.get("/health/live").status, 200);
    let ready = served.get("/health/ready");
    assert!(matches!(ready.status, 200 | 503));
    assert_eq!(
        ready.json()["reasons"].as_array().expect("reasons").is_empty(),
        ready.status == 200
    );
    let index = served.get("/").json();
    assert_eq!(index["urls"]["tasks"], "/v1/tasks");
    served.get("/nowhere/at/all");
    let metrics = served.get("/metrics");
    let text = String::from_utf8(metrics.body.clone()).expect("text");
    assert!(
        metrics.header("content-type").expect("type").starts_with("application/openmetrics-text")
    );
    assert!(text.contains(r#"method="GET",path="/health/live",status="200"} 1"#), "{text}");
    assert!(text.contains(r#"method="GET",path="other",status="404"} 1"#), "{text}");
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn head_is_get_without_the_body() {
    let served = Served::new();
    let head = client::send(served.address, "HEAD", "/v1/agents", &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-type"), Some("application/json"));
    assert_eq!(head.header("cache-control"), Some("no-store"));
    assert_eq!(head.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn a_foreign_host_name_is_refused_on_loopback_unless_listed() {
    let ask = |served: &Served, host: &str| {
        let text = format!("GET /v1/agents HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        client::send_raw(served.address, text.as_bytes()).expect("an answer")
    };
    let served = Served::new();
    assert_eq!(ask(&served, "evil.example").problem(), "unknown-host");
    assert_eq!(ask(&served, "localhost").status, 200);
    let hosts = vec!["core.example".to_owned()];
    let listed = Served::with(HttpSettings { hosts, ..HttpSettings::default() }, 10);
    assert_eq!(ask(&listed, "core.example:443").status, 200);
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let settings = HttpSettings { head_timeout_s: 1, ..HttpSettings::default() };
    let served = Served::with(settings, 10);
    let mut stream = TcpStream::connect(served.address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
    stream.write_all(b"GET / HTTP/1.1\r\nhost: loc").expect("write");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("closed by the server");
    let text = String::from_utf8_lossy(&answer);
    assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
}

#[test]
fn a_body_that_does_not_arrive_is_not_waited_for() {
    let served = Served::new();
    let head = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: 19\r\n\r\n{";
    let begun = Instant::now();
    let reply = client::send_raw(served.address, head.as_bytes()).expect("an answer");
    assert_eq!((reply.status, reply.problem().as_str()), (408, "request-timeout"));
    assert!(begun.elapsed() < BODY_TIMEOUT * 2, "{:?}", begun.elapsed());
}

#[test]
fn a_stopped_server_finishes_what_it_has_begun() {
    let served = Served::new();
    let mut stream = TcpStream::connect(served.address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("timeout");
    let head = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 19\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("head");
    std::thread::sleep(Duration::from_millis(200));
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| served.runtime.block_on(served.handle.stop(true)));
        std::thread::sleep(Duration::from_millis(200));
        stream.write_all(br#"{"run":{"noop":{}}}"#).expect("body");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answer");
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        stopping.join().expect("stopped");
    });
    let refused = TcpStream::connect(served.address).is_err();
    assert!(refused, "still listening");
}

#[test]
fn an_address_in_use_is_told_with_what_to_do() {
    let served = Served::new();
    let error = served.runtime.block_on(async {
        let settings = HttpSettings { listen: served.address, ..HttpSettings::default() };
        let store = super::MemoryStore::new(super::CoreId(super::Uuid::from_u128(2)));
        let (core, _uplinks, _driver) = super::core(store, super::Settings::default());
        let gate = super::Gate::new(super::Limits::default(), true);
        super::start(
            core,
            super::Registry::default(),
            &settings,
            gate.into(),
            super::schedule_parts(),
        )
        .map(drop)
    });
    let text = error.expect_err("in use").to_string();
    assert!(text.contains("--listen") && text.contains(&served.address.to_string()), "{text}");
}

#[test]
fn a_core_that_is_gone_says_so_and_that_it_may_come_back() {
    let mut served = Served::new();
    served.until(|| served.get("/health/ready").status == 200);
    let Served { runtime, driver, .. } = &mut served;
    runtime.block_on(driver.stop()).expect("an orderly end");
    let ready = served.get("/health/ready");
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["reasons"][0], "the core is stopping");
    assert!(ready.header("retry-after").is_some());
    let refused = served.submit(&super::noop());
    assert_eq!((refused.status, refused.problem().as_str()), (503, "core-stopping"));
    assert!(refused.header("retry-after").is_some());
    assert_eq!(served.get("/health/live").status, 200);
    assert_eq!(served.get("/v1/tasks").status, 200);
}

//! What tasks write, as clients read it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};
use shared::id::{AssignmentId, Attempt};
use shared::report::{End, Finish, Output, ReportEvent};
use shared::time::Timestamp;
use shared::wire::uplink::{LogChunk, LogPiece, LogStream};

use super::{Served, client, noop};

impl Served {
    /// A task that lamp-1 has been offered.
    fn offered(&self) -> String {
        self.greet("lamp-1");
        let id = self.submitted(&noop());
        self.until(|| self.get(&format!("/v1/tasks/{id}")).json()["status"] == "assigned");
        id
    }

    /// Lets lamp-1 send a piece of the log of the first attempt, and waits until it is kept.
    fn wrote(&self, task: &str, offset: u64, text: &str, last: bool) {
        let stream = if text.contains("err") { LogStream::Stderr } else { LogStream::Stdout };
        let bytes = text.len() as u64;
        let at = Timestamp(1_000 * i64::try_from(offset).expect("small"));
        let piece = LogPiece::Text { offset, bytes, at, stream, text: text.to_owned() };
        let assignment = AssignmentId { task: task.parse().expect("id"), attempt: Attempt(1) };
        self.sent(LogChunk { assignment, pieces: vec![piece], last });
    }

    fn sent(&self, chunk: LogChunk) {
        let end = chunk.pieces.last().map_or(0, LogPiece::end);
        let task = chunk.assignment.task;
        self.uplinks.offer_logs("lamp-1".parse().expect("id"), chunk).expect("room");
        let reader = self.reader();
        self.until(|| {
            let log = reader.log_state(task).expect("read").expect("there");
            log.attempts[0].stream.is_some_and(|stream| stream.upto >= end)
        });
    }

    fn succeeded(&self, task: &str) {
        let finish = Finish {
            end: End::Exited { code: 0 },
            started_at: None,
            ran_ms: Some(5),
            output: Output::default(),
        };
        let event = ReportEvent::Finished(Box::new(finish));
        self.report("lamp-1", task.parse().expect("id"), event);
    }

    fn log(&self, task: &str, query: &str) -> (u16, Option<String>, String) {
        let reply = self.get(&format!("/v1/tasks/{task}/logs{query}"));
        let kind = reply.header("content-type").map(str::to_owned);
        (reply.status, kind, unchunked(&reply.body))
    }

    fn text(&self, task: &str, query: &str) -> String {
        let (status, kind, text) = self.log(task, &format!("?format=text{query}"));
        assert_eq!((status, kind.as_deref()), (200, Some("text/plain; charset=utf-8")), "{text}");
        text
    }
}

/// A body that came in chunks, and whole.
pub fn unchunked(body: &[u8]) -> String {
    let mut rest = body;
    let mut whole = Vec::new();
    loop {
        let line = rest.windows(2).position(|two| two == b"\r\n").expect("a whole chunk");
        let size = std::str::from_utf8(&rest[..line]).expect("a size");
        let size = usize::from_str_radix(size, 16).expect("a size");
        rest = &rest[line + 2..];
        if size == 0 {
            return String::from_utf8(whole).expect("text");
        }
        whole.extend_from_slice(&rest[..size]);
        rest = &rest[size + 2..];
    }
}

/// A client that follows a log.
struct Follower {
    stream: TcpStream,
    seen: String,
}

impl Follower {
    fn of(served: &Served, task: &str, query: &str) -> Self {
        let mut stream = TcpStream::connect(served.address).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(40))).expect("timeout");
        let target = format!("/v1/tasks/{task}/logs?follow=true&format=text{query}");
        let head = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("asked");
        Self { stream, seen: String::new() }
    }

    fn sees(&mut self, text: &str) {
        let mut part = [0_u8; 4_096];
        while !self.seen.contains(text) {
            let count = self.stream.read(&mut part).expect("more in time");
            assert_ne!(count, 0, "it ended after {}", self.seen);
            self.seen.push_str(&String::from_utf8_lossy(&part[..count]));
        }
    }

    /// Everything, once the server has ended it in order.
    fn ended(mut self) -> String {
        self.stream.read_to_string(&mut self.seen).expect("ended in time");
        assert!(self.seen.ends_with("0\r\n\r\n"), "{}", self.seen);
        let (_, body) = self.seen.split_once("\r\n\r\n").expect("a head");
        unchunked(body.as_bytes())
    }
}

#[test]
fn a_log_is_read_as_records_or_as_text() {
    let served = Served::new();
    let id = served.offered();
    assert_eq!(served.log(&id, "").2, "", "nothing was written yet");
    served.wrote(&id, 0, "one\n", false);
    served.wrote(&id, 4, "err two\nerr thr", false);
    let assignment = AssignmentId { task: id.parse().expect("id"), attempt: Attempt(1) };
    let gap = LogPiece::Gap { offset: 19, bytes: 1_234 };
    served.sent(LogChunk { assignment, pieces: vec![gap], last: false });
    served.wrote(&id, 1_253, "four\n", false);

    let (status, kind, records) = served.log(&id, "");
    assert_eq!((status, kind.as_deref()), (200, Some("application/x-ndjson")));
    let records: Vec<Value> =
        records.lines().map(|line| serde_json::from_str(line).expect("a record")).collect();
    let at = |time: &str| format!("1970-01-01T00:{time}Z");
    let expected = json!([
        {"attempt": 1, "offset": 0, "at": at("00:00.000"), "stream": "stdout", "text": "one\n"},
        {"attempt": 1, "offset": 4, "at": at("00:04.000"), "stream": "stderr", "text": "err two\nerr thr"},
        {"attempt": 1, "offset": 19, "gap_bytes": 1_234},
        {"attempt": 1, "offset": 1_253, "at": at("20:53.000"), "stream": "stdout", "text": "four\n"},
    ]);
    assert_eq!(json!(records), expected);
    for line in [
        "ambit_follower_gaps_total{followed=\"logs\"} 1",
        "ambit_followers_ended_total{followed=\"logs\",how=\"told\"} 2",
    ] {
        served.until(|| served.metrics().lines().any(|found| found == line));
    }

    let whole = "one\nerr two\nerr thr\n[… 1234 bytes missing …]\nfour\n";
    assert_eq!(served.text(&id, ""), whole);
    assert_eq!(served.text(&id, "&attempt=1&tail=100"), whole);
    assert_eq!(served.text(&id, "&stream=stderr"), "err two\nerr thr\n[… 1234 bytes missing …]\n");
    assert_eq!(served.text(&id, "&tail=1"), "four\n");
    assert_eq!(
        served.text(&id, "&tail=2"),
        "err thrfour\n".replace("thr", "thr\n[… 1234 bytes missing …]\n")
    );
    assert_eq!(served.text(&id, "&tail=0"), "");
    assert_eq!(served.text(&id, "&since=1970-01-01T00:20:00Z"), "four\n");
    assert_eq!(served.text(&id, "&since=2026-01-01T00:00:00Z"), "");

    let accept = |value: &str| {
        let target = format!("/v1/tasks/{id}/logs");
        let reply = client::send(served.address, "GET", &target, &[("accept", value)], b"");
        reply.header("content-type").map(str::to_owned)
    };
    assert_eq!(accept("text/plain;q=0.9, */*").as_deref(), Some("text/plain; charset=utf-8"));
    for other in ["*/*", "application/x-ndjson, text/plain", "nonsense"] {
        assert_eq!(accept(other).as_deref(), Some("application/x-ndjson"), "{other}");
    }
    let target = format!("/v1/tasks/{id}/logs?follow=true");
    let head = client::send(served.address, "HEAD", &target, &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0), "what is never read is not waited for");
}

#[test]
fn what_is_asked_of_a_log_in_a_wrong_way_is_told() {
    let served = Served::new();
    let id = served.submitted(&json!({"run": {"noop": {}}, "where": {"regions": ["nowhere"]}}));
    let wrong = |query: &str, problem: &str, told: &str| {
        let reply = served.get(&format!("/v1/tasks/{id}/logs?{query}"));
        assert_eq!((reply.status, reply.problem().as_str()), (400, problem), "{query}");
        let detail = reply.json()["detail"].as_str().expect("detail").to_owned();
        assert!(detail.contains(told), "{query}: {detail}");
    };
    wrong("attempt=0", "invalid-query", "`attempt` must be a whole number from 1");
    wrong("attempt=1", "invalid-query", "has no attempt yet; leave `attempt` out");
    wrong("tail=-1", "invalid-query", "`tail` must be a whole number from 0");
    wrong("stream=out", "invalid-query", "`stream` must be one of stdout, stderr");
    wrong("follow=yes", "invalid-query", "`follow` must be one of true, false");
    wrong("since=yesterday", "invalid-query", "`since` must be a time in RFC 3339");
    wrong("format=json", "invalid-query", "`format` must be one of ndjson, text");
    wrong("folow=true", "invalid-query", "did you mean `follow`?");
    let unknown = served.get("/v1/tasks/01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b/logs");
    assert_eq!((unknown.status, unknown.problem().as_str()), (404, "task-not-found"));
    let placed = served.offered();
    let reply = served.get(&format!("/v1/tasks/{placed}/logs?attempt=3"));
    let detail = reply.json()["detail"].as_str().expect("detail").to_owned();
    assert!(detail.contains("has attempt 1 only, and no attempt 3"), "{detail}");
}

#[test]
fn a_long_log_comes_whole() {
    let served = Served::new();
    let id = served.offered();
    let (mut written, mut offset) = (String::new(), 0);
    for number in 0..30 {
        let text = format!("{number} {}\n", "x".repeat(9_000));
        served.wrote(&id, offset, &text, false);
        offset += text.len() as u64;
        written.push_str(&text);
    }
    assert!(served.text(&id, "") == written);
    let last: Vec<&str> = written.split_inclusive('\n').skip(19).collect();
    assert!(served.text(&id, "&tail=11") == last.concat());
}

#[test]
fn a_follower_sees_what_is_written_until_the_task_is_settled_and_its_log_whole() {
    let served = Served::new();
    let id = served.offered();
    let mut early = Follower::of(&served, &id, "");
    served.wrote(&id, 0, "one\n", false);
    early.sees("one\n");
    let mut late = Follower::of(&served, &id, "&tail=1");
    late.sees("one\n");
    served.wrote(&id, 4, "two\n", false);
    early.sees("two\n");
    let mut latest = Follower::of(&served, &id, "&tail=1");
    latest.sees("two\n");
    late.sees("two\n");
    served.succeeded(&id);
    served.until(|| served.get(&format!("/v1/tasks/{id}")).json()["status"] == "succeeded");
    // The outcome comes before the rest of the log, long enough for everybody to have seen it.
    std::thread::sleep(Duration::from_secs(1));
    served.wrote(&id, 8, "three\n", true);
    assert_eq!(early.ended(), "one\ntwo\nthree\n");
    assert_eq!(late.ended(), "one\ntwo\nthree\n");
    assert_eq!(latest.ended(), "two\nthree\n");
    assert_eq!(served.text(&id, "&follow=true"), "one\ntwo\nthree\n", "nothing more will come");
}

#[test]
fn following_a_task_that_never_ran_ends_with_it_and_a_core_that_stops_ends_it_too() {
    let served = Served::new();
    let id = served.submitted(&json!({"run": {"noop": {}}, "where": {"regions": ["nowhere"]}}));
    let follower = Follower::of(&served, &id, "");
    served.post(&format!("/v1/tasks/{id}/cancel"));
    assert_eq!(follower.ended(), "");
    let id = served.offered();
    let mut follower = Follower::of(&served, &id, "");
    served.wrote(&id, 0, "one\n", false);
    follower.sees("one\n");
    served.core.close();
    assert_eq!(follower.ended(), "one\n");
}

#[test]
fn only_so_many_read_logs_at_once_and_room_is_given_back() {
    let served = Served::new();
    let id = served.offered();
    let mut followers: Vec<Follower> = (0..256).map(|_| Follower::of(&served, &id, "")).collect();
    served.wrote(&id, 0, "one\n", false);
    for follower in &mut followers {
        follower.sees("one\n");
    }
    let refused = served.get(&format!("/v1/tasks/{id}/logs"));
    assert_eq!((refused.status, refused.problem().as_str()), (503, "core-busy"));
    assert!(refused.header("retry-after").is_some());
    drop(followers);
    // They are found to be gone although nothing is written to them.
    served.until(|| served.get(&format!("/v1/tasks/{id}/logs")).status == 200);
}

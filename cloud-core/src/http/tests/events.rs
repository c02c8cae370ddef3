//! Following events.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::client;
use super::{CoreId, HttpSettings, MemoryStore, Served, Settings, Uuid, noop};
use crate::store::EventBounds;

/// A connection that follows events.
struct Following(BufReader<TcpStream>);

impl Following {
    fn new(served: &Served, query: &str, last_id: Option<u64>) -> Self {
        let mut stream = TcpStream::connect(served.address).expect("connect");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
        let header = last_id.map_or(String::new(), |id| format!("last-event-id: {id}\r\n"));
        let host = served.address;
        let head = format!("GET /v1/events{query} HTTP/1.1\r\nhost: {host}\r\n{header}\r\n");
        stream.write_all(head.as_bytes()).expect("send");
        let mut following = Self(BufReader::new(stream));
        let mut line = following.line().expect("a status");
        assert!(line.contains(" 200 "), "{line}");
        while !line.starts_with(": from") {
            line = following.line().expect("a comment");
        }
        following
    }

    /// The next line; `None` at the end.
    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let count = self.0.read_line(&mut line).expect("read");
        (count > 0).then(|| line.trim_end().to_owned())
    }

    /// The next event: its data, checked against what stands beside it.
    fn next(&mut self) -> Option<Value> {
        let (mut id, mut kind) = (String::new(), String::new());
        loop {
            let line = self.line()?;
            match line.split_once(": ") {
                Some(("id", text)) => id = text.to_owned(),
                Some(("event", text)) => kind = text.to_owned(),
                Some(("data", text)) => {
                    let data: Value = serde_json::from_str(text).expect("JSON");
                    assert_eq!((&data["id"].to_string(), &data["kind"]), (&id, &json!(kind)));
                    return Some(data);
                }
                // The end of a chunked answer.
                _ if line == "0" => return None,
                _ => {}
            }
        }
    }

    fn some(&mut self, count: usize) -> Vec<Value> {
        (0..count).map(|_| self.next().expect("an event")).collect()
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["kind"].as_str().expect("a kind")).collect()
}

#[test]
fn whoever_follows_is_told_what_happens_and_where_it_left_off() {
    let served = Served::new();
    let mut following = Following::new(&served, "", None);
    let id = served.submitted(&noop());
    served.post("/v1/agents/board-1/cordon");
    served.post("/v1/agents/board-1/cordon");
    served.post(&format!("/v1/tasks/{id}/cancel"));
    let events = following.some(3);
    assert_eq!(kinds(&events), ["task.submitted", "operator.cordon", "task.settled"]);
    assert_eq!((&events[0]["task"], &events[0]["agent"]), (&json!(id), &Value::Null));
    assert_eq!(events[1]["agent"], "board-1");
    assert_eq!(events[2]["detail"], json!({"status": "canceled"}));
    let numbers: Vec<u64> = events.iter().map(|event| event["id"].as_u64().expect("id")).collect();
    assert!(numbers.windows(2).all(|two| two[0] + 1 == two[1]), "{numbers:?}");
    // The header wins over the query, as for a browser that connects again.
    let mut again = Following::new(&served, "?after=0", Some(numbers[0]));
    assert_eq!(again.some(2), events[1..]);
    let mut from_start = Following::new(&served, "?after=0", None);
    assert_eq!(from_start.some(3), events);
}

#[test]
fn what_is_not_asked_for_is_not_told() {
    let served = Served::new();
    served.greet("tram-9");
    let ids = [served.submitted(&noop()), served.submitted(&noop())];
    served.until(|| served.get("/v1/tasks?status=assigned").json()["items"][1].is_object());
    let all = Following::new(&served, "?after=0", None).some(5);
    assert_eq!(kinds(&all)[0], "agent.online");
    let mut of_task = Following::new(&served, &format!("?after=0&task={}", ids[1]), None);
    let told = of_task.some(2);
    assert_eq!(kinds(&told), ["task.submitted", "task.assigned"]);
    assert_eq!((&told[1]["agent"], &told[1]["detail"]), (&json!("tram-9"), &json!({"attempt": 1})));
    let mut of_kind = Following::new(&served, "?after=0&kind=task.assigned,agent.online", None);
    assert_eq!(kinds(&of_kind.some(3)), ["agent.online", "task.assigned", "task.assigned"]);
    let mut of_agent = Following::new(&served, "?after=0&agent=tram-9&kind=agent.online", None);
    assert_eq!(of_agent.some(1)[0]["agent"], "tram-9");
}

#[test]
fn what_is_missing_is_told() {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)))
        .with_events(EventBounds { count_max: 3, keep_hours: 1 });
    let served = Served::deciding(store, HttpSettings::default(), Settings::default());
    for _ in 0..6 {
        served.submitted(&noop());
    }
    let mut following = Following::new(&served, "?kind=task.settled", Some(1));
    let gap = following.next().expect("a gap");
    assert_eq!((&gap["kind"], &gap["detail"]), (&json!("gap"), &json!({"after": 1, "next": 4})));
    let beyond = Following::new(&served, "", Some(1_000)).next().expect("a gap");
    assert_eq!(beyond["detail"], json!({"after": 1_000, "next": 7}));
}

#[test]
fn those_who_follow_are_counted_and_so_is_what_they_were_told_to_be_missing() {
    let store = MemoryStore::new(CoreId(Uuid::from_u128(1)))
        .with_events(EventBounds { count_max: 1, keep_hours: 1 });
    let served = Served::deciding(store, HttpSettings::default(), Settings::default());
    served.submitted(&noop());
    served.submitted(&noop());
    let counts = |line: &str| {
        served.until(|| served.metrics().lines().any(|found| found == line));
    };
    let mut following = Following::new(&served, "", Some(1_000));
    following.next().expect("a gap");
    let leaving = Following::new(&served, "", None);
    counts("ambit_followers{followed=\"events\"} 2.0");
    counts("ambit_follower_gaps_total{followed=\"events\"} 1");
    counts("ambit_follower_lag_seconds{followed=\"events\"} 0.0");
    drop(leaving);
    // Who has left is noticed with the next event.
    served.submitted(&noop());
    counts("ambit_followers_ended_total{followed=\"events\",how=\"left\"} 1");
    served.core.close();
    counts("ambit_followers_ended_total{followed=\"events\",how=\"told\"} 1");
    counts("ambit_followers{followed=\"events\"} 0.0");
}

#[test]
fn wishes_that_make_no_sense_are_refused() {
    let served = Served::new();
    for (query, part) in [
        ("?kind=task.setled", "did you mean `task.settled`?"),
        ("?kind=task.settled,x", "must be one of"),
        ("?task=7", "`task`"),
        ("?agent=a%20b", "`agent`"),
        ("?after=-1", "`after`"),
        ("?follow=true", "unknown parameter"),
    ] {
        let reply = served.get(&format!("/v1/events{query}"));
        assert_eq!((reply.status, reply.problem().as_str()), (400, "invalid-query"), "{query}");
        let detail = reply.json()["detail"].as_str().expect("a detail").to_owned();
        assert!(detail.contains(part), "{query}: {detail}");
    }
    let header = [("last-event-id", "one")];
    let reply = client::send(served.address, "GET", "/v1/events", &header, b"");
    assert_eq!((reply.status, reply.problem().as_str()), (400, "invalid-query"));
    assert_eq!(client::send(served.address, "HEAD", "/v1/events", &[], b"").status, 200);
}

#[test]
fn a_core_on_its_way_down_lets_its_followers_go() {
    let served = Served::new();
    let mut following = Following::new(&served, "", None);
    served.submitted(&noop());
    served.core.close();
    assert_eq!(kinds(&following.some(1)), ["task.submitted"], "what was committed is told first");
    assert_eq!(following.next(), None);
}

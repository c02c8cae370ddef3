//! The tasks that loads are made of, and the core that they are loaded onto.

use std::fmt::Write;
use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};
use tests::http::{self, Request};
use tests::{BrokerKind, Cluster, ClusterBuilder};

use crate::load::{Answered, JSON, LINES, Load};

/// How many tasks a batch has.
pub const BATCH: usize = 1_000;
/// How many connections batches come on; the core takes eight at once.
pub const BATCH_CONNECTIONS: usize = 4;
const CONNECTIONS: usize = 64;

/// A core that nobody has joined: what is submitted waits.
pub fn core_alone() -> ClusterBuilder {
    ClusterBuilder::new(BrokerKind::Embedded).patient().pending_max(10_000_000)
}

/// A task as a user writes it.
pub fn task(number: u64) -> Value {
    json!({
        "name": format!("sample-{number}"),
        "labels": {"team": "air"},
        "run": {"exec": {"command": "/usr/bin/python3", "args": ["sample.py"]}},
        "needs": {"cpu_millis": 500, "memory_mib": 128},
        "where": {"near": {"latitude": -37.8136, "longitude": 144.9631, "within_m": 50_000}}
    })
}

/// The same with an argument of its own.
pub fn distinct_task(number: u64) -> Value {
    let mut task = task(number);
    task["run"]["exec"]["args"] = json!(["sample.py", format!("--station={number}")]);
    task
}

/// Tasks, from a number on, a line each.
pub fn lines(from: u64, count: usize) -> String {
    let mut text = String::new();
    for number in (from..).take(count) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", task(number));
    }
    text
}

/// The same as an array.
pub fn array(from: u64, count: usize) -> String {
    let tasks: Vec<Value> = (from..).take(count).map(task).collect();
    Value::Array(tasks).to_string()
}

/// Submits one task after the other on each of many connections.
pub fn singles(cluster: &Cluster, lasts: Duration) -> Answered {
    let server = cluster.api.address;
    Load { server, connections: CONNECTIONS, lasts, status: 201, kind: JSON }
        .post("/v1/tasks", |number| task(number).to_string())
}

/// Submits batches, a line a task, on a few connections. Their bodies are made before and come
/// again and again, so that the load itself takes little of the machine.
pub fn batches(cluster: &Cluster, lasts: Duration) -> Answered {
    let bodies: Vec<String> = (0..8).map(|at| lines(at * BATCH as u64, BATCH)).collect();
    batches_of(cluster, lasts, LINES, bodies)
}

/// The same with bodies of another kind.
pub fn batches_of(
    cluster: &Cluster,
    lasts: Duration,
    kind: &'static str,
    bodies: Vec<String>,
) -> Answered {
    let server = cluster.api.address;
    Load { server, connections: BATCH_CONNECTIONS, lasts, status: 200, kind }
        .post("/v1/tasks/batch", move |number| bodies[number as usize % bodies.len()].clone())
}

/// Submits these tasks in batches.
///
/// # Panics
/// When one of them is not taken.
pub fn fill(cluster: &Cluster, numbers: Range<u64>, task: fn(u64) -> Value) {
    let (method, path) = ("POST", "/v1/tasks/batch");
    let mut numbers = numbers.peekable();
    while numbers.peek().is_some() {
        let tasks: Vec<Value> = numbers.by_ref().take(BATCH).map(task).collect();
        let count = tasks.len();
        let body = Value::Array(tasks).to_string();
        let request = Request { method, path, headers: &[], body: Some(&body) };
        let answer = http::request(cluster.api.address, request).expect("an answer");
        let taken = answer.body.matches("\"status\":201").count();
        assert_eq!((answer.status, taken), (200, count), "{:.300}", answer.body);
    }
}

//! Durable submissions per second over HTTP: each is answered only once it is on disk.

use std::time::Duration;

use serde_json::{Value, json};
use tests::{BrokerKind, Cluster, ClusterBuilder};

use crate::figure::{Measured, Row, quantile};
use crate::knob;
use crate::load::{Answered, Load};
use crate::process;

const CONNECTIONS: usize = 64;
/// Before anything is counted: threads, files and caches get to their size.
const WARM_UP: Duration = Duration::from_secs(2);

/// Measures single requests.
pub fn measure() -> Measured {
    let cluster = core_alone();
    load(&cluster, WARM_UP);
    let pid = cluster.core.daemon.pid().expect("it runs");
    let before = process::cpu_seconds(pid);
    let answered = load(&cluster, seconds());
    let busy = process::cpu_seconds(pid) - before;
    let mut measured = Measured::default();
    let what = "durable submissions per second over HTTP, single requests, 64 connections";
    measured.row(Row::large(what, "", answered.per_second(), 10_000.0, 20_000.0));
    let each_us = busy * 1e6 / answered.took_ms.len().max(1) as f64;
    measured
        .note(format!("{}; {each_us:.0} µs of the core's processor time each", told(&answered)));
    measured
}

fn seconds() -> Duration {
    Duration::from_secs(knob::number("AMBIT_BENCH_LOAD_SECONDS", 10))
}

/// A core that nobody has joined: what is submitted waits.
fn core_alone() -> Cluster {
    ClusterBuilder::new(BrokerKind::Embedded).patient().pending_max(10_000_000).start()
}

fn load(cluster: &Cluster, lasts: Duration) -> Answered {
    let server = cluster.api.address;
    Load { server, connections: CONNECTIONS, lasts, status: 201 }
        .post("/v1/tasks", |number| task(number).to_string())
}

/// A task as a user writes it.
fn task(number: u64) -> Value {
    json!({
        "name": format!("sample-{number}"),
        "labels": {"team": "air"},
        "run": {"exec": {"command": "/usr/bin/python3", "args": ["sample.py"]}},
        "needs": {"cpu_millis": 500, "memory_mib": 128},
        "where": {"near": {"latitude": -37.8136, "longitude": 144.9631, "within_m": 50_000}}
    })
}

fn told(answered: &Answered) -> String {
    let Answered { took_ms, others, first_other, .. } = answered;
    let mut told = format!(
        "{} answered, p50 {:.2} ms, p99 {:.2} ms",
        took_ms.len(),
        quantile(took_ms, 0.5),
        quantile(took_ms, 0.99)
    );
    if let Some(first) = first_other {
        told += &format!("; {others} refused, the first: {first}");
    }
    told
}

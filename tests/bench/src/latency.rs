//! From the moment a task is submitted to the moment its process runs, in an idle system: the
//! request, the commit, the placement, the broker, the agent's own commit, the supervisor.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tests::{AgentSetup, BrokerKind, Cluster, ClusterBuilder, spec};

use crate::figure::{Measured, Row, quantile};
use crate::knob;

/// How often to look for the note; it says itself when it was written.
const LOOK: Duration = Duration::from_millis(1);
/// So that each task finds the system idle, and at no fixed distance to any timer.
const BETWEEN_MS: u64 = 23;

/// Measures it.
pub fn measure() -> Measured {
    let tasks = knob::count("AMBIT_BENCH_LATENCY_TASKS", 300);
    let cluster = ClusterBuilder::new(BrokerKind::Embedded)
        .agent(AgentSetup::at("a", 0.0, 0.0))
        .agent(AgentSetup::at("b", 0.0, 1.0))
        .patient()
        .start();
    for number in 0..20 {
        once(&cluster, &format!("warm-{number}"));
    }
    let took: Vec<f64> = (0..tasks)
        .map(|number| {
            std::thread::sleep(Duration::from_millis(BETWEEN_MS + number as u64 % 17));
            once(&cluster, &format!("begun-{number}"))
        })
        .collect();
    let mut measured = Measured::default();
    let what = "submit → running on the agent, idle system";
    measured.row(Row::small(format!("{what}, p50"), "ms", quantile(&took, 0.5), 10.0, 3.0));
    measured.row(Row::small(format!("{what}, p99"), "ms", quantile(&took, 0.99), 40.0, 10.0));
    measured.note(format!(
        "{tasks} tasks; fastest {:.1} ms, p90 {:.1}, slowest {:.1}; `{NOTE} FILE` notes its own \
         begin, and its own start by the system is in the figure",
        quantile(&took, 0.0),
        quantile(&took, 0.9),
        quantile(&took, 1.0)
    ));
    measured
}

const NOTE: &str = "bench note";

/// Writes down when this process began: the work of the tasks above.
pub fn note(words: &[&str]) -> std::process::ExitCode {
    let begun = wall_ms();
    let written = words.first().map(|path| std::fs::write(path, format!("{begun}\n")));
    match written {
        Some(Ok(())) => std::process::ExitCode::SUCCESS,
        _ => std::process::ExitCode::FAILURE,
    }
}

/// Submits a task and waits until it has noted its begin; how long that took, in milliseconds.
fn once(cluster: &Cluster, name: &str) -> f64 {
    let path = cluster.scratch.join(name);
    let task = noting(&path);
    let submitted_ms = wall_ms();
    let id = cluster.api.submit(&task);
    let begun_ms = loop {
        match noted(&path) {
            Some(at_ms) => break at_ms,
            None if wall_ms() - submitted_ms > 60_000.0 => panic!("{id} does not run after 60 s"),
            None => std::thread::sleep(LOOK),
        }
    };
    cluster.api.settled(&id);
    begun_ms - submitted_ms
}

fn noting(path: &Path) -> Value {
    let own = std::env::current_exe().expect("the benchmark's own program");
    let exec = json!({"exec": {"command": own, "args": ["note", path]}});
    spec::task(exec)
}

fn noted(path: &Path) -> Option<f64> {
    std::fs::read_to_string(path).ok()?.strip_suffix('\n')?.parse().ok()
}

fn wall_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

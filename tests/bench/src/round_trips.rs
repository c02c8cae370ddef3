//! Full round trips per second: submitted over HTTP, placed, pushed to one of fifty agents, done
//! there, told, and settled at the core. The load keeps so many tasks under way that nobody waits
//! for it; the settled ones are counted by the core.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::{AgentSetup, BrokerKind, Cluster, ClusterBuilder};

use crate::figure::{Measured, Row};
use crate::knob;
use crate::load::{JSON, Load};

const AGENTS: usize = 50;
const CONNECTIONS: usize = 64;
const LOOK: Duration = Duration::from_millis(20);

/// Tasks that an agent settles at once.
pub fn measure() -> Measured {
    let run = json!({"noop": {}});
    let (rate, note) = rate(&run, knob::number("AMBIT_BENCH_LOAD_SECONDS", 10));
    let mut measured = Measured::default();
    let what = "full round trips per second, `noop`, 50 agents";
    measured.row(Row::large(what, "", rate, 2_000.0, 10_000.0));
    measured.note(note);
    measured
}

/// Tasks that are a process each.
pub fn processes() -> Measured {
    let run = json!({"exec": {"command": "/bin/true"}});
    let (rate, note) = rate(&run, knob::number("AMBIT_BENCH_LOAD_SECONDS", 10) / 2);
    let mut measured = Measured::default();
    let what = "full round trips per second, `/bin/true`, 50 agents";
    measured.row(Row::large(what, "", rate, 600.0, 1_500.0));
    measured.note(note);
    measured
}

/// What a fleet of its own reaches.
fn rate(run: &Value, seconds: u64) -> (f64, String) {
    rate_of(&fleet().start(), run, seconds)
}

/// Submits for so many seconds as fast as may be, and waits until all is settled.
pub fn rate_of(cluster: &Cluster, run: &Value, seconds: u64) -> (f64, String) {
    let body = json!({"run": run, "needs": {"cpu_millis": 100, "memory_mib": 8}}).to_string();
    let before = settled(cluster);
    let begun = Instant::now();
    let load = Load {
        server: cluster.api.address,
        connections: CONNECTIONS,
        lasts: Duration::from_secs(seconds.max(1)),
        status: 201,
        kind: JSON,
    };
    let answered = load.post("/v1/tasks", move |_| body.clone());
    assert!(answered.others == 0, "refused: {:?}", answered.first_other);
    let submitted = answered.took_ms.len() as f64;
    let submitted_within = begun.elapsed();
    while settled(cluster) - before < submitted {
        assert!(begun.elapsed() < Duration::from_secs(600), "not settled within 600 s");
        std::thread::sleep(LOOK);
    }
    let took = begun.elapsed();
    let note = format!(
        "{submitted} tasks, submitted within {:.1} s, settled within {:.1} s",
        submitted_within.as_secs_f64(),
        took.as_secs_f64()
    );
    (submitted / took.as_secs_f64(), note)
}

/// A core with its agents.
pub fn fleet() -> ClusterBuilder {
    let mut builder = ClusterBuilder::new(BrokerKind::Embedded).pending_max(10_000_000);
    for number in 0..AGENTS {
        builder = builder.agent(AgentSetup::at(&format!("agent-{number}"), 0.0, number as f64));
    }
    builder.patient()
}

/// How many tasks the core has settled.
pub fn settled(cluster: &Cluster) -> f64 {
    cluster.api.metric("ambit_outcomes_total").unwrap_or(0.0)
}

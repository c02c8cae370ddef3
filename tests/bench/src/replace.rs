//! From the crash of an agent's process to the process of the replacement elsewhere: real programs,
//! SIGKILL, the broker's last will, `lost_after_s` 0.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use shared::api::AgentStatus;
use tests::{AgentSetup, BrokerKind, Cluster, ClusterBuilder, eventually, spec};

use crate::figure::{Measured, Row, median, quantile};
use crate::knob;

/// How often to look for the replacement; it notes itself when it began.
const LOOK: Duration = Duration::from_millis(2);

/// Measures it.
pub fn measure() -> Measured {
    let crashes = knob::count("AMBIT_BENCH_CRASHES", 20);
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded)
        .agent(AgentSetup::at("a", 0.0, 0.0))
        .agent(AgentSetup::at("b", 0.0, 1.0))
        .patient()
        // How soon an agent that crashed is trusted again, nothing else here, hangs on it.
        .heartbeat_ms(500)
        .start();
    let took: Vec<f64> = (0..crashes).map(|number| crash(&mut cluster, number)).collect();
    let mut measured = Measured::default();
    let what = "process crash → replacement running (last will, `lost_after_s` 0), p50";
    measured.row(Row::small(what, "ms", median(&took), 500.0, 100.0));
    measured.note(format!(
        "{crashes} crashes: fastest {:.0} ms, p50 {:.0}, p90 {:.0}, slowest {:.0}",
        quantile(&took, 0.0),
        median(&took),
        quantile(&took, 0.9),
        quantile(&took, 1.0)
    ));
    measured
}

/// Kills the agent that runs a task; how long until the task runs on the other, in milliseconds.
fn crash(cluster: &mut Cluster, number: usize) -> f64 {
    let begun = |attempt: u32| cluster.scratch.join(&format!("begun-{number}-{attempt}"));
    let (first, second) = (begun(1), begun(2));
    let task = cluster.api.submit(&noting_task(&cluster.scratch.join(&format!("begun-{number}"))));
    eventually("the task to run", || noted(&first));
    let running = cluster.api.running(&task);
    let agent = running.assignments.last().expect("an attempt").agent.to_string();
    let killed_ms = wall_ms();
    cluster.agent(&agent).daemon.kill();
    let replaced_ms = loop {
        match noted(&second) {
            Ok(at_ms) => break at_ms,
            Err(_) if wall_ms() - killed_ms > 60_000.0 => panic!("no replacement within 60 s"),
            Err(_) => std::thread::sleep(LOOK),
        }
    };
    cluster.api.cancel(&task);
    cluster.agent(&agent).daemon.start();
    cluster.api.agent_is(&agent, AgentStatus::Online);
    cluster.wait_until_idle();
    replaced_ms - killed_ms
}

/// A task that writes down when each of its attempts begins, and then waits to be stopped.
fn noting_task(path: &Path) -> Value {
    let script =
        format!("date +%s%N > '{path}-'\"$AMBIT_ATTEMPT\"; exec sleep 1000", path = path.display());
    let more = json!({"disconnect": {"lost_after_s": 0}, "retry": {"attempts_max": 1}});
    spec::with(spec::task(spec::sh(&script)), more)
}

/// When an attempt began, in milliseconds of the wall clock, once it has written that down.
fn noted(path: &PathBuf) -> Result<f64, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let line = text.strip_suffix('\n').ok_or("half a line")?;
    let nanoseconds: f64 = line.parse().map_err(|_| format!("`{line}` is no time"))?;
    Ok(nanoseconds / 1e6)
}

fn wall_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64() * 1e3)
}

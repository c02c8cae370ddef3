//! What an agent that has nothing to do writes to its flash in a day. It writes down once in a
//! while when it last heard its core, and that alone; so a day is measured in minutes by letting
//! that while pass faster, and counting what each such write costs on a disk of its own.

use std::fs;
use std::time::Duration;

use shared::api::AgentStatus;
use tests::{AgentSetup, BrokerKind, ClusterBuilder};

use crate::figure::{Measured, Row};
use crate::knob;
use crate::process::bytes_written;
use crate::volume::Volume;

const DAY_S: f64 = 24.0 * 3_600.0;
/// How long the start's own writing is left to settle.
const SETTLE: Duration = Duration::from_secs(15);
const MB: f64 = 1_000_000.0;

/// Measures it.
pub fn measure() -> Measured {
    let minutes = knob::number("AMBIT_BENCH_IDLE_MINUTES", 3);
    let faster = knob::number("AMBIT_BENCH_IDLE_FASTER", 60).max(1);
    let save_ms = edge_agent_logic::Settings::default().contact_save_ms / faster;
    let setup = AgentSetup::at("a", 0.0, 0.0).later();
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).agent(setup).patient().start();
    let agent = &mut cluster.agents[0];
    let config = agent.data().with_file_name("agent.toml");
    let text = fs::read_to_string(&config).expect("the agent's configuration");
    fs::write(&config, format!("{text}contact_save_ms = {save_ms}\n")).expect("written");
    // Dropped before the cluster's folder is removed.
    let volume = Volume::mount(&agent.data().with_file_name("flash.img"), agent.data());
    agent.daemon.start();
    let pid = agent.daemon.pid().expect("it runs");
    cluster.api.agent_is("a", AgentStatus::Online);
    std::thread::sleep(SETTLE);

    let read = || (volume.as_ref().map(Volume::bytes_written), bytes_written(pid));
    let (before, asked_before) = read();
    let elapsed = Duration::from_secs(minutes * 60);
    std::thread::sleep(elapsed);
    let (after, asked_after) = read();
    let asked = asked_after - asked_before;
    let bytes = before.zip(after).map_or(asked, |(before, after)| after - before);
    let days = elapsed.as_secs_f64() * faster as f64 / DAY_S;

    let mut measured = Measured::default();
    let reached = bytes as f64 / days / MB;
    measured.row(Row::small("flash bytes written per idle day", "MB", reached, 5.0, 0.5));
    let disk = match volume {
        Some(_) => "an ext4 disk of its own took, its journal included",
        None => "the process wrote (counting what reaches the disk needs root)",
    };
    measured.note(format!(
        "{bytes} bytes are what {disk}, within {minutes} min, in which it wrote {faster} times as \
         often as usual (every {save_ms} ms): {days:.3} days; by the process's own count {asked}"
    ));
    let _ = cluster.agents[0].daemon.stop();
    drop(volume);
    measured
}

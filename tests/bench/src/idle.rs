//! What an agent that has nothing to do writes to its flash in a day. Once in a while it writes down
//! when it last heard its core; everything else it keeps to itself. So two things are measured, each
//! for half of the time: what it writes when no such moment comes, and what it costs when one does,
//! by letting that while pass faster until the agent itself thinks that it was often enough. A day
//! has all of the first and so many of the second.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use shared::api::AgentStatus;
use tests::{AgentSetup, BrokerKind, Cluster, ClusterBuilder};

use crate::figure::{Measured, Row};
use crate::knob;
use crate::process::bytes_written;
use crate::volume::Volume;

const DAY_MS: f64 = 24.0 * 3_600_000.0;
/// How long the start's own writing is left to settle.
const SETTLE: Duration = Duration::from_secs(15);
/// How often it would write while that is measured, in milliseconds.
const FASTER_MS: u64 = 10_000;
/// How often it is looked whether it did.
const LOOK: Duration = Duration::from_millis(100);
const MB: f64 = 1_000_000.0;

/// Measures it.
pub fn measure() -> Measured {
    let minutes = knob::number("AMBIT_BENCH_IDLE_MINUTES", 3);
    let half = Duration::from_secs(minutes * 30);
    let usual_ms = edge_agent_logic::Settings::default().contact_save_ms;
    let setup = AgentSetup::at("a", 0.0, 0.0).later();
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).agent(setup).patient().start();
    let data = cluster.agents[0].data().to_owned();
    let volume = Volume::mount(&data.with_file_name("flash.img"), &data);

    let quiet = watch(&mut cluster, volume.as_ref(), half);
    let config = data.with_file_name("agent.toml");
    let text = fs::read_to_string(&config).expect("the agent's configuration");
    fs::write(&config, format!("{text}contact_save_ms = {FASTER_MS}\n")).expect("written");
    let busy = watch(&mut cluster, volume.as_ref(), half);

    let half_ms = half.as_secs_f64() * 1e3;
    let writes = busy.writes.max(1) as f64;
    let per_write = |(quiet, busy): (u64, u64)| busy.saturating_sub(quiet) as f64 / writes;
    let per_day = |(quiet, busy): (u64, u64)| {
        quiet as f64 * DAY_MS / half_ms + per_write((quiet, busy)) * DAY_MS / usual_ms as f64
    };
    let on_disk = (quiet.disk, busy.disk);
    let asked = (quiet.process, busy.process);
    let counted = if volume.is_some() { on_disk } else { asked };
    let mut measured = Measured::default();
    let what = "flash bytes written per idle day";
    measured.row(Row::small(what, "MB", per_day(counted) / MB, 5.0, 0.5));
    if volume.is_none() {
        measured.note("this user may not make a disk: what the process asked for is counted");
    }
    measured.note(format!(
        "within {:.1} min: {} writes of its own and {} bytes; then {} writes of {:.0} bytes each, \
         file system and journal included ({:.0} by the process's own count); usual is one every \
         {} min",
        half_ms / 60_000.0,
        quiet.writes,
        counted.0,
        busy.writes,
        per_write(counted),
        per_write(asked),
        usual_ms / 60_000
    ));
    drop(volume);
    measured
}

/// What was written within a time.
struct Written {
    /// To the disk, if it is one of its own.
    disk: u64,
    /// By the process.
    process: u64,
    /// How often its database was written to.
    writes: u64,
}

/// Lets the agent run for so long, and a little before.
fn watch(cluster: &mut Cluster, volume: Option<&Volume>, half: Duration) -> Written {
    cluster.agents[0].daemon.start();
    cluster.api.agent_is("a", AgentStatus::Online);
    std::thread::sleep(SETTLE);
    let pid = cluster.agents[0].daemon.pid().expect("it runs");
    let read = || (volume.map_or(0, Volume::bytes_written), bytes_written(pid));
    let before = read();
    let writes = count_writes(cluster.agents[0].data(), half);
    let after = read();
    let _ = cluster.agents[0].daemon.stop();
    Written { disk: after.0 - before.0, process: after.1 - before.1, writes }
}

/// How often the log of the agent's database changes within a time.
fn count_writes(data: &Path, time: Duration) -> u64 {
    let database = edge_agent::config::database_in(data);
    let log = format!("{}-wal", database.display());
    let changed =
        || fs::metadata(&log).and_then(|it| it.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let (begun, mut seen, mut writes) = (Instant::now(), changed(), 0);
    while begun.elapsed() < time {
        std::thread::sleep(LOOK);
        let now = changed();
        writes += u64::from(now != seen);
        seen = now;
    }
    writes
}

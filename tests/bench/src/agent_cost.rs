//! What an agent costs a board that has nothing for it to do: its program on the flash, its memory,
//! its processor time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tests::{AgentSetup, BrokerKind, ClusterBuilder, binaries};

use crate::figure::{Measured, Row};
use crate::knob;
use crate::process;

/// How long its start is left to be over.
const SETTLE: Duration = Duration::from_secs(5);
const MIB: f64 = 1024.0 * 1024.0;

/// Measures it.
pub fn measure() -> Measured {
    let seconds = knob::number("AMBIT_BENCH_IDLE_AGENT_SECONDS", 60);
    let program = for_boards();
    let cluster = ClusterBuilder::new(BrokerKind::Embedded)
        .agent(AgentSetup::at("a", 0.0, 0.0).program(program.clone()))
        .patient()
        .tls()
        .start();
    let pid = cluster.agents[0].daemon.pid().expect("it runs");
    std::thread::sleep(SETTLE);
    let before = process::cpu_seconds(pid);
    std::thread::sleep(Duration::from_secs(seconds));
    let busy = process::cpu_seconds(pid) - before;
    let mut measured = Measured::default();
    measured.row(Row::small(
        "agent: stripped binary",
        "MB",
        stripped_bytes(&program) / 1e6,
        5.0,
        3.0,
    ));
    let pss = process::proportional_kib(pid) as f64 * 1024.0 / MIB;
    measured.row(Row::small("agent: idle memory (PSS, TLS on)", "MiB", pss, 6.0, 4.0));
    let percent = busy / seconds as f64 * 100.0;
    measured.row(Row::small("agent: idle processor time", "%", percent, 0.2, 0.05));
    measured.note(format!(
        "{seconds} s idle after a start; resident {:.1} MiB, of which private and dirty {:.1}",
        process::memory_kib(pid, "VmRSS") as f64 / 1024.0,
        process::dirty_kib(pid) as f64 / 1024.0
    ));
    measured
}

/// The agent as it is built for boards.
fn for_boards() -> PathBuf {
    let release = binaries::agent();
    let board = release.parent().and_then(Path::parent).map(|target| target.join("board"));
    let program = board.map(|folder| folder.join("ambit-agent")).filter(|path| path.is_file());
    program.expect(
        "`cargo build --profile board --package edge-agent` builds it, as `make bench` does",
    )
}

/// The size of a program without what only debuggers read.
fn stripped_bytes(program: &Path) -> f64 {
    let copy = std::env::temp_dir().join(format!("ambit-agent-stripped-{}", std::process::id()));
    let stripped = Command::new("strip").arg("-o").arg(&copy).arg(program).status();
    let stripped = stripped.is_ok_and(|status| status.success());
    let measured = if stripped { copy.as_path() } else { program };
    let bytes = fs::metadata(measured).map_or(0, |meta| meta.len());
    let _ = fs::remove_file(&copy);
    bytes as f64
}

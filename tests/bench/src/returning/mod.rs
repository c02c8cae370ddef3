//! Ten thousand agents return after the core was killed and started again. The core's side and the
//! agents' side are processes of their own, so that the core's memory is the core's alone; between
//! them is a socket, and on the core's side everything that a core has but HTTP and MQTT: links,
//! seals, driver, decisions, SQLite. Every agent is the real logic with a store in memory.
//!
//! What happens: each agent runs some tasks; then the agents hear nothing any more while one task
//! of each is called off; the core is killed; some tasks of each agent end meanwhile; the core is
//! started again, and all links come up at one moment. All is in sync when every agent is online,
//! nothing is left to report, and nothing that is wanted is left to be applied.

pub mod core_side;

use std::time::Duration;

use shared_runtime::clock::Clock;
use tests::Scratch;

use crate::figure::{Measured, Row};
use crate::knob;
use crate::process::memory_kib;
use crate::sides::{Side, Status};

/// Tasks of each agent: two end while the core is away, one is called off, the rest go on.
const TASKS: usize = 4;
const ENDED: usize = 2;
const CANCELLED: usize = 1;
const MB: f64 = 1_000_000.0;

/// Measures it.
pub fn measure() -> Measured {
    let agents = knob::count("AMBIT_BENCH_AGENTS", 10_000);
    let spread_ms = knob::number("AMBIT_BENCH_SPREAD_MS", 0);
    let scratch = Scratch::new();
    let folder = scratch.path().display().to_string();
    let words = |mode: &str, held: usize| {
        [mode, &folder, &agents.to_string(), &TASKS.to_string(), &(agents * held).to_string()]
            .map(str::to_owned)
    };
    let mut crowd =
        Side::start("agents-side", &[folder.clone(), agents.to_string(), spread_ms.to_string()]);
    let mut core = Side::start("core-side", &words("fill", TASKS));
    let joined = Clock::new().now().mono;
    core.wait("online", agents as u64, patience());
    let joining_s = f64::from(since_ms(joined)) / 1e3;
    core.say("submit");
    core.wait("submitted", 1, patience());
    crowd.wait("running", (agents * TASKS) as u64, patience());
    crowd.wait("synced", agents as u64, patience());
    let resident = memory_kib(core.pid(), "VmRSS");
    crowd.say("deaf");
    core.say("cancel");
    core.wait("cancelled", 1, patience());
    core.kill();
    crowd.wait("connected", 0, patience());
    crowd.say(&format!("end {ENDED}"));
    crowd.wait("running", (agents * (TASKS - ENDED)) as u64, patience());
    crowd.say("count anew");

    let started = Clock::new().now().mono;
    let mut core = Side::start("core-side", &words("return", TASKS - ENDED - CANCELLED));
    let (told, heard) = in_sync(&mut core, &mut crowd, agents as u64);
    let synced_ms = told.get("settled_at").max(heard.get("synced_at"));
    let took_s = synced_ms.saturating_sub(started.0) as f64 / 1e3;
    let peak_kib = memory_kib(core.pid(), "VmHWM");
    let held = told.get("held");
    assert_eq!(held, agents as u64, "each agent goes on with one task, and the core knows it");

    let mut measured = Measured::default();
    let what = format!("{agents} agents return after a core restart (in-memory link): all in sync");
    measured.row(Row::small(what, "s", took_s, 20.0, 5.0));
    let peak = peak_kib as f64 * 1024.0 / MB;
    measured.row(Row::small("… and the core's peak memory", "MB", peak, 500.0, 200.0));
    measured.note(format!(
        "{agents} agents with {TASKS} tasks each joined within {joining_s:.1} s; that core used \
         {:.0} MB; killed; {ENDED} tasks of each agent ended without it, {CANCELLED} was called off",
        resident as f64 * 1024.0 / MB
    ));
    let after =
        |status: &Status, name: &str| status.get(name).saturating_sub(started.0) as f64 / 1e3;
    measured.note(format!(
        "from the core's start: database loaded after {:.2} s, links up after {:.2}, all agents met \
         {:.2}, all reports acknowledged and all wishes applied {:.2}, core settled {:.2}",
        after(&told, "loaded_at"),
        after(&heard, "connected_at"),
        after(&heard, "met_at"),
        after(&heard, "synced_at"),
        after(&told, "settled_at")
    ));
    note_traffic(&mut measured, &told, &heard, agents * CANCELLED);
    measured
}

/// How long a part of it may take.
fn patience() -> Duration {
    Duration::from_secs(knob::number("AMBIT_BENCH_PATIENCE_S", 600))
}

/// Whether it was a stampede.
fn note_traffic(measured: &mut Measured, told: &Status, heard: &Status, cancelled: usize) {
    measured.note(format!(
        "hellos: {} in all, at most {} of one agent; reports sent: {} for {} that waited and {} of \
         tasks called off; wishes sent: {} rows for {}; messages up {}, down {}; dropped: {}",
        heard.get("hellos"),
        heard.get("hellos_max"),
        heard.get("reports_sent"),
        heard.get("reports_waited"),
        cancelled,
        heard.get("rows"),
        cancelled,
        heard.get("up"),
        heard.get("down"),
        told.get("dropped")
    ));
    measured.note(format!(
        "core: {} transactions; processor time {:.2} s of which {:.2} s in the driver",
        told.get("commits"),
        told.get("cpu_ms") as f64 / 1e3,
        told.get("driver_cpu_ms") as f64 / 1e3
    ));
}

/// Waits until both sides agree that all is done.
fn in_sync(core: &mut Side, crowd: &mut Side, agents: u64) -> (Status, Status) {
    let begun = std::time::Instant::now();
    loop {
        let (told, heard) = (core.status(), crowd.status());
        if told.get("settled") == 1 && heard.get("synced") == agents {
            return (told, heard);
        }
        assert!(begun.elapsed() < patience(), "not in sync: {told:?} {heard:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn since_ms(earlier: shared::time::Monotonic) -> u32 {
    u32::try_from(Clock::new().now().mono.since_ms(earlier)).unwrap_or(u32::MAX)
}

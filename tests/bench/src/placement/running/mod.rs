//! Placement in a core that runs: agents that send their heartbeats, tasks that come at a steady
//! rate and live their whole lives, a store that keeps all of it. See `docs/PLACEMENT.md`.

mod buckets;
pub mod core_side;

use std::time::{Duration, Instant};

use tests::Scratch;

use crate::figure::{Measured, Row};
use crate::knob;
use crate::process::{cpu_seconds, memory_kib};
use crate::sides::{Side, Status};

/// How often agents send a heartbeat, in milliseconds.
const HEARTBEAT_MS: u64 = 10_000;
/// Within which time of each other all links come up, so that heartbeats come evenly.
const JOINING_MS: u64 = 20_000;
/// Tasks come a little faster than is asked for, in hundredths of that, so that it can be reached.
const FASTER_PERCENT: u64 = 101;
/// How often it is looked how things stand.
const LOOK: Duration = Duration::from_millis(500);
/// How long tasks that were submitted last may take to be settled.
const SETTLING: Duration = Duration::from_secs(15);
const MB: f64 = 1_000_000.0;
/// 1 GiB.
const MEMORY_MB: f64 = 1_073.741_824;

/// How the core stood at a moment, and what its agents had used by then.
struct Moment {
    core: Status,
    /// Processor time of the agents' side, in seconds.
    agents_s: f64,
}

/// What was seen from the first task to the last.
struct Seen {
    first: Moment,
    last: Moment,
    /// Tasks that were not settled when half of the time had passed.
    halfway: u64,
    memory_mb: f64,
}

/// Measures it.
pub fn measure() -> Measured {
    let agents = knob::number("AMBIT_BENCH_RUNNING_AGENTS", 100_000);
    let rate = knob::number("AMBIT_BENCH_RUNNING_RATE", 5_000);
    let seconds = knob::number("AMBIT_BENCH_RUNNING_SECONDS", 60);
    let scratch = Scratch::new();
    let folder = scratch.path().display().to_string();
    let words = [folder.clone(), agents.to_string(), JOINING_MS.to_string(), "cities".to_owned()];
    let crowd = Side::start("agents-side", &words);
    let faster = rate * FASTER_PERCENT / 100;
    let words = [folder, agents.to_string(), faster.to_string(), seconds.to_string()];
    let mut core = Side::start("running-side", &words);
    let begun = Instant::now();
    core.wait("online", agents, patience());
    let joined_s = begun.elapsed().as_secs_f64();

    let mut measured = Measured::default();
    measured.note(format!("all agents online after {joined_s:.0} s"));
    heartbeats_alone(&mut core, &crowd, &mut measured);
    let seen = with_tasks(&mut core, &crowd, seconds);
    rows(&format!("{agents} agents, {rate} tasks/s"), rate, &seen, &mut measured);
    note_load(&seen, &mut measured);
    let ended = Instant::now();
    let settled = settle(&mut core);
    measured.note(format!(
        "not settled: {} halfway, {} at the end (of which {} wait for a place), {} after {:.1} s more; \
         {} taken on, {} refused, {} succeeded; messages dropped: {}",
        seen.halfway,
        under_way(&seen.last.core),
        seen.last.core.get("pending"),
        under_way(&settled),
        ended.elapsed().as_secs_f64(),
        settled.get("taken"),
        settled.get("refused"),
        settled.get("succeeded"),
        settled.get("dropped"),
    ));
    measured
}

/// One heartbeat of each agent, with nothing beside it.
fn heartbeats_alone(core: &mut Side, crowd: &Side, measured: &mut Measured) {
    let from = Moment::now(core.status(), crowd);
    std::thread::sleep(Duration::from_millis(HEARTBEAT_MS));
    let to = Moment::now(core.status(), crowd);
    measured.note(format!(
        "heartbeats alone: {:.2} cores, of which {:.2} are the engine's thread; agents {:.2}; {:.0} \
         messages a second; {:.0} MB",
        to.cores(&from, "cpu_ms"),
        to.cores(&from, "driver_cpu_ms"),
        to.agents_cores(&from),
        to.per_second(&from, "messages"),
        memory_mb(core),
    ));
}

/// Submits, and looks at it until all is submitted.
fn with_tasks(core: &mut Side, crowd: &Side, seconds: u64) -> Seen {
    let first = Moment::now(core.say("submit"), crowd);
    let mut halfway = None;
    loop {
        let status = core.status();
        if status.get("over") == 1 {
            let last = Moment::now(status, crowd);
            let halfway = halfway.unwrap_or(0);
            return Seen { first, last, halfway, memory_mb: memory_mb(core) };
        }
        let passed_ms = status.get("at_ms") - first.core.get("at_ms");
        if passed_ms >= seconds * 500 {
            halfway.get_or_insert(under_way(&status));
        }
        std::thread::sleep(LOOK);
    }
}

fn rows(title: &str, rate: u64, seen: &Seen, measured: &mut Measured) {
    let Seen { first, last, memory_mb, .. } = seen;
    let title = |figure: &str| format!("{title}: {figure}");
    let [half, most] = ["p50", "p99"].map(|part| us(&last.core, "placement", part));
    measured.row(Row::small(title("placement, p50"), "µs", half, 50.0, 20.0));
    measured.row(Row::small(title("placement, p99"), "µs", most, 100.0, 50.0));
    let (placed, wanted) = (last.per_second(first, "placed"), rate as f64);
    measured.row(Row::large(title("placed"), "/s", placed, wanted, wanted));
    measured.row(Row::small(title("core's memory"), "MB", *memory_mb, MEMORY_MB, 500.0));
    let busy = last.cores(first, "cpu_ms");
    measured.row(Row::small(title("core's processor time"), "cores", busy, 1.0, 0.5));
}

/// What the load did to both sides.
fn note_load(seen: &Seen, measured: &mut Measured) {
    let Seen { first, last, .. } = seen;
    measured.note(format!(
        "with tasks: engine's thread {:.2} cores, agents {:.2}; a second {:.0} inputs, {:.0} messages \
         sent, {:.0} transactions, {:.0} tasks settled",
        last.cores(first, "driver_cpu_ms"),
        last.agents_cores(first),
        last.per_second(first, "messages"),
        last.per_second(first, "sent"),
        last.per_second(first, "commits"),
        last.per_second(first, "settled"),
    ));
    let ms = |name, part| us(&last.core, name, part) / 1e3;
    measured.note(format!(
        "p50 / p99: wait for a place {:.1} / {:.1} ms, decision of a step {:.2} / {:.2} ms, commit \
         {:.2} / {:.2} ms",
        ms("wait", "p50"),
        ms("wait", "p99"),
        ms("decide", "p50"),
        ms("decide", "p99"),
        ms("commit", "p50"),
        ms("commit", "p99"),
    ));
}

/// Waits until every task is settled, or for so long that the core is seen not to keep up.
fn settle(core: &mut Side) -> Status {
    let begun = Instant::now();
    loop {
        let status = core.status();
        if under_way(&status) == 0 || begun.elapsed() > SETTLING {
            return status;
        }
        std::thread::sleep(LOOK);
    }
}

fn patience() -> Duration {
    Duration::from_secs(knob::number("AMBIT_BENCH_PATIENCE_S", 600))
}

/// Tasks that were taken on and have no outcome yet.
fn under_way(status: &Status) -> u64 {
    status.get("taken").saturating_sub(status.get("settled"))
}

fn memory_mb(core: &Side) -> f64 {
    memory_kib(core.pid(), "VmRSS") as f64 * 1024.0 / MB
}

fn us(status: &Status, name: &str, part: &str) -> f64 {
    status.get(&format!("{name}_{part}_ns")) as f64 / 1e3
}

impl Moment {
    fn now(core: Status, crowd: &Side) -> Self {
        Self { core, agents_s: cpu_seconds(crowd.pid()) }
    }

    fn rise(&self, from: &Self, name: &str) -> f64 {
        self.core.get(name).saturating_sub(from.core.get(name)) as f64
    }

    fn per_second(&self, from: &Self, name: &str) -> f64 {
        self.rise(from, name) * 1e3 / self.rise(from, "at_ms")
    }

    /// Processor time as a share of one core.
    fn cores(&self, from: &Self, name: &str) -> f64 {
        self.rise(from, name) / self.rise(from, "at_ms")
    }

    fn agents_cores(&self, from: &Self) -> f64 {
        (self.agents_s - from.agents_s) * 1e3 / self.rise(from, "at_ms")
    }
}

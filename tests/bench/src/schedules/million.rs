//! A million schedules in one core: what each weighs, how soon a core that starts fires, and how late
//! it fires while two thousand are due each second. The core's own decisions and its store on disk, in
//! the loop of its driver, without agents: tasks are made and wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloud_core::store::{SqliteStore, Store};
use cloud_core_logic::firing::{FiringResult, ScheduleRow};
use cloud_core_logic::placement::Policy;
use cloud_core_logic::{Change, Cloud, Input, Settings};
use serde_json::json;
use shared::id::{CoreId, ScheduleId};
use shared::schedule::{self, ScheduleSpec, jitter_ms};
use shared::time::{Monotonic, Timestamp};
use shared_runtime::clock::{Clock, new_uuid_v4};
use shared_runtime::zones::ZoneDatabase;
use tests::Scratch;
use uuid::Uuid;

use super::percentiles;
use crate::figure::{Measured, Row};
use crate::{knob, process};

/// After how long each fires again, in seconds.
const INTERVAL_S: u64 = 500;
const ROWS_PER_COMMIT: u64 = 10_000;

/// Measures it.
pub fn measure() -> Measured {
    let count = knob::number("AMBIT_BENCH_SCHEDULES", 1_000_000);
    let seconds = knob::number("AMBIT_BENCH_SCHEDULES_SECONDS", 20);
    let scratch = Scratch::new();
    let path = scratch.path().join("core.db");
    let clock = Clock::new();
    let core = CoreId(new_uuid_v4());
    let mut store = SqliteStore::open(&path, core, clock.now().wall).expect("a store");
    fill(&mut store, count, &clock);
    drop(store);

    let mut measured = Measured::default();
    let memory = || process::proportional_kib(std::process::id()) as f64 * 1024.0;
    let empty = memory();
    let begun = Instant::now();
    let mut store = SqliteStore::open(&path, core, clock.now().wall).expect("a store");
    let stored = store.load().expect("what it holds");
    let loaded = begun.elapsed();
    let zones = Arc::new(ZoneDatabase::default());
    let before = memory();
    let mut cloud =
        Cloud::restore(stored, Settings::default(), Policy::default(), zones, clock.now());
    let took = begun.elapsed();
    let after = memory();
    let mut lags = run(&mut cloud, &mut store, &clock, Duration::from_secs(seconds));
    let fired = lags.len();
    let [half, most] = percentiles(&mut lags);
    let what = |figure: &str| format!("{count} schedules: {figure}");
    measured.row(Row::small(what("firing lag, p50"), "ms", half, 20.0, 5.0));
    measured.row(Row::small(what("firing lag, p99"), "ms", most, 200.0, 50.0));
    let each = (after - empty) / count as f64;
    measured.row(Row::small(what("memory of an idle one"), "B", each, 600.0, 250.0));
    let took_s = took.as_secs_f64();
    measured.row(Row::small(what("start until firing"), "s", took_s, 15.0, 3.0));
    measured.note(format!(
        "{fired} firings in {seconds} s; read from disk in {:.1} s of the start; the process held \
         {:.0} MB with the rows as read, and {:.0} MB once they were taken up",
        loaded.as_secs_f64(),
        before / 1e6,
        after / 1e6
    ));
    measured
}

/// Puts schedules into a store whose moments are spread over the interval.
fn fill(store: &mut SqliteStore, count: u64, clock: &Clock) {
    let document = json!({
        "name": "s", "trigger": {"interval_s": INTERVAL_S}, "jitter_s": 1, "overlap": "allow",
        "task": {"run": {"exec": {"command": "/usr/bin/python3", "args": ["sample.py"]}}},
    });
    let spec = schedule::parse(&document).expect("a schedule");
    let now = clock.now().wall;
    for first in (0..count).step_by(ROWS_PER_COMMIT as usize) {
        let rows = first..count.min(first + ROWS_PER_COMMIT);
        let changes: Vec<Change> = rows
            .map(|number| {
                let name = format!("schedule-{number}").parse().expect("a name");
                let spec = ScheduleSpec { name, ..spec.clone() };
                let back_ms = (number % (INTERVAL_S * 1_000)) as i64;
                Change::SchedulePut(Box::new(ScheduleRow {
                    id: ScheduleId(Uuid::from_u64_pair(
                        0x0190_0000_0000_7000 + number,
                        number << 3,
                    )),
                    spec: Arc::new(spec),
                    version: 1,
                    created_at: now.plus_ms(-back_ms),
                    updated_at: now,
                    paused: false,
                    // A while ahead, so that nothing is missed before the core has started.
                    through: now.plus_ms(120_000),
                }))
            })
            .collect();
        store.commit(&changes).expect("a commit");
    }
}

/// Runs the core's loop; gives by how many milliseconds each firing was on disk after it was due.
fn run(cloud: &mut Cloud, store: &mut SqliteStore, clock: &Clock, span: Duration) -> Vec<f64> {
    let mut lags = Vec::new();
    let mut first = None;
    loop {
        let outcome = cloud.step(Input::Tick, clock.now());
        if !outcome.changes.is_empty() {
            store.commit(&outcome.changes).expect("a commit");
        }
        let done = clock.now();
        for change in &outcome.changes {
            let Change::FiringPut(row) = change else { continue };
            if let FiringResult::Fired { .. } = row.result {
                let due_ms = row.at.0 + jitter_ms(row.schedule, None, 1) as i64;
                lags.push(Timestamp(due_ms).0.abs_diff(done.wall.0) as f64);
                first.get_or_insert(Instant::now());
            }
        }
        if first.is_some_and(|first| first.elapsed() >= span) {
            return lags;
        }
        let wake = cloud.next_wakeup().unwrap_or(Monotonic(u64::MAX));
        let wait_ms = wake.since_ms(done.mono).min(1_000);
        if wait_ms > 0 {
            std::thread::sleep(Duration::from_millis(wait_ms));
        }
    }
}

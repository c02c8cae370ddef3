//! Durable submissions per second over HTTP: each is answered only once it is on disk.

use std::time::Duration;

use tests::Cluster;
use tests::wait::{check, within};

use crate::figure::{Measured, Row, quantile};
use crate::load::{Answered, JSON, LINES};
use crate::{knob, process, sample};

/// Before anything is counted: threads, files and caches get to their size.
pub const WARM_UP: Duration = Duration::from_secs(2);
/// How long the gauges of a core with millions of waiting tasks may take to catch up.
const COUNTED_WITHIN: Duration = Duration::from_secs(300);

/// Measures single requests.
pub fn measure() -> Measured {
    let cluster = sample::core_alone().start();
    sample::singles(&cluster, WARM_UP);
    let (answered, busy) = busy_during(&cluster, || sample::singles(&cluster, seconds()));
    let mut measured = Measured::default();
    let what = "durable submissions per second over HTTP, single requests, 64 connections";
    measured.row(Row::large(what, "", answered.per_second(), 10_000.0, 20_000.0));
    let each_us = busy * 1e6 / answered.took_ms.len().max(1) as f64;
    measured
        .note(format!("{}; {each_us:.0} µs of the core's processor time each", told(&answered)));
    measured
}

/// Measures batches: as a line a task, and for comparison as an array.
pub fn batches() -> Measured {
    let cluster = sample::core_alone().start();
    let warm = sample::batches(&cluster, WARM_UP);
    let (lines, busy) = busy_during(&cluster, || sample::batches(&cluster, seconds()));
    let bodies = vec![sample::array(0, sample::BATCH)];
    let (array, busy_array) =
        busy_during(&cluster, || sample::batches_of(&cluster, seconds() / 2, JSON, bodies));
    let all = [&warm, &lines, &array];
    let batches: usize = all.iter().map(|answered| answered.took_ms.len()).sum();
    all_wait(&cluster, batches * sample::BATCH);
    let mut measured = Measured::default();
    let what = "durable submissions per second over HTTP, batches of 1,000, 4 connections";
    let per_second = |answered: &Answered| answered.per_second() * sample::BATCH as f64;
    let best = per_second(&lines).max(per_second(&array));
    measured.row(Row::large(what, "", best, 50_000.0, 150_000.0));
    for (kind, answered, busy) in [(LINES, &lines, busy), (JSON, &array, busy_array)] {
        let tasks = (answered.took_ms.len() * sample::BATCH).max(1) as f64;
        measured.note(format!(
            "{kind}: {:.0} a second, {:.1} µs of the core's processor time each; batches {}",
            per_second(answered),
            busy * 1e6 / tasks,
            told(answered)
        ));
    }
    measured
}

/// Waits until the core says that so many tasks wait: each item of each batch was taken.
fn all_wait(cluster: &Cluster, tasks: usize) {
    within(COUNTED_WITHIN, "every task of every batch to be counted", || {
        let waiting = cluster.api.metric("ambit_tasks")?;
        check(waiting == tasks as f64, || format!("{waiting} of {tasks}"))
    });
}

/// Runs a load, and says how long the core's processors were busy with it, in seconds.
fn busy_during(cluster: &Cluster, load: impl FnOnce() -> Answered) -> (Answered, f64) {
    let pid = cluster.core.daemon.pid().expect("it runs");
    let before = process::cpu_seconds(pid);
    let answered = load();
    (answered, process::cpu_seconds(pid) - before)
}

fn seconds() -> Duration {
    Duration::from_secs(knob::number("AMBIT_BENCH_LOAD_SECONDS", 10))
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

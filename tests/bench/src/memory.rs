//! What a task that waits costs the core in memory.

use std::time::Duration;

use serde_json::Value;
use tests::wait::{check, within};

use crate::figure::{Measured, Row};
use crate::{knob, process, sample};

/// What one row of the table is about.
const PER_TASKS: f64 = 100_000.0;
/// Submitted before anything is counted, so that threads, buffers and the caches of the store are
/// as large as they get.
const WARM_UP: u64 = 10_000;
const COUNTED_WITHIN: Duration = Duration::from_secs(120);
const KIB: f64 = 1024.0;
const MB: f64 = 1_000_000.0;

/// Measures it.
pub fn measure() -> Measured {
    let tasks = knob::number("AMBIT_BENCH_PENDING_TASKS", 100_000);
    let cluster = sample::core_alone().start();
    let pid = cluster.core.daemon.pid().expect("it runs");
    let memory = || process::proportional_kib(pid) as f64 * KIB;
    let mut waiting = 0;
    let mut submit = |count: u64, task: fn(u64) -> Value| {
        sample::fill(&cluster, waiting..waiting + count, task);
        waiting += count;
        within(COUNTED_WITHIN, "the core to count what waits", || {
            let counted = cluster.api.metric("ambit_tasks")?;
            check(counted == waiting as f64, || format!("{counted} of {waiting} wait"))
        });
        memory()
    };
    let idle = memory();
    let before = submit(WARM_UP, sample::task);
    let after = submit(tasks, sample::task);
    let distinct = submit(tasks, sample::distinct_task);
    let each = |grown: f64| grown / tasks as f64;
    let mut measured = Measured::default();
    let what = "core: memory (PSS) per 100,000 pending tasks";
    measured.row(Row::small(what, "MB", each(after - before) * PER_TASKS / MB, 150.0, 60.0));
    measured.note(format!(
        "{tasks} tasks of distinct names behind {WARM_UP} others, {:.0} bytes each; {tasks} more with \
         an argument of their own, {:.0} bytes each; the whole core: {:.1} MB idle, {:.1} before, \
         {:.1} after, {:.1} at the end",
        each(after - before),
        each(distinct - after),
        idle / MB,
        before / MB,
        after / MB,
        distinct / MB
    ));
    measured
}

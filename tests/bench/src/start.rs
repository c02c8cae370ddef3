//! How soon a core answers that has a long history and many tasks that wait: from the start of its
//! process.

use std::time::{Duration, Instant};

use crate::figure::{Measured, Row, median};
use crate::{filled, knob, process, sample};

/// How often to ask.
const LOOK: Duration = Duration::from_millis(2);
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Measures it.
pub fn measure() -> Measured {
    let pending = knob::number("AMBIT_BENCH_PENDING_TASKS", 100_000);
    let starts = knob::count("AMBIT_BENCH_STARTS", 5);
    let mut cluster = sample::core_alone().lay_out();
    let filling = Instant::now();
    filled::lay(cluster.core.data(), pending);
    let filled_within = filling.elapsed();
    let mut took = Vec::new();
    let mut notes = Vec::new();
    for _ in 0..starts.max(1) {
        let begun = Instant::now();
        cluster.core.start();
        let answered = until(&cluster, "/health/live", begun);
        let ready = until(&cluster, "/health/ready", begun);
        took.push(ready);
        let pid = cluster.core.daemon.pid().expect("it runs");
        notes.push(format!(
            "answers after {answered:.2} s, ready after {ready:.2} s, {:.2} s of processor time, \
             {:.0} MB (PSS)",
            process::cpu_seconds(pid),
            process::proportional_kib(pid) as f64 * 1024.0 / 1e6
        ));
        cluster.core.daemon.kill();
    }
    let mut measured = Measured::default();
    let settled = filled::settled();
    let what = format!("core: start → ready, {settled} settled and {pending} pending tasks");
    measured.row(Row::small(what, "s", median(&took), 5.0, 1.0));
    notes.into_iter().for_each(|note| measured.note(note));
    measured.note(format!(
        "the store was filled within {:.0} s, and is in the system's cache",
        filled_within.as_secs_f64()
    ));
    measured
}

/// Seconds until a path is answered with 200.
fn until(cluster: &tests::Cluster, path: &str, begun: Instant) -> f64 {
    loop {
        let answer = cluster.api.request("GET", path, None);
        if answer.is_ok_and(|answer| answer.status == 200) {
            return begun.elapsed().as_secs_f64();
        }
        assert!(begun.elapsed() < READY_WITHIN, "the core does not answer {path}");
        std::thread::sleep(LOOK);
    }
}

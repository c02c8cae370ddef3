//! Whether a core gets slower as its history grows: the same load, by turns, on a core whose store
//! is empty and on one that has settled a million tasks, in one run; and then on one that has them
//! and takes most of them away meanwhile, as a core does whose history is at its bound.

use std::time::Duration;

use serde_json::json;
use tests::{Cluster, ClusterBuilder};

use crate::figure::{Measured, Row};
use crate::{filled, knob, process, round_trips, sample};

/// How often the turns change, so that what else the machine does falls on both.
const TURNS: usize = 2;
/// The share of the speed on an empty store from which on it does not fall.
const DOES_NOT_FALL: f64 = 0.9;
const AIM: f64 = 1.0;
/// The bound on the history, as the core's environment has it, and what the core tells of it.
const BOUND: &str = "AMBIT_HISTORY_COUNT_MAX";
const TAKEN_AWAY: &str = "ambit_history_tasks_pruned_total";

/// What a load does to a core: how many tasks a second it got done, and how many in all.
type Load<'a> = (&'static str, &'a dyn Fn(&Cluster) -> (f64, f64));

/// Measures it.
pub fn measure() -> Measured {
    let mut measured = Measured::default();
    let lasts = Duration::from_secs(knob::number("AMBIT_BENCH_LOAD_SECONDS", 10)) / 2;
    let singles = |cluster: &Cluster| {
        let answered = sample::singles(cluster, lasts);
        (answered.per_second(), answered.took_ms.len() as f64)
    };
    let batches = |cluster: &Cluster| {
        let answered = sample::batches(cluster, lasts);
        let tasks = (answered.took_ms.len() * sample::BATCH) as f64;
        (tasks / answered.elapsed.as_secs_f64(), tasks)
    };
    let (run, seconds) = (json!({"noop": {}}), lasts.as_secs().max(1));
    let trips = |cluster: &Cluster| {
        let before = round_trips::settled(cluster);
        let (per_second, _) = round_trips::rate_of(cluster, &run, seconds);
        (per_second, round_trips::settled(cluster) - before)
    };
    let submissions: [Load<'_>; 2] =
        [("submissions, single", &singles), ("submissions, batches of 1,000", &batches)];
    compare(sample::core_alone, &submissions, &mut measured);
    compare(round_trips::fleet, &[("round trips, `noop`, 50 agents", &trips)], &mut measured);
    measured
}

fn compare(builder: fn() -> ClusterBuilder, loads: &[Load<'_>], measured: &mut Measured) {
    let of_all = format!("{} settled tasks", filled::settled());
    let mut without = Vec::new();
    {
        let (empty, full) = (builder().start(), with_history(builder, None));
        for (what, load) in loads {
            // The first turn only warms up.
            let (mut on_empty, mut on_full) = (Side::default(), Side::default());
            load(&empty);
            load(&full);
            for _ in 0..TURNS {
                on_empty.add(&empty, load);
                on_full.add(&full, load);
            }
            let figure = format!("core: {what}, with {of_all} ÷ with none");
            measured.row(on_full.against(&on_empty, figure));
            let (with, empty) = (on_full.told(), on_empty.told());
            measured.note(format!("{what}: {with} with a history, {empty} without"));
            without.push(on_empty);
        }
    }
    let pruning = with_history(builder, Some((filled::settled() / 10).max(1_000)));
    for ((what, load), on_empty) in loads.iter().zip(&without) {
        let before = pruning.api.metric(TAKEN_AWAY).unwrap_or(0.0);
        load(&pruning);
        let mut side = Side::default();
        (0..TURNS).for_each(|_| side.add(&pruning, load));
        let taken_away = pruning.api.metric(TAKEN_AWAY).unwrap_or(0.0) - before;
        if taken_away > 0.0 {
            let figure = format!("core: {what}, while {of_all} are taken away ÷ with none");
            measured.row(side.against(on_empty, figure));
        }
        let told = side.told();
        measured.note(format!("{what}: {told}, while {taken_away} settled ones were taken away"));
    }
}

/// A core with a history, perhaps one that is beyond a bound.
fn with_history(builder: fn() -> ClusterBuilder, bound: Option<u64>) -> Cluster {
    let mut cluster = builder().lay_out();
    filled::lay(cluster.core.data(), 0);
    if let Some(count) = bound {
        cluster.core.daemon.set_env(BOUND, &count.to_string());
    }
    cluster.start();
    cluster
}

/// What a core came to, over its turns.
#[derive(Default)]
struct Side {
    rate: f64,
    done: f64,
    busy: f64,
}

impl Side {
    fn add(&mut self, cluster: &Cluster, load: impl Fn(&Cluster) -> (f64, f64)) {
        let pid = cluster.core.daemon.pid().expect("it runs");
        let before = process::cpu_seconds(pid);
        let (per_second, done) = load(cluster);
        self.busy += process::cpu_seconds(pid) - before;
        self.rate += per_second / TURNS as f64;
        self.done += done;
    }

    fn against(&self, empty: &Self, figure: String) -> Row {
        Row::large(figure, "", self.rate / empty.rate, DOES_NOT_FALL, AIM)
    }

    fn told(&self) -> String {
        let each_us = self.busy * 1e6 / self.done.max(1.0);
        format!("{:.0} a second at {each_us:.0} µs of the core's processor time each", self.rate)
    }
}

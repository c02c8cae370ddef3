//! What is told about what is over: how much of it is kept, and what was taken away.

use std::fmt::Display;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::{Event, Metrics};
use crate::store::HistoryPruned;

/// The metrics of history.
#[derive(Debug)]
pub(super) struct HistoryMetrics {
    tasks: Gauge,
    keys: Gauge,
    oldest: Gauge,
    tasks_pruned: Counter,
    keys_pruned: Counter,
    duration: Histogram,
}

impl HistoryMetrics {
    pub(super) fn new() -> Self {
        Self {
            tasks: Gauge::default(),
            keys: Gauge::default(),
            oldest: Gauge::default(),
            tasks_pruned: Counter::default(),
            keys_pruned: Counter::default(),
            duration: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Settled tasks that are kept, which history.count_max bounds";
        registry.register("history_tasks", help, self.tasks.clone());
        let help = "Idempotency keys that are kept although their tasks are gone";
        registry.register("history_keys", help, self.keys.clone());
        let help = "When the oldest settled task that is kept was submitted, in seconds since 1970; \
                    0 when none is";
        registry.register_with_unit("history_oldest", help, Unit::Seconds, self.oldest.clone());
        let help = "Settled tasks that were taken away";
        registry.register("history_tasks_pruned", help, self.tasks_pruned.clone());
        let help = "Idempotency keys that were taken away";
        registry.register("history_keys_pruned", help, self.keys_pruned.clone());
        let help = "Time to take a few settled tasks away";
        let duration = self.duration.clone();
        registry.register_with_unit("history_prune_duration", help, Unit::Seconds, duration);
    }
}

/// It was looked for settled tasks that are too old, or too many.
#[derive(Debug, Clone, Copy)]
pub struct HistoryStep {
    /// What was taken away, and what is left.
    pub pruned: HistoryPruned,
    /// How long that took.
    pub took: Duration,
}

impl Event for HistoryStep {
    fn record(self, metrics: &Metrics) {
        let history = &metrics.inner.history;
        let HistoryPruned { tasks, keys, tasks_kept, keys_kept, oldest, .. } = self.pruned;
        history.tasks.set(i64::try_from(tasks_kept).unwrap_or(i64::MAX));
        history.keys.set(i64::try_from(keys_kept).unwrap_or(i64::MAX));
        history.oldest.set(oldest.map_or(0, |at| at.0.div_euclid(1_000)));
        history.tasks_pruned.inc_by(tasks);
        history.keys_pruned.inc_by(keys);
        if tasks + keys > 0 {
            history.duration.observe(self.took.as_secs_f64());
            let took_us = self.took.as_micros() as u64;
            tracing::trace!(tasks, keys, took_us, "what is over was taken away");
        }
    }
}

/// Nothing of what is over could be taken away.
pub struct HistoryNotPruned<'a> {
    /// Why.
    pub error: &'a dyn Display,
}

impl Event for HistoryNotPruned<'_> {
    fn record(self, _: &Metrics) {
        tracing::debug!(error = %self.error, "old tasks cannot be taken away now");
    }
}

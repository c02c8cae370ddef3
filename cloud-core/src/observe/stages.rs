//! How long a task takes from each stage of its way to the next, and how much waits before the
//! core: the numbers that say where time goes when work is slow.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use cloud_core_logic::cloud::Counts;
use cloud_core_logic::effect::{Notice, Word};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::{Event, Metrics};

/// Labels of what agents tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WordLabel {
    event: &'static str,
}

/// Labels of a queue before the driver.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: &'static str,
}

/// The upper bounds of the buckets of placements, in microseconds: fine where placements are, so that
/// a percentile is worth something.
const PLACEMENT_BUCKETS_US: [u32; 27] = [
    1, 2, 3, 5, 7, 10, 12, 15, 20, 25, 30, 35, 40, 50, 60, 70, 80, 90, 100, 125, 150, 200, 300,
    500, 1_000, 3_000, 10_000,
];

/// The metrics of the stages.
#[derive(Debug)]
pub(super) struct StageMetrics {
    decide_duration: Histogram,
    placement_duration: Histogram,
    placement_wait: Histogram,
    accept_wait: Histogram,
    report_delay: Family<WordLabel, Histogram, fn() -> Histogram>,
    queued: Family<QueueLabel, Gauge>,
    oldest_pending: Gauge,
    assigned: Counter,
    assigned_tasks: Counter,
    assigned_placed_more: Counter,
    assigned_score_more: Counter<f64, AtomicU64>,
}

/// From a millisecond to two and a quarter hours: a report may have waited for a link.
fn waits() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 24))
}

impl StageMetrics {
    pub(super) fn new() -> Self {
        Self {
            decide_duration: Histogram::new(exponential_buckets(0.000_01, 2.0, 18)),
            placement_duration: Histogram::new(
                PLACEMENT_BUCKETS_US.map(|bound_us| f64::from(bound_us) / 1e6),
            ),
            placement_wait: waits(),
            accept_wait: waits(),
            report_delay: Family::new_with_constructor(waits),
            queued: Family::default(),
            oldest_pending: Gauge::default(),
            assigned: Counter::default(),
            assigned_tasks: Counter::default(),
            assigned_placed_more: Counter::default(),
            assigned_score_more: Counter::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Time to decide what is committed together, placement included";
        let decide = self.decide_duration.clone();
        registry.register_with_unit("decide_duration", help, Unit::Seconds, decide);
        let help = "Time to seek the best agent for a task and to reserve it; of tasks placed together, each its share";
        let placement = self.placement_duration.clone();
        registry.register_with_unit("placement_duration", help, Unit::Seconds, placement);
        let help = "From the moment a task waits for a place to the moment it has one";
        let wait = self.placement_wait.clone();
        registry.register_with_unit("placement_wait", help, Unit::Seconds, wait);
        let help = "From the offer of an attempt to the agent's acceptance, as the core hears it";
        registry.register_with_unit("accept_wait", help, Unit::Seconds, self.accept_wait.clone());
        let help = "From what an agent tells of, by the core's clock, to the core hearing of it";
        let delay = self.report_delay.clone();
        registry.register_with_unit("report_delay", help, Unit::Seconds, delay);
        let help = "What waits to be decided, by queue";
        registry.register("queued", help, self.queued.clone());
        let help = "How long the oldest task that waits for a place has waited";
        let oldest = self.oldest_pending.clone();
        registry.register_with_unit("oldest_pending", help, Unit::Seconds, oldest);
        let help = "Batches of competing tasks that were placed together";
        registry.register("placement_batches_assigned", help, self.assigned.clone());
        let help = "Tasks of those batches";
        registry.register("placement_batch_tasks", help, self.assigned_tasks.clone());
        let help = "How many more of those tasks have a place than one after the other";
        let more = self.assigned_placed_more.clone();
        registry.register("placement_batch_placed_more", help, more);
        let help = "By how much the sum of their scores is greater than one after the other";
        registry.register("placement_batch_score_more", help, self.assigned_score_more.clone());
    }

    pub(super) fn count(&self, counts: &Counts, queued: Queued) {
        let seconds = i64::try_from(counts.oldest_pending_ms / 1_000).unwrap_or(i64::MAX);
        self.oldest_pending.set(seconds);
        for (queue, count) in [("requests", queued.requests), ("messages", queued.messages)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.queued.get_or_create(&QueueLabel { queue }).set(count);
        }
    }
}

/// What waits to be decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queued {
    /// Requests of callers.
    pub requests: usize,
    /// Messages of agents.
    pub messages: usize,
}

/// Everything that is committed together was decided.
#[derive(Debug, Clone, Copy)]
pub struct BatchDecided {
    /// How long that took.
    pub took: Duration,
}

impl Event for BatchDecided {
    fn record(self, metrics: &Metrics) {
        metrics.inner.stages.decide_duration.observe(self.took.as_secs_f64());
        tracing::trace!(took_us = self.took.as_micros() as u64, "decided");
    }
}

/// Tasks had their turn together, whether agents were found for them or not.
#[derive(Debug, Clone, Copy)]
pub struct PlacementsTried {
    /// How many.
    pub tasks: usize,
    /// How long all of them took.
    pub took: Duration,
}

impl Event for PlacementsTried {
    fn record(self, metrics: &Metrics) {
        let Self { tasks, took } = self;
        let each = took.as_secs_f64() / tasks.max(1) as f64;
        for _ in 0..tasks {
            metrics.inner.stages.placement_duration.observe(each);
        }
        tracing::trace!(tasks, took_us = took.as_micros() as u64, "placed");
    }
}

/// An attempt came a stage further.
#[derive(Debug, Clone, Copy)]
pub struct StagePassed<'a>(pub &'a Notice);

impl Event for StagePassed<'_> {
    fn record(self, metrics: &Metrics) {
        let seconds = |ms: u64| ms as f64 / 1_000.0;
        let stages = &metrics.inner.stages;
        match *self.0 {
            Notice::Placed { assignment, waited_ms, .. } => {
                stages.placement_wait.observe(seconds(waited_ms));
                tracing::trace!(%assignment, waited_ms, "waited for a place");
            }
            Notice::Assigned { tasks, placed_more, score_millionths } => {
                stages.assigned.inc();
                stages.assigned_tasks.inc_by(tasks);
                stages.assigned_placed_more.inc_by(placed_more);
                let score_more = score_millionths as f64 / 1e6;
                stages.assigned_score_more.inc_by(score_more);
                tracing::debug!(tasks, placed_more, score_more, "placed together");
            }
            // Told and counted with its outcome.
            Notice::Settled { .. } => {}
            Notice::Accepted { assignment, after_ms } => {
                stages.accept_wait.observe(seconds(after_ms));
                tracing::trace!(%assignment, after_ms, "accepted");
            }
            Notice::Heard { assignment, word, after_ms } => {
                let event = match word {
                    Word::Accepted => "accepted",
                    Word::Started => "started",
                    Word::Finished => "finished",
                };
                let delay = stages.report_delay.get_or_create(&WordLabel { event });
                delay.observe(seconds(after_ms));
                tracing::trace!(%assignment, event, after_ms, "heard");
            }
        }
    }
}

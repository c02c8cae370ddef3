//! What is told about logs of tasks: how much is kept, and what is not.

use std::fmt::Display;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use shared::id::{AgentId, AssignmentId};

use super::throttle::Throttle;
use super::{Event, Metrics};
use crate::store::LogDrop;

/// Labels of a dropped chunk.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: LogDrop,
}

impl EncodeLabelValue for LogDrop {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        name(*self).encode(encoder)
    }
}

fn name(cause: LogDrop) -> &'static str {
    match cause {
        LogDrop::Malformed => "malformed",
        LogDrop::NotItsOwn => "not_its_own",
        LogDrop::Forgotten => "forgotten",
        LogDrop::Gap => "gap",
        LogDrop::LaneFull => "lane_full",
        LogDrop::StoreFailing => "store_failing",
    }
}

/// The metrics of logs.
#[derive(Debug)]
pub(super) struct LogMetrics {
    chunks: Counter,
    text: Counter,
    dropped: Family<CauseLabel, Counter>,
    kept: Gauge,
    write_duration: Histogram,
    told: Throttle,
}

impl LogMetrics {
    pub(super) fn new() -> Self {
        Self {
            chunks: Counter::default(),
            text: Counter::default(),
            dropped: Family::default(),
            kept: Gauge::default(),
            write_duration: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            told: Throttle::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Chunks of logs looked at in transactions that are on disk";
        registry.register("log_chunks", help, self.chunks.clone());
        let help = "Text of logs that was written";
        registry.register_with_unit("log_text", help, Unit::Bytes, self.text.clone());
        let help = "Chunks of logs that were not kept, by cause";
        registry.register("log_chunks_dropped", help, self.dropped.clone());
        let help = "What is kept of logs, as it counts against logs.bytes_max";
        registry.register_with_unit("logs_kept", help, Unit::Bytes, self.kept.clone());
        let help = "Time to bring one transaction of logs to disk";
        let duration = self.write_duration.clone();
        registry.register_with_unit("log_write_duration", help, Unit::Seconds, duration);
    }
}

/// A transaction of logs is on disk.
#[derive(Debug, Clone, Copy)]
pub struct LogsKept {
    /// The chunks that were looked at.
    pub chunks: usize,
    /// The text that was new, in bytes.
    pub text: u64,
    /// What is kept of all logs, in bytes.
    pub bytes: u64,
    /// How long the transaction took.
    pub took: Duration,
}

impl Event for LogsKept {
    fn record(self, metrics: &Metrics) {
        let logs = &metrics.inner.logs;
        logs.chunks.inc_by(self.chunks as u64);
        logs.text.inc_by(self.text);
        logs.kept.set(i64::try_from(self.bytes).unwrap_or(i64::MAX));
        logs.write_duration.observe(self.took.as_secs_f64());
        let took_us = self.took.as_micros() as u64;
        tracing::trace!(chunks = self.chunks, text = self.text, took_us, "logs kept");
    }
}

/// A chunk was not kept. Counted each time, logged at a bounded rate when a person should hear.
#[derive(Debug, Clone, Copy)]
pub struct LogsDropped<'a> {
    /// Who sent it.
    pub agent: &'a AgentId,
    /// About which attempt.
    pub assignment: AssignmentId,
    /// Why.
    pub cause: LogDrop,
}

impl Event for LogsDropped<'_> {
    fn record(self, metrics: &Metrics) {
        let Self { agent, assignment, cause } = self;
        metrics.inner.logs.dropped.get_or_create(&CauseLabel { cause }).inc();
        let cause_name = name(cause);
        // The others come of losses on the way, and mend themselves.
        if !matches!(cause, LogDrop::Malformed | LogDrop::LaneFull) {
            tracing::debug!(%agent, %assignment, cause = cause_name, "a piece of a log not kept");
            return;
        }
        let now = metrics.inner.clock.now().mono;
        if let Some(held_back) = metrics.inner.logs.told.admit(now) {
            let cause = cause_name;
            tracing::warn!(%agent, %assignment, cause, held_back, "a piece of a log not kept");
        }
    }
}

/// A transaction of logs did not reach the disk. Its agents send it again.
pub struct LogsNotKept<'a> {
    /// The chunks in it.
    pub chunks: usize,
    /// Why.
    pub error: &'a dyn Display,
}

impl Event for LogsNotKept<'_> {
    fn record(self, metrics: &Metrics) {
        let Self { chunks, error } = self;
        let label = CauseLabel { cause: LogDrop::StoreFailing };
        metrics.inner.logs.dropped.get_or_create(&label).inc_by(chunks as u64);
        let now = metrics.inner.clock.now().mono;
        if let Some(held_back) = metrics.inner.logs.told.admit(now) {
            tracing::warn!(%error, chunks, held_back, "logs cannot be written; agents keep them");
        }
    }
}

/// It was looked for logs that are too old, or too many.
#[derive(Debug, Clone, Copy)]
pub struct LogsPruned {
    /// What is kept of all logs, in bytes.
    pub bytes: u64,
}

impl Event for LogsPruned {
    fn record(self, metrics: &Metrics) {
        metrics.inner.logs.kept.set(i64::try_from(self.bytes).unwrap_or(i64::MAX));
    }
}

/// Logs were taken away before their time, because there was no room for decisions.
#[derive(Debug, Clone, Copy)]
pub struct LogsGivenUp {
    /// What is kept of all logs, in bytes.
    pub bytes: u64,
}

impl Event for LogsGivenUp {
    fn record(self, metrics: &Metrics) {
        LogsPruned { bytes: self.bytes }.record(metrics);
        tracing::warn!(left = self.bytes, "logs were taken away, to make room for decisions");
    }
}

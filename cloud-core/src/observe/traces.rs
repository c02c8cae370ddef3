//! What became of the traces that are exported. That a collector fails is said once, and once more
//! when it works again; everything is counted.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::throttle::Throttle;
use super::{Event, Metrics};

/// Labels of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FateLabel {
    result: &'static str,
}

/// The metrics of traces.
#[derive(Debug, Default)]
pub(super) struct TraceMetrics {
    traces: Family<FateLabel, Counter>,
    requests_failed: Counter,
    drops_told: Throttle,
}

impl TraceMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help =
            "Sampled traces of settled tasks that were to be exported, by what became of them";
        registry.register("traces", help, self.traces.clone());
        let help = "Requests to the collector that it did not take, those sent again included";
        registry.register("trace_requests_failed", help, self.requests_failed.clone());
    }
}

/// What became of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceFate {
    /// The collector has it.
    Exported,
    /// The collector took the request it was in, and not all of the spans.
    Rejected,
    /// The collector did not take it.
    Failed,
    /// There was no room for it.
    Dropped,
}

/// Traces are done with.
#[derive(Debug, Clone, Copy)]
pub struct TraceEnded {
    /// What became of them.
    pub fate: TraceFate,
    /// How many tasks.
    pub tasks: u64,
}

impl Event for TraceEnded {
    fn record(self, metrics: &Metrics) {
        let TraceMetrics { traces, drops_told, .. } = &metrics.inner.traces;
        let result = match self.fate {
            TraceFate::Exported => "exported",
            TraceFate::Rejected => "rejected",
            TraceFate::Failed => "failed",
            TraceFate::Dropped => "dropped",
        };
        traces.get_or_create(&FateLabel { result }).inc_by(self.tasks);
        if self.fate == TraceFate::Dropped {
            let now = metrics.inner.clock.now().mono;
            if let Some(held_back) = drops_told.admit(now) {
                tracing::warn!(held_back, "the collector is too slow: traces are dropped");
            }
        }
    }
}

/// A request to the collector was not taken.
#[derive(Debug, Clone, Copy)]
pub struct ExportFailed<'a> {
    /// Where it went.
    pub url: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Whether the one before was taken.
    pub first: bool,
}

impl Event for ExportFailed<'_> {
    fn record(self, metrics: &Metrics) {
        metrics.inner.traces.requests_failed.inc();
        let Self { url, reason, first } = self;
        if first {
            tracing::warn!(
                url,
                reason,
                "traces cannot be exported; work goes on, and traces are lost until this ends: check \
                 telemetry.otlp.endpoint and the collector"
            );
        } else {
            tracing::debug!(url, reason, "traces still cannot be exported");
        }
    }
}

/// The collector takes requests again.
#[derive(Debug, Clone, Copy)]
pub struct ExportRecovered<'a> {
    /// Where they go.
    pub url: &'a str,
}

impl Event for ExportRecovered<'_> {
    fn record(self, _metrics: &Metrics) {
        tracing::info!(url = self.url, "traces are exported again");
    }
}

//! What the core tells about itself. One struct per observable event, in `event`, emits its log
//! line and counts into the metrics held here, so that neither is forgotten where it happens.

mod event;
mod history;
mod logs;
mod process;
mod stages;
mod throttle;
mod topics;
mod traces;

use std::sync::Arc;

use cloud_core_logic::cloud::Counts;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
pub use prometheus_client::registry::Registry;
use prometheus_client::registry::Unit;
use shared_runtime::clock::Clock;

pub use event::{
    AgentJoined, AttemptPlaced, BackupTakenUp, BatchCommitted, CommitFailed, CommitRecovered,
    Direction, DriverStopped, DropCause, Event, InputTaken, LateReportKept, LinkChanged, LinkState,
    MessageDropped, MessageSent, TaskSettled,
};
use history::HistoryMetrics;
pub use history::{HistoryNotPruned, HistoryStep};
use logs::LogMetrics;
pub use logs::{LogsDropped, LogsGivenUp, LogsKept, LogsNotKept, LogsPruned};
pub use process::ProcessMetrics;
use stages::StageMetrics;
pub use stages::{BatchDecided, PlacementsTried, Queued, StagePassed};
use throttle::Throttle;
use topics::TopicMetrics;
pub use topics::{MessageFate, TopicMessages, TopicRefused, TopicsWanted};
use traces::TraceMetrics;
pub use traces::{ExportFailed, ExportRecovered, TraceEnded, TraceFate};

/// Labels of an input: what kind it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Labels of an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    status: &'static str,
    reason: &'static str,
}

/// Labels of a dropped message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabels {
    direction: Direction,
    cause: DropCause,
}

/// Labels of a gauge by status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: Status,
}

/// Where a task or an agent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Status(&'static str);

impl EncodeLabelValue for Status {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

/// The core's metrics. A clone counts into the same series.
#[derive(Debug, Clone)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    clock: Clock,
    commit_duration: Histogram,
    batch_inputs: Histogram,
    batch_changes: Histogram,
    commit_failures: Counter,
    store_failing: Gauge,
    inputs: Family<KindLabel, Counter>,
    placements: Counter,
    outcomes: Family<OutcomeLabels, Counter>,
    late_reports: Counter,
    joins: Counter,
    sent: Counter,
    dropped: Family<DropLabels, Counter>,
    link_up: Gauge,
    link_losses: Counter,
    tasks: Family<StatusLabel, Gauge>,
    agents: Family<StatusLabel, Gauge>,
    recovering: Gauge,
    history: HistoryMetrics,
    logs: LogMetrics,
    stages: StageMetrics,
    topics: TopicMetrics,
    traces: TraceMetrics,
    /// One for each cause of [`DropCause`].
    drops_told: [Throttle; DropCause::COUNT],
}

impl Metrics {
    /// Makes them and adds them to a registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let inner = Inner {
            clock: Clock::new(),
            commit_duration: Histogram::new(exponential_buckets(0.000_1, 2.0, 16)),
            batch_inputs: Histogram::new(exponential_buckets(1.0, 2.0, 12)),
            batch_changes: Histogram::new(exponential_buckets(1.0, 2.0, 14)),
            commit_failures: Counter::default(),
            store_failing: Gauge::default(),
            inputs: Family::default(),
            placements: Counter::default(),
            outcomes: Family::default(),
            late_reports: Counter::default(),
            joins: Counter::default(),
            sent: Counter::default(),
            dropped: Family::default(),
            link_up: Gauge::default(),
            link_losses: Counter::default(),
            tasks: Family::default(),
            agents: Family::default(),
            recovering: Gauge::default(),
            history: HistoryMetrics::new(),
            logs: LogMetrics::new(),
            stages: StageMetrics::new(),
            topics: TopicMetrics::default(),
            traces: TraceMetrics::default(),
            drops_told: Default::default(),
        };
        inner.register(registry);
        Self { inner: Arc::new(inner) }
    }

    /// Metrics that nobody reads, for tests.
    #[must_use]
    pub fn unread() -> Self {
        Self::register(&mut Registry::default())
    }

    /// Logs an event and counts it.
    pub fn record(&self, event: impl Event) {
        event.record(self);
    }

    /// Brings the gauges of tasks and agents up to date; `recovering` says whether nothing is placed
    /// because the core was put back to a backup.
    pub fn count(&self, counts: &Counts, queued: Queued, recovering: bool) {
        let set = |family: &Family<StatusLabel, Gauge>, status, count: u64| {
            let label = StatusLabel { status: Status(status) };
            family.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        };
        let Inner { tasks, agents, .. } = &*self.inner;
        self.inner.recovering.set(i64::from(recovering));
        self.inner.stages.count(counts, queued);
        set(tasks, "pending", counts.pending);
        set(tasks, "backing_off", counts.backing_off);
        set(tasks, "assigned", counts.assigned);
        set(tasks, "running", counts.running);
        set(agents, "online", counts.agents_online);
        set(agents, "suspect", counts.agents_suspect);
        set(agents, "offline", counts.agents_offline);
    }
}

impl Inner {
    fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("ambit");
        self.register_driver(registry);
        self.history.register(registry);
        self.logs.register(registry);
        self.stages.register(registry);
        self.topics.register(registry);
        self.traces.register(registry);
        registry.register(
            "placements",
            "Attempts that were given an agent",
            self.placements.clone(),
        );
        registry.register("outcomes", "Tasks settled, by status and reason", self.outcomes.clone());
        let help = "Reports of stale attempts, kept without effect";
        registry.register("late_reports", help, self.late_reports.clone());
        registry.register("joins", "Credentials granted to agents", self.joins.clone());
        registry.register("messages_sent", "Messages handed to the link", self.sent.clone());
        let help = "Messages dropped, by direction and cause";
        registry.register("messages_dropped", help, self.dropped.clone());
        let help = "Whether the core's link to the broker is up";
        registry.register("link_up", help, self.link_up.clone());
        let help = "How often the core's link to the broker went down or was refused";
        registry.register("link_losses", help, self.link_losses.clone());
        registry.register("tasks", "Tasks that are not settled, by state", self.tasks.clone());
        registry.register("agents", "Agents, by status", self.agents.clone());
        let help = "Whether nothing is placed while agents have their time to say what they hold";
        registry.register("recovering", help, self.recovering.clone());
    }

    fn register_driver(&self, registry: &mut Registry) {
        let help = "Time to bring one transaction to disk";
        let duration = self.commit_duration.clone();
        registry.register_with_unit("commit_duration", help, Unit::Seconds, duration);
        let help = "Inputs decided in one transaction";
        registry.register("batch_inputs", help, self.batch_inputs.clone());
        let help = "Changes committed in one transaction";
        registry.register("batch_changes", help, self.batch_changes.clone());
        let help = "Commits that failed and were tried again";
        registry.register("commit_failures", help, self.commit_failures.clone());
        let help = "Whether the store cannot be written now";
        registry.register("store_failing", help, self.store_failing.clone());
        registry.register("inputs", "Inputs decided, by kind", self.inputs.clone());
    }
}

#[cfg(test)]
mod tests;

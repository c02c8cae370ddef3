//! The events themselves: each says in one place which line it writes and what it counts. When
//! all is well nothing above `debug` is written for single tasks and messages.

use std::fmt::Display;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelValue;
use shared::id::{AgentId, Attempt, TaskId};
use shared::task::Outcome;
use shared::trace::TraceId;

use super::{DropLabels, KindLabel, Metrics, OutcomeLabels};

/// Something that can be observed.
pub trait Event {
    /// Writes the log line and counts.
    fn record(self, metrics: &Metrics);
}

/// A transaction is on disk.
#[derive(Debug, Clone, Copy)]
pub struct BatchCommitted {
    /// The inputs decided in it.
    pub inputs: usize,
    /// The changes in it.
    pub changes: usize,
    /// How long the commit took.
    pub took: Duration,
}

impl Event for BatchCommitted {
    fn record(self, metrics: &Metrics) {
        metrics.inner.commit_duration.observe(self.took.as_secs_f64());
        metrics.inner.batch_inputs.observe(self.inputs as f64);
        metrics.inner.batch_changes.observe(self.changes as f64);
        let took_us = self.took.as_micros() as u64;
        tracing::trace!(inputs = self.inputs, changes = self.changes, took_us, "committed");
    }
}

/// A transaction did not reach the disk, and is tried again.
pub struct CommitFailed<'a> {
    /// Why.
    pub error: &'a dyn Display,
    /// Whether it is the first failure in a row.
    pub first: bool,
}

impl Event for CommitFailed<'_> {
    fn record(self, metrics: &Metrics) {
        metrics.inner.commit_failures.inc();
        metrics.inner.store_failing.set(1);
        let error = self.error;
        if self.first {
            tracing::error!(
                %error,
                "cannot commit; nothing is acknowledged and new work is refused until it works"
            );
        } else {
            tracing::debug!(%error, "still cannot commit");
        }
    }
}

/// The store works again.
#[derive(Debug, Clone, Copy)]
pub struct CommitRecovered {
    /// How often the transaction failed before.
    pub failures: u64,
}

impl Event for CommitRecovered {
    fn record(self, metrics: &Metrics) {
        metrics.inner.store_failing.set(0);
        tracing::warn!(failures = self.failures, "commits work again");
    }
}

/// The driver ended, in order or not.
pub struct DriverStopped<'a> {
    /// Why, unless it was asked to.
    pub error: Option<&'a dyn Display>,
}

impl Event for DriverStopped<'_> {
    fn record(self, _metrics: &Metrics) {
        match self.error {
            None => tracing::info!("the core stopped"),
            Some(error) => tracing::error!(%error, "the core cannot go on"),
        }
    }
}

/// The store was found to be a backup that was put in place.
#[derive(Debug, Clone, Copy)]
pub struct BackupTakenUp<'a> {
    /// When the backup was taken.
    pub taken_at: &'a str,
    /// How many of its tasks were not settled.
    pub tasks: usize,
}

impl Event for BackupTakenUp<'_> {
    fn record(self, _metrics: &Metrics) {
        tracing::warn!(
            taken_at = self.taken_at,
            tasks = self.tasks,
            "this store is a backup put in place: what came after it is forgotten, and nothing is \
             placed for core.recovery_ms, in which the agents say what they hold"
        );
    }
}

/// An input is about to be decided.
#[derive(Debug, Clone, Copy)]
pub struct InputTaken {
    /// What kind.
    pub kind: &'static str,
}

impl Event for InputTaken {
    fn record(self, metrics: &Metrics) {
        metrics.inner.inputs.get_or_create(&KindLabel { kind: self.kind }).inc();
    }
}

/// An attempt was given an agent.
#[derive(Debug)]
pub struct AttemptPlaced<'a> {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// The agent.
    pub agent: Option<&'a AgentId>,
    /// The trace of the task, where it is at hand.
    pub trace: Option<TraceId>,
}

impl Event for AttemptPlaced<'_> {
    fn record(self, metrics: &Metrics) {
        metrics.inner.placements.inc();
        let agent = self.agent.map_or("", AgentId::as_str);
        let trace = self.trace.map(tracing::field::display);
        tracing::debug!(task = %self.task, attempt = %self.attempt, agent, trace, "placed");
    }
}

/// A task has its outcome.
#[derive(Debug)]
pub struct TaskSettled<'a> {
    /// The task.
    pub task: TaskId,
    /// Its outcome.
    pub outcome: &'a Outcome,
    /// Its trace, where it is at hand.
    pub trace: Option<TraceId>,
}

impl Event for TaskSettled<'_> {
    fn record(self, metrics: &Metrics) {
        let status = self.outcome.verdict.status().name();
        let reason = self.outcome.verdict.reason().map_or("", |reason| reason.name());
        metrics.inner.outcomes.get_or_create(&OutcomeLabels { status, reason }).inc();
        let trace = self.trace.map(tracing::field::display);
        tracing::debug!(task = %self.task, status, reason, trace, "settled");
    }
}

/// A stale attempt told something.
#[derive(Debug)]
pub struct LateReportKept<'a> {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// Who told it.
    pub agent: &'a AgentId,
}

impl Event for LateReportKept<'_> {
    fn record(self, metrics: &Metrics) {
        metrics.inner.late_reports.inc();
        let (task, attempt, agent) = (self.task, self.attempt, self.agent);
        tracing::debug!(%task, %attempt, %agent, "late report kept, without effect");
    }
}

/// An agent was granted a credential.
#[derive(Debug)]
pub struct AgentJoined<'a> {
    /// Which.
    pub agent: &'a AgentId,
}

impl Event for AgentJoined<'_> {
    fn record(self, metrics: &Metrics) {
        metrics.inner.joins.inc();
        tracing::info!(agent = %self.agent, "agent joined");
    }
}

/// A message was handed to the link.
#[derive(Debug, Clone, Copy)]
pub struct MessageSent;

impl Event for MessageSent {
    fn record(self, metrics: &Metrics) {
        metrics.inner.sent.inc();
    }
}

/// Which way a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From an agent to the core.
    Received,
    /// From the core to an agent.
    Sent,
}

/// Why a message was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropCause {
    /// It came on a topic that is none of the protocol's.
    UnknownTopic,
    /// No agent of this id has a credential.
    UnknownAgent,
    /// Its seal is missing or wrong.
    WrongSeal,
    /// It cannot be read, or speaks another version.
    Malformed,
    /// A join names a nonce that is none.
    BadNonce,
    /// The link's queue is full.
    LinkFull,
    /// The link is down.
    LinkDown,
    /// It is larger than a message may be.
    TooLarge,
    /// The broker did not take it.
    BrokerRefused,
}

impl DropCause {
    /// How many causes there are.
    pub(super) const COUNT: usize = 9;

    fn name(self) -> &'static str {
        match self {
            Self::UnknownTopic => "unknown_topic",
            Self::UnknownAgent => "unknown_agent",
            Self::WrongSeal => "wrong_seal",
            Self::Malformed => "malformed",
            Self::BadNonce => "bad_nonce",
            Self::LinkFull => "link_full",
            Self::LinkDown => "link_down",
            Self::TooLarge => "too_large",
            Self::BrokerRefused => "broker_refused",
        }
    }

    /// Whether a person should hear of it here. A link that is down or may not publish has said so
    /// itself, and an agent of another core is none of this core's business.
    fn is_told(self) -> bool {
        !matches!(self, Self::UnknownAgent | Self::LinkDown | Self::BrokerRefused)
    }
}

macro_rules! label_by_name {
    ($type:ty, $name:expr) => {
        impl EncodeLabelValue for $type {
            fn encode(
                &self,
                encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
            ) -> Result<(), std::fmt::Error> {
                let name: fn(Self) -> &'static str = $name;
                name(*self).encode(encoder)
            }
        }
    };
}

label_by_name!(DropCause, DropCause::name);
label_by_name!(Direction, |direction| match direction {
    Direction::Received => "received",
    Direction::Sent => "sent",
});

/// A message was dropped. Counted each time, logged at a bounded rate.
pub struct MessageDropped<'a> {
    direction: Direction,
    cause: DropCause,
    about: &'a str,
    detail: &'a dyn Display,
}

impl<'a> MessageDropped<'a> {
    /// One that came in; `about` names the agent or the topic.
    #[must_use]
    pub fn received(cause: DropCause, about: &'a str, detail: &'a dyn Display) -> Self {
        Self { direction: Direction::Received, cause, about, detail }
    }

    /// One that was to go out.
    #[must_use]
    pub fn sent(cause: DropCause, about: &'a str, detail: &'a dyn Display) -> Self {
        Self { direction: Direction::Sent, cause, about, detail }
    }
}

impl Event for MessageDropped<'_> {
    fn record(self, metrics: &Metrics) {
        let Self { direction, cause, about, detail } = self;
        metrics.inner.dropped.get_or_create(&DropLabels { direction, cause }).inc();
        if !cause.is_told() {
            tracing::trace!(?direction, cause = cause.name(), about, %detail, "message dropped");
            return;
        }
        let now = metrics.inner.clock.now().mono;
        // `about` may be a stranger's text: escaped, and no longer than a topic of ours.
        let about: String = about.chars().take(100).collect();
        if let Some(held_back) = metrics.inner.drops_told[cause as usize].admit(now) {
            let cause = cause.name();
            tracing::warn!(?direction, cause, ?about, %detail, held_back, "message dropped");
        }
    }
}

/// How the link to the broker stands.
pub enum LinkState<'a> {
    /// Connected.
    Up,
    /// Not connected.
    Down(&'a dyn Display),
    /// Not connected, and waiting alone will not help.
    Refused(&'a dyn Display),
}

/// The link to the broker changed.
pub struct LinkChanged<'a> {
    /// How it stands now.
    pub state: LinkState<'a>,
}

impl Event for LinkChanged<'_> {
    fn record(self, metrics: &Metrics) {
        let up = matches!(self.state, LinkState::Up);
        metrics.inner.link_up.set(i64::from(up));
        if !up {
            metrics.inner.link_losses.inc();
        }
        // The link writes its own lines for people; these are for following one event.
        match self.state {
            LinkState::Up => tracing::debug!("link to the broker is up"),
            LinkState::Down(reason) => tracing::debug!(%reason, "link to the broker is down"),
            LinkState::Refused(reason) => {
                tracing::debug!(%reason, "the broker does not let the core in");
            }
        }
    }
}

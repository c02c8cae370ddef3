//! Topics of others, as schedules hear them: what became of messages, and which filters the broker does
//! not grant.

use std::fmt::Display;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use shared::schedule::TopicFilter;

use super::throttle::Throttle;
use super::{Event, Metrics};

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageFate {
    /// The schedules that listen have heard it.
    Taken,
    /// More came than could be taken.
    Dropped,
    /// It is longer than what reaches a task.
    TooLarge,
}

impl MessageFate {
    fn name(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Dropped => "dropped",
            Self::TooLarge => "too_large",
        }
    }
}

impl EncodeLabelValue for MessageFate {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        self.name().encode(encoder)
    }
}

/// Labels of a message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FateLabel {
    fate: MessageFate,
}

/// The metrics of topics.
#[derive(Debug, Default)]
pub(super) struct TopicMetrics {
    messages: Family<FateLabel, Counter>,
    wanted: Gauge,
    refused: Gauge,
    told: Throttle,
}

impl TopicMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "Messages on topics that schedules listen to, by what became of them";
        registry.register("topic_messages", help, self.messages.clone());
        let help = "Topic filters that schedules listen to";
        registry.register("topic_filters", help, self.wanted.clone());
        let help = "Topic filters that the broker does not grant";
        registry.register("topic_filters_refused", help, self.refused.clone());
    }
}

/// Messages came, and this became of them. What is lost is told at a bounded rate.
#[derive(Debug, Clone, Copy)]
pub struct TopicMessages {
    /// What.
    pub fate: MessageFate,
    /// How many.
    pub count: u64,
}

impl Event for TopicMessages {
    fn record(self, metrics: &Metrics) {
        let Self { fate, count } = self;
        let topics = &metrics.inner.topics;
        topics.messages.get_or_create(&FateLabel { fate }).inc_by(count);
        if fate == MessageFate::Taken {
            tracing::trace!(count, "messages heard by schedules");
        } else if let Some(held_back) = topics.told.admit(metrics.inner.clock.now().mono) {
            let fate = fate.name();
            tracing::warn!(fate, count, held_back, "messages that schedules listen to are lost");
        }
    }
}

/// The broker does not grant a filter.
pub struct TopicRefused<'a> {
    /// Which.
    pub filter: &'a TopicFilter,
    /// Its reason.
    pub reason: &'a dyn Display,
    /// Whether it was granted, or not asked for, before.
    pub first: bool,
}

impl Event for TopicRefused<'_> {
    fn record(self, _: &Metrics) {
        let Self { filter, reason, first } = self;
        if first {
            tracing::warn!(%filter, %reason, "schedules that listen to this hear nothing");
        } else {
            tracing::debug!(%filter, %reason, "still not granted");
        }
    }
}

/// How many filters are listened to.
#[derive(Debug, Clone, Copy)]
pub struct TopicsWanted {
    /// By schedules.
    pub wanted: usize,
    /// And are not granted.
    pub refused: usize,
}

impl Event for TopicsWanted {
    fn record(self, metrics: &Metrics) {
        let topics = &metrics.inner.topics;
        topics.wanted.set(i64::try_from(self.wanted).unwrap_or(i64::MAX));
        topics.refused.set(i64::try_from(self.refused).unwrap_or(i64::MAX));
    }
}

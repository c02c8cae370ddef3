//! Who follows events and logs: how many, how far the slowest of them is behind, what they were
//! told to be missing, and how their connections ended. Each follower holds a [`Place`] and says
//! there how it gets on; how they stand is looked up at each scrape.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

/// What is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Followed {
    /// `GET /v1/events`.
    Events,
    /// `GET /v1/tasks/{id}/logs`, with `follow` or without.
    Logs,
}

impl Followed {
    const ALL: [Self; 2] = [Self::Events, Self::Logs];

    fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Logs => "logs",
        }
    }
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All was told that will come, or the core stops.
    Told,
    /// The client left.
    Left,
    /// The client did not read, and was cut off.
    Cut,
    /// The store could not be read.
    Failed,
}

impl Ended {
    fn name(self) -> &'static str {
        match self {
            Self::Told => "told",
            Self::Left => "left",
            Self::Cut => "cut",
            Self::Failed => "failed",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FollowedLabel {
    followed: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndedLabels {
    followed: &'static str,
    how: &'static str,
}

/// How one of them stands.
#[derive(Debug, Clone, Copy)]
struct Standing {
    followed: Followed,
    /// Since when it has not had everything; `None` while it waits for more.
    behind_since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Table {
    last: u64,
    standing: BTreeMap<u64, Standing>,
}

/// The metrics of those who follow. Copies count into the same series.
#[derive(Debug, Clone, Default)]
pub struct Followers {
    table: Arc<Mutex<Table>>,
    gaps: Family<FollowedLabel, Counter>,
    ended: Family<EndedLabels, Counter>,
}

impl Followers {
    /// Makes them and adds them to a registry.
    pub fn register(registry: &mut Registry) -> Self {
        let followers = Self::default();
        let help = "Times that a follower was told that something is missing";
        registry.register("ambit_follower_gaps", help, followers.gaps.clone());
        let help = "Connections of followers that ended, by how";
        registry.register("ambit_followers_ended", help, followers.ended.clone());
        registry.register_collector(Box::new(Standings(Arc::clone(&followers.table))));
        followers
    }

    /// Somebody follows, and has everything to be told yet.
    #[must_use]
    pub fn begin(&self, followed: Followed) -> Place {
        let mut table = lock(&self.table);
        table.last += 1;
        let number = table.last;
        table.standing.insert(number, Standing { followed, behind_since: Some(Instant::now()) });
        drop(table);
        Place { followers: self.clone(), followed, number, ended: Ended::Left }
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    // Each change is one assignment: a panic leaves nothing half done.
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One who follows. Its end is counted when this is dropped: as the client's, if nothing else was
/// said.
#[derive(Debug)]
pub struct Place {
    followers: Followers,
    followed: Followed,
    number: u64,
    ended: Ended,
}

impl Place {
    /// It has been handed everything that there is, or there is more for it again.
    pub fn has_all(&self, has_all: bool) {
        if let Some(standing) = lock(&self.followers.table).standing.get_mut(&self.number) {
            standing.behind_since = match (has_all, standing.behind_since) {
                (true, _) => None,
                (false, Some(since)) => Some(since),
                (false, None) => Some(Instant::now()),
            };
        }
    }

    /// It was told that something is missing.
    pub fn tell_gaps(&self, count: u64) {
        // Not even a series of zero for who was never told of any.
        if count > 0 {
            let label = FollowedLabel { followed: self.followed.name() };
            self.followers.gaps.get_or_create(&label).inc_by(count);
        }
    }

    /// Why it is about to end.
    pub fn end(&mut self, ended: Ended) {
        self.ended = ended;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.followers.table).standing.remove(&self.number);
        let labels = EndedLabels { followed: self.followed.name(), how: self.ended.name() };
        self.followers.ended.get_or_create(&labels).inc();
    }
}

/// Looks how they stand.
#[derive(Debug)]
struct Standings(Arc<Mutex<Table>>);

impl Collector for Standings {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let standing: Vec<Standing> = lock(&self.0).standing.values().copied().collect();
        let now = Instant::now();
        let of = |followed| standing.iter().filter(move |one| one.followed == followed);
        let count = |followed| of(followed).count() as f64;
        let lag = |followed| {
            let behind = of(followed).filter_map(|one| one.behind_since);
            let longest = behind.map(|since| now.saturating_duration_since(since)).max();
            longest.unwrap_or_default().as_secs_f64()
        };
        let mut gauge = |name, help, unit, value: &dyn Fn(Followed) -> f64| {
            let mut encoder = encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?;
            Followed::ALL.into_iter().try_for_each(|followed| {
                let label = FollowedLabel { followed: followed.name() };
                ConstGauge::new(value(followed)).encode(encoder.encode_family(&label)?)
            })
        };
        gauge("ambit_followers", "Connections that follow", None, &count)?;
        let help = "For how long the slowest follower has not had everything that there is";
        gauge("ambit_follower_lag", help, Some(&Unit::Seconds), &lag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus_client::encoding::text::encode;

    fn text(registry: &Registry) -> String {
        let mut text = String::new();
        encode(&mut text, registry).expect("encode");
        text
    }

    fn lag(registry: &Registry) -> f64 {
        let text = text(registry);
        let name = "ambit_follower_lag_seconds{followed=\"events\"} ";
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.expect("a lag").parse().expect("a number")
    }

    #[test]
    fn who_follows_is_counted_until_it_ends() {
        let mut registry = Registry::default();
        let followers = Followers::register(&mut registry);
        let mut first = followers.begin(Followed::Events);
        let second = followers.begin(Followed::Events);
        let has = |line: &str| {
            let text = text(&registry);
            assert!(text.lines().any(|found| found == line), "{line} is missing from\n{text}");
        };
        has("ambit_followers{followed=\"events\"} 2.0");
        has("ambit_followers{followed=\"logs\"} 0.0");
        second.tell_gaps(2);
        first.end(Ended::Cut);
        drop((first, second));
        has("ambit_followers{followed=\"events\"} 0.0");
        has("ambit_follower_gaps_total{followed=\"events\"} 2");
        has("ambit_followers_ended_total{followed=\"events\",how=\"cut\"} 1");
        has("ambit_followers_ended_total{followed=\"events\",how=\"left\"} 1");
    }

    #[test]
    fn the_slowest_counts_and_who_has_all_is_not_behind() {
        let mut registry = Registry::default();
        let followers = Followers::register(&mut registry);
        let (quick, slow) = (followers.begin(Followed::Events), followers.begin(Followed::Events));
        quick.has_all(true);
        assert!(lag(&registry) > 0.0, "one has had nothing yet");
        let before = lag(&registry);
        slow.has_all(false);
        assert!(lag(&registry) >= before, "more to tell makes it no less late");
        slow.has_all(true);
        assert_eq!(lag(&registry), 0.0);
        quick.has_all(false);
        assert!(lag(&registry) > 0.0);
    }
}

//! What is over: old settled tasks are taken away a few at a time, in transactions of their own. While
//! there are decisions to be made this takes a small share of the driver's time; when there are none
//! it goes on at once. However busy it is, more goes than comes.

use std::time::{Duration, Instant};

use cloud_core_logic::change::Change;
use shared_runtime::clock::Clock;

use crate::observe::{HistoryNotPruned, HistoryStep, Metrics};
use crate::store::{HistoryBounds, Store};

/// How much is taken away at once while others wait, and while nobody does or there is too much.
const EFFORT_BUSY: usize = 128;
const EFFORT_MOST: usize = 256;
/// Of a busy driver's time, one part in so many is for this.
const SHARE_BUSY: u32 = 8;
/// While there is more to take away, this many tasks that are settled make a step due, whatever its
/// share of the time: four times as much goes as comes, for tasks have logs.
const SETTLED_MAX: usize = EFFORT_MOST / 4;
/// How often to look whether there is something to take away.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// When to take away what.
pub(super) struct History {
    bounds: HistoryBounds,
    next: Instant,
    /// Whether there was more to take away than the last step did.
    behind: bool,
    /// How many tasks were settled since.
    settled: usize,
}

impl History {
    pub(super) fn new(bounds: HistoryBounds) -> Self {
        Self { bounds, next: Instant::now(), behind: false, settled: 0 }
    }

    /// Notes what is on disk now.
    pub(super) fn note(&mut self, changes: &[Change]) {
        let settled = |change: &&Change| match change {
            Change::TaskMoved { life, .. } => life.state.status().is_settled(),
            _ => false,
        };
        self.settled += changes.iter().filter(settled).count();
    }

    /// How long until there is something to do here.
    pub(super) fn wait(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }

    /// Takes a few tasks away, when it is time to.
    pub(super) fn prune(
        &mut self,
        busy: bool,
        store: &mut dyn Store,
        clock: &Clock,
        metrics: &Metrics,
    ) {
        let begun = Instant::now();
        let falls_back = self.behind && self.settled >= SETTLED_MAX;
        if begun < self.next && !falls_back {
            return;
        }
        let effort = if busy && !falls_back { EFFORT_BUSY } else { EFFORT_MOST };
        self.settled = 0;
        match store.prune_history(&self.bounds, effort, clock.now().wall) {
            Ok(pruned) => {
                let took = begun.elapsed();
                metrics.record(HistoryStep { pruned, took });
                self.behind = pruned.more;
                self.next = begun
                    + match (pruned.more, busy) {
                        (false, _) => INTERVAL,
                        (true, true) => took * SHARE_BUSY,
                        (true, false) => took,
                    };
            }
            Err(error) => {
                (self.next, self.behind) = (begun + PAUSE, false);
                metrics.record(HistoryNotPruned { error: &error });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;

    use super::*;
    use crate::store::MemoryStore;
    use crate::store::conformance::sample::{CORE, added, moved, settled, task_row};

    #[test]
    fn more_goes_than_comes_even_when_there_is_no_time() {
        let mut store = MemoryStore::new(CORE);
        let done = |number| [added(&task_row(number)), moved(number, settled(1, "a", 0))];
        let changes: Vec<Change> = (1..=1_000).flat_map(done).collect();
        store.commit(&changes).expect("commit");
        let metrics = Metrics::register(&mut Registry::default());
        let bounds = HistoryBounds { count_max: 0, ..HistoryBounds::default() };
        let kept = |store: &mut MemoryStore| {
            let all = HistoryBounds { count_max: u64::MAX, keep_hours: 1_000_000, ..bounds };
            store.prune_history(&all, 0, Clock::new().now().wall).expect("counted").tasks_kept
        };
        let mut history = History::new(bounds);
        let clock = Clock::new();
        let step = |history: &mut History, store: &mut MemoryStore| {
            history.prune(true, store, &clock, &metrics);
            // Its share of the time is used up for long.
            history.next = Instant::now() + Duration::from_secs(3_600);
            kept(store)
        };
        assert_eq!(step(&mut history, &mut store), 1_000 - EFFORT_BUSY as u64);
        history.note(&changes[..2 * SETTLED_MAX - 2]);
        assert_eq!(step(&mut history, &mut store), 1_000 - EFFORT_BUSY as u64);
        history.note(&changes[..2]);
        let left = (1_000 - EFFORT_BUSY - EFFORT_MOST) as u64;
        assert_eq!(step(&mut history, &mut store), left);
        assert_eq!(step(&mut history, &mut store), left, "nothing was settled since");
    }
}

//! What is over: old settled tasks are taken away a few at a time, in transactions of their own. While
//! there are decisions to be made this takes a small share of the driver's time; when there are none
//! it goes on at once.

use std::time::{Duration, Instant};

use shared_runtime::clock::Clock;

use crate::observe::{HistoryNotPruned, HistoryStep, Metrics};
use crate::store::{HistoryBounds, Store};

/// How many tasks are taken away at once while others wait, and while nobody does.
const EFFORT_BUSY: usize = 128;
const EFFORT_IDLE: usize = 256;
/// Of a busy driver's time, one part in so many is for this: about three thousand tasks per second,
/// more than it can settle at the same time.
const SHARE_BUSY: u32 = 8;
/// How often to look whether there is something to take away.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// When to take away what.
pub(super) struct History {
    bounds: HistoryBounds,
    next: Instant,
}

impl History {
    pub(super) fn new(bounds: HistoryBounds) -> Self {
        Self { bounds, next: Instant::now() }
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
        if begun < self.next {
            return;
        }
        let effort = if busy { EFFORT_BUSY } else { EFFORT_IDLE };
        match store.prune_history(&self.bounds, effort, clock.now().wall) {
            Ok(pruned) => {
                let took = begun.elapsed();
                metrics.record(HistoryStep { pruned, took });
                self.next = begun
                    + match (pruned.more, busy) {
                        (false, _) => INTERVAL,
                        (true, true) => took * SHARE_BUSY,
                        (true, false) => took,
                    };
            }
            Err(error) => {
                self.next = begun + PAUSE;
                metrics.record(HistoryNotPruned { error: &error });
            }
        }
    }
}

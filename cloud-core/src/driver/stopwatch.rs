//! The driver's clock beside the decisions, which have none: how long each placement takes.

use std::time::Instant;

use cloud_core_logic::Watch;

use crate::observe::{Metrics, PlacementsTried};

/// Times the placements of one step.
pub(super) struct Stopwatch<'a> {
    metrics: &'a Metrics,
    /// When the last placement ended.
    lap: Instant,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn new(metrics: &'a Metrics) -> Self {
        Self { metrics, lap: Instant::now() }
    }
}

impl Watch for Stopwatch<'_> {
    fn placing(&mut self) {
        self.lap = Instant::now();
    }

    fn placed(&mut self, tasks: usize) {
        let now = Instant::now();
        self.metrics.record(PlacementsTried { tasks, took: now - self.lap });
        self.lap = now;
    }
}

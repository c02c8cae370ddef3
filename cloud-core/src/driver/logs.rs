//! The lane of logs: chunks wait here, a bounded number of them, until the driver has nothing to
//! decide, or until they have waited for a moment. They are written in transactions of their own,
//! so that no decision waits for them or fails with them. What is not written is not
//! acknowledged, and its agent sends it again.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use shared::id::{AgentId, AssignmentId};
use shared::wire::Downlink;
use shared::wire::uplink::LogChunk;
use shared_runtime::clock::Clock;
use tokio::sync::mpsc;

use super::Outbound;
use crate::observe::{LogsDropped, LogsGivenUp, LogsKept, LogsNotKept, LogsPruned, Metrics};
use crate::store::{AgentLogs, LogBounds, LogDrop, Store};

/// The most chunks written in one transaction.
const CHUNKS_MAX: usize = 64;
/// How much text is written in one transaction before the rest has to wait for the next, in bytes.
const BYTES_MAX: usize = 256 * 1024;
/// How long logs wait at most while there are decisions to be made.
const PATIENCE: Duration = Duration::from_millis(250);
/// How often to look for logs that are too old, and again while there are more of them.
const PRUNE_INTERVAL: Duration = Duration::from_secs(60);
const PRUNE_AGAIN: Duration = Duration::from_secs(1);

/// The lane.
pub(super) struct Logs {
    lane: mpsc::Receiver<AgentLogs>,
    bounds: LogBounds,
    /// What was taken from the lane and is not written yet, and since when.
    waiting: Vec<AgentLogs>,
    since: Instant,
    prune_at: Instant,
}

impl Logs {
    pub(super) fn new(lane: mpsc::Receiver<AgentLogs>, bounds: LogBounds) -> Self {
        let now = Instant::now();
        Self { lane, bounds, waiting: Vec::new(), since: now, prune_at: now }
    }

    /// Waits until there is something to be written. Losing the race in a `select!` loses nothing.
    pub(super) async fn arrive(&mut self) {
        if self.waiting.is_empty() {
            match self.lane.recv().await {
                Some(logs) => self.take(logs),
                // Nobody can send any more.
                None => std::future::pending().await,
            }
        }
    }

    /// Looks whether something is to be written, without waiting: decisions that never cease must not
    /// keep it out.
    pub(super) fn notice(&mut self) {
        if self.waiting.is_empty()
            && let Ok(logs) = self.lane.try_recv()
        {
            self.take(logs);
        }
    }

    fn take(&mut self, logs: AgentLogs) {
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        self.waiting.push(logs);
    }

    /// Whether it is time to write: nothing else is to be done, or logs have waited for long.
    pub(super) fn are_due(&self, busy: bool) -> bool {
        !self.waiting.is_empty() && (!busy || self.since.elapsed() >= PATIENCE)
    }

    /// Writes a bounded share of what waits, and tells its agents.
    pub(super) fn write(
        &mut self,
        store: &mut dyn Store,
        outbound: &mut dyn Outbound,
        clock: &Clock,
        metrics: &Metrics,
    ) {
        let mut bytes = self.waiting.iter().map(|logs| size(&logs.chunk)).sum::<usize>();
        while self.waiting.len() < CHUNKS_MAX && bytes < BYTES_MAX {
            let Ok(logs) = self.lane.try_recv() else { break };
            bytes += size(&logs.chunk);
            self.waiting.push(logs);
        }
        let logs = std::mem::take(&mut self.waiting);
        let begun = Instant::now();
        let kept = match store.keep_logs(&logs, &self.bounds, clock.now().wall) {
            Ok(kept) => kept,
            Err(error) => {
                metrics.record(LogsNotKept { chunks: logs.len(), error: &error });
                return;
            }
        };
        let took = begun.elapsed();
        let text: u64 = kept.fates.iter().map(|fate| fate.kept).sum();
        metrics.record(LogsKept { chunks: logs.len(), text, bytes: kept.bytes, took });
        // Of several chunks about one attempt the last one says it all.
        let mut told: BTreeMap<(AgentId, AssignmentId), u64> = BTreeMap::new();
        for (logs, fate) in logs.into_iter().zip(kept.fates) {
            let assignment = logs.chunk.assignment;
            if let Some(cause) = fate.dropped {
                metrics.record(LogsDropped { agent: &logs.agent, assignment, cause });
            }
            if let Some(upto) = fate.acked {
                told.insert((logs.agent, assignment), upto);
            }
        }
        for ((agent, assignment), upto) in told {
            outbound.send(&agent, &Downlink::LogsAcked { assignment, upto });
        }
    }

    /// Takes a few logs away whatever their age: there is no room for decisions, which go first.
    pub(super) fn make_room(&mut self, store: &mut dyn Store, clock: &Clock, metrics: &Metrics) {
        let nothing = LogBounds { bytes_max: 0, ..self.bounds };
        match store.prune_logs(&nothing, clock.now().wall) {
            Ok(pruned) => metrics.record(LogsGivenUp { bytes: pruned.bytes }),
            Err(error) => tracing::debug!(%error, "logs cannot be taken away now"),
        }
    }

    /// Takes a few old logs away, when it is time to look for them.
    pub(super) fn prune(&mut self, store: &mut dyn Store, clock: &Clock, metrics: &Metrics) {
        let begun = Instant::now();
        if begun < self.prune_at {
            return;
        }
        self.prune_at = begun + PRUNE_INTERVAL;
        match store.prune_logs(&self.bounds, clock.now().wall) {
            Ok(pruned) => {
                metrics.record(LogsPruned { bytes: pruned.bytes });
                if pruned.more {
                    self.prune_at = begun + PRUNE_AGAIN;
                }
            }
            Err(error) => tracing::debug!(%error, "old logs cannot be taken away now"),
        }
    }
}

/// About how much a chunk holds, in bytes.
fn size(chunk: &LogChunk) -> usize {
    let text = |piece: &shared::wire::uplink::LogPiece| match piece {
        shared::wire::uplink::LogPiece::Text { text, .. } => text.len(),
        shared::wire::uplink::LogPiece::Gap { .. } => 0,
    };
    chunk.pieces.iter().map(|piece| text(piece) + 64).sum()
}

/// The way in for logs of agents. Never waits: there may be no room.
#[derive(Debug, Clone)]
pub(super) struct LogLane(pub(super) mpsc::Sender<AgentLogs>);

impl LogLane {
    /// Puts a chunk into the lane, unless that is full.
    pub(super) fn offer(&self, logs: AgentLogs) -> Result<(), LogDrop> {
        self.0.try_send(logs).map_err(|_| LogDrop::LaneFull)
    }
}

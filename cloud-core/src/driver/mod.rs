//! Runs the core: one thread owns the decisions and the store. It takes a batch of inputs, steps,
//! commits every change in one transaction, and only then says anything to anybody. This file is
//! its outside: the handle for callers, the way in for the link, and how it is started.

mod handle;
mod history;
mod logs;
mod outbound;
mod repack;
mod run;
mod speak;
mod stopwatch;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cloud_core_logic::change::Stored;
use cloud_core_logic::placement::Policy;
use cloud_core_logic::{Cloud, Input, Settings};
use shared::id::AgentId;
use shared::schedule::{TopicFilter, Zones};
use shared::wire::uplink::LogChunk;
use shared_runtime::clock::Clock;
use tokio::sync::{mpsc, oneshot, watch};

use crate::export::TraceLane;
use crate::observe::{DriverStopped, Metrics};
use crate::store::{AgentLogs, HistoryBounds, LogBounds, LogDrop, Store, StoreError};
use history::History;
use logs::{LogLane, Logs};
use run::Run;

pub use handle::{Core, CoreBusy, FleetView, KeyMark, Readiness, TaskView};
pub use outbound::Outbound;

/// The driver's own bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Bounds {
    /// How many requests may wait to be decided; more are refused.
    pub requests_max: usize,
    /// How many messages of agents may wait to be decided; more wait in the broker.
    pub uplinks_max: usize,
    /// How many inputs are decided and committed together, at most.
    pub batch_max: usize,
    /// How many chunks of logs may wait to be written; more are dropped, and sent again.
    pub logs_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { requests_max: 16_384, uplinks_max: 16_384, batch_max: 2_048, logs_max: 256 }
    }
}

/// What a driver works with.
pub struct Parts {
    /// What the store held when it was loaded.
    pub stored: Stored,
    /// The store.
    pub store: Box<dyn Store>,
    /// The way to the agents.
    pub outbound: Box<dyn Outbound>,
    /// How to decide.
    pub settings: Settings,
    /// How to place.
    pub policy: Policy,
    /// What time it is where.
    pub zones: Arc<dyn Zones>,
    /// Who is told which topics schedules listen to.
    pub topics: watch::Sender<BTreeSet<TopicFilter>>,
    /// The driver's own bounds.
    pub bounds: Bounds,
    /// How much to keep of logs.
    pub logs: LogBounds,
    /// How much to keep of what is over.
    pub history: HistoryBounds,
    /// Where to count.
    pub metrics: Metrics,
    /// Where the traces of settled tasks go.
    pub traces: TraceLane,
}

/// Why a driver ended that nobody had asked to.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// The store failed in a way that does not pass.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A bug; the log has the place.
    #[error(
        "the core stopped by a bug; the message above says where. Start it again: nothing acknowledged is lost"
    )]
    Panicked,
    /// The system gives no thread.
    #[error("cannot start the core's thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// The way in for messages of agents. Waits when the driver is behind, so that the broker does.
#[derive(Debug, Clone)]
pub struct Uplinks {
    inputs: mpsc::Sender<Input>,
    logs: LogLane,
}

/// The driver is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped;

impl Uplinks {
    /// Passes an input on, waiting for room.
    ///
    /// # Errors
    /// When the driver is gone.
    pub async fn send(&self, input: Input) -> Result<(), Stopped> {
        self.inputs.send(input).await.map_err(|_| Stopped)
    }

    /// Passes a piece of a log on, if there is room for it. It goes past the decisions.
    ///
    /// # Errors
    /// When there is no room; the agent will send it again.
    pub fn offer_logs(&self, agent: AgentId, chunk: LogChunk) -> Result<(), LogDrop> {
        self.logs.offer(AgentLogs { agent, chunk })
    }
}

/// Ends the driver, or waits for its end. Dropping it asks the driver to stop.
#[derive(Debug)]
pub struct DriverHandle {
    stop: watch::Sender<bool>,
    ended: Option<oneshot::Receiver<Result<(), DriverError>>>,
}

impl DriverHandle {
    /// Waits for the driver's end. Losing the race in a `select!` loses nothing.
    ///
    /// # Errors
    /// Why it ended, unless it was asked to. Told once.
    pub async fn ended(&mut self) -> Result<(), DriverError> {
        let Some(ended) = &mut self.ended else {
            return Ok(());
        };
        let result = ended.await.unwrap_or(Err(DriverError::Panicked));
        self.ended = None;
        result
    }

    /// Stops it: what was taken is finished, what waits is refused.
    ///
    /// # Errors
    /// As [`DriverHandle::ended`].
    pub async fn stop(&mut self) -> Result<(), DriverError> {
        self.stop.send_replace(true);
        self.ended().await
    }
}

/// What the handle and the driver share.
#[derive(Debug, Default)]
struct Status {
    closing: AtomicBool,
    stopping: AtomicBool,
    store_failing: AtomicBool,
    broker_up: AtomicBool,
    /// Moves when events were committed, and when nobody need wait for any.
    events: watch::Sender<()>,
    /// How many idempotency keys were taken since the start.
    keys_taken: AtomicU64,
}

impl Status {
    fn set(flag: &AtomicBool, to: bool) {
        flag.store(to, Ordering::Release);
    }

    fn is(flag: &AtomicBool) -> bool {
        flag.load(Ordering::Acquire)
    }
}

/// Starts the driver on a thread of its own.
///
/// # Errors
/// When the system gives no thread.
pub fn start(parts: Parts) -> Result<(Core, Uplinks, DriverHandle), DriverError> {
    let clock = Arc::new(Clock::new());
    let status = Arc::new(Status::default());
    let (asking, asks) = mpsc::channel(parts.bounds.requests_max.max(1));
    let (uplinking, uplinks) = mpsc::channel(parts.bounds.uplinks_max.max(1));
    let (logging, logs) = mpsc::channel(parts.bounds.logs_max.max(1));
    let (stop, stopped) = watch::channel(false);
    let (ending, ended) = oneshot::channel();
    let core = Core::new(asking, parts.store.reader(), Arc::clone(&clock), Arc::clone(&status));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let metrics = parts.metrics.clone();
    let heartbeat_ms = parts.settings.heartbeat_ms;
    let body = move || {
        let guard = StoppingOnDrop(Arc::clone(&status));
        let cloud =
            Cloud::restore(parts.stored, parts.settings, parts.policy, parts.zones, clock.now());
        let run = Run::new(run::Inside {
            cloud,
            store: parts.store,
            outbound: parts.outbound,
            metrics: parts.metrics,
            traces: parts.traces,
            clock,
            status,
            asks,
            uplinks,
            logs: Logs::new(logs, parts.logs),
            history: History::new(parts.history),
            topics: parts.topics,
            stopped,
            batch_max: parts.bounds.batch_max.max(2),
            heartbeat_ms,
        });
        let result = runtime.block_on(run.run());
        let error = result.as_ref().err().map(|error| error as &dyn std::fmt::Display);
        metrics.record(DriverStopped { error });
        drop(guard);
        // Nobody may be waiting for it.
        let _ = ending.send(result);
    };
    std::thread::Builder::new().name("core-driver".to_owned()).spawn(body)?;
    let handle = DriverHandle { stop, ended: Some(ended) };
    Ok((core, Uplinks { inputs: uplinking, logs: LogLane(logging) }, handle))
}

/// However the driver ends, the handle says so.
struct StoppingOnDrop(Arc<Status>);

impl Drop for StoppingOnDrop {
    fn drop(&mut self) {
        Status::set(&self.0.stopping, true);
        self.0.events.send_replace(());
    }
}

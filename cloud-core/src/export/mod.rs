//! Traces to an OpenTelemetry collector, for those who have one. The driver names each task that is
//! settled and sampled, and waits for nothing; a thread of its own reads the task from the store,
//! makes its spans and sends them. What there is no room or no collector for is counted and let go:
//! telemetry never holds work up.

mod collector;
mod otlp;
mod run;
mod spans;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use shared::id::{CoreId, TaskId};
use tokio::sync::oneshot;

use crate::observe::{Metrics, TraceEnded, TraceFate};
use crate::store::Reader;
use collector::Collector;
pub use collector::{Endpoint, EndpointError, HeaderError, Headers};
use run::Run;

/// How many settled tasks may wait to be exported; more are dropped.
const QUEUE_MAX: usize = 16_384;

/// Where traces go.
#[derive(Debug, Clone)]
pub struct ExportSettings {
    /// The collector.
    pub endpoint: Endpoint,
    /// What it wants to be told with every request.
    pub headers: Headers,
}

/// The way in for tasks that are settled. One that leads nowhere costs nothing.
#[derive(Debug, Clone, Default)]
pub struct TraceLane(Option<Open>);

#[derive(Debug, Clone)]
struct Open {
    tasks: SyncSender<TaskId>,
    metrics: Metrics,
}

impl TraceLane {
    /// Has the trace of a settled task exported, if there is room. Never waits.
    pub fn offer(&self, task: TaskId) {
        let Some(Open { tasks, metrics }) = &self.0 else {
            return;
        };
        match tasks.try_send(task) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                metrics.record(TraceEnded { fate: TraceFate::Dropped, tasks: 1 });
            }
        }
    }
}

/// The thread that exports. It ends when every [`TraceLane`] is gone and what they brought is sent.
#[derive(Debug)]
pub struct Exporter {
    /// Dropped to let it wait for nothing any more.
    hurry: std::sync::mpsc::Sender<()>,
    ended: oneshot::Receiver<()>,
}

impl Exporter {
    /// Starts it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(
        settings: ExportSettings,
        core: CoreId,
        reader: Arc<dyn Reader>,
        metrics: Metrics,
    ) -> io::Result<(TraceLane, Self)> {
        let (sender, tasks) = sync_channel(QUEUE_MAX);
        let (hurry, hurried) = std::sync::mpsc::channel();
        let (ending, ended) = oneshot::channel();
        let collector = Collector::new(settings);
        let run = Run::new(tasks, hurried, reader, collector, core, metrics.clone());
        let body = move || {
            run.run();
            // Nobody may be waiting for it.
            let _ = ending.send(());
        };
        std::thread::Builder::new().name("trace-export".to_owned()).spawn(body)?;
        Ok((TraceLane(Some(Open { tasks: sender, metrics })), Self { hurry, ended }))
    }

    /// Waits until what was offered is sent, for so long at most. To be called when every lane is
    /// gone.
    pub async fn stop(self, within: Duration) {
        let Self { hurry, ended } = self;
        drop(hurry);
        if tokio::time::timeout(within, ended).await.is_err() {
            tracing::warn!("the collector was too slow for the last traces; they are lost");
        }
    }
}

//! The thread: gather, read, send, wait and send again. One request is under way at a time; what
//! comes meanwhile waits in the queue, which is bounded.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use shared::backoff::delay_ms;
use shared::id::{CoreId, TaskId};
use shared_runtime::clock::Clock;

use super::collector::{Collector, Refused, in_short};
use super::otlp::{Answer, Request};
use super::spans;
use crate::observe::{ExportFailed, ExportRecovered, Metrics, TraceEnded, TraceFate};
use crate::store::Reader;

/// How long spans may wait for others to be sent with.
const GATHER: Duration = Duration::from_secs(1);
/// How many tasks are gathered for one request, at most.
const TASKS_MAX: usize = 256;
/// How many spans make a request full.
const SPANS_MAX: usize = 2_048;
/// How often a request is sent that is not taken.
const TRIES_MAX: u32 = 5;
/// The first and the longest wait before it is sent again, in milliseconds.
const RETRY_MS: (u64, u64) = (1_000, 30_000);

/// What the thread works with.
pub(super) struct Run {
    tasks: Receiver<TaskId>,
    /// Closed when nothing is to be waited for any more.
    hurried: Receiver<()>,
    reader: Arc<dyn Reader>,
    collector: Collector,
    core: CoreId,
    metrics: Metrics,
    clock: Clock,
    /// Whether the last request was not taken: told once, not each time.
    failing: bool,
}

impl Run {
    pub(super) fn new(
        tasks: Receiver<TaskId>,
        hurried: Receiver<()>,
        reader: Arc<dyn Reader>,
        collector: Collector,
        core: CoreId,
        metrics: Metrics,
    ) -> Self {
        let clock = Clock::new();
        Self { tasks, hurried, reader, collector, core, metrics, clock, failing: false }
    }

    /// Until nobody can bring anything more, and what was brought is sent.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.tasks.recv() {
            let tasks = self.gather(first);
            self.export(&tasks);
        }
    }

    /// What comes within a moment after the first.
    fn gather(&self, first: TaskId) -> Vec<TaskId> {
        let mut tasks = vec![first];
        let until = Instant::now() + GATHER;
        while tasks.len() < TASKS_MAX {
            match self.tasks.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(task) => tasks.push(task),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        tasks
    }

    fn export(&mut self, tasks: &[TaskId]) {
        let mut request = Request::default();
        let mut count = 0;
        for id in tasks {
            match self.reader.task(*id) {
                Ok(task) => {
                    let task = task.as_ref();
                    if let Some((task, trace)) = task.and_then(|it| Some((it, it.trace.as_ref()?)))
                    {
                        let spans = spans::of(task);
                        count += u64::from(!spans.is_empty());
                        request.add(trace, spans);
                    }
                }
                Err(error) => {
                    self.failed(&format!("the store cannot be read: {error}"));
                    self.metrics.record(TraceEnded { fate: TraceFate::Failed, tasks: 1 });
                }
            }
            if request.len() >= SPANS_MAX {
                self.send(std::mem::take(&mut request), std::mem::take(&mut count));
            }
        }
        if request.len() > 0 {
            self.send(request, count);
        }
    }

    /// Sends a request until it is taken, or it is of no use, or there is no time.
    fn send(&mut self, request: Request, tasks: u64) {
        let body = request.body(self.core);
        for sent in 1.. {
            let (reason, again, after_ms) = match self.collector.send(body.clone()) {
                Ok(Answer::Taken) => return self.taken(TraceFate::Exported, tasks),
                Ok(Answer::Rejected { spans, message }) => {
                    let message = in_short(&message);
                    self.failed(&format!(
                        "it rejects {spans} of {} spans: {message}",
                        request.len()
                    ));
                    return self.count(TraceFate::Rejected, tasks);
                }
                Ok(Answer::Nonsense) => {
                    let reason = "it answers something that is not OTLP; is it a collector?";
                    (reason.to_owned(), false, None)
                }
                Err(Refused { reason, again, after_ms }) => (reason, again, after_ms),
            };
            self.failed(&reason);
            let chance = self.clock.now().chance;
            let wait_ms = delay_ms(sent, RETRY_MS.0, RETRY_MS.1, chance);
            let wait = Duration::from_millis(after_ms.unwrap_or(wait_ms));
            if !again || sent == TRIES_MAX || !self.wait(wait) {
                return self.count(TraceFate::Failed, tasks);
            }
        }
    }

    /// Waits; `false` when there is no time for it.
    fn wait(&self, wait: Duration) -> bool {
        matches!(self.hurried.recv_timeout(wait), Err(RecvTimeoutError::Timeout))
    }

    fn taken(&mut self, fate: TraceFate, tasks: u64) {
        if std::mem::take(&mut self.failing) {
            self.metrics.record(ExportRecovered { url: self.collector.url() });
        }
        self.count(fate, tasks);
    }

    fn failed(&mut self, reason: &str) {
        let first = !std::mem::replace(&mut self.failing, true);
        self.metrics.record(ExportFailed { url: self.collector.url(), reason, first });
    }

    fn count(&self, fate: TraceFate, tasks: u64) {
        self.metrics.record(TraceEnded { fate, tasks });
    }
}

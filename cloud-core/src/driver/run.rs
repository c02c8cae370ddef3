//! The loop: gather, step, commit, speak. Nothing of a batch is spoken before its transaction is
//! on disk; while that fails, the same transaction is tried again and nothing new is taken.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use cloud_core_logic::change::Change;
use cloud_core_logic::effect::Outcome;
use cloud_core_logic::{Cloud, Input, KEYS_MAX, ReplyTo, Submission, Submissions};
use shared::id::TaskId;
use shared::schedule::TopicFilter;
use shared::time::{Monotonic, Now};
use shared_runtime::clock::{Clock, new_uuid_v7};
use tokio::sync::{mpsc, watch};

use super::handle::{Ask, CoreBusy, FleetView, KeyMark, LookSlot, Slot, TaskView};
use super::history::History;
use super::logs::Logs;
use super::repack::Packing;
use super::stopwatch::Stopwatch;
use super::{DriverError, Outbound, Status, speak};
use crate::export::TraceLane;
use crate::observe::{
    BatchCommitted, BatchDecided, CommitFailed, CommitRecovered, InputTaken, Metrics, Queued,
};
use crate::store::{Store, StoreError};

/// The longest sleep: the clock that counts while the machine is suspended is asked at least this
/// often.
const SLEEP_MAX: Duration = Duration::from_secs(1);
/// The first and the longest wait before a failed commit is tried again.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// Counting walks over all tasks and agents: it may take this share of the driver's time.
const COUNTING_SHARE: u32 = 100;
/// And happens at most this often.
const COUNTING_INTERVAL: Duration = Duration::from_millis(500);

/// Rounds are never farther apart than [`SLEEP_MAX`] and the work between them, unless the machine
/// was asleep.
const ASLEEP_MS: u64 = 3_000;

/// What the loop works with.
pub(super) struct Inside {
    pub(super) cloud: Cloud,
    pub(super) store: Box<dyn Store>,
    pub(super) outbound: Box<dyn Outbound>,
    pub(super) metrics: Metrics,
    pub(super) traces: TraceLane,
    pub(super) clock: Arc<Clock>,
    pub(super) status: Arc<Status>,
    pub(super) asks: mpsc::Receiver<Ask>,
    pub(super) uplinks: mpsc::Receiver<Input>,
    pub(super) logs: Logs,
    pub(super) history: History,
    pub(super) topics: watch::Sender<BTreeSet<TopicFilter>>,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) batch_max: usize,
    /// A round that takes longer was deaf: its store was stuck.
    pub(super) heartbeat_ms: u64,
}

/// The running loop.
pub(super) struct Run {
    inside: Inside,
    /// Callers whose answer is not out yet.
    slots: HashMap<ReplyTo, Slot>,
    last_reply: u64,
    /// When counting may happen again, and whether it is due.
    counting_at: Instant,
    uncounted: bool,
    /// When the last round ended.
    rested: Monotonic,
    packing: Packing,
    /// Whether agents spoke and were not listened to for so long that their silence says nothing.
    deaf: bool,
}

/// Who only looks, and at which task.
type Look = (Option<TaskId>, LookSlot);

/// What is decided together.
#[derive(Default)]
struct Batch {
    uplinks: Vec<Input>,
    asks: Vec<Ask>,
}

/// How a wait ended.
enum Wait {
    /// There is something to do.
    Over,
    /// The driver is to stop.
    Stop,
}

impl Run {
    pub(super) fn new(inside: Inside) -> Self {
        Self {
            rested: inside.clock.now().mono,
            deaf: false,
            inside,
            slots: HashMap::new(),
            last_reply: 0,
            counting_at: Instant::now(),
            uncounted: true,
            packing: Packing::default(),
        }
    }

    /// Runs until it is asked to stop.
    pub(super) async fn run(mut self) -> Result<(), DriverError> {
        self.tell_topics();
        loop {
            let mut batch = Batch::default();
            let next = match self.gather(&mut batch).await {
                Wait::Over => self.decide(batch).await?,
                Wait::Stop => Wait::Stop,
            };
            if let Wait::Stop = next {
                self.refuse_waiting(CoreBusy::Stopping);
                return Ok(());
            }
        }
    }

    /// Waits for something to do, then takes what there is without waiting.
    async fn gather(&mut self, batch: &mut Batch) -> Wait {
        let sleep = self.sleep();
        let Inside { asks, uplinks, logs, stopped, batch_max, .. } = &mut self.inside;
        // Half for each, so that neither a storm of submissions nor one of heartbeats keeps the
        // other out.
        let half = *batch_max / 2;
        let idle = tokio::time::sleep(sleep);
        tokio::select! {
            biased;
            // An error says that the handle was dropped: nobody could stop this any more.
            _ = stopped.wait_for(|stop| *stop) => return Wait::Stop,
            _ = uplinks.recv_many(&mut batch.uplinks, half), if !uplinks.is_closed() || !uplinks.is_empty() => {}
            _ = asks.recv_many(&mut batch.asks, 1), if !asks.is_closed() || !asks.is_empty() => {}
            // Last: they wait for whatever else there is.
            () = logs.arrive() => {}
            () = idle => {}
        }
        while batch.uplinks.len() < half {
            let Ok(input) = uplinks.try_recv() else { break };
            batch.uplinks.push(input);
        }
        // One that brings many tasks counts as many.
        let mut weight = batch.uplinks.len() + batch.asks.iter().map(Ask::weight).sum::<usize>();
        while weight < *batch_max {
            let Ok(ask) = asks.try_recv() else { break };
            weight += ask.weight();
            batch.asks.push(ask);
        }
        logs.notice();
        Wait::Over
    }

    /// How long to sleep when nothing comes.
    fn sleep(&self) -> Duration {
        let counting = if self.uncounted {
            self.counting_at.saturating_duration_since(Instant::now())
        } else {
            SLEEP_MAX
        };
        let counting = counting.min(self.inside.history.wait());
        let Some(due) = self.inside.cloud.next_wakeup() else {
            return counting;
        };
        let due = Duration::from_millis(due.since_ms(self.inside.clock.now().mono));
        due.min(counting).min(SLEEP_MAX)
    }

    /// Steps, commits and speaks.
    async fn decide(&mut self, batch: Batch) -> Result<Wait, DriverError> {
        let now = self.inside.clock.now();
        let deaf = std::mem::take(&mut self.deaf) || now.mono.since_ms(self.rested) > ASLEEP_MS;
        let idle = batch.uplinks.is_empty() && batch.asks.is_empty();
        let due = self.inside.cloud.next_wakeup().is_some_and(|due| due <= now.mono);
        if !idle || due || deaf {
            let (mut inputs, looks) = self.inputs(batch, now);
            if deaf {
                // As after a loss of the link: every agent is given its time again.
                inputs.insert(0, Input::Broker { up: Status::is(&self.inside.status.broker_up) });
            }
            let count = inputs.len();
            let begun = Instant::now();
            let Inside { cloud, metrics, .. } = &mut self.inside;
            let outcome = cloud.step_watched(inputs, now, &mut Stopwatch::new(metrics));
            metrics.record(BatchDecided { took: begun.elapsed() });
            if let Wait::Stop = self.commit(&outcome.changes, count).await? {
                return Ok(Wait::Stop);
            }
            self.inside.history.note(&outcome.changes);
            self.speak(outcome, looks, now);
            self.tell_topics();
            self.uncounted = true;
        }
        self.packing.look(&mut self.inside.cloud).await;
        self.keep_logs();
        self.count();
        self.rested = self.inside.clock.now().mono;
        self.deaf = self.rested.since_ms(now.mono) > self.inside.heartbeat_ms;
        Ok(Wait::Over)
    }

    /// Turns what was gathered into inputs, and puts callers where their answers find them.
    fn inputs(&mut self, batch: Batch, now: Now) -> (Vec<Input>, Vec<Look>) {
        let mut inputs = batch.uplinks;
        let mut looks = Vec::new();
        for ask in batch.asks {
            if !self.knows_keys_of(&ask) {
                ask.refuse(CoreBusy::QUEUE_FULL);
                continue;
            }
            let input = match ask {
                Ask::Submit { spec, key, trace, slot, .. } => {
                    // Made here, so that ids have the order in which tasks are taken on: rows are
                    // added behind all others, and a list has nothing new behind its cursor.
                    let id = TaskId(new_uuid_v7(&now));
                    let reply = self.keep(slot);
                    Input::Submit(Box::new(Submission { id, spec, key, trace, reply }))
                }
                Ask::SubmitMany { tasks, slot, .. } => {
                    let reply = self.keep(slot);
                    Input::SubmitMany(Box::new(Submissions { tasks, reply }))
                }
                Ask::Cancel { task, slot } => Input::Cancel { task, reply: self.keep(slot) },
                Ask::Operate { agent, operation, slot } => {
                    Input::Operate { agent, operation, reply: self.keep(slot) }
                }
                Ask::SetPolicy { policy, only_over, slot } => {
                    Input::SetPolicy { policy, only_over, reply: self.keep(slot) }
                }
                Ask::Schedule { ask, slot } => ask.into_input(self.keep(slot)),
                Ask::Look { task, slot } => {
                    looks.push((task, slot));
                    continue;
                }
            };
            inputs.push(input);
        }
        for input in &inputs {
            self.inside.metrics.record(InputTaken { kind: speak::kind(input) });
            if let Input::Broker { up } = input {
                Status::set(&self.inside.status.broker_up, *up);
            }
        }
        (inputs, looks)
    }

    /// Whether the core remembers every key that was taken since it was looked up whether these
    /// are used; counts them, if so.
    fn knows_keys_of(&self, ask: &Ask) -> bool {
        let Some((count, KeyMark(mark))) = ask.keys() else {
            return true;
        };
        let taken = &self.inside.status.keys_taken;
        let after = taken.load(Ordering::Acquire) + count as u64;
        let knows = after.saturating_sub(mark) <= KEYS_MAX as u64;
        if knows {
            taken.store(after, Ordering::Release);
        }
        knows
    }

    fn keep(&mut self, slot: Slot) -> ReplyTo {
        self.last_reply += 1;
        let reply = ReplyTo(self.last_reply);
        self.slots.insert(reply, slot);
        reply
    }

    /// Brings the changes to disk, however long it takes.
    async fn commit(&mut self, changes: &[Change], inputs: usize) -> Result<Wait, DriverError> {
        if changes.is_empty() {
            return Ok(Wait::Over);
        }
        let mut failures = 0;
        let mut delay = RETRY_FIRST;
        loop {
            let begun = Instant::now();
            let Err(error) = self.inside.store.commit(changes) else {
                let took = begun.elapsed();
                let tells = matches!(changes.last(), Some(Change::Happened { .. }));
                let changes = changes.len();
                if tells {
                    self.inside.status.events.send_replace(());
                }
                self.inside.metrics.record(BatchCommitted { inputs, changes, took });
                if failures > 0 {
                    Status::set(&self.inside.status.store_failing, false);
                    self.inside.metrics.record(CommitRecovered { failures });
                }
                return Ok(Wait::Over);
            };
            // Before anything else, so that a caller who hears of the failure finds it there.
            Status::set(&self.inside.status.store_failing, true);
            if error.is_permanent() {
                self.refuse_waiting(CoreBusy::STORE_FAILING);
                return Err(error.into());
            }
            failures += 1;
            self.tell_failure(&error, failures);
            if let StoreError::Full { .. } = error {
                let Inside { logs, store, clock, metrics, .. } = &mut self.inside;
                logs.make_room(store.as_mut(), clock, metrics);
            }
            if let Wait::Stop = self.wait_to_retry(delay).await {
                return Ok(Wait::Stop);
            }
            delay = (delay * 2).min(RETRY_MAX);
        }
    }

    fn tell_failure(&self, error: &StoreError, failures: u64) {
        self.inside.metrics.record(CommitFailed { error, first: failures == 1 });
    }

    /// Waits before the next try, and refuses whoever asks meanwhile. Messages of agents stay
    /// where they are: their queue fills up and the broker keeps the rest.
    async fn wait_to_retry(&mut self, delay: Duration) -> Wait {
        let Inside { asks, stopped, .. } = &mut self.inside;
        let retry = tokio::time::sleep(delay);
        tokio::pin!(retry);
        loop {
            tokio::select! {
                biased;
                _ = stopped.wait_for(|stop| *stop) => return Wait::Stop,
                () = &mut retry => return Wait::Over,
                Some(ask) = asks.recv() => ask.refuse(CoreBusy::STORE_FAILING),
            }
        }
    }

    /// Says what follows from a batch that is on disk, in order.
    fn speak(&mut self, outcome: Outcome, looks: Vec<Look>, now: Now) {
        let Inside { cloud, outbound, metrics, traces, .. } = &mut self.inside;
        speak::observe(&outcome, metrics, traces);
        speak::put_credentials(&outcome.changes, outbound.as_mut());
        for effect in outcome.effects {
            speak::perform(effect, outbound.as_mut(), &mut self.slots);
        }
        if looks.is_empty() {
            return;
        }
        let wall = |at: Monotonic| {
            now.wall.plus_ms(i64::try_from(at.since_ms(now.mono)).unwrap_or(i64::MAX))
        };
        let fleet = Arc::new(FleetView {
            fleet: cloud.snapshot(),
            policy: cloud.policy().clone(),
            recovering_until: cloud.recovering_until().map(wall),
        });
        for (task, slot) in looks {
            let held = task.and_then(|task| cloud.held_until(task));
            let held_until = held.filter(|until| *until > now.mono).map(wall);
            // A caller who is gone does not mind.
            let _ = slot.send(Ok(TaskView { fleet: Arc::clone(&fleet), held_until }));
        }
    }

    /// Says which topics schedules listen to, if that has changed.
    fn tell_topics(&mut self) {
        if let Some(topics) = self.inside.cloud.take_topics() {
            self.inside.topics.send_if_modified(|told| {
                let differs = *told != topics;
                *told = topics;
                differs
            });
        }
    }

    /// Writes logs, when nothing waits to be decided or they have waited for long; when there is
    /// nothing else to do at all, takes old ones away; and now and then a few tasks that are over.
    fn keep_logs(&mut self) {
        let Inside { asks, uplinks, logs, history, store, outbound, clock, metrics, .. } =
            &mut self.inside;
        let busy = !uplinks.is_empty() || !asks.is_empty();
        if logs.are_due(busy) {
            logs.write(store.as_mut(), outbound.as_mut(), clock, metrics);
        }
        if !busy {
            logs.prune(store.as_mut(), clock, metrics);
        }
        history.prune(busy, store.as_mut(), clock, metrics);
    }

    /// Brings the gauges up to date, when that is due.
    fn count(&mut self) {
        let begun = Instant::now();
        if !self.uncounted || begun < self.counting_at {
            return;
        }
        let Inside { cloud, asks, uplinks, metrics, clock, .. } = &self.inside;
        let queued = Queued { requests: asks.len(), messages: uplinks.len() };
        let counts = cloud.counts(clock.now().wall);
        metrics.count(&counts, queued, cloud.recovering_until().is_some());
        let took = begun.elapsed();
        self.counting_at = begun + (took * COUNTING_SHARE).max(COUNTING_INTERVAL);
        self.uncounted = false;
    }

    /// Refuses everyone who waits in the queue or for an answer.
    fn refuse_waiting(&mut self, busy: CoreBusy) {
        Status::set(&self.inside.status.stopping, true);
        self.inside.asks.close();
        self.inside.uplinks.close();
        while let Ok(ask) = self.inside.asks.try_recv() {
            ask.refuse(busy);
        }
        // What was asked here may have been decided and not committed, or be on disk after all.
        for (_, slot) in self.slots.drain() {
            let _ = slot.send(Err(CoreBusy::Stopping));
        }
    }
}

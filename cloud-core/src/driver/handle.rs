//! What callers hold of the driver: they ask, wait for the answer, and are told at once when
//! there will be none.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cloud_core_logic::change::IdempotencyKey;
use cloud_core_logic::firing::ScheduleRow;
use cloud_core_logic::input::Operation;
use cloud_core_logic::placement::{Policy, Snapshot};
use cloud_core_logic::{
    Answer, Input, NewTask, Published, PutSchedule, ReplyTo, ScheduleOperation,
};
use shared::id::{AgentId, ScheduleName, TaskId};
use shared::schedule::ScheduleSpec;
use shared::spec::TaskSpec;
use shared::time::Timestamp;
use shared::trace::Trace;
use shared_runtime::clock::{Clock, new_uuid_v7};
use tokio::sync::{mpsc, oneshot, watch};

use super::Status;
use crate::store::Reader;

/// When a caller who was refused may try again, in seconds: a full queue is decided in less.
const RETRY_AFTER_S: u64 = 1;

/// Why the core does not answer. Nothing is said about whether it will be done, except where a
/// variant says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CoreBusy {
    /// As many requests wait as may wait. Nothing was done.
    #[error("as many requests wait as may wait; try again in {retry_after_s} s")]
    QueueFull {
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
    /// The core is stopping. What was asked may have been done.
    #[error("the core is stopping; try again once it is back")]
    Stopping,
    /// The store cannot be written now. Nothing was done.
    #[error("the core cannot write its store now; try again in {retry_after_s} s")]
    StoreFailing {
        /// When to try again, in seconds.
        retry_after_s: u64,
    },
}

impl CoreBusy {
    pub(super) const QUEUE_FULL: Self = Self::QueueFull { retry_after_s: RETRY_AFTER_S };
    pub(super) const STORE_FAILING: Self = Self::StoreFailing { retry_after_s: RETRY_AFTER_S };
}

/// An immutable look at the fleet.
#[derive(Debug, Clone)]
pub struct FleetView {
    /// The agents. The core goes on meanwhile, and copies what it changes of them.
    pub fleet: Snapshot,
    /// The placement policy in force.
    pub policy: Policy,
    /// Until when nothing is placed because the agents of a core that was put back to a backup have
    /// their time to say what they hold.
    pub recovering_until: Option<Timestamp>,
}

/// A look at the fleet, and at one task in it.
#[derive(Debug, Clone)]
pub struct TaskView {
    /// The fleet.
    pub fleet: Arc<FleetView>,
    /// Before when the task must not run anywhere, because a copy of it may still run under its
    /// lease.
    pub held_until: Option<Timestamp>,
}

/// Whether the core can do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Readiness {
    /// Whether it is stopping, or has stopped.
    pub stopping: bool,
    /// Whether its store can be written.
    pub store_writable: bool,
    /// Whether its link to the broker is up.
    pub broker_up: bool,
}

impl Readiness {
    /// Whether nothing is in the way.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.reasons().is_empty()
    }

    /// What is in the way, in words.
    #[must_use]
    pub fn reasons(&self) -> Vec<&'static str> {
        let reasons = [
            (self.stopping, "the core is stopping"),
            (!self.store_writable, "the store cannot be written"),
            (!self.broker_up, "the link to the broker is down"),
        ];
        reasons.into_iter().filter_map(|(holds, reason)| holds.then_some(reason)).collect()
    }
}

/// How many idempotency keys the core had taken at some moment. Whoever looks in the store whether
/// a key is used asks for it first: the core remembers keys for a while only, and must know when a
/// look is older than that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyMark(pub(super) u64);

/// Where a caller waits.
pub(super) type Slot = oneshot::Sender<Result<Answer, CoreBusy>>;

/// Where one waits who only looks.
pub(super) type LookSlot = oneshot::Sender<Result<TaskView, CoreBusy>>;

/// What is asked about schedules.
#[derive(Debug)]
pub(super) enum ScheduleAsk {
    /// To make one, or to change it.
    Put { before: Option<Box<ScheduleRow>>, spec: Arc<ScheduleSpec>, only_new: bool },
    /// To do something to one.
    Operate { before: Box<ScheduleRow>, operation: ScheduleOperation },
    /// To fire one, by its hook.
    Hook { schedule: ScheduleName, payload: Arc<str> },
    /// To fire those that listen.
    Publish { messages: Vec<Published> },
}

impl ScheduleAsk {
    /// The same for the logic.
    pub(super) fn into_input(self, reply: ReplyTo) -> Input {
        match self {
            Self::Put { before, spec, only_new } => {
                Input::PutSchedule(Box::new(PutSchedule { before, spec, only_new, reply }))
            }
            Self::Operate { before, operation } => {
                Input::OperateSchedule { before, operation, reply }
            }
            Self::Hook { schedule, payload } => Input::Hook { schedule, payload, reply },
            Self::Publish { messages } => Input::Published { messages, reply },
        }
    }
}

/// What a caller asks.
#[derive(Debug)]
pub(super) enum Ask {
    /// To take a task on.
    Submit {
        spec: Arc<TaskSpec>,
        key: Option<IdempotencyKey>,
        trace: Option<Box<Trace>>,
        mark: KeyMark,
        slot: Slot,
    },
    /// To take many tasks on.
    SubmitMany { tasks: Vec<NewTask>, mark: KeyMark, slot: Slot },
    /// To call a task off.
    Cancel { task: TaskId, slot: Slot },
    /// To do something to an agent.
    Operate { agent: AgentId, operation: Operation, slot: Slot },
    /// To put a policy in force.
    SetPolicy { policy: Box<Policy>, only_over: Option<u64>, slot: Slot },
    /// Something about a schedule.
    Schedule { ask: ScheduleAsk, slot: Slot },
    /// To see the fleet, and a task in it, as it is after everything asked before.
    Look { task: Option<TaskId>, slot: LookSlot },
}

impl Ask {
    /// How many tasks it brings: what a transaction is bounded by.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::SubmitMany { tasks, .. } => tasks.len().max(1),
            _ => 1,
        }
    }

    /// How many idempotency keys it brings, and since when nobody looked whether they are used.
    pub(super) fn keys(&self) -> Option<(usize, KeyMark)> {
        match self {
            Self::Submit { key: Some(_), mark, .. } => Some((1, *mark)),
            Self::SubmitMany { tasks, mark, .. } => {
                Some((tasks.iter().filter(|task| task.key.is_some()).count(), *mark))
            }
            _ => None,
        }
    }

    /// Tells the caller that there will be no answer. A caller who is gone does not mind.
    pub(super) fn refuse(self, busy: CoreBusy) {
        match self {
            Self::Submit { slot, .. }
            | Self::SubmitMany { slot, .. }
            | Self::Cancel { slot, .. }
            | Self::Operate { slot, .. }
            | Self::SetPolicy { slot, .. }
            | Self::Schedule { slot, .. } => {
                let _ = slot.send(Err(busy));
            }
            Self::Look { slot, .. } => {
                let _ = slot.send(Err(busy));
            }
        }
    }
}

/// A handle of the running core. Clones are the same core.
#[derive(Clone)]
pub struct Core {
    asks: mpsc::Sender<Ask>,
    reader: Arc<dyn Reader>,
    clock: Arc<Clock>,
    status: Arc<Status>,
}

impl Core {
    pub(super) fn new(
        asks: mpsc::Sender<Ask>,
        reader: Arc<dyn Reader>,
        clock: Arc<Clock>,
        status: Arc<Status>,
    ) -> Self {
        Self { asks, reader, clock, status }
    }

    /// Takes a task on, under a new id and in the trace that it came with, if it did. The answer comes once it is on disk.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn submit(
        &self,
        spec: Arc<TaskSpec>,
        key: Option<IdempotencyKey>,
        trace: Option<Box<Trace>>,
    ) -> Result<Answer, CoreBusy> {
        let mark = self.key_mark();
        self.ask(|slot| Ask::Submit { spec, key, trace, mark, slot }).await
    }

    /// Takes many tasks on, each for itself: one message, one transaction, one answer. `mark` is
    /// from before it was looked up whether their keys are used.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn submit_many(
        &self,
        tasks: Vec<NewTask>,
        mark: KeyMark,
    ) -> Result<Answer, CoreBusy> {
        self.ask(|slot| Ask::SubmitMany { tasks, mark, slot }).await
    }

    /// A new id for a task. Ids made one after the other sort in that order.
    #[must_use]
    pub fn new_task_id(&self) -> TaskId {
        TaskId(new_uuid_v7(&self.clock.now()))
    }

    /// How many idempotency keys the core has taken.
    #[must_use]
    pub fn key_mark(&self) -> KeyMark {
        KeyMark(self.status.keys_taken.load(Ordering::Acquire))
    }

    /// Calls a task off.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn cancel(&self, task: TaskId) -> Result<Answer, CoreBusy> {
        self.ask(|slot| Ask::Cancel { task, slot }).await
    }

    /// Does something to an agent.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn operate(&self, agent: AgentId, operation: Operation) -> Result<Answer, CoreBusy> {
        self.ask(|slot| Ask::Operate { agent, operation, slot }).await
    }

    /// Puts a placement policy in force.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn set_policy(
        &self,
        policy: Policy,
        only_over: Option<u64>,
    ) -> Result<Answer, CoreBusy> {
        let policy = Box::new(policy);
        self.ask(|slot| Ask::SetPolicy { policy, only_over, slot }).await
    }

    /// Makes a schedule, or changes the one that was read as `before`.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn put_schedule(
        &self,
        before: Option<Box<ScheduleRow>>,
        spec: Arc<ScheduleSpec>,
        only_new: bool,
    ) -> Result<Answer, CoreBusy> {
        let ask = ScheduleAsk::Put { before, spec, only_new };
        self.ask(|slot| Ask::Schedule { ask, slot }).await
    }

    /// Does something to the schedule that was read as `before`.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn operate_schedule(
        &self,
        before: Box<ScheduleRow>,
        operation: ScheduleOperation,
    ) -> Result<Answer, CoreBusy> {
        let ask = ScheduleAsk::Operate { before, operation };
        self.ask(|slot| Ask::Schedule { ask, slot }).await
    }

    /// Calls the hook of a schedule for somebody who holds its secret.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn call_hook(
        &self,
        schedule: ScheduleName,
        payload: Arc<str>,
    ) -> Result<Answer, CoreBusy> {
        let ask = ScheduleAsk::Hook { schedule, payload };
        self.ask(|slot| Ask::Schedule { ask, slot }).await
    }

    /// Lets schedules hear messages on the topics that they listen to.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn publish(&self, messages: Vec<Published>) -> Result<Answer, CoreBusy> {
        let ask = ScheduleAsk::Publish { messages };
        self.ask(|slot| Ask::Schedule { ask, slot }).await
    }

    /// The fleet as it is after everything that this caller was answered before. All who ask at
    /// the same time share one view.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn fleet(&self) -> Result<Arc<FleetView>, CoreBusy> {
        self.ask(|slot| Ask::Look { task: None, slot }).await.map(|look| look.fleet)
    }

    /// The same, with what is known of one task that waits.
    ///
    /// # Errors
    /// When the core does not answer.
    pub async fn look_at(&self, task: TaskId) -> Result<TaskView, CoreBusy> {
        self.ask(|slot| Ask::Look { task: Some(task), slot }).await
    }

    /// A way to read what is committed. Its calls block.
    #[must_use]
    pub fn reader(&self) -> Arc<dyn Reader> {
        Arc::clone(&self.reader)
    }

    /// Whether the core can do its work.
    #[must_use]
    pub fn is_ready(&self) -> Readiness {
        Readiness {
            stopping: Status::is(&self.status.stopping),
            store_writable: !Status::is(&self.status.store_failing),
            broker_up: Status::is(&self.status.broker_up),
        }
    }

    /// Lets whoever waits for something that may never come, such as a follower of a log, wait no
    /// longer: the core is about to stop.
    pub fn close(&self) {
        Status::set(&self.status.closing, true);
        self.status.events.send_replace(());
    }

    /// Says when there may be new events, or none will come any more.
    #[must_use]
    pub fn events(&self) -> watch::Receiver<()> {
        self.status.events.subscribe()
    }

    /// Whether the core is about to stop, or has stopped.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        Status::is(&self.status.closing) || Status::is(&self.status.stopping)
    }

    async fn ask<T>(
        &self,
        ask: impl FnOnce(oneshot::Sender<Result<T, CoreBusy>>) -> Ask,
    ) -> Result<T, CoreBusy> {
        if Status::is(&self.status.stopping) {
            return Err(CoreBusy::Stopping);
        }
        if Status::is(&self.status.store_failing) {
            return Err(CoreBusy::STORE_FAILING);
        }
        let (slot, answer) = oneshot::channel();
        self.asks.try_send(ask(slot)).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CoreBusy::QUEUE_FULL,
            mpsc::error::TrySendError::Closed(_) => CoreBusy::Stopping,
        })?;
        answer.await.unwrap_or(Err(CoreBusy::Stopping))
    }
}

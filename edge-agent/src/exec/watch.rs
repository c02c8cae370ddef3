//! The agent's knowledge of attempts in progress: who watches which, how to reach it, and what
//! its directory says once its supervisor is gone. Sends the events; starts nothing.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::Signal as SystemSignal;
use shared::id::AssignmentId;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

use super::attempt_dir::{AttemptDir, AttemptError};
use super::handle::{Said, Supervisor};
use super::record::{End, ExitRecord, Lock};
use super::{ExecEvent, ExecEventKind, Signal, remains};

/// What an attempt's directory and the process table say together.
pub(super) enum Inspected {
    Running(Supervisor),
    Ended(ExitRecord),
    NeverStarted,
    Gone,
}

/// How to reach a watched attempt.
enum Reach {
    /// Its supervisor is not known to listen yet; this is what it will be told.
    NotYet(Option<Signal>),
    Supervisor(Arc<Supervisor>),
}

struct Watched {
    reach: Reach,
    watcher: AbortHandle,
}

/// What all watchers share.
pub(super) struct Watch {
    pub attempts_dir: PathBuf,
    /// The kernel's boot.
    pub boot_id: String,
    /// Whether the machine was restarted since an agent last started a task here.
    pub rebooted: bool,
    events: mpsc::Sender<ExecEvent>,
    watched: Mutex<HashMap<AssignmentId, Watched>>,
}

impl Watch {
    pub(super) fn new(
        attempts_dir: PathBuf,
        boot_id: String,
        rebooted: bool,
        events: mpsc::Sender<ExecEvent>,
    ) -> Arc<Self> {
        let watched = Mutex::new(HashMap::new());
        Arc::new(Self { attempts_dir, boot_id, rebooted, events, watched })
    }

    pub(super) fn dir(&self, id: AssignmentId) -> AttemptDir {
        AttemptDir::of(&self.attempts_dir, id)
    }

    pub(super) fn is_watched(&self, id: AssignmentId) -> bool {
        self.watched().contains_key(&id)
    }

    /// Watches an attempt whose supervisor was just spawned.
    pub(super) fn follow_start(
        self: &Arc<Self>,
        id: AssignmentId,
        supervisor: Supervisor,
        says: AsyncFd<OwnedFd>,
    ) {
        let watch = Arc::clone(self);
        self.register(id, Reach::NotYet(None), async move {
            let supervisor = Arc::new(supervisor);
            let mut refusal = None;
            match Said::read(&says).await {
                Said::Started(pid) => {
                    watch.reached(id, &supervisor);
                    watch.send(id, ExecEventKind::Started { pid }).await;
                }
                Said::Cannot(sentence) => refusal = Some(sentence),
                Said::Nothing => {}
            }
            drop(says);
            supervisor.ended().await;
            watch.conclude(id, refusal).await;
        });
    }

    /// Watches an attempt whose supervisor is known to run.
    pub(super) fn follow_running(self: &Arc<Self>, id: AssignmentId, supervisor: Supervisor) {
        let watch = Arc::clone(self);
        let supervisor = Arc::new(supervisor);
        self.register(id, Reach::Supervisor(Arc::clone(&supervisor)), async move {
            supervisor.ended().await;
            watch.conclude(id, None).await;
        });
    }

    /// Finds out about an attempt that was begun before, and watches it to its end.
    pub(super) fn follow_known(self: &Arc<Self>, id: AssignmentId) {
        let watch = Arc::clone(self);
        self.register(id, Reach::NotYet(None), async move { watch.conclude(id, None).await });
    }

    /// Sends a signal to a watched attempt. `false` if it is not watched, so not running.
    pub(super) fn signal(&self, id: AssignmentId, signal: Signal) -> bool {
        match self.watched().get_mut(&id).map(|watched| &mut watched.reach) {
            None => return false,
            Some(Reach::Supervisor(supervisor)) => supervisor.signal(signal.to_supervisor()),
            Some(Reach::NotYet(Some(Signal::Kill))) => {}
            Some(Reach::NotYet(pending)) => *pending = Some(signal),
        }
        true
    }

    /// Stops watching. What runs goes on running.
    pub(super) fn let_go(&self) {
        for (_, watched) in self.watched().drain() {
            watched.watcher.abort();
        }
    }

    /// Says what became of an attempt. When nobody took it, nobody ever will after this.
    pub(super) async fn inspect(&self, id: AssignmentId) -> Inspected {
        let dir = self.dir(id);
        loop {
            if let Some(record) = exit_of(&dir) {
                return Inspected::Ended(record);
            }
            let lock = match dir.read_lock() {
                Ok(lock) => lock,
                Err(AttemptError::Missing { .. }) => match self.withdraw(&dir) {
                    Some(inspected) => return inspected,
                    None => continue,
                },
                Err(error) => {
                    tracing::warn!(assignment = %id, %error, "an attempt's lock cannot be read; taking the attempt for lost");
                    return Inspected::Gone;
                }
            };
            let Some((identity, boot_id)) = lock.supervisor() else {
                return Inspected::NeverStarted;
            };
            let same_boot = boot_id == self.boot_id;
            if same_boot && let Some(supervisor) = Supervisor::of_identity(identity) {
                return Inspected::Running(supervisor);
            }
            // It may have written this after the first look and before it ended.
            if let Some(record) = exit_of(&dir) {
                return Inspected::Ended(record);
            }
            if same_boot {
                remains::clear(identity, dir.read_child().ok(), id.task).await;
            }
            return Inspected::Gone;
        }
    }

    /// Makes it impossible that an attempt nobody took is ever taken. `None` if somebody just
    /// took it.
    fn withdraw(&self, dir: &AttemptDir) -> Option<Inspected> {
        if !self.is_of_this_boot(dir) {
            // A power cut may have lost the lock of a task that ran; nothing runs any more.
            return Some(Inspected::Gone);
        }
        match dir.take_lock(&Lock::Tombstone) {
            Ok(()) => Some(Inspected::NeverStarted),
            Err(AttemptError::Exists { .. }) => None,
            // Without a directory there is nothing to take.
            Err(_) => match dir.remove() {
                Ok(()) => Some(Inspected::NeverStarted),
                Err(error) => {
                    tracing::warn!(%error, "an attempt cannot be withdrawn; taking it for lost");
                    Some(Inspected::Gone)
                }
            },
        }
    }

    /// Whether everything written about the attempt is still there to be read, because the
    /// machine was not restarted since.
    pub(super) fn is_of_this_boot(&self, dir: &AttemptDir) -> bool {
        match dir.read_spec() {
            Ok(spec) => spec.boot_id == self.boot_id,
            Err(AttemptError::Missing { .. }) => !self.rebooted,
            Err(_) => false,
        }
    }

    /// Waits until it is known what became of an attempt, and says so.
    async fn conclude(&self, id: AssignmentId, refusal: Option<String>) {
        let kind = loop {
            match self.inspect(id).await {
                Inspected::Running(supervisor) => {
                    let supervisor = Arc::new(supervisor);
                    self.reached(id, &supervisor);
                    supervisor.ended().await;
                }
                Inspected::Ended(record) => break ExecEventKind::of_record(record),
                Inspected::NeverStarted => {
                    let message = refusal.unwrap_or_else(|| {
                        "The task's supervisor ended before it could start the task; the agent's log may say why.".to_owned()
                    });
                    break ExecEventKind::SpawnFailed { message };
                }
                Inspected::Gone => break ExecEventKind::Gone,
            }
        };
        // Before the event: who hears of the end may forget the attempt at once.
        self.watched().remove(&id);
        self.send(id, kind).await;
    }

    /// Notes that a supervisor listens, and tells it what waited for that.
    fn reached(&self, id: AssignmentId, supervisor: &Arc<Supervisor>) {
        if let Some(watched) = self.watched().get_mut(&id) {
            if let Reach::NotYet(Some(signal)) = watched.reach {
                supervisor.signal(signal.to_supervisor());
            }
            watched.reach = Reach::Supervisor(Arc::clone(supervisor));
        }
    }

    fn register(
        &self,
        id: AssignmentId,
        reach: Reach,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        // Held while spawning, so that a watcher cannot end before it is registered.
        let mut watched = self.watched();
        let watcher = tokio::spawn(work).abort_handle();
        watched.insert(id, Watched { reach, watcher });
    }

    async fn send(&self, id: AssignmentId, kind: ExecEventKind) {
        // Nobody listens only when the agent is on its way out; the directory keeps the outcome.
        let _ = self.events.send(ExecEvent { id, kind }).await;
    }

    fn watched(&self) -> MutexGuard<'_, HashMap<AssignmentId, Watched>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outcome, if there is one that can be read.
fn exit_of(dir: &AttemptDir) -> Option<ExitRecord> {
    match dir.read_exit() {
        Ok(record) => Some(record),
        Err(AttemptError::Missing { .. }) => None,
        Err(error) => {
            tracing::warn!(%error, "an attempt's outcome cannot be read");
            None
        }
    }
}

impl Signal {
    /// What the supervisor understands by it.
    fn to_supervisor(self) -> SystemSignal {
        match self {
            Self::Term => SystemSignal::TERM,
            Self::Kill => SystemSignal::USR1,
        }
    }
}

impl ExecEventKind {
    fn of_record(record: ExitRecord) -> Self {
        match record.end {
            End::SpawnFailed { message } => Self::SpawnFailed { message },
            _ => Self::Ended(record),
        }
    }
}

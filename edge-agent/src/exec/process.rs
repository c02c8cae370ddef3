//! The executor: what the agent's driver calls to start, find again, stop and forget attempts, and
//! to renew their leases. Has supervisors made and nothing else; watching them is `watch`'s, running
//! tasks theirs.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, PipeWriter, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use shared::id::AssignmentId;
use tokio::sync::mpsc;

use super::attempt_dir::{AttemptDir, AttemptError};
use super::handle::Supervisor;
use super::identity::kernel_boot_id;
use super::lease::LeaseFile;
use super::progress::ProgressWatch;
use super::record::{ExecOrder, Lock, RuntimePaths, Spec};
use super::remover::Remover;
use super::runtime_dir::RuntimeDir;
use super::supervisor::SUBCOMMAND;
use super::sys::watch_readable;
use super::watch::{Inspected, Watch};
use super::zygote::Zygote;
use super::{ExecEvent, ExecutorError, Found, Signal, SpawnFailed};
use crate::observe;

/// The events that may wait for the driver. Watchers wait beyond it; nothing is lost.
const EVENTS_MAX: usize = 256;

/// The file in which the last kernel boot that started a task is noted.
const BOOT_FILE: &str = "kernel_boot_id";

/// How long supervisors are started the plain way after the quick one failed.
const NURSERY_SHUT: Duration = Duration::from_secs(60);

/// Where supervisors come from quickly.
#[derive(Debug, Default)]
enum Nursery {
    /// There is no zygote; the next start makes one.
    #[default]
    Empty,
    /// There is one.
    Open(Zygote),
    /// One failed, and none is tried before then.
    ShutUntil(Instant),
}

/// Runs attempts as processes of their own. Dropping it stops the watching, not the tasks: the
/// next executor finds them again.
pub struct Executor {
    watch: Arc<Watch>,
    runtime: RuntimeDir,
    /// Where supervisors look for renewals that an agent with another runtime folder started.
    other_leases: Mutex<BTreeSet<LeaseFile>>,
    own_exe: PathBuf,
    nursery: Mutex<Nursery>,
    boot_noted: std::sync::OnceLock<()>,
    remover: Remover,
}

impl Executor {
    /// An executor that keeps its attempts in `data_dir/attempts` and runs `own_exe supervise` for
    /// each. `/proc/self/exe` is a good `own_exe`: it stays right when the binary is replaced.
    /// Must be made and used inside a tokio runtime with I/O and time.
    ///
    /// # Errors
    /// A directory cannot be made, or this is not Linux with `/proc`.
    pub fn new(
        data_dir: &Path,
        own_exe: &Path,
    ) -> Result<(Self, mpsc::Receiver<ExecEvent>), ExecutorError> {
        let attempts_dir = std::path::absolute(data_dir)
            .map(|path| path.join("attempts"))
            .and_then(|path| fs::create_dir_all(&path).map(|()| path))
            .map_err(|source| ExecutorError::Directory {
                path: data_dir.join("attempts"),
                source,
            })?;
        let runtime = RuntimeDir::choose(data_dir).map_err(|source| ExecutorError::Directory {
            path: data_dir.join("runtime"),
            source,
        })?;
        let remover = Remover::of(&attempts_dir);
        remover.wake();
        // Left behind by attempts whose directories are gone.
        for id in runtime.attempts() {
            if !attempts_dir.join(id.to_string()).exists() {
                runtime.forget(id);
            }
        }
        let boot_id = kernel_boot_id().map_err(|source| ExecutorError::System { source })?;
        let noted = fs::read_to_string(attempts_dir.join(BOOT_FILE)).unwrap_or_default();
        let rebooted = noted.trim() != boot_id;
        let (sender, receiver) = mpsc::channel(EVENTS_MAX);
        let watch = Watch::new(attempts_dir, boot_id, rebooted, sender);
        let boot_noted = std::sync::OnceLock::new();
        let own_exe = own_exe.to_owned();
        let (other_leases, nursery) = (Mutex::default(), Mutex::default());
        let own = Self { watch, runtime, other_leases, own_exe, nursery, boot_noted, remover };
        Ok((own, receiver))
    }

    /// Starts an attempt. However often it is called for the same attempt, in this process or
    /// after it, the attempt runs at most once, and what became of it arrives as an event.
    ///
    /// # Errors
    /// The directory or the supervisor cannot be made. What is wrong with the task itself, such
    /// as a missing command, arrives as an event.
    pub fn start(&self, order: &ExecOrder) -> Result<(), SpawnFailed> {
        let id = order.id;
        if self.watch.is_watched(id) {
            return Ok(());
        }
        self.note_boot()?;
        let dir = self.watch.dir(id);
        let failed = |error: AttemptError| SpawnFailed {
            message: error
                .full_sentence()
                .unwrap_or_else(|| format!("The agent could not prepare the task: {error}.")),
        };
        if !dir.create().map_err(failed)? && !self.may_begin(&dir).map_err(failed)? {
            self.watch.follow_known(id);
            return Ok(());
        }
        let runtime = Some(self.runtime_paths(id, &dir));
        let spec = Spec { boot_id: self.watch.boot_id.clone(), order: order.clone(), runtime };
        let event = order.event.as_deref().map_or(Ok(()), |event| dir.write_event(event));
        let written = event.and_then(|()| dir.write_spec(&spec));
        let begun = written.map_err(failed).and_then(|()| {
            self.spawn_supervisor(id, &dir).map_err(|error| SpawnFailed {
                message: format!("The agent could not start the task's supervisor: {error}."),
            })
        });
        if begun.is_err() {
            // Nobody can run it now; without a directory nobody will.
            let _ = dir.remove();
            self.runtime.forget(id);
        }
        begun
    }

    /// Finds an attempt again that an earlier agent process started. When it is running, its end
    /// arrives as an event; when nobody started it, nobody can any more except by a new
    /// [`Self::start`]. Call it for all before the first start.
    pub async fn adopt(&self, id: AssignmentId) -> Found {
        if self.watch.is_watched(id) {
            return Found::Running;
        }
        match self.watch.inspect(id).await {
            Inspected::Running(supervisor) => {
                self.note_lease(id);
                self.watch.follow_running(id, supervisor);
                Found::Running
            }
            Inspected::Ended(record) => Found::Ended(record),
            Inspected::NeverStarted => Found::NeverStarted,
            Inspected::Gone => Found::Gone,
        }
    }

    /// Asks an attempt's task to end, or kills it. The end arrives as an event. `false` if the
    /// attempt is not running, as far as this executor started or adopted it.
    pub fn stop(&self, id: AssignmentId, signal: Signal) -> bool {
        self.watch.signal(id, signal)
    }

    /// Removes an attempt's directory, for when its outcome is kept elsewhere. Only its name is
    /// gone at once; what is in it goes in the background. The attempt may be started anew at once.
    ///
    /// # Errors
    /// The attempt is still running.
    pub async fn forget(&self, id: AssignmentId) -> Result<(), ExecutorError> {
        if self.watch.is_watched(id) {
            return Err(ExecutorError::StillRunning { id });
        }
        let dir = self.watch.dir(id);
        // An outcome proves the end. Without one, ask, which also keeps a late supervisor out.
        let ended = dir.has_exit();
        if !ended && matches!(self.watch.inspect(id).await, Inspected::Running(_)) {
            return Err(ExecutorError::StillRunning { id });
        }
        self.runtime.forget(id);
        match dir.set_aside() {
            Ok(_) => self.remover.wake(),
            Err(error) if dir.path().exists() => {
                tracing::warn!(%error, "an attempt's directory is left behind");
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// The attempts that have a directory, in no order: also those nobody remembers.
    #[must_use]
    pub fn list(&self) -> Vec<AssignmentId> {
        let entries = fs::read_dir(&self.watch.attempts_dir).into_iter().flatten();
        entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// The directory of an attempt, for its logs.
    #[must_use]
    pub fn attempt_dir(&self, id: AssignmentId) -> AttemptDir {
        self.watch.dir(id)
    }

    /// The folder for what need not outlive this boot, for its switch of logs.
    #[must_use]
    pub fn runtime_dir(&self) -> &RuntimeDir {
        &self.runtime
    }

    /// Renews all leases: a ping was answered that was sent at this time of CLOCK_BOOTTIME, which
    /// is the agent's monotonic clock. Whoever runs under a lease sees it without being told.
    ///
    /// # Errors
    /// It cannot be noted, so that tasks with a lease will end as if nothing had been heard.
    pub fn renew_leases(&self, sent_boottime_ms: u64) -> io::Result<()> {
        let others = self.other_leases.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // Those are of agents that were started in another way; their folder may be gone for good.
        for other in others {
            let _ = other.renew(sent_boottime_ms);
        }
        self.runtime.lease_file().renew(sent_boottime_ms)
    }

    /// Follows the progress of attempts, from now on.
    #[must_use]
    pub fn progress_watch(&self) -> ProgressWatch {
        ProgressWatch::new(&self.watch.attempts_dir)
    }

    /// Where an attempt meets the agent. In memory if that can be; a full memory costs wear, not
    /// the progress.
    fn runtime_paths(&self, id: AssignmentId, dir: &AttemptDir) -> RuntimePaths {
        let progress_file = self.runtime.make_progress(id).unwrap_or_else(|_| dir.progress_path());
        RuntimePaths { dir: self.runtime.path().to_owned(), progress_file }
    }

    /// Remembers where the supervisor of an adopted attempt looks for renewals.
    fn note_lease(&self, id: AssignmentId) {
        let runtime = self.watch.dir(id).read_spec().ok().and_then(|spec| spec.runtime);
        if let Some(runtime) = runtime.filter(|runtime| runtime.dir != self.runtime.path()) {
            let file = LeaseFile::at(&runtime.dir);
            self.other_leases.lock().unwrap_or_else(PoisonError::into_inner).insert(file);
        }
    }

    /// Whether an attempt whose directory exists may still be begun.
    fn may_begin(&self, dir: &AttemptDir) -> Result<bool, AttemptError> {
        match dir.read_lock() {
            Ok(Lock::Tombstone) => {
                // A late supervisor finds one lock to take, as does the one started now, and both
                // would run the same order: still once.
                dir.remove()?;
                dir.create()
            }
            Err(AttemptError::Missing { .. }) => {
                Ok(!dir.has_exit() && self.watch.is_of_this_boot(dir))
            }
            _ => Ok(false),
        }
    }

    fn spawn_supervisor(&self, id: AssignmentId, dir: &AttemptDir) -> io::Result<()> {
        let (reader, writer) = io::pipe()?;
        rustix::io::ioctl_fionbio(&reader, true)?;
        let says = watch_readable(reader.into())?;
        let supervisor = match self.fork_supervisor(dir, writer.as_fd()) {
            Some(supervisor) => supervisor,
            None => self.start_supervisor(dir, writer)?,
        };
        self.watch.follow_start(id, supervisor, says);
        Ok(())
    }

    /// The quick way: a copy of a process that is there already.
    fn fork_supervisor(&self, dir: &AttemptDir, says: BorrowedFd<'_>) -> Option<Supervisor> {
        let mut nursery = self.nursery();
        let known = match std::mem::take(&mut *nursery) {
            Nursery::Open(zygote) => Some(zygote),
            Nursery::ShutUntil(until) if Instant::now() < until => {
                *nursery = Nursery::ShutUntil(until);
                return None;
            }
            Nursery::Empty | Nursery::ShutUntil(_) => None,
        };
        let mut ask = |mut zygote: Zygote| {
            let supervisor = zygote.fork(dir.path(), says).and_then(Supervisor::of_forked)?;
            *nursery = Nursery::Open(zygote);
            Ok(supervisor)
        };
        // One that was there may have been killed since: another one is as good.
        let supervisor = known.and_then(|zygote| ask(zygote).ok());
        let supervisor = supervisor.map_or_else(|| self.new_zygote().and_then(ask), Ok);
        supervisor
            .inspect_err(|error| {
                observe::no_zygote(error);
                *nursery = Nursery::ShutUntil(Instant::now() + NURSERY_SHUT);
            })
            .ok()
    }

    fn new_zygote(&self) -> io::Result<Zygote> {
        Zygote::start(&self.own_exe, &self.watch.attempts_dir)
    }

    /// The plain way. No session or group is asked for here: that would cost the fast way to spawn.
    /// The supervisor sees to it itself.
    fn start_supervisor(&self, dir: &AttemptDir, says: PipeWriter) -> io::Result<Supervisor> {
        let child = Command::new(&self.own_exe)
            .arg(SUBCOMMAND)
            .arg(dir.path())
            .env_clear()
            .stdin(Stdio::null())
            .stdout(says)
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Supervisor::of_child(&child))
    }

    /// Lets go of what is only there to start attempts quickly, when none was started for a while.
    /// To be called now and then.
    pub fn rest(&self) {
        let mut nursery = self.nursery();
        if matches!(&*nursery, Nursery::Open(zygote) if zygote.is_idle()) {
            *nursery = Nursery::Empty;
        }
    }

    /// The process that forks supervisors, if there is one at the moment.
    #[must_use]
    pub fn zygote(&self) -> Option<u32> {
        match &*self.nursery() {
            Nursery::Open(zygote) => Some(zygote.pid()),
            Nursery::Empty | Nursery::ShutUntil(_) => None,
        }
    }

    fn nursery(&self) -> MutexGuard<'_, Nursery> {
        self.nursery.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes durably, once per boot of the machine, that tasks were started in it. Later a
    /// missing directory then tells "never started" from "lost in a power cut".
    fn note_boot(&self) -> Result<(), SpawnFailed> {
        if !self.watch.rebooted || self.boot_noted.get().is_some() {
            return Ok(());
        }
        let dir = &self.watch.attempts_dir;
        let write = || -> io::Result<()> {
            let draft = dir.join("kernel_boot_id.new");
            let mut file = File::create(&draft)?;
            file.write_all(self.watch.boot_id.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, dir.join(BOOT_FILE))?;
            File::open(dir)?.sync_all()
        };
        write().map_err(|error| SpawnFailed {
            message: format!(
                "The agent cannot write to {}: {error}; make room there, or make it writable.",
                dir.display()
            ),
        })?;
        let _ = self.boot_noted.set(());
        Ok(())
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.watch.let_go();
        self.runtime.tidy();
    }
}

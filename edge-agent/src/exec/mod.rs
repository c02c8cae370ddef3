//! Running tasks as processes. Each attempt runs under a supervisor process of its own
//! (`ambit-agent supervise DIR`), which outlives the agent and leaves the outcome in the attempt's
//! directory: so an exit code survives the agent's death, and an attempt never runs twice. They are
//! forked by one more process (`zygote`), which is only there to make that quick.
//! Timeouts and grace are decided elsewhere; nothing here ends a task by itself, but for a lease,
//! which has to end it also when the agent is gone.
//!
//! Two processes meet in an attempt's directory:
//!
//! | file | writer | says |
//! | --- | --- | --- |
//! | `spec.json` | agent | what to run, and where else the two meet |
//! | `exit.json.PID` | supervisor, first | nothing: room on the disk for `exit.json` |
//! | `lock` | supervisor, before it spawns; or agent, as a tombstone | who alone may run it |
//! | `child` | supervisor | the task's process group |
//! | `log.0`, `log.1` | supervisor | the last part of what the task wrote, see `log` |
//! | `exit.json` | supervisor, last | how it ended |
//! | `work/` | task | its own, unless the order names a directory |
//!
//! and in the agent's runtime folder, which is in memory where that is possible:
//!
//! | file | writer | says |
//! | --- | --- | --- |
//! | `data` | agent | by a link, whose folder this is |
//! | `lease` | agent, at each answered ping | when that ping was sent |
//! | `logs-off` | agent | that supervisors are to keep no logs for now |
//! | `attempts/ID/progress` | task | how far it is |
//!
//! A service manager must end only the agent's own process when it restarts it (systemd:
//! `KillMode=process`), or it takes the tasks along.

mod attempt_dir;
mod handle;
mod identity;
mod launch;
mod lease;
mod lease_keeper;
mod log;
mod memory_kills;
mod output;
mod process;
mod progress;
mod record;
mod remains;
mod remover;
mod reserve;
mod run;
mod runtime_dir;
mod supervisor;
mod sys;
mod watch;
mod zygote;

use std::io;
use std::path::PathBuf;

use shared::id::AssignmentId;

pub use attempt_dir::{AttemptDir, AttemptError, FILE_BYTES_MAX};
pub use identity::{Identity, kernel_boot_id};
pub use lease::{Lease, LeaseFile};
pub use log::{LOG_BYTES_LEAST, LOG_BYTES_MAX, LogPiece, LogReader, Stream};
pub use process::Executor;
pub use progress::{PROGRESS_CHARS_MAX, PROGRESS_VARIABLE, Progress, ProgressWatch};
pub use record::{
    ChildRecord, End, ExecOrder, ExitRecord, Lock, RuntimePaths, Spec, TAIL_BYTES_DEFAULT,
    TAIL_BYTES_MAX,
};
pub use runtime_dir::RuntimeDir;
pub use supervisor::{EXIT_CANNOT, EXIT_TAKEN, SUBCOMMAND, main_if_supervisor, supervise};

/// How to end a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ask it to end: SIGTERM to its process group.
    Term,
    /// End it: SIGKILL to its process group.
    Kill,
}

/// Something happened to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecEvent {
    /// The attempt.
    pub id: AssignmentId,
    /// What happened.
    pub kind: ExecEventKind,
}

/// What can happen to an attempt. `Started` comes at most once and first; one of the others ends
/// the attempt, and comes once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecEventKind {
    /// Its process runs. Not sent for an attempt that was begun before, as one that is adopted.
    Started {
        /// The task's first process, which is also its process group.
        pid: u32,
    },
    /// Its process ended.
    Ended(ExitRecord),
    /// It never ran and never will.
    SpawnFailed {
        /// Why, and what to do about it: one sentence.
        message: String,
    },
    /// It may have run; its supervisor was killed, and the task with it, so nobody knows.
    Gone,
}

/// What became of an attempt that an earlier agent process started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// It runs, and is watched from now on: its end arrives as an event.
    Running,
    /// It ended. Its record may also say that it could not be spawned.
    Ended(ExitRecord),
    /// It never ran, and will not unless it is started anew.
    NeverStarted,
    /// It may have run; nobody knows how it ended. Nothing of it runs any more.
    Gone,
}

/// Why an attempt could not be started at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SpawnFailed {
    /// Why, and what to do about it: one sentence.
    pub message: String,
}

/// Why the executor refuses.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The directory of the attempts cannot be made.
    #[error("cannot create {}: {source}; choose a data directory that the agent may write to", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system lacks what tasks are told apart by.
    #[error(
        "cannot read /proc/sys/kernel/random/boot_id: {source}; the agent needs Linux with /proc mounted"
    )]
    System {
        /// What the system said.
        source: io::Error,
    },
    /// The attempt runs.
    #[error("assignment {id} is still running; stop it first")]
    StillRunning {
        /// The attempt.
        id: AssignmentId,
    },
}

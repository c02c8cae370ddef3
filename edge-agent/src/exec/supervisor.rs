//! What `ambit-agent supervise DIR` does: take the attempt, run it, keep what it says within
//! bounds, write how it ended. One thread, no runtime, so that it starts in under a millisecond
//! and its death is the death of the task.
//!
//! Signals: TERM, INT and HUP are passed on to the task as TERM; USR1 kills the task. When the
//! task's first process has ended, everything it left behind is killed too, also what left its
//! process group or its session.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Signal, getpid, set_child_subreaper, setsid};

use super::attempt_dir::{AttemptDir, AttemptError};
use super::identity::{Identity, kernel_boot_id};
use super::launch::launch;
use super::memory_kills::MemoryKills;
use super::record::{ChildRecord, End, ExitRecord, Lock, Spec, TAIL_BYTES_MAX};
use super::run::Run;
use super::sys::SignalInbox;

/// The exit code of a supervisor that found the attempt taken and ran nothing.
pub const EXIT_TAKEN: u8 = 75;

/// The exit code of a supervisor that could not begin and ran nothing.
pub const EXIT_CANNOT: u8 = 74;

/// The subcommand's name.
pub const SUBCOMMAND: &str = "supervise";

/// How long a record that the disk has no room for waits before it is tried again.
const RECORD_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Runs the supervisor if the command line asks for it, and answers its exit code. The first
/// thing `main` does: before a command line parser, a logger or a runtime costs anything.
#[must_use]
pub fn main_if_supervisor() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(SUBCOMMAND)) {
        return None;
    }
    Some(match (arguments.next(), arguments.next()) {
        (Some(dir), None) => supervise(Path::new(&dir)),
        _ => {
            eprintln!("`{SUBCOMMAND}` is for the agent's own use and takes one attempt directory.");
            ExitCode::from(EXIT_CANNOT)
        }
    })
}

/// Runs the attempt whose directory this is, unless somebody already does or did. Exit code 0:
/// the outcome is in `exit.json`; [`EXIT_TAKEN`]: another has the attempt; [`EXIT_CANNOT`]: it
/// could not begin. What happened so far is told on standard output, one line: `started PID`,
/// `taken` or `cannot SENTENCE`.
#[must_use]
pub fn supervise(dir: &Path) -> ExitCode {
    let dir = AttemptDir::at(dir);
    match begin(&dir) {
        Ok(inbox) => {
            let record = match dir.read_spec() {
                Ok(spec) => carry_out(&dir, &spec, &inbox),
                Err(error) => not_started(format!("The attempt cannot be read: {error}.")),
            };
            keep(&dir, &record);
            ExitCode::SUCCESS
        }
        Err(Refusal::Taken) => {
            tell_agent("taken");
            ExitCode::from(EXIT_TAKEN)
        }
        Err(Refusal::Cannot(sentence)) => {
            tell_agent(&format!("cannot {}", sentence.replace('\n', " ")));
            ExitCode::from(EXIT_CANNOT)
        }
    }
}

enum Refusal {
    Taken,
    Cannot(String),
}

/// Everything up to the lock, after which the attempt counts as run. Signals are held back
/// before the lock is taken: who sees the lock may send them.
fn begin(dir: &AttemptDir) -> Result<SignalInbox, Refusal> {
    let cannot = |what: &str, error: &dyn std::fmt::Display| {
        Refusal::Cannot(format!("The task's supervisor cannot {what}: {error}."))
    };
    let signals = [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1, Signal::CHILD];
    let inbox = SignalInbox::open(&signals).map_err(|error| cannot("receive signals", &error))?;
    // Fails only for a process that a shell made a group leader, which is on its own already.
    let _ = setsid();
    // Orphans of the task come to this process, which can then end them.
    let _ = set_child_subreaper(Some(getpid()));
    let own = Identity::own().map_err(|error| cannot("identify itself", &error))?;
    let boot_id = kernel_boot_id().map_err(|error| cannot("identify this boot", &error))?;
    let lock = Lock::Supervisor {
        supervisor_pid: own.pid,
        supervisor_start_ticks: own.start_ticks,
        boot_id,
    };
    match dir.take_lock(&lock) {
        Ok(()) => Ok(inbox),
        Err(AttemptError::Exists { .. }) => Err(Refusal::Taken),
        Err(error) => Err(cannot("take the attempt", &error)),
    }
}

/// Runs the task to its end.
fn carry_out(dir: &AttemptDir, spec: &Spec, inbox: &SignalInbox) -> ExitRecord {
    let order = &spec.order;
    let memory_kills = MemoryKills::now();
    let work = match &order.dir {
        Some(dir) => Ok(dir.into()),
        None => dir.make_work(),
    };
    let work = match work {
        Ok(work) => work,
        Err(error) => return not_started(format!("The task has no directory: {error}.")),
    };
    let started_wall_ms = wall_ms();
    let started = Instant::now();
    let child = match launch(order, &work) {
        Ok(child) => child,
        Err(sentence) => return not_started(sentence),
    };
    if let Some(identity) = Identity::of(child.id()) {
        // Without it an orphan is still found by its session; not worth failing for.
        let record = ChildRecord { pid: identity.pid, start_ticks: identity.start_ticks };
        let _ = dir.write_child(&record);
    }
    tell_agent(&format!("started {}", child.id()));
    let tail = |bytes: u32| bytes.min(TAIL_BYTES_MAX) as usize;
    let tails = [tail(order.stdout_tail_bytes), tail(order.stderr_tail_bytes)];
    let ended = Run::new(child, inbox, dir, tails).run();
    let duration = started.elapsed();
    let killed = match ended.end {
        End::Signaled { signal } => signal == Signal::KILL.as_raw(),
        // What a shell answers when its command was killed.
        End::Exited { code } => code == 128 + Signal::KILL.as_raw(),
        End::SpawnFailed { .. } => false,
    };
    let [(stdout_tail, stdout_truncated), (stderr_tail, stderr_truncated)] = ended.tails;
    ExitRecord {
        end: ended.end,
        started_wall_ms,
        ended_wall_ms: wall_ms(),
        duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        stdout_tail,
        stderr_tail,
        stdout_truncated,
        stderr_truncated,
        out_of_memory: killed
            && !ended.kill_requested
            && memory_kills.is_some_and(|before| before.have_risen()),
    }
}

/// The record of a task that never ran.
fn not_started(message: String) -> ExitRecord {
    let now = wall_ms();
    ExitRecord {
        end: End::SpawnFailed { message },
        started_wall_ms: now,
        ended_wall_ms: now,
        duration_ms: 0,
        stdout_tail: String::new(),
        stderr_tail: String::new(),
        stdout_truncated: false,
        stderr_truncated: false,
        out_of_memory: false,
    }
}

/// Writes the outcome, and does not give up while there is a directory to write it to: a full
/// disk costs the logs first, and then time, but not the outcome.
fn keep(dir: &AttemptDir, record: &ExitRecord) {
    while dir.write_exit(record).is_err() && dir.path().is_dir() {
        dir.remove_logs();
        if dir.write_exit(record).is_ok() {
            return;
        }
        std::thread::sleep(RECORD_RETRY_DELAY);
    }
}

/// Tells the agent, if it still lives, and lets go of the pipe, so that nobody waits for it.
fn tell_agent(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(format!("{line}\n").as_bytes());
    let _ = stdout.flush();
    let _ = rustix::stdio::dup2_stdout(rustix::stdio::stdin());
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

//! What `ambit-agent supervise DIR` does: take the attempt, run it, keep what it says within
//! bounds, keep its lease, write how it ended. One thread, no runtime, so that it starts in under
//! a millisecond and its death is the death of the task.
//!
//! Signals: TERM, INT and HUP are passed on to the task as TERM; USR1 kills the task. When the
//! task's first process has ended, everything it left behind is killed too, also what left its
//! process group or its session.

use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use rustix::process::{Signal, getpid, set_child_subreaper, setsid};
use shared::time::Now;
use shared_runtime::clock::Clock;

use super::attempt_dir::{AttemptDir, AttemptError};
use super::identity::{Identity, kernel_boot_id};
use super::launch::launch;
use super::lease::LeaseFile;
use super::lease_keeper::{Alarm, LeaseKeeper};
use super::log::LogWriter;
use super::memory_kills::MemoryKills;
use super::record::{
    BLOCK_BYTES, ChildRecord, End, ExitRecord, Lock, RECORDS_BEFORE_END_BYTES, Spec, TAIL_BYTES_MAX,
};
use super::reserve::ExitReserve;
use super::run::{Means, Run};
use super::runtime_dir::logs_off_in;
use super::sys::SignalInbox;
use super::zygote;

/// The exit code of a supervisor that found the attempt taken and ran nothing.
pub const EXIT_TAKEN: u8 = 75;

/// The exit code of a supervisor that could not begin and ran nothing.
pub const EXIT_CANNOT: u8 = 74;

/// The subcommand's name.
pub const SUBCOMMAND: &str = "supervise";

/// How long a record that the disk has no room for waits before it is tried again.
const RECORD_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The longest sentence about a task that could not be started, in characters: it may quote a
/// command of any length, and has to fit into the room that was reserved.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// Runs the supervisor, or the process that makes them, if the command line asks for it, and answers
/// its exit code. The first
/// thing `main` does: before a command line parser, a logger or a runtime costs anything.
#[must_use]
pub fn main_if_supervisor() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next()?;
    if command == zygote::SUBCOMMAND {
        return Some(zygote::serve());
    }
    if command != SUBCOMMAND {
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
        Ok(Begun { inbox, reserve }) => {
            let clock = Clock::new();
            let record = match dir.read_spec() {
                Ok(spec) => carry_out(&dir, &spec, &inbox, &clock),
                Err(error) => {
                    not_started(format!("The attempt cannot be read: {error}."), &clock.now())
                }
            };
            keep(&dir, reserve, record);
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

/// What an attempt that is ours needs in any case.
struct Begun {
    inbox: SignalInbox,
    reserve: ExitReserve,
}

/// Everything up to the lock, after which the attempt counts as run. Signals are held back
/// before the lock is taken: who sees the lock may send them. And there is room for the outcome:
/// without, what ran could not be told.
fn begin(dir: &AttemptDir) -> Result<Begun, Refusal> {
    let cannot = |what: &str, error: &dyn std::fmt::Display| {
        Refusal::Cannot(format!("The task's supervisor cannot {what}: {error}."))
    };
    let on_disk = |what: &str, error: &AttemptError| match error.full_sentence() {
        Some(sentence) => Refusal::Cannot(sentence),
        None => cannot(what, error),
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
    let reserve = dir.reserve_exit().map_err(|error| on_disk("prepare for the end", &error))?;
    match dir.take_lock(&lock) {
        Ok(()) => Ok(Begun { inbox, reserve }),
        Err(AttemptError::Exists { .. }) => Err(Refusal::Taken),
        Err(error) => Err(on_disk("take the attempt", &error)),
    }
}

/// Runs the task to its end.
fn carry_out(dir: &AttemptDir, spec: &Spec, inbox: &SignalInbox, clock: &Clock) -> ExitRecord {
    let order = &spec.order;
    let refused = |sentence: String| not_started(sentence, &clock.now());
    let memory_kills = MemoryKills::now();
    let work = match &order.dir {
        Some(dir) => Ok(dir.into()),
        None => dir.make_work(),
    };
    let work = match work {
        Ok(work) => work,
        Err(error) => return refused(format!("The task has no directory: {error}.")),
    };
    let lease = match lease_of(spec) {
        Ok(lease) => lease,
        Err(error) => return refused(format!("The task's lease cannot be watched: {error}.")),
    };
    let off_marker = spec.runtime.as_ref().map(|runtime| logs_off_in(&runtime.dir));
    let log = LogWriter::new(dir.log_paths(), order.log_bytes_max, off_marker);
    let tail = |bytes: u32| bytes.min(TAIL_BYTES_MAX) as usize;
    let tail_bytes = [tail(order.stdout_tail_bytes), tail(order.stderr_tail_bytes)];
    let mut means = Means { clock, inbox, log, lease, tail_bytes };
    let started = clock.now();
    if means.lease.as_mut().is_some_and(|(keeper, _)| !keeper.has_room(started.mono.0)) {
        return never_ran(End::LeaseEnded { ran: false }, &started);
    }
    let progress_file = spec.runtime.as_ref().map(|runtime| runtime.progress_file.as_path());
    let child = match launch(order, &work, progress_file) {
        Ok(child) => child,
        Err(sentence) => return refused(sentence),
    };
    if let Some(identity) = Identity::of(child.id()) {
        // Without it an orphan is still found by its session; not worth failing for.
        let record = ChildRecord { pid: identity.pid, start_ticks: identity.start_ticks };
        let _ = dir.write_child(&record);
    }
    tell_agent(&format!("started {}", child.id()));
    let ended = Run::new(child, means).run();
    let killed = match ended.end {
        End::Signaled { signal } => signal == Signal::KILL.as_raw(),
        // What a shell answers when its command was killed.
        End::Exited { code } => code == 128 + Signal::KILL.as_raw(),
        End::SpawnFailed { .. } | End::LeaseEnded { .. } => false,
    };
    let now = clock.now();
    let [(stdout_tail, stdout_truncated), (stderr_tail, stderr_truncated)] = ended.tails;
    ExitRecord {
        end: ended.end,
        started_wall_ms: started.wall.0,
        ended_wall_ms: now.wall.0,
        duration_ms: now.mono.since_ms(started.mono),
        stdout_tail,
        stderr_tail,
        stdout_truncated,
        stderr_truncated,
        out_of_memory: killed
            && !ended.killed_by_us
            && memory_kills.is_some_and(|before| before.have_risen()),
        log_end_offset: ended.log.end_offset(),
        written_bytes: ended.log.written_bytes(),
    }
}

fn lease_of(spec: &Spec) -> io::Result<Option<(LeaseKeeper, Alarm)>> {
    let Some(lease) = spec.order.lease else { return Ok(None) };
    let file = spec.runtime.as_ref().map(|runtime| LeaseFile::at(&runtime.dir));
    Ok(Some((LeaseKeeper::new(lease, file), Alarm::new()?)))
}

/// The record of a task that could not be started.
fn not_started(mut message: String, now: &Now) -> ExitRecord {
    if let Some((cut, _)) = message.char_indices().nth(MESSAGE_CHARS_MAX) {
        message.truncate(cut);
        message.push('…');
    }
    never_ran(End::SpawnFailed { message }, now)
}

/// The record of a task that never ran.
fn never_ran(end: End, now: &Now) -> ExitRecord {
    ExitRecord {
        end,
        started_wall_ms: now.wall.0,
        ended_wall_ms: now.wall.0,
        duration_ms: 0,
        stdout_tail: String::new(),
        stderr_tail: String::new(),
        stdout_truncated: false,
        stderr_truncated: false,
        out_of_memory: false,
        log_end_offset: 0,
        written_bytes: 0,
    }
}

/// Writes the outcome, and does not give up while there is a directory to write it to. There is
/// room for it, but not every file system keeps what it reserved: then it costs the ends of long
/// outputs, then the logs, and then time.
fn keep(dir: &AttemptDir, mut reserve: ExitReserve, mut record: ExitRecord) {
    let bytes = serde_json::to_vec(&record).map_or(0, |json| json.len() as u64);
    record.written_bytes += RECORDS_BEFORE_END_BYTES + bytes.next_multiple_of(BLOCK_BYTES);
    while reserve.keep(&record).is_err() && dir.path().is_dir() {
        dir.remove_logs();
        if reserve.keep(&record).is_ok() {
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

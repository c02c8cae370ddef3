//! One running task as its supervisor sees it: two pipes to empty, signals to pass on, an end to
//! notice, and remains to clear away. Waits in `poll` only; never for a process that merely holds
//! a pipe open.

use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio, read};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, kill_process_group,
    wait, waitid,
};

use super::attempt_dir::{AttemptDir, Stream};
use super::identity::processes;
use super::output::{BoundedLog, Tail};
use super::record::End;
use super::sys::SignalInbox;

/// The bytes of each stream that are kept on disk.
pub const LOG_BYTES_MAX: usize = 1024 * 1024;

/// How long what a task left behind may go on writing after its end, to say its last words.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// How long the killed may take to disappear. A process stuck in a driver takes for ever.
const CLEARING: Duration = Duration::from_secs(2);

/// The most that is read from one pipe at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// The most chunks that are read after everybody was killed: what a pipe can hold, and more.
const FINAL_CHUNKS: usize = 32;

/// How a run ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub end: End,
    /// The end of standard output and standard error, and whether there was more.
    pub tails: [(String, bool); 2],
    /// Whether the agent asked to kill it.
    pub kill_requested: bool,
}

/// A stream of the task.
struct Outlet {
    pipe: Option<OwnedFd>,
    tail: Tail,
    log: BoundedLog,
}

impl Outlet {
    fn new(pipe: Option<OwnedFd>, tail_bytes: usize, dir: &AttemptDir, stream: Stream) -> Self {
        let pipe = pipe.filter(|pipe| ioctl_fionbio(pipe, true).is_ok());
        let log = BoundedLog::new(dir.log_paths(stream), LOG_BYTES_MAX);
        Self { pipe, tail: Tail::new(tail_bytes), log }
    }

    /// Takes one chunk. Answers whether there may be more right now.
    fn take(&mut self, buffer: &mut [u8]) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        match read(pipe, &mut *buffer) {
            Ok(length @ 1..) => {
                self.tail.push(&buffer[..length]);
                self.log.push(&buffer[..length]);
                true
            }
            Err(Errno::AGAIN) => false,
            Err(Errno::INTR) => true,
            Ok(0) | Err(_) => {
                self.pipe = None;
                false
            }
        }
    }
}

/// A running task.
pub(super) struct Run<'a> {
    /// The task's first process and its group. Not reaped before the group is killed, so that
    /// its id cannot come to mean somebody else.
    child: Pid,
    reaped: bool,
    inbox: &'a SignalInbox,
    outlets: [Outlet; 2],
    buffer: Vec<u8>,
    kill_requested: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        mut child: Child,
        inbox: &'a SignalInbox,
        dir: &AttemptDir,
        [stdout_bytes, stderr_bytes]: [usize; 2],
    ) -> Self {
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        Self {
            child: Pid::from_child(&child),
            reaped: false,
            inbox,
            outlets: [
                Outlet::new(stdout, stdout_bytes, dir, Stream::Stdout),
                Outlet::new(stderr, stderr_bytes, dir, Stream::Stderr),
            ],
            buffer: vec![0; CHUNK_BYTES],
            kill_requested: false,
        }
    }

    /// Runs it to its end and clears away what is left of it.
    pub(super) fn run(mut self) -> Ended {
        let end = loop {
            self.listen(None);
            if let Some(end) = self.answer_signals() {
                break end;
            }
        };
        self.hear_last_words();
        self.clear_away();
        for outlet in &mut self.outlets {
            let _ = (0..FINAL_CHUNKS).take_while(|_| outlet.take(&mut self.buffer)).count();
        }
        let tails = self.outlets.map(|outlet| outlet.tail.finish());
        Ended { end, tails, kill_requested: self.kill_requested }
    }

    /// Waits until something happens or the time is up, and takes what the pipes hold.
    fn listen(&mut self, at_most: Option<Duration>) {
        let timeout = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut descriptors = vec![PollFd::new(self.inbox.descriptor(), PollFlags::IN)];
        let open = self.outlets.iter().filter_map(|outlet| outlet.pipe.as_ref());
        descriptors.extend(open.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        // An interruption is as good as an event: the caller looks and comes back.
        let _ = poll(&mut descriptors, timeout.as_ref());
        drop(descriptors);
        for outlet in &mut self.outlets {
            outlet.take(&mut self.buffer);
        }
    }

    /// Acts on the signals that came. Answers the end, once there is one.
    fn answer_signals(&mut self) -> Option<End> {
        let mut end = None;
        while let Some(signal) = self.inbox.next() {
            match signal {
                Signal::CHILD => end = end.or_else(|| self.look_for_end()),
                Signal::USR1 => {
                    self.kill_requested = true;
                    self.signal_group(Signal::KILL);
                }
                _ => {
                    self.signal_group(Signal::TERM);
                    // A task that was paused could not react.
                    self.signal_group(Signal::CONT);
                }
            }
        }
        end
    }

    /// How the task's first process ended, if it did. Reaps orphans that ended meanwhile.
    fn look_for_end(&mut self) -> Option<End> {
        let child = self.child;
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if let Ok(Some(status)) = waitid(WaitId::Pid(child), peek) {
            return Some(end_of(status.exit_status(), status.terminating_signal()));
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == child {
                // It ended between the two calls; its group is found by parentage instead.
                self.reaped = true;
                return Some(end_of(status.exit_status(), status.terminating_signal()));
            }
        }
        None
    }

    fn signal_group(&self, signal: Signal) {
        if !self.reaped {
            let _ = kill_process_group(self.child, signal);
        }
    }

    /// Goes on reading while somebody still holds a pipe, but not for long.
    fn hear_last_words(&mut self) {
        let until = Instant::now() + LAST_WORDS;
        while !self.kill_requested && self.outlets.iter().any(|outlet| outlet.pipe.is_some()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.listen(Some(left));
            self.answer_signals();
        }
    }

    /// Kills and reaps everything that descends from the task. Usually there is nothing, and it
    /// costs three system calls.
    fn clear_away(&mut self) {
        self.signal_group(Signal::KILL);
        if !self.reaped {
            let _ = waitid(WaitId::Pid(self.child), WaitIdOptions::EXITED);
            self.reaped = true;
        }
        let until = Instant::now() + CLEARING;
        while Instant::now() < until {
            match wait(WaitOptions::NOHANG) {
                // One less; and its children have become ours.
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => {
                    kill_children();
                    self.listen(Some(Duration::from_millis(20)));
                    while self.inbox.next().is_some() {}
                }
                Err(_) => return,
            }
        }
    }
}

/// Kills every child of this process. None of them is reaped meanwhile, so each id is theirs.
fn kill_children() {
    let own = getpid().as_raw_nonzero().get().cast_unsigned();
    for process in processes().filter(|process| process.parent == own && process.is_alive()) {
        if let Some(pid) = process.identity.pid() {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn end_of(code: Option<i32>, signal: Option<i32>) -> End {
    match (code, signal) {
        (_, Some(signal)) => End::Signaled { signal },
        (code, None) => End::Exited { code: code.unwrap_or(-1) },
    }
}

//! One running task as its supervisor sees it: two pipes to empty, signals to pass on, a lease to
//! keep, an end to notice, and remains to clear away. Waits in `poll` only, until the next thing
//! that is due; never for a process that merely holds a pipe open.

use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio, read};
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, kill_process, kill_process_group,
    wait, waitid,
};

use shared::time::Now;
use shared_runtime::clock::Clock;

use super::identity::processes;
use super::lease_keeper::{Alarm, LeaseKeeper, LeaseStep};
use super::log::{LogWriter, Stream};
use super::output::Tail;
use super::record::End;
use super::sys::SignalInbox;

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
    /// Whether it was killed because somebody wanted that.
    pub killed_by_us: bool,
    /// What it wrote, as far as it was kept.
    pub log: LogWriter,
}

/// What a task runs with.
pub(super) struct Means<'a> {
    pub clock: &'a Clock,
    pub inbox: &'a SignalInbox,
    pub log: LogWriter,
    /// Its lease, and what wakes us up for it.
    pub lease: Option<(LeaseKeeper, Alarm)>,
    /// How much of the end of each stream is reported.
    pub tail_bytes: [usize; 2],
}

/// A stream of the task.
struct Outlet {
    stream: Stream,
    pipe: Option<OwnedFd>,
    tail: Tail,
}

impl Outlet {
    fn new(stream: Stream, pipe: Option<OwnedFd>, tail_bytes: usize) -> Self {
        let pipe = pipe.filter(|pipe| ioctl_fionbio(pipe, true).is_ok());
        Self { stream, pipe, tail: Tail::new(tail_bytes) }
    }

    /// Takes one chunk. Answers whether there may be more right now.
    fn take(&mut self, buffer: &mut [u8], log: &mut LogWriter, now: &Now) -> bool {
        let Some(pipe) = &self.pipe else { return false };
        match read(pipe, &mut *buffer) {
            Ok(length @ 1..) => {
                self.tail.push(&buffer[..length]);
                log.push(self.stream, &buffer[..length], now);
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
    clock: &'a Clock,
    inbox: &'a SignalInbox,
    outlets: [Outlet; 2],
    log: LogWriter,
    lease: Option<(LeaseKeeper, Alarm)>,
    buffer: Vec<u8>,
    killed_by_us: bool,
}

impl<'a> Run<'a> {
    pub(super) fn new(mut child: Child, means: Means<'a>) -> Self {
        let stdout = child.stdout.take().map(OwnedFd::from);
        let stderr = child.stderr.take().map(OwnedFd::from);
        let [stdout_bytes, stderr_bytes] = means.tail_bytes;
        if let Some((keeper, alarm)) = &means.lease {
            alarm.set(keeper.next_ms());
        }
        Self {
            child: Pid::from_child(&child),
            reaped: false,
            clock: means.clock,
            inbox: means.inbox,
            outlets: [
                Outlet::new(Stream::Stdout, stdout, stdout_bytes),
                Outlet::new(Stream::Stderr, stderr, stderr_bytes),
            ],
            log: means.log,
            lease: means.lease,
            buffer: vec![0; CHUNK_BYTES],
            killed_by_us: false,
        }
    }

    /// Runs it to its end and clears away what is left of it.
    pub(super) fn run(mut self) -> Ended {
        let end = loop {
            self.listen(None);
            self.keep_lease();
            if let Some(end) = self.answer_signals() {
                break end;
            }
        };
        // Not later: what ends by itself while it is cleared away did not end by the lease.
        let lease_ended = self.lease.as_ref().is_some_and(|(keeper, _)| keeper.has_ended());
        let end = if lease_ended { End::LeaseEnded { ran: true } } else { end };
        self.hear_last_words();
        self.clear_away();
        let now = self.clock.now();
        for outlet in &mut self.outlets {
            let mut take = || outlet.take(&mut self.buffer, &mut self.log, &now);
            let _ = (0..FINAL_CHUNKS).take_while(|_| take()).count();
        }
        self.log.flush(&now);
        let tails = self.outlets.map(|outlet| outlet.tail.finish());
        Ended { end, tails, killed_by_us: self.killed_by_us, log: self.log }
    }

    /// Waits until something happens or is due, and takes what the pipes hold.
    fn listen(&mut self, at_most: Option<Duration>) {
        let due = self.log.due_in_ms(&self.clock.now()).map(Duration::from_millis);
        let wait = [at_most, due].into_iter().flatten().min();
        let timeout = wait.and_then(|time| Timespec::try_from(time).ok());
        let mut descriptors = vec![PollFd::new(self.inbox.descriptor(), PollFlags::IN)];
        let open = self.outlets.iter().filter_map(|outlet| outlet.pipe.as_ref());
        descriptors.extend(open.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        let alarm = self.lease.as_ref().map(|(_, alarm)| PollFd::new(alarm, PollFlags::IN));
        descriptors.extend(alarm);
        // An interruption is as good as an event: the caller looks and comes back.
        let _ = poll(&mut descriptors, timeout.as_ref());
        drop(descriptors);
        let now = self.clock.now();
        for outlet in &mut self.outlets {
            outlet.take(&mut self.buffer, &mut self.log, &now);
        }
        self.log.flush_if_due(&now);
    }

    /// Does what the lease wants done by now.
    fn keep_lease(&mut self) {
        let Some((keeper, alarm)) = &mut self.lease else { return };
        let now_ms = self.clock.now().mono.0;
        if keeper.next_ms().is_none_or(|next_ms| now_ms < next_ms) {
            return;
        }
        let step = keeper.step(now_ms);
        alarm.set(keeper.next_ms());
        match step {
            None => {}
            Some(LeaseStep::Ask) => self.ask_to_end(),
            Some(LeaseStep::Kill) => {
                self.kill();
                // Also what left the group, as far as it is ours already; the rest becomes ours
                // as its parents die.
                kill_children();
            }
        }
    }

    /// Acts on the signals that came. Answers the end, once there is one.
    fn answer_signals(&mut self) -> Option<End> {
        let mut end = None;
        while let Some(signal) = self.inbox.next() {
            match signal {
                Signal::CHILD => end = end.or_else(|| self.look_for_end()),
                Signal::USR1 => self.kill(),
                _ => self.ask_to_end(),
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

    fn ask_to_end(&self) {
        self.signal_group(Signal::TERM);
        // A task that was paused could not react.
        self.signal_group(Signal::CONT);
    }

    fn kill(&mut self) {
        self.killed_by_us = true;
        self.signal_group(Signal::KILL);
    }

    fn signal_group(&self, signal: Signal) {
        if !self.reaped {
            let _ = kill_process_group(self.child, signal);
        }
    }

    /// Goes on reading while somebody still holds a pipe, but not for long.
    fn hear_last_words(&mut self) {
        let until = Instant::now() + LAST_WORDS;
        while !self.killed_by_us && self.outlets.iter().any(|outlet| outlet.pipe.is_some()) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            self.listen(Some(left));
            self.keep_lease();
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

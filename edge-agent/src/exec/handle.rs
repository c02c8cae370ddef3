//! The agent's hold on one supervisor process: notice its end, send it a signal, never mistake
//! another process for it. Uses a pidfd; on kernels without (before 5.3) it looks again and again.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::Child;
use std::time::Duration;

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, kill_process, pidfd_open, pidfd_send_signal,
    waitid,
};
use tokio::io::unix::AsyncFd;

use super::identity::Identity;
use super::sys::watch_readable;
use super::zygote::Forked;

/// How often to look where the kernel cannot tell.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The most that is read of what a supervisor says.
const LINE_BYTES_MAX: usize = 4096;

/// A supervisor process.
#[derive(Debug)]
pub(super) struct Supervisor {
    pid: Pid,
    /// Known for one that another agent process started. Our own child needs none: until it is
    /// reaped its id cannot mean anybody else. One that was forked has a descriptor.
    identity: Option<Identity>,
    descriptor: Option<AsyncFd<OwnedFd>>,
}

impl Supervisor {
    /// One that was just spawned by this process.
    pub(super) fn of_child(child: &Child) -> Self {
        let pid = Pid::from_child(child);
        Self { pid, identity: None, descriptor: descriptor_of(pid) }
    }

    /// One that a zygote forked.
    ///
    /// # Errors
    /// The runtime cannot watch it.
    pub(super) fn of_forked(Forked { pid, descriptor }: Forked) -> io::Result<Self> {
        Ok(Self { pid, identity: None, descriptor: Some(watch_readable(descriptor)?) })
    }

    /// One known from a lock; `None` if it is not running any more.
    pub(super) fn of_identity(identity: Identity) -> Option<Self> {
        let pid = identity.pid()?;
        // The descriptor first, then the check: what is checked is what is held.
        let descriptor = descriptor_of(pid);
        identity.is_alive().then_some(Self { pid, identity: Some(identity), descriptor })
    }

    /// Sends a signal, unless it ended.
    pub(super) fn signal(&self, signal: Signal) {
        let _ = match &self.descriptor {
            Some(descriptor) => pidfd_send_signal(descriptor.get_ref(), signal),
            None if self.has_ended() => return,
            None => kill_process(self.pid, signal),
        };
    }

    /// Waits for its end and lets the kernel forget it.
    pub(super) async fn ended(&self) {
        match &self.descriptor {
            // Readable means ended; an error would mean so too soon, so look as well.
            Some(descriptor) if descriptor.readable().await.is_ok() => {}
            _ => {
                while !self.has_ended() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
        }
        let which = match &self.descriptor {
            Some(descriptor) => WaitId::PidFd(descriptor.get_ref().as_fd()),
            None => WaitId::Pid(self.pid),
        };
        // Refused if it is not our child, and then it is not ours to reap.
        let _ = waitid(which, WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    }

    fn has_ended(&self) -> bool {
        let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match self.identity {
            Some(identity) => !identity.is_alive(),
            None => !matches!(waitid(WaitId::Pid(self.pid), peek), Ok(None)),
        }
    }
}

fn descriptor_of(pid: Pid) -> Option<AsyncFd<OwnedFd>> {
    let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
    watch_readable(descriptor).ok()
}

/// What a supervisor says about itself, once.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// It started the task, whose process this is.
    Started(u32),
    /// It could not begin, for this reason.
    Cannot(String),
    /// Nothing that helps: another has the attempt, or it ended; the directory knows.
    Nothing,
}

impl Said {
    fn parse(line: &str) -> Self {
        match line.trim_end().split_once(' ') {
            Some(("started", pid)) => pid.parse().map_or(Self::Nothing, Self::Started),
            Some(("cannot", sentence)) => Self::Cannot(sentence.to_owned()),
            _ => Self::Nothing,
        }
    }

    /// Reads it from the supervisor's standard output. Ends with the supervisor at the latest.
    pub(super) async fn read(pipe: &AsyncFd<OwnedFd>) -> Self {
        let mut line = Vec::new();
        let mut buffer = [0_u8; 512];
        while line.len() < LINE_BYTES_MAX && !line.ends_with(b"\n") {
            let Ok(mut ready) = pipe.readable().await else {
                break;
            };
            let read = |pipe: &AsyncFd<OwnedFd>| Ok(rustix::io::read(pipe, &mut buffer)?);
            match ready.try_io(read) {
                Ok(Ok(length @ 1..)) => line.extend_from_slice(&buffer[..length]),
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Ok(0) | Err(_)) => break,
                Err(_would_block) => {}
            }
        }
        Self::parse(&String::from_utf8_lossy(&line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_supervisor_says_is_read_with_suspicion() {
        assert_eq!(Said::parse("started 12\n"), Said::Started(12));
        assert_eq!(Said::parse("cannot lift this.\n"), Said::Cannot("lift this.".to_owned()));
        for line in
            ["", "\n", "taken\n", "started\n", "started -1\n", "started 99999999999\n", "x y"]
        {
            assert_eq!(Said::parse(line), Said::Nothing, "{line:?}");
        }
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_line_breaks_the_reader(line in "(?s).{0,80}|started [-+0-9]{0,12}", pid: u32, why in "[ -~]{0,40}[!-~]") {
            let _ = Said::parse(&line);
            prop_assert_eq!(Said::parse(&format!("started {pid}\n")), Said::Started(pid));
            prop_assert_eq!(Said::parse(&format!("cannot {why}\n")), Said::Cannot(why));
        }
    }
}

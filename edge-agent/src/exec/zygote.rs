//! A process that is a supervisor already, but for an attempt: it forks one for each that the agent
//! asks for, so that none pays for an exec, for linking and for a start of its own, and all share
//! their memory. Owns both ends of the conversation; what a supervisor does is `supervisor`'s.
//!
//! Invariant: a zygote is a short cut and nothing depends on it. It knows no attempt, its death
//! takes no supervisor along, and whoever gets no answer from it may start a supervisor by himself:
//! the attempt's lock lets only one of the two begin.
//!
//! The agent sends the path of an attempt's directory with the pipe on which the supervisor is to
//! speak; the answer is the supervisor's process id with a pidfd of it, or an error number.

use std::ffi::OsStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use rustix::process::{Pid, PidfdFlags, Signal, WaitOptions, pidfd_open, setsid, wait};

use super::supervisor::{EXIT_CANNOT, supervise};
use super::sys::{Fork, SignalInbox, fork};

/// The subcommand's name.
pub(super) const SUBCOMMAND: &str = "zygote";

/// How long a zygote is kept that nobody has asked for anything.
const IDLE: Duration = Duration::from_secs(60);

/// How long it may take to answer. It forks within a millisecond, or something is very wrong.
const ANSWER: Duration = Duration::from_secs(1);

/// The longest path of an attempt's directory: that of the system.
const PATH_BYTES_MAX: usize = 4096;

/// The agent's end.
#[derive(Debug)]
pub(super) struct Zygote {
    process: Child,
    socket: OwnedFd,
    used: Instant,
}

/// A supervisor that was just forked.
#[derive(Debug)]
pub(super) struct Forked {
    pub pid: Pid,
    pub descriptor: OwnedFd,
}

impl Zygote {
    /// Starts one: the agent's own program. Where the attempts are stands on its command line, and so
    /// on that of each supervisor: whoever looks at processes sees whose they are.
    ///
    /// # Errors
    /// The system gives no process, or no socket to speak with it.
    pub(super) fn start(own_exe: &Path, attempts_dir: &Path) -> io::Result<Self> {
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        for which in [Timeout::Recv, Timeout::Send] {
            set_socket_timeout(&socket, which, Some(ANSWER))?;
        }
        let process = Command::new(own_exe)
            .arg(SUBCOMMAND)
            .arg(attempts_dir)
            .env_clear()
            .stdin(theirs)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(Self { process, socket, used: Instant::now() })
    }

    /// Asks for a supervisor of the attempt in `dir` that says on `says` how it begins.
    ///
    /// # Errors
    /// There may be none, or there is one that nobody can watch: start one that can.
    pub(super) fn fork(&mut self, dir: &Path, says: BorrowedFd<'_>) -> io::Result<Forked> {
        self.used = Instant::now();
        send(&self.socket, dir.as_os_str().as_bytes(), says)?;
        let mut answer = [0; 4];
        let (length, descriptor) = receive(&self.socket, &mut answer)?;
        let number = i32::from_ne_bytes(answer);
        match (length, descriptor) {
            (4, Some(descriptor)) => match Pid::from_raw(number) {
                Some(pid) => Ok(Forked { pid, descriptor }),
                None => Err(io::ErrorKind::InvalidData.into()),
            },
            (4, None) => Err(io::Error::from_raw_os_error(number)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Whether nobody has asked it for anything in a while.
    pub(super) fn is_idle(&self) -> bool {
        self.used.elapsed() >= IDLE
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Zygote {
    fn drop(&mut self) {
        // It knows nothing that could be lost, and would end by itself; this is so that it need not
        // be waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Is one, until the agent is gone; or, in a process that it forked, a supervisor. Returns in each
/// of them with its exit code.
pub(super) fn serve() -> ExitCode {
    // After a fork only the forking thread goes on, and what others held locked stays locked.
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    let inbox = SignalInbox::open(&[Signal::CHILD]);
    let (Ok(1), Ok(inbox)) = (threads, inbox) else {
        return ExitCode::from(EXIT_CANNOT);
    };
    // What a terminal sends to the agent's group is not for this one.
    let _ = setsid();
    let socket = rustix::stdio::stdin();
    loop {
        let mut wanted = [
            PollFd::new(&socket, PollFlags::IN),
            PollFd::from_borrowed_fd(inbox.descriptor().as_fd(), PollFlags::IN),
        ];
        match poll(&mut wanted, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return ExitCode::from(EXIT_CANNOT),
        }
        let [asked, ended] = wanted.map(|descriptor| !descriptor.revents().is_empty());
        if ended {
            while inbox.next().is_some() {}
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
        }
        if !asked {
            continue;
        }
        let Some((dir, says)) = request(socket) else {
            return ExitCode::SUCCESS;
        };
        match fork() {
            Ok(Fork::Child) => {
                drop(inbox);
                return become_supervisor(&dir, says);
            }
            // Not reaped before this, so the id cannot mean another one.
            Ok(Fork::Parent(pid)) => match pidfd_open(pid, PidfdFlags::empty()) {
                Ok(descriptor) => answer(socket, pid.as_raw_nonzero().get(), Some(&descriptor)),
                Err(error) => answer(socket, error.raw_os_error(), None),
            },
            Err(error) => answer(socket, error.raw_os_error().unwrap_or_default(), None),
        }
    }
}

/// Nothing is left of the zygote but what a supervisor that was just started would have.
fn become_supervisor(dir: &Path, says: OwnedFd) -> ExitCode {
    let nothing = rustix::stdio::stderr();
    let arranged =
        rustix::stdio::dup2_stdin(nothing).and_then(|()| rustix::stdio::dup2_stdout(&says)).is_ok();
    drop(says);
    if arranged { supervise(dir) } else { ExitCode::from(EXIT_CANNOT) }
}

/// The next request; `None` when there will be none.
fn request(socket: BorrowedFd<'_>) -> Option<(PathBuf, OwnedFd)> {
    let mut path = [0; PATH_BYTES_MAX];
    let (length, says) = receive(socket, &mut path).ok()?;
    Some((PathBuf::from(OsStr::from_bytes(&path[..length])), says?))
}

fn answer(socket: BorrowedFd<'_>, number: i32, descriptor: Option<&OwnedFd>) {
    let bytes = number.to_ne_bytes();
    // An agent that does not listen is gone, which the next request tells.
    let _ = match descriptor {
        Some(descriptor) => send(socket, &bytes, descriptor.as_fd()),
        None => sendmsg(
            socket,
            &[IoSlice::new(&bytes)],
            &mut SendAncillaryBuffer::default(),
            SendFlags::NOSIGNAL,
        )
        .map(drop)
        .map_err(io::Error::from),
    };
}

fn send(socket: impl std::os::fd::AsFd, bytes: &[u8], along: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let along = [along];
    ancillary.push(SendAncillaryMessage::ScmRights(&along));
    sendmsg(socket, &[IoSlice::new(bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// One message, and the descriptor that came with it. Too long a message is an error.
fn receive(
    socket: impl std::os::fd::AsFd,
    bytes: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = loop {
        match recvmsg(&socket, &mut [IoSliceMut::new(bytes)], &mut ancillary, flags) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let came = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    Ok((received.bytes, came))
}

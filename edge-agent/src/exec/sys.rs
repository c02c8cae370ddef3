//! The few things that no safe interface offers: signals read from a descriptor, a child that dies
//! with its parent and runs exactly the program named, a fork that goes on, and a descriptor that the
//! runtime watches.
//! Decides nothing.

// `sigprocmask` and `signalfd` exist only as foreign functions, `pre_exec` is unsafe because its
// closure runs between fork and exec, a fork is one because of other threads, and tokio wants a
// promise that the descriptor is owned.
// Everything here is a few calls of each.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr, c_char};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr::{null, null_mut};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The size of what the kernel writes for one signal (signalfd(2)).
const SIGNAL_RECORD_BYTES: usize = 128;

/// Signals of this process, held back from their usual effect and read one by one.
#[derive(Debug)]
pub(super) struct SignalInbox {
    descriptor: OwnedFd,
}

impl SignalInbox {
    /// Holds these signals back from now on, and no others.
    pub(super) fn open(signals: &[Signal]) -> io::Result<Self> {
        let mut set = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` initializes the set it is given; `sigaddset`, `sigprocmask` and
        // `signalfd` only read that set or write it in place; a null old mask is allowed. The
        // descriptor is fresh, valid (checked) and owned by nobody else.
        unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            for signal in signals {
                libc::sigaddset(set.as_mut_ptr(), signal.as_raw());
            }
            if libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
            let descriptor = libc::signalfd(-1, set.as_ptr(), flags);
            if descriptor < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self { descriptor: OwnedFd::from_raw_fd(descriptor) })
        }
    }

    /// The descriptor to wait on.
    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// The next signal that came, if any; does not wait.
    pub(super) fn next(&self) -> Option<Signal> {
        let mut record = [0_u8; SIGNAL_RECORD_BYTES];
        match rustix::io::read(&self.descriptor, &mut record) {
            Ok(SIGNAL_RECORD_BYTES) => {
                let number = [record[0], record[1], record[2], record[3]];
                Signal::from_named_raw(i32::from_ne_bytes(number))
            }
            _ => None,
        }
    }
}

/// Makes the kernel kill the child when this thread, which must be the one that spawns, dies; and
/// gives the child none of what is this process's own: no held-back signals, no descriptors.
pub(super) fn detach_from_parent(command: &mut Command) {
    let parent = getpid();
    let arrange = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The parent may have died before the call above.
        if getppid() != Some(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
        let mut none = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `sigemptyset` initializes the set that `sigprocmask` reads; a null old mask is
        // allowed. `close_range` takes three integers; it marks and does not close, so that the
        // descriptor on which the standard library reports a failing exec goes on working. Kernels
        // before 5.11 refuse it, which matters only if the agent itself inherited descriptors.
        unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), null_mut());
            let (first, last) = (3_u32, u32::MAX);
            libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC);
        }
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes a few system calls and allocates nothing.
    unsafe {
        command.pre_exec(arrange);
    }
}

/// A program to execute, laid out before the fork, after which nothing may be allocated.
struct Image {
    path: CString,
    /// What the pointers point into.
    _strings: Vec<CString>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

// SAFETY: the pointers lead into strings that the image owns and never changes.
unsafe impl Send for Image {}
// SAFETY: as above.
unsafe impl Sync for Image {}

/// Makes the child execute its program itself, for a program given by its path. The C library's
/// `execvp`, which the standard library uses, would hand whatever the kernel does not recognize,
/// such as a program for another processor, to the shell.
pub(super) fn execute_exactly(command: &mut Command) -> io::Result<()> {
    let string = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::from);
    let path = string(command.get_program())?;
    let arguments = command.get_args().map(string).collect::<io::Result<Vec<_>>>()?;
    let environment = command
        .get_envs()
        .filter_map(|(name, value)| {
            Some(CString::new([name.as_bytes(), b"=", value?.as_bytes()].concat()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let pointers =
        |strings: &[CString]| strings.iter().map(|text| text.as_ptr()).collect::<Vec<_>>();
    let mut argument_pointers = vec![path.as_ptr()];
    argument_pointers.extend(pointers(&arguments));
    argument_pointers.push(null());
    let mut environment_pointers = pointers(&environment);
    environment_pointers.push(null());
    let strings = arguments.into_iter().chain(environment).collect();
    let image = Image {
        path,
        _strings: strings,
        arguments: argument_pointers,
        environment: environment_pointers,
    };
    let execute = move || {
        // The whole image moves in, or its pointers would be captured without their owner.
        let image = &image;
        let (arguments, environment) = (image.arguments.as_ptr(), image.environment.as_ptr());
        // SAFETY: all three are terminated by zero or null and live as long as the closure. It
        // returns only on failure.
        unsafe { libc::execve(image.path.as_ptr(), arguments, environment) };
        Err(io::Error::last_os_error())
    };
    // SAFETY: between fork and exec the closure makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(execute);
    }
    Ok(())
}

/// Which of two processes this is after a fork.
pub(super) enum Fork {
    /// The one that forked, with the id of the other.
    Parent(Pid),
    /// The other.
    Child,
}

/// Makes a copy of this process, which must have one thread: [`super::zygote`] looks before.
///
/// # Errors
/// There may be no more processes.
pub(super) fn fork() -> io::Result<Fork> {
    // SAFETY: in a process with one thread nothing is left half done or locked in the child, so it
    // may go on as if it were alone.
    match unsafe { libc::fork() } {
        0 => Ok(Fork::Child),
        pid => Pid::from_raw(pid)
            .filter(|_| pid > 0)
            .map(Fork::Parent)
            .ok_or_else(io::Error::last_os_error),
    }
}

/// Lets the current runtime watch for something to read. Fails when it cannot watch any more.
pub(super) fn watch_readable(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor is open, is one and the same for its whole life, and only
    // leaves the `AsyncFd` by its own means.
    let registered = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
    registered.map_err(io::Error::from)
}

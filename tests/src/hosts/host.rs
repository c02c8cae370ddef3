//! One host: a network and mounts of its own, kept alive by a process that does nothing. Runs
//! programs in it, sees its files, finds its processes. When the test ends, however it ends, the
//! keeper reads the end of its input and goes, and the kernel takes everything else away.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::system;

/// What keeps a host: it says when it is there, and waits until nobody needs it any more.
const KEEPER: &str = "ip link set lo up && echo there && read -r _";

/// A host.
#[derive(Debug)]
pub struct Host {
    name: String,
    index: u8,
    keeper: Child,
    _until: Option<ChildStdin>,
}

impl Host {
    /// Makes one without any link.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn make(name: &str, index: u8) -> Result<Self, String> {
        let mut keeper = Command::new("unshare")
            .args(["--net", "--mount", "--propagation=private", "--", "/bin/sh", "-c", KEEPER])
            // Seen in lists of processes.
            .arg(format!("ambit-test-host-{name}"))
            .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("no keeper for the host {name}: {error}"))?;
        let until = keeper.stdin.take();
        let mut first = String::new();
        let read = keeper.stdout.take().map(|out| BufReader::new(out).read_line(&mut first));
        let mut host = Self { name: name.to_owned(), index, keeper, _until: until };
        if first == "there\n" {
            return Ok(host);
        }
        // It has ended, or ends now; what it complained of is the reason.
        let _ = host.keeper.kill();
        let complaint = host.keeper.stderr.take().map(std::io::read_to_string);
        Err(format!("the host {name} cannot be made: {read:?}, {complaint:?}"))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its number, which is the third part of its address.
    #[must_use]
    pub fn index(&self) -> u8 {
        self.index
    }

    /// Its address. The block is set aside for tests of networks (RFC 2544) and leads nowhere.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.index, 2)
    }

    /// The address of its next router.
    #[must_use]
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::new(198, 18, self.index, 1)
    }

    /// The process that keeps it.
    #[must_use]
    pub fn keeper(&self) -> u32 {
        self.keeper.id()
    }

    /// The words in front of a command line that make it run here, in `folder`. The process is
    /// the program's own afterwards, with the same id.
    #[must_use]
    pub fn entry(&self, folder: &Path) -> Vec<String> {
        let target = format!("--target={}", self.keeper());
        let folder = format!("--wdns={}", folder.display());
        ["nsenter", &target, "--net", "--mount", &folder, "--"].map(str::to_owned).to_vec()
    }

    /// A command that will run here.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let entry = self.entry(Path::new("/"));
        let mut command = Command::new(&entry[0]);
        command.args(&entry[1..]).arg(program);
        command
    }

    /// Runs a shell script here, to its end.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, script: &str) -> String {
        self.try_run(script).unwrap_or_else(|why| panic!("on host {}: {why}", self.name))
    }

    /// As [`Host::run`].
    ///
    /// # Errors
    /// With what was wrong.
    pub fn try_run(&self, script: &str) -> Result<String, String> {
        system::run(self.command("/bin/sh").args(["-euc", script]), "")
    }

    /// Where a file of this host is seen from outside.
    #[must_use]
    pub fn seen(&self, path: &Path) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper()));
        root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Its network, to move a thread into.
    ///
    /// # Panics
    /// When its keeper was killed.
    #[must_use]
    pub fn network(&self) -> OwnedFd {
        open_network(&format!("/proc/{}/ns/net", self.keeper()))
    }

    /// Every process on it but its keeper.
    #[must_use]
    pub fn processes(&self) -> Vec<Pid> {
        // Threads of a test enter networks and never mounts, so these are programs on the host.
        let own = mounts_of(self.keeper());
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
            .filter(|&id| id != self.keeper() && own.is_some() && mounts_of(id) == own)
            .filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?))
            .collect()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// The mounts that a process sees; none for one that has ended.
fn mounts_of(id: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{id}/ns/mnt")).ok()
}

fn open_network(path: &str) -> OwnedFd {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The network that this thread is in.
///
/// # Panics
/// Without `/proc`.
#[must_use]
pub fn network_of_this_thread() -> OwnedFd {
    open_network("/proc/thread-self/ns/net")
}

/// Moves this thread, and those that it starts from now on, into a network.
///
/// # Panics
/// When the system does not allow it.
pub fn enter(network: &OwnedFd) {
    let moved = move_into_link_name_space(
        rustix::fd::AsFd::as_fd(network),
        Some(LinkNameSpaceType::Network),
    );
    moved.expect("a thread of root's may enter a network");
}

//! What the kernel has to offer: telling processes apart, noticing their ends, memory that needs
//! no disk.

use std::path::PathBuf;

use rustix::fs::{Access, StatFs, access, statfs};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::{Finding, Patient};
use crate::exec::{Identity, kernel_boot_id};

/// Where systems have memory that looks like a folder.
const IN_MEMORY: [&str; 2] = ["/dev/shm", "/run"];
/// What statfs(2) calls tmpfs.
const TMPFS: u64 = 0x0102_1994;

pub(super) fn findings(patient: &Patient) -> Vec<Finding> {
    vec![kernel(), memory(patient)]
}

/// Leases and progress change all the time and need not outlive the kernel's boot.
fn memory(patient: &Patient) -> Finding {
    const WHAT: &str = "runtime folder";
    let named = ["RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"].map(std::env::var_os);
    let named = named.into_iter().flatten().map(PathBuf::from);
    let known = IN_MEMORY.iter().map(PathBuf::from);
    let usable = |path: &PathBuf| {
        let in_memory = statfs(path).is_ok_and(|found| kind_of(&found) == TMPFS);
        in_memory && access(path, Access::WRITE_OK | Access::EXEC_OK).is_ok()
    };
    match named.chain(known).find(usable) {
        Some(path) => {
            Finding::ok(WHAT, format!("leases and progress stay in memory ({})", path.display()))
        }
        None => {
            let way_out = "Mount a tmpfs at /run or /dev/shm, or let systemd make one: RuntimeDirectory=ambit-agent.";
            let place = patient.data.join("runtime");
            let detail = format!("leases and progress wear the disk ({})", place.display());
            Finding::warn(WHAT, detail, way_out.to_owned())
        }
    }
}

/// The type of this number differs between processors.
#[allow(clippy::unnecessary_cast)]
fn kind_of(found: &StatFs) -> u64 {
    (found.f_type as u64) & 0xffff_ffff
}

fn kernel() -> Finding {
    const WHAT: &str = "kernel";
    let missing = |what: &str, error: &dyn std::fmt::Display| {
        let way_out = "The agent needs Linux with /proc mounted: mount -t proc proc /proc.";
        Finding::fail(WHAT, format!("{what} cannot be read: {error}"), way_out.to_owned())
    };
    if let Err(error) = kernel_boot_id() {
        return missing("/proc/sys/kernel/random/boot_id", &error);
    }
    if let Err(error) = Identity::own() {
        return missing("/proc/self/stat", &error);
    }
    match pidfd_open(getpid(), PidfdFlags::empty()) {
        Ok(_) => Finding::ok(WHAT, "pidfd, /proc and a boot id are there"),
        Err(error) => {
            let way_out = "Kernels since 5.3 offer it; without, the agent looks 20 times a second whether a task has ended.";
            let detail = format!("no pidfd: {}", std::io::Error::from(error));
            Finding::warn(WHAT, detail, way_out.to_owned())
        }
    }
}

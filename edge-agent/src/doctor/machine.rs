//! What the kernel has to offer: telling processes apart, noticing their ends, memory that needs
//! no disk.

use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::{Finding, Patient};
use crate::exec::{Identity, kernel_boot_id};

pub(super) fn findings(_patient: &Patient) -> Vec<Finding> {
    vec![kernel()]
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

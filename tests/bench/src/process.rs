//! What the system knows of a process: its memory, and what it has written.

use std::fs;

/// A value of `/proc/PID/status` in KiB: `VmRSS` is the memory in use, `VmHWM` the most that ever
/// was.
pub fn memory_kib(pid: u32, name: &str) -> u64 {
    value(&format!("/proc/{pid}/status"), name)
}

/// The bytes that a process has had written to the disk.
pub fn bytes_written(pid: u32) -> u64 {
    let path = format!("/proc/{pid}/io");
    value(&path, "write_bytes").saturating_sub(value(&path, "cancelled_write_bytes"))
}

/// The memory of a process in KiB, with what it shares divided by how many share it.
pub fn proportional_kib(pid: u32) -> u64 {
    value(&format!("/proc/{pid}/smaps_rollup"), "Pss")
}

/// The memory that a process has for itself and has written to, in KiB.
pub fn dirty_kib(pid: u32) -> u64 {
    value(&format!("/proc/{pid}/smaps_rollup"), "Private_Dirty")
}

/// The processor time that the threads of a process have had, in seconds.
pub fn cpu_seconds(pid: u32) -> f64 {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return 0.0;
    };
    let nanoseconds = threads.flatten().filter_map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

fn value(path: &str, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    found.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_uses_memory_and_its_peak_is_no_less() {
        let pid = std::process::id();
        let now = memory_kib(pid, "VmRSS");
        assert!(now > 0 && memory_kib(pid, "VmHWM") >= now);
        assert_eq!(memory_kib(pid, "VmNothing"), 0);
    }
}

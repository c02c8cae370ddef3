//! The machine that the figures belong to, in one line.

use std::fs;
use std::thread::available_parallelism;

/// Processor, memory, kernel, and how busy it was when this was asked.
pub fn describe() -> String {
    let cores = available_parallelism().map_or(1, usize::from);
    let model = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let memory_kib = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split(' ').next()?.parse::<f64>().ok())
        .unwrap_or(0.0);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    format!(
        "machine: {cores} × {model}, {:.1} GiB of memory, Linux {}, {}; load {} before",
        memory_kib / 1024.0 / 1024.0,
        kernel.trim(),
        file_system(),
        load.split(' ').next().unwrap_or("?")
    )
}

/// What the figures' files lie on.
fn file_system() -> String {
    let folder = std::env::temp_dir();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let holds = |line: &&str| line.split(' ').nth(1).is_some_and(|point| folder.starts_with(point));
    let length = |line: &&str| line.split(' ').nth(1).map_or(0, str::len);
    let found = mounts.lines().filter(holds).max_by_key(length);
    let kind = found.and_then(|line| line.split(' ').nth(2)).unwrap_or("unknown");
    format!("files on {kind}")
}

/// The first value of a name in a file of `name: value` lines.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

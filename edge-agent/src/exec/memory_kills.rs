//! Whether the kernel has been killing for want of memory: the counter of the own control group,
//! or of the whole machine where there is none. Best effort; reads two small files.

use std::fs;

use super::identity::read_small;

/// The counter at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MemoryKills {
    path: String,
    count: u64,
}

impl MemoryKills {
    /// Reads the counter now. `None` where the kernel has none.
    pub(super) fn now() -> Option<Self> {
        own_group_events()
            .and_then(|path| Self::at(path, &read_small))
            .or_else(|| Self::at("/proc/vmstat".to_owned(), &|path| fs::read_to_string(path)))
    }

    /// Whether it has risen since. `false` if it cannot be read any more.
    pub(super) fn have_risen(&self) -> bool {
        let later = Self::at(self.path.clone(), &|path| fs::read_to_string(path));
        later.is_some_and(|later| later.count > self.count)
    }

    fn at(path: String, read: &dyn Fn(&str) -> std::io::Result<String>) -> Option<Self> {
        let count = counter(&read(&path).ok()?)?;
        Some(Self { path, count })
    }
}

/// The value of `oom_kill` in `memory.events` or `/proc/vmstat`.
fn counter(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|n| n.trim().parse().ok())
}

/// The file of the own control group, version 2.
fn own_group_events() -> Option<String> {
    let text = read_small("/proc/self/cgroup").ok()?;
    let group = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(format!("/sys/fs/cgroup{}/memory.events", group.trim_end_matches('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_is_found_by_its_whole_name() {
        assert_eq!(counter("low 0\noom 7\noom_kill 3\noom_group_kill 9\n"), Some(3));
        assert_eq!(counter("oom_group_kill 9\n"), None);
        assert_eq!(counter("oom_kill x"), None);
        assert_eq!(counter(""), None);
    }
}

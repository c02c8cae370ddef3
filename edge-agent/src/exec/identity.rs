//! Which process is which: a process id together with its start time, so that a recycled id is
//! never taken for the process that had it before. Reads `/proc`; signals nobody.

use std::io;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// One process of this kernel's boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The process id.
    pub pid: u32,
    /// Its start, in clock ticks since the kernel booted.
    pub start_ticks: u64,
}

/// What `/proc/PID/stat` says, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ProcessStat {
    pub identity: Identity,
    /// One letter: `R`, `S`, `D`, `Z`, …
    pub state: char,
    pub parent: u32,
    pub group: u32,
    pub session: u32,
}

impl ProcessStat {
    /// Reads the line of `/proc/PID/stat`. `None` if it is not one.
    pub(super) fn parse(line: &str) -> Option<Self> {
        // The name is the program's to choose and may hold spaces and parentheses, so the fields
        // are counted from the last parenthesis.
        let (pid, _) = line.split_once(" (")?;
        let (_, rest) = line.rsplit_once(") ")?;
        let mut fields = rest.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let group = fields.next()?.parse().ok()?;
        let session = fields.next()?.parse().ok()?;
        // Field 22 of proc_pid_stat(5); the session is field 6.
        let start_ticks = fields.nth(15)?.parse().ok()?;
        let identity = Identity { pid: pid.parse().ok()?, start_ticks };
        Some(Self { identity, state, parent, group, session })
    }

    /// Reads one process; `None` if there is none of that id.
    pub(super) fn of(pid: u32) -> Option<Self> {
        Self::parse(&read_small(&format!("/proc/{pid}/stat")).ok()?)
    }

    /// Whether it still runs: a zombie only waits for its parent to look.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.state, 'Z' | 'X' | 'x')
    }
}

impl Identity {
    /// This process.
    ///
    /// # Errors
    /// `/proc` is not mounted or unreadable.
    pub fn own() -> io::Result<Self> {
        ProcessStat::parse(&read_small("/proc/self/stat")?)
            .map(|stat| stat.identity)
            .ok_or_else(|| io::Error::other("/proc/self/stat has an unknown form"))
    }

    /// The process that has this id now.
    #[must_use]
    pub fn of(pid: u32) -> Option<Self> {
        ProcessStat::of(pid).map(|stat| stat.identity)
    }

    /// Whether exactly this process still runs.
    #[must_use]
    pub fn is_alive(self) -> bool {
        ProcessStat::of(self.pid).is_some_and(|stat| stat.identity == self && stat.is_alive())
    }

    /// The id as the kernel interface wants it; `None` for 0 and for what is no process id.
    #[must_use]
    pub fn pid(self) -> Option<Pid> {
        Pid::from_raw(i32::try_from(self.pid).ok()?).filter(|pid| pid.as_raw_nonzero().get() > 0)
    }
}

/// The kernel's boot: a random text that changes whenever the machine restarts.
///
/// # Errors
/// `/proc` is not mounted or unreadable.
pub fn kernel_boot_id() -> io::Result<String> {
    let text = read_small("/proc/sys/kernel/random/boot_id")?;
    Ok(text.trim().to_owned())
}

/// All processes that can be seen. Ends quietly where `/proc` does.
pub(super) fn processes() -> impl Iterator<Item = ProcessStat> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten();
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(ProcessStat::of)
}

/// Reads a small file of `/proc` in one go; what is not UTF-8, such as a program's name, is
/// replaced.
pub(super) fn read_small(path: &str) -> io::Result<String> {
    use io::Read as _;
    let mut buffer = [0_u8; 4096];
    let length = std::fs::File::open(path)?.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..length]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_made_to_confuse_does_not_shift_the_fields() {
        let line = "77 (a) R 1 (b c) S 5 6 7 0 -1 4 1 2 3 4 5 6 7 8 20 0 1 0 4242 99 1";
        let stat = ProcessStat::parse(line).expect("a stat line");
        assert_eq!(stat.identity, Identity { pid: 77, start_ticks: 4242 });
        assert_eq!((stat.state, stat.parent, stat.group, stat.session), ('S', 5, 6, 7));
    }

    #[test]
    fn what_is_no_stat_line_is_refused() {
        for line in ["", "1", "1 (a)", "1 (a) S 1 2", "x (a) S 1 1 1 0 0 0", ") (", "1 (a) S - - -"]
        {
            assert_eq!(ProcessStat::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn this_process_is_alive_and_its_double_is_not() {
        let own = Identity::own().expect("/proc");
        assert!(own.is_alive());
        assert!(!Identity { start_ticks: own.start_ticks + 1, ..own }.is_alive());
        assert_eq!(Identity { pid: 0, start_ticks: 0 }.pid(), None);
        assert_eq!(Identity { pid: u32::MAX, start_ticks: 0 }.pid(), None);
        assert!(!kernel_boot_id().expect("/proc").is_empty());
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_line_breaks_the_reader(line in "(?s).{0,120}|[0-9]{1,10} \\([a-z() ]{0,9}\\) [RSDZ]( -?[0-9]{1,20}){0,30}") {
            let _ = ProcessStat::parse(&line);
        }

        #[test]
        fn whatever_a_program_calls_itself_it_is_found(
            pid: u32,
            name in "[^\\x00]{0,15}",
            parent: u32,
            group: u32,
            session: u32,
            start_ticks: u64,
        ) {
            let between = "0 ".repeat(15);
            let line = format!("{pid} ({name}) S {parent} {group} {session} {between}{start_ticks} 1 2\n");
            let identity = Identity { pid, start_ticks };
            let expected = ProcessStat { identity, state: 'S', parent, group, session };
            prop_assert_eq!(ProcessStat::parse(&line), Some(expected));
        }
    }
}

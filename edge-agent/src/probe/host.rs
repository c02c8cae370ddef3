//! Load, memory, disk and facts of the machine. Every value that the system does not offer is
//! `None`; cheap enough to sample once a second on a small board.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use shared::capacity::Resources;

const BYTES_PER_MIB: u64 = 1024 * 1024;

/// The most that is read of a file of `/proc`; what is looked for stands at the beginning.
const READ_BYTES_MAX: u64 = 4096;

/// How busy the machine is at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct HostSample {
    /// The share of processor time spent working since the sample before, 0 to 1, over all
    /// cores. `None` for the first sample.
    pub cpu_load: Option<f64>,
    /// The share of memory that could not be given to a new task, 0 to 1.
    pub memory_used: Option<f64>,
    /// The share of the data directory's disk in use, 0 to 1.
    pub disk_used: Option<f64>,
    /// What the agent can still write to that disk, MiB.
    pub disk_free_mib: Option<u64>,
}

/// What the machine is. Does not change while the agent runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// Processor cores that the agent may use, within its affinity and control group.
    pub cores: Option<u32>,
    /// Memory in all, MiB.
    pub memory_total_mib: Option<u64>,
    /// What was free for the agent on the data directory's disk when it was asked, MiB.
    pub disk_free_mib: Option<u64>,
    /// The processor's architecture: `x86_64`, `aarch64`, `arm`, …
    pub arch: &'static str,
    /// The distribution by its `ID` in os-release: `debian`, `ubuntu`, `alpine`, …; otherwise
    /// the system's family, such as `linux`.
    pub os: String,
}

impl HostFacts {
    /// Asks the machine.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        let release = read("/etc/os-release").or_else(|| read("/usr/lib/os-release"));
        let cores = std::thread::available_parallelism().ok();
        Self {
            cores: cores.and_then(|cores| u32::try_from(cores.get()).ok()),
            memory_total_mib: read("/proc/meminfo")
                .and_then(|text| Memory::parse(&text))
                .map(|memory| memory.total_kib / 1024),
            disk_free_mib: Disk::of(data_dir).map(|disk| disk.free_bytes / BYTES_PER_MIB),
            arch: std::env::consts::ARCH,
            os: release
                .and_then(|text| os_release_id(&text))
                .unwrap_or_else(|| std::env::consts::OS.to_owned()),
        }
    }

    /// What the agent offers when its configuration does not say: everything that was measured;
    /// no bandwidth and no devices, which cannot be.
    #[must_use]
    pub fn default_capacity(&self) -> Resources {
        Resources {
            cpu_millis: u64::from(self.cores.unwrap_or(0)) * 1000,
            memory_mib: self.memory_total_mib.unwrap_or(0),
            disk_mib: self.disk_free_mib.unwrap_or(0),
            ..Resources::default()
        }
    }
}

/// Samples the machine again and again.
#[derive(Debug)]
pub struct HostProbe {
    data_dir: PathBuf,
    before: Option<CpuTimes>,
}

impl HostProbe {
    /// A probe for the machine and the disk that holds `data_dir`.
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self { data_dir: data_dir.to_owned(), before: None }
    }

    /// Looks now. The load is that since the last call.
    pub fn sample(&mut self) -> HostSample {
        let now = read("/proc/stat").and_then(|text| CpuTimes::parse(&text));
        let cpu_load = match (self.before, now) {
            (Some(before), Some(now)) => now.load_since(before),
            _ => None,
        };
        self.before = now.or(self.before);
        let memory = read("/proc/meminfo").and_then(|text| Memory::parse(&text));
        let disk = Disk::of(&self.data_dir);
        HostSample {
            cpu_load,
            memory_used: memory.map(Memory::used),
            disk_used: disk.and_then(Disk::used),
            disk_free_mib: disk.map(|disk| disk.free_bytes / BYTES_PER_MIB),
        }
    }
}

/// Processor time since the machine started, in clock ticks, over all cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct CpuTimes {
    total: u64,
    idle: u64,
}

impl CpuTimes {
    /// Reads the first line of `/proc/stat` (proc_stat(5)).
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        // user nice system idle iowait irq softirq steal; guest time is part of user time.
        let mut times = [0_u64; 8];
        let mut fields = line.split_ascii_whitespace();
        for (index, time) in times.iter_mut().enumerate() {
            match fields.next() {
                Some(field) => *time = field.parse().ok()?,
                None if index >= 4 => break,
                None => return None,
            }
        }
        let total = times.iter().fold(0_u64, |sum, &time| sum.saturating_add(time));
        Some(Self { total, idle: times[3].saturating_add(times[4]) })
    }

    /// The share of time spent working; `None` if no time has passed.
    fn load_since(self, before: Self) -> Option<f64> {
        let total = self.total.checked_sub(before.total).filter(|&ticks| ticks > 0)?;
        // Waiting time is known to go back now and then.
        let idle = self.idle.saturating_sub(before.idle).min(total);
        Some(fraction(total - idle, total))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Memory {
    total_kib: u64,
    available_kib: u64,
}

impl Memory {
    /// Reads `/proc/meminfo` (proc_meminfo(5)).
    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        };
        let total_kib = value("MemTotal").filter(|&kib| kib > 0)?;
        let available_kib = value("MemAvailable")?.min(total_kib);
        Some(Self { total_kib, available_kib })
    }

    fn used(self) -> f64 {
        fraction(self.total_kib - self.available_kib, self.total_kib)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Disk {
    used_bytes: u64,
    /// Without what is reserved for the superuser.
    free_bytes: u64,
}

impl Disk {
    fn of(dir: &Path) -> Option<Self> {
        let found = rustix::fs::statvfs(dir).ok()?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Some(Self {
            used_bytes: bytes(found.f_blocks.saturating_sub(found.f_bfree)),
            free_bytes: bytes(found.f_bavail),
        })
    }

    /// As `df` counts; `None` for a file system without a size.
    fn used(self) -> Option<f64> {
        let total = self.used_bytes.saturating_add(self.free_bytes);
        (total > 0).then(|| fraction(self.used_bytes, total))
    }
}

/// The `ID` of os-release(5), if it is as specified: lower case letters, digits, `.`, `_`, `-`.
fn os_release_id(text: &str) -> Option<String> {
    let value = text.lines().find_map(|line| line.strip_prefix("ID="))?.trim();
    let value = value.trim_matches(['"', '\'']);
    let allowed =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    let fits = !value.is_empty() && value.len() <= 64 && value.chars().all(allowed);
    fits.then(|| value.to_owned())
}

#[allow(clippy::cast_precision_loss)] // a share of time, memory or disk needs no more precision
fn fraction(part: u64, whole: u64) -> f64 {
    (part as f64 / whole as f64).clamp(0.0, 1.0)
}

/// The beginning of a text file; `None` if there is none.
fn read(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(1024);
    File::open(path).ok()?.take(READ_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_the_share_of_time_not_idle() {
        let before = CpuTimes::parse("cpu  100 0 100 700 100 0 0 0 0 0\ncpu0 1\n").expect("times");
        let now = CpuTimes::parse("cpu  150 0 150 790 110 0 0 0 50 0\n").expect("times");
        assert_eq!(now.load_since(before), Some(0.5));
        assert_eq!(now.load_since(now), None, "no time has passed");
        assert_eq!(before.load_since(now), None, "time went back");
        let waited_less = CpuTimes { total: before.total + 10, idle: before.idle - 5 };
        assert_eq!(waited_less.load_since(before), Some(1.0));
    }

    #[test]
    fn hostile_processor_times_are_no_times() {
        for text in
            ["", "cpu", "cpu ", "cpu 1 2 3", "cpu a b c d", "cpu0 1 2 3 4 5", "cpu -1 0 0 0"]
        {
            assert_eq!(CpuTimes::parse(text), None, "{text:?}");
        }
        let most = u64::MAX;
        let times = CpuTimes::parse(&format!("cpu {most} {most} {most} {most} {most}"));
        assert_eq!(times, Some(CpuTimes { total: most, idle: most }));
        assert!(CpuTimes::parse("cpu 1 2 3 4").is_some(), "old kernels say no more");
    }

    #[test]
    fn memory_in_use_is_what_is_not_available() {
        let text = "MemTotal:       4000 kB\nMemFree: 1 kB\nMemAvailable:   1000 kB\n";
        let memory = Memory::parse(text).expect("memory");
        assert_eq!((memory.total_kib, memory.used()), (4000, 0.75));
        for text in [
            "",
            "MemTotal: 0 kB\nMemAvailable: 0 kB",
            "MemTotal: 1 kB",
            "MemTotal: 9 MB\nMemAvailable: 1 MB",
            "MemTotal: -4 kB\nMemAvailable: 1 kB",
            "MemTotalX: 4 kB\nMemAvailable: 1 kB",
        ] {
            assert_eq!(Memory::parse(text), None, "{text:?}");
        }
        let more = Memory::parse("MemTotal: 4 kB\nMemAvailable: 9 kB").expect("memory");
        assert_eq!(more.used(), 0.0);
    }

    #[test]
    fn a_disk_without_size_has_no_share() {
        assert_eq!(Disk { used_bytes: 0, free_bytes: 0 }.used(), None);
        assert_eq!(Disk { used_bytes: 3, free_bytes: 1 }.used(), Some(0.75));
        assert_eq!(Disk::of(Path::new("/no/such/place")), None);
    }

    #[test]
    fn an_os_id_is_a_label_value_or_nothing() {
        let id = |text| os_release_id(text);
        assert_eq!(id("NAME=x\nVERSION_ID=9\nID=debian\n").as_deref(), Some("debian"));
        assert_eq!(id("ID=\"opensuse-leap\"\n").as_deref(), Some("opensuse-leap"));
        for text in ["", "ID=", "ID=\"\"", "ID=a b", "ID=$(reboot)", "VERSION_ID=9", "ID=Ä"] {
            assert_eq!(id(text), None, "{text:?}");
        }
    }

    #[test]
    fn this_machine_has_something() {
        let dir = std::env::temp_dir();
        let facts = HostFacts::of(&dir);
        assert!(facts.default_capacity().cpu_millis >= 1000);
        assert!(!facts.arch.is_empty() && !facts.os.is_empty());
        let mut probe = HostProbe::new(&dir);
        assert_eq!(probe.sample().cpu_load, None, "nothing to compare with yet");
        let sample = probe.sample();
        for share in [sample.cpu_load, sample.memory_used, sample.disk_used].into_iter().flatten() {
            assert!((0.0..=1.0).contains(&share));
        }
        let nowhere = HostProbe::new(Path::new("/no/such/place")).sample();
        assert_eq!((nowhere.disk_used, nowhere.disk_free_mib), (None, None));
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn nothing_the_kernel_could_say_breaks_the_readers(
            text in "(?s).{0,120}|cpu ( ?[0-9]{1,20}){0,10}\n|(MemTotal|MemAvailable): *[0-9]{0,21} kB\n{0,3}",
            total: u64,
            available: u64,
        ) {
            if let Some(times) = CpuTimes::parse(&text) {
                prop_assert_eq!(times.load_since(times), None);
            }
            let _ = Memory::parse(&text);
            let text = format!("MemTotal: {total} kB\nMemAvailable: {available} kB\n");
            if let Some(memory) = Memory::parse(&text) {
                prop_assert!((0.0..=1.0).contains(&memory.used()));
            }
        }
    }
}

//! What a host is beside its network: its disk, its clock, and the number of its boot. All of it
//! is mounted where only the host sees it.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::Host;

/// What a host's wall clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WallClock {
    /// So many seconds after 1970 began, when it is set, and on from there.
    Since1970(i64),
    /// So many seconds more than is right.
    Ahead(i64),
}

impl WallClock {
    /// How many seconds that is more than is right, now.
    #[must_use]
    pub fn offset_s(self) -> i64 {
        match self {
            Self::Ahead(seconds) => seconds,
            Self::Since1970(seconds) => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                seconds - i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
            }
        }
    }
}

/// What a program must have in its environment so that only its wall clock lies, as with a real
/// clock that is set wrong.
pub const TRUE_MONOTONIC: (&str, &str) = ("FAKETIME_DONT_FAKE_MONOTONIC", "1");

/// The library that lies about the time, where Debian and others put it.
const LIBRARIES: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

impl Host {
    /// Mounts a small disk of its own at a folder, which must exist.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn mount_disk(&self, folder: &Path, mib: u32) {
        self.run(&format!("mount -t tmpfs -o size={mib}m,mode=0700 tmpfs '{}'", folder.display()));
    }

    /// Gives it the number of another boot, as a restart of its kernel would.
    ///
    /// # Panics
    /// When the system refuses.
    pub fn reboot(&self) {
        // A file on a disk of its own, so that nothing is left of it.
        self.run(
            "kept=$(mktemp -d)
             mount -t tmpfs tmpfs \"$kept\"
             cat /proc/sys/kernel/random/uuid > \"$kept/boot_id\"
             mount --bind \"$kept/boot_id\" /proc/sys/kernel/random/boot_id
             umount -l \"$kept\"
             rmdir \"$kept\"",
        );
    }

    /// Sets its wall clock, for every program started from now on, whatever its environment says.
    /// The other clocks go wrong too, but in programs that have [`TRUE_MONOTONIC`].
    ///
    /// # Errors
    /// When the library for that is not installed, or the system refuses.
    pub fn set_clock(&self, clock: WallClock) -> Result<(), String> {
        let library = library()?;
        let offset = clock.offset_s();
        // The library leaves files in /dev/shm behind when its program is killed.
        self.try_run(&format!(
            "mount -t tmpfs tmpfs /dev/shm
             mkdir /dev/shm/upper /dev/shm/work
             mount -t overlay overlay \
               -o lowerdir=/etc,upperdir=/dev/shm/upper,workdir=/dev/shm/work /etc
             echo '{offset:+}' > /etc/faketimerc
             echo {library} > /etc/ld.so.preload"
        ))
        .map(drop)
    }
}

/// The library that makes a program see another wall clock.
///
/// # Errors
/// When it is not installed.
pub fn library() -> Result<&'static str, String> {
    let found = LIBRARIES.iter().find(|path| Path::new(path).is_file());
    found
        .copied()
        .ok_or_else(|| "libfaketime is missing; on Debian: apt install faketime".to_owned())
}

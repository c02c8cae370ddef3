//! Leases: until when a task may run without word from the core, and the small file in which the
//! agent notes what it heard. Supervisors read that file by themselves, so that a task ends in time
//! even if the agent is gone. All times are milliseconds of CLOCK_BOOTTIME: it goes on while the
//! board sleeps, and nobody can set it.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::identity::kernel_boot_id;
use super::runtime_dir;

/// The file's name in the runtime folder.
const NAME: &str = "lease";

/// The kernel's boot, the time, and a check over both.
const RECORD_BYTES: usize = 32;

/// How often a record is read again that was being written. A write takes less than a microsecond
/// and comes at most once a second, so the second try does.
const TRIES: usize = 8;

/// Under which conditions a task may run on without word from the core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// How long the lease lasts from the moment at which a ping was sent that was answered.
    pub lease_ms: u64,
    /// How long the task may take to end by itself when it is asked to.
    pub grace_ms: u64,
    /// How long before the end of the lease nothing of the task may be left.
    pub margin_ms: u64,
    /// The renewal that is known when the task is started. Later ones are in the [`LeaseFile`].
    pub renewed_ms: u64,
}

impl Lease {
    /// When the task is asked to end, if the lease was last renewed then.
    #[must_use]
    pub fn ask_at_ms(&self, renewed_ms: u64) -> u64 {
        self.kill_at_ms(renewed_ms).saturating_sub(self.grace_ms)
    }

    /// When what is left of the task is killed, if the lease was last renewed then.
    #[must_use]
    pub fn kill_at_ms(&self, renewed_ms: u64) -> u64 {
        renewed_ms.saturating_add(self.lease_ms).saturating_sub(self.margin_ms)
    }
}

/// Where the agent notes its last renewal. A name only: making one touches nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeaseFile {
    path: PathBuf,
}

impl LeaseFile {
    /// The one in this runtime folder.
    #[must_use]
    pub fn at(runtime_dir: &Path) -> Self {
        Self { path: runtime_dir.join(NAME) }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Notes that a ping was answered which was sent at this time of CLOCK_BOOTTIME. Makes the
    /// folder anew if somebody removed it.
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn renew(&self, sent_boottime_ms: u64) -> io::Result<()> {
        let record = encode(own_boot()?, sent_boottime_ms);
        match self.write(&record) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = self.path.parent() {
                    runtime_dir::make_private(parent)?;
                }
                self.write(&record)
            }
            done => done,
        }
    }

    /// The last renewal of this boot of the kernel, if there was one and it can be read.
    #[must_use]
    pub fn read(&self) -> Option<u64> {
        let boot = own_boot().ok()?;
        for _ in 0..TRIES {
            let (record_boot, renewed_ms) = match self.read_record() {
                Ok(Some(read)) => read,
                // Half of an old record and half of a new one.
                Ok(None) => {
                    std::thread::yield_now();
                    continue;
                }
                Err(_) => return None,
            };
            return (record_boot == boot).then_some(renewed_ms);
        }
        None
    }

    fn write(&self, record: &[u8; RECORD_BYTES]) -> io::Result<()> {
        // In place, not by way of a new file: a task that filled the tmpfs must not be able to
        // end the leases of others.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        options.open(&self.path)?.write_all_at(record, 0)
    }

    fn read_record(&self) -> io::Result<Option<([u8; 16], u64)>> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = OpenOptions::new().read(true).custom_flags(flags).open(&self.path)?;
        let mut record = [0; RECORD_BYTES];
        file.read_exact_at(&mut record, 0)?;
        Ok(decode(&record))
    }
}

fn encode(boot: [u8; 16], renewed_ms: u64) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..16].copy_from_slice(&boot);
    record[16..24].copy_from_slice(&renewed_ms.to_le_bytes());
    let check = runtime_dir::hash(&record[..24]);
    record[24..].copy_from_slice(&check.to_le_bytes());
    record
}

/// `None` if it is no whole record.
fn decode(record: &[u8; RECORD_BYTES]) -> Option<([u8; 16], u64)> {
    let number = |at: usize| {
        let bytes = record.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    };
    let is_whole = number(24)? == runtime_dir::hash(&record[..24]);
    is_whole.then_some((record[..16].try_into().ok()?, number(16)?))
}

/// The kernel's boot as 16 bytes.
fn own_boot() -> io::Result<[u8; 16]> {
    let text = kernel_boot_id()?;
    let digits = text.chars().filter(|&c| c != '-').collect::<String>();
    u128::from_str_radix(&digits, 16)
        .map(u128::to_be_bytes)
        .map_err(|_| io::Error::other("/proc/sys/kernel/random/boot_id has an unknown form"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn fresh() -> (tempfile::TempDir, LeaseFile) {
        let root = tempfile::tempdir().expect("a temporary directory");
        let file = LeaseFile::at(&root.path().join("run"));
        (root, file)
    }

    #[test]
    fn the_last_renewal_is_read_and_a_lost_folder_is_made_anew() {
        let (_root, file) = fresh();
        assert_eq!(file.read(), None);
        file.renew(17).expect("a first renewal");
        assert_eq!(file.read(), Some(17));
        file.renew(u64::MAX).expect("another");
        assert_eq!(file.read(), Some(u64::MAX));
        fs::remove_dir_all(file.path().parent().expect("a folder")).expect("remove");
        assert_eq!(file.read(), None);
        file.renew(18).expect("after the loss");
        assert_eq!(file.read(), Some(18));
    }

    #[test]
    fn what_is_not_of_this_boot_or_not_whole_is_no_renewal() {
        let (_root, file) = fresh();
        file.renew(17).expect("a renewal");
        fs::write(file.path(), encode([7; 16], 17)).expect("write");
        assert_eq!(file.read(), None, "of another boot");
        let whole = encode(own_boot().expect("/proc"), 17);
        for length in 0..RECORD_BYTES {
            fs::write(file.path(), &whole[..length]).expect("write");
            assert_eq!(file.read(), None, "{length} bytes");
        }
        for bit in 0..RECORD_BYTES * 8 {
            let mut damaged = whole;
            damaged[bit / 8] ^= 1 << (bit % 8);
            fs::write(file.path(), damaged).expect("write");
            assert_eq!(file.read(), None, "bit {bit}");
        }
        fs::write(file.path(), whole).expect("write");
        assert_eq!(file.read(), Some(17));
        fs::remove_file(file.path()).expect("remove");
        let pipe = std::process::Command::new("mkfifo").arg(file.path()).status().expect("mkfifo");
        assert!(pipe.success());
        assert_eq!(file.read(), None, "a pipe holds nobody up");
    }

    #[test]
    fn a_reader_never_sees_half_of_a_renewal() {
        let (_root, file) = fresh();
        file.renew(0).expect("a renewal");
        let ends = u64::from(u32::MAX) << 32;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..20_000_u64 {
                    file.renew(if n % 2 == 0 { ends } else { !ends }).expect("a renewal");
                }
                file.renew(1).expect("the last");
            });
            loop {
                match file.read() {
                    Some(1) => break,
                    Some(read) => assert!(read == 0 || read == ends || read == !ends, "{read:x}"),
                    None => panic!("a renewal was taken for none"),
                }
            }
        });
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_record_is_read_back_and_a_damaged_one_is_none(
            boot: [u8; 16],
            renewed_ms: u64,
            at in 0..RECORD_BYTES,
            bit in 0_u8..8,
            other: [u8; RECORD_BYTES],
        ) {
            let mut record = encode(boot, renewed_ms);
            prop_assert_eq!(decode(&record), Some((boot, renewed_ms)));
            record[at] ^= 1 << bit;
            prop_assert_eq!(decode(&record), None);
            let _ = decode(&other);
        }
    }
}

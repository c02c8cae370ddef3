//! Room on the disk for how an attempt ended, taken before the attempt begins: a task that fills
//! the disk, or a disk that fills while it runs, does not cost its outcome. Knows the spare file
//! and how it becomes `exit.json`.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::Errno;

use super::record::{ExitRecord, TAIL_BYTES_MAX};

/// What is taken. More than this is needed only for output that is mostly control characters,
/// which JSON spells out.
pub(super) const RESERVE_BYTES: u64 = 4096 + 2 * TAIL_BYTES_MAX as u64;

/// A file that is as large as an outcome may become, and becomes it.
#[derive(Debug)]
pub(super) struct ExitReserve {
    spare: PathBuf,
    exit: PathBuf,
    used: bool,
}

impl ExitReserve {
    /// Takes the room. The spare file has the process's number in its name, since this comes
    /// before it is known who has the attempt.
    pub(super) fn take(exit: PathBuf) -> io::Result<Self> {
        let spare = exit.with_extension(format!("json.{}", std::process::id()));
        let reserve = Self { spare, exit, used: false };
        let file = reserve.open()?;
        // Beyond the end of the file, so that nothing need be cut off from an outcome that is shorter.
        match fallocate(&file, FallocateFlags::KEEP_SIZE, 0, RESERVE_BYTES) {
            Ok(()) => Ok(reserve),
            // Not every file system can; then it is written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                file.write_all_at(&[0; RESERVE_BYTES as usize], 0)?;
                Ok(reserve)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Writes the outcome. It appears whole or not at all. When there is no room for all of it,
    /// its tails are shortened to what was reserved.
    pub(super) fn keep(&mut self, record: &ExitRecord) -> io::Result<()> {
        self.write(&serde_json::to_vec(record)?).or_else(|error| {
            let shorter = shortened(record, usize::try_from(RESERVE_BYTES).unwrap_or(usize::MAX))?;
            if is_full(&error) { self.write(&shorter) } else { Err(error) }
        })
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // No fsync: after a power cut no process is left for which the file would matter, and the
        // kernel's boot id tells that there was one.
        let file = self.open()?;
        file.write_all_at(bytes, 0)?;
        if file.metadata()?.len() > bytes.len() as u64 {
            file.set_len(bytes.len() as u64)?;
        }
        // Closed before it can be seen: who sees it may remove it, and then its room is free at once.
        drop(file);
        fs::rename(&self.spare, &self.exit)?;
        self.used = true;
        Ok(())
    }

    fn open(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
        options.open(&self.spare)
    }
}

impl Drop for ExitReserve {
    fn drop(&mut self) {
        if !self.used {
            let _ = fs::remove_file(&self.spare);
        }
    }
}

/// The record with tails so short that it fits.
fn shortened(record: &ExitRecord, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut record = record.clone();
    loop {
        let bytes = serde_json::to_vec(&record)?;
        if bytes.len() <= bytes_max {
            return Ok(bytes);
        }
        let mut shorter = false;
        for (tail, truncated) in [
            (&mut record.stdout_tail, &mut record.stdout_truncated),
            (&mut record.stderr_tail, &mut record.stderr_truncated),
        ] {
            let cut = (tail.len().div_ceil(2)..=tail.len()).find(|&at| tail.is_char_boundary(at));
            if let Some(cut) = cut.filter(|&cut| cut > 0) {
                tail.drain(..cut);
                (*truncated, shorter) = (true, true);
            }
        }
        if !shorter {
            return Ok(bytes);
        }
    }
}

/// Whether the disk, or this user's share of it, is full.
pub(super) fn is_full(error: &io::Error) -> bool {
    [Errno::NOSPC, Errno::DQUOT]
        .iter()
        .any(|full| error.raw_os_error() == Some(full.raw_os_error()))
}

/// A sentence for the owner of a task that was not started because the disk is full.
pub(super) fn full_sentence(place: &Path, error: &io::Error) -> String {
    format!(
        "The agent's disk is full, so the task was not started ({}: {error}); make room there, or run it on another agent.",
        place.display()
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::exec::record::End;

    fn record(tail: &str) -> ExitRecord {
        ExitRecord {
            end: End::Exited { code: 3 },
            started_wall_ms: 1,
            ended_wall_ms: 2,
            duration_ms: 1,
            stdout_tail: tail.to_owned(),
            stderr_tail: String::new(),
            stdout_truncated: false,
            stderr_truncated: false,
            out_of_memory: false,
            log_end_offset: tail.len() as u64,
            written_bytes: 0,
        }
    }

    #[test]
    fn the_room_is_taken_at_once_and_becomes_the_outcome() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let exit = root.path().join("exit.json");
        let mut reserve = ExitReserve::take(exit.clone()).expect("room");
        let taken = fs::metadata(&reserve.spare).expect("a file");
        assert!(taken.blocks() * 512 >= RESERVE_BYTES, "{taken:?}");
        assert!(!exit.exists());
        reserve.keep(&record("abc")).expect("kept");
        let read: ExitRecord =
            serde_json::from_slice(&fs::read(&exit).expect("there")).expect("whole");
        assert_eq!(read, record("abc"));
        drop(reserve);
        assert_eq!(fs::read_dir(root.path()).expect("a folder").count(), 1);
        // What was written before, and was longer, leaves nothing behind.
        let mut reserve = ExitReserve::take(exit.clone()).expect("room");
        fs::write(&reserve.spare, [b'x'; 5_000]).expect("written");
        reserve.keep(&record("ab")).expect("kept");
        let read: ExitRecord =
            serde_json::from_slice(&fs::read(&exit).expect("there")).expect("whole");
        assert_eq!(read, record("ab"));
    }

    #[test]
    fn room_that_was_not_needed_is_given_back() {
        let root = tempfile::tempdir().expect("a temporary directory");
        drop(ExitReserve::take(root.path().join("exit.json")).expect("room"));
        assert_eq!(fs::read_dir(root.path()).expect("a folder").count(), 0);
    }

    #[test]
    fn an_outcome_that_is_too_long_loses_its_tails_and_not_its_end() {
        let whole = record(&"\u{1}ä€".repeat(5_000));
        for bytes_max in [300, 1_000, 36_000] {
            let bytes = shortened(&whole, bytes_max).expect("JSON");
            assert!(bytes.len() <= bytes_max);
            let read: ExitRecord = serde_json::from_slice(&bytes).expect("whole");
            assert!(read.stdout_truncated && whole.stdout_tail.ends_with(&read.stdout_tail));
            assert_eq!(read.end, whole.end);
        }
        let bytes = shortened(&whole, 10).expect("JSON");
        assert!(
            serde_json::from_slice::<ExitRecord>(&bytes).expect("whole").stdout_tail.is_empty()
        );
    }
}

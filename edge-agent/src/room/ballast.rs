//! The ballast: a file without meaning that takes room while there is plenty, so that there is
//! some to let go when there is none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

const BYTES_PER_MIB: u64 = 1024 * 1024;
/// What is written at a time where room cannot be reserved.
const CHUNK_BYTES: usize = 64 * 1024;

/// The ballast of one data folder. A name only: making one touches nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballast {
    path: PathBuf,
    mib: u64,
}

impl Ballast {
    /// Ballast of this size.
    #[must_use]
    pub fn in_folder(data: &Path, mib: u64) -> Self {
        Self { path: data.join("ballast"), mib }
    }

    /// How much there is to be, MiB.
    #[must_use]
    pub fn wanted_mib(&self) -> u64 {
        self.mib
    }

    /// How much there is, in bytes on the disk.
    #[must_use]
    pub fn held_bytes(&self) -> u64 {
        fs::symlink_metadata(&self.path).map_or(0, |found| found.blocks().saturating_mul(512))
    }

    /// Makes it as large as it is to be, if that leaves so much room for others. Answers whether
    /// it was changed.
    ///
    /// # Errors
    /// The disk refuses; then there is none.
    pub fn take(&self, free_mib: u64, leave_mib: u64) -> io::Result<bool> {
        let wanted = self.mib.saturating_mul(BYTES_PER_MIB);
        let held = self.held_bytes();
        if wanted == 0 {
            return Ok(self.release());
        }
        // A file system may round, or count its own bookkeeping.
        if held >= wanted && held <= wanted.saturating_add(BYTES_PER_MIB) {
            return Ok(false);
        }
        if held > wanted {
            self.release();
        }
        let more_mib = wanted.saturating_sub(self.held_bytes()).div_ceil(BYTES_PER_MIB);
        if free_mib < leave_mib.saturating_add(more_mib) {
            return Ok(held > wanted);
        }
        let taken = self.fill(wanted);
        if taken.is_err() {
            self.release();
        }
        taken.map(|()| true)
    }

    /// Lets it go. Answers whether there was any.
    pub fn release(&self) -> bool {
        let held = self.held_bytes() > 0;
        fs::remove_file(&self.path).is_ok() && held
    }

    fn fill(&self, bytes: u64) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let mut file =
            options.write(true).create(true).truncate(false).mode(0o600).open(&self.path)?;
        match fallocate(&file, FallocateFlags::empty(), 0, bytes) {
            Ok(()) => Ok(()),
            // Not every file system can; then it is written.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write(&mut file, bytes),
            Err(error) => Err(error.into()),
        }
    }
}

/// Writes what no file system can keep in less room.
fn write(file: &mut File, bytes: u64) -> io::Result<()> {
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = bytes;
    let mut chunk = Vec::with_capacity(CHUNK_BYTES);
    while left > 0 {
        chunk.clear();
        while chunk.len() < CHUNK_BYTES {
            // Xorshift (Marsaglia, 2003).
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            chunk.extend_from_slice(&word.to_le_bytes());
        }
        let part = usize::try_from(left).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        file.write_all(chunk.get(..part).unwrap_or_default())?;
        left -= part as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ballast_is_taken_while_there_is_room_and_let_go_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let ballast = Ballast::in_folder(folder.path(), 2);
        assert!(!ballast.take(65, 64).expect("too little room"), "the reserve comes first");
        assert_eq!((ballast.held_bytes(), ballast.release()), (0, false));
        assert!(ballast.take(66, 64).expect("room"));
        let held = ballast.held_bytes();
        assert!((2 * BYTES_PER_MIB..=3 * BYTES_PER_MIB).contains(&held), "{held}");
        assert!(!ballast.take(66, 64).expect("room"), "it is there");
        assert!(ballast.release());
        assert_eq!((ballast.held_bytes(), ballast.release()), (0, false));
    }

    #[test]
    fn ballast_of_another_size_is_made_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(Ballast::in_folder(folder.path(), 8).take(100, 0).expect("room"));
        let smaller = Ballast::in_folder(folder.path(), 1);
        assert!(smaller.take(100, 0).expect("room"));
        assert!((BYTES_PER_MIB..2 * BYTES_PER_MIB).contains(&smaller.held_bytes()));
        assert!(Ballast::in_folder(folder.path(), 0).take(100, 0).expect("none"));
        assert_eq!(smaller.held_bytes(), 0);
    }

    #[test]
    fn where_room_cannot_be_reserved_it_is_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut file = File::create(folder.path().join("written")).expect("create");
        write(&mut file, 3 * CHUNK_BYTES as u64 + 5).expect("room");
        let text = fs::read(folder.path().join("written")).expect("read");
        assert_eq!(text.len(), 3 * CHUNK_BYTES + 5);
        assert!(text.windows(32).step_by(32).all(|part| part != [0; 32]));
    }
}

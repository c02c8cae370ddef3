//! The data folder belongs to one agent process at a time: a lock that the kernel takes back when
//! the process ends, however it ends.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use shared_runtime::disk::create_private_folder;

use crate::config::lock_in;

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// It cannot be made or written.
    #[error("cannot use the data folder {}: {source}; make it writable for this user, or name another with --data", .path.display())]
    Unusable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another agent uses it.
    #[error("another agent{} uses the data folder {}; stop that one, or name another folder with --data", holder(.pid), .path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its process, if it could be read.
        pid: Option<u32>,
    },
}

fn holder(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

/// A data folder that is ours until this is dropped.
#[derive(Debug)]
pub struct Folder {
    _lock: File,
}

impl Folder {
    /// Takes the folder, and makes it if it is missing.
    ///
    /// # Errors
    /// It cannot be used, or another agent uses it.
    pub fn take(data: &Path) -> Result<Self, FolderError> {
        let unusable = |source| FolderError::Unusable { path: data.to_owned(), source };
        create_private_folder(data).map_err(unusable)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut lock = options.open(lock_in(data)).map_err(unusable)?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                return Err(FolderError::InUse { path: data.to_owned(), pid: pid_in(&mut lock) });
            }
            Err(error) => return Err(unusable(error.into())),
        }
        // For people; the lock is what counts, also on a disk that has no room for a number.
        let _ = lock
            .set_len(0)
            .and_then(|()| lock.rewind())
            .and_then(|()| writeln!(lock, "{}", std::process::id()));
        Ok(Self { _lock: lock })
    }

    /// The process that uses a folder, if one does: `Some(None)` if its id cannot be read.
    #[must_use]
    pub fn user_of(data: &Path) -> Option<Option<u32>> {
        let mut lock = File::open(lock_in(data)).ok()?;
        match flock(&lock, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK) => Some(pid_in(&mut lock)),
            _ => None,
        }
    }
}

fn pid_in(lock: &mut File) -> Option<u32> {
    let mut text = String::new();
    lock.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_agent_at_a_time() {
        let root = tempfile::tempdir().expect("a folder");
        let data = root.path().join("data");
        assert_eq!(Folder::user_of(&data), None);
        let first = Folder::take(&data).expect("free");
        let error = Folder::take(&data).expect_err("in use").to_string();
        let own = format!("(process {})", std::process::id());
        assert!(error.contains(&own) && error.contains("--data"), "{error}");
        assert_eq!(Folder::user_of(&data), Some(Some(std::process::id())));
        drop(first);
        assert_eq!(Folder::user_of(&data), None);
        Folder::take(&data).expect("free again");
    }
}

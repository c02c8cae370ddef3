//! The directory of one attempt, `DATA/attempts/{task id}.{attempt}/`: the only place where its
//! file names are spelled. Every file appears whole or not at all, so a reader never has to wait
//! for a writer; what cannot be read has a name and never ends the program.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use serde::Serialize;
use serde::de::DeserializeOwned;
use shared::id::AssignmentId;
use shared::schedule::PAYLOAD_BYTES_MAX;

use super::record::{ChildRecord, ExitRecord, Lock, Spec};
use super::reserve::{self, ExitReserve};

/// The largest file of an attempt that is read; what is larger was not written by us.
pub const FILE_BYTES_MAX: u64 = 1024 * 1024;

const SPEC: &str = "spec.json";
const LOCK: &str = "lock";
const CHILD: &str = "child";
const EXIT: &str = "exit.json";
const WORK: &str = "work";
const EVENT: &str = "event";
/// How the names of directories begin that are only there to be removed.
const ASIDE: &str = "gone.";
const PROGRESS: &str = "progress";
const LOGS: [&str; 2] = ["log.0", "log.1"];

/// Why a file of an attempt cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// It is not there.
    #[error("{} does not exist", .path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// It is there although it must not be.
    #[error("{} exists already", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It is a directory, a link, a pipe: anything but a file.
    #[error("{} is not a regular file; remove it", .path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// It is larger than anything written here.
    #[error("{} is larger than {FILE_BYTES_MAX} bytes; remove it", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is half-written or was changed by somebody else.
    #[error("{} is damaged: {source}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: serde_json::Error,
    },
    /// The system refused.
    #[error("cannot {verb} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl AttemptError {
    /// A sentence for the task's owner if the disk is full, and nothing else is wrong.
    pub(super) fn full_sentence(&self) -> Option<String> {
        match self {
            Self::Io { path, source, .. } if reserve::is_full(source) => {
                Some(reserve::full_sentence(path, source))
            }
            _ => None,
        }
    }
}

/// The result of touching an attempt's directory.
pub type AttemptResult<T> = Result<T, AttemptError>;

/// The directory of one attempt. A name only: making one touches nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptDir {
    path: PathBuf,
}

impl AttemptDir {
    /// The directory of an attempt under `attempts_dir`, which is `DATA/attempts`.
    #[must_use]
    pub fn of(attempts_dir: &Path, id: AssignmentId) -> Self {
        Self { path: attempts_dir.join(id.to_string()) }
    }

    /// A directory whose path is known, as on a supervisor's command line.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the directory, readable for its owner only, since the environment may hold secrets.
    /// Answers whether it was made just now.
    ///
    /// # Errors
    /// The disk is full, or the parent is missing or not writable.
    pub fn create(&self) -> AttemptResult<bool> {
        match DirBuilder::new().mode(0o700).create(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(source) => Err(io_error("create", &self.path, source)),
        }
    }

    /// Writes the order, replacing an earlier one.
    ///
    /// # Errors
    /// The disk is full or the directory is gone.
    pub fn write_spec(&self, spec: &Spec) -> AttemptResult<()> {
        self.write_whole(SPEC, spec)
    }

    /// Writes what came with the event that the task answers, cut to what events may bring.
    ///
    /// # Errors
    /// The disk is full or the directory is gone.
    pub fn write_event(&self, event: &str) -> AttemptResult<()> {
        let event = &event[..event.floor_char_boundary(PAYLOAD_BYTES_MAX)];
        self.write_bytes_whole(EVENT, event.as_bytes())
    }

    /// Where that is, written or not.
    #[must_use]
    pub fn event_path(&self) -> PathBuf {
        self.path.join(EVENT)
    }

    /// Reads the order.
    ///
    /// # Errors
    /// Every [`AttemptError`] but `Exists`.
    pub fn read_spec(&self) -> AttemptResult<Spec> {
        self.read(SPEC)
    }

    /// Takes the attempt, for ever. Exactly one caller of all processes succeeds.
    ///
    /// # Errors
    /// `Exists` if somebody has it; `Io` if the directory is gone or the disk is full.
    pub fn take_lock(&self, lock: &Lock) -> AttemptResult<()> {
        // A link appears with its content in place and fails if the name is taken: as exclusive
        // as O_EXCL, and no reader ever finds a lock that does not yet say whose it is.
        let draft = self.path.join(format!("lock.{}", std::process::id()));
        self.write_file(&draft, lock)?;
        let path = self.path.join(LOCK);
        let linked = fs::hard_link(&draft, &path);
        let _ = fs::remove_file(&draft);
        match linked {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(AttemptError::Exists { path })
            }
            Err(source) => Err(io_error("create", &path, source)),
        }
    }

    /// Reads who took the attempt.
    ///
    /// # Errors
    /// Every [`AttemptError`] but `Exists`; `Missing` if nobody did.
    pub fn read_lock(&self) -> AttemptResult<Lock> {
        self.read(LOCK)
    }

    /// Notes the task's process.
    ///
    /// # Errors
    /// The disk is full or the directory is gone.
    pub fn write_child(&self, child: &ChildRecord) -> AttemptResult<()> {
        self.write_whole(CHILD, child)
    }

    /// Reads the task's process.
    ///
    /// # Errors
    /// Every [`AttemptError`] but `Exists`; `Missing` if it has not been spawned.
    pub fn read_child(&self) -> AttemptResult<ChildRecord> {
        self.read(CHILD)
    }

    /// Takes the room on the disk for how it will end.
    ///
    /// # Errors
    /// The disk is full or the directory is gone.
    pub(super) fn reserve_exit(&self) -> AttemptResult<ExitReserve> {
        let path = self.path.join(EXIT);
        ExitReserve::take(path).map_err(|source| io_error("reserve room for", &self.path, source))
    }

    /// Reads how it ended.
    ///
    /// # Errors
    /// Every [`AttemptError`] but `Exists`; `Missing` if it has not ended.
    pub fn read_exit(&self) -> AttemptResult<ExitRecord> {
        self.read(EXIT)
    }

    /// Whether it has ended, as far as a file says so; cheaper than reading it.
    #[must_use]
    pub fn has_exit(&self) -> bool {
        self.path.join(EXIT).exists()
    }

    /// The directory a task works in when its order names none. Made on first use.
    ///
    /// # Errors
    /// The disk is full or the directory is gone.
    pub fn make_work(&self) -> AttemptResult<PathBuf> {
        let path = self.path.join(WORK);
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(io_error("create", &path, error))
            }
            _ => Ok(path),
        }
    }

    /// Where that directory is, made or not.
    #[must_use]
    pub fn work_path(&self) -> PathBuf {
        self.path.join(WORK)
    }

    /// Where the task tells its progress if there is no better place.
    #[must_use]
    pub(super) fn progress_path(&self) -> PathBuf {
        self.path.join(PROGRESS)
    }

    /// The segments of its log; either may be missing.
    #[must_use]
    pub(super) fn log_paths(&self) -> [PathBuf; 2] {
        LOGS.map(|name| self.path.join(name))
    }

    /// How much room its log takes on the disk, in bytes.
    #[must_use]
    pub fn log_bytes(&self) -> u64 {
        let found = self.log_paths().map(fs::symlink_metadata);
        found.into_iter().flatten().map(|found| found.blocks().saturating_mul(512)).sum()
    }

    /// Removes what the task wrote to its streams, to make room for what matters more. Answers
    /// whether there was any. Only for one that has ended: whoever writes it would go on writing.
    pub fn remove_logs(&self) -> bool {
        let removed = self.log_paths().map(|path| fs::remove_file(path).is_ok());
        removed.contains(&true)
    }

    /// The same while the task runs: its supervisor goes on after a gap.
    pub fn empty_logs(&self) -> bool {
        self.log_paths().map(|path| super::log::empty(&path)).contains(&true)
    }

    /// Moves what the task wrote to another directory, which is made. Answers whether there was
    /// any. Only for one that has ended.
    ///
    /// # Errors
    /// The disk is full, or the other directory cannot be made.
    pub fn move_logs(&self, to: &Self) -> AttemptResult<bool> {
        let mut moved = false;
        for (from, to_path) in self.log_paths().into_iter().zip(to.log_paths()) {
            if !from.exists() {
                continue;
            }
            to.create()?;
            fs::rename(&from, &to_path).map_err(|source| io_error("move", &from, source))?;
            moved = true;
        }
        Ok(moved)
    }

    /// Gives the directory a name that no attempt has, so that the attempt can be started anew while
    /// what it left is still being removed.
    ///
    /// # Errors
    /// It is not there, or the system refused.
    pub(super) fn set_aside(&self) -> AttemptResult<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{ASIDE}{}.{count}", std::process::id());
        let aside = Self { path: self.path.with_file_name(name) };
        match fs::rename(&self.path, &aside.path) {
            Ok(()) => Ok(aside),
            Err(source) => Err(io_error("rename", &self.path, source)),
        }
    }

    /// What was set aside under `attempts_dir` and not removed, because the agent went down.
    pub(super) fn left_aside(attempts_dir: &Path) -> Vec<Self> {
        let entries = fs::read_dir(attempts_dir).into_iter().flatten().filter_map(Result::ok);
        let is_aside = |entry: &fs::DirEntry| {
            entry.file_name().to_str().is_some_and(|name| name.starts_with(ASIDE))
        };
        entries.filter(is_aside).map(|entry| Self { path: entry.path() }).collect()
    }

    /// Removes the directory and all that is in it, however much it is. Takes as long as it
    /// takes; not being there is fine.
    ///
    /// # Errors
    /// Something in it belongs to somebody else.
    pub fn remove(&self) -> AttemptResult<()> {
        let removed = fs::remove_dir_all(&self.path).or_else(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => {
                // Some tools write-protect the directories they make.
                open_up(&self.path);
                fs::remove_dir_all(&self.path)
            }
            // Somebody wrote into it meanwhile.
            io::ErrorKind::DirectoryNotEmpty => fs::remove_dir_all(&self.path),
            _ => Err(error),
        });
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", &self.path, error))
            }
            _ => Ok(()),
        }
    }

    fn write_whole(&self, name: &str, value: &impl Serialize) -> AttemptResult<()> {
        let bytes = serde_json::to_vec(value).map_err(io::Error::from);
        let bytes = bytes.map_err(|source| io_error("write", &self.path.join(name), source))?;
        self.write_bytes_whole(name, &bytes)
    }

    fn write_bytes_whole(&self, name: &str, bytes: &[u8]) -> AttemptResult<()> {
        // No fsync: after a power cut no process is left for which the file would matter, and the
        // kernel's boot id tells that there was one.
        let draft = self.path.join(format!("{name}.new"));
        let path = self.path.join(name);
        self.write_bytes(&draft, bytes)?;
        fs::rename(&draft, &path).map_err(|source| io_error("write", &path, source))
    }

    fn write_file(&self, path: &Path, value: &impl Serialize) -> AttemptResult<()> {
        let bytes = serde_json::to_vec(value).map_err(io::Error::from);
        let bytes = bytes.map_err(|source| io_error("write", path, source))?;
        self.write_bytes(path, &bytes)
    }

    fn write_bytes(&self, path: &Path, bytes: &[u8]) -> AttemptResult<()> {
        let write = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
            options.open(path)?.write_all(bytes)
        };
        write().map_err(|source| {
            let _ = fs::remove_file(path);
            io_error("write", path, source)
        })
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> AttemptResult<T> {
        let path = self.path.join(name);
        let bytes = match read_bounded(&path) {
            Ok(Bounded::Whole(bytes)) => bytes,
            Ok(Bounded::TooLarge) => return Err(AttemptError::TooLarge { path }),
            Ok(Bounded::NotAFile) => return Err(AttemptError::NotAFile { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(AttemptError::Missing { path });
            }
            // A symbolic link, refused by O_NOFOLLOW.
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                return Err(AttemptError::NotAFile { path });
            }
            Err(source) => return Err(io_error("read", &path, source)),
        };
        serde_json::from_slice(&bytes).map_err(|source| AttemptError::Damaged { path, source })
    }
}

enum Bounded {
    Whole(Vec<u8>),
    TooLarge,
    NotAFile,
}

/// Reads a file without following a link, without waiting at a pipe and without reading for ever.
fn read_bounded(path: &Path) -> io::Result<Bounded> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Ok(Bounded::NotAFile);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0).min(64 * 1024));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(if bytes.len() as u64 > FILE_BYTES_MAX { Bounded::TooLarge } else { Bounded::Whole(bytes) })
}

/// Gives the owner full rights on every directory below and including `root`.
fn open_up(root: &Path) {
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        let _ = fs::set_permissions(&dir, fs::Permissions::from_mode(0o700));
        let entries = fs::read_dir(&dir).into_iter().flatten().filter_map(Result::ok);
        let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        waiting.extend(entries.filter(is_dir).map(|entry| entry.path()));
    }
}

fn io_error(verb: &'static str, path: &Path, source: io::Error) -> AttemptError {
    AttemptError::Io { verb, path: path.to_owned(), source }
}

#[cfg(test)]
#[path = "attempt_dir_tests.rs"]
mod tests;

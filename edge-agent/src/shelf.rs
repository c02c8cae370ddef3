//! The shelf: what runs have written that are over, until the core has it. One directory for each
//! run, `DATA/logs/{task id}.{attempt}.{from}-{to}/`, whose name says which part of all that the
//! attempt ever wrote it holds; an empty one says that the part is lost. So the directory of an
//! attempt can go as soon as its outcome is in the database.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use shared::id::AssignmentId;
use shared::time::Timestamp;
use shared_runtime::disk::create_private_folder;

use crate::exec::{AttemptDir, AttemptError};

/// The shelf of one data folder. A name only: making one touches nothing.
#[derive(Debug, Clone)]
pub struct Shelf {
    root: PathBuf,
}

/// What one run wrote, or the place of what is lost of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shelved {
    /// The attempt.
    pub id: AssignmentId,
    /// Where it begins, counted over all that the attempt wrote.
    pub from: u64,
    /// Where it ends.
    pub to: u64,
    /// Where it is. Offsets in there begin with 0.
    pub dir: AttemptDir,
}

impl Shelf {
    /// The shelf in a data folder.
    #[must_use]
    pub fn in_folder(data: &Path) -> Self {
        Self { root: data.join("logs") }
    }

    /// Everything on it, by attempt and place.
    #[must_use]
    pub fn list(&self) -> Vec<Shelved> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().filter_map(Result::ok);
        let mut found: Vec<Shelved> =
            entries.filter_map(|entry| Shelved::named(&entry.path())).collect();
        found.sort_by_key(|shelved| (shelved.id, shelved.from, shelved.to));
        found
    }

    /// Puts the log of a run that is over here, or the news that it is lost.
    ///
    /// # Errors
    /// The disk is full, or the folder cannot be made.
    pub fn put(
        &self,
        id: AssignmentId,
        from: u64,
        to: u64,
        run: &AttemptDir,
    ) -> Result<Shelved, AttemptError> {
        let place = self.place(id, from, to);
        let failed = |source| AttemptError::Io { verb: "create", path: self.root.clone(), source };
        create_private_folder(&self.root).map_err(failed)?;
        place.dir.create()?;
        run.move_logs(&place.dir)?;
        Ok(place)
    }

    /// Where something would be put. A name only.
    #[must_use]
    pub fn place(&self, id: AssignmentId, from: u64, to: u64) -> Shelved {
        let dir = AttemptDir::at(&self.root.join(format!("{id}.{from}-{to}")));
        Shelved { id, from, to, dir }
    }
}

impl Shelved {
    fn named(path: &Path) -> Option<Self> {
        let (id, range) = path.file_name()?.to_str()?.rsplit_once('.')?;
        let (from, to) = range.split_once('-')?;
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        let dir = AttemptDir::at(path);
        (from <= to).then_some(Self { id: id.parse().ok()?, from, to, dir })
    }

    /// How much room it takes, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.dir.log_bytes()
    }

    /// When it came here, by the wall clock of that time.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        let modified: SystemTime = fs::metadata(self.dir.path()).ok()?.modified().ok()?;
        let since = modified.duration_since(UNIX_EPOCH).ok()?;
        Some(Timestamp(i64::try_from(since.as_millis()).ok()?))
    }

    /// Lets go what was written; that it is lost can still be told. Answers whether there was any.
    pub fn lose(&self) -> bool {
        self.dir.remove_logs()
    }

    /// Takes it from the shelf.
    ///
    /// # Errors
    /// What the system says.
    pub fn remove(&self) -> io::Result<()> {
        self.dir.remove_logs();
        match fs::remove_dir(self.dir.path()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> AssignmentId {
        "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b.2".parse().expect("an id")
    }

    #[test]
    fn what_is_put_on_the_shelf_is_found_there_and_can_be_lost_and_removed() {
        let data = tempfile::tempdir().expect("a folder");
        let shelf = Shelf::in_folder(data.path());
        assert!(shelf.list().is_empty());
        let run = AttemptDir::at(&data.path().join("run"));
        run.create().expect("create");
        fs::write(run.path().join("log.0"), vec![7; 9_000]).expect("written");
        let second = shelf.put(id(), 500, 9_500, &run).expect("room");
        let first = shelf.put(id(), 0, 500, &run).expect("room");
        assert_eq!(shelf.list(), [first.clone(), second.clone()]);
        assert!(second.bytes() >= 9_000 && first.bytes() == 0, "moved, and nothing was left");
        assert!(second.since().is_some_and(|at| at > Timestamp(1_500_000_000_000)));
        assert!(second.lose() && !second.lose());
        assert_eq!(shelf.list().len(), 2);
        first.remove().expect("removed");
        first.remove().expect("it is not there");
        assert_eq!(shelf.list(), [second]);
    }

    #[test]
    fn what_was_never_put_there_is_passed_over() {
        let data = tempfile::tempdir().expect("a folder");
        let root = data.path().join("logs");
        let id = id();
        for name in ["x".to_owned(), format!("{id}"), format!("{id}.9-3"), format!("{id}.a-b")] {
            fs::create_dir_all(root.join(name)).expect("create");
        }
        assert!(Shelf::in_folder(data.path()).list().is_empty());
    }
}

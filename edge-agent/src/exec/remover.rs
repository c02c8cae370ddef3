//! Removes the directories of attempts behind the agent's back: unlinking files takes long where a
//! disk discards what is freed, and ten thousand tasks may be acknowledged within a second. What is
//! to be removed has only changed its name, so the disk itself remembers it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::attempt_dir::AttemptDir;

/// Removes what was set aside, in one thread that lives while there is something to remove.
#[derive(Debug, Clone)]
pub(super) struct Remover {
    attempts_dir: PathBuf,
    /// Whether there is such a thread.
    works: Arc<Mutex<bool>>,
}

impl Remover {
    /// One for the attempts in this directory.
    pub(super) fn of(attempts_dir: &Path) -> Self {
        Self { attempts_dir: attempts_dir.to_owned(), works: Arc::default() }
    }

    /// Has everything removed that is set aside now. Call it after each time.
    pub(super) fn wake(&self) {
        let mut works = self.lock();
        if *works {
            return;
        }
        let this = self.clone();
        let thread = std::thread::Builder::new().name("remover".to_owned());
        match thread.spawn(move || this.work()) {
            Ok(_) => *works = true,
            // It is looked for again next time.
            Err(error) => tracing::warn!(%error, "attempts' directories are left behind"),
        }
    }

    fn work(&self) {
        let mut stuck = BTreeSet::new();
        loop {
            let mut left = self.left(&stuck);
            if left.is_empty() {
                let mut works = self.lock();
                // What was set aside since the look has found this thread at work.
                left = self.left(&stuck);
                if left.is_empty() {
                    *works = false;
                    return;
                }
            }
            for dir in left {
                if let Err(error) = dir.remove() {
                    tracing::warn!(%error, "an attempt's directory is left behind");
                    stuck.insert(dir.path().to_owned());
                }
            }
        }
    }

    fn left(&self, stuck: &BTreeSet<PathBuf>) -> Vec<AttemptDir> {
        let mut left = AttemptDir::left_aside(&self.attempts_dir);
        left.retain(|dir| !stuck.contains(dir.path()));
        left
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.works.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    fn attempt(folder: &Path, number: u32) -> AttemptDir {
        let dir = AttemptDir::at(&folder.join(number.to_string()));
        fs::create_dir_all(dir.path().join("work")).expect("a directory");
        fs::write(dir.path().join("stdout.log"), b"text").expect("a file");
        dir
    }

    #[test]
    fn what_is_set_aside_disappears_whenever_that_happens() {
        let folder = tempfile::tempdir().expect("folder");
        let remover = Remover::of(folder.path());
        for number in 0..200 {
            let dir = attempt(folder.path(), number);
            dir.set_aside().expect("set aside");
            remover.wake();
            assert!(!dir.path().exists());
        }
        let left = || fs::read_dir(folder.path()).expect("a folder").count();
        for _ in 0..1_000 {
            if left() == 0 {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{} directories are left", left());
    }
}

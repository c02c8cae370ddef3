//! The logs of attempts as something that can be let go.

use std::fs;
use std::path::Path;

use crate::exec::AttemptDir;
use crate::shelf::Shelf;

/// Drops what is on the shelf. Answers whether there was anything.
pub(super) fn drop_shelved(data: &Path) -> bool {
    let lost: Vec<bool> =
        Shelf::in_folder(data).list().iter().map(|shelved| shelved.lose()).collect();
    lost.contains(&true)
}

/// Drops the logs of all attempts that are over. Answers whether there were any.
pub(super) fn drop_ended(attempts: &Path) -> bool {
    let mut dropped = false;
    for dir in directories(attempts).filter(AttemptDir::has_exit) {
        dropped |= dir.remove_logs();
    }
    dropped
}

/// Drops the logs of all others. Answers whether there were any.
pub(super) fn drop_running(attempts: &Path) -> bool {
    let mut dropped = false;
    for dir in directories(attempts).filter(|dir| !dir.has_exit()) {
        dropped |= dir.empty_logs();
    }
    dropped
}

fn directories(attempts: &Path) -> impl Iterator<Item = AttemptDir> {
    let entries = fs::read_dir(attempts).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.path().is_dir()).map(|entry| AttemptDir::at(&entry.path()))
}

//! Room on the disk of the data folder: whether there is any, and what gives way when there is
//! none, so that what an agent has to remember can still be written. Logs go first, those of what
//! is over before those of what runs; then the ballast, a file that is there for nothing else.

mod ballast;
mod logs;

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

pub use ballast::Ballast;

/// What a probe writes: as much as a page of the database and what comes with it.
const PROBE_BYTES: usize = 16 * 1024;

/// What gave way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GaveWay {
    /// The logs of attempts that are over.
    LogsOfEnded,
    /// The logs of attempts that run.
    LogsOfRunning,
    /// The ballast.
    Ballast,
}

/// The room of one data folder.
#[derive(Debug, Clone)]
pub struct Room {
    data: PathBuf,
    ballast: Ballast,
}

impl Room {
    /// The room of a data folder with so much ballast.
    #[must_use]
    pub fn new(data: &Path, ballast_mib: u64) -> Self {
        Self { data: data.to_owned(), ballast: Ballast::in_folder(data, ballast_mib) }
    }

    /// Its ballast.
    #[must_use]
    pub fn ballast(&self) -> &Ballast {
        &self.ballast
    }

    /// Whether the disk takes no more of this user's bytes. Asks by writing a few: what a file
    /// system says about its free space leaves out quotas, and blocks that it keeps for itself.
    #[must_use]
    pub fn is_out(&self) -> bool {
        let path = self.data.join(format!(".probe.{}", std::process::id()));
        let probe = || -> io::Result<()> {
            let mut options = OpenOptions::new();
            let mut file =
                options.write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            // Not zeros, which a file system may keep without a block.
            file.write_all(&[0xa5; PROBE_BYTES])?;
            // Some find out only when they write.
            file.sync_data()
        };
        let refused = probe();
        let _ = fs::remove_file(&path);
        refused.is_err_and(|error| is_want_of_room(&error))
    }

    /// Lets the next thing go that is there. `None` if nothing is left to let go.
    #[must_use]
    pub fn give_way(&self) -> Option<GaveWay> {
        let attempts = self.data.join("attempts");
        if logs::drop_shelved(&self.data) | logs::drop_ended(&attempts) {
            Some(GaveWay::LogsOfEnded)
        } else if logs::drop_running(&attempts) {
            Some(GaveWay::LogsOfRunning)
        } else if self.ballast.release() {
            Some(GaveWay::Ballast)
        } else {
            None
        }
    }
}

/// Whether an error says that there is no room.
#[must_use]
pub fn is_want_of_room(error: &io::Error) -> bool {
    let errors = [Errno::NOSPC, Errno::DQUOT, Errno::FBIG].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|raw| errors.contains(&raw))
}

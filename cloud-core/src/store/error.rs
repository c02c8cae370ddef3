//! Why a store does not do what it is asked. One enum for all stores, so that whoever handles an
//! error need not know which one it came from; and one for backups of the one on disk.

use std::io;
use std::path::{Path, PathBuf};

use shared_runtime::sqlite::DatabaseError;

/// What the store's own library said.
type Source = Box<dyn std::error::Error + Send + Sync>;

/// Why a store does not do what it is asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] DatabaseError),
    /// There is no room.
    #[error("the store has no room left ({source}); free some disk space")]
    Full {
        /// What the library said.
        source: Source,
    },
    /// It cannot be read or written now: locked, read-only, or its disk fails.
    #[error("the store cannot be used ({source}); check its disk, its owner and its mount")]
    Unavailable {
        /// What the library said.
        source: Source,
    },
    /// What is stored is damaged.
    #[error("the store is damaged ({source}); stop the core and put a backup in its place")]
    Corrupt {
        /// What the library said.
        source: Source,
    },
    /// A change does not fit what is stored. No input may lead to it: it is a bug of the core.
    #[error("a change contradicts the store, which is a bug: {what}")]
    Contradiction {
        /// Which change, and why.
        what: String,
    },
    /// A cursor that no page ever gave.
    #[error(
        "the cursor is none of this list; pass the `next_cursor` of an earlier page, or leave it out"
    )]
    BadCursor,
}

impl StoreError {
    /// Whether trying the same again is bound to fail.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::Contradiction { .. } | Self::BadCursor => true,
            Self::Full { .. } | Self::Unavailable { .. } | Self::Open(_) => false,
        }
    }

    /// A change that does not fit what is stored.
    pub(super) fn contradiction(what: impl Into<String>) -> Self {
        Self::Contradiction { what: what.into() }
    }
}

/// Why no backup is written or put in place.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A database cannot be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The database is not a core's.
    #[error("{} is not the database of a core; name a core's data folder with --data", path.display())]
    NotACore {
        /// The database.
        path: PathBuf,
    },
    /// The backup would replace a file.
    #[error("there is a file {} already, and it is not replaced; name another one", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The backup's name cannot be given to SQLite.
    #[error("the path {} is not UTF-8; name another one", path.display())]
    Name {
        /// The file.
        path: PathBuf,
    },
    /// The database cannot be copied.
    #[error("cannot copy the database {} ({source}); check the free space where the backup is to go", path.display())]
    Copy {
        /// The database.
        path: PathBuf,
        /// What SQLite said.
        source: Source,
    },
    /// A file cannot be written.
    #[error("cannot write {}: {source}; make its folder writable for this user, and check the free space", path.display())]
    Writing {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The backup cannot be read.
    #[error("cannot read the backup {}: {source}; name a file that `ambit core backup` wrote", path.display())]
    Reading {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no backup, or a damaged one.
    #[error("{} is not a sound backup ({why}); name a file that `ambit core backup` wrote", path.display())]
    NotABackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The file is the database itself.
    #[error("{} is the core's database itself; if it is a backup, just start the core", path.display())]
    InPlace {
        /// The file.
        path: PathBuf,
    },
}

impl BackupError {
    /// A copy that failed.
    pub(super) fn copying(path: &Path, error: impl Into<Source>) -> Self {
        Self::Copy { path: path.to_owned(), source: error.into() }
    }

    /// A file that cannot be written.
    pub(super) fn writing(path: &Path, source: io::Error) -> Self {
        Self::Writing { path: path.to_owned(), source }
    }
}

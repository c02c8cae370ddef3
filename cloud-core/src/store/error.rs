//! Why a store does not do what it is asked. One enum for all stores, so that whoever handles an
//! error need not know which one it came from.

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

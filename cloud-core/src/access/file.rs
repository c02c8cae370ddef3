//! The file `tokens.json` in the data folder: what is kept of every token, no secret among it.
//! `ambit token` writes it, also while the core runs; the core only reads it. When tokens were
//! last used stands in a file beside it, which the core alone writes.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::time::Timestamp;
use shared_runtime::disk::{create_private_folder, write_private_file};

use super::token::{Secret, TokenId, TokenRow, Wish};

/// The most tokens that are kept; those that no longer hold make room for new ones.
pub const TOKENS_MAX: usize = 1_000;
/// The largest file that is read, in bytes.
const BYTES_MAX: u64 = 4 * 1024 * 1024;
/// The form of the file.
const VERSION: u32 = 1;

/// Why tokens cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}; run this as the user who owns the data folder", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is not what `ambit token` writes.
    #[error(
        "{} cannot be understood: {detail}; put back a copy of it, or remove it and create the tokens anew",
        path.display()
    )]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Others may read the file.
    #[error("{0} can be written by others (mode {mode:03o}); run: chmod 600 {0}", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A token of this name holds already.
    #[error("there is a token named {0} already; revoke it first, or choose another name")]
    NameTaken(String),
    /// As many tokens as there may be hold.
    #[error("{TOKENS_MAX} tokens hold already, as many as there may be; revoke some first")]
    Full,
    /// No token has this name or id.
    #[error("no token is called {0}, or it is revoked already; `ambit token list` shows them all")]
    Unknown(String),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    version: u32,
    tokens: Vec<TokenRow>,
}

/// What tells one content of the file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

/// The tokens of one data folder.
#[derive(Debug, Clone)]
pub struct TokenFile {
    path: PathBuf,
    used: PathBuf,
    lock: PathBuf,
}

impl TokenFile {
    /// The tokens of the core that works in this folder.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self {
            path: data.join("tokens.json"),
            used: data.join("tokens-used.json"),
            lock: data.join("tokens.lock"),
        }
    }

    /// Where they are kept.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every token, oldest first; none when there is no file.
    ///
    /// # Errors
    /// When the file is there and cannot be read, understood, or trusted.
    pub fn read(&self) -> Result<Vec<TokenRow>, TokenFileError> {
        let Some(bytes) = self.bytes(&self.path)? else {
            return Ok(Vec::new());
        };
        let broken = |detail: String| TokenFileError::Broken { path: self.path.clone(), detail };
        let content: Content =
            serde_json::from_slice(&bytes).map_err(|error| broken(error.to_string()))?;
        if content.version != VERSION {
            let detail = format!("its version is {}, not {VERSION}", content.version);
            return Err(broken(detail));
        }
        Ok(content.tokens)
    }

    /// Creates a token. Its secret is in the answer and nowhere else.
    ///
    /// # Errors
    /// When its name is taken, there are too many, or the file cannot be written.
    pub fn create(&self, wish: Wish, now: Timestamp) -> Result<(Secret, TokenRow), TokenFileError> {
        let _alone = self.lock()?;
        let mut rows = self.read()?;
        if rows.iter().any(|row| row.holds(now) && row.name == wish.name) {
            return Err(TokenFileError::NameTaken(wish.name.to_string()));
        }
        if rows.len() >= TOKENS_MAX {
            let gone = rows.iter().position(|row| !row.holds(now));
            rows.remove(gone.ok_or(TokenFileError::Full)?);
        }
        let mut secret = Secret::fresh();
        while rows.iter().any(|row| row.id == secret.id) {
            secret = Secret::fresh();
        }
        let row = TokenRow::new(wish, &secret, now);
        rows.push(row.clone());
        self.write(rows)?;
        Ok((secret, row))
    }

    /// Revokes the token of this name or id. It is kept, so that a core without a token that holds
    /// does not open itself.
    ///
    /// # Errors
    /// When there is none that is not revoked, or the file cannot be written.
    pub fn revoke(&self, called: &str, now: Timestamp) -> Result<TokenRow, TokenFileError> {
        let _alone = self.lock()?;
        let mut rows = self.read()?;
        // The latest of a name: earlier ones of the same name have ended.
        let row = rows.iter_mut().rev().find(|row| {
            row.revoked_at.is_none() && (row.name.as_str() == called || row.id.0 == called)
        });
        let row = row.ok_or_else(|| TokenFileError::Unknown(called.to_owned()))?;
        row.revoked_at = Some(now);
        let revoked = row.clone();
        self.write(rows)?;
        Ok(revoked)
    }

    /// When tokens were last used, as far as the core has written it down; empty when it has not.
    #[must_use]
    pub fn used(&self) -> BTreeMap<TokenId, Timestamp> {
        // Only for people: what cannot be read is not known.
        let bytes = self.bytes(&self.used).ok().flatten().unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Writes down when tokens were last used. The core's alone to call.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write_used(
        &self,
        used: &BTreeMap<TokenId, Timestamp>,
    ) -> Result<(), TokenFileError> {
        let bytes = serde_json::to_vec_pretty(used).unwrap_or_default();
        write_private_file(&self.used, &bytes)
            .map_err(|source| TokenFileError::Io { path: self.used.clone(), source })
    }

    /// What the file looks like from outside; `None` when there is none.
    pub(super) fn mark(&self) -> Option<Mark> {
        let metadata = fs::metadata(&self.path).ok()?;
        Some(Mark {
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }

    fn bytes(&self, path: &Path) -> Result<Option<Vec<u8>>, TokenFileError> {
        let failed = |source| TokenFileError::Io { path: path.to_owned(), source };
        let metadata = match fs::metadata(path) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let mode = metadata.mode() & 0o777;
        if mode & 0o022 != 0 {
            // Who writes this file lets himself in.
            return Err(TokenFileError::Exposed { path: path.to_owned(), mode });
        }
        if metadata.len() > BYTES_MAX {
            let detail = format!("it has more than {BYTES_MAX} bytes");
            return Err(TokenFileError::Broken { path: path.to_owned(), detail });
        }
        fs::read(path).map(Some).map_err(failed)
    }

    fn write(&self, tokens: Vec<TokenRow>) -> Result<(), TokenFileError> {
        let failed = |source| TokenFileError::Io { path: self.path.clone(), source };
        let content = Content { version: VERSION, tokens };
        let bytes =
            serde_json::to_vec_pretty(&content).map_err(|error| failed(io::Error::other(error)))?;
        write_private_file(&self.path, &bytes).map_err(failed)
    }

    /// Keeps others who change tokens waiting until it is dropped.
    fn lock(&self) -> Result<File, TokenFileError> {
        let failed = |source| TokenFileError::Io { path: self.lock.clone(), source };
        if let Some(folder) = self.lock.parent() {
            create_private_folder(folder).map_err(failed)?;
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.lock)
            .map_err(failed)?;
        file.lock().map_err(failed)?;
        Ok(file)
    }
}

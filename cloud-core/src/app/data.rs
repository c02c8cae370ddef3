//! The data folder: one core at a time works in it, and the join token is kept there.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use shared_runtime::disk::create_private_folder;
use shared_runtime::seal::{HookKey, JoinToken};
use shared_runtime::secret::write_secret_file;

use super::AppError;
use crate::config::Config;

/// In the data folder: the key of all hooks.
const HOOK_KEY_FILE: &str = "hook-key";

/// The lock of a data folder. The system lets go of it when the process ends, however it ends.
#[derive(Debug)]
pub(super) struct DataFolder {
    _lock: File,
}

impl DataFolder {
    /// Makes the folder if it is missing, and locks it.
    pub(super) fn lock(folder: &Path) -> Result<Self, AppError> {
        let failed = |source| AppError::Data { path: folder.to_owned(), source };
        create_private_folder(folder).map_err(failed)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join("lock"))
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message.
                let _ = (&file).take(20).read_to_string(&mut holder);
                let holder = Some(holder.trim().to_owned()).filter(|holder| !holder.is_empty());
                return Err(AppError::InUse { path: folder.to_owned(), holder });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let pid = std::process::id();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{pid}"))
            .map_err(failed)?;
        Ok(Self { _lock: file })
    }
}

/// The join token: from the file that is configured, or from one in the data folder that is made
/// at the first start.
pub(super) fn join_token(config: &Config) -> Result<JoinToken, AppError> {
    let path = &config.join_token_file;
    if config.join_token_made && !path.exists() {
        write_secret_file(path, format!("{}\n", JoinToken::fresh_text()).as_bytes())?;
        tracing::info!(file = %path.display(), "made a join token; agents join with it");
    }
    Ok(JoinToken::from_file(path)?)
}

/// What the secrets of hooks follow from: in a file of the data folder that is made at the first start.
pub(super) fn hook_key(folder: &Path) -> Result<HookKey, AppError> {
    let path = folder.join(HOOK_KEY_FILE);
    if !path.exists() {
        write_secret_file(&path, format!("{}\n", HookKey::fresh_text()).as_bytes())?;
    }
    Ok(HookKey::from_file(&path)?)
}

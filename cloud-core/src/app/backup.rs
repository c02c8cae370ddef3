//! Backups as an operator asks for them: one of a data folder, while its core runs or not, and one
//! put in place of a data folder's database, while no core runs there.

use std::path::Path;

use shared_runtime::clock::Clock;

use super::AppError;
use super::data::DataFolder;
use crate::config::Config;
use crate::store::{Backup, PutBack, back_up, put_back};

/// Writes a backup of a core's database to a new file.
///
/// # Errors
/// When there is no database, or the file is there already or cannot be written.
pub fn write(config: &Config, file: &Path) -> Result<Backup, AppError> {
    Ok(back_up(&config.store_path, file, Clock::new().now().wall)?)
}

/// Puts a backup in place of a core's database, which is kept beside it.
///
/// # Errors
/// When a core runs on the data folder, the file is no sound backup, or it cannot be put in place.
pub fn restore(config: &Config, file: &Path) -> Result<PutBack, AppError> {
    let _alone = DataFolder::lock(&config.data)?;
    Ok(put_back(file, &config.store_path, Clock::new().now().wall)?)
}

//! What may be written to the board's disk, and how much of it.

use super::SetupError;
use super::file::{DiskFile, FlashFile, LogsFile};

const MIB: u64 = 1024 * 1024;

/// The ballast when nobody says otherwise, MiB: what the ends of 64 tasks need with the longest
/// outputs, in the database and in its log.
const BALLAST_MIB: u64 = 8;
/// The most ballast, MiB.
const BALLAST_MIB_MAX: u64 = 1024;
/// What may be written in a day when nobody says otherwise; docs/decisions says why.
const FLASH_BYTES_PER_DAY: u64 = 256 * MIB;
/// The least budget; with less, an agent could not tell what it does.
const FLASH_BYTES_LEAST: u64 = MIB;
/// The longest that logs are kept, in hours: a year.
const KEEP_HOURS_MAX: u64 = 366 * 24;

/// How much is kept of what tasks write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// The most for one attempt, in bytes; 0 keeps nothing.
    pub attempt_bytes_max: u64,
    /// The most for all attempts, in bytes.
    pub bytes_max: u64,
    /// How long it is kept after the attempt, for a core that does not take it, in milliseconds.
    pub keep_ms: u64,
}

impl LogLimits {
    pub(super) fn of(file: &LogsFile) -> Result<Self, SetupError> {
        let wrong = |detail: String| Err(SetupError::Value { what: "logs", detail });
        let attempt_bytes_max = file.attempt_bytes_max.unwrap_or(MIB);
        let bytes_max = file.bytes_max.unwrap_or(64 * MIB);
        let keep_hours = file.keep_hours.unwrap_or(72);
        if (1..1024).contains(&attempt_bytes_max) {
            return wrong("attempt_bytes_max must be at least 1024, or 0 to keep none".to_owned());
        }
        if bytes_max < attempt_bytes_max {
            let least =
                format!("bytes_max must be at least attempt_bytes_max ({attempt_bytes_max})");
            return wrong(least);
        }
        if !(1..=KEEP_HOURS_MAX).contains(&keep_hours) {
            return wrong(format!("keep_hours must be 1 to {KEEP_HOURS_MAX}"));
        }
        Ok(Self { attempt_bytes_max, bytes_max, keep_ms: keep_hours * 3_600_000 })
    }
}

pub(super) fn ballast(file: &DiskFile) -> Result<u64, SetupError> {
    let mib = file.ballast_mib.unwrap_or(BALLAST_MIB);
    if mib > BALLAST_MIB_MAX {
        let detail = format!("at most {BALLAST_MIB_MAX}");
        return Err(SetupError::Value { what: "disk.ballast_mib", detail });
    }
    Ok(mib)
}

pub(super) fn flash(file: &FlashFile) -> Result<Option<u64>, SetupError> {
    let bytes = file.bytes_per_day.unwrap_or(FLASH_BYTES_PER_DAY);
    if (1..FLASH_BYTES_LEAST).contains(&bytes) {
        let detail = format!("at least {FLASH_BYTES_LEAST}, or 0 for no bound");
        return Err(SetupError::Value { what: "flash.bytes_per_day", detail });
    }
    Ok(Some(bytes).filter(|bytes| *bytes > 0))
}

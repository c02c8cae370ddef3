//! What people see of an agent on its own board, with and without a network, with and without an
//! agent that runs: `status`, `tasks` and `logs`. Reads files only.

mod logs;
mod status;
mod tasks;

use std::path::Path;

use serde::Serialize;
use shared::time::{Now, Timestamp};

use crate::config::database_in;
use crate::store::{Glance, Reader, StoreError};

pub use logs::{LogsError, show_logs};
pub use shared_runtime::table::terminal_width;
pub(crate) use status::doubt;
pub use status::{status_json, status_table};
pub use tasks::{tasks_json, tasks_table};

/// Reads how the agent of a data folder stands.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn glance(data: &Path) -> Result<Glance, StoreError> {
    Reader::open(&database_in(data))?.glance()
}

/// As JSON, for programs.
pub(crate) fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

/// How long ago that is, in few words.
pub(crate) fn age(at: Timestamp, now: Now) -> String {
    duration(now.wall.since_ms(at) / 1_000)
}

/// So many seconds, in few words.
pub(crate) fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A time, and how long ago that is.
pub(crate) fn when(at: Timestamp, now: Now) -> String {
    format!("{at} ({} ago)", age(at, now))
}

#[cfg(test)]
mod tests;

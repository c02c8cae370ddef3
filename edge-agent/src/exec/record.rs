//! What an attempt's directory says, as values: the order, the lock, the child and the exit. Owns
//! their JSON and nothing else; who writes and reads the files is `attempt_dir`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::AssignmentId;

use super::identity::Identity;
use super::lease::Lease;
use super::log::LOG_BYTES_MAX;

/// The most bytes of output reported for each stream. Even if each byte of both tails has to be
/// escaped as six characters of JSON, a report stays within one 256 KiB message.
pub const TAIL_BYTES_MAX: u32 = 16 * 1024;

/// The bytes of output reported for each stream when nobody says otherwise.
pub const TAIL_BYTES_DEFAULT: u32 = 8 * 1024;

/// What one small file costs a disk that writes whole blocks.
pub(super) const BLOCK_BYTES: u64 = 4096;

/// What a supervisor's records cost the disk before the end: the lock and the child.
pub(super) const RECORDS_BEFORE_END_BYTES: u64 = 2 * BLOCK_BYTES;

/// What to run for one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExecOrder {
    /// The attempt; it runs at most once, however often it is started.
    pub id: AssignmentId,
    /// A path, or a name looked up in the `PATH` of `env`.
    pub command: String,
    /// What follows the command.
    pub args: Vec<String>,
    /// The whole environment; nothing is inherited. Without a `PATH` the usual one is added.
    pub env: BTreeMap<String, String>,
    /// The working directory, absolute; `None` gives the attempt an empty one of its own.
    pub dir: Option<String>,
    /// The bytes of standard output to report, at most [`TAIL_BYTES_MAX`].
    pub stdout_tail_bytes: u32,
    /// The bytes of standard error to report, at most [`TAIL_BYTES_MAX`].
    pub stderr_tail_bytes: u32,
    /// The bytes of what it writes that are kept on disk, both streams together; 0, and
    /// less than [`LOG_BYTES_LEAST`](super::LOG_BYTES_LEAST), keeps none.
    #[serde(default = "log_bytes_default")]
    pub log_bytes_max: u64,
    /// What came with the event that it answers. Not in the order's file but in one of its own,
    /// where the task reads it.
    #[serde(skip)]
    pub event: Option<Arc<str>>,
    /// The lease without which it must not run; `None` lets it run on however long nobody hears
    /// of the core.
    #[serde(default)]
    pub lease: Option<Lease>,
}

fn log_bytes_default() -> u64 {
    LOG_BYTES_MAX
}

/// `spec.json`: the order as the supervisor reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The kernel's boot in which it was written. After a power cut a missing lock proves
    /// nothing, since it may have been lost with the page cache.
    pub boot_id: String,
    /// What to run.
    pub order: ExecOrder,
    /// Where agent and supervisor meet beside the attempt's directory. `None` in one that an
    /// earlier version wrote.
    #[serde(default)]
    pub runtime: Option<RuntimePaths>,
}

/// What an attempt uses outside its directory. Noted with the attempt, since the agent that finds
/// it again may have been started in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuntimePaths {
    /// The agent's runtime folder: the renewals of leases, the switch for logs.
    pub dir: PathBuf,
    /// The file in which the task tells its progress.
    pub progress_file: PathBuf,
}

/// `lock`: who has the right to run the attempt, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "holder", rename_all = "snake_case", deny_unknown_fields)]
pub enum Lock {
    /// A supervisor, which ran it, runs it or is about to.
    Supervisor {
        /// The supervisor's process, which is also the session of all that it runs.
        supervisor_pid: u32,
        /// Its start, in clock ticks since the kernel booted.
        supervisor_start_ticks: u64,
        /// The kernel's boot.
        boot_id: String,
    },
    /// Nobody: the agent withdrew the attempt before any supervisor took it.
    Tombstone,
}

impl Lock {
    /// The supervisor's process and the kernel's boot; `None` for a tombstone.
    #[must_use]
    pub fn supervisor(&self) -> Option<(Identity, &str)> {
        match self {
            Self::Supervisor { supervisor_pid: pid, supervisor_start_ticks, boot_id } => {
                Some((Identity { pid: *pid, start_ticks: *supervisor_start_ticks }, boot_id))
            }
            Self::Tombstone => None,
        }
    }
}

/// `child`: the task's first process, which is also its process group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChildRecord {
    /// The process and process group.
    pub pid: u32,
    /// Its start, in clock ticks since the kernel booted.
    pub start_ticks: u64,
}

/// How an attempt's process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    /// It returned.
    Exited {
        /// The exit code, 0 to 255.
        code: i32,
    },
    /// A signal ended it.
    Signaled {
        /// The signal's number, for example 9.
        signal: i32,
    },
    /// It never ran.
    SpawnFailed {
        /// Why, and what to do about it: one sentence.
        message: String,
    },
    /// Its lease ended without a renewal, so its supervisor ended it, whatever it then answered.
    LeaseEnded {
        /// Whether it ran at all; if not, the lease had ended before it could be started.
        ran: bool,
    },
}

/// `exit.json`: the one outcome of an attempt that ran, or could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExitRecord {
    /// How it ended.
    pub end: End,
    /// The wall clock at its start, milliseconds since 1970; as wrong as the board's clock.
    pub started_wall_ms: i64,
    /// The wall clock at its end, milliseconds since 1970.
    pub ended_wall_ms: i64,
    /// How long it ran, by the monotonic clock, which goes on while the board sleeps.
    pub duration_ms: u64,
    /// The end of its standard output.
    pub stdout_tail: String,
    /// The end of its standard error.
    pub stderr_tail: String,
    /// Whether it wrote more to standard output than `stdout_tail` holds.
    pub stdout_truncated: bool,
    /// Whether it wrote more to standard error than `stderr_tail` holds.
    pub stderr_truncated: bool,
    /// Whether the kernel ended it for want of memory, as far as can be told.
    pub out_of_memory: bool,
    /// How much it wrote to both streams, kept or not: where its log ends.
    #[serde(default)]
    pub log_end_offset: u64,
    /// How much its supervisor gave to the disk: logs by the byte, records by the block.
    #[serde(default)]
    pub written_bytes: u64,
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_file_of_an_attempt_breaks_its_reader(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "[\\[\\]{},:\"0-9a-z_ ]{0,80}".prop_map(String::into_bytes),
            ],
        ) {
            prop_assert!(serde_json::from_slice::<Spec>(&bytes).is_err());
        }

        #[test]
        fn an_order_is_read_back_and_a_cut_one_is_none(
            command in ".{1,20}",
            args in prop::collection::vec(".{0,12}", 0..4),
            env in prop::collection::btree_map(".{1,6}", ".{0,12}", 0..4),
            cut in 1_usize..100,
        ) {
            let id = AssignmentId { task: shared::id::TaskId(uuid::Uuid::from_u128(7)), attempt: shared::id::Attempt(1) };
            let order = ExecOrder {
                id,
                command,
                args,
                env,
                dir: None,
                stdout_tail_bytes: 1,
                stderr_tail_bytes: 2,
                log_bytes_max: 3,
                event: None,
                lease: None,
            };
            let spec = Spec { boot_id: "boot".to_owned(), order, runtime: None };
            let text = serde_json::to_vec(&spec).expect("json");
            prop_assert_eq!(serde_json::from_slice::<Spec>(&text).expect("read"), spec);
            prop_assert!(serde_json::from_slice::<Spec>(&text[..text.len() - cut]).is_err());
        }
    }
}

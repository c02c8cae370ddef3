//! The bounds and times that the agent decides by. Every one has a default that suits a small
//! board, and can be configured.

use serde::{Deserialize, Serialize};

/// The most tasks an agent may be configured to hold.
pub const TASKS_MAX_LIMIT: u32 = 20_000;
/// The most schedules an agent may be configured to hold.
pub const SCHEDULES_MAX_LIMIT: u32 = 1_000;
/// The most attempts that may be named in one part of an inventory: with the largest facts beside
/// them they must fit into one message.
pub const INVENTORY_PART_LIMIT: usize = 1_000;

/// How the agent decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The most tasks that run at once; the others that are held wait for their turn. `None` is
    /// as many as may be held.
    pub running_max: Option<u32>,
    /// The most attempts that are remembered, those included whose end the core has not
    /// acknowledged; more are refused with `busy`.
    pub held_max: usize,
    /// The most outbox entries that wait for an acknowledgement; beyond it desired state is not
    /// applied, because every row may add entries.
    pub outbox_max: u64,
    /// How many outbox entries may be under way beyond the last acknowledged one.
    pub outbox_window: u64,
    /// How long an acknowledgement may take before entries are sent again, in milliseconds; it
    /// doubles with every resend in a row.
    pub resend_ms: u64,
    /// The longest wait between two resends, in milliseconds.
    pub resend_ms_max: u64,
    /// How long a welcome may take before hello is said again, in milliseconds; it doubles.
    pub hello_ms: u64,
    /// The longest wait between two hellos, in milliseconds.
    pub hello_ms_max: u64,
    /// How long to wait after the core refused this agent, in milliseconds.
    pub refused_ms: u64,
    /// The same when another board speaks with a copy of this agent's database, or with a newer
    /// one: each of them would only push the other aside.
    pub cloned_ms: u64,
    /// How many attempts one part of the inventory names.
    pub inventory_part: usize,
    /// How many acknowledged outcomes are kept, for a core that is put back from an old backup.
    pub kept_max: usize,
    /// How long they are kept, in milliseconds of wall time that can be trusted.
    pub kept_ms: u64,
    /// How much earlier than its lease ends an exclusive task is over, beside its grace, in
    /// milliseconds; once for the agent and once for its supervisor.
    pub lease_margin_ms: u64,
    /// How long the core has to be heard before this agent decides by itself about a run that
    /// vanished, in milliseconds.
    pub lonely_ms: u64,
    /// How often the progress of one attempt is told at most, in milliseconds.
    pub progress_ms: u64,
    /// Heartbeats in a row without any word from the core after which hello is said again.
    pub silent_beats: u64,
    /// How often the time of the last contact, the last time believed and the newest progress are
    /// written down while nothing else is, in milliseconds. Every write wears the flash.
    pub contact_save_ms: u64,
    /// How long a killed process may take to disappear before it is killed again, in
    /// milliseconds.
    pub kill_again_ms: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            running_max: None,
            held_max: 100_000,
            outbox_max: 200_000,
            outbox_window: 1_000,
            resend_ms: 5_000,
            resend_ms_max: 60_000,
            hello_ms: 3_000,
            hello_ms_max: 30_000,
            refused_ms: 30_000,
            cloned_ms: 300_000,
            inventory_part: INVENTORY_PART_LIMIT,
            kept_max: 10_000,
            kept_ms: 7 * 24 * 3_600 * 1_000,
            lease_margin_ms: 1_000,
            lonely_ms: 30_000,
            progress_ms: 5_000,
            silent_beats: 4,
            contact_save_ms: 3_600_000,
            kill_again_ms: 5_000,
        }
    }
}

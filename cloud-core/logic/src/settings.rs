//! The bounds and times that the core decides by. Every one has a default that suits a fleet of
//! ten thousand boards, and can be configured.

use crate::planted::planted;
use serde::{Deserialize, Serialize};

/// How the core decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The most tasks that wait for a place; more are refused with `queue_full`.
    pub pending_max: u64,
    /// The most agents that may join.
    pub agents_max: u64,
    /// How often agents send a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
    /// Missed heartbeats after which an agent is suspect.
    pub suspect_after_beats: u64,
    /// Missed heartbeats after which an agent is offline.
    pub offline_after_beats: u64,
    /// Heartbeats in a row after which an agent that was offline is online again; each recent
    /// loss of the same agent asks for one more.
    pub recover_beats: u64,
    /// How long an online agent may leave an offer unanswered before it counts as lost, in
    /// milliseconds.
    pub offer_timeout_ms: u64,
    /// How long a task has between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
    /// What is added to the lease of an exclusive task before it may run elsewhere, in
    /// milliseconds, beside 2 % for clocks that drift.
    pub lease_margin_ms: u64,
    /// How long a core restored from a backup waits for its agents before it places anything, in
    /// milliseconds.
    pub recovery_ms: u64,
    /// How many queued reports of returning agents are asked for per second.
    pub reports_per_second: u64,
    /// How often one task may be lost with its agents before it fails: a task that kills boards
    /// must not work its way through the fleet.
    pub losses_max: u32,
    /// How often agents may refuse one task before it fails.
    pub refusals_max: u32,
    /// The least time between two sends of the same desired state to one agent, in milliseconds.
    pub resend_ms: u64,
    /// The most placements tried in one step, and planned together; the rest follow in the next.
    /// A step is not to keep the core from its agents for 50 ms.
    pub placements_per_step: usize,
    /// The most schedules.
    pub schedules_max: u64,
    /// How many schedules that have missed moments are looked at per second, while those that are
    /// on time go first.
    pub catch_up_per_second: u64,
    /// Of so many tasks that come without a trace of their own, the trace of one is sampled; of
    /// none when it is 0.
    pub trace_one_in: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pending_max: 1_000_000,
            agents_max: 1_000_000,
            heartbeat_ms: 5_000,
            suspect_after_beats: 2,
            offline_after_beats: 4,
            recover_beats: 2,
            offer_timeout_ms: 60_000,
            grace_ms: 10_000,
            lease_margin_ms: 2_000,
            recovery_ms: 60_000,
            reports_per_second: 20_000,
            losses_max: 10,
            refusals_max: 30,
            resend_ms: 2_000,
            placements_per_step: 256,
            schedules_max: 1_000_000,
            catch_up_per_second: 500,
            trace_one_in: 1,
        }
    }
}

impl Settings {
    /// How long an exclusive task may run on after the last answered ping, in milliseconds: what
    /// its submitter allows, and at least so long that heartbeats can keep it.
    #[must_use]
    pub fn lease_ms(&self, lost_after_s: u64) -> u64 {
        let least_ms = self.grace_ms + 4 * self.heartbeat_ms + 2 * self.lease_margin_ms;
        lost_after_s.saturating_mul(1_000).max(least_ms)
    }

    /// How long after the last answered ping an exclusive task may run elsewhere, in milliseconds.
    #[must_use]
    pub fn lease_over_ms(&self, lost_after_s: u64) -> u64 {
        let lease_ms = self.lease_ms(lost_after_s);
        if planted!(NoLeaseMargin) {
            return lease_ms;
        }
        lease_ms.saturating_add(lease_ms / 50).saturating_add(self.lease_margin_ms)
    }

    /// How long a task that is to be stopped may be silent before it is settled without its agent,
    /// in milliseconds: the grace it has itself, and as long again as an agent may be silent.
    #[must_use]
    pub fn stop_timeout_ms(&self) -> u64 {
        self.grace_ms + 2 * self.offline_after_beats * self.heartbeat_ms
    }
}

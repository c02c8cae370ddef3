//! The lease of exclusive tasks. It counts from the moment the last answered ping was sent, by the
//! monotonic clock: whatever the core did with that ping, it did it later. A process is stopped so
//! early that it is over when the lease ends.
//!
//! A pong renews only once all desired state is applied that there was when it was said: a task may
//! have been given to another agent since, and the word of that may be slower than the pong.

use shared::id::{AssignmentId, Revision};
use shared::report::StopReason;
use shared::time::Now;

use crate::agent::Agent;
use crate::attempt::Cause;
use crate::effect::{Effect, Outcome};
use crate::link::Renewal;
use crate::planted::planted;

/// The most pongs that wait for desired state; of more, the newest are worth most.
const RENEWALS_MAX: usize = 16;

/// The core has answered a ping.
pub(crate) fn pong(agent: &mut Agent, nonce: u64, desired_rev: Revision, lease: bool, now: Now) {
    let Some(ping) = agent.link.answered(nonce) else {
        return;
    };
    // Bounded by the age of a connection; precise far beyond that.
    agent.link.rtt_ms = Some(now.mono.since_ms(ping.sent) as f64);
    if !lease {
        return;
    }
    if agent.link.renewals.len() == RENEWALS_MAX {
        agent.link.renewals.pop_front();
    }
    let sent = if planted!(LeaseFromPong) { now.mono } else { ping.sent };
    agent.link.renewals.push_back(Renewal { desired_rev, sent });
}

/// Renews as far as what was wanted at the time is applied.
pub(crate) fn renew(agent: &mut Agent, out: &mut Outcome) {
    let blind = planted!(LeaseWhateverApplied);
    let applied = if blind { Revision(u64::MAX) } else { agent.applied_rev };
    let held = agent.link.renewals.iter().filter(|renewal| renewal.desired_rev <= applied);
    let Some(sent) = held.map(|renewal| renewal.sent).max() else {
        return;
    };
    agent.link.renewals.retain(|renewal| renewal.desired_rev > applied);
    if agent.link.renewed < Some(sent) {
        agent.link.renewed = Some(sent);
        if !agent.leased.is_empty() {
            out.effects.push(Effect::RenewLease { sent });
        }
    }
}

/// Stops what nobody renewed.
pub(crate) fn tick(agent: &mut Agent, out: &mut Outcome, now: Now) {
    let due: Vec<AssignmentId> =
        agent.lease_ends().filter(|(at, _)| *at <= now.mono).map(|(_, id)| id).collect();
    for id in due {
        agent.stop(id, Cause::Requested { reason: StopReason::Disconnected }, out, now);
    }
}

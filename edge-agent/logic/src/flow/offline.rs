//! What happens because the core is not heard: attempts that must not go on without it are
//! stopped, by the monotonic clock.

use shared::id::AssignmentId;
use shared::report::StopReason;
use shared::time::Now;

use crate::agent::Agent;
use crate::attempt::Cause;
use crate::change::Change;
use crate::effect::Outcome;

/// A contact that is this old is written down with the next thing that is written anyway, in
/// milliseconds.
const FREE_RIDE_MS: u64 = 10_000;

/// The core was heard.
pub(crate) fn heard(agent: &mut Agent, now: Now) {
    agent.link.heard = now.mono;
    agent.link.heard_at = Some(now.wall);
}

/// Stops what must not go on without the core. The silence is counted from the start of this
/// process at the earliest: what was before it nobody measured.
pub(crate) fn tick(agent: &mut Agent, out: &mut Outcome, now: Now) {
    let due: Vec<AssignmentId> =
        agent.disconnects().filter(|(at, _)| *at <= now.mono).map(|(_, id)| id).collect();
    for id in due {
        agent.stop(id, Cause::Requested { reason: StopReason::Disconnected }, out, now);
    }
}

/// Writes down now and then when the core was last heard, for people who ask while it is not.
pub(crate) fn remember_contact(agent: &mut Agent, out: &mut Outcome, now: Now) {
    let link = &mut agent.link;
    let age_ms = now.mono.since_ms(link.saved);
    let first = link.saved_at.is_none();
    let due = first || age_ms >= agent.settings.contact_save_ms;
    let free = !out.changes.is_empty() && age_ms >= FREE_RIDE_MS;
    match link.heard_at {
        Some(at) if link.saved_at != Some(at) && (due || free) => {
            link.saved_at = Some(at);
            link.saved = now.mono;
            out.changes.push(Change::Heard { at });
        }
        _ => {}
    }
}

//! What happens because the core is not heard: attempts that must not go on without it are
//! stopped, by the monotonic clock.

use shared::id::AssignmentId;
use shared::report::StopReason;
use shared::time::Now;

use crate::agent::Agent;
use crate::attempt::Cause;
use crate::effect::Outcome;

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

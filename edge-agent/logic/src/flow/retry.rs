//! What follows a run that failed or vanished. The core decides, if it is met in time; else the
//! agent begins another run by itself, as often as the order lets it.

use shared::id::AssignmentId;
use shared::time::Now;

use crate::agent::Agent;
use crate::effect::Outcome;

/// Decides what is due.
pub(crate) fn tick(agent: &mut Agent, out: &mut Outcome, now: Now) {
    // An agent that is stopping finds the same ends again when it comes back.
    if agent.undecided.is_empty() || agent.health.stopping {
        return;
    }
    let asks = agent.link.is_met() || agent.link.barred.is_some();
    let due = agent.undecided.iter().filter(|(_, run)| asks || run.at <= now.mono);
    let due: Vec<AssignmentId> = due.map(|(id, _)| *id).collect();
    for id in due {
        let Some(run) = agent.undecided.remove(&id) else {
            continue;
        };
        if asks || !has_room(agent) {
            agent.conclude(id, run.end, run.remains, out, now);
        } else {
            agent.begin_again(id, run, out, now);
        }
    }
}

/// Whether the outbox has room for one more run beside the ends of all that is held.
fn has_room(agent: &Agent) -> bool {
    let adds = 1 + 2 * agent.live.len();
    let waiting = u64::try_from(agent.entries.waiting.len() + adds).unwrap_or(u64::MAX);
    waiting <= agent.settings.outbox_max
}

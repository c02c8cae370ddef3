//! The core wants an attempt to end, or the attempt has run too long: TERM first, and KILL when
//! its grace is over.

use shared::id::AssignmentId;
use shared::report::{End, Finish, Output, ReportEvent, StopReason};
use shared::time::Now;

use crate::agent::Agent;
use crate::attempt::{Cause, State};
use crate::effect::{Effect, Outcome};

/// The core wants it to end. For an attempt that is over there is nothing to do, its end is told;
/// one that was never here never will be: that is told too, so that nobody waits for it.
pub(crate) fn stop(
    agent: &mut Agent,
    id: AssignmentId,
    reason: StopReason,
    out: &mut Outcome,
    now: Now,
) {
    if agent.knows(id) {
        agent.stop(id, Cause::Requested { reason }, out, now);
        return;
    }
    let finish = Finish {
        end: End::Stopped { reason },
        started_at: None,
        ran_ms: None,
        output: Output::default(),
    };
    agent.report(id, ReportEvent::Finished(Box::new(finish)), out, now);
}

/// Acts on what has run too long, and on what does not end although it was told to.
pub(crate) fn tick(agent: &mut Agent, out: &mut Outcome, now: Now) {
    let due: Vec<AssignmentId> =
        agent.alarms.iter().filter(|(_, at)| **at <= now.mono).map(|(id, _)| *id).collect();
    for id in due {
        agent.alarms.remove(&id);
        match agent.live.get(&id).map(|live| live.state) {
            Some(State::Running { .. }) => agent.stop(id, Cause::TimedOut, out, now),
            Some(State::Stopping { .. }) => {
                out.effects.push(Effect::Kill { assignment: id });
                // A process that hangs in a driver does not die at once; nor may it be forgotten.
                agent.alarms.insert(id, now.mono + agent.settings.kill_again_ms);
            }
            Some(State::Accepted | State::Starting { .. }) | None => {}
        }
    }
}

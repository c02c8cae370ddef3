//! After a restart of the agent: what became of the attempts that had a process. What runs is
//! adopted, what ended is told as it ended, what never started may start, and what nobody knows
//! is said to be unknown. Nothing is ever run a second time within one attempt.

use shared::id::AssignmentId;
use shared::report::ReportEvent;
use shared::time::{Now, Timestamp};

use crate::agent::Agent;
use crate::attempt::{Remains, State};
use crate::effect::{Effect, Notice, Outcome};
use crate::planted::planted;

/// It runs.
pub(crate) fn running(
    agent: &mut Agent,
    id: AssignmentId,
    started_at: Timestamp,
    ran_ms: u64,
    out: &mut Outcome,
    now: Now,
) {
    agent.unresolved.remove(&id);
    let ran_ms = if planted!(WallTrusted) { now.wall.since_ms(started_at) } else { ran_ms };
    if planted!(RunningBegunAgain) {
        agent.advance(id, State::wait_again, out);
        return;
    }
    let Some(live) = agent.live.get(&id) else {
        return out.nonsense(id, None);
    };
    let (state, grace_ms, boot) = (live.state, live.order.grace_ms, agent.boot);
    match state {
        State::Starting { .. } | State::Stopping { started_at: None, .. } => {
            agent.advance(id, |state| state.run(boot, started_at), out);
            agent.report(id, ReportEvent::Started, out, now);
        }
        State::Running { .. } | State::Stopping { .. } => {}
        State::Accepted => return out.nonsense(id, None),
    }
    agent.watch_run(id, ran_ms, now);
    out.note(Notice::Adopted { assignment: id, ran_ms });
    if matches!(state, State::Stopping { .. }) {
        // Whether it was told before the agent went down is not known; telling it again is safe.
        out.effects.push(Effect::Terminate { assignment: id });
        agent.alarms.insert(id, now.mono + grace_ms);
    }
}

/// It never ran, and nobody can start it any more but by a new request. `false` when its own
/// state says that it did run: then its process is gone.
pub(crate) fn never_started(
    agent: &mut Agent,
    id: AssignmentId,
    out: &mut Outcome,
    now: Now,
) -> bool {
    agent.unresolved.remove(&id);
    let Some(live) = agent.live.get(&id) else {
        out.nonsense(id, None);
        return true;
    };
    match live.state {
        State::Starting { .. } => {
            agent.progress.forget(id);
            agent.advance(id, State::wait_again, out);
            true
        }
        State::Stopping { cause, started_at: None } => {
            agent.conclude(id, cause.end(), Remains::default(), out, now);
            true
        }
        State::Accepted => {
            out.nonsense(id, None);
            true
        }
        State::Running { .. } | State::Stopping { .. } => false,
    }
}

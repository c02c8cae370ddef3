//! Tells the core how far the attempts that run have come: the newest word of each, seldom, and
//! only while there is somebody to hear it.

use shared::id::AssignmentId;
use shared::report::ProgressMark;
use shared::time::Now;
use shared::wire::Uplink;
use shared::wire::uplink::{AttemptProgress, ProgressNews};

use crate::agent::Agent;
use crate::change::ProgressRow;
use crate::effect::{Effect, Outcome};
use crate::progress::within_bounds;

/// Takes what an attempt's process wrote.
pub(crate) fn take(agent: &mut Agent, id: AssignmentId, mark: ProgressMark, now: Now) {
    let runs = agent.live.get(&id).is_some_and(|live| live.state.is_active());
    if runs && !agent.undecided.contains_key(&id) {
        let (at, stamp, mark) = (now.wall, agent.clock.stamp(now), within_bounds(mark));
        let row = ProgressRow { at, stamp, mark };
        agent.progress.put(id, row, agent.settings.progress_ms, now.mono);
    }
}

/// Sends what is due.
pub(crate) fn tick(agent: &mut Agent, out: &mut Outcome, now: Now) {
    if !agent.link.is_met() {
        return;
    }
    let item = |(assignment, ProgressRow { at, stamp, mark })| AttemptProgress {
        assignment,
        at,
        stamp,
        mark,
    };
    let items: Vec<_> = agent.progress.take_due(now.mono).into_iter().map(item).collect();
    if !items.is_empty() {
        let news = ProgressNews { incarnation: agent.incarnation, session: agent.session, items };
        out.effects.push(Effect::Send(Uplink::Progress(news)));
    }
}

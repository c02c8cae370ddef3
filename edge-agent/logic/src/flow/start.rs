//! Starts what waits, in its order, while there is room. An attempt is `starting` on disk before
//! its process is asked for.

use shared::id::AssignmentId;
use shared::report::End;
use shared::spec::Run;
use shared::time::Now;

use crate::agent::Agent;
use crate::attempt::{Live, Remains};
use crate::effect::{Effect, Outcome};

/// Starts as many as may be started now.
pub(crate) fn fill(agent: &mut Agent, out: &mut Outcome, now: Now) {
    while let Some(id) = next(agent, now) {
        let Some(live) = agent.live.get(&id) else {
            return;
        };
        let (order, run) = (std::sync::Arc::clone(&live.order), live.runs.number());
        if matches!(order.run, Run::Noop {}) {
            let remains =
                Remains { started_at: Some(now.wall), ran_ms: Some(0), ..Remains::default() };
            agent.conclude(id, End::Exited { code: 0 }, remains, out, now);
            continue;
        }
        let boot = agent.boot;
        if !agent.advance(id, |state| state.begin(boot), out) {
            return;
        }
        let renewed = agent.link.renewed.filter(|_| order.lease_ms.is_some());
        out.effects.push(Effect::Spawn { assignment: id, run, order, renewed });
    }
}

/// The attempt whose turn it is, if there is room for one more.
fn next(agent: &Agent, now: Now) -> Option<AssignmentId> {
    // What is still unknown of the time before the restart may turn out to run.
    if agent.waiting.is_empty() || agent.health.stopping || !agent.unresolved.is_empty() {
        return None;
    }
    // Another board may hold the same attempts.
    if agent.link.barred.is_some() {
        return None;
    }
    if agent.live.len() - agent.waiting.len() >= agent.running_max() {
        return None;
    }
    let free =
        |id: &AssignmentId| agent.attempts_of(id.task).all(|(_, other)| !other.state.is_active());
    let leased = |live: &Live| {
        let end = agent.lease_end(&live.order);
        live.order.lease_ms.is_none() || end.is_some_and(|end| end > now.mono)
    };
    let may = |id: &AssignmentId| agent.live.get(id).is_some_and(leased) && free(id);
    agent.waiting.iter().map(|(_, _, id)| *id).find(may)
}

//! The core wants an attempt to run: take it on, with a report in the same transaction, or refuse
//! it by name.

use std::cmp::Reverse;
use std::sync::Arc;

use shared::id::AssignmentId;
use shared::report::{RefusalReason, ReportEvent, StopReason};
use shared::time::Now;
use shared::wire::downlink::Order;

use crate::admission::{self, Refusal};
use crate::agent::Agent;
use crate::attempt::{Cause, Live, Runs, State};
use crate::change::{AttemptRow, Change};
use crate::effect::{Effect, Notice, Outcome};
use crate::planted::planted;

/// Takes an attempt on, or refuses it. One that is remembered is left as it is.
pub(crate) fn run(
    agent: &mut Agent,
    id: AssignmentId,
    order: &Arc<Order>,
    out: &mut Outcome,
    now: Now,
) {
    if agent.knows(id) && !planted!(OrderTakenTwice) {
        return;
    }
    let (older, newer): (Vec<_>, Vec<_>) = agent
        .attempts_of(id.task)
        .map(|(held, _)| held)
        .partition(|held| held.attempt < id.attempt);
    let admitted = match newer.first() {
        Some(newer) => Err(Refusal {
            reason: RefusalReason::Busy,
            detail: format!("attempt {} of the same task is held here", newer.attempt),
        }),
        None => admission::check(agent, order),
    };
    // Whatever becomes of the new attempt: the core gave up the old one.
    for older in older {
        agent.stop(older, Cause::Requested { reason: StopReason::Superseded }, out, now);
    }
    match admitted {
        Ok(()) => take(agent, id, order, out, now),
        Err(Refusal { reason, detail }) => {
            out.note(Notice::Refused { assignment: id, reason, detail: detail.clone() });
            agent.report(id, ReportEvent::Refused { reason, detail }, out, now);
        }
    }
}

fn take(agent: &mut Agent, id: AssignmentId, order: &Arc<Order>, out: &mut Outcome, now: Now) {
    agent.accepted_last = agent.accepted_last.saturating_add(1);
    let (number, accepted_at, state) = (agent.accepted_last, now.wall, State::Accepted);
    let order = Arc::clone(order);
    agent.reserved.add(&order.needs);
    agent.waiting.insert((Reverse(order.priority), number, id));
    let row = AttemptRow {
        id,
        number,
        accepted_at,
        order: Arc::clone(&order),
        state,
        runs: Runs::default(),
        progress: None,
    };
    if order.lease_ms.is_some() {
        agent.leased.insert(id);
        out.effects.extend(agent.link.renewed.map(|sent| Effect::RenewLease { sent }));
    }
    let (runs, started, told) = (Runs::default(), None, Vec::new());
    agent.live.insert(id, Live { number, accepted_at, order, state, runs, started, told });
    out.changes.push(Change::AttemptAdded(Box::new(row)));
    agent.report(id, ReportEvent::Accepted, out, now);
    out.note(Notice::Accepted { assignment: id });
}

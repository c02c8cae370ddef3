//! The core wants an attempt to run: take it on, with a report in the same transaction, or refuse
//! it by name.

use std::sync::Arc;

use shared::id::AssignmentId;
use shared::report::{RefusalReason, ReportEvent, StopReason};
use shared::time::Now;
use shared::wire::downlink::Order;

use crate::admission::{self, Refusal};
use crate::agent::Agent;
use crate::attempt::Cause;
use crate::effect::{Notice, Outcome};
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
        Ok(()) => {
            agent.take_on(id, order, None, out, now);
            agent.report(id, ReportEvent::Accepted, out, now);
            out.note(Notice::Accepted { assignment: id });
        }
        Err(Refusal { reason, detail }) => {
            out.note(Notice::Refused { assignment: id, reason, detail: detail.clone() });
            agent.report(id, ReportEvent::Refused { reason, detail }, out, now);
        }
    }
}

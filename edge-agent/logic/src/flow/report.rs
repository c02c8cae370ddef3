//! The outbox: sends what is numbered, within a window, and deletes what the core has
//! acknowledged. The entries themselves are in the store.

use shared::backoff::delay_ms;
use shared::id::{Incarnation, Sequence};
use shared::time::Now;

use crate::agent::Agent;
use crate::change::Change;
use crate::effect::{Effect, Notice, Outcome};
use crate::link::Resend;

/// Sends what was not sent yet, as far as the window reaches.
pub(crate) fn send(agent: &mut Agent, out: &mut Outcome, now: Now) {
    if !agent.link.is_met() || agent.link.congested {
        return;
    }
    let outbox = &mut agent.outbox;
    let window_end = outbox.acked.0.saturating_add(agent.settings.outbox_window);
    let upto = Sequence(outbox.last.0.min(window_end));
    if upto > outbox.sent {
        out.effects.push(Effect::SendReports { after: outbox.sent, upto });
        outbox.sent = upto;
        let first = Resend { at: now.mono + agent.settings.resend_ms, times: 0 };
        agent.link.resend.get_or_insert(first);
    }
}

/// The core has committed entries.
pub(crate) fn acknowledged(
    agent: &mut Agent,
    incarnation: Incarnation,
    seq: Sequence,
    out: &mut Outcome,
    now: Now,
) {
    if incarnation != agent.incarnation {
        return;
    }
    if seq > agent.outbox.last {
        out.note(Notice::AheadOfUs { acked: seq, last: agent.outbox.last });
        return;
    }
    let Some(upto) = agent.outbox.acknowledge(seq) else {
        return;
    };
    out.changes.push(Change::ReportsAcked { upto });
    while let Some(entry) = agent.finished_by_report.first_entry() {
        if *entry.key() > upto {
            break;
        }
        let id = entry.remove();
        agent.finished.remove(&id);
        out.changes.push(Change::AttemptForgotten { id });
        out.effects.push(Effect::Forget { assignment: id });
    }
    agent.link.congested = false;
    let more = agent.outbox.sent > upto;
    let again = Resend { at: now.mono + agent.settings.resend_ms, times: 0 };
    agent.link.resend = more.then_some(again);
}

/// The link took only some of what was to be sent. The rest follows when the core has
/// acknowledged something, or with the next resend.
pub(crate) fn cut(agent: &mut Agent, sent: Sequence, now: Now) {
    let outbox = &mut agent.outbox;
    outbox.sent = sent.clamp(outbox.acked, outbox.sent);
    agent.link.congested = true;
    let again = Resend { at: now.mono + agent.settings.resend_ms, times: 0 };
    agent.link.resend.get_or_insert(again);
}

/// Sends again what was not acknowledged in time, ever more slowly.
pub(crate) fn tick(agent: &mut Agent, now: Now) {
    let Some(Resend { at, times }) = agent.link.resend else {
        return;
    };
    if !agent.link.is_met() || at > now.mono {
        return;
    }
    agent.outbox.rewind();
    agent.link.congested = false;
    let times = times.saturating_add(1);
    let (first_ms, max_ms) = (agent.settings.resend_ms, agent.settings.resend_ms_max);
    let wait_ms = delay_ms(times.saturating_add(1), first_ms, max_ms, now.chance).max(first_ms);
    let waiting = agent.outbox.waiting() > 0;
    agent.link.resend = waiting.then_some(Resend { at: now.mono + wait_ms, times });
}

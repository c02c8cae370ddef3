//! The outbox: sends what is numbered, within a window, and keeps of what the core has
//! acknowledged only the outcomes, for a while. The entries themselves are in the store.

use shared::backoff::delay_ms;
use shared::id::{Incarnation, Sequence};
use shared::time::Now;

use crate::agent::Agent;
use crate::change::Change;
use crate::effect::{Effect, Notice, Outcome};
use crate::link::Resend;
use crate::planted::planted;

/// How often it is looked for outcomes that were kept for long enough, in milliseconds.
const KEPT_LOOK_MS: u64 = 3_600_000;

/// Sends what was not sent yet, as far as the window reaches.
pub(crate) fn send(agent: &mut Agent, out: &mut Outcome, now: Now) {
    let (link, outbox) = (&agent.link, &mut agent.outbox);
    if !link.is_met() || link.congested || link.reports_at.is_some() || outbox.sent == outbox.last {
        return;
    }
    // By entries, not by numbers: where many were dropped, the next may be far, and behind the
    // last of them there may be numbers without any, which are to be acknowledged all the same.
    let upto = agent.entries.window_end(agent.settings.outbox_window).unwrap_or(outbox.last);
    if upto > outbox.sent {
        let wrong = planted!(OutboxFromWrongRow) && outbox.sent == outbox.acked;
        let after = if wrong { outbox.sent.next() } else { outbox.sent };
        out.effects.push(Effect::SendReports { after, upto });
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
    // Before the welcome it is not known whose numbers these are.
    if incarnation != agent.incarnation || !agent.link.is_met() {
        return;
    }
    if seq > agent.outbox.last {
        out.note(Notice::AheadOfUs { acked: seq, last: agent.outbox.last });
        return;
    }
    let Some(upto) = agent.outbox.acknowledge(seq) else {
        return;
    };
    let at = agent.clock.confirmed(now);
    agent.entries.acknowledge(upto, at);
    out.changes.push(Change::ReportsAcked { upto, at });
    agent.kept_look = now.mono;
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

/// Forgets outcomes that were kept for long enough. Their age is counted by a wall clock that the
/// core has confirmed; without one, only their number bounds them.
pub(crate) fn forget_kept(agent: &mut Agent, out: &mut Outcome, now: Now) {
    if agent.kept_look > now.mono {
        return;
    }
    agent.kept_look = now.mono + KEPT_LOOK_MS;
    let kept_ms = i64::try_from(agent.settings.kept_ms).unwrap_or(i64::MAX);
    let any = planted!(AgeByAnyClock).then_some(now.wall);
    let wall = any.or(agent.clock.confirmed(now));
    let before = wall.map(|now| now.plus_ms(kept_ms.saturating_neg()));
    if let Some(upto) = agent.entries.forget(agent.settings.kept_max, before) {
        out.changes.push(Change::KeptForgotten { upto });
    }
}

/// Sends again what was not acknowledged in time, ever more slowly.
pub(crate) fn tick(agent: &mut Agent, now: Now) {
    agent.link.reports_at.take_if(|at| *at <= now.mono);
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

//! The conversation with the core: hello until it is welcomed, heartbeats and pings from then on,
//! hello again when the core asks who is there or says nothing for too long.

use shared::backoff::delay_ms;
use shared::id::AssignmentId;
use shared::time::{Now, mix};
use shared::wire::Uplink;
use shared::wire::downlink::{Refusal, RefusedBecause, Welcome};
use shared::wire::uplink::{Gone, Heartbeat, Held, HeldSchedule, Hello, Inventory, InventoryPart};

use crate::agent::Agent;
use crate::attempt::Live;
use crate::change::{Change, LinkSeen};
use crate::effect::{Effect, Notice, Outcome};
use crate::link::{Conversation, Ping};

/// The first heartbeat follows a welcome within this time, in milliseconds, and within half the
/// interval: soon, and not at the same moment on every agent.
const FIRST_BEAT_MS_MAX: u64 = 1_000;
/// The bounds within which the core's heartbeat interval is believed, in milliseconds.
const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 100..=3_600_000;
/// The longest wait for a moment of our own to send reports in, in milliseconds.
const REPORTS_AFTER_MS_MAX: u64 = 60_000;

const CHANCE_FIRST_BEAT: u64 = 0x6265_6174;
const CHANCE_PING: u64 = 0x7069_6e67;

/// A connection is up: say hello.
pub(crate) fn link_up(agent: &mut Agent, number: u64, out: &mut Outcome, now: Now) {
    agent.link.number = number;
    agent.outbox.rewind();
    match agent.link.barred {
        // Two boards with one name push each other off the broker; a hello each time would be a
        // storm.
        Some(until) if until > now.mono => {
            agent.link.conversation = Conversation::Refused { until };
        }
        _ => greet(agent, 0, out, now),
    }
}

/// The connection is gone. What was sent on it may have been lost.
pub(crate) fn link_down(agent: &mut Agent, reason: String, out: &mut Outcome, now: Now) {
    agent.link.conversation = Conversation::Down;
    agent.link.pings.clear();
    agent.link.resend = None;
    agent.link.reports_at = None;
    agent.link.congested = false;
    agent.outbox.rewind();
    if !agent.health.stopping {
        agent.see_link(LinkSeen::Down { reason }, out, now);
    }
}

/// Says hello, for the `hellos + 1`st time in a row.
fn greet(agent: &mut Agent, hellos: u32, out: &mut Outcome, now: Now) {
    let hellos = hellos.saturating_add(1);
    let (first_ms, max_ms) = (agent.settings.hello_ms, agent.settings.hello_ms_max);
    let wait_ms = delay_ms(hellos, first_ms, max_ms, now.chance);
    agent.link.conversation = Conversation::Greeting { hellos, again_at: now.mono + wait_ms };
    agent.link.pings.clear();
    agent.link.resend = None;
    agent.link.reports_at = None;
    agent.link.told_position = agent.facts.position;
    agent.link.beat = agent.link.beat.saturating_add(1);
    agent.link.hello = agent.link.beat;
    let mut parts = inventory(agent, now).into_iter();
    let first = parts.next().unwrap_or_default();
    out.effects.push(Effect::Send(Uplink::Hello(Box::new(Hello {
        incarnation: agent.incarnation,
        boot: agent.boot,
        session: agent.session,
        link: agent.link.number,
        beat: agent.link.beat,
        facts: agent.facts.clone(),
        core: agent.core,
        applied_rev: agent.applied_rev,
        last_seq: agent.outbox.last,
        acked_seq: agent.outbox.acked,
        inventory: first,
        load: agent.health.load,
        sent_at: now.wall,
        stamp: agent.clock.stamp(now),
    }))));
    for part in parts {
        out.effects.push(Effect::Send(Uplink::Inventory(Inventory {
            incarnation: agent.incarnation,
            session: agent.session,
            link: agent.link.number,
            last_seq: agent.outbox.last,
            part,
        })));
    }
}

/// Everything that is held and not over, and the schedules, in parts that fit into messages; at
/// least one.
fn inventory(agent: &Agent, now: Now) -> Vec<InventoryPart> {
    let size = agent.settings.inventory_part.max(1);
    let held = |(assignment, live): (&AssignmentId, &Live)| Held {
        assignment: *assignment,
        running_ms: live.started.map(|started| now.mono.since_ms(started)),
    };
    let all: Vec<Held> = agent.live.iter().map(held).collect();
    let schedules: Vec<HeldSchedule> = agent
        .residents
        .held
        .iter()
        .map(|(schedule, resident)| HeldSchedule { schedule: *schedule, tag: resident.hold.tag })
        .collect();
    let count = all.len().max(schedules.len()).div_ceil(size).max(1);
    let parts = u32::try_from(count).unwrap_or(u32::MAX);
    let (mut all, mut schedules) = (all.chunks(size), schedules.chunks(size));
    let part = |part| InventoryPart {
        part,
        parts,
        holds: all.next().unwrap_or_default().to_vec(),
        schedules: Some(schedules.next().unwrap_or_default().to_vec()),
    };
    (0..parts).map(part).collect()
}

/// The core knows this agent: from now on it gets heartbeats and reports.
pub(crate) fn welcome(agent: &mut Agent, welcome: &Welcome, out: &mut Outcome, now: Now) {
    // A repeated welcome changes nothing: what it says may be older than what was heard since.
    // Nor does the answer to an earlier hello than the last: the core may not know yet what that
    // one says.
    if welcome.beat != agent.link.beat {
        return;
    }
    let barred = agent.link.barred.is_some();
    match agent.link.conversation {
        Conversation::Greeting { .. } => {}
        Conversation::Refused { .. } if !barred => {}
        _ => return,
    }
    agent.look_at_clock(Some(welcome.sent_at), out, now);
    if welcome.acked_seq > agent.outbox.last {
        return ahead_of_us(agent, welcome, out, now);
    }
    meet(agent, welcome, out);
    let heartbeat_ms = welcome.heartbeat_ms.clamp(*HEARTBEAT_MS.start(), *HEARTBEAT_MS.end());
    let spread_ms = FIRST_BEAT_MS_MAX.min(heartbeat_ms / 2);
    let beat_at = now.mono + mix(now.chance, CHANCE_FIRST_BEAT) % (spread_ms + 1);
    agent.link.conversation = Conversation::Met { heartbeat_ms, beat_at };
    agent.link.barred = None;
    agent.link.congested = false;
    agent.outbox.rewind();
    let reports_at = now.mono + welcome.reports_after_ms.min(REPORTS_AFTER_MS_MAX);
    agent.link.reports_at = (reports_at > now.mono).then_some(reports_at);
    agent.progress.tell_all(reports_at);
    agent.see_link(LinkSeen::Connected, out, now);
    out.note(Notice::Welcomed { core: welcome.core });
    ping(agent, out, now);
}

/// The core knows reports that this database does not: they were written by a newer copy of it,
/// and what is numbered here would be taken for those. Nothing good comes of going on.
fn ahead_of_us(agent: &mut Agent, welcome: &Welcome, out: &mut Outcome, now: Now) {
    let (acked, last) = (welcome.acked_seq, agent.outbox.last);
    let detail = format!(
        "the core knows {acked} reports of this agent, its own database only {last}: it is an older copy; start the agent with a fresh data folder"
    );
    out.note(Notice::AheadOfUs { acked, last });
    bar(agent, detail, out, now);
}

/// Compares what both sides remember.
fn meet(agent: &mut Agent, welcome: &Welcome, out: &mut Outcome) {
    if agent.core != Some(welcome.core) {
        if let Some(before) = agent.core.replace(welcome.core) {
            out.note(Notice::AnotherCore { before, now: welcome.core });
        }
        out.changes.push(Change::CoreMet { core: welcome.core });
    }
    let (acked, before) = (welcome.acked_seq, agent.outbox.acked);
    if agent.outbox.restore(acked) {
        let kept = agent.entries.restore_to(acked);
        out.changes.push(Change::ReportsUnacked { acked });
        out.note(Notice::CoreForgot { acked, before, kept });
    }
}

/// The core does not let this agent in.
pub(crate) fn refused(agent: &mut Agent, refusal: Refusal, out: &mut Outcome, now: Now) {
    let bars = matches!(refusal.reason, RefusedBecause::Cloned | RefusedBecause::OlderDatabase);
    match agent.link.conversation {
        Conversation::Greeting { .. } => {}
        // It was met; whether this is news or late, the answer to a hello tells.
        Conversation::Met { .. } if bars => return greet(agent, 0, out, now),
        _ => return,
    }
    if bars {
        bar(agent, refusal.detail.clone(), out, now);
    } else {
        let until = now.mono + agent.settings.refused_ms;
        agent.link.conversation = Conversation::Refused { until };
        agent.see_link(LinkSeen::Refused { detail: refusal.detail.clone() }, out, now);
    }
    out.note(Notice::NotLetIn(refusal));
}

/// This database is not the one that the core goes by: nothing is started until it says otherwise.
fn bar(agent: &mut Agent, detail: String, out: &mut Outcome, now: Now) {
    let until = now.mono + agent.settings.cloned_ms;
    agent.link.conversation = Conversation::Refused { until };
    agent.link.barred = Some(until);
    agent.see_link(LinkSeen::Refused { detail }, out, now);
}

/// The core does not know where this agent stands.
pub(crate) fn who_is_there(agent: &mut Agent, out: &mut Outcome, now: Now) {
    // While a hello is under way already, another would only add to the rush.
    if agent.link.is_met() {
        greet(agent, 0, out, now);
    }
}

/// Does what is due for the conversation.
pub(crate) fn tick(agent: &mut Agent, out: &mut Outcome, now: Now) {
    match agent.link.conversation {
        Conversation::Greeting { hellos, again_at } if again_at <= now.mono => {
            greet(agent, hellos, out, now);
        }
        Conversation::Refused { until } if until <= now.mono => greet(agent, 0, out, now),
        Conversation::Met { heartbeat_ms, beat_at } if beat_at <= now.mono => {
            let silence_ms = now.mono.since_ms(agent.link.heard);
            if silence_ms >= heartbeat_ms.saturating_mul(agent.settings.silent_beats) {
                out.note(Notice::CoreSilent);
                let reason = "the link is up, but the core says nothing".to_owned();
                agent.see_link(LinkSeen::Down { reason }, out, now);
                greet(agent, 0, out, now);
                return;
            }
            // Keeps the pace; after a long sleep it starts anew instead of catching up.
            let next = beat_at + heartbeat_ms;
            let beat_at = if next > now.mono { next } else { now.mono + heartbeat_ms };
            agent.link.conversation = Conversation::Met { heartbeat_ms, beat_at };
            beat(agent, out, now);
            ping(agent, out, now);
        }
        _ => {}
    }
}

fn beat(agent: &mut Agent, out: &mut Outcome, now: Now) {
    agent.link.beat = agent.link.beat.saturating_add(1);
    let moved = agent.facts.position != agent.link.told_position;
    if moved {
        // From now on every heartbeat tells it: back where the hello was said, the core would go
        // on believing the last one told.
        agent.link.told_position = None;
    }
    out.effects.push(Effect::Send(Uplink::Heartbeat(Heartbeat {
        incarnation: agent.incarnation,
        boot: agent.boot,
        session: agent.session,
        link: agent.link.number,
        beat: agent.link.beat,
        core: agent.core,
        hello: agent.link.hello,
        load: agent.health.load,
        rtt_ms: agent.link.rtt_ms,
        position: agent.facts.position.filter(|_| moved),
        applied_rev: agent.applied_rev,
        acked_seq: agent.outbox.acked,
        held: u32::try_from(agent.live.len()).unwrap_or(u32::MAX),
        sent_at: now.wall,
        stamp: agent.clock.stamp(now),
    })));
}

fn ping(agent: &mut Agent, out: &mut Outcome, now: Now) {
    let nonce = mix(now.chance, CHANCE_PING);
    agent.link.pinged(Ping { nonce, sent: now.mono });
    out.effects.push(Effect::Send(Uplink::Ping { nonce, session: agent.session }));
}

/// Says goodbye. What runs goes on running and is found again by the next start.
pub(crate) fn leave(agent: &mut Agent, out: &mut Outcome, now: Now) {
    agent.health.stopping = true;
    if !matches!(agent.link.conversation, Conversation::Down) {
        out.effects.push(Effect::Send(Uplink::Gone(Gone {
            incarnation: agent.incarnation,
            boot: agent.boot,
            session: agent.session,
            link: agent.link.number,
            orderly: true,
        })));
    }
    agent.see_link(LinkSeen::Stopped, out, now);
}

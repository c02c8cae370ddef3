//! The conversation with the core: hello until it is welcomed, heartbeats and pings from then on,
//! hello again when the core asks who is there or says nothing for too long.

use shared::backoff::delay_ms;
use shared::time::{Now, mix};
use shared::wire::Uplink;
use shared::wire::downlink::{Refusal, Welcome};
use shared::wire::uplink::{Gone, Heartbeat, Hello};

use crate::agent::Agent;
use crate::change::{Change, LinkSeen};
use crate::effect::{Effect, Notice, Outcome};
use crate::link::{Conversation, Ping};

/// The first heartbeat follows a welcome within this time, in milliseconds, and within half the
/// interval: soon, and not at the same moment on every agent.
const FIRST_BEAT_MS_MAX: u64 = 1_000;
/// The bounds within which the core's heartbeat interval is believed, in milliseconds.
const HEARTBEAT_MS: std::ops::RangeInclusive<u64> = 100..=3_600_000;

const CHANCE_FIRST_BEAT: u64 = 0x6265_6174;
const CHANCE_PING: u64 = 0x7069_6e67;

/// A connection is up: say hello.
pub(crate) fn link_up(agent: &mut Agent, number: u64, out: &mut Outcome, now: Now) {
    agent.link.number = number;
    agent.outbox.rewind();
    greet(agent, 0, out, now);
}

/// The connection is gone. What was sent on it may have been lost.
pub(crate) fn link_down(agent: &mut Agent, reason: String, out: &mut Outcome, now: Now) {
    agent.link.conversation = Conversation::Down;
    agent.link.ping = None;
    agent.link.resend = None;
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
    agent.link.ping = None;
    agent.link.resend = None;
    agent.link.told_position = agent.facts.position;
    out.effects.push(Effect::Send(Uplink::Hello(Box::new(Hello {
        incarnation: agent.incarnation,
        boot: agent.boot,
        link: agent.link.number,
        facts: agent.facts.clone(),
        core: agent.core,
        applied_rev: agent.applied_rev,
        last_seq: agent.outbox.last,
        acked_seq: agent.outbox.acked,
        holds: agent.holds().collect(),
        load: agent.health.load,
        sent_at: now.wall,
    }))));
}

/// The core knows this agent: from now on it gets heartbeats and reports.
pub(crate) fn welcome(agent: &mut Agent, welcome: &Welcome, out: &mut Outcome, now: Now) {
    if welcome.incarnation != agent.incarnation {
        return;
    }
    // A repeated welcome changes nothing: what it says may be older than what was heard since.
    if !matches!(
        agent.link.conversation,
        Conversation::Greeting { .. } | Conversation::Refused { .. }
    ) {
        return;
    }
    meet(agent, welcome, out);
    let heartbeat_ms = welcome.heartbeat_ms.clamp(*HEARTBEAT_MS.start(), *HEARTBEAT_MS.end());
    let spread_ms = FIRST_BEAT_MS_MAX.min(heartbeat_ms / 2);
    let beat_at = now.mono + mix(now.chance, CHANCE_FIRST_BEAT) % (spread_ms + 1);
    agent.link.conversation = Conversation::Met { heartbeat_ms, beat_at };
    agent.link.congested = false;
    agent.outbox.rewind();
    agent.see_link(LinkSeen::Connected, out, now);
    out.note(Notice::Welcomed { core: welcome.core });
    ping(agent, out, now);
}

/// Compares what both sides remember.
fn meet(agent: &mut Agent, welcome: &Welcome, out: &mut Outcome) {
    if agent.core != Some(welcome.core) {
        if let Some(before) = agent.core.replace(welcome.core) {
            out.note(Notice::AnotherCore { before, now: welcome.core });
        }
        out.changes.push(Change::CoreMet { core: welcome.core });
    }
    if welcome.acked_seq < agent.outbox.acked {
        let deleted = agent.outbox.acked;
        out.note(Notice::CoreForgot { acked: welcome.acked_seq, deleted });
    }
}

/// The core does not let this agent in.
pub(crate) fn refused(agent: &mut Agent, refusal: Refusal, out: &mut Outcome, now: Now) {
    if !matches!(agent.link.conversation, Conversation::Greeting { .. }) {
        return;
    }
    let until = now.mono + agent.settings.refused_ms;
    agent.link.conversation = Conversation::Refused { until };
    agent.see_link(LinkSeen::Refused { detail: refusal.detail.clone() }, out, now);
    out.note(Notice::NotLetIn(refusal));
}

/// The core does not know where this agent stands.
pub(crate) fn who_is_there(agent: &mut Agent, out: &mut Outcome, now: Now) {
    // While a hello is under way already, another would only add to the rush.
    if agent.link.is_met() {
        greet(agent, 0, out, now);
    }
}

/// The answer to a ping.
pub(crate) fn pong(agent: &mut Agent, nonce: u64, now: Now) {
    if let Some(ping) = agent.link.ping.take_if(|ping| ping.nonce == nonce) {
        // Bounded by the age of a connection; precise far beyond that.
        agent.link.rtt_ms = Some(now.mono.since_ms(ping.sent) as f64);
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
    out.effects.push(Effect::Send(Uplink::Heartbeat(Heartbeat {
        incarnation: agent.incarnation,
        boot: agent.boot,
        link: agent.link.number,
        beat: agent.link.beat,
        load: agent.health.load,
        rtt_ms: agent.link.rtt_ms,
        position: agent.facts.position.filter(|_| moved),
        applied_rev: agent.applied_rev,
        acked_seq: agent.outbox.acked,
        held: u32::try_from(agent.live.len()).unwrap_or(u32::MAX),
        sent_at: now.wall,
    })));
}

fn ping(agent: &mut Agent, out: &mut Outcome, now: Now) {
    let nonce = mix(now.chance, CHANCE_PING);
    agent.link.ping = Some(Ping { nonce, sent: now.mono });
    out.effects.push(Effect::Send(Uplink::Ping { nonce }));
}

/// Says goodbye. What runs goes on running and is found again by the next start.
pub(crate) fn leave(agent: &mut Agent, out: &mut Outcome, now: Now) {
    agent.health.stopping = true;
    if !matches!(agent.link.conversation, Conversation::Down) {
        out.effects.push(Effect::Send(Uplink::Gone(Gone {
            incarnation: agent.incarnation,
            boot: agent.boot,
            link: agent.link.number,
            orderly: true,
        })));
    }
    agent.see_link(LinkSeen::Stopped, out, now);
}

//! listen: heartbeats, pings, wills and silence, and what they say about whether an agent can be
//! heard. While the core itself is cut off from the broker, silence says nothing.

use shared::id::{AgentId, Session};
use shared::wire::Downlink;
use shared::wire::uplink::{Gone, Heartbeat};

use super::{Context, Event};
use crate::cloud::Cloud;
use crate::effect::Effect;
use crate::timers::Alarm;

/// An agent is alive.
pub(crate) fn heartbeat(cloud: &mut Cloud, id: &AgentId, beat: &Heartbeat, context: &mut Context) {
    let now = context.now;
    let Some(channel) = cloud.channels.get_mut(id) else {
        context.effect(Effect::Send { agent: id.clone(), message: Downlink::WhoIsThere });
        return;
    };
    let speaks = channel.speaks(beat.incarnation, beat.session, beat.link);
    if speaks && beat.beat <= channel.beat {
        return;
    }
    // A late hello may be all that is known of it here: it was welcomed by the core before this one
    // and listens to nothing that this one says, or it has said a newer hello to it.
    let known = (beat.core, beat.hello) == (Some(cloud.core), channel.hello);
    if !speaks || !known {
        context.effect(Effect::Send { agent: id.clone(), message: Downlink::WhoIsThere });
        return;
    }
    if beat.acked_seq > channel.inbox.acked {
        // The agent has deleted what is not known here: only a hello tells how far it is.
        context.effect(Effect::Send { agent: id.clone(), message: Downlink::WhoIsThere });
    }
    channel.beat = beat.beat;
    channel.liveness.beat(now.mono, &cloud.settings);
    if beat.acked_seq < channel.inbox.acked {
        let message = Downlink::Acked {
            core: cloud.core,
            incarnation: beat.incarnation,
            seq: channel.inbox.acked,
        };
        context.effect(Effect::Send { agent: id.clone(), message });
    }
    let applied = beat.applied_rev.min(channel.desired_rev).max(channel.applied_rev);
    let moved = applied != channel.applied_rev;
    channel.applied_rev = applied;
    channel.sent_rev = channel.sent_rev.max(applied);
    let behind = applied < channel.desired_rev;
    channel.stuck = !moved && applied < channel.sent_before;
    channel.sent_before = channel.sent_rev;
    if moved {
        cloud.drop_applied_tombstones(id, context);
        cloud.drop_applied_residents(id, context);
    }
    if behind {
        let at = now.mono + cloud.settings.resend_ms;
        cloud.timers.set_if_unset(Alarm::Resend(id.clone()), at);
    } else {
        cloud.timers.clear(&Alarm::Resend(id.clone()));
    }
    let waits_for_latency = cloud.queue.waits_for_latency();
    let before = cloud.fleet.get(id).and_then(|agent| agent.facts.position);
    cloud.fleet.change(id, |agent| {
        agent.last_seen = Some(now.wall);
        agent.signal.measure_load(beat.load);
        if let Some(rtt_ms) = beat.rtt_ms {
            agent.signal.measure_rtt(rtt_ms);
        }
        agent.signal.measure_clock(beat.sent_at, now.wall);
        agent.signal.measure_stamp(beat.stamp, now.wall);
        if beat.position.is_some() {
            agent.facts.position = beat.position;
        }
    });
    if beat.position.is_some() && beat.position != before {
        cloud.moved(id, before, context);
        if !cloud.residents.is_empty() {
            context.then(Event::AgentChanged { agent: id.clone() });
        }
    }
    if beat.position.is_some() || (waits_for_latency && beat.rtt_ms.is_some()) {
        cloud.freed.insert(id.clone());
    }
    cloud.follow_status(id, context);
}

/// An agent measures its round trip, and renews its lease: from now on it may believe for as long
/// as a lease is that nobody else runs what is exclusive. Only the process that last said hello is
/// answered, so no other can believe it; and its lease is renewed only when what it holds cannot
/// be an attempt that was forgotten or given up here, and given to another.
pub(crate) fn ping(
    cloud: &mut Cloud,
    id: &AgentId,
    nonce: u64,
    session: Session,
    context: &mut Context,
) {
    let undecided = cloud.lease_is_undecided(id);
    if let Some(channel) = cloud.channels.get_mut(id)
        && channel.greeted
        && channel.session == session
    {
        channel.liveness.hear(context.now.mono);
        let withheld = channel.lease_from;
        channel.lease_from = channel.lease_from.filter(|from| *from > context.now.mono);
        let lease = channel.lease_from.is_none() && !undecided;
        if lease {
            channel.answered = context.now.mono;
        }
        let told = withheld == channel.lease_from;
        let message = Downlink::Pong { nonce, desired_rev: channel.desired_rev, lease };
        context.effect(Effect::Send { agent: id.clone(), message });
        if !told {
            cloud.put_agent(id, context);
        }
        cloud.follow_status(id, context);
    }
}

/// An agent's connection is gone. A word about an earlier connection than the one that last said
/// hello is stale.
pub(crate) fn gone(cloud: &mut Cloud, id: &AgentId, gone: Gone, context: &mut Context) {
    let Some(channel) = cloud.channels.get_mut(id) else {
        return;
    };
    if !channel.speaks(gone.incarnation, gone.session, gone.link) {
        return;
    }
    channel.greeted = false;
    channel.liveness.gone(context.now.mono, gone.orderly);
    cloud.follow_status(id, context);
}

/// It is time to look whether an agent has been silent for too long.
pub(crate) fn silence(cloud: &mut Cloud, id: &AgentId, context: &mut Context) {
    let now = context.now.mono;
    let Some(channel) = cloud.channels.get_mut(id) else {
        return;
    };
    if cloud.broker_up {
        channel.liveness.look(now, &cloud.settings);
    } else {
        channel.liveness.excuse(now);
    }
    cloud.follow_status(id, context);
}

/// The core's own connection to the broker is up, or down.
pub(crate) fn broker(cloud: &mut Cloud, up: bool, context: &mut Context) {
    cloud.broker_up = up;
    for channel in cloud.channels.values_mut() {
        channel.liveness.excuse(context.now.mono);
        // What was sent on the old connection may be lost.
        channel.sent_rev = channel.applied_rev;
    }
    if up {
        let behind = cloud
            .channels
            .iter()
            .filter(|(_, channel)| channel.greeted && channel.applied_rev < channel.desired_rev);
        cloud.unsent.extend(behind.map(|(id, _)| id.clone()).collect::<Vec<_>>());
    }
}

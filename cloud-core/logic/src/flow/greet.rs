//! greet: an agent joins, or says hello on a new connection. Both sides compare where they stand:
//! which database speaks, what it has applied, what it holds, what of its history is known.

use shared::id::{AgentId, Boot};
use shared::label::LABELS_MAX;
use shared::mailbox::Inbox;
use shared::wire::Downlink;
use shared::wire::downlink::{Refusal, RefusedBecause, Welcome};
use shared::wire::uplink::{Facts, Hello, Join};

use super::{Context, Event};
use crate::change::{Change, Credential, NO_INCARNATION};
use crate::channel::Channel;
use crate::cloud::Cloud;
use crate::effect::Effect;
use crate::fleet::{Agent, Liveness, Signal};
use crate::timers::Alarm;

/// An agent that holds the join token asks for a credential.
pub(crate) fn join(
    cloud: &mut Cloud,
    agent: &AgentId,
    join: &Join,
    credential: Credential,
    context: &mut Context,
) {
    let refusal = cloud.refuse_newcomer(agent, join.incarnation);
    let message = match refusal {
        Some(refusal) => Downlink::JoinRefused(refusal),
        None => {
            context.change(Change::CredentialPut { agent: agent.clone(), credential });
            Downlink::Joined
        }
    };
    context.effect(Effect::AnswerJoin { agent: agent.clone(), message });
}

/// An agent says hello.
pub(crate) fn hello(cloud: &mut Cloud, id: &AgentId, hello: Hello, context: &mut Context) {
    let refusal = check_facts(&hello.facts)
        .err()
        .map(|detail| Refusal { reason: RefusedBecause::InvalidFacts, detail })
        .or_else(|| cloud.refuse_newcomer(id, hello.incarnation));
    if let Some(refusal) = refusal {
        let message = Downlink::Refused(refusal);
        context.effect(Effect::Send { agent: id.clone(), message });
        return;
    }
    let now = context.now;
    if !cloud.channels.contains_key(id) {
        cloud.channels.insert(id.clone(), Channel::new(now.wall, Liveness::newcomer(now.mono)));
    }
    let Some(channel) = cloud.channels.get_mut(id) else {
        return;
    };
    let same = channel.inbox.incarnation == hello.incarnation;
    if same && (hello.boot, hello.link) < (channel.boot, channel.link) {
        // While the newer one is there, this is an old hello that was under way for long.
        if hello.boot < channel.boot && !channel.greeted {
            let message = Downlink::Refused(older_database(id, &hello, channel.boot));
            context.effect(Effect::Send { agent: id.clone(), message });
        }
        return;
    }
    if !same {
        forget_incarnation(cloud, id, context);
    }
    let Some(channel) = cloud.channels.get_mut(id) else {
        return;
    };
    if !same {
        channel.inbox = Inbox { incarnation: hello.incarnation, acked: shared::id::Sequence(0) };
        channel.applied_rev = shared::id::Revision(0);
    }
    // A core that was restored from an older copy of its store counts on from where the agent is.
    channel.inbox.acked = channel.inbox.acked.max(hello.acked_seq);
    channel.desired_rev = channel.desired_rev.max(hello.applied_rev);
    channel.applied_rev = hello.applied_rev;
    channel.sent_rev = hello.applied_rev;
    (channel.boot, channel.link) = (hello.boot, hello.link);
    (channel.greeted, channel.beat) = (true, 0);
    channel.liveness.greet(now.mono);
    let status = channel.liveness.status();
    let look_at = channel.liveness.look_at(&cloud.settings);
    let message = Downlink::Welcome(Welcome {
        core: cloud.core,
        incarnation: hello.incarnation,
        acked_seq: channel.inbox.acked,
        desired_rev: channel.desired_rev,
        heartbeat_ms: cloud.settings.heartbeat_ms,
        sent_at: now.wall,
    });
    let mut agent = cloud.fleet.get(id).cloned().unwrap_or_else(|| newcomer(id));
    agent.facts = hello.facts.clone();
    agent.status = status;
    agent.last_seen = Some(now.wall);
    agent.signal.measure_load(hello.load);
    agent.signal.measure_clock(hello.sent_at, now.wall);
    cloud.fleet.put(agent);
    cloud.put_agent(id, context);
    if let Some(at) = look_at {
        cloud.timers.set(Alarm::Silence(id.clone()), at);
    }
    context.effect(Effect::Send { agent: id.clone(), message });
    compare_holdings(cloud, id, &hello, context);
    // No heartbeat after this one need tell of them again.
    cloud.drop_applied_tombstones(id, context);
    cloud.freed.insert(id.clone());
    cloud.unsent.insert(id.clone());
}

/// A database that was put back to an earlier state gives numbers a second time that the core has
/// seen already: what it says could be taken for what was said before.
fn older_database(id: &AgentId, hello: &Hello, known: Boot) -> Refusal {
    Refusal {
        reason: RefusedBecause::OlderDatabase,
        detail: format!(
            "the database of {id} is an older copy: this is its start {}, and the core has heard \
             from start {known}; stop the agent that has the newer one, or remove this one's data \
             folder and let it join anew",
            hello.boot
        ),
    }
}

fn newcomer(id: &AgentId) -> Agent {
    Agent {
        id: id.clone(),
        facts: Facts::default(),
        flags: crate::change::Flags::default(),
        status: shared::api::AgentStatus::Online,
        signal: Signal::default(),
        used: shared::capacity::Resources::default(),
        assignments: 0,
        last_seen: None,
    }
}

/// The agent's database is new: what the old one held is gone, and what was wanted of it is moot.
fn forget_incarnation(cloud: &mut Cloud, id: &AgentId, context: &mut Context) {
    for (assignment, _) in cloud.assigned_to(id) {
        let detail = format!("the database of agent {id} was replaced, and what it held is gone");
        context.then(Event::Lose { task: assignment.task, detail, gone: true });
    }
    let Some(channel) = cloud.channels.get_mut(id) else {
        return;
    };
    let live: Vec<_> = channel.wanted.values().map(|row| row.assignment).collect();
    for assignment in live {
        // Rows of live assignments go when these are lost, right after this.
        let ended = cloud.tasks.get(&assignment.task).and_then(|task| task.current());
        if ended != Some(assignment) {
            cloud.unwant(id, assignment, context);
        }
    }
}

/// Compares what the agent holds with what the core believes it to hold.
fn compare_holdings(cloud: &mut Cloud, id: &AgentId, hello: &Hello, context: &mut Context) {
    let applied = hello.applied_rev;
    for (assignment, _) in cloud.assigned_to(id) {
        let rev =
            cloud.channels.get(id).and_then(|channel| channel.row(assignment)).map(|row| row.rev);
        let was_told = rev.is_some_and(|rev| rev <= applied);
        if was_told && !hello.holds.contains(&assignment) {
            let detail = format!("agent {id} does not have it any more");
            context.then(Event::Lose { task: assignment.task, detail, gone: true });
        }
    }
    context.then(Event::HeardAgain { agent: id.clone() });
    for &held in &hello.holds {
        // A copy that nobody waits for, and that no tombstone stops yet. One that has ended there
        // already takes no harm.
        if cloud.wanted(id, held).is_none() {
            let reason = shared::report::StopReason::Superseded;
            cloud.want(id, held, crate::change::Wanted::Stop { reason }, context);
        }
    }
}

impl Cloud {
    /// Why an agent is not let in, if it is not.
    fn refuse_newcomer(
        &self,
        id: &AgentId,
        incarnation: shared::id::Incarnation,
    ) -> Option<Refusal> {
        let Some(channel) = self.channels.get(id) else {
            let full = self.channels.len() as u64 >= self.settings.agents_max;
            return full.then(|| Refusal {
                reason: RefusedBecause::FleetFull,
                detail: format!(
                    "this core holds {} agents, as many as it may; raise core.agents_max",
                    self.channels.len()
                ),
            });
        };
        let known = channel.inbox.incarnation;
        let another = known != incarnation && known != NO_INCARNATION;
        let heard =
            channel.greeted && channel.liveness.status() == shared::api::AgentStatus::Online;
        (another && heard).then(|| Refusal {
            reason: RefusedBecause::IdInUse,
            detail: format!(
                "another agent is online under the id {id}; stop that one, or give this one an id \
                 of its own with --id"
            ),
        })
    }
}

fn check_facts(facts: &Facts) -> Result<(), String> {
    let lists = [facts.taints.len(), facts.runtimes.len(), facts.capacity.devices.len()];
    if facts.labels.len() > LABELS_MAX || lists.iter().any(|&length| length > LABELS_MAX) {
        return Err(format!(
            "at most {LABELS_MAX} labels, taints, runtimes and devices are allowed"
        ));
    }
    let texts = facts.labels.iter().flat_map(|(key, value)| [key.len(), value.len()]);
    let others =
        [facts.version.len(), facts.arch.len(), facts.region.as_ref().map_or(0, String::len)];
    let words = facts.taints.iter().chain(&facts.runtimes).map(String::len);
    match texts.chain(others).chain(words).max() {
        Some(longest) if longest > 253 => Err(format!(
            "a text of {longest} bytes among the agent's facts; at most 253 are allowed"
        )),
        _ => Ok(()),
    }
}

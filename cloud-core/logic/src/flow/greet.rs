//! greet: an agent joins, or says hello on a new connection. Both sides compare where they stand:
//! which database speaks, what it has applied, what it holds, what of its history is known.

use shared::api::AgentStatus;
use shared::assignment::Ending;
use shared::id::{AgentId, Sequence};
use shared::label::LABELS_MAX;
use shared::mailbox::Inbox;
use shared::time::Monotonic;
use shared::wire::Downlink;
use shared::wire::downlink::{Refusal, RefusedBecause, Welcome};
use shared::wire::uplink::{Facts, Hello, Join};

use super::{Context, Event, Left};
use crate::change::{Change, Credential, NO_INCARNATION};
use crate::channel::{Channel, Collected, PARTS_MAX};
use crate::cloud::Cloud;
use crate::effect::Effect;
use crate::fleet::{Agent, Liveness, Signal};
use crate::happening::Happening;
use crate::planted::planted;
use crate::timers::Alarm;

/// How many replaced databases of one agent are remembered.
const FORMER_MAX: usize = 8;
/// The longest that an agent is asked to keep its reports back, in milliseconds.
const REPORTS_AFTER_MS_MAX: u64 = 30_000;

/// An agent that holds the join token asks for a credential.
pub(crate) fn join(
    cloud: &mut Cloud,
    agent: &AgentId,
    join: &Join,
    credential: Credential,
    context: &mut Context,
) {
    // One that is heard has a credential that holds; a request that was under way for long, or one
    // of a copy of its database, would take that from it.
    let refusal = cloud
        .refuse_revoked(agent)
        .or_else(|| cloud.refuse_newcomer(agent, join.incarnation))
        .or_else(|| cloud.refuse_rejoin(agent));
    let message = match refusal {
        Some(refusal) => Downlink::JoinRefused(refusal),
        None => {
            context.change(Change::CredentialPut { agent: agent.clone(), credential });
            context.tell(Happening::joined(agent));
            Downlink::Joined
        }
    };
    context.effect(Effect::AnswerJoin { agent: agent.clone(), message });
}

/// An agent says hello.
pub(crate) fn hello(cloud: &mut Cloud, id: &AgentId, hello: Hello, context: &mut Context) {
    let refusal = check_facts(&hello.facts)
        .err()
        .map(|detail| Refusal { session: None, reason: RefusedBecause::InvalidFacts, detail })
        .or_else(|| cloud.refuse_newcomer(id, hello.incarnation));
    if let Some(refusal) = refusal {
        let message = Downlink::Refused(Refusal { session: Some(hello.session), ..refusal });
        context.effect(Effect::Send { agent: id.clone(), message });
        return;
    }
    let now = context.now;
    if !cloud.channels.contains_key(id) {
        let liveness = Liveness::newcomer(now.mono);
        cloud.channels.insert(id.clone(), Channel::new(now.wall, now.mono, liveness));
    }
    let Some(channel) = cloud.channels.get_mut(id) else {
        return;
    };
    let same = channel.inbox.incarnation == hello.incarnation;
    let (said, heard) = ((hello.link, hello.beat), (channel.link, channel.beat));
    if same && channel.session == hello.session && said <= heard {
        // An old hello that was under way for long.
        return;
    }
    let copied = same && channel.session != hello.session && hello.boot <= channel.boot;
    if copied && !planted!(CloneLetIn) {
        let message = Downlink::Refused(copied_database(id, &hello, channel));
        context.effect(Effect::Send { agent: id.clone(), message });
        return;
    }
    if !same {
        forget_incarnation(cloud, id, context);
    }
    withhold_lease(cloud, id, &hello);
    let Some(channel) = cloud.channels.get_mut(id) else {
        return;
    };
    if !same {
        channel.former.retain(|former| *former != hello.incarnation);
        if channel.inbox.incarnation != NO_INCARNATION {
            channel.former.push(channel.inbox.incarnation);
        }
        let surplus = channel.former.len().saturating_sub(FORMER_MAX);
        channel.former.drain(..surplus);
        channel.inbox = Inbox { incarnation: hello.incarnation, acked: Sequence(0) };
        channel.told_before = Sequence(0);
        channel.applied_rev = shared::id::Revision(0);
    }
    let told_before = match hello.core {
        Some(core) if core != cloud.core => hello.last_seq,
        _ if hello.acked_seq > channel.inbox.acked => hello.acked_seq,
        _ => Sequence(0),
    };
    channel.told_before = channel.told_before.max(told_before);
    // A core that was restored from an older copy of its store has forgotten reports that it had
    // acknowledged: its welcome says how far it is, and the agent tells them again. Revisions it
    // counts on from where the agent is.
    channel.desired_rev = channel.desired_rev.max(hello.applied_rev);
    channel.applied_rev = hello.applied_rev;
    channel.sent_rev = hello.applied_rev;
    (channel.sent_before, channel.stuck) = (hello.applied_rev, false);
    (channel.boot, channel.session, channel.link) = (hello.boot, hello.session, hello.link);
    (channel.greeted, channel.beat, channel.hello) = (true, hello.beat, hello.beat);
    channel.board = Some(hello.stamp.board);
    channel.inventory = Some(first_part(&hello));
    channel.liveness.greet(now.mono);
    let status = channel.liveness.status();
    let look_at = channel.liveness.look_at(&cloud.settings);
    let acked_seq = channel.inbox.acked;
    let backlog = hello.last_seq.0.saturating_sub(acked_seq.0);
    let desired_rev = channel.desired_rev;
    let message = Downlink::Welcome(Welcome {
        core: cloud.core,
        incarnation: hello.incarnation,
        session: hello.session,
        beat: hello.beat,
        reports_after_ms: cloud.reports_after_ms(backlog, now.mono),
        acked_seq,
        desired_rev,
        heartbeat_ms: cloud.settings.heartbeat_ms,
        sent_at: now.wall,
    });
    let known = cloud.fleet.get(id).cloned();
    if known.as_ref().is_none_or(|agent| agent.status != status) {
        context.tell(Happening::heard(id, status));
        cloud.tell_schedules(id, status, context);
    }
    let mut agent = known.unwrap_or_else(|| newcomer(id));
    let before = agent.facts.position;
    agent.facts = hello.facts.clone();
    agent.status = status;
    agent.last_seen = Some(now.wall);
    agent.signal.measure_load(hello.load);
    agent.signal.measure_clock(hello.sent_at, now.wall);
    agent.signal.measure_stamp(hello.stamp, now.wall);
    cloud.fleet.put(agent);
    cloud.put_agent(id, context);
    if let Some(at) = look_at {
        cloud.timers.set(Alarm::Silence(id.clone()), at);
    }
    context.effect(Effect::Send { agent: id.clone(), message });
    if hello.facts.position != before {
        cloud.moved(id, before, context);
    }
    context.then(Event::HeardAgain { agent: id.clone() });
    context.then(Event::Greeted { agent: id.clone() });
    // No heartbeat after this one need tell of them again.
    cloud.drop_applied_tombstones(id, context);
    cloud.drop_applied_residents(id, context);
    if !same {
        cloud.renew_residents(id, context);
    }
    cloud.freed.insert(id.clone());
    cloud.unsent.insert(id.clone());
}

/// A process that speaks from another start of another kernel may be a copy of one that runs on
/// another board, and holds a lease there: none is renewed before that is over, and what this one
/// says of exclusive tasks being gone proves nothing yet. A process that was started again on the
/// same kernel would have found them.
fn withhold_lease(cloud: &mut Cloud, id: &AgentId, hello: &Hello) {
    let Some(channel) = cloud.channels.get(id) else {
        return;
    };
    let same_process = channel.session == hello.session;
    if same_process || channel.board == Some(hello.stamp.board) {
        return;
    }
    cloud.withhold_lease(id);
}

/// The first part of what the agent holds.
fn first_part(hello: &Hello) -> Collected {
    Collected {
        parts: std::iter::once((0, hello.inventory.clone())).collect(),
        of: hello.inventory.parts.clamp(1, PARTS_MAX),
        applied_rev: hello.applied_rev,
        last_seq: hello.last_seq,
        schedules_compared: false,
    }
}

/// Two processes speak for one database: one of them has a copy of it. An older copy gives numbers
/// a second time that the core has seen already, so what it says could be taken for what was said
/// before; and of two with one count of starts nobody knows which is the copy. The one that the
/// core hears goes on.
fn copied_database(id: &AgentId, hello: &Hello, channel: &Channel) -> Refusal {
    let known = channel.boot;
    let heard = channel.greeted && channel.liveness.status() != AgentStatus::Offline;
    let (reason, detail) = if hello.boot == known || heard {
        (
            RefusedBecause::Cloned,
            format!(
                "another board speaks as {id} with a copy of this database (this is start {} of \
                 it, the core last heard start {known}); stop one of the two, remove the data \
                 folder of the copy, give it an id of its own with --id, and let it join anew",
                hello.boot
            ),
        )
    } else {
        (
            RefusedBecause::OlderDatabase,
            format!(
                "the database of {id} is an older copy: this is its start {}, and the core has \
                 heard from start {known}; stop the agent that has the newer one, or remove this \
                 one's data folder and let it join anew",
                hello.boot
            ),
        )
    };
    Refusal { session: Some(hello.session), reason, detail }
}

fn newcomer(id: &AgentId) -> Agent {
    Agent {
        id: id.clone(),
        facts: Facts::default(),
        flags: crate::change::Flags::default(),
        status: AgentStatus::Online,
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
        context.then(Event::Lose { task: assignment.task, detail, left: Left::Unreachable });
    }
    for stray in cloud.strays_on.get(id).cloned().unwrap_or_default() {
        let detail = format!("the database of agent {id} was replaced, and what it held is gone");
        cloud.end_stray(stray, context, Ending::Lost { detail }, None);
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

impl Cloud {
    /// How long an agent waits before it sends what it has queued: those that return at once are
    /// given moments one after the other, each as long as its queue takes.
    fn reports_after_ms(&mut self, backlog: u64, now: Monotonic) -> u64 {
        let from = self.reports_from.max(now);
        let rate = self.settings.reports_per_second.max(1);
        self.reports_from = from + backlog.saturating_mul(1_000) / rate;
        from.since_ms(now).min(REPORTS_AFTER_MS_MAX)
    }

    /// Why an agent that an operator revoked may not join.
    fn refuse_revoked(&self, id: &AgentId) -> Option<Refusal> {
        self.is_revoked(id).then(|| Refusal {
            session: None,
            reason: RefusedBecause::Revoked,
            detail: format!(
                "an operator has revoked {id}; ask one to readmit it (POST /v1/agents/{id}/readmit), \
                 or stop this agent"
            ),
        })
    }

    /// Why an agent that has joined may not join again, if it may not.
    fn refuse_rejoin(&self, id: &AgentId) -> Option<Refusal> {
        let channel = self.channels.get(id)?;
        let heard = channel.greeted && channel.liveness.status() != AgentStatus::Offline;
        heard.then(|| Refusal {
            session: None,
            reason: RefusedBecause::IdInUse,
            detail: format!(
                "{id} has joined and is heard; if that is this agent, it may join again as soon as \
                 it counts as offline, else give this one an id of its own with --id"
            ),
        })
    }

    /// Why an agent is not let in, if it is not.
    fn refuse_newcomer(
        &self,
        id: &AgentId,
        incarnation: shared::id::Incarnation,
    ) -> Option<Refusal> {
        let Some(channel) = self.channels.get(id) else {
            let full = self.channels.len() as u64 >= self.settings.agents_max;
            return full.then(|| Refusal {
                session: None,
                reason: RefusedBecause::FleetFull,
                detail: format!(
                    "this core holds {} agents, as many as it may; raise core.agents_max",
                    self.channels.len()
                ),
            });
        };
        let known = channel.inbox.incarnation;
        let another = known != incarnation && known != NO_INCARNATION;
        let heard = channel.greeted && channel.liveness.status() != AgentStatus::Offline;
        if channel.former.contains(&incarnation) {
            return Some(Refusal {
                session: None,
                reason: RefusedBecause::OlderDatabase,
                detail: format!(
                    "the database of {id} was replaced by a newer one; remove this data folder, \
                     and let the agent join anew if it is still this one"
                ),
            });
        }
        (another && heard).then(|| Refusal {
            session: None,
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

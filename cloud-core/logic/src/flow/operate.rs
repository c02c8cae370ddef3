//! operate: an operator cordons an agent, takes that back, drains it, or revokes it for good; or puts
//! a placement policy in force.

use shared::assignment::{Ending, Progress};
use shared::id::AgentId;
use shared::report::StopReason;

use super::{Context, Event, Left};
use crate::change::{Change, Wanted};
use crate::cloud::Cloud;
use crate::effect::Answer;
use crate::happening::Happening;
use crate::input::{Operation, ReplyTo};
use crate::placement::Policy;

pub(crate) fn operate(
    cloud: &mut Cloud,
    id: &AgentId,
    operation: Operation,
    reply: ReplyTo,
    context: &mut Context,
) {
    let changed = cloud.fleet.change(id, |agent| {
        let before = agent.flags;
        match operation {
            Operation::Cordon => agent.flags.cordoned = true,
            Operation::Drain => agent.flags.draining = true,
            Operation::Uncordon => {
                agent.flags.cordoned = false;
                agent.flags.draining = false;
                agent.flags.quarantined = false;
            }
            Operation::Revoke => agent.flags.revoked = true,
            Operation::Readmit => agent.flags.revoked = false,
        }
        before != agent.flags
    });
    if changed == Some(true) {
        cloud.put_agent(id, context);
        context.tell(Happening::operated(id, operation));
        context.then(Event::AgentChanged { agent: id.clone() });
        match operation {
            Operation::Cordon | Operation::Readmit => {}
            Operation::Revoke => give_up(cloud, id, context),
            Operation::Uncordon => {
                cloud.freed.insert(id.clone());
            }
            Operation::Drain => move_waiting_work_away(cloud, id, context),
        }
    }
    let answer = match cloud.fleet.get(id) {
        Some(agent) => Answer::Agent(Box::new(agent.document())),
        None => Answer::UnknownAgent(id.clone()),
    };
    context.answer(reply, answer);
}

/// Puts a policy in force, for placements from now on. One that says the same as the one in force
/// changes nothing.
pub(crate) fn set_policy(
    cloud: &mut Cloud,
    policy: Policy,
    only_over: Option<u64>,
    reply: ReplyTo,
    context: &mut Context,
) {
    let version = cloud.policy.version;
    if only_over.is_some_and(|only| only != version) {
        context.answer(reply, Answer::PolicyMoved(version));
        return;
    }
    if cloud.policy != (Policy { version, ..policy.clone() }) {
        let before = std::mem::take(&mut cloud.policy);
        cloud.policy = Policy { version: version.saturating_add(1), ..policy };
        // Stored as well: it may have come from the configuration, and placements name it.
        context.change(Change::PolicyPut(Box::new(before)));
        context.change(Change::PolicyPut(Box::new(cloud.policy.clone())));
        context.tell(Happening::policy(cloud.policy.version));
        cloud.try_all_parked();
    }
    context.answer(reply, Answer::Policy(Box::new(cloud.policy.clone())));
}

/// Nothing that the agent says counts any more, so it is as one that is lost for good: what it held
/// is given up at once. Tombstones wait for it, should it ever be readmitted; an exclusive task
/// waits for its lease all the same, for its copy may go on until that is over.
fn give_up(cloud: &mut Cloud, id: &AgentId, context: &mut Context) {
    context.change(Change::CredentialRemoved { agent: id.clone() });
    if let Some(channel) = cloud.channels.get_mut(id) {
        channel.greeted = false;
        // By no fault of its link: after a readmission it is believed at its first word.
        channel.liveness.gone(context.now.mono, true);
    }
    cloud.follow_status(id, context);
    let detail = format!("its agent {id} was revoked by an operator");
    for (assignment, _) in cloud.assigned_to(id) {
        let (task, detail) = (assignment.task, detail.clone());
        context.then(Event::Lose { task, detail, left: Left::Copy });
    }
    for stray in cloud.strays_on.get(id).cloned().unwrap_or_default() {
        let (ending, stop) = (
            Ending::Lost { detail: detail.clone() },
            Wanted::Stop { reason: StopReason::Superseded },
        );
        cloud.end_stray(stray, context, ending, Some(stop));
    }
}

/// What has not started there is stopped and placed elsewhere; what runs runs to its end.
fn move_waiting_work_away(cloud: &Cloud, id: &AgentId, context: &mut Context) {
    for (assignment, progress) in cloud.assigned_to(id) {
        if !matches!(progress, Progress::Running { .. }) {
            let task = assignment.task;
            context.then(Event::Stop { task, reason: StopReason::Superseded });
        }
    }
}

//! operate: an operator cordons an agent, takes that back, or drains it.

use shared::assignment::Progress;
use shared::id::AgentId;
use shared::report::StopReason;

use super::{Context, Event};
use crate::cloud::Cloud;
use crate::effect::Answer;
use crate::happening::Happening;
use crate::input::{Operation, ReplyTo};

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
        }
        before != agent.flags
    });
    if changed == Some(true) {
        cloud.put_agent(id, context);
        context.tell(Happening::operated(id, operation));
        match operation {
            Operation::Cordon => {}
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

/// What has not started there is stopped and placed elsewhere; what runs runs to its end.
fn move_waiting_work_away(cloud: &Cloud, id: &AgentId, context: &mut Context) {
    for (assignment, progress) in cloud.assigned_to(id) {
        if !matches!(progress, Progress::Running { .. }) {
            let task = assignment.task;
            context.then(Event::Stop { task, reason: StopReason::Superseded });
        }
    }
}

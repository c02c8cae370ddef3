//! cancel: a task is called off, by its user or by its deadline, at whatever stage it is. An agent
//! that can be heard is asked to stop it and says how it ended; one that cannot is left a
//! tombstone, and the task is settled without it.

use shared::api::AgentStatus;
use shared::assignment::Ending;
use shared::id::TaskId;
use shared::report::StopReason;
use shared::task::{FailureReason, Outcome, TaskState, Verdict};
use shared::time::Monotonic;

use super::{Context, Event};
use crate::change::Wanted;
use crate::cloud::Cloud;
use crate::effect::Answer;
use crate::input::ReplyTo;
use crate::timers::Alarm;

/// A user calls a task off.
pub(crate) fn cancel(cloud: &mut Cloud, id: TaskId, reply: ReplyTo, context: &mut Context) {
    if !cloud.tasks.contains_key(&id) {
        context.answer(reply, Answer::NotLive(id));
        return;
    }
    call_off(cloud, id, StopReason::Canceled, context);
    context.answer(reply, Answer::Canceling(id));
}

/// A task's deadline has come.
pub(crate) fn deadline(cloud: &mut Cloud, id: TaskId, context: &mut Context) {
    call_off(cloud, id, StopReason::DeadlinePassed, context);
}

/// A task is called off, whoever wants it.
pub(crate) fn call_off(cloud: &mut Cloud, id: TaskId, reason: StopReason, context: &mut Context) {
    let Some(task) = cloud.tasks.get(&id) else {
        return;
    };
    match task.row.life.state {
        TaskState::Queued | TaskState::BackingOff { .. } => {
            let (verdict, detail) = match reason {
                StopReason::DeadlinePassed => (
                    Verdict::Failed { reason: FailureReason::DeadlinePassed },
                    "its deadline passed while it waited",
                ),
                _ => (Verdict::Canceled, "canceled while it waited"),
            };
            let outcome = Outcome {
                verdict,
                at: context.now.wall,
                attempt: None,
                finish: None,
                detail: detail.to_owned(),
            };
            cloud.settle_task(id, context, outcome);
        }
        _ => context.then(Event::Stop { task: id, reason }),
    }
}

/// A task's attempt is to be stopped.
pub(crate) fn stop(cloud: &mut Cloud, id: TaskId, reason: StopReason, context: &mut Context) {
    if cloud.move_task(id, context, |life| life.state.stop(reason).map(drop)).is_err() {
        // It is being stopped already. A user's cancel outweighs a mere move to another agent.
        cloud.outweigh(id, reason, context);
        return;
    }
    let Some(row) = cloud.tasks.get(&id).and_then(|task| task.assignment.as_deref()) else {
        return;
    };
    let (agent, assignment) = (row.agent.clone(), row.id);
    let status = cloud.fleet.get(&agent).map(|agent| agent.status);
    let waits = cloud.waits_for_its_end(id, reason) || cloud.may_be_told_yet(reason, context);
    if status == Some(AgentStatus::Offline) && !waits {
        withdraw(cloud, id, reason, context);
        return;
    }
    cloud.want(&agent, assignment, Wanted::Stop { reason }, context);
    let at = context.now.mono + cloud.settings.stop_timeout_ms();
    cloud.timers.set(Alarm::Stop(id), at);
}

/// Nothing was heard of a task that was to be stopped.
pub(crate) fn unheard(cloud: &mut Cloud, id: TaskId, context: &mut Context) {
    let Some(task) = cloud.tasks.get(&id) else {
        return;
    };
    let TaskState::Stopping { reason, .. } = task.row.life.state else {
        return;
    };
    if cloud.may_be_told_yet(reason, context) {
        cloud.timers.set(Alarm::Stop(id), cloud.patient_until());
        return;
    }
    let over = cloud.waits_for_its_end(id, reason).then(|| cloud.attempt_lease_over(id)).flatten();
    match over {
        // Its agent may be heard, and renew the lease meanwhile: then this is asked again.
        Some(over) if over > context.now.mono => cloud.timers.set(Alarm::Stop(id), over),
        _ => withdraw(cloud, id, reason, context),
    }
}

/// Ends an attempt without its agent, which is left a tombstone for when it is heard again.
fn withdraw(cloud: &mut Cloud, id: TaskId, reason: StopReason, context: &mut Context) {
    let tombstone = Some(Wanted::Stop { reason });
    if cloud.end_assignment(id, context, Ending::Withdrawn, tombstone) {
        context.next(Event::AttemptEnded { task: id });
    }
}

impl Cloud {
    /// Whether a stop that only moves a task may still be answered by an outcome: the agents of a
    /// restored core have their time to tell what they hold.
    fn may_be_told_yet(&self, reason: StopReason, context: &Context) -> bool {
        let settles = matches!(reason, StopReason::Canceled | StopReason::DeadlinePassed);
        !settles && self.patient_until() > context.now.mono
    }

    /// Until when the current attempt of a task may run under its lease.
    fn attempt_lease_over(&self, id: TaskId) -> Option<Monotonic> {
        let task = self.tasks.get(&id)?;
        let row = task.assignment.as_deref()?;
        Some(self.lease_over(&row.agent, task.row.spec.disconnect.lost_after_s))
    }

    /// Whether a stop must be confirmed, or the lease be over: the task would be placed again, and
    /// nothing else proves that the copy of an agent that cannot be heard has stopped.
    fn waits_for_its_end(&self, id: TaskId, reason: StopReason) -> bool {
        let settles = matches!(reason, StopReason::Canceled | StopReason::DeadlinePassed);
        !settles && self.spec(id).is_some_and(|spec| spec.exclusive)
    }

    /// A stop that settles a task takes the place of one that would only move it.
    fn outweigh(&mut self, id: TaskId, by: StopReason, context: &mut Context) {
        let moved = self.move_task(id, context, |life| match &mut life.state {
            TaskState::Stopping { reason, .. }
                if *reason == StopReason::Superseded && by != StopReason::Superseded =>
            {
                *reason = by;
                Ok(())
            }
            state => state.stop(by).map(drop),
        });
        if moved.is_ok() {
            // What it waited for without end it now waits for as long as any other.
            let at = context.now.mono + self.settings.stop_timeout_ms();
            self.timers.set_if_unset(Alarm::Stop(id), at);
        }
    }
}

//! lose: an attempt whose agent cannot be heard is unknown first, and given up when the silence
//! lasts longer than its task allows. A lost attempt is fenced: whatever it tells later is history.

use shared::api::AgentStatus;
use shared::assignment::{AssignmentState, Ending, Progress};
use shared::id::{AgentId, TaskId};
use shared::report::StopReason;
use shared::task::TaskState;

use super::{Context, Event, Left};
use crate::change::Wanted;
use crate::cloud::Cloud;
use crate::planted::planted;
use crate::timers::Alarm;

/// An agent has just become inaudible.
pub(crate) fn fell_silent(cloud: &mut Cloud, agent: &AgentId, context: &mut Context) {
    let since = context.now.wall;
    let last_heard = cloud.channels.get(agent).map(|channel| channel.liveness.last_heard());
    for (assignment, _) in cloud.assigned_to(agent) {
        let id = assignment.task;
        cloud.move_assignment(id, context, |row| row.state.go_silent(since));
        let Some(task) = cloud.tasks.get(&id) else {
            continue;
        };
        if let TaskState::Stopping { .. } = task.row.life.state {
            // It was to end anyway; nobody waits for an agent that cannot answer.
            cloud.timers.set(Alarm::Stop(id), context.now.mono);
            continue;
        }
        let lost_after_ms = task.row.spec.disconnect.lost_after_s.saturating_mul(1_000);
        let from = last_heard.unwrap_or(context.now.mono).max(cloud.patient_until());
        cloud.timers.set(Alarm::Lost(id), from + lost_after_ms);
    }
}

/// An agent is heard again: what it has is live again, and an offer it never answered is given its
/// time anew.
pub(crate) fn heard_again(cloud: &mut Cloud, agent: &AgentId, context: &mut Context) {
    for (assignment, _) in cloud.assigned_to(agent) {
        let id = assignment.task;
        cloud.move_assignment(id, context, |row| row.state.hear_again());
        cloud.timers.clear(&Alarm::Lost(id));
        cloud.timers.set(Alarm::Offer(id), context.now.mono + cloud.settings.offer_timeout_ms);
    }
    context.then(Event::AskForInventory { agent: agent.clone() });
}

/// A task's agent has been silent for as long as the task allows.
pub(crate) fn silent_too_long(cloud: &mut Cloud, id: TaskId, context: &mut Context) {
    let Some(task) = cloud.tasks.get(&id) else {
        return;
    };
    let Some(row) = task.assignment.as_deref() else {
        return;
    };
    let AssignmentState::Unknown { .. } = row.state else {
        return;
    };
    if cloud.patient_until() > context.now.mono {
        let until = cloud.patient_until();
        cloud.timers.set(Alarm::Lost(id), until);
        return;
    }
    if let TaskState::Stopping { .. } = task.row.life.state {
        // It was to end anyway; how long that may take is measured by the stop.
        return;
    }
    let disconnect = task.row.spec.disconnect;
    let seconds = disconnect.lost_after_s;
    let detail = format!("its agent {} was not heard for {seconds} s", row.agent);
    if task.row.spec.exclusive && disconnect.replace {
        let over = cloud.lease_over(&row.agent, seconds);
        if over > context.now.mono && !planted!(SilenceExcused) {
            // The silent copy may run under its lease, so a second one must not start yet.
            cloud.timers.set(Alarm::Lost(id), over);
            return;
        }
        context.then(Event::Lose { task: id, detail, left: Left::Copy });
        return;
    }
    if disconnect.replace && task.row.life.losses < cloud.settings.losses_max {
        if cloud.stray_assignment(id, context) {
            context.then(Event::AttemptStrayed { task: id });
        }
        return;
    }
    context.then(Event::Lose { task: id, detail, left: Left::Copy });
}

/// An offer was not answered in time by an agent that can be heard.
pub(crate) fn offer_unanswered(cloud: &mut Cloud, id: TaskId, context: &mut Context) {
    let Some(row) = cloud.tasks.get(&id).and_then(|task| task.assignment.as_deref()) else {
        return;
    };
    if row.state.progress() != Some(Progress::Offered) {
        return;
    }
    if cloud.fleet.get(&row.agent).map(|agent| agent.status) == Some(AgentStatus::Offline) {
        // The silence of an offline agent is measured by `lost_after_s`.
        return;
    }
    if cloud.patient_until() > context.now.mono {
        let until = cloud.patient_until() + cloud.settings.offer_timeout_ms;
        cloud.timers.set(Alarm::Offer(id), until);
        return;
    }
    let spec = cloud.spec(id);
    if spec.is_some_and(|spec| spec.exclusive && spec.disconnect.replace) {
        // It may have been taken on, and only the answer was lost. It is offered until answered.
        return;
    }
    let detail = format!("its agent {} did not answer the offer", row.agent);
    context.then(Event::Lose { task: id, detail, left: Left::Copy });
}

/// A task's attempt is given up. Its agent is left a tombstone, so that a copy that still runs is
/// stopped as soon as the agent is heard.
pub(crate) fn lose(
    cloud: &mut Cloud,
    id: TaskId,
    detail: String,
    left: Left,
    context: &mut Context,
) {
    let tombstone = (left == Left::Copy && !planted!(NoTombstone))
        .then_some(Wanted::Stop { reason: StopReason::Superseded });
    if let Some(attempt) = cloud.tasks.get(&id).and_then(|task| task.current())
        && (left != Left::Nothing || cloud.may_be_copied(attempt))
    {
        cloud.hold_for_lease(attempt);
    }
    if cloud.end_assignment(id, context, Ending::Lost { detail }, tombstone) {
        context.next(Event::AttemptEnded { task: id });
    }
}

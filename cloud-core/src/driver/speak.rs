//! What follows from a committed batch: who is told what, and what is counted. Called after the
//! commit and never before.

use std::collections::HashMap;

use cloud_core_logic::change::Change;
use cloud_core_logic::effect::{Effect, Notice, Outcome};
use cloud_core_logic::{Input, ReplyTo};
use shared::id::TaskId;
use shared::task::TaskState;
use shared::trace::TraceId;
use shared::wire::Uplink;

use super::Outbound;
use super::handle::Slot;
use crate::export::TraceLane;
use crate::observe::{
    AgentJoined, AttemptPlaced, LateReportKept, Metrics, StagePassed, TaskSettled,
};

/// The name of an input's kind.
pub(super) fn kind(input: &Input) -> &'static str {
    match input {
        Input::Submit(_) => "submit",
        Input::SubmitMany(_) => "submit_many",
        Input::Cancel { .. } => "cancel",
        Input::Operate { .. } => "operate",
        Input::SetPolicy { .. } => "set_policy",
        Input::PutSchedule(_) => "put_schedule",
        Input::OperateSchedule { .. } => "operate_schedule",
        Input::Hook { .. } => "hook",
        Input::Published { .. } => "published",
        Input::Join { .. } => "join",
        Input::Broker { .. } => "broker",
        Input::Tick => "tick",
        Input::Uplink { message, .. } => match message {
            Uplink::Join(_) => "join",
            Uplink::Hello(_) => "hello",
            Uplink::Heartbeat(_) => "heartbeat",
            Uplink::Inventory(_) => "inventory",
            Uplink::Reports(_) => "reports",
            Uplink::Progress(_) => "progress",
            Uplink::Logs(_) => "logs",
            Uplink::Ping { .. } => "ping",
            Uplink::Gone(_) => "gone",
        },
    }
}

/// Logs and counts what happened, and has the traces of what is settled exported.
pub(super) fn observe(outcome: &Outcome, metrics: &Metrics, exported: &TraceLane) {
    // In the order of the changes that they belong to.
    let mut traces = outcome.notices.iter().filter_map(traced).peekable();
    let mut trace_of = |task| traces.next_if(|(of, _)| *of == task).map(|(_, trace)| trace);
    for notice in &outcome.notices {
        metrics.record(StagePassed(notice));
        if let Notice::Settled { task, sampled: true, .. } = notice {
            exported.offer(*task);
        }
    }
    for change in &outcome.changes {
        match change {
            Change::TaskMoved { task, life } => match &life.state {
                TaskState::Assigned { attempt } => {
                    let (attempt, agent) = (*attempt, life.agent.as_ref());
                    let trace = trace_of(*task);
                    metrics.record(AttemptPlaced { task: *task, attempt, agent, trace });
                }
                TaskState::Settled { outcome } => {
                    let trace = trace_of(*task);
                    metrics.record(TaskSettled { task: *task, outcome, trace });
                }
                _ => {}
            },
            Change::CredentialPut { agent, .. } => metrics.record(AgentJoined { agent }),
            Change::LateReport { task, entry } => {
                let (attempt, agent) = (entry.attempt, &entry.agent);
                metrics.record(LateReportKept { task: *task, attempt, agent });
            }
            _ => {}
        }
    }
}

/// Of which task a notice tells the trace, and which that is.
fn traced(notice: &Notice) -> Option<(TaskId, TraceId)> {
    match *notice {
        Notice::Placed { assignment, trace, .. } => Some((assignment.task, trace)),
        Notice::Settled { task, trace, .. } => Some((task, trace)),
        Notice::Accepted { .. } | Notice::Heard { .. } | Notice::Assigned { .. } => None,
    }
}

/// Puts new credentials in force and takes void ones out of it, before anybody is told of them.
pub(super) fn put_credentials(changes: &[Change], outbound: &mut dyn Outbound) {
    for change in changes {
        match change {
            Change::CredentialPut { agent, credential } => {
                outbound.put_credential(agent, credential);
            }
            Change::CredentialRemoved { agent } => outbound.remove_credential(agent),
            Change::AgentPut(row) if !row.flags.revoked => outbound.readmit(&row.id),
            _ => {}
        }
    }
}

/// Does one thing that follows.
pub(super) fn perform(
    effect: Effect,
    outbound: &mut dyn Outbound,
    slots: &mut HashMap<ReplyTo, Slot>,
) {
    match effect {
        Effect::Answer { reply, answer } => {
            if let Some(slot) = slots.remove(&reply) {
                // A caller who is gone does not mind.
                let _ = slot.send(Ok(answer));
            }
        }
        Effect::Send { agent, message } => outbound.send(&agent, &message),
        Effect::AnswerJoin { agent, message } => outbound.answer_join(&agent, &message),
    }
}

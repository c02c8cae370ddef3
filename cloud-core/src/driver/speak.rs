//! What follows from a committed batch: who is told what, and what is counted. Called after the
//! commit and never before.

use std::collections::HashMap;

use cloud_core_logic::change::Change;
use cloud_core_logic::effect::Effect;
use cloud_core_logic::{Input, ReplyTo};
use shared::task::TaskState;
use shared::wire::Uplink;

use super::Outbound;
use super::handle::Slot;
use crate::observe::{AgentJoined, AttemptPlaced, LateReportKept, Metrics, TaskSettled};

/// The name of an input's kind.
pub(super) fn kind(input: &Input) -> &'static str {
    match input {
        Input::Submit(_) => "submit",
        Input::SubmitMany(_) => "submit_many",
        Input::Cancel { .. } => "cancel",
        Input::Operate { .. } => "operate",
        Input::SetPolicy { .. } => "set_policy",
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

/// Logs and counts what happened.
pub(super) fn observe(changes: &[Change], metrics: &Metrics) {
    for change in changes {
        match change {
            Change::TaskMoved { task, life } => match &life.state {
                TaskState::Assigned { attempt } => {
                    let (attempt, agent) = (*attempt, life.agent.as_ref());
                    metrics.record(AttemptPlaced { task: *task, attempt, agent });
                }
                TaskState::Settled { outcome } => {
                    metrics.record(TaskSettled { task: *task, outcome });
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

//! happen: something has happened that schedules may wait for; those that do are fired.

use std::sync::Arc;

use serde_json::{Value, json};
use shared::api::AgentStatus;
use shared::geo::Position;
use shared::id::{AgentId, TaskId};
use shared::schedule::{AgentChange, EventTrigger};
use shared::task::TaskStatus;

use super::{Context, Event};
use crate::cloud::Cloud;
use crate::effect::Answer;
use crate::firing::Origin;
use crate::input::{Published, ReplyTo};
use crate::schedules::Slot;

/// A task is settled.
pub(crate) fn settled(
    cloud: &mut Cloud,
    task: TaskId,
    status: TaskStatus,
    origin: Option<&Origin>,
    context: &mut Context,
) {
    for slot in cloud.schedules.listeners.of_outcome(task, origin.map(|origin| &origin.name)) {
        let Some(EventTrigger::Outcome(wanted)) = cloud.event_of(slot) else {
            continue;
        };
        if !wanted.status.is_empty() && !wanted.status.contains(&status) {
            continue;
        }
        let payload = json!({
            "task": task,
            "status": status,
            "schedule": origin.map(|origin| &origin.name),
            "scheduled_at": origin.map(|origin| origin.at),
        });
        context.then(Event::Fire { slot, payload: Some(payload.to_string().into()) });
    }
}

/// Somebody has published messages. Each fires a schedule once, however many of its filters match.
pub(crate) fn published(
    cloud: &mut Cloud,
    messages: Vec<Published>,
    reply: ReplyTo,
    context: &mut Context,
) {
    let mut fired = 0;
    for Published { filters, message } in messages {
        // Read once, and only if there is a condition.
        let mut read: Option<Value> = None;
        for slot in cloud.schedules.listeners.of_topics(&filters) {
            let Some(EventTrigger::Mqtt(wanted)) = cloud.event_of(slot) else {
                continue;
            };
            let holds = wanted.when.is_empty() || {
                let document =
                    read.get_or_insert_with(|| serde_json::from_str(&message).unwrap_or_default());
                let payload = document.get("payload");
                payload.is_some_and(|payload| wanted.when.iter().all(|it| it.holds(payload)))
            };
            if holds {
                fired += 1;
                context.then(Event::Fire { slot, payload: Some(Arc::clone(&message)) });
            }
        }
    }
    context.answer(reply, Answer::Published { fired });
}

/// An agent has changed.
pub(crate) fn became(
    cloud: &mut Cloud,
    id: &AgentId,
    change: AgentChange,
    from: Option<Position>,
    context: &mut Context,
) {
    let Some(agent) = cloud.fleet.get(id) else {
        return;
    };
    for slot in cloud.schedules.listeners.of_agents() {
        let Some(EventTrigger::Agent(wanted)) = cloud.event_of(slot) else {
            continue;
        };
        let named = wanted.agents.is_empty() || wanted.agents.contains(id);
        let has = |(key, value): (&String, &String)| agent.facts.labels.get(key) == Some(value);
        let inside = |position: Option<Position>| {
            let area = wanted.area.as_ref();
            area.is_none_or(|area| position.is_some_and(|position| area.contains(position)))
        };
        let there = inside(agent.facts.position);
        let comes = change != AgentChange::Inside || !inside(from);
        if wanted.becomes != change || !named || !wanted.labels.iter().all(has) || !there || !comes
        {
            continue;
        }
        let payload = json!({"agent": id, "became": change, "position": agent.facts.position});
        context.then(Event::Fire { slot, payload: Some(payload.to_string().into()) });
    }
}

impl Cloud {
    /// Which event fires a schedule, unless it rests.
    fn event_of(&self, slot: Slot) -> Option<&EventTrigger> {
        let schedule = self.schedules.get(slot).filter(|schedule| !schedule.paused)?;
        schedule.template.event.as_ref()
    }

    /// An agent has another status than before.
    pub(crate) fn tell_schedules(&self, id: &AgentId, status: AgentStatus, context: &mut Context) {
        let change = match status {
            AgentStatus::Online => AgentChange::Online,
            AgentStatus::Offline => AgentChange::Offline,
            AgentStatus::Suspect => return,
        };
        if self.schedules.listeners.any_of_agents() {
            context.then(Event::Became { agent: id.clone(), change, from: None });
        }
    }

    /// An agent has another position than before.
    pub(crate) fn moved(&self, id: &AgentId, from: Option<Position>, context: &mut Context) {
        if self.schedules.listeners.any_of_agents() {
            let change = AgentChange::Inside;
            context.then(Event::Became { agent: id.clone(), change, from });
        }
    }
}

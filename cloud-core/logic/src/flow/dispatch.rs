//! dispatch: what is wanted of an agent is sent to it, split so that every message fits. What was
//! sent and not applied is sent again, from what the agent says it has.

use std::sync::Arc;

use shared::id::{AgentId, AssignmentId, Revision};
use shared::trace::{Span, SpanId, TraceContext};
use shared::wire::downlink::{Desired, DesiredRow, LocalRetry, Order, Want};
use shared::wire::{Downlink, MESSAGE_BYTES_MAX};

use super::Context;
use crate::change::{Wanted, WantedRow};
use crate::cloud::{Cloud, LiveRow};
use crate::effect::Effect;
use crate::planted::planted;
use crate::timers::Alarm;

/// The most bytes of rows in one message. Half of what a message may have, so that the size of a
/// row may be estimated from its spec.
const ROWS_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;
/// The most rows in one message.
const ROWS_MAX: usize = 200;
/// The most messages to one agent in one step; the rest follow when these are applied.
const MESSAGES_MAX: usize = 16;

/// Sends every agent what it was not sent yet.
pub(crate) fn run(cloud: &mut Cloud, context: &mut Context) {
    for agent in std::mem::take(&mut cloud.unsent) {
        send(cloud, &agent, context);
    }
}

/// An agent has not applied what it was sent some time ago: once more, from where it stands.
pub(crate) fn resend(cloud: &mut Cloud, agent: &AgentId, context: &mut Context) {
    let Some(channel) = cloud.channels.get_mut(agent) else {
        return;
    };
    let behind = channel.applied_rev < channel.desired_rev && !planted!(NeverSentAgain);
    if channel.greeted && behind {
        channel.sent_rev = channel.applied_rev;
        send(cloud, agent, context);
    }
}

fn send(cloud: &mut Cloud, agent: &AgentId, context: &mut Context) {
    let Some(channel) = cloud.channels.get(agent).filter(|channel| channel.greeted) else {
        return;
    };
    let core = cloud.core;
    let mut base = channel.sent_rev;
    let last = channel.desired_rev;
    let incarnation = channel.inbox.incarnation;
    let mut rows = Vec::new();
    let mut bytes = 0;
    let mut messages = Vec::new();
    for row in channel.wanted.range(base.next()..).map(|(_, row)| row) {
        let size = cloud.size_of(row);
        if !rows.is_empty() && (bytes + size > ROWS_BYTES_MAX || rows.len() == ROWS_MAX) {
            // Everything below this row is in the message, so it ends right before it.
            let upto = Revision(row.rev.0 - 1);
            messages.push(Desired {
                core,
                incarnation,
                base,
                upto,
                rows: std::mem::take(&mut rows),
            });
            (base, bytes) = (upto, 0);
            if messages.len() == MESSAGES_MAX {
                break;
            }
        }
        bytes += size;
        rows.extend(cloud.message_row(row));
    }
    if messages.len() < MESSAGES_MAX && base < last {
        messages.push(Desired { core, incarnation, base, upto: last, rows });
    }
    let Some(sent) = messages.last().map(|message| message.upto) else {
        return;
    };
    for message in messages {
        let message = Downlink::Desired(message);
        context.effect(Effect::Send { agent: agent.clone(), message });
    }
    if let Some(channel) = cloud.channels.get_mut(agent) {
        channel.sent_rev = sent;
    }
    let resend_at = context.now.mono + cloud.settings.resend_ms;
    cloud.timers.set(Alarm::Resend(agent.clone()), resend_at);
}

/// The trace as the process of an attempt is told.
fn trace_of(row: &LiveRow, id: AssignmentId) -> TraceContext {
    row.trace(id.task).context(SpanId::of(id.task, Span::Attempt(id.attempt)))
}

impl Cloud {
    /// About how many bytes a row will take.
    fn size_of(&self, row: &WantedRow) -> usize {
        let task = match row.wanted {
            Wanted::Stop { .. } => None,
            Wanted::Run => self.tasks.get(&row.assignment.task).map(|task| &task.row),
        };
        let run =
            task.map_or(0, |task| serde_json::to_vec(&task.spec.run).map_or(0, |run| run.len()));
        let trace = task.and_then(|task| task.trace.as_ref()?.state.header());
        run + trace.map_or(0, str::len) + 1_024
    }

    /// How often the agent may begin it again while it cannot ask: as often as the core would.
    fn local_retry(&self, row: &LiveRow) -> LocalRetry {
        let (retry, life) = (&row.spec.retry, &row.life);
        let losses_max = self.settings.losses_max.saturating_sub(life.losses);
        LocalRetry {
            failures_max: retry.attempts_max.saturating_sub(life.failures.saturating_add(1)),
            losses_max: if row.spec.disconnect.replace { losses_max } else { 0 },
            delay_ms: retry.delay_s.saturating_mul(1_000),
            delay_ms_max: retry.delay_s_max.saturating_mul(1_000),
        }
    }

    /// A row as the agent is told. A live row's task is in the working set; one that were not
    /// would have nothing to run, and is left out. So is a stray: an agent that holds it need not
    /// be told, and one that never heard of it must not begin it now.
    fn message_row(&self, row: &WantedRow) -> Option<DesiredRow> {
        let want = match row.wanted {
            Wanted::Stop { reason } => Want::Stop { reason },
            Wanted::Run => {
                let task = self.tasks.get(&row.assignment.task)?;
                if task.current() != Some(row.assignment) {
                    return None;
                }
                let spec = &task.row.spec;
                let milliseconds = |seconds: u64| seconds.saturating_mul(1_000);
                Want::Run(Arc::new(Order {
                    name: task.row.name.as_deref().map(str::to_owned),
                    run: spec.run.clone(),
                    needs: spec.needs.clone(),
                    priority: spec.priority,
                    timeout_ms: spec.timeout_s.map(milliseconds),
                    grace_ms: self.settings.grace_ms,
                    stop_after_ms: spec.disconnect.stop_after_s.map(milliseconds),
                    lease_ms: spec
                        .exclusive
                        .then(|| self.settings.lease_ms(spec.disconnect.lost_after_s)),
                    retry: self.local_retry(&task.row),
                    trace: Some(trace_of(&task.row, row.assignment)),
                }))
            }
        };
        Some(DesiredRow { rev: row.rev, assignment: row.assignment, want })
    }
}

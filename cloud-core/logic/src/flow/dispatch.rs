//! dispatch: what is wanted of an agent is sent to it, split so that every message fits. What was
//! sent and not applied is sent again, from what the agent says it has.

use std::sync::Arc;

use shared::id::{AgentId, AssignmentId, Attempt, Revision, TaskId};
use shared::schedule::jitter_ms;
use shared::time::Timestamp;
use shared::trace::{Span, SpanId, TraceContext};
use shared::wire::downlink::{
    Desired, DesiredRow, FiringContext, LocalRetry, Order, ResidentSchedule, ScheduleRow, Want,
};
use shared::wire::{Downlink, MESSAGE_BYTES_MAX};

use super::Context;
use crate::change::{TaskLife, Wanted, WantedRow};
use crate::channel::Channel;
use crate::cloud::{Cloud, LiveRow};
use crate::effect::Effect;
use crate::lookup::hash;
use crate::planted::planted;
use crate::schedules::ResidentRow;
use crate::timers::Alarm;

/// The most bytes of rows in one message. Half of what a message may have, so that the size of a
/// row may be estimated from its spec.
const ROWS_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;
/// The most rows in one message.
const ROWS_MAX: usize = 200;
/// How far back the clocks of a zone are told, in seconds.
const ZONE_BACK_S: i64 = 366 * 86_400;
/// From when on they are told at the latest, in seconds since 1970: the beginning of 2026. By a core
/// whose clock is ahead, an agent would miss changes that are still to come.
const ZONE_SINCE_S_MAX: i64 = 1_767_225_600;
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
        (channel.sent_rev, channel.stuck) = (channel.applied_rev, false);
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
    let empty = |base, upto| Desired {
        core,
        incarnation,
        base,
        upto,
        rows: Vec::new(),
        schedules: Vec::new(),
    };
    let mut message = empty(base, base);
    let mut bytes = 0;
    let mut messages = Vec::new();
    for row in rows_behind(channel, base) {
        let row = cloud.told_row(row, agent);
        let count = message.rows.len() + message.schedules.len();
        if count > 0 && (bytes + row.bytes > ROWS_BYTES_MAX || count == ROWS_MAX) {
            // Everything below this row is in the message, so it ends right before it.
            message.upto = Revision(row.rev.0 - 1);
            base = message.upto;
            messages.push(std::mem::replace(&mut message, empty(base, base)));
            bytes = 0;
            if messages.len() == MESSAGES_MAX {
                break;
            }
        }
        bytes += row.bytes;
        match row.told {
            Told::Assignment(told) => message.rows.extend(told),
            Told::Schedule(told) => message.schedules.extend(told),
        }
    }
    if messages.len() < MESSAGES_MAX && base < last {
        message.upto = last;
        messages.push(message);
    }
    let Some(sent) = messages.last().map(|message| message.upto) else {
        return;
    };
    for message in messages {
        let message = Downlink::Desired(message);
        context.effect(Effect::Send { agent: agent.clone(), message });
    }
    let resend = Alarm::Resend(agent.clone());
    let resend_at = context.now.mono + cloud.settings.resend_ms;
    let Some(channel) = cloud.channels.get_mut(agent) else {
        return;
    };
    channel.sent_rev = sent;
    // Nothing arrives behind what was lost: what follows it must not put off that it is sent again.
    match channel.stuck {
        true => cloud.timers.set_if_unset(resend, resend_at),
        false => cloud.timers.set(resend, resend_at),
    }
}

/// A row of desired state, about one of two kinds of things.
enum Row<'a> {
    Assignment(&'a WantedRow),
    Schedule(&'a ResidentRow),
}

/// A row as an agent is told of it, if it is.
enum Told {
    Assignment(Option<DesiredRow>),
    Schedule(Option<ScheduleRow>),
}

/// The same with its revision, and about how many bytes it takes.
struct ToldRow {
    rev: Revision,
    bytes: usize,
    told: Told,
}

/// The rows behind a revision, in the order of theirs.
fn rows_behind(channel: &Channel, base: Revision) -> impl Iterator<Item = Row<'_>> {
    let mut assignments = channel.wanted.range(base.next()..).peekable();
    let mut schedules = channel.residents_by_rev.range(base.next()..).peekable();
    std::iter::from_fn(move || {
        let is_first = match (assignments.peek(), schedules.peek()) {
            (Some((one, _)), Some((other, _))) => one < other,
            (one, _) => one.is_some(),
        };
        if is_first {
            return assignments.next().map(|(_, row)| Row::Assignment(row));
        }
        let (_, schedule) = schedules.next()?;
        channel.residents.get(schedule).map(Row::Schedule)
    })
}

/// The trace as the process of an attempt is told.
fn trace_of(row: &LiveRow, id: AssignmentId) -> TraceContext {
    row.trace(id.task).context(SpanId::of(id.task, Span::Attempt(id.attempt)))
}

/// From which second since 1970 on an agent is told the clocks of a zone that it needs from a moment
/// on, with a while before for whatever looks back from there.
fn zone_since_s(from: Timestamp) -> i64 {
    from.0.div_euclid(1_000).saturating_sub(ZONE_BACK_S).min(ZONE_SINCE_S_MAX)
}

/// What this content is called: the same whenever an agent is told the same. A version would not do,
/// because a core that was put back to a backup counts versions again.
fn tag_of(hold: &ResidentSchedule) -> u32 {
    serde_json::to_string(hold).map_or(0, |text| (hash(&text) >> 32) as u32)
}

impl Cloud {
    fn told_row(&self, row: Row<'_>, agent: &AgentId) -> ToldRow {
        match row {
            Row::Assignment(row) => {
                let told = Told::Assignment(self.message_row(row, agent));
                ToldRow { rev: row.rev, bytes: self.size_of(row), told }
            }
            Row::Schedule(row) => {
                let told = self.schedule_row(row, agent);
                let text = serde_json::to_vec(&told).map_or(0, |text| text.len());
                ToldRow { rev: row.rev, bytes: text, told: Told::Schedule(told) }
            }
        }
    }

    /// A row about a resident schedule as its agent is told. What it makes may be done again by the
    /// agent alone as often as the core would.
    pub(crate) fn schedule_row(&self, row: &ResidentRow, agent: &AgentId) -> Option<ScheduleRow> {
        let (rev, schedule) = (row.rev, row.schedule);
        if !row.held {
            return Some(ScheduleRow { rev, schedule, hold: None });
        }
        let slot = self.schedules.of_id(schedule)?;
        let (resident, known) = (self.residents.get(slot)?, self.schedules.get(slot)?);
        let spec = &resident.spec;
        let life = TaskLife::new(Timestamp(0));
        let task = Arc::clone(&spec.task);
        let row = LiveRow {
            name: task.name.as_deref().map(Box::from),
            spec: task,
            trace: None,
            origin: None,
            life,
        };
        let order = self.order_of(&row, None);
        let from = self.channels.get(agent)?.residents.get(&schedule)?.from;
        let mut hold = ResidentSchedule {
            name: spec.name.clone(),
            version: known.version,
            tag: 0,
            created_at: resident.created_at,
            from,
            trigger: spec.trigger.clone(),
            zone: resident.zone.as_ref().map(|zone| zone.since(zone_since_s(from))),
            starts_at: spec.starts_at,
            ends_at: spec.ends_at,
            exclude_days: spec.exclude_days.clone(),
            offset_ms: jitter_ms(schedule, Some(agent), spec.jitter_s),
            missed: spec.missed,
            missed_max: spec.missed_max,
            catch_up_s: spec.catch_up_s,
            overlap: spec.overlap,
            queue_max: spec.queue_max,
            order: Arc::new(order),
        };
        hold.tag = tag_of(&hold);
        Some(ScheduleRow { rev, schedule, hold: Some(Box::new(hold)) })
    }

    /// About how many bytes a row will take.
    fn size_of(&self, row: &WantedRow) -> usize {
        let task = match row.wanted {
            Wanted::Stop { .. } => None,
            Wanted::Run => self.tasks.get(&row.assignment.task).map(|task| &task.row),
        };
        let run =
            task.map_or(0, |task| serde_json::to_vec(&task.spec.run).map_or(0, |run| run.len()));
        let trace = task.and_then(|task| task.trace.as_ref()?.state.header());
        let payload = task.and_then(|task| task.origin.as_ref()?.payload.as_deref());
        // Quotes and control characters take more room as JSON.
        run + trace.map_or(0, str::len) + 6 * payload.map_or(0, str::len) + 1_024
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
    /// be told, and one that never heard of it must not begin it now. Nor is what an agent made of a
    /// schedule of its own told to it: it may be over there already, and must not begin again.
    fn message_row(&self, row: &WantedRow, agent: &AgentId) -> Option<DesiredRow> {
        let want = match row.wanted {
            Wanted::Stop { reason } => Want::Stop { reason },
            Wanted::Run => {
                let task = self.tasks.get(&row.assignment.task)?;
                let own = self.is_own_firing(&task.row, row.assignment, agent);
                if task.current() != Some(row.assignment) || own {
                    return None;
                }
                let trace = trace_of(&task.row, row.assignment);
                Want::Run(Arc::new(self.order_of(&task.row, Some(trace))))
            }
        };
        Some(DesiredRow { rev: row.rev, assignment: row.assignment, want })
    }

    /// Whether an agent made this attempt of a moment of a schedule that it holds.
    fn is_own_firing(&self, row: &LiveRow, id: AssignmentId, agent: &AgentId) -> bool {
        let (Some(origin), Some(channel)) = (&row.origin, self.channels.get(agent)) else {
            return false;
        };
        let made = TaskId::of_firing(origin.schedule, origin.at, channel.inbox.incarnation);
        id == AssignmentId { task: made, attempt: Attempt(1) }
    }

    /// All an agent needs to know to run a task.
    fn order_of(&self, row: &LiveRow, trace: Option<TraceContext>) -> Order {
        let spec = &row.spec;
        let milliseconds = |seconds: u64| seconds.saturating_mul(1_000);
        let firing = row.origin.as_ref().map(|origin| FiringContext {
            schedule: origin.name.clone(),
            at: origin.at,
            payload: origin.payload.clone(),
        });
        let lease_ms = || self.settings.lease_ms(spec.disconnect.lost_after_s);
        Order {
            name: row.name.as_deref().map(str::to_owned),
            run: spec.run.clone(),
            needs: spec.needs.clone(),
            priority: spec.priority,
            timeout_ms: spec.timeout_s.map(milliseconds),
            grace_ms: self.settings.grace_ms,
            stop_after_ms: spec.disconnect.stop_after_s.map(milliseconds),
            lease_ms: spec.exclusive.then(lease_ms),
            retry: self.local_retry(row),
            firing,
            trace,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_a_clock_that_is_ahead_no_change_is_left_out_that_is_to_come() {
        let year_s = 365 * 86_400;
        let since_s = |at_s: i64| zone_since_s(Timestamp(at_s * 1_000));
        assert_eq!(since_s(ZONE_SINCE_S_MAX + 50 * year_s), ZONE_SINCE_S_MAX);
        assert_eq!(since_s(0), -ZONE_BACK_S);
    }
}

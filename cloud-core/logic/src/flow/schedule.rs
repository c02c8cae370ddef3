//! schedule: operators and users make schedules, change them, let them rest, and fire them by hand.

use std::sync::Arc;

use shared::border::Problem;
use shared::id::{ScheduleId, ScheduleName};
use shared::schedule::{EventTrigger, ScheduleSpec, Trigger, holds};
use shared::time::mix;
use uuid::Uuid;

use super::Context;
use crate::change::Change;
use crate::cloud::Cloud;
use crate::effect::Answer;
use crate::firing::{ScheduleRow, SkippedBecause};
use crate::happening::Happening;
use crate::input::{PutSchedule, ReplyTo, ScheduleOperation};
use crate::planted::planted;
use crate::schedules::Slot;

/// The most different topic filters that schedules listen to.
const TOPICS_MAX: usize = 1_024;

/// Makes a schedule, or changes one. What of it has come by now is dealt with as it was asked for
/// before.
pub(crate) fn put(cloud: &mut Cloud, wish: PutSchedule, context: &mut Context) {
    let PutSchedule { before, spec, only_new, reply } = wish;
    let slot = cloud.schedules.named(&spec.name);
    if only_new && slot.is_some() {
        context.answer(reply, Answer::ScheduleExists(spec.name.clone()));
        return;
    }
    if slot.is_none() && cloud.schedules.len() as u64 >= cloud.settings.schedules_max {
        let schedules_max = cloud.settings.schedules_max;
        context.answer(reply, Answer::SchedulesFull { schedules_max });
        return;
    }
    if let Err(mut problem) = cloud.policy.check_profile(spec.task.prefer.profile.as_deref()) {
        problem.pointer = format!("/task{}", problem.pointer);
        context.answer(reply, Answer::BadSchedule(Box::new(problem)));
        return;
    }
    // The caller read it from the store; another may have changed it since.
    let known = slot.and_then(|slot| cloud.schedules.get(slot));
    let stale = known.map(|known| (known.id, known.version))
        != before.as_ref().map(|row| (row.id, row.version));
    if stale {
        context.answer(reply, Answer::ScheduleMoved(spec.name.clone()));
        return;
    }
    let now = context.now.wall;
    if let Some(before) = &before
        && before.spec == spec
    {
        context.answer(reply, Answer::Schedule(before.clone()));
        return;
    }
    let created_at = before.as_ref().map_or(now, |row| row.created_at);
    let timetable = match cloud.schedules.timetable(&spec, created_at) {
        Ok(timetable) => timetable,
        Err(error) => {
            context.answer(reply, Answer::BadSchedule(Box::new(error.problem())));
            return;
        }
    };
    if let Some(problem) = cloud.too_many_topics(&spec) {
        context.answer(reply, Answer::BadSchedule(Box::new(problem)));
        return;
    }
    if let Some(slot) = slot {
        cloud.settle_moments(slot, context);
    }
    // One that counts from the end of a task that it never had begins at once.
    let waited_ms = timetable.after_end_ms().filter(|_| before.is_none()).unwrap_or(0);
    let paused = before.as_ref().is_some_and(|row| row.paused);
    let through = slot.and_then(|slot| cloud.schedules.get(slot)).map(|known| known.through);
    let waited_ms = i64::try_from(waited_ms).unwrap_or(i64::MAX);
    let row = ScheduleRow {
        id: before.as_ref().map_or_else(|| fresh_id(&spec.name, context), |row| row.id),
        version: before.as_ref().map_or(1, |row| row.version.saturating_add(1)),
        created_at,
        updated_at: now,
        paused,
        through: match through.filter(|_| planted!(EditLooksBack)) {
            Some(through) => through,
            None => through.unwrap_or(now).max(now).plus_ms(-waited_ms),
        },
        spec,
    };
    if row.spec.resident.is_none()
        && let Some(slot) = slot
    {
        cloud.withdraw_from_all(slot, context);
    }
    let slot = cloud.put_schedule(&row, timetable);
    cloud.set_first_due(slot);
    context.change(Change::SchedulePut(Box::new(row.clone())));
    cloud.tell_of_schedule(slot, Happening::schedule_put, context);
    context.answer(reply, Answer::Schedule(Box::new(row)));
}

impl Cloud {
    /// What is wrong with a schedule that listens to one topic filter more than there may be.
    fn too_many_topics(&self, spec: &ScheduleSpec) -> Option<Problem> {
        let Trigger::Event { event: EventTrigger::Mqtt(mqtt) } = &spec.trigger else {
            return None;
        };
        let listeners = &self.schedules.listeners;
        let full = listeners.topics() >= TOPICS_MAX && !listeners.knows_topic(&mqtt.topic);
        full.then(|| Problem {
            pointer: "/trigger/event/mqtt/topic".to_owned(),
            detail: format!(
                "schedules listen to {TOPICS_MAX} different filters already, as many as they may; use                  one of those, with a condition on the payload"
            ),
        })
    }
}

/// An id that no other schedule ever had: no two of one name are made in one step.
fn fresh_id(name: &ScheduleName, context: &mut Context) -> ScheduleId {
    let millis = u64::try_from(context.now.wall.0).unwrap_or(0);
    let chance = context.chance();
    let (front, back) = (mix(chance, 1), mix(chance, crate::lookup::hash(name.as_str())));
    let front = millis << 16 | 0x7000 | (front & 0x0fff);
    ScheduleId(Uuid::from_u64_pair(front, back >> 2 | 1 << 63))
}

/// Lets a schedule rest or go on, deletes it, or fires it by hand.
pub(crate) fn operate(
    cloud: &mut Cloud,
    before: Box<ScheduleRow>,
    operation: ScheduleOperation,
    reply: ReplyTo,
    context: &mut Context,
) {
    let known = cloud.schedules.of_id(before.id);
    let schedule = known.and_then(|slot| cloud.schedules.get(slot).map(|it| (slot, it)));
    let Some((slot, schedule)) = schedule else {
        context.answer(reply, Answer::UnknownSchedule(before.spec.name.clone()));
        return;
    };
    if schedule.version != before.version {
        context.answer(reply, Answer::ScheduleMoved(before.spec.name.clone()));
        return;
    }
    let paused = schedule.paused;
    match operation {
        ScheduleOperation::Pause | ScheduleOperation::Resume => {
            let pauses = operation == ScheduleOperation::Pause;
            let row = match paused == pauses {
                true => ScheduleRow { paused, ..*before },
                false => rest(cloud, slot, *before, pauses, context),
            };
            context.answer(reply, Answer::Schedule(Box::new(row)));
        }
        ScheduleOperation::Delete => {
            cloud.settle_moments(slot, context);
            cloud.withdraw_queued(slot, SkippedBecause::Withdrawn, context);
            cloud.tell_of_schedule(slot, Happening::schedule_deleted, context);
            if !planted!(DeletedStays) {
                cloud.withdraw_from_all(slot, context);
            }
            cloud.residents.remove(slot);
            cloud.schedules.remove(slot);
            context.change(Change::ScheduleRemoved { schedule: before.id });
            context.answer(reply, Answer::Schedule(before));
        }
        ScheduleOperation::Fire => {
            let at = cloud.moment_of_now(slot, context);
            let task = cloud.fire(slot, at, None, context);
            context.answer(reply, Answer::ScheduleFired { at, task });
        }
    }
}

/// A signed call of a schedule's hook. The driver has checked the signature.
pub(crate) fn hook(
    cloud: &mut Cloud,
    name: &ScheduleName,
    payload: &Arc<str>,
    reply: ReplyTo,
    context: &mut Context,
) {
    let slot = cloud.schedules.named(name);
    let schedule = slot.and_then(|slot| cloud.schedules.get(slot).map(|it| (slot, it)));
    let Some((slot, schedule)) = schedule else {
        context.answer(reply, Answer::UnknownSchedule(name.clone()));
        return;
    };
    let Some(EventTrigger::Webhook { when }) = &schedule.template.event else {
        context.answer(reply, Answer::UnknownSchedule(name.clone()));
        return;
    };
    if schedule.paused || !holds(when, payload, &mut None) {
        context.answer(reply, Answer::HookPassed);
        return;
    }
    let at = cloud.moment_of_now(slot, context);
    let payload = Some(Arc::clone(payload));
    let task = cloud.fire(slot, at, payload, context);
    context.answer(reply, Answer::ScheduleFired { at, task });
}

/// Lets a schedule rest, or go on. What comes while it rests does not fire.
fn rest(
    cloud: &mut Cloud,
    slot: Slot,
    before: ScheduleRow,
    paused: bool,
    context: &mut Context,
) -> ScheduleRow {
    let now = context.now.wall;
    match paused {
        true => {
            cloud.settle_moments(slot, context);
            cloud.withdraw_queued(slot, SkippedBecause::Withdrawn, context);
        }
        false => cloud.deal_with_moments_to(slot, now, context),
    }
    let through = match cloud.schedules.get_mut(slot) {
        Some(schedule) => {
            schedule.paused = paused;
            let template = Arc::clone(&schedule.template);
            let through = schedule.through;
            cloud.schedules.listeners.rests(template.event.as_ref());
            through
        }
        None => now,
    };
    cloud.set_first_due(slot);
    if cloud.residents.get(slot).is_some() {
        cloud.residents.review(slot);
    }
    let what = if paused { Happening::schedule_paused } else { Happening::schedule_resumed };
    cloud.tell_of_schedule(slot, what, context);
    let row = ScheduleRow { paused, updated_at: now, through, ..before };
    context.change(Change::SchedulePut(Box::new(row.clone())));
    row
}

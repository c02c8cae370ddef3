//! fire: moments of schedules come, in the order of time and a few at once; tasks that schedules made
//! end, and events come that schedules wait for.

use std::sync::Arc;

use shared::id::{ScheduleId, TaskId};
use shared::schedule::ON_TIME_MS;
use shared::time::Timestamp;

use super::Context;
use crate::cloud::Cloud;
use crate::firing::SkippedBecause;
use crate::planted::planted;
use crate::schedules::Slot;

/// The most schedules that are looked at in one step; the rest follow in the next.
const SCHEDULES_PER_STEP: usize = 512;
/// The most firings by events in one step: schedules may fire one another in a circle.
const EVENTS_PER_STEP: u32 = 1_024;
/// How far ahead it is planned when to look next, in milliseconds: a wall clock may be set forward.
const LOOK_MS_MAX: u64 = 1_000;

/// Deals with the moments that have come.
pub(crate) fn run(cloud: &mut Cloud, context: &mut Context) {
    let now = context.now.wall;
    let before = std::mem::replace(&mut cloud.schedules.looked, now);
    if before > now && planted!(CursorGoesBack) {
        cloud.go_back_with_clock(now);
    }
    if before.since_ms(now) > ON_TIME_MS {
        cloud.take_turns_back();
    }
    for _ in 0..SCHEDULES_PER_STEP {
        match cloud.schedules.first_due() {
            Some((at, slot)) if at <= now => look(cloud, slot, at, context),
            _ => break,
        }
    }
}

/// Plans when to look next.
pub(crate) fn plan(cloud: &mut Cloud, context: &Context) {
    let now = context.now;
    cloud.schedules.look_at = cloud.schedules.first_due().map(|(at, _)| {
        let wait_ms = at.since_ms(now.wall);
        now.mono + wait_ms.min(LOOK_MS_MAX)
    });
}

/// Deals with what of a schedule has come.
fn look(cloud: &mut Cloud, slot: Slot, at: Timestamp, context: &mut Context) {
    let now = context.now.wall;
    let Some(schedule) = cloud.schedules.get_mut(slot) else {
        return;
    };
    // Many that were missed are not made up for all at once.
    if now.since_ms(at) > ON_TIME_MS && !schedule.in_turn {
        schedule.in_turn = true;
        let turn = cloud.turn_to_catch_up(now);
        cloud.schedules.set_due(slot, Some(turn));
        return;
    }
    schedule.in_turn = false;
    cloud.settle_moments(slot, context);
}

/// A task that a schedule made is settled: whoever waits for that has its turn.
pub(crate) fn over(cloud: &mut Cloud, schedule: ScheduleId, task: TaskId, context: &mut Context) {
    let Some(slot) = cloud.schedules.of_id(schedule) else {
        return;
    };
    let Some(active) = cloud.schedules.active.get_mut(&slot) else {
        return;
    };
    active.tasks.remove(&task);
    // One that is not taken makes room for the next.
    while let Some(active) = cloud.schedules.active.get_mut(&slot)
        && active.tasks.is_empty()
    {
        let next = active.queued.pop_front();
        if active.is_idle() {
            cloud.schedules.active.remove(&slot);
        }
        if let Some((at, payload)) = next {
            cloud.launch(slot, at, payload, context);
        }
    }
    cloud.count_from_end(slot, context);
}

/// An event has come that a schedule waits for.
pub(crate) fn event(
    cloud: &mut Cloud,
    slot: Slot,
    payload: Option<Arc<str>>,
    context: &mut Context,
) {
    let at = cloud.moment_of_now(slot, context);
    if context.events_fired == EVENTS_PER_STEP {
        let detail = format!("{EVENTS_PER_STEP} others were fired by events in the same moment");
        cloud.skip(slot, at, SkippedBecause::Refused, detail, context);
        return;
    }
    context.events_fired += 1;
    cloud.fire(slot, at, payload, context);
}

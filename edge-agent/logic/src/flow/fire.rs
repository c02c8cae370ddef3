//! The schedules that are held: the core gives them and takes them away, and their moments come,
//! by the wall clock while it is believed. While it is not, intervals go on by the monotonic clock:
//! each firing is named after the moment that follows the last one in its timetable, so that what
//! is dealt with only grows, and once the clock is believed again the rest is decided by it.

use std::collections::BTreeSet;
use std::sync::Arc;

use shared::id::{AssignmentId, Attempt, ScheduleId, TaskId};
use shared::report::{NotFiredBecause, ReportEvent, StopReason};
use shared::schedule::{Due, Missed, MissedRule, ON_TIME_MS, Overlap, QUEUE_MAX, Trigger, due};
use shared::time::{Now, Stamp, Timestamp};
use shared::wire::downlink::{FiringContext, Order, ResidentSchedule};

use crate::admission;
use crate::agent::Agent;
use crate::attempt::Cause;
use crate::change::Change;
use crate::clock::Trust;
use crate::effect::{Notice, Outcome};
use crate::planted::planted;
use crate::resident::{Resident, ResidentRow, Standing, earlier, later};

/// How far ahead it is planned when to look next, in milliseconds: a wall clock may be set forward,
/// and what is seen within [`ON_TIME_MS`] is on time.
const LOOK_MS_MAX: u64 = 5_000;
/// How far what is dealt with may be ahead of a clock that the core has confirmed, in milliseconds.
/// Beyond it, it was dealt with by a clock that was wrong, and counts no more.
const AHEAD_MS_MAX: u64 = 3_600_000;

/// The most that is reported of a moment: that it fired, started and finished.
const ENTRIES: usize = 3;

/// The core wants this schedule to be held.
pub(crate) fn hold(
    agent: &mut Agent,
    id: ScheduleId,
    hold: ResidentSchedule,
    out: &mut Outcome,
    now: Now,
) {
    let before = agent.residents.held.get(&id);
    if before.is_some_and(|before| *before.hold == hold) {
        return;
    }
    let (name, version) = (hold.name.clone(), hold.version);
    let most = usize::try_from(agent.facts.schedules_max).unwrap_or(usize::MAX);
    let others = agent.residents.held.len() - usize::from(before.is_some());
    if others >= most {
        withdraw(agent, id, out, now);
        let detail = format!("{others} schedules are held, at most {most} may be");
        return out.note(Notice::ScheduleNotHeld { name, detail });
    }
    let standing = match before {
        Some(_) => begin_anew(agent, id, &hold, out, now),
        None => begin(agent, id, &hold, now),
    };
    let hold = Arc::new(hold);
    match Resident::new(Arc::clone(&hold), standing.clone()) {
        Ok(resident) => {
            agent.residents.held.insert(id, resident);
            agent.residents.dropped.remove(&id);
            agent.residents.look_at = Some(now.mono);
            let row = ResidentRow { schedule: id, hold, standing };
            out.changes.push(Change::ScheduleHeld(Box::new(row)));
            out.note(Notice::ScheduleHeld { name, version });
        }
        Err(unusable) => {
            withdraw(agent, id, out, now);
            out.note(Notice::ScheduleNotHeld { name, detail: unusable.to_string() });
        }
    }
}

/// Where a schedule stands that is to be held and was not: from when the core gives it, and behind all
/// that it did here when it was held before.
fn begin(agent: &Agent, id: ScheduleId, hold: &ResidentSchedule, now: Now) -> Standing {
    let dropped = agent.residents.dropped.get(&id);
    if let Trigger::Interval(interval) = &hold.trigger
        && interval.after_end
    {
        // The first is due at once.
        let first = dropped.map_or(hold.from, |through| hold.from.max(through.plus_ms(1)));
        let wait_ms = interval.interval_s.saturating_mul(1_000);
        let mut since = since(agent, first, 0, now);
        since.mono_ms = since.mono_ms.saturating_sub(wait_ms);
        return Standing { through: earlier(first, wait_ms), since, ..Standing::default() };
    }
    let through = dropped.map_or(hold.from, |through| hold.from.max(*through));
    Standing { through, since: since(agent, through, 0, now), ..Standing::default() }
}

/// Another version of a schedule is to be held. What of it has come by now is dealt with as it was asked
/// for before, and the new one holds from the next moment on: where it stands then.
fn begin_anew(
    agent: &mut Agent,
    id: ScheduleId,
    hold: &ResidentSchedule,
    out: &mut Outcome,
    now: Now,
) -> Standing {
    let by_wall = agent.clock.trust() == Trust::Trusted;
    if by_wall && !agent.health.stopping && agent.link.barred.is_none() {
        look(agent, id, true, out, now);
    }
    let stamp = agent.clock.stamp(now);
    let Some(resident) = agent.residents.held.get(&id) else {
        return Standing::default();
    };
    let mut standing = resident.standing.clone();
    // Moments that could not be told of yet are decided about by the rule for what was missed. What
    // counts from the end of its last run has none.
    let come = resident.next.is_some_and(|next| later(next, resident.hold.offset_ms) <= now.wall);
    let is_left = come && !resident.counts_from_end();
    // What counts from the end of a run goes on counting from there.
    let after_end = matches!(&hold.trigger, Trigger::Interval(interval) if interval.after_end);
    let counts_on = (resident.counts_from_end() && after_end) || is_left;
    if by_wall && !counts_on && standing.through < now.wall && !planted!(EditLooksBack) {
        (standing.through, standing.since) = (now.wall, stamp);
    }
    // What counted from an end has no moments before it was given, by a core whose clock may be ahead.
    let given = resident.hold.from;
    if resident.counts_from_end() && !after_end && standing.through < given {
        (standing.through, standing.since) = (given, stamp);
    }
    standing
}

/// The core wants this schedule to be held no more. What it fired goes on; what waits does not
/// fire.
pub(crate) fn withdraw(agent: &mut Agent, id: ScheduleId, out: &mut Outcome, now: Now) {
    let Some((resident, forgotten)) = agent.residents.drop_held(id) else {
        return;
    };
    for moment in &resident.standing.queue {
        let of = Of { id, hold: &resident.hold };
        not_fired(agent, of, one(*moment), NotFiredBecause::Withdrawn, out, now);
    }
    out.changes.push(Change::ScheduleDropped { schedule: id, through: resident.come() });
    out.changes.extend(forgotten.map(|schedule| Change::DroppedForgotten { schedule }));
    out.note(Notice::ScheduleWithdrawn { name: resident.hold.name.clone() });
}

/// Deals with the moments that have come, and plans when to look next.
pub(crate) fn tick(agent: &mut Agent, out: &mut Outcome, now: Now) {
    if agent.residents.held.is_empty() {
        return;
    }
    let trusted = agent.clock.trust() == Trust::Trusted;
    let same = std::mem::replace(&mut agent.residents.trusted, trusted) == trusted;
    if same && !agent.residents.is_due(now.mono) {
        return;
    }
    // One that is stopping looks when it comes back. Another board may fire the same.
    if agent.health.stopping || agent.link.barred.is_some() {
        agent.residents.look_at = Some(now.mono + LOOK_MS_MAX);
        return;
    }
    let ids: Vec<ScheduleId> = agent.residents.held.keys().copied().collect();
    for id in &ids {
        let Some(resident) = agent.residents.held.get_mut(id) else {
            continue;
        };
        let before = resident.standing.clone();
        if trusted {
            mend(agent, *id, !same, now);
        }
        launch_waiting(agent, *id, out, now);
        look(agent, *id, trusted, out, now);
        if let Some(resident) = agent.residents.held.get(id)
            && resident.standing != before
            && !planted!(FiredTwice)
        {
            let standing = resident.standing.clone();
            out.changes.push(Change::ScheduleMoved { schedule: *id, standing });
        }
    }
    plan(agent, trusted, now);
}

/// Plans when to look next.
fn plan(agent: &mut Agent, trusted: bool, now: Now) {
    let latest = now.mono + LOOK_MS_MAX;
    let at = |(id, resident): (&ScheduleId, &Resident)| {
        let busy = agent.residents.is_busy(*id);
        let at = match resident.next {
            _ if !busy && resident.waiting() > 0 => latest,
            _ if busy && resident.counts_from_end() => return None,
            Some(next) if trusted => {
                now.mono + later(next, resident.hold.offset_ms).since_ms(now.wall)
            }
            _ => resident.next_by_mono()?,
        };
        // Without room to report nothing can be done: an acknowledgement makes room.
        Some(if has_room(agent, *id) { at } else { latest })
    };
    let first = agent.residents.held.iter().filter_map(at).min();
    agent.residents.look_at = first.map(|at| at.clamp(now.mono + 1, latest));
}

/// The wall clock is believed: puts right what was dealt with under one that was wrong.
fn mend(agent: &mut Agent, id: ScheduleId, again: bool, now: Now) {
    let confirmed = agent.clock.confirmed(now).is_some();
    let stamp = agent.clock.stamp(now);
    let Some(resident) = agent.residents.held.get_mut(&id) else {
        return;
    };
    let through = resident.standing.through;
    if confirmed && through.since_ms(now.wall) > AHEAD_MS_MAX {
        // The future was dealt with by a clock that ran ahead. What waits of it comes again.
        resident.standing.queue.retain(|at| *at <= now.wall);
        resident.move_through(now.wall, stamp);
    } else if again && resident.counts_from_end() {
        // Its last run ended so long ago, whatever the time was said to be.
        let since = resident.standing.since;
        let ended = earlier(now.wall, now.mono.0.saturating_sub(since.mono_ms));
        if ended > through {
            resident.move_through(ended, since);
        }
    }
}

/// Deals with the moments of one schedule that have come.
fn look(agent: &mut Agent, id: ScheduleId, trusted: bool, out: &mut Outcome, now: Now) {
    let busy = agent.residents.is_busy(id);
    let Some(resident) = agent.residents.held.get(&id) else {
        return;
    };
    let Some(next) = resident.next else {
        return;
    };
    let offset_ms = resident.hold.offset_ms;
    if resident.counts_from_end() || !trusted {
        let by_wall = later(next, offset_ms) <= now.wall;
        let by_mono = resident.next_by_mono().is_some_and(|at| at <= now.mono);
        let has_come = if trusted { by_wall } else { by_mono };
        if has_come && !(busy && resident.counts_from_end()) && has_room(agent, id) {
            let since = step_by_mono(agent, id, trusted, now);
            deal_with(agent, id, next, since);
            fire(agent, id, next, out, now);
            count_anew(agent, id, next, now);
        }
        return;
    }
    if later(next, offset_ms) > now.wall {
        return;
    }
    let through = resident.standing.through;
    let mut rules = resident.rules();
    if planted!(MissedAllRun) {
        (rules.missed, rules.missed_max, rules.catch_up_s) = (MissedRule::All, 100, 86_400);
    }
    let Due { fire: moments, missed, .. } =
        due(&resident.timetable, &rules, offset_ms, through, now.wall);
    let hold = Arc::clone(&resident.hold);
    if let Some(missed) = missed {
        if !has_room(agent, id) {
            return;
        }
        if !planted!(MissedForgotten) {
            let of = Of { id, hold: &hold };
            not_fired(agent, of, missed, NotFiredBecause::Missed, out, now);
        }
        let since = since(agent, missed.last, offset_ms, now);
        deal_with(agent, id, missed.last, since);
    }
    for moment in moments {
        // What is not dealt with now comes again when there is room, by the rule for what was
        // missed.
        if !has_room(agent, id) {
            return;
        }
        let since = since(agent, moment, offset_ms, now);
        deal_with(agent, id, moment, since);
        fire(agent, id, moment, out, now);
    }
}

/// Whether the outbox can take what comes of one more moment: it is fired, started and finished,
/// and all that waits is told not to fire.
fn has_room(agent: &Agent, id: ScheduleId) -> bool {
    let waiting = agent.residents.held.get(&id).map_or(0, Resident::waiting);
    agent.has_room_for(ENTRIES + waiting)
}

/// The board's clock when a moment came that the wall clock says has come.
fn since(agent: &Agent, moment: Timestamp, offset_ms: u64, now: Now) -> Stamp {
    let stamp = agent.clock.stamp(now);
    let ago_ms = if stamp.trusted { now.wall.since_ms(later(moment, offset_ms)) } else { 0 };
    Stamp { mono_ms: stamp.mono_ms.saturating_sub(ago_ms), ..stamp }
}

/// The board's clock when the next moment of an interval came by that clock: without drift, unless
/// nobody looked for too long.
fn step_by_mono(agent: &Agent, id: ScheduleId, trusted: bool, now: Now) -> Stamp {
    let stamp = agent.clock.stamp(now);
    let resident = agent.residents.held.get(&id);
    let came = resident.and_then(Resident::next_by_mono).filter(|_| !trusted);
    match came.filter(|came| now.mono.since_ms(*came) <= ON_TIME_MS) {
        Some(came) => Stamp { mono_ms: came.0, ..stamp },
        None => stamp,
    }
}

/// One that counts from the end of its last run, and has not begun one, counts from now.
fn count_anew(agent: &mut Agent, id: ScheduleId, moment: Timestamp, now: Now) {
    let stamp = agent.clock.stamp(now);
    let busy = agent.residents.is_busy(id);
    let Some(resident) = agent.residents.held.get_mut(&id) else {
        return;
    };
    if resident.counts_from_end() && !busy {
        let through = if stamp.trusted { moment.max(now.wall) } else { moment };
        resident.move_through(through, stamp);
    }
}

fn deal_with(agent: &mut Agent, id: ScheduleId, through: Timestamp, since: Stamp) {
    if let Some(resident) = agent.residents.held.get_mut(&id) {
        resident.move_through(through, since);
    }
}

/// A schedule fires for a moment that is dealt with.
fn fire(agent: &mut Agent, id: ScheduleId, moment: Timestamp, out: &mut Outcome, now: Now) {
    let busy = agent.residents.is_busy(id);
    let Some(resident) = agent.residents.held.get_mut(&id) else {
        return;
    };
    let hold = Arc::clone(&resident.hold);
    let waiting = resident.standing.queue.len();
    let queue_max = hold.queue_max.min(QUEUE_MAX) as usize;
    let of = Of { id, hold: &hold };
    if hold.overlap == Overlap::Allow || (!busy && waiting == 0) {
        return launch(agent, of, moment, out, now);
    }
    match hold.overlap {
        Overlap::Allow => {}
        Overlap::Forbid => not_fired(agent, of, one(moment), NotFiredBecause::Overlap, out, now),
        Overlap::Queue if waiting >= queue_max => {
            not_fired(agent, of, one(moment), NotFiredBecause::QueueFull, out, now);
        }
        Overlap::Queue => resident.standing.queue.push(moment),
        Overlap::Replace => {
            let replaced = std::mem::replace(&mut resident.standing.queue, vec![moment]);
            for before in replaced {
                not_fired(agent, of, one(before), NotFiredBecause::Replaced, out, now);
            }
            let active: BTreeSet<AssignmentId> =
                agent.residents.active.get(&id).cloned().unwrap_or_default();
            for attempt in active {
                let cause = Cause::Requested { reason: StopReason::Canceled };
                agent.stop(attempt, cause, out, now);
            }
            launch_waiting(agent, id, out, now);
        }
    }
}

/// Launches what waits, as long as nothing is in its way.
fn launch_waiting(agent: &mut Agent, id: ScheduleId, out: &mut Outcome, now: Now) {
    while has_room(agent, id) {
        let busy = agent.residents.is_busy(id);
        let Some(resident) = agent.residents.held.get_mut(&id) else {
            return;
        };
        // What waited for the sake of a rule that holds no more goes before what comes.
        let waits = busy && resident.hold.overlap != Overlap::Allow;
        if waits || resident.standing.queue.is_empty() {
            return;
        }
        let moment = resident.standing.queue.remove(0);
        let hold = Arc::clone(&resident.hold);
        launch(agent, Of { id, hold: &hold }, moment, out, now);
    }
}

/// Makes the attempt of a moment, and reports it.
fn launch(agent: &mut Agent, of: Of<'_>, moment: Timestamp, out: &mut Outcome, now: Now) {
    let task = TaskId::of_firing(of.id, moment, agent.incarnation);
    let assignment = AssignmentId { task, attempt: Attempt(1) };
    // One that was taken away and given again may have had this moment.
    if agent.knows(assignment) && !planted!(FiredTwice) {
        return;
    }
    let context = FiringContext { schedule: of.hold.name.clone(), at: moment, payload: None };
    let order = Order { firing: Some(context), ..Order::clone(&of.hold.order) };
    if admission::check(agent, &order).is_err() {
        return not_fired(agent, of, one(moment), NotFiredBecause::NoRoom, out, now);
    }
    agent.take_on(assignment, &Arc::new(order), Some(of.id), out, now);
    let (schedule, version) = (of.id, of.hold.version + u32::from(planted!(VersionMistold)));
    agent.report(assignment, ReportEvent::Fired { schedule, version, moment }, out, now);
    if let Some(resident) = agent.residents.held.get_mut(&of.id) {
        resident.standing.fired = Some(moment);
    }
    out.note(Notice::ScheduleFired { name: of.hold.name.clone(), moment, assignment });
}

/// One moment alone.
fn one(moment: Timestamp) -> Missed {
    Missed { first: moment, last: moment, count: 1 }
}

/// Which schedule, and what the core wants of it.
#[derive(Clone, Copy)]
struct Of<'a> {
    id: ScheduleId,
    hold: &'a ResidentSchedule,
}

/// Reports moments that made no attempt.
fn not_fired(
    agent: &mut Agent,
    of: Of<'_>,
    missed: Missed,
    because: NotFiredBecause,
    out: &mut Outcome,
    now: Now,
) {
    let Missed { first: moment, last: upto, count } = missed;
    let task = TaskId::of_firing(of.id, moment, agent.incarnation);
    let (schedule, version) = (of.id, of.hold.version);
    let event = ReportEvent::NotFired { schedule, version, moment, upto, count, because };
    agent.report(AssignmentId { task, attempt: Attempt(1) }, event, out, now);
    let name = of.hold.name.clone();
    out.note(Notice::ScheduleNotFired { name, moment, count, because });
}

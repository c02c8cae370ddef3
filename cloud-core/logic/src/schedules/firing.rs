//! The bookkeeping of firings: what becomes of a moment of a schedule is decided here and nowhere
//! else.
//!
//! The invariant: a moment's task, its firing's row and the schedule's `through` change in one step,
//! and so in one transaction. What lies at or before `through` is never looked at again. A core that
//! dies before that commit finds the moment not dealt with, one that dies after finds the task.

use std::sync::Arc;

use shared::id::{AgentId, ScheduleId, ScheduleName, TaskId};
use shared::schedule::{Due, Missed, Overlap, Timetable, due};
use shared::spec::TaskSpec;
use shared::time::{Monotonic, Timestamp};
use uuid::Uuid;

use super::{ResidentRow, Schedule, Slot};
use crate::change::Change;
use crate::cloud::Cloud;
use crate::firing::{FiringResult, FiringRow, Origin, ScheduleRow, SkippedBecause};
use crate::flow::{Context, Event};
use crate::happening::Happening;
use crate::planted::planted;

/// What comes with a firing.
type Payload = Option<Arc<str>>;

fn origin_of(schedule: &Schedule, at: Timestamp, payload: Payload) -> Origin {
    Origin {
        schedule: schedule.id,
        name: schedule.name.clone(),
        version: schedule.version,
        at,
        payload,
    }
}

/// A moment and some milliseconds.
fn plus(at: Timestamp, milliseconds: u64) -> Timestamp {
    at.plus_ms(i64::try_from(milliseconds).unwrap_or(i64::MAX))
}

impl Cloud {
    /// Deals with every moment of a schedule that has come by now.
    pub(crate) fn settle_moments(&mut self, slot: Slot, context: &mut Context) {
        let now = context.now.wall;
        let by_core =
            |schedule: &&Schedule| !schedule.paused && schedule.template.resident.is_none();
        let Some(schedule) = self.schedules.get(slot).filter(by_core) else {
            return;
        };
        let (id, offset_ms) = (schedule.id, u64::from(schedule.offset_ms));
        if schedule.timetable.after_end_ms().is_some() {
            // Its moments are set when a task ends; one of them has come.
            if let Some(at) = self.schedules.due_of(slot).filter(|at| *at <= now) {
                // A clock that was set back brings no moment a second time.
                let at = at.max(schedule.through.plus_ms(1));
                self.schedules.set_due(slot, None);
                self.deal_with_moments_to(slot, at, context);
                self.fire(slot, at, None, context);
            }
            return;
        }
        let (timetable, rules) = (Arc::clone(&schedule.timetable), schedule.template.rules());
        let Due { fire: moments, missed, through, next } =
            due(&timetable, &rules, offset_ms, schedule.through, now);
        let (before, version) = (schedule.through, schedule.version);
        if through != before {
            self.deal_with_moments_to(slot, through, context);
        }
        let due_at = next.map(|next| plus(next, offset_ms));
        self.schedules.set_due(slot, due_at);
        if let Some(Missed { first, last, count }) = missed {
            let result = FiringResult::Missed { upto: last, count };
            context.change(Change::FiringPut(Box::new(FiringRow {
                schedule: id,
                at: first,
                agent: None,
                version,
                recorded_at: now,
                result,
            })));
            self.tell_of_schedule(slot, Happening::missed, context);
        }
        for at in moments {
            self.fire(slot, at, None, context);
        }
    }

    /// Every moment of a schedule up to one was dealt with, and up to its last firing by hand if none
    /// lies between. What was dealt with stays so, whatever the clock shows.
    pub(crate) fn deal_with_moments_to(
        &mut self,
        slot: Slot,
        through: Timestamp,
        context: &mut Context,
    ) {
        if let Some(schedule) = self.schedules.get_mut(slot) {
            let mut through = through.max(schedule.through);
            let last = schedule.last_event;
            if last > through && schedule.timetable.next(through).is_none_or(|next| next > last) {
                through = last;
            }
            schedule.through = through;
            if !planted!(FiringForgotten) {
                context.change(Change::ScheduleMoved { schedule: schedule.id, through });
            }
        }
    }

    /// A schedule fires for a moment that is its own and is not dealt with again. Says which task came
    /// of it.
    pub(crate) fn fire(
        &mut self,
        slot: Slot,
        at: Timestamp,
        payload: Payload,
        context: &mut Context,
    ) -> Option<TaskId> {
        let schedule = self.schedules.get(slot)?;
        let (overlap, queue_max) =
            (schedule.template.overlap, schedule.template.queue_max as usize);
        let active = self.schedules.active.get(&slot);
        let busy = active.is_some_and(|active| !active.is_idle());
        if !busy || overlap == Overlap::Allow {
            return self.launch(slot, at, payload, context);
        }
        let waiting = active.map_or(0, |active| active.queued.len());
        match overlap {
            Overlap::Allow => {}
            Overlap::Forbid => {
                let detail = "the task of an earlier firing was not over".to_owned();
                self.skip(slot, at, SkippedBecause::Overlap, detail, context);
            }
            Overlap::Queue if waiting >= queue_max => {
                let detail = format!("{waiting} firings waited already");
                self.skip(slot, at, SkippedBecause::QueueFull, detail, context);
            }
            Overlap::Queue => self.let_wait(slot, at, payload, context),
            Overlap::Replace => {
                if planted!(SuccessorTooEarly) {
                    return self.launch(slot, at, payload, context);
                }
                self.withdraw_queued(slot, SkippedBecause::Replaced, context);
                self.let_wait(slot, at, payload, context);
                let tasks = self.schedules.active.get(&slot).map(|active| active.tasks.clone());
                for task in tasks.into_iter().flatten() {
                    context.then(Event::CallOff { task });
                }
            }
        }
        None
    }

    /// A firing waits until the tasks of earlier ones are over.
    fn let_wait(&mut self, slot: Slot, at: Timestamp, payload: Payload, context: &mut Context) {
        let result = FiringResult::Queued { payload: payload.clone() };
        self.record_firing(slot, at, result, context);
        self.schedules.active.entry(slot).or_default().queued.push_back((at, payload));
    }

    /// Lets go of the firings of a schedule that wait.
    pub(crate) fn withdraw_queued(
        &mut self,
        slot: Slot,
        because: SkippedBecause,
        context: &mut Context,
    ) {
        let Some(active) = self.schedules.active.get_mut(&slot) else {
            return;
        };
        let queued = std::mem::take(&mut active.queued);
        if active.is_idle() {
            self.schedules.active.remove(&slot);
        }
        let detail = match because {
            SkippedBecause::Replaced => "a later firing took its place while it waited",
            _ => "the schedule was paused or deleted while it waited",
        };
        for (at, _) in queued {
            self.skip(slot, at, because, detail.to_owned(), context);
        }
    }

    /// A schedule that counts from the end of its last task counts from now, if that is over. One
    /// that agents fire is counted by them, and never due here.
    pub(crate) fn count_from_end(&mut self, slot: Slot, context: &mut Context) {
        let busy = self.schedules.active.contains_key(&slot);
        let counts = |schedule: &&Schedule| {
            !busy && !schedule.paused && schedule.template.resident.is_none()
        };
        let Some(schedule) = self.schedules.get(slot).filter(counts) else {
            return;
        };
        let now = context.now.wall;
        if let Some(wait_ms) = schedule.timetable.after_end_ms() {
            let due_at = schedule.timetable.within(plus(now, wait_ms));
            self.deal_with_moments_to(slot, now, context);
            self.schedules.set_due(slot, due_at);
        }
    }

    /// Makes the task of a firing.
    pub(crate) fn launch(
        &mut self,
        slot: Slot,
        at: Timestamp,
        payload: Payload,
        context: &mut Context,
    ) -> Option<TaskId> {
        let schedule = self.schedules.get(slot)?;
        let spec = Arc::clone(&schedule.template.task);
        let origin = origin_of(schedule, at, payload);
        let id = self.next_task_id(context);
        match self.take_on_fired(id, spec, origin, context) {
            Ok(()) => {
                self.schedules.active.entry(slot).or_default().tasks.insert(id);
                self.record_firing(slot, at, FiringResult::Fired { task: id }, context);
                self.tell_of_schedule(slot, |name| Happening::fired(name, id), context);
                Some(id)
            }
            Err(detail) => {
                self.skip(slot, at, SkippedBecause::Refused, detail, context);
                self.count_from_end(slot, context);
                None
            }
        }
    }

    pub(crate) fn skip(
        &mut self,
        slot: Slot,
        at: Timestamp,
        because: SkippedBecause,
        detail: String,
        context: &mut Context,
    ) {
        self.record_firing(slot, at, FiringResult::Skipped { because, detail }, context);
        self.tell_of_schedule(slot, Happening::skipped, context);
    }

    /// Writes down what became of a moment.
    fn record_firing(
        &mut self,
        slot: Slot,
        at: Timestamp,
        result: FiringResult,
        context: &mut Context,
    ) {
        let Some(schedule) = self.schedules.get(slot) else {
            return;
        };
        context.change(Change::FiringPut(Box::new(FiringRow {
            schedule: schedule.id,
            at,
            agent: None,
            version: schedule.version,
            recorded_at: context.now.wall,
            result,
        })));
    }

    /// When the next schedule that has missed something may catch up.
    pub(crate) fn turn_to_catch_up(&mut self, now: Timestamp) -> Timestamp {
        let every_us =
            1_000_000 / i64::try_from(self.settings.catch_up_per_second.max(1)).unwrap_or(1);
        let now_us = now.0.saturating_mul(1_000);
        // Given away for longer than there are schedules: the clock was set back meanwhile.
        let most_us = every_us.saturating_mul(i64::try_from(self.schedules.len()).unwrap_or(0));
        let from_us = self.schedules.turns_us.clamp(now_us, now_us.saturating_add(most_us));
        self.schedules.turns_us = from_us.saturating_add(every_us);
        Timestamp(from_us / 1_000)
    }

    /// The clock was set back: turns that were given by what it showed before may be years away, and
    /// whether anything was missed is another question now.
    pub(crate) fn take_turns_back(&mut self) {
        for slot in self.schedules.slots() {
            if let Some(schedule) = self.schedules.get_mut(slot)
                && std::mem::take(&mut schedule.in_turn)
            {
                self.set_first_due(slot);
            }
        }
    }

    /// What a fault that is planted does: moments are to come again that came before.
    pub(crate) fn go_back_with_clock(&mut self, now: Timestamp) {
        for slot in self.schedules.slots() {
            if let Some(schedule) = self.schedules.get_mut(slot) {
                schedule.through = schedule.through.min(now);
                self.set_first_due(slot);
            }
        }
    }

    /// A fresh id for a task: a UUIDv7 as those of submitted tasks are, but for the first bit of its
    /// count, which is set: so the two kinds are never in each other's way, and neither needs to
    /// know of the other (RFC 9562, section 6.2, method 1).
    pub(crate) fn next_task_id(&mut self, context: &mut Context) -> TaskId {
        let reading = u64::try_from(context.now.wall.0).unwrap_or(0) << 11;
        let stamp = reading.max(self.schedules.last_task.saturating_add(1));
        self.schedules.last_task = stamp;
        let count = 0x800 | (stamp & 0x7ff);
        let front = (stamp >> 11) << 16 | 0x7000 | count;
        let back = context.chance() >> 2 | 1 << 63;
        TaskId(Uuid::from_u64_pair(front, back))
    }

    /// When a schedule is first due, from what was dealt with.
    pub(crate) fn set_first_due(&mut self, slot: Slot) {
        let busy = self.schedules.active.contains_key(&slot);
        let Some(schedule) = self.schedules.get(slot) else {
            return;
        };
        let (timetable, through) = (&schedule.timetable, schedule.through);
        let next = match timetable.after_end_ms() {
            _ if schedule.paused || schedule.template.resident.is_some() => None,
            Some(_) if busy => None,
            Some(wait_ms) => timetable.within(plus(through, wait_ms)),
            None => timetable.next(through),
        };
        let due_at = next.map(|next| plus(next, u64::from(schedule.offset_ms)));
        self.schedules.set_due(slot, due_at);
    }

    /// A moment that is this one, and that the schedule has not had.
    pub(crate) fn moment_of_now(&mut self, slot: Slot, context: &mut Context) -> Timestamp {
        let now = context.now.wall;
        let Some(schedule) = self.schedules.get(slot) else {
            return now;
        };
        let timetable = Arc::clone(&schedule.timetable);
        let due = self.schedules.due_of(slot);
        // What is dealt with may be ahead of a clock that was set back.
        let mut at = match schedule.last_event.max(schedule.through) {
            last if last >= now => last.plus_ms(1),
            _ => now,
        };
        // A moment of its own will come by itself.
        while timetable.next(at.plus_ms(-1)) == Some(at) || due == Some(at) {
            at = at.plus_ms(1);
        }
        // By the clock, nothing that is still to come is dealt with; by events, everything up to here
        // is. What lies ahead of a clock that was set back is to be known after a restart, too.
        let bare = timetable.next(schedule.through).is_none_or(|next| next > at);
        if let Some(schedule) = self.schedules.get_mut(slot) {
            schedule.last_event = at;
        }
        if !timetable.is_timed() || (at > now && bare) {
            self.deal_with_moments_to(slot, at, context);
        }
        at
    }

    /// Tells those who follow events of a schedule.
    pub(crate) fn tell_of_schedule(
        &self,
        slot: Slot,
        what: impl FnOnce(&ScheduleName) -> Happening,
        context: &mut Context,
    ) {
        if let Some(schedule) = self.schedules.get(slot) {
            context.tell(what(&schedule.name));
        }
    }

    /// Takes up what agents were told of resident schedules.
    pub(crate) fn restore_residents(
        &mut self,
        versions: Vec<(ScheduleId, u32, Arc<TaskSpec>)>,
        rows: Vec<(AgentId, ResidentRow)>,
    ) {
        for (schedule, version, task) in versions {
            if let Some(slot) = self.schedules.of_id(schedule) {
                self.residents.put_version(slot, version, task);
            }
        }
        for (agent, row) in rows {
            let slot = self.schedules.of_id(row.schedule);
            if let Some(resident) = slot.and_then(|slot| self.residents.get_mut(slot))
                && row.held
            {
                resident.holders.insert(agent.clone());
            }
            if let Some(channel) = self.channels.get_mut(&agent) {
                channel.put_resident(row);
            }
        }
    }

    /// Puts a schedule where it belongs, by who fires it.
    pub(crate) fn put_schedule(&mut self, row: &ScheduleRow, timetable: Timetable) -> Slot {
        let zone = timetable.zone().cloned();
        let slot = self.schedules.put(row, timetable);
        match row.spec.resident {
            Some(_) => self.residents.put(slot, row, zone),
            None => self.residents.retire(slot),
        }
        slot
    }

    /// Takes up the schedules that the store holds.
    pub(crate) fn restore_schedules(&mut self, rows: Vec<ScheduleRow>, queued: Vec<FiringRow>) {
        for mut row in rows {
            // What was once taken fires, unless nobody knows its zone any more: then it rests.
            let timetable = self.schedules.timetable(&row.spec, row.created_at);
            row.paused |= timetable.is_err();
            self.put_schedule(&row, timetable.unwrap_or_default());
        }
        let made = self
            .tasks
            .iter()
            .filter_map(|(id, task)| Some((*id, task.row.origin.as_ref()?.schedule)));
        for (task, schedule) in made.collect::<Vec<_>>() {
            if let Some(slot) = self.schedules.of_id(schedule) {
                self.schedules.active.entry(slot).or_default().tasks.insert(task);
            }
        }
        for row in queued {
            let FiringResult::Queued { payload } = row.result else { continue };
            if let Some(slot) = self.schedules.of_id(row.schedule) {
                let active = self.schedules.active.entry(slot).or_default();
                active.queued.push_back((row.at, payload));
            }
        }
        for slot in self.schedules.slots() {
            self.set_first_due(slot);
        }
        self.schedules.look_at = self.schedules.first_due().map(|_| Monotonic(0));
    }
}

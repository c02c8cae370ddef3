//! The schedules in memory: what it takes to know which is due, and no more. A million of them are
//! mostly alike: what each makes, and when, is kept once for all that say the same. What was asked
//! for word by word is in the store.
//!
//! The invariant: a schedule stands in `due` exactly once if a moment of it is to come and it is not
//! paused, at that moment and its jitter, or later while it waits for its turn to catch up.

mod firing;
mod listeners;
mod pool;
mod reach;
mod residents;
mod told;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use serde::Serialize;
use shared::id::{ScheduleId, ScheduleName, TaskId};
use shared::schedule::{
    EventTrigger, MissedRule, Overlap, Resident, Rules, ScheduleSpec, Timetable, TimetableError,
    TopicFilter, Trigger, Window, Zones, jitter_ms,
};
use shared::spec::TaskSpec;
use shared::time::{Monotonic, Timestamp, mix};

use crate::firing::ScheduleRow;
use crate::lookup::{Lookup, hash};
use listeners::Listeners;
use pool::Pool;
pub(crate) use residents::Residents;
pub use residents::{ResidentRow, VERSIONS_MAX};

/// A schedule's place here.
pub(crate) type Slot = u32;

/// No moment is to come.
const NEVER: Timestamp = Timestamp(i64::MAX);

/// What schedules have in common that make the same, by the same rules.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Template {
    /// What each firing makes.
    pub(crate) task: Arc<TaskSpec>,
    missed: MissedRule,
    missed_max: u32,
    catch_up_s: u64,
    /// What happens when an earlier task is not over.
    pub(crate) overlap: Overlap,
    /// The most firings that wait.
    pub(crate) queue_max: u32,
    /// Which agents fire it; `None` is the core.
    pub(crate) resident: Option<Resident>,
    /// Which event fires it; `None` is the clock.
    pub(crate) event: Option<EventTrigger>,
}

impl Template {
    fn of(spec: &ScheduleSpec) -> Self {
        let event = match &spec.trigger {
            Trigger::Event { event } => Some(event.clone()),
            _ => None,
        };
        Self {
            task: Arc::clone(&spec.task),
            missed: spec.missed,
            missed_max: spec.missed_max,
            catch_up_s: spec.catch_up_s,
            overlap: spec.overlap,
            queue_max: spec.queue_max,
            resident: spec.resident,
            event,
        }
    }

    /// What is done about moments that have come.
    pub(crate) fn rules(&self) -> Rules {
        Rules { missed: self.missed, missed_max: self.missed_max, catch_up_s: self.catch_up_s }
    }
}

/// A schedule.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) id: ScheduleId,
    pub(crate) name: ScheduleName,
    pub(crate) template: Arc<Template>,
    pub(crate) timetable: Arc<Timetable>,
    /// Every moment up to here was dealt with.
    pub(crate) through: Timestamp,
    /// Where it stands in `due`.
    due: Timestamp,
    pub(crate) version: u32,
    /// By how much later than its moments it fires, in milliseconds.
    pub(crate) offset_ms: u32,
    pub(crate) paused: bool,
    /// The last moment of it that no timetable gave: an event's, or that of a firing by hand.
    pub(crate) last_event: Timestamp,
    /// Whether its turn to catch up has been given to it.
    pub(crate) in_turn: bool,
}

/// What of a schedule is under way. Most have nothing.
#[derive(Debug, Default)]
pub(crate) struct Active {
    /// Tasks it made that are not settled.
    pub(crate) tasks: BTreeSet<TaskId>,
    /// Firings that wait for those, each with what came with its event.
    pub(crate) queued: VecDeque<(Timestamp, Option<Arc<str>>)>,
}

impl Active {
    pub(crate) fn is_idle(&self) -> bool {
        self.tasks.is_empty() && self.queued.is_empty()
    }
}

/// All schedules.
#[derive(Debug)]
pub(crate) struct Schedules {
    zones: Arc<dyn Zones>,
    slots: Vec<Option<Schedule>>,
    free: Vec<Slot>,
    by_name: Lookup,
    by_id: Lookup,
    due: BTreeSet<(Timestamp, Slot)>,
    /// Those that an event fires.
    pub(crate) listeners: Listeners,
    pub(crate) active: BTreeMap<Slot, Active>,
    templates: Pool<Template>,
    timetables: Pool<Timetable>,
    /// When to look again which is due, at the latest.
    pub(crate) look_at: Option<Monotonic>,
    /// What the wall clock showed when it was last looked.
    pub(crate) looked: Timestamp,
    /// Up to when the turns to catch up are given away, in microseconds of the wall clock.
    pub(crate) turns_us: i64,
    /// The last id that was made for a task here: its time and its count within that.
    pub(crate) last_task: u64,
}

impl Schedules {
    pub(crate) fn new(zones: Arc<dyn Zones>) -> Self {
        Self {
            zones,
            slots: Vec::new(),
            free: Vec::new(),
            by_name: Lookup::default(),
            by_id: Lookup::default(),
            due: BTreeSet::new(),
            listeners: Listeners::default(),
            active: BTreeMap::new(),
            templates: Pool::default(),
            timetables: Pool::default(),
            look_at: None,
            looked: Timestamp(0),
            turns_us: 0,
            last_task: 0,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub(crate) fn get(&self, slot: Slot) -> Option<&Schedule> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: Slot) -> Option<&mut Schedule> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn named(&self, name: &ScheduleName) -> Option<Slot> {
        let is = |slot| self.get(slot).is_some_and(|schedule| schedule.name == *name);
        self.by_name.find(hash(name.as_str()), is)
    }

    pub(crate) fn of_id(&self, id: ScheduleId) -> Option<Slot> {
        let is = |slot| self.get(slot).is_some_and(|schedule| schedule.id == id);
        self.by_id.find(hash_of_id(id), is)
    }

    /// Every schedule, in the order of their places.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        let places = (0..).zip(&self.slots);
        places.filter(|(_, schedule)| schedule.is_some()).map(|(slot, _)| slot).collect()
    }

    /// When a schedule of this spec fires.
    ///
    /// # Errors
    /// When it never does, or names what nobody knows.
    pub(crate) fn timetable(
        &self,
        spec: &ScheduleSpec,
        created_at: Timestamp,
    ) -> Result<Timetable, TimetableError> {
        let window = Window {
            starts_at: spec.starts_at,
            ends_at: spec.ends_at,
            exclude_days: spec.exclude_days.clone(),
        };
        Timetable::new(&spec.trigger, &window, created_at, &*self.zones)
    }

    /// Adds a schedule, or puts it in the place of its earlier version.
    pub(crate) fn put(&mut self, row: &ScheduleRow, timetable: Timetable) -> Slot {
        let slot = match self.of_id(row.id) {
            Some(slot) => slot,
            None => self.free.pop().unwrap_or_else(|| {
                self.slots.push(None);
                Slot::try_from(self.slots.len() - 1).unwrap_or(Slot::MAX)
            }),
        };
        self.undue(slot);
        self.deafen(slot);
        let spec = &row.spec;
        let template = self.templates.share(Template::of(spec));
        // Those that are counted from when they were made are hardly ever alike.
        let timetable = match spec.trigger {
            Trigger::Cron(_) => {
                let window = (spec.starts_at, spec.ends_at, &spec.exclude_days);
                self.timetables.share_as(&(&spec.trigger, window), timetable)
            }
            _ => Arc::new(timetable),
        };
        if let Some(event) = &template.event {
            self.listeners.add(slot, event);
        }
        let offset_ms = jitter_ms(row.id, None, spec.jitter_s);
        let schedule = Schedule {
            id: row.id,
            name: spec.name.clone(),
            template,
            timetable,
            through: row.through,
            due: NEVER,
            version: row.version,
            offset_ms: u32::try_from(offset_ms).unwrap_or(u32::MAX),
            paused: row.paused,
            last_event: row.through,
            in_turn: false,
        };
        self.lose(slot);
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(schedule);
        }
        self.by_name.insert(hash(spec.name.as_str()), slot, hashes_of_names(&self.slots));
        self.by_id.insert(hash_of_id(row.id), slot, hashes_of_ids(&self.slots));
        slot
    }

    /// Lets a schedule go, with all that waits of it.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Schedule> {
        self.undue(slot);
        self.deafen(slot);
        self.lose(slot);
        let schedule = self.slots.get_mut(slot as usize)?.take()?;
        self.active.remove(&slot);
        self.free.push(slot);
        Some(schedule)
    }

    /// Lets a schedule stand in `due` at a moment, or not at all.
    pub(crate) fn set_due(&mut self, slot: Slot, at: Option<Timestamp>) {
        self.undue(slot);
        let (Some(schedule), Some(at)) = (self.get_mut(slot), at) else {
            return;
        };
        schedule.due = at;
        self.due.insert((at, slot));
    }

    /// Which topics are to be listened to, if that may have changed since this was last asked.
    pub(crate) fn take_topics(&mut self) -> Option<BTreeSet<TopicFilter>> {
        let slots = &self.slots;
        let rests = |slot: Slot| {
            let schedule = slots.get(slot as usize).and_then(Option::as_ref);
            schedule.is_none_or(|schedule| schedule.paused)
        };
        self.listeners.take_topics(rests)
    }

    /// Lets nobody find a schedule, if there is one at this place.
    fn lose(&mut self, slot: Slot) {
        let Some(Some(schedule)) = self.slots.get(slot as usize) else {
            return;
        };
        let name = hash(schedule.name.as_str());
        self.by_name.remove(name, slot, hashes_of_names(&self.slots));
        self.by_id.remove(hash_of_id(schedule.id), slot, hashes_of_ids(&self.slots));
    }

    /// Lets no event fire a schedule.
    fn deafen(&mut self, slot: Slot) {
        let template = self.get(slot).map(|schedule| Arc::clone(&schedule.template));
        if let Some(event) = template.as_ref().and_then(|template| template.event.as_ref()) {
            self.listeners.remove(slot, event);
        }
    }

    fn undue(&mut self, slot: Slot) {
        if let Some(schedule) = self.get_mut(slot)
            && schedule.due != NEVER
        {
            let due = std::mem::replace(&mut schedule.due, NEVER);
            self.due.remove(&(due, slot));
        }
    }

    /// The moment at which the first is due.
    pub(crate) fn first_due(&self) -> Option<(Timestamp, Slot)> {
        self.due.first().copied()
    }

    /// Whether a schedule stands in `due`, and where.
    pub(crate) fn due_of(&self, slot: Slot) -> Option<Timestamp> {
        let due = self.get(slot)?.due;
        (due != NEVER && self.due.contains(&(due, slot))).then_some(due)
    }

    /// How many stand in `due`.
    pub(crate) fn due_count(&self) -> usize {
        self.due.len()
    }
}

fn hash_of_id(id: ScheduleId) -> u64 {
    let (front, back) = id.0.as_u64_pair();
    mix(front, back)
}

/// What a schedule's name is found by. A lookup asks for none that is not there.
fn hashes_of_names(slots: &[Option<Schedule>]) -> impl Fn(Slot) -> u64 {
    |slot| slots[slot as usize].as_ref().map_or(0, |schedule| hash(schedule.name.as_str()))
}

/// The same of its id.
fn hashes_of_ids(slots: &[Option<Schedule>]) -> impl Fn(Slot) -> u64 {
    |slot| slots[slot as usize].as_ref().map_or(0, |schedule| hash_of_id(schedule.id))
}

#[cfg(test)]
mod tests;

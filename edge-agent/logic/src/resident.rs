//! The schedules that this agent holds and fires by its own clock, core or no core. A schedule's
//! [`Standing`] moves in the step that makes an attempt of a moment and reports it: so each moment
//! fires once, whenever the power fails.
//!
//! The invariant: what one database fires of a schedule goes forward in time, also where the core takes
//! it away and gives it again from a time before. Only a clock that the core has put back far lets it go
//! back.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use shared::id::{AssignmentId, ScheduleId};
use shared::schedule::{
    CronTrigger, Dst, Rules, Timetable, TimetableError, Trigger, Window, Zone, Zones,
};
use shared::time::{Monotonic, Now, Stamp, Timestamp};
use shared::wire::downlink::ResidentSchedule;

use crate::planted::planted;

/// Of how many schedules that are held no more it is known how far they had come.
pub const DROPPED_MAX: usize = 1_000;

/// A resident schedule, as stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResidentRow {
    /// Which.
    pub schedule: ScheduleId,
    /// What the core wants of it.
    pub hold: Arc<ResidentSchedule>,
    /// How far it has come here.
    pub standing: Standing,
}

/// How far a schedule has come on this agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Every moment up to here is dealt with. For one that counts from the end of its last run:
    /// when that was.
    pub through: Timestamp,
    /// The board's clock when `through` came: what intervals are counted from while the wall clock
    /// is not believed.
    pub since: Stamp,
    /// The moments that wait for an earlier firing to be over, oldest first.
    #[serde(default)]
    pub queue: Vec<Timestamp>,
    /// The last moment that made an attempt.
    #[serde(default)]
    pub fired: Option<Timestamp>,
}

/// What is known of clocks: the one zone that the core sent, and UTC.
#[derive(Debug)]
struct ThisZone<'a>(Option<&'a Zone>);

impl Zones for ThisZone<'_> {
    fn zone(&self, name: &str) -> Option<Zone> {
        match self.0.filter(|zone| zone.name() == name) {
            None if name == "UTC" => Some(Zone::utc()),
            zone => zone.cloned(),
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|zone| zone.name().to_owned()).collect()
    }
}

/// Why a schedule cannot be held.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Its trigger says nothing that this agent understands.
    #[error(transparent)]
    Timetable(#[from] TimetableError),
    /// Only a core hears of events.
    #[error("it is fired by events, of which only the core hears")]
    Event,
}

/// When a resident schedule fires, for whoever wants to know.
///
/// # Errors
/// It cannot be told.
pub fn timetable(hold: &ResidentSchedule) -> Result<Timetable, Unusable> {
    if matches!(hold.trigger, Trigger::Event { .. }) {
        return Err(Unusable::Event);
    }
    let window = Window {
        starts_at: hold.starts_at,
        ends_at: hold.ends_at,
        exclude_days: hold.exclude_days.clone(),
    };
    let zones = ThisZone(hold.zone.as_ref());
    let mut trigger = Cow::Borrowed(&hold.trigger);
    if let (Trigger::Cron(cron), true) = (&hold.trigger, planted!(FoldTwice)) {
        trigger = Cow::Owned(Trigger::Cron(CronTrigger { dst: Some(Dst::Twice), ..cron.clone() }));
    }
    Ok(Timetable::new(&trigger, &window, hold.created_at, &zones)?)
}

/// The first moment that is not dealt with, if one comes.
#[must_use]
pub fn next_moment(timetable: &Timetable, through: Timestamp) -> Option<Timestamp> {
    match timetable.after_end_ms() {
        Some(wait_ms) => timetable.within(later(through, wait_ms)),
        None => timetable.next(through),
    }
}

/// A schedule that is held.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Resident {
    pub hold: Arc<ResidentSchedule>,
    pub standing: Standing,
    pub timetable: Timetable,
    /// The first moment that is not dealt with.
    pub next: Option<Timestamp>,
}

impl Resident {
    /// One that begins, or goes on, at a standing.
    pub fn new(hold: Arc<ResidentSchedule>, standing: Standing) -> Result<Self, Unusable> {
        let timetable = timetable(&hold)?;
        let next = next_moment(&timetable, standing.through);
        Ok(Self { hold, standing, timetable, next })
    }

    /// Every moment up to one is dealt with, and it came when the board's clock stood so.
    pub fn move_through(&mut self, through: Timestamp, since: Stamp) {
        self.standing.through = through;
        self.standing.since = since;
        self.next = next_moment(&self.timetable, through);
    }

    /// Up to when everything of it is dealt with, and nothing fires again.
    pub fn come(&self) -> Timestamp {
        self.standing.through.max(self.standing.fired.unwrap_or(self.standing.through))
    }

    /// How many moments wait.
    pub fn waiting(&self) -> usize {
        self.standing.queue.len()
    }

    /// Whether it counts from the end of its last run.
    pub fn counts_from_end(&self) -> bool {
        self.timetable.after_end_ms().is_some()
    }

    /// Whether it can go on without a wall clock.
    pub fn is_interval(&self) -> bool {
        matches!(self.hold.trigger, Trigger::Interval(_))
    }

    /// When its next moment comes by the monotonic clock alone: as long after the last as it is
    /// later.
    pub fn next_by_mono(&self) -> Option<Monotonic> {
        let next = self.next.filter(|_| self.is_interval())?;
        Some(Monotonic(self.standing.since.mono_ms) + next.since_ms(self.standing.through))
    }

    pub fn rules(&self) -> Rules {
        let ResidentSchedule { missed, missed_max, catch_up_s, .. } = *self.hold;
        Rules { missed, missed_max, catch_up_s }
    }
}

/// The schedules that are held.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Residents {
    pub held: BTreeMap<ScheduleId, Resident>,
    /// Those that were held, and up to when everything of each is dealt with: the core may give one
    /// again before it has heard of that.
    pub dropped: BTreeMap<ScheduleId, Timestamp>,
    /// The attempts that each schedule made here and that are not over.
    pub active: BTreeMap<ScheduleId, BTreeSet<AssignmentId>>,
    /// When they are looked at next; `None` is not before something happens.
    pub look_at: Option<Monotonic>,
    /// Whether the wall clock was believed when they were last looked at.
    pub trusted: bool,
}

impl Residents {
    /// As they are stored. One that is not understood any more waits for the core to change it.
    pub fn restore(
        rows: Vec<ResidentRow>,
        dropped: Vec<(ScheduleId, Timestamp)>,
        board: u32,
        now: Now,
    ) -> Self {
        let mut residents = Self { look_at: Some(now.mono), trusted: true, ..Self::default() };
        residents.dropped.extend(dropped);
        for ResidentRow { schedule, hold, mut standing } in rows {
            // What passed before this start of the board nobody measured.
            if standing.since.board != board || standing.since.mono_ms > now.mono.0 {
                standing.since = Stamp { board, mono_ms: now.mono.0, trusted: false };
            }
            if planted!(QueueForgotten) {
                standing.queue.clear();
            }
            if let Ok(resident) = Resident::new(hold, standing) {
                residents.held.insert(schedule, resident);
            }
        }
        residents
    }

    /// One is held no more. Answers which of those that were held is forgotten for its sake: the one
    /// that stopped first.
    pub fn drop_held(&mut self, schedule: ScheduleId) -> Option<(Resident, Option<ScheduleId>)> {
        let resident = self.held.remove(&schedule)?;
        self.dropped.insert(schedule, resident.come());
        let first = self.dropped.iter().min_by_key(|(_, through)| **through).map(|(id, _)| *id);
        let forgotten = first.filter(|_| self.dropped.len() > DROPPED_MAX);
        if let Some(schedule) = forgotten {
            self.dropped.remove(&schedule);
        }
        Some((resident, forgotten))
    }

    /// Whether they are to be looked at now.
    pub fn is_due(&self, now: Monotonic) -> bool {
        !self.held.is_empty() && self.look_at.is_some_and(|at| at <= now)
    }

    /// Whether an attempt that a schedule made is not over.
    pub fn is_busy(&self, schedule: ScheduleId) -> bool {
        self.active.contains_key(&schedule)
    }

    /// A schedule made an attempt.
    pub fn began(&mut self, schedule: ScheduleId, id: AssignmentId) {
        self.active.entry(schedule).or_default().insert(id);
    }

    /// An attempt that a schedule made is over; answers whether that was its last.
    pub fn ended(&mut self, schedule: ScheduleId, id: AssignmentId) -> bool {
        let Some(active) = self.active.get_mut(&schedule) else {
            return false;
        };
        active.remove(&id);
        let idle = active.is_empty();
        if idle {
            self.active.remove(&schedule);
        }
        idle
    }
}

/// A moment and a while.
pub(crate) fn later(at: Timestamp, by_ms: u64) -> Timestamp {
    at.plus_ms(i64::try_from(by_ms).unwrap_or(i64::MAX))
}

/// A moment less a while.
pub(crate) fn earlier(at: Timestamp, by_ms: u64) -> Timestamp {
    at.plus_ms(-i64::try_from(by_ms).unwrap_or(i64::MAX))
}

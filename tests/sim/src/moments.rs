//! The moments of schedules, one by one: what is to become of each is found by a look at every single
//! one, and held against what becomes of it. What a core fires is accounted for here; what agents fire
//! in [`crate::residents`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cloud_core_logic::firing::{FiringResult, FiringRow, ScheduleRow};
use shared::id::{ScheduleId, TaskId};
use shared::schedule::{
    MissedRule, ON_TIME_MS, Overlap, Rules, ScheduleSpec, Timetable, Window, jitter_ms,
};
use shared::time::Timestamp;

use crate::failure::{ensure, fail};
use crate::zones::Bundled;

/// How far missed moments are counted.
const COUNT_MAX: u32 = 10_000;
/// How long a moment may have come before a core that is up must have dealt with it, in milliseconds,
/// beside the turns of schedules that catch up: it looks every second at least.
const PATIENCE_MS: u64 = 2_500;

/// How far behind a clock's time the moments of firings by hand may lie that come together, in
/// milliseconds.
const BESIDE_MS: i64 = 100;

/// What is to become of the moments that have come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// The first and the last of those that are missed, and how many they are, at least.
    pub missed: Option<(Timestamp, Timestamp, u32)>,
    /// Those that fire, in order.
    pub fire: VecDeque<Timestamp>,
}

impl Due {
    pub fn is_empty(&self) -> bool {
        self.missed.is_none() && self.fire.is_empty()
    }
}

fn minus(at: Timestamp, milliseconds: u64) -> Timestamp {
    at.plus_ms(-i64::try_from(milliseconds).unwrap_or(i64::MAX))
}

/// Every moment after one and before another, in order.
fn between(
    timetable: &Timetable,
    after: Timestamp,
    end: Timestamp,
) -> impl Iterator<Item = Timestamp> {
    let next = move |at: &Timestamp| timetable.next(*at).filter(|next| *next < end);
    std::iter::successors(next(&after), next)
}

/// What is to become of the moments behind `through` that have come by `wall`.
pub fn due(
    timetable: &Timetable,
    rules: Rules,
    offset_ms: u64,
    through: Timestamp,
    wall: Timestamp,
) -> Due {
    let now = minus(wall, offset_ms);
    let on_time = minus(now, ON_TIME_MS);
    let most = match rules.missed {
        MissedRule::Skip => 0,
        MissedRule::Once => 1,
        MissedRule::All => rules.missed_max as usize,
    };
    // The latest of those that are late, and one more.
    let mut span_ms = 60_000;
    let late = loop {
        let after = minus(on_time, span_ms).max(through);
        let mut late: VecDeque<_> = between(timetable, after, on_time).collect();
        if late.len() > most || after == through {
            late.drain(..late.len().saturating_sub(most + 1));
            break late;
        }
        span_ms = span_ms.saturating_mul(4);
    };
    let oldest = minus(now, rules.catch_up_s.saturating_mul(1_000));
    let spared = late.len().saturating_sub(most);
    let made_up = late.iter().skip(spared).filter(|at| **at >= oldest);
    let mut fire: VecDeque<Timestamp> = made_up.copied().collect();
    let missed = late.iter().rev().find(|at| !fire.contains(at)).copied().map(|last| {
        let first = timetable.next(through).unwrap_or(last);
        let count = between(timetable, through, last.plus_ms(1)).take(COUNT_MAX as usize).count();
        (first, last, u32::try_from(count).unwrap_or(COUNT_MAX))
    });
    let after = minus(on_time, 1).max(through);
    fire.extend(between(timetable, after, now.plus_ms(1)));
    Due { missed, fire }
}

/// When a schedule fires.
pub fn timetable(spec: &ScheduleSpec, made_at: Timestamp) -> Timetable {
    let window = Window {
        starts_at: spec.starts_at,
        ends_at: spec.ends_at,
        exclude_days: spec.exclude_days.clone(),
    };
    Timetable::new(&spec.trigger, &window, made_at, &Bundled).unwrap_or_default()
}

/// A schedule as it stands in the account.
#[derive(Debug, Clone)]
struct Kept {
    row: ScheduleRow,
    timetable: Timetable,
    offset_ms: u64,
    /// Every moment up to here is accounted for.
    through: Timestamp,
    next: Option<Timestamp>,
    /// The latest moment that it had when it was put, or since by no timetable.
    latest: Timestamp,
    /// What is still to come of the look that the present batch takes.
    looked: Option<Due>,
    /// Since when a moment has come and nothing is known of it, in true time.
    owed_since_ms: Option<u64>,
}

impl Kept {
    fn new(row: &ScheduleRow, through: Timestamp) -> Self {
        let timetable = timetable(&row.spec, row.created_at);
        let next = timetable.next(through);
        let offset_ms = jitter_ms(row.id, None, row.spec.jitter_s);
        let (row, latest) = (row.clone(), row.through);
        Self { row, timetable, offset_ms, through, next, latest, looked: None, owed_since_ms: None }
    }

    /// Whether the core fires it by the clock.
    fn is_timed(&self) -> bool {
        let resident = self.row.spec.resident.is_some();
        !self.row.paused && !resident && self.timetable.is_timed()
    }

    fn due(&self, wall: Timestamp) -> Due {
        let ScheduleSpec { missed, missed_max, catch_up_s, .. } = *self.row.spec;
        let rules = Rules { missed, missed_max, catch_up_s };
        match self.is_timed() {
            true => due(&self.timetable, rules, self.offset_ms, self.through, wall),
            false => Due::default(),
        }
    }

    fn name(&self) -> String {
        format!("{} version {}", self.row.spec.name, self.row.version)
    }

    /// Nothing that came by now is left of a look that was taken.
    fn ensure_dealt_with(&self, left: &Due) {
        ensure(left.is_empty(), "every_moment_that_has_come_is_dealt_with", || {
            format!("{} leaves {left:?} behind {}", self.name(), self.through)
        });
    }

    fn account(&mut self, through: Timestamp) {
        self.through = self.through.max(through);
        self.next = self.timetable.next(self.through);
        self.owed_since_ms = None;
    }
}

/// What became of the moments of all schedules that a core fires, as its store tells it. A copy of the
/// store is put back with its account: it may fire again what it does not know, and nothing else.
#[derive(Debug, Clone, Default)]
pub struct Account {
    kept: BTreeMap<ScheduleId, Kept>,
    /// The latest that the core's clock ever showed.
    highest: Timestamp,
    /// The firings that wait.
    waiting: BTreeSet<(ScheduleId, Timestamp)>,
    /// Which task each moment made.
    made: BTreeMap<(ScheduleId, Timestamp), TaskId>,
}

impl Account {
    /// A schedule is made or changed, when the wall clock shows this.
    pub fn put(&mut self, row: &ScheduleRow, wall: Timestamp) {
        let through = match self.kept.get(&row.id) {
            None => wall.min(row.through),
            Some(before) => {
                let left = before.looked.clone().unwrap_or_else(|| before.due(wall));
                before.ensure_dealt_with(&left);
                let rests = before.row.version == row.version && row.paused;
                if rests { before.through } else { before.through.max(wall) }
            }
        };
        // By a clock that was set back, it begins behind what was dealt with before.
        let highest = self.highest.max(wall).plus_ms(BESIDE_MS);
        ensure(row.through <= highest, "what_is_dealt_with_has_come", || {
            format!("{} is dealt with up to {}", row.spec.name, row.through)
        });
        let through = if row.through > wall { through.max(row.through) } else { through };
        let before = self.kept.get(&row.id).map(|before| before.latest);
        let mut kept = Kept::new(row, through);
        kept.latest = before.unwrap_or(kept.latest).max(kept.latest);
        self.kept.insert(row.id, kept);
    }

    /// The core says how far a schedule has come.
    pub fn moved(&mut self, schedule: ScheduleId, through: Timestamp, wall: Timestamp) {
        let highest = self.highest.max(wall).plus_ms(BESIDE_MS);
        ensure(through <= highest, "what_is_dealt_with_has_come", || {
            format!("{schedule} is dealt with up to {through}")
        });
        if let Some(kept) = self.kept.get_mut(&schedule) {
            kept.latest = kept.latest.max(through);
        }
    }

    pub fn remove(&mut self, schedule: ScheduleId, wall: Timestamp) {
        if let Some(before) = self.kept.remove(&schedule) {
            let left = before.looked.clone().unwrap_or_else(|| before.due(wall));
            before.ensure_dealt_with(&left);
        }
    }

    /// Something became of a moment that the core looked at. `others` is how many tasks of the
    /// schedule are not settled, beside the one that this made.
    pub fn firing(&mut self, row: &FiringRow, others: usize, wall: Timestamp) {
        let key = (row.schedule, row.at);
        let waited = self.waiting.remove(&key);
        let Some(kept) = self.kept.get_mut(&row.schedule) else {
            fail("what_is_deleted_fires_no_more", format!("{row:?}"));
        };
        if !waited {
            kept.expect(row, wall);
        }
        let spec = &kept.row.spec;
        let waiting = self.waiting.range((row.schedule, Timestamp(i64::MIN))..);
        let waiting = waiting.take_while(|(schedule, _)| *schedule == row.schedule).count();
        match &row.result {
            FiringResult::Queued { .. } => {
                let most = match spec.overlap {
                    Overlap::Queue => spec.queue_max as usize,
                    Overlap::Replace => 1,
                    _ => 0,
                };
                ensure(waiting < most, "no_more_firings_wait_than_may", || {
                    format!("{waiting} of {} wait before {}", kept.name(), row.at)
                });
                self.waiting.insert(key);
            }
            FiringResult::Fired { task } => {
                let alone = others == 0 || spec.overlap == Overlap::Allow;
                ensure(alone, "what_may_not_overlap_does_not", || {
                    format!("{} fires for {} beside {others} others", kept.name(), row.at)
                });
                let before = self.made.insert(key, *task);
                ensure(before.is_none(), "a_moment_makes_one_task", || {
                    format!("{} for {}", kept.name(), row.at)
                });
            }
            FiringResult::Skipped { .. } | FiringResult::Missed { .. } => {}
        }
    }

    /// A batch is over. `busy` tells whether a task of a schedule is not settled.
    pub fn end_batch(&mut self, busy: impl Fn(ScheduleId) -> bool) {
        for kept in self.kept.values_mut() {
            if let Some(left) = kept.looked.take() {
                kept.ensure_dealt_with(&left);
            }
        }
        for (schedule, at) in &self.waiting {
            ensure(busy(*schedule), "what_waits_waits_for_something", || {
                format!("a firing of {schedule} for {at}")
            });
        }
    }

    /// The core has looked at its clock: no moment has come for long without anything being known
    /// of it.
    pub fn look(&mut self, wall: Timestamp, now_ms: u64, turn_ms: u64) {
        self.highest = self.highest.max(wall);
        let patience_ms = PATIENCE_MS + turn_ms * self.kept.len() as u64;
        for kept in self.kept.values_mut().filter(|kept| kept.is_timed()) {
            let offset_ms = kept.offset_ms;
            let Some(next) = kept.next.filter(|next| *next <= minus(wall, offset_ms)) else {
                kept.owed_since_ms = None;
                continue;
            };
            let since_ms = *kept.owed_since_ms.get_or_insert(now_ms);
            ensure(now_ms - since_ms <= patience_ms, "a_moment_that_comes_is_seen", || {
                format!("{} has come to {next} {} ms ago", kept.name(), now_ms - since_ms)
            });
        }
    }

    /// Nobody looks for a while.
    pub fn rest(&mut self) {
        for kept in self.kept.values_mut() {
            kept.owed_since_ms = None;
        }
    }
}

impl Kept {
    /// What becomes of a moment is what was to be expected next, or it is none of the timetable's.
    fn expect(&mut self, row: &FiringRow, wall: Timestamp) {
        let before = self.looked.take();
        let mut left = before.clone().unwrap_or_else(|| self.due(wall));
        let missed = match &row.result {
            FiringResult::Missed { upto, count } => Some((row.at, *upto, *count)),
            _ => None,
        };
        if let Some((_, upto, _)) = missed {
            ensure(missed == left.missed, "what_is_missed_follows_the_rule", || {
                format!("{}: {missed:?} is missed, {left:?} was expected", self.name())
            });
            left.missed = None;
            self.account(upto);
        } else if left.missed.is_none() && left.fire.front() == Some(&row.at) {
            left.fire.pop_front();
            self.account(row.at);
        } else {
            // By hand, or by an event: now, or right behind what it had by a clock that was set back.
            let latest = self.latest.max(self.through).max(wall).plus_ms(BESIDE_MS);
            let by_clock = self.timetable.is_timed();
            let here = (row.at >= wall || !by_clock) && row.at <= latest;
            self.latest = self.latest.max(row.at);
            ensure(here, "only_moments_of_its_own_fire", || {
                format!("{} fires for {}, {left:?} was expected", self.name(), row.at)
            });
            // That is no look at its moments, which may have to wait for their turn.
            self.looked = before;
            return;
        }
        self.looked = Some(left);
    }
}

//! When a schedule fires, ready to be asked: what a trigger says, within what its window allows.

mod zoned;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::calendar::{DAY_S, Day, DaySet};
use super::cron::CronError;
use super::zone::{Zone, Zones};
use super::{IntervalTrigger, Trigger};
use crate::border::Problem;
use crate::time::Timestamp;
use zoned::ZonedCron;

/// Nothing fires from here on: the first moment of the year 2101.
const END_MS: i64 = 4_133_980_800_000;
const DAY_MS: i64 = DAY_S * 1_000;

/// Between which moments, and on which days, a schedule fires.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Window {
    /// At no moment before.
    pub starts_at: Option<Timestamp>,
    /// At no moment from then on.
    pub ends_at: Option<Timestamp>,
    /// On none of these days.
    pub exclude_days: Vec<Day>,
}

/// When a schedule fires. Small, since there are many; what is large is shared.
#[derive(Debug, Clone, PartialEq)]
pub struct Timetable {
    starts_at: Timestamp,
    ends_at: Timestamp,
    /// Days of its zone.
    except: Option<Arc<DaySet>>,
    moments: Moments,
}

#[derive(Debug, Clone, PartialEq)]
enum Moments {
    Cron(Arc<ZonedCron>),
    Every {
        anchor: Timestamp,
        interval_ms: u64,
    },
    These(Arc<[Timestamp]>),
    /// So long after the end of the last task, in milliseconds.
    AfterEnd(u64),
    /// When an event comes.
    Event,
}

/// One firing, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Firing {
    /// The moment.
    pub at: Timestamp,
    /// The same on the clocks of its zone, with how far they are from UTC.
    pub local: String,
    /// What a time change did to it.
    pub note: Option<Note>,
}

/// What a time change does to a firing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Note {
    /// Its time did not exist that day: it fires right after the gap.
    Moved,
    /// Its time comes twice that day, and this is the first.
    FirstOfTwo,
    /// Its time comes twice that day, and this is the second.
    SecondOfTwo,
}

/// Why a trigger never fires.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimetableError {
    /// Its cron expression cannot be read.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// Nobody knows its zone.
    #[error("{name:?} is not a time zone that is known here{hint}")]
    Zone {
        /// What it says.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// No moment ever comes.
    #[error("it never fires: {detail}")]
    Never {
        /// JSON pointer of what is to blame.
        pointer: &'static str,
        /// Why.
        detail: String,
    },
}

impl TimetableError {
    /// JSON pointer of what is wrong.
    #[must_use]
    pub fn pointer(&self) -> String {
        match self {
            Self::Cron(_) => "/trigger/cron",
            Self::Zone { .. } => "/trigger/zone",
            Self::Never { pointer, .. } => pointer,
        }
        .to_owned()
    }

    /// The same for whoever wrote it.
    #[must_use]
    pub fn problem(&self) -> Problem {
        Problem { pointer: self.pointer(), detail: self.to_string() }
    }
}

impl Default for Timetable {
    /// One that no clock fires.
    fn default() -> Self {
        Self {
            starts_at: Timestamp(i64::MIN),
            ends_at: Timestamp(i64::MAX),
            except: None,
            moments: Moments::Event,
        }
    }
}

impl Timetable {
    /// The timetable of a trigger.
    ///
    /// # Errors
    /// When it cannot be read, or no moment of it ever comes after `made_at`.
    pub fn new(
        trigger: &Trigger,
        window: &Window,
        made_at: Timestamp,
        zones: &dyn Zones,
    ) -> Result<Self, TimetableError> {
        let moments = match trigger {
            Trigger::Cron(cron) => Moments::Cron(Arc::new(ZonedCron::new(cron, zones)?)),
            Trigger::Interval(interval) => every(interval, made_at),
            Trigger::At { at } => {
                let mut at = at.clone();
                at.sort_unstable();
                at.dedup();
                Moments::These(at.into())
            }
            Trigger::Event { .. } => Moments::Event,
        };
        let always = Self {
            starts_at: Timestamp(i64::MIN),
            ends_at: Timestamp(END_MS),
            except: None,
            moments,
        };
        let bounded = Self {
            starts_at: window.starts_at.unwrap_or(always.starts_at),
            ends_at: window.ends_at.unwrap_or(always.ends_at).min(always.ends_at),
            ..always.clone()
        };
        let excluded = DaySet::of(&window.exclude_days);
        let except = (!excluded.is_empty()).then(|| Arc::new(excluded));
        let timetable = Self { except, ..bounded.clone() };
        let never = |pointer, detail: String| Err(TimetableError::Never { pointer, detail });
        if timetable.comes(made_at) {
            Ok(timetable)
        } else if bounded.comes(made_at) {
            never("/exclude_days", "every day on which it would is left out".to_owned())
        } else if always.comes(made_at) {
            let pointer = if window.ends_at.is_some() { "/ends_at" } else { "/starts_at" };
            never(pointer, "no moment of it lies between `starts_at` and `ends_at`".to_owned())
        } else {
            never(always.moments.pointer(), always.moments.why_never())
        }
    }

    /// Whether a moment comes after one, as far as the clock says.
    fn comes(&self, after: Timestamp) -> bool {
        match &self.moments {
            Moments::Event => after < self.ends_at,
            Moments::AfterEnd(_) => self.within(after).is_some(),
            _ => self.next(after).is_some(),
        }
    }

    /// Whether the clock alone says when it fires.
    #[must_use]
    pub fn is_timed(&self) -> bool {
        !matches!(self.moments, Moments::AfterEnd(_) | Moments::Event)
    }

    /// How long after the end of the last task it fires, in milliseconds, if that is how.
    #[must_use]
    pub fn after_end_ms(&self) -> Option<u64> {
        match self.moments {
            Moments::AfterEnd(interval_ms) => Some(interval_ms),
            _ => None,
        }
    }

    /// The first moment after one.
    #[must_use]
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        let after = after.max(self.starts_at.plus_ms(-1));
        let next = match &self.moments {
            Moments::Cron(cron) => cron.next(after, self.except.as_deref()),
            Moments::Every { anchor, interval_ms } => {
                self.next_interval(after, *anchor, *interval_ms)
            }
            Moments::These(moments) => {
                let from = moments.partition_point(|at| *at <= after);
                moments[from..].iter().copied().find(|at| !self.excludes(*at))
            }
            Moments::AfterEnd(_) | Moments::Event => None,
        };
        next.filter(|next| *next < self.ends_at)
    }

    /// A moment that its owner counted, put where it may be: at the start, or after days that are
    /// left out; `None` when that is never.
    #[must_use]
    pub fn within(&self, at: Timestamp) -> Option<Timestamp> {
        self.past_excluded(at.max(self.starts_at))
    }

    /// The latest moment from `first` on that lies before `end`; `first` is one. Found by halving, in
    /// which `step_ms` is the first guess of how long before `end` it is.
    pub(super) fn latest(&self, first: Timestamp, end: Timestamp, step_ms: i64) -> Timestamp {
        let next = |after: Timestamp| self.next(after).filter(|next| *next < end);
        let mut latest = first;
        // From here on there is none.
        let mut bare = end.plus_ms(-1);
        let mut step_ms = step_ms.max(1);
        while let Some(from) = Some(end.plus_ms(-1 - step_ms)).filter(|from| *from > first) {
            if let Some(found) = next(from) {
                latest = found;
                break;
            }
            (bare, step_ms) = (from, step_ms.saturating_mul(2));
        }
        while let Some(found) = next(latest) {
            latest = found;
            let middle = latest.plus_ms(bare.0.saturating_sub(latest.0) / 2);
            match next(middle) {
                Some(found) => latest = found,
                None => bare = middle,
            }
        }
        latest
    }

    /// The next firings after a moment, at most so many.
    #[must_use]
    pub fn preview(&self, from: Timestamp, count: usize) -> Vec<Firing> {
        let mut firings = Vec::new();
        let mut after = from;
        while firings.len() < count {
            let next = match self.after_end_ms() {
                // As if each task were over at once.
                Some(wait_ms) => self.within(after.plus_ms(ms(wait_ms))),
                None => self.next(after),
            };
            let Some(at) = next else { break };
            firings.push(self.firing(at));
            after = at;
        }
        firings
    }

    /// A moment of it, for people.
    #[must_use]
    pub fn firing(&self, at: Timestamp) -> Firing {
        let Moments::Cron(cron) = &self.moments else {
            return Firing { at, local: local(at, 0), note: None };
        };
        let second = at.0.div_euclid(1_000);
        Firing { at, local: local(at, cron.zone.ahead_s(second)), note: cron.note(second) }
    }

    /// The zone that it goes by, if it has one.
    #[must_use]
    pub fn zone(&self) -> Option<&Zone> {
        match &self.moments {
            Moments::Cron(cron) => Some(&cron.zone),
            _ => None,
        }
    }

    /// Whether a moment lies on a day of UTC that is left out.
    fn excludes(&self, at: Timestamp) -> bool {
        self.except.as_ref().is_some_and(|except| except.has(at.0.div_euclid(DAY_MS)))
    }

    /// The moment itself, or the start of the first day behind it that is not left out.
    fn past_excluded(&self, mut at: Timestamp) -> Option<Timestamp> {
        while at < self.ends_at {
            if !self.excludes(at) {
                return Some(at);
            }
            at = Timestamp((at.0.div_euclid(DAY_MS) + 1).saturating_mul(DAY_MS));
        }
        None
    }

    fn next_interval(
        &self,
        after: Timestamp,
        anchor: Timestamp,
        interval_ms: u64,
    ) -> Option<Timestamp> {
        let mut next = next_multiple(after, anchor, interval_ms)?;
        loop {
            let allowed = self.past_excluded(next)?;
            if allowed == next {
                return Some(next);
            }
            next = next_multiple(allowed.plus_ms(-1), anchor, interval_ms)?;
        }
    }
}

impl Moments {
    /// JSON pointer of what says them.
    fn pointer(&self) -> &'static str {
        match self {
            Self::Cron(_) => "/trigger/cron",
            Self::Every { .. } | Self::AfterEnd(_) => "/trigger/interval_s",
            Self::These(_) => "/trigger/at",
            Self::Event => "/trigger/event",
        }
    }

    /// Why none of them comes.
    fn why_never(&self) -> String {
        match self {
            Self::Cron(cron) => cron.cron.why_never().unwrap_or_else(|| {
                let gaps = match cron.fires_gaps {
                    true => "",
                    false => ", or its time never exists on the clocks of its zone",
                };
                format!("its years have passed, or none of them has such a day{gaps}")
            }),
            Self::These(_) => "each of its moments has passed".to_owned(),
            _ => "its first moment is after the year 2100".to_owned(),
        }
    }
}

fn ms(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

/// The first moment after one that is a whole number of intervals from the anchor.
fn next_multiple(after: Timestamp, anchor: Timestamp, interval_ms: u64) -> Option<Timestamp> {
    let interval = i128::from(interval_ms.max(1));
    let since = i128::from(after.0) - i128::from(anchor.0);
    let next = i128::from(anchor.0) + (since.div_euclid(interval) + 1) * interval;
    i64::try_from(next.max(i128::from(anchor.0))).ok().map(Timestamp)
}

fn every(interval: &IntervalTrigger, made_at: Timestamp) -> Moments {
    let interval_ms = interval.interval_s.saturating_mul(1_000);
    if interval.after_end {
        return Moments::AfterEnd(interval_ms);
    }
    let usual = Timestamp(made_at.0.div_euclid(1_000).saturating_mul(1_000));
    Moments::Every { anchor: interval.anchor.unwrap_or(usual), interval_ms }
}

/// A moment in RFC 3339 on clocks that are so far ahead of UTC.
fn local(at: Timestamp, ahead_s: i32) -> String {
    let wall_ms = at.0.saturating_add(i64::from(ahead_s) * 1_000);
    let text = Timestamp(wall_ms).to_string();
    let text = text.trim_end_matches('Z');
    // Seconds are all that a schedule has, but for moments that were given.
    let text = text.strip_suffix(".000").unwrap_or(text);
    let (sign, ahead_s) = if ahead_s < 0 { ('-', -ahead_s) } else { ('+', ahead_s) };
    let (hours, minutes, seconds) = (ahead_s / 3_600, ahead_s / 60 % 60, ahead_s % 60);
    match seconds {
        0 => format!("{text}{sign}{hours:02}:{minutes:02}"),
        // Before there were zones.
        _ => format!("{text}{sign}{hours:02}:{minutes:02}:{seconds:02}"),
    }
}

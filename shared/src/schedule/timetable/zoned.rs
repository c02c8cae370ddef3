//! A cron expression on the clocks of a zone. Between two changes of them, wall time and real time go
//! alike; so the moments of each such stretch are found on its wall clock, and what a change leaves
//! out or brings twice is decided once, at its edge. Nothing else knows of time changes, so that all
//! are alike: an hour in spring, half an hour, a day that an island skips.

use super::{Note, TimetableError};
use crate::border;
use crate::schedule::calendar::{DAY_S, DaySet};
use crate::schedule::cron::Cron;
use crate::schedule::zone::{Offset, Zone, Zones};
use crate::schedule::{CronTrigger, Dst};
use crate::time::Timestamp;

/// The farthest that a clock can be put back, in seconds: [`super::zone`] allows no more.
const FOLD_S_MAX: i64 = 2 * 26 * 3_600;

/// A cron expression on the clocks of a zone.
#[derive(Debug, PartialEq)]
pub(super) struct ZonedCron {
    pub(super) cron: Cron,
    pub(super) zone: Zone,
    /// Whether what a gap leaves out fires at its end.
    pub(super) fires_gaps: bool,
    /// Whether what a fold brings again fires again.
    fires_twice: bool,
}

impl ZonedCron {
    pub(super) fn new(trigger: &CronTrigger, zones: &dyn Zones) -> Result<Self, TimetableError> {
        let cron = Cron::read(&trigger.cron, trigger.fields.unwrap_or(5))?;
        let zone = match &trigger.zone {
            None => Zone::utc(),
            Some(name) => zones.zone(name).ok_or_else(|| unknown(name, zones))?,
        };
        let (fires_gaps, fires_twice) = match trigger.dst {
            Some(Dst::Skip) => (false, false),
            Some(Dst::Once) => (true, false),
            Some(Dst::Twice) => (true, true),
            None => (!cron.is_every(), cron.is_every()),
        };
        Ok(Self { cron, zone, fires_gaps, fires_twice })
    }

    /// The first moment after one.
    pub(super) fn next(&self, after: Timestamp, except: Option<&DaySet>) -> Option<Timestamp> {
        let none = DaySet::default();
        let except = except.unwrap_or(&none);
        let from = after.0.div_euclid(1_000).checked_add(1)?;
        let mut index = self.zone.index_at(from);
        let mut stretch = self.zone.offset(index)?;
        // The wall clock from which on `wall` is the first match; before it, none counts any more.
        let mut low = from.checked_add(i64::from(stretch.ahead_s))?;
        if from == stretch.from_s && self.moves_to(index, except) {
            return at(from);
        }
        if !self.fires_twice {
            low = low.max(self.shown_before(index, from));
        }
        let mut wall = self.cron.first_from(low, except);
        loop {
            let ahead = i64::from(stretch.ahead_s);
            let following = self.zone.offset(index + 1);
            let until = following.map_or(i64::MAX, |following| following.from_s);
            match wall {
                Some(wall) if wall - ahead < until => return at(wall - ahead),
                _ => {}
            }
            // On to the next stretch: what the change at its edge leaves out, or brings again.
            let following = following?;
            let is = following.from_s + i64::from(following.ahead_s);
            let was = following.from_s + ahead;
            (index, stretch) = (index + 1, following);
            if is > was && wall.is_some_and(|wall| wall < is) {
                if self.fires_gaps && !except.has(is.div_euclid(DAY_S)) {
                    return at(following.from_s);
                }
                low = is;
                wall = self.cron.first_from(low, except);
            } else if is < low {
                // The search began within what comes again.
                if self.fires_twice {
                    low = is;
                    wall = self.cron.first_from(low, except);
                }
            } else {
                // Nothing on this wall clock, and what comes again was looked at.
                wall?;
            }
        }
    }

    /// Whether what the change before a stretch left out fires at its beginning.
    fn moves_to(&self, index: usize, except: &DaySet) -> bool {
        let Some((was, is)) = self.edge(index).filter(|(was, is)| was < is) else {
            return false;
        };
        let left_out = || self.cron.first_from(was, except).is_some_and(|wall| wall < is);
        self.fires_gaps && left_out() && !except.has(is.div_euclid(DAY_S))
    }

    /// The wall clock right before and after the change that a stretch begins with.
    fn edge(&self, index: usize) -> Option<(i64, i64)> {
        let before = self.zone.offset(index.checked_sub(1)?)?;
        let Offset { from_s, ahead_s } = self.zone.offset(index)?;
        Some((from_s + i64::from(before.ahead_s), from_s + i64::from(ahead_s)))
    }

    /// What the wall clock showed at most before a stretch, as far as that matters at a second in it.
    fn shown_before(&self, index: usize, second: i64) -> i64 {
        let near = |index: &usize| {
            let offset = self.zone.offset(*index);
            offset.is_some_and(|offset| offset.from_s.saturating_add(FOLD_S_MAX) > second)
        };
        let edges = (1..=index).rev().take_while(near).filter_map(|index| self.edge(index));
        edges.map(|(was, _)| was).max().unwrap_or(i64::MIN)
    }

    /// What a time change did to the firing at a second.
    pub(super) fn note(&self, second: i64) -> Option<Note> {
        let index = self.zone.index_at(second);
        let offset = self.zone.offset(index)?;
        let wall = second.saturating_add(i64::from(offset.ahead_s));
        let shown = self.edge(index).is_some_and(|(was, _)| wall < was);
        let comes = self.edge(index + 1).is_some_and(|(_, is)| is <= wall);
        match (second == offset.from_s && !self.cron.matches(wall), shown, comes) {
            (true, ..) => Some(Note::Moved),
            (_, true, _) => Some(Note::SecondOfTwo),
            (_, _, true) => Some(Note::FirstOfTwo),
            _ => None,
        }
    }
}

fn at(second: i64) -> Option<Timestamp> {
    second.checked_mul(1_000).map(Timestamp)
}

fn unknown(name: &str, zones: &dyn Zones) -> TimetableError {
    let names = zones.names();
    let place = name.replace(' ', "_");
    let is_place = |known: &&String| {
        known.rsplit('/').next().is_some_and(|last| last.eq_ignore_ascii_case(&place))
    };
    let near = match names.iter().find(is_place) {
        Some(known) => Some(known.as_str()),
        None => border::nearest(name, names.iter().map(String::as_str)),
    };
    let hint = match near {
        Some(near) => format!("; did you mean {near:?}?"),
        None => "; write one of the IANA time zone database, such as \"Europe/Berlin\"".to_owned(),
    };
    TimetableError::Zone { name: name.chars().take(64).collect(), hint }
}

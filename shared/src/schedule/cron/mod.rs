//! Cron expressions with the meaning of crontab(5). The `cron` crate reads them, see [`read`]; what it
//! understood is kept in sets of bits, in which the next match on a wall clock is found without asking
//! it again: it walks time zones by itself, and not as users of cron expect.

mod read;

use super::calendar::{DAY_S, Date, DaySet, spread, weekday};

pub use read::CronError;

/// The first year that the crate knows; its last is 2100. Nothing fires outside of them.
const YEAR_FIRST: i64 = 1970;

/// How crontab(5) names the months.
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// A cron expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cron {
    seconds: u64,
    minutes: u64,
    hours: u32,
    /// Bit 1 is the first.
    days: u32,
    /// Bit 1 is January.
    months: u16,
    /// Bit 0 is Sunday.
    weekdays: u8,
    /// Whether a day need only be one of the two.
    either_day: bool,
    /// Whether minute or hour begins with `*`.
    every: bool,
    /// Bit 0 of the first is 1970.
    years: [u64; 3],
}

impl Cron {
    /// Why no day of any year is meant, if none is.
    pub(super) fn why_never(&self) -> Option<String> {
        let named = |bits: u32, name: &dyn Fn(u32) -> String| {
            let found = (1..32).filter(|at| bits & 1 << at != 0).map(name);
            found.collect::<Vec<_>>().join(", ")
        };
        let longest = |month: u8| Date { year: 2_000, month, day: 1 }.month_days();
        let comes = (1..=12)
            .filter(|month| self.months & 1 << month != 0)
            .any(|month: u8| self.days & u32::MAX >> (31 - longest(month)) & !1 != 0);
        if self.either_day || comes {
            return None;
        }
        let days = named(self.days, &|day| day.to_string());
        let months = named(u32::from(self.months), &|month| {
            MONTHS.get(month as usize - 1).copied().unwrap_or_default().to_owned()
        });
        Some(format!("the day of the month {days} never comes in {months}"))
    }

    /// Whether minute or hour begins with `*`, so that every real minute counts.
    pub(super) fn is_every(&self) -> bool {
        self.every
    }

    /// The first match from a second of the wall clock on, on none of these days; in seconds since
    /// 1970-01-01 on that clock. There is none before that year and none after 2100.
    pub(super) fn first_from(&self, from: i64, except: &DaySet) -> Option<i64> {
        let from = from.max(0);
        let (today, of_day) = (from.div_euclid(DAY_S), from.rem_euclid(DAY_S) as u32);
        let date = Date::of(today);
        let day = self.day_from(date, except)?;
        match self.time_from(of_day) {
            Some(time) if day == today => Some(day * DAY_S + i64::from(time)),
            _ => {
                let day = if day > today { day } else { self.day_from(after(date), except)? };
                Some(day * DAY_S + i64::from(self.time_from(0)?))
            }
        }
    }

    /// Whether it matches a second of the wall clock.
    pub(super) fn matches(&self, at: i64) -> bool {
        self.first_from(at, &DaySet::default()) == Some(at)
    }

    /// The first day that is meant, from one on: its number.
    fn day_from(&self, mut date: Date, except: &DaySet) -> Option<i64> {
        loop {
            date = self.month_from(date)?;
            let first = Date { day: 1, ..date }.days();
            let first_weekday = weekday(first);
            let of_week = spread(self.weekdays, first_weekday);
            let meant = if self.either_day { self.days | of_week } else { self.days & of_week };
            // Day 31 is the last bit: what is beyond the month falls off at the top.
            let in_month = u32::MAX << date.day & u32::MAX >> (31 - date.month_days());
            let mut left = meant & in_month & !except.of_month(date.month, first_weekday);
            while left != 0 {
                let day = first + i64::from(left.trailing_zeros()) - 1;
                if !except.has_date(day) {
                    return Some(day);
                }
                left &= left - 1;
            }
            date = date.next_month();
        }
    }

    /// The date itself if its month is meant, or the first day of the next month that is.
    fn month_from(&self, date: Date) -> Option<Date> {
        let year = self.year_from(date.year)?;
        let from = if year == date.year { u32::from(date.month) } else { 1 };
        if year == date.year && self.months & 1 << date.month != 0 {
            return Some(date);
        }
        let months = u64::from(self.months);
        let (year, month) = match from_bit(months, from) {
            Some(month) => (year, month),
            None => (self.year_from(year + 1)?, from_bit(months, 0)?),
        };
        Some(Date { year, month: month as u8, day: 1 })
    }

    /// The first year that is meant, from one on.
    fn year_from(&self, year: i64) -> Option<i64> {
        let from = usize::try_from(year - YEAR_FIRST).ok()?;
        let (mut word, mut bit) = (from / 64, (from % 64) as u32);
        while let Some(years) = self.years.get(word) {
            if let Some(found) = from_bit(*years, bit) {
                return Some(YEAR_FIRST + 64 * word as i64 + i64::from(found));
            }
            (word, bit) = (word + 1, 0);
        }
        None
    }

    /// The first time of a day that is meant, from a second of it on.
    fn time_from(&self, from: u32) -> Option<u32> {
        let (hour, minute, second) = (from / 3_600, from / 60 % 60, from % 60);
        let in_hour = |hour: u32, minute: u32, second: u32| {
            if self.minutes & 1 << minute != 0
                && let Some(second) = from_bit(self.seconds, second)
            {
                return Some(hour * 3_600 + minute * 60 + second);
            }
            let minute = from_bit(self.minutes, minute + 1)?;
            Some(hour * 3_600 + minute * 60 + from_bit(self.seconds, 0)?)
        };
        if self.hours & 1 << hour != 0
            && let Some(found) = in_hour(hour, minute, second)
        {
            return Some(found);
        }
        in_hour(from_bit(u64::from(self.hours), hour + 1)?, 0, 0)
    }
}

/// The day after one.
fn after(date: Date) -> Date {
    match date.day < date.month_days() {
        true => Date { day: date.day + 1, ..date },
        false => date.next_month(),
    }
}

/// The first bit that is set, from one on.
fn from_bit(set: u64, from: u32) -> Option<u32> {
    let rest = set.checked_shr(from)?;
    (rest != 0).then(|| from + rest.trailing_zeros())
}

#[cfg(test)]
mod tests;

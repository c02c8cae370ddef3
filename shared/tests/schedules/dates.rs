//! Time changes that were, or will be, and what they do to schedules.

use serde_json::json;
use shared::schedule::{Timetable, Window};
use shared::time::Timestamp;

use crate::common::{Bundled, cron, moment, told, trigger};

const NEW_YORK: &str = "America/New_York";

#[test]
fn a_fixed_time_that_does_not_exist_fires_once_right_after_the_gap() {
    let nightly = cron("30 2 * * *", NEW_YORK, None);
    let expected = [
        "2026-03-07T02:30:00-05:00",
        "2026-03-08T03:00:00-04:00 moved",
        "2026-03-09T02:30:00-04:00",
    ];
    assert_eq!(told(&nightly, "2026-03-07T00:00:00Z", 3), expected);
    // However many of its times are left out, and although another is right there.
    let many = cron("0,15,30 2,3 * * *", NEW_YORK, None);
    let expected = ["2026-03-08T03:00:00-04:00", "2026-03-08T03:15:00-04:00"];
    assert_eq!(told(&many, "2026-03-08T06:00:00Z", 2), expected);
    let both = cron("*/20 2 * * *", NEW_YORK, Some("once"));
    let expected = ["2026-03-08T03:00:00-04:00 moved", "2026-03-09T02:00:00-04:00"];
    assert_eq!(told(&both, "2026-03-08T06:00:00Z", 2), expected);
}

#[test]
fn a_fixed_time_that_comes_twice_fires_at_the_first() {
    let nightly = cron("30 1 * * *", NEW_YORK, None);
    let expected = ["2026-11-01T01:30:00-04:00 first", "2026-11-02T01:30:00-05:00"];
    assert_eq!(told(&nightly, "2026-11-01T00:00:00Z", 2), expected);
    // Asked in the second of the two hours, too.
    assert_eq!(told(&nightly, "2026-11-01T06:10:00Z", 1), ["2026-11-02T01:30:00-05:00"]);
}

#[test]
fn where_minute_or_hour_begins_with_a_star_every_real_minute_counts() {
    let halves = cron("*/30 * * * *", NEW_YORK, None);
    let expected =
        ["2026-03-08T01:30:00-05:00", "2026-03-08T03:00:00-04:00", "2026-03-08T03:30:00-04:00"];
    assert_eq!(told(&halves, "2026-03-08T06:00:00Z", 3), expected);
    let expected = [
        "2026-11-01T01:00:00-04:00 first",
        "2026-11-01T01:30:00-04:00 first",
        "2026-11-01T01:00:00-05:00 second",
        "2026-11-01T01:30:00-05:00 second",
        "2026-11-01T02:00:00-05:00",
    ];
    assert_eq!(told(&halves, "2026-11-01T04:30:00Z", 5), expected);
    let at_two = cron("* 2 * * *", NEW_YORK, None);
    assert_eq!(told(&at_two, "2026-03-08T06:00:00Z", 1), ["2026-03-09T02:00:00-04:00"]);
    let at_half = cron("30 * * * *", NEW_YORK, None);
    let expected = ["2026-03-08T01:30:00-05:00", "2026-03-08T03:30:00-04:00"];
    assert_eq!(told(&at_half, "2026-03-08T06:00:00Z", 2), expected);
}

#[test]
fn a_rule_that_is_chosen_goes_before_what_the_expression_says() {
    let gap = |cron_text: &str, dst| {
        told(&cron(cron_text, NEW_YORK, Some(dst)), "2026-03-08T05:00:00Z", 1).remove(0)
    };
    for expression in ["30 2 * * *", "*/30 2 * * *"] {
        assert!(gap(expression, "skip").starts_with("2026-03-09T02:"), "{expression}");
        assert_eq!(gap(expression, "once"), "2026-03-08T03:00:00-04:00 moved", "{expression}");
        assert_eq!(gap(expression, "twice"), "2026-03-08T03:00:00-04:00 moved", "{expression}");
    }
    for (dst, second) in [("skip", false), ("once", false), ("twice", true)] {
        for expression in ["30 1 * * *", "30 */1 * * *"] {
            let told = told(&cron(expression, NEW_YORK, Some(dst)), "2026-11-01T05:00:00Z", 2);
            assert_eq!(told[0], "2026-11-01T01:30:00-04:00 first", "{expression} {dst}");
            assert_eq!(told[1] == "2026-11-01T01:30:00-05:00 second", second, "{expression} {dst}");
        }
    }
    // The last of all comes again, too.
    let last = json!({"cron": "0 30 1 1 11 * 2026", "fields": 7, "zone": NEW_YORK, "dst": "twice"});
    let last = Timetable::new(&trigger(last), &Window::default(), Timestamp(0), &Bundled);
    assert_eq!(told(&last.expect("timetable"), "2026-01-01T00:00:00Z", 9).len(), 2);
}

#[test]
fn half_an_hour_a_day_and_midnight_are_changes_as_all_are() {
    let of = |expression: &str, zone: &str, from: &str, count| {
        told(&cron(expression, zone, None), from, count)
    };
    let howe = of("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 2);
    assert_eq!(howe, ["2026-10-04T02:30:00+11:00 moved", "2026-10-05T02:15:00+11:00"]);
    let howe = of("45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", 2);
    assert_eq!(howe, ["2026-04-05T01:45:00+11:00 first", "2026-04-06T01:45:00+10:30"]);
    // Samoa went over the date line, and had no 30 December.
    let apia = of("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3);
    let expected = [
        "2011-12-29T12:00:00-10:00",
        "2011-12-31T00:00:00+14:00 moved",
        "2011-12-31T12:00:00+14:00",
    ];
    assert_eq!(apia, expected);
    let paulo = of("0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00Z", 2);
    assert_eq!(paulo, ["2018-11-04T01:00:00-02:00 moved", "2018-11-05T00:00:00-02:00"]);
    // Where winter is the time that differs, by law.
    let dublin = of("30 1 * * *", "Europe/Dublin", "2026-03-28T12:00:00Z", 1);
    assert_eq!(dublin, ["2026-03-29T02:00:00+01:00 moved"]);
    let dublin = of("30 1 * * *", "Europe/Dublin", "2026-10-24T12:00:00Z", 2);
    assert_eq!(dublin, ["2026-10-25T01:30:00+01:00 first", "2026-10-26T01:30:00+00:00"]);
    // A change of the zone, and not of the season, years ahead.
    let leap = of("30 2 29 2 *", "Europe/Berlin", "2026-01-01T00:00:00Z", 2);
    assert_eq!(leap, ["2028-02-29T02:30:00+01:00", "2032-02-29T02:30:00+01:00"]);
}

fn within(cron: &str, zone: &str, window: Window) -> Timetable {
    let trigger = trigger(json!({"cron": cron, "zone": zone}));
    Timetable::new(&trigger, &window, Timestamp(0), &Bundled).expect(cron)
}

fn days(days: &[&str]) -> Window {
    let exclude_days = days.iter().map(|day| day.parse().expect("a day")).collect();
    Window { exclude_days, ..Window::default() }
}

#[test]
fn days_that_are_left_out_are_those_of_the_zone() {
    let excluded = days(&["12-25", "2026-12-27", "saturday"]);
    let told = told(&within("30 23 * * *", NEW_YORK, excluded), "2026-12-24T12:00:00Z", 3);
    let expected =
        ["2026-12-24T23:30:00-05:00", "2026-12-28T23:30:00-05:00", "2026-12-29T23:30:00-05:00"];
    assert_eq!(told, expected);
}

#[test]
fn what_a_gap_leaves_out_on_a_day_that_is_left_out_does_not_fire_on_another() {
    let apia = |excluded: &str| {
        let noon = within("0 12 * * *", "Pacific/Apia", days(&[excluded]));
        told(&noon, "2011-12-30T00:00:00Z", 1).remove(0)
    };
    assert_eq!(apia("2011-12-30"), "2011-12-31T12:00:00+14:00");
    assert_eq!(apia("2011-12-31"), "2012-01-01T12:00:00+14:00");
    // Asked right before the gap's end, and long before.
    for from in ["2011-12-30T09:59:59.999Z", "2011-12-30T09:59:59Z", "2011-12-30T00:00:00Z"] {
        let noon = within("0 12 * * *", "Pacific/Apia", days(&["2010-01-01"]));
        assert_eq!(told(&noon, from, 1), ["2011-12-31T00:00:00+14:00 moved"], "{from}");
    }
}

#[test]
fn a_window_holds_its_start_and_not_its_end() {
    let window = Window {
        starts_at: Some(moment("2026-01-01T01:00:00Z")),
        ends_at: Some(moment("2026-01-01T03:00:00Z")),
        exclude_days: Vec::new(),
    };
    let hourly = within("@hourly", "UTC", window);
    let expected = ["2026-01-01T01:00:00+00:00", "2026-01-01T02:00:00+00:00"];
    assert_eq!(told(&hourly, "2000-01-01T00:00:00Z", 9), expected);
    assert_eq!(hourly.next(moment("2026-01-01T01:00:00Z")), Some(moment("2026-01-01T02:00:00Z")));
}

#[test]
fn intervals_count_from_their_anchor_and_moments_come_once() {
    let made_at = moment("2026-01-01T00:00:00.700Z");
    let new = |document, window| Timetable::new(&trigger(document), &window, made_at, &Bundled);
    let of = |document| new(document, Window::default()).expect("timetable");
    let plain = of(json!({"interval_s": 90}));
    let expected = ["2026-01-01T00:01:30+00:00", "2026-01-01T00:03:00+00:00"];
    assert_eq!(told(&plain, "2026-01-01T00:00:00.700Z", 2), expected);
    let anchored = of(json!({"interval_s": 3600, "anchor": "2030-01-01T00:20:00Z"}));
    assert_eq!(told(&anchored, "2026-01-01T00:00:00Z", 1), ["2030-01-01T00:20:00+00:00"]);
    assert_eq!(told(&anchored, "2031-01-01T00:00:00Z", 1), ["2031-01-01T00:20:00+00:00"]);
    let at = of(
        json!({"at": ["2026-03-01T00:00:00.250Z", "2026-02-01T00:00:00Z", "2026-02-01T00:00:00Z"]}),
    );
    let expected = ["2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00.250+00:00"];
    assert_eq!(told(&at, "2026-01-01T00:00:00Z", 9), expected);
    let weekdays = new(json!({"interval_s": 43_200}), days(&["saturday", "sunday"]));
    let expected = ["2026-01-02T12:00:00+00:00", "2026-01-05T00:00:00+00:00"];
    assert_eq!(told(&weekdays.expect("timetable"), "2026-01-02T00:00:00Z", 2), expected);
    // The owner counts; a day that is left out puts it off.
    let after = new(json!({"interval_s": 60, "after_end": true}), days(&["01-02"]));
    let after = after.expect("timetable");
    assert_eq!(
        (after.is_timed(), after.after_end_ms(), after.next(made_at)),
        (false, Some(60_000), None)
    );
    let put_off = after.within(moment("2026-01-02T07:00:00Z"));
    assert_eq!(put_off, Some(moment("2026-01-03T00:00:00Z")));
}

#[test]
fn a_timetable_is_small() {
    assert!(size_of::<Timetable>() <= 64, "{}", size_of::<Timetable>());
}

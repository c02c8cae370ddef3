//! What is refused, where, and with which reason.

use serde_json::{Value, json};
use shared::schedule::{Timetable, Window};

use crate::common::{Bundled, moment, trigger};

fn refused(document: Value, window: &Window) -> (String, String) {
    let now = moment("2026-11-28T12:00:00Z");
    let error =
        Timetable::new(&trigger(document), window, now, &Bundled).expect_err("no timetable");
    (error.pointer(), error.to_string())
}

#[test]
fn what_never_fires_is_refused_with_what_is_to_blame() {
    let always = Window::default();
    for (document, pointer, says) in [
        (
            json!({"cron": "0 0 30 2 *"}),
            "/trigger/cron",
            "the day of the month 30 never comes in feb",
        ),
        (json!({"cron": "0 0 31 4,6 *"}), "/trigger/cron", "31 never comes in apr, jun"),
        (
            json!({"cron": "0 0 0 1 1 * 2025", "fields": 7}),
            "/trigger/cron",
            "its years have passed",
        ),
        (json!({"cron": "0 0 0 29 2 * 2027", "fields": 7}), "/trigger/cron", "none of them has"),
        (json!({"at": ["2026-11-28T12:00:00Z"]}), "/trigger/at", "each of its moments has passed"),
        (
            json!({"interval_s": 60, "anchor": "2101-01-01T00:00:00Z"}),
            "/trigger/interval_s",
            "2100",
        ),
        (json!({"cron": "* * * *"}), "/trigger/cron", "has 4 fields, not 5"),
        (
            json!({"cron": "0 0 * * *", "zone": "Europe/Berln"}),
            "/trigger/zone",
            "\"Europe/Berlin\"?",
        ),
        (
            json!({"cron": "0 0 * * *", "zone": "new york"}),
            "/trigger/zone",
            "\"America/New_York\"?",
        ),
        (
            json!({"cron": "0 0 * * *", "zone": "Mars"}),
            "/trigger/zone",
            "such as \"Europe/Berlin\"",
        ),
    ] {
        let (at, said) = refused(document.clone(), &always);
        assert_eq!(at, pointer, "{document}: {said}");
        assert!(said.contains(says), "{document}: {said}");
    }
    // It names only a time that New York's clocks skip, in the one year that it names.
    let skipped = json!({"cron": "0 30 2 8 3 * 2026-2027", "fields": 7, "zone": "America/New_York", "dst": "skip"});
    let last_year = moment("2026-01-01T00:00:00Z");
    assert!(Timetable::new(&trigger(skipped), &always, last_year, &Bundled).is_ok());
    let skipped = json!({"cron": "0 30 2 8 3 * 2026", "fields": 7, "zone": "America/New_York", "dst": "skip"});
    let error = Timetable::new(&trigger(skipped), &always, last_year, &Bundled).expect_err("never");
    assert!(error.to_string().contains("never exists on the clocks of its zone"), "{error}");
}

#[test]
fn a_window_that_leaves_nothing_is_refused() {
    let noon = json!({"cron": "0 12 * * *"});
    let window = Window {
        starts_at: Some(moment("2026-12-01T13:00:00Z")),
        ends_at: Some(moment("2026-12-02T12:00:00Z")),
        exclude_days: Vec::new(),
    };
    let (pointer, said) = refused(noon.clone(), &window);
    assert_eq!((pointer.as_str(), said.contains("between")), ("/ends_at", true), "{said}");
    let past = Window { ends_at: Some(moment("2026-11-28T12:00:00Z")), ..Window::default() };
    assert_eq!(refused(json!({"event": {"webhook": {}}}), &past).0, "/ends_at");
    assert_eq!(refused(json!({"interval_s": 9, "after_end": true}), &past).0, "/ends_at");
    let week = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
    let exclude_days = week.iter().map(|day| day.parse().expect("a day")).collect();
    let never = Window { exclude_days, ..Window::default() };
    for document in [noon, json!({"interval_s": 9}), json!({"interval_s": 9, "after_end": true})] {
        assert_eq!(refused(document, &never).0, "/exclude_days");
    }
}

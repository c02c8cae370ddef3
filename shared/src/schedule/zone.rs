//! Time zones as tables: since when a zone's clocks are how far ahead of UTC. Whoever has the rules
//! makes the table; whoever is sent it needs no rules, so boards need no time zone database and never
//! disagree with the core about one.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The last second that tables are made for: the end of the year 2100. Later clocks stay as they are
/// then.
const LAST_S: i64 = 4_133_980_799;
/// The most changes of a zone: ten times as many as any has.
const CHANGES_MAX: usize = 4_096;
/// The farthest that a clock is from UTC, in seconds.
const OFFSET_S_MAX: i32 = 26 * 3_600;

/// The clocks of a time zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "Told", into = "Told")]
pub struct Zone {
    name: Arc<str>,
    /// The first begins with time.
    offsets: Arc<[Offset]>,
}

/// From when on the clocks of a zone are how far ahead of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offset {
    /// The second, since 1970 in UTC.
    pub(super) from_s: i64,
    /// How far ahead of UTC, in seconds.
    pub(super) ahead_s: i32,
}

/// A zone as agents are told of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct Told {
    /// Its IANA name, for people.
    name: String,
    /// How far its clocks are ahead of UTC before they first change, in seconds.
    ahead_s: i32,
    /// From which second since 1970 on, in UTC, they are ahead by how many seconds; in order.
    #[serde(default)]
    changes: Vec<(i64, i32)>,
}

/// Why there is no such zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ZoneError {
    /// Its rules cannot be read.
    #[error("the rules of the time zone {name} cannot be read: {detail}")]
    Rules {
        /// Which.
        name: String,
        /// What is wrong with them.
        detail: String,
    },
    /// Its table breaks a rule.
    #[error("the clocks of the time zone {name} are not in order, too many, or too far from UTC")]
    Table {
        /// Which.
        name: String,
    },
}

/// Where the rules of time zones come from.
pub trait Zones: Send + Sync + fmt::Debug {
    /// The zone of a name, if there is one.
    fn zone(&self, name: &str) -> Option<Zone>;

    /// Every name, to find the nearest to one that is not there.
    fn names(&self) -> Vec<String>;
}

/// Knows UTC, and no other.
#[derive(Debug, Clone, Copy, Default)]
pub struct OnlyUtc;

impl Zones for OnlyUtc {
    fn zone(&self, name: &str) -> Option<Zone> {
        (name == "UTC").then(Zone::utc)
    }

    fn names(&self) -> Vec<String> {
        vec!["UTC".to_owned()]
    }
}

impl Zone {
    /// UTC itself.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".into(), offsets: [Offset { from_s: i64::MIN, ahead_s: 0 }].into() }
    }

    /// The zone that a compiled file of the time zone database describes (RFC 9636).
    ///
    /// # Errors
    /// When it is no such file.
    pub fn from_tzif(name: &str, file: &[u8]) -> Result<Self, ZoneError> {
        let rules = jiff::tz::TimeZone::tzif(name, file).map_err(|error| ZoneError::Rules {
            name: name.to_owned(),
            detail: error.to_string(),
        })?;
        let start = jiff::Timestamp::MIN;
        let first_s = rules.to_offset(start).seconds();
        let mut changes: Vec<(i64, i32)> = Vec::new();
        for change in rules.following(start) {
            let (from_s, ahead_s) = (change.timestamp().as_second(), change.offset().seconds());
            if from_s > LAST_S {
                break;
            }
            // Many changes are of the name only.
            if ahead_s != changes.last().map_or(first_s, |change| change.1) {
                changes.push((from_s, ahead_s));
            }
        }
        Self::checked(name, first_s, &changes)
    }

    fn checked(name: &str, ahead_s: i32, changes: &[(i64, i32)]) -> Result<Self, ZoneError> {
        let mut offsets = vec![Offset { from_s: i64::MIN, ahead_s }];
        offsets.extend(changes.iter().map(|&(from_s, ahead_s)| Offset { from_s, ahead_s }));
        let rises = offsets.windows(2).all(|pair| pair[0].from_s < pair[1].from_s);
        let near = offsets.iter().all(|offset| offset.ahead_s.abs() <= OFFSET_S_MAX);
        let bounded = changes.iter().all(|change| (-LAST_S..=LAST_S).contains(&change.0));
        if changes.len() > CHANGES_MAX || !rises || !near || !bounded {
            return Err(ZoneError::Table { name: name.chars().take(64).collect() });
        }
        Ok(Self { name: name.into(), offsets: offsets.into() })
    }

    /// Its IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The same zone, without what its clocks were before a moment, in seconds since 1970.
    #[must_use]
    pub fn since(&self, from_s: i64) -> Self {
        let mut offsets = self.offsets[self.index_at(from_s)..].to_vec();
        if let Some(first) = offsets.first_mut() {
            first.from_s = i64::MIN;
        }
        Self { name: Arc::clone(&self.name), offsets: offsets.into() }
    }

    /// Which of its offsets holds at a second of UTC.
    pub(super) fn index_at(&self, second: i64) -> usize {
        self.offsets.partition_point(|offset| offset.from_s <= second).saturating_sub(1)
    }

    /// One of its offsets.
    pub(super) fn offset(&self, index: usize) -> Option<Offset> {
        self.offsets.get(index).copied()
    }

    /// How far its clocks are ahead at a second of UTC, in seconds.
    #[must_use]
    pub fn ahead_s(&self, second: i64) -> i32 {
        self.offsets[self.index_at(second)].ahead_s
    }

    /// Every second of UTC from which on its clocks differ from before, with by how much they are
    /// ahead from then on, in seconds.
    pub fn changes(&self) -> impl Iterator<Item = (i64, i32)> {
        self.offsets.iter().skip(1).map(|offset| (offset.from_s, offset.ahead_s))
    }
}

impl TryFrom<Told> for Zone {
    type Error = ZoneError;

    fn try_from(told: Told) -> Result<Self, ZoneError> {
        Self::checked(&told.name, told.ahead_s, &told.changes)
    }
}

impl From<Zone> for Told {
    fn from(zone: Zone) -> Self {
        let ahead_s = zone.offsets.first().map_or(0, |first| first.ahead_s);
        Self { name: zone.name.to_string(), ahead_s, changes: zone.changes().collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_survives_the_wire_and_a_wrong_one_is_refused() {
        let zone = Zone::checked("X", 3_600, &[(7, 7_200), (70, 0)]).expect("zone");
        let text = serde_json::to_string(&zone).expect("json");
        assert_eq!(text, r#"{"name":"X","ahead_s":3600,"changes":[[7,7200],[70,0]]}"#);
        assert_eq!(serde_json::from_str::<Zone>(&text).expect("zone"), zone);
        assert_eq!((zone.ahead_s(-9), zone.ahead_s(6), zone.ahead_s(7)), (3_600, 3_600, 7_200));
        let since = zone.since(8);
        assert_eq!((since.ahead_s(0), since.ahead_s(70), since.offsets.len()), (7_200, 0, 2));
        for (ahead_s, changes) in
            [(0, "[[1,0],[1,1]]"), (0, "[[0,999999]]"), (99_999_999, "[]"), (0, "[[9e15,0]]")]
        {
            let text = format!(r#"{{"name": "X", "ahead_s": {ahead_s}, "changes": {changes}}}"#);
            assert!(serde_json::from_str::<Zone>(&text).is_err(), "{text}");
        }
        let changes: Vec<(i64, i32)> = (0..5_000).map(|at| (at, 0)).collect();
        assert!(Zone::checked("X", 0, &changes).is_err());
    }

    #[test]
    fn what_is_no_compiled_zone_is_refused() {
        assert!(matches!(Zone::from_tzif("X", b"TZif"), Err(ZoneError::Rules { .. })));
    }
}

//! Time as a value. Nothing here reads a clock: drivers do, in one file, and pass [`Now`] in.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Wall time: milliseconds since 1970-01-01T00:00:00Z. Written as RFC 3339 in UTC with
/// milliseconds. May jump; nothing that must not fail may depend on differences of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This time plus a number of milliseconds, staying within range.
    #[must_use]
    pub fn plus_ms(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to this time; 0 when `earlier` is later.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let time: jiff::Timestamp = text.parse().map_err(|_| {
            de::Error::custom("a time must be RFC 3339, for example 2026-11-21T01:02:03.456Z")
        })?;
        Ok(Self(time.as_millisecond()))
    }
}

/// A reading of a clock that never goes back while the machine is up, in milliseconds from an
/// arbitrary start. Never stored, never sent to be compared with another machine's.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Monotonic(pub u64);

impl Monotonic {
    /// Milliseconds from `earlier` to this reading; 0 when `earlier` is later.
    #[must_use]
    pub fn since_ms(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Add<u64> for Monotonic {
    type Output = Self;

    fn add(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }
}

impl Sub<u64> for Monotonic {
    type Output = Self;

    fn sub(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_sub(milliseconds))
    }
}

/// A reading of a board's own clocks beside its wall clock, so that whoever has a better clock can
/// tell when something happened there although the board could not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Stamp {
    /// Which start of the board's kernel the monotonic reading belongs to; readings of two starts
    /// cannot be compared.
    pub board: u32,
    /// The board's monotonic clock, in milliseconds.
    pub mono_ms: u64,
    /// Whether the board believed its wall clock.
    pub trusted: bool,
}

/// What a step is told about the moment it runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// The wall clock.
    pub wall: Timestamp,
    /// The monotonic clock.
    pub mono: Monotonic,
    /// Fresh random bits, the step's only source of chance.
    pub chance: u64,
}

/// Turns one word of chance and a purpose into an independent word (the finalizer of SplitMix64,
/// Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
#[must_use]
pub fn mix(chance: u64, purpose: u64) -> u64 {
    let mut word = chance ^ purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_written_with_milliseconds_and_read_back() {
        let time = Timestamp(1_795_223_223_456);
        let text = serde_json::to_string(&time).expect("serialize");
        assert!(text.ends_with(".456Z\""), "{text}");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).expect("parse"), time);
        assert_eq!(Timestamp(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp(-1).to_string(), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn monotonic_differences_never_wrap() {
        assert_eq!(Monotonic(1).since_ms(Monotonic(5)), 0);
        assert_eq!(Monotonic(u64::MAX) + 1, Monotonic(u64::MAX));
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_time_is_read_back_or_refused(
            ms in -62_135_596_800_000..253_402_207_200_000_i64,
            text in ".{0,40}|[0-9TZ:.+-]{0,30}",
        ) {
            let time = Timestamp(ms);
            let written = serde_json::to_value(time).expect("json");
            prop_assert_eq!(serde_json::from_value::<Timestamp>(written).expect("read"), time);
            if let Ok(read) = serde_json::from_value::<Timestamp>(text.into()) {
                let again = serde_json::to_value(read).expect("json");
                prop_assert_eq!(serde_json::from_value::<Timestamp>(again).expect("read"), read);
            }
        }
    }
}

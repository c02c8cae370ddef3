//! When a schedule fires, as its user wrote it: exactly one of four ways.

use serde::{Deserialize, Serialize};

use super::event::EventTrigger;
use crate::time::Timestamp;

/// When a schedule fires.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Trigger {
    /// At the moments of a cron expression.
    Cron(CronTrigger),
    /// Again and again after the same time.
    Interval(IntervalTrigger),
    /// At these moments, each once.
    At {
        /// The moments.
        #[cfg_attr(feature = "schema", schemars(length(min = 1, max = super::MOMENTS_MAX)))]
        at: Vec<Timestamp>,
    },
    /// When something happens.
    Event {
        /// What.
        event: EventTrigger,
    },
}

/// A cron expression as crontab(5) describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CronTrigger {
    /// Minute, hour, day of the month, month and day of the week; or `@hourly` and its kin.
    pub cron: String,
    /// How many fields that has: 6 begin with the second, 7 end with the year. `None` is 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 5, max = 7)))]
    pub fields: Option<u8>,
    /// The IANA time zone whose clocks it goes by; `None` is UTC.
    #[serde(default)]
    pub zone: Option<String>,
    /// What a time change does to it; `None` is what users of cron expect.
    #[serde(default)]
    pub dst: Option<Dst>,
}

/// What happens to moments that a time change leaves out, or brings twice. Without a rule, it
/// depends on the expression: where minute and hour are fixed, what is left out fires once, right
/// after the gap, and what comes twice fires at the first; where minute or hour begins with `*`,
/// every real minute counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Dst {
    /// What is left out does not fire; what comes twice fires at the first.
    Skip,
    /// What is left out fires once, right after the gap; what comes twice fires at the first.
    Once,
    /// What is left out fires once, right after the gap; what comes twice fires at both.
    Twice,
}

impl Dst {
    /// Every choice with its name on the wire.
    pub const ALL: [(&'static str, Self); 3] =
        [("skip", Self::Skip), ("once", Self::Once), ("twice", Self::Twice)];
}

/// Again and again after the same time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct IntervalTrigger {
    /// How long, in seconds.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 31_622_400)))]
    pub interval_s: u64,
    /// The moment from which it is counted; `None` is when the schedule was made, by whole seconds.
    #[serde(default)]
    pub anchor: Option<Timestamp>,
    /// Counted from the end of the last task instead.
    #[serde(default)]
    pub after_end: bool,
}

//! What makes tasks by itself: a template of a task, and what triggers it. [`parse`] reads one from a
//! stranger's document; a [`Timetable`] says when it fires, and [`due`] what is to be done about the
//! moments that have come. Core and agents decide by the same functions.

mod calendar;
mod cron;
mod due;
mod event;
mod parse;
mod timetable;
mod topic;
mod trigger;
mod zone;

use std::sync::{Arc, LazyLock};

use serde::{Deserialize, Serialize};

use crate::id::ScheduleName;
use crate::label::Labels;
use crate::spec::{Run, TaskSpec};
use crate::time::Timestamp;

pub use calendar::Day;
pub use due::{Due, Missed, ON_TIME_MS, Rules, due, jitter_ms};
pub use event::{
    AgentChange, AgentEvent, Condition, EventTrigger, MqttEvent, Operator, OutcomeEvent,
    PAYLOAD_BYTES_MAX, holds,
};
pub use parse::{parse, parse_preview, parse_trigger};
pub use timetable::{Firing, Note, Timetable, TimetableError, Window};
pub use topic::{TOPIC_BYTES_MAX, TOPIC_LEVELS_MAX, TopicFilter, TopicFilterError};
pub use trigger::{CronTrigger, Dst, IntervalTrigger, Trigger};
pub use zone::{OnlyUtc, Zone, ZoneError, Zones};

/// The most moments of a one-shot trigger.
pub const MOMENTS_MAX: usize = 1_000;
/// The most days that a schedule leaves out.
pub const DAYS_MAX: usize = 1_000;
/// The most missed firings that are made up for at once.
pub const MISSED_MAX: u32 = 1_000;
/// The most firings that wait for an earlier one to end.
pub const QUEUE_MAX: u32 = 100;
/// The longest jitter, in seconds.
pub const JITTER_S_MAX: u64 = 86_400;

/// A schedule as its user described it, with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ScheduleSpec {
    /// Its name, which no other schedule has.
    pub name: ScheduleName,
    /// Labels to find it by.
    #[serde(default)]
    pub labels: Labels,
    /// When it fires.
    pub trigger: Trigger,
    /// It fires at no moment before this.
    #[serde(default)]
    pub starts_at: Option<Timestamp>,
    /// It fires at this moment and later no more.
    #[serde(default)]
    pub ends_at: Option<Timestamp>,
    /// Spreads schedules that are due at one moment: each fires by a time of its own later, below
    /// this, in seconds. A resident one has such a time on each agent.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(range(max = JITTER_S_MAX)))]
    pub jitter_s: u64,
    /// Days of its zone on which it does not fire: a date (`2026-12-25`), a day of every year
    /// (`12-25`) or of every week (`sunday`).
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(length(max = DAYS_MAX)))]
    pub exclude_days: Vec<Day>,
    /// What happens to firings whose moment passed while nobody could fire them.
    pub missed: MissedRule,
    /// The most of them that `all` makes up for; the latest are.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = MISSED_MAX)))]
    pub missed_max: u32,
    /// How late one may be made up for, in seconds.
    pub catch_up_s: u64,
    /// What happens when it fires while a task of an earlier firing is not over.
    pub overlap: Overlap,
    /// The most firings that `queue` lets wait.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = QUEUE_MAX)))]
    pub queue_max: u32,
    /// Given to agents, which fire it by themselves; `None` is fired by the core.
    #[serde(default)]
    pub resident: Option<Resident>,
    /// What each firing makes.
    // A store keeps it apart.
    #[serde(default = "nothing")]
    pub task: Arc<TaskSpec>,
}

fn nothing() -> Arc<TaskSpec> {
    static NOTHING: LazyLock<Arc<TaskSpec>> =
        LazyLock::new(|| Arc::new(TaskSpec::new(Run::Noop {})));
    Arc::clone(&NOTHING)
}

/// Which agents hold a resident schedule: of those on which its task may run, all or the best few.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Resident {
    /// How many; `None` is all.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000)))]
    pub best: Option<u32>,
}

/// What happens to firings whose moment passed while nobody could fire them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum MissedRule {
    /// None is made up for.
    Skip,
    /// The latest is.
    Once,
    /// All are, up to a bound.
    All,
}

impl MissedRule {
    /// Every choice with its name on the wire.
    pub const ALL: [(&'static str, Self); 3] =
        [("skip", Self::Skip), ("once", Self::Once), ("all", Self::All)];
}

/// What happens when a schedule fires while a task of an earlier firing is not over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Both run.
    Allow,
    /// The new one does not.
    Forbid,
    /// The new one waits until the earlier is over.
    Queue,
    /// The earlier is canceled.
    Replace,
}

impl Overlap {
    /// Every choice with its name on the wire.
    pub const ALL: [(&'static str, Self); 4] = [
        ("allow", Self::Allow),
        ("forbid", Self::Forbid),
        ("queue", Self::Queue),
        ("replace", Self::Replace),
    ];
}

impl ScheduleSpec {
    /// How late a firing may be made up for when the schedule does not say, in seconds.
    pub const CATCH_UP_S_DEFAULT: u64 = 86_400;
    /// How many missed firings `all` makes up for when the schedule does not say.
    pub const MISSED_MAX_DEFAULT: u32 = 100;
    /// How many firings `queue` lets wait when the schedule does not say.
    pub const QUEUE_MAX_DEFAULT: u32 = 10;

    /// A schedule with nothing but what it must have; everything else has its default.
    #[must_use]
    pub fn new(name: ScheduleName, trigger: Trigger, task: Arc<TaskSpec>) -> Self {
        Self {
            name,
            labels: Labels::new(),
            trigger,
            starts_at: None,
            ends_at: None,
            jitter_s: 0,
            exclude_days: Vec::new(),
            missed: MissedRule::Once,
            missed_max: Self::MISSED_MAX_DEFAULT,
            catch_up_s: Self::CATCH_UP_S_DEFAULT,
            overlap: Overlap::Forbid,
            queue_max: Self::QUEUE_MAX_DEFAULT,
            resident: None,
            task,
        }
    }
}

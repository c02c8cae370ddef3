//! Placement as the API explains it.

use serde::{Deserialize, Serialize};

use crate::id::{AgentId, TaskId};
use crate::task::TaskStatus;

/// The name of the reason why an agent may not take a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum RefusalName {
    /// It cannot be heard.
    Offline,
    /// Its heartbeats are late, or it has just come back.
    Suspect,
    /// An operator lets it take nothing new.
    Cordoned,
    /// An operator empties it.
    Draining,
    /// It is kept out after failing too often.
    Quarantined,
    /// The task lists agents, and this is none of them.
    NotListed,
    /// The task avoids it, or it has just refused this task.
    Avoided,
    /// Its architecture is none of those asked for.
    Arch,
    /// It lacks a label.
    Label,
    /// Its labels do not satisfy an expression.
    Expression,
    /// It has a taint that the task does not tolerate.
    Taint,
    /// Its region is none of those asked for.
    Region,
    /// It is farther from the point than allowed.
    TooFar,
    /// It is outside the area.
    OutsideArea,
    /// Its round trip is longer than allowed.
    LatencyTooHigh,
    /// Its round trip is not measured yet.
    LatencyUnknown,
    /// A place is asked for, and where it is nobody knows.
    NoPosition,
    /// Too little processor is free.
    Cpu,
    /// Too little memory is free.
    Memory,
    /// Too little disk is free.
    Disk,
    /// Too little bandwidth is free.
    Bandwidth,
    /// Too few of a device are free.
    Device,
    /// It does not know this kind of `run`.
    Runtime,
    /// It holds as many assignments as it may.
    Slots,
    /// As many of a group as may be together are there, or nobody can tell whether they are.
    Spread,
}

impl RefusalName {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Suspect => "suspect",
            Self::Cordoned => "cordoned",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
            Self::NotListed => "not_listed",
            Self::Avoided => "avoided",
            Self::Arch => "arch",
            Self::Label => "label",
            Self::Expression => "expression",
            Self::Taint => "taint",
            Self::Region => "region",
            Self::TooFar => "too_far",
            Self::OutsideArea => "outside_area",
            Self::LatencyTooHigh => "latency_too_high",
            Self::LatencyUnknown => "latency_unknown",
            Self::NoPosition => "no_position",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Bandwidth => "bandwidth",
            Self::Device => "device",
            Self::Runtime => "runtime",
            Self::Slots => "slots",
            Self::Spread => "spread",
        }
    }
}

/// The terms of a score, each 0..1. A term that does not apply is absent, and so is its weight.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Terms {
    /// How idle the agent is.
    pub load: f64,
    /// How much of its capacity stays free.
    pub capacity: f64,
    /// How near it is; absent without a point to be near.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<f64>,
    /// How quickly it answers.
    pub latency: f64,
}

/// An agent that may take the task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Candidate {
    /// The agent.
    pub agent: AgentId,
    /// Its score, 0..1.
    pub score: f64,
    /// What the score is made of.
    pub terms: Terms,
    /// How far it is from the point to be near, in metres.
    pub distance_m: Option<f64>,
    /// Its smoothed round trip, in milliseconds.
    pub latency_ms: Option<f64>,
    /// Where the search ended with its budget: no agent that may take the task scores more than this
    /// above it. Left out where it is the best there is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap: Option<f64>,
}

/// The agents that may not take the task for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Refused {
    /// The reason.
    pub reason: RefusalName,
    /// How many agents it keeps away; an agent is counted under each of its reasons.
    pub count: u64,
    /// How many of them no other reason keeps away.
    #[serde(default)]
    pub alone: u64,
    /// Whether one of them may take the task later without anybody changing anything.
    pub waiting_helps: bool,
    /// What would help against this reason, in words.
    #[serde(default)]
    pub help: String,
    /// A few of them, those nearest to taking the task first.
    pub examples: Vec<RefusedExample>,
}

/// An agent that may not take the task, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct RefusedExample {
    /// The agent.
    pub agent: AgentId,
    /// Why, with the figures.
    pub detail: String,
}

/// What placing a task would come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Plan {
    /// The agent that would be chosen; null when none may take it.
    pub chosen: Option<AgentId>,
    /// The version of the placement policy.
    pub policy: u64,
    /// The profile of that policy, if it would be placed by one.
    #[serde(default)]
    pub profile: Option<String>,
    /// The best agents, best first.
    pub candidates: Vec<Candidate>,
    /// How many agents there are.
    #[serde(default)]
    pub agents: u64,
    /// How many of them may take it.
    pub feasible: u64,
    /// Why the others may not, the most frequent reason first.
    pub refused: Vec<Refused>,
}

/// Why a task is where it is, or still waits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Explanation {
    /// The task.
    pub task: TaskId,
    /// Its status.
    pub status: TaskStatus,
    /// The answer in a sentence.
    pub summary: String,
    /// What would help, for a task that waits.
    pub what_helps: Vec<String>,
    /// The placement of the latest attempt, as it was decided.
    pub placed: Option<Candidate>,
    /// What placing it would come to now, for a task that waits.
    pub plan: Option<Plan>,
}

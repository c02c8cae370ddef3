//! Agents as the API shows them.

use serde::{Deserialize, Serialize};

use crate::capacity::Resources;
use crate::geo::Position;
use crate::id::AgentId;
use crate::label::Labels;
use crate::time::Timestamp;

/// Whether an agent can be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// It is heard in time.
    Online,
    /// Heartbeats are missing, or it has just come back: nothing new is placed on it.
    Suspect,
    /// It cannot be heard.
    Offline,
}

impl AgentStatus {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Suspect => "suspect",
            Self::Offline => "offline",
        }
    }
}

/// What an operator, or the core's own caution, has set on an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentFlag {
    /// Takes nothing new.
    Cordoned,
    /// Takes nothing new, and what waits on it is moved away.
    Draining,
    /// Kept out after failing too often.
    Quarantined,
    /// Its credential is void, and it may not join.
    Revoked,
}

/// An agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentDocument {
    /// Its id.
    pub id: AgentId,
    /// Whether it can be heard.
    pub status: AgentStatus,
    /// What is set on it.
    pub flags: Vec<AgentFlag>,
    /// Where it is, if known.
    pub position: Option<Position>,
    /// Its region, if it has one.
    pub region: Option<String>,
    /// Its labels.
    pub labels: Labels,
    /// Its taints.
    pub taints: Vec<String>,
    /// Its processor architecture.
    pub arch: String,
    /// The kinds of `run` it knows.
    pub runtimes: Vec<String>,
    /// Its smoothed measured load, 0..1.
    pub load: f64,
    /// Its smoothed measured round trip, in milliseconds, once measured.
    pub latency_ms: Option<f64>,
    /// How many assignments it holds that are not over.
    pub assignments: u32,
    /// The most it holds at once.
    pub assignments_max: u32,
    /// What it has.
    pub capacity: Resources,
    /// What its assignments reserve.
    pub used: Resources,
    /// When it was last heard.
    pub last_seen: Option<Timestamp>,
    /// How far its wall clock is ahead of the core's, in milliseconds, once measured.
    pub clock_offset_ms: Option<i64>,
    /// Whether it believes its wall clock; `false` on a board that woke up in the past.
    pub clock_trusted: Option<bool>,
    /// Its program version.
    pub version: String,
}

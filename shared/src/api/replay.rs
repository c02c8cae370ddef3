//! What another placement policy would change, as the API tells it.

use serde::{Deserialize, Serialize};

use super::placement::{Candidate, Terms};
use crate::id::{AgentId, TaskId};

/// What another policy would change about placements that the core remembers: each is placed twice on
/// the fleet as it is now, by the policy in force and by the other one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PolicyReplay {
    /// The version of the policy in force, which the other one is compared with.
    pub policy: u64,
    /// How many placements were looked at.
    pub placements: u64,
    /// How many of them are of tasks that are not over.
    pub live: u64,
    /// How many of them the policy in force, too, would put elsewhere by now than they were put,
    /// because the fleet has changed.
    pub drifted: u64,
    /// What would become of them.
    pub change: ReplayCounts,
    /// What the places are like that the policy in force gives.
    pub before: ReplayMeans,
    /// What the places are like that the other one gives.
    pub after: ReplayMeans,
    /// The same by profile, those without one first.
    pub profiles: Vec<ReplayProfile>,
    /// Profiles that tasks ask for and the other policy does not have.
    pub unknown_profiles: Vec<String>,
    /// The agents that would gain or lose most of these placements, the greatest change first.
    pub agents: Vec<ReplayAgent>,
    /// Some of the placements that would change: those that lose their place, then those for which
    /// it matters most.
    pub examples: Vec<ReplayExample>,
}

/// What would become of placements.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReplayCounts {
    /// The same agent under both.
    pub stay: u64,
    /// Another agent.
    pub moved: u64,
    /// A place only under the other policy.
    pub gain: u64,
    /// A place only under the policy in force.
    pub lose: u64,
    /// No place under either.
    pub nowhere: u64,
}

/// What the places are like that a policy gives; means over those that have one, all null without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReplayMeans {
    /// The mean score, 0..1.
    pub score: Option<f64>,
    /// The mean of each term, as this policy counts it.
    pub terms: Option<Terms>,
    /// The median distance to the point to be near, in metres, of those that know it.
    pub distance_m_median: Option<f64>,
    /// The mean of that.
    pub distance_m_mean: Option<f64>,
    /// The mean round trip, in milliseconds, of those that have one.
    pub latency_ms_mean: Option<f64>,
}

/// The placements of one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReplayProfile {
    /// Its name; null for tasks that ask for none.
    pub profile: Option<String>,
    /// What would become of them.
    pub change: ReplayCounts,
}

/// How many of the placements an agent would have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReplayAgent {
    /// The agent.
    pub agent: AgentId,
    /// Under the policy in force.
    pub before: u64,
    /// Under the other one.
    pub after: u64,
}

/// A placement that would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReplayExample {
    /// The task.
    pub task: TaskId,
    /// Its name.
    pub name: Option<String>,
    /// The profile it asks for.
    pub profile: Option<String>,
    /// Where it was placed.
    pub placed: AgentId,
    /// Where the policy in force would place it now.
    pub before: Option<Candidate>,
    /// Where the other one would.
    pub after: Option<Candidate>,
    /// By how much the other one scores that higher than the agent before, 0..1.
    pub gain: Option<f64>,
}

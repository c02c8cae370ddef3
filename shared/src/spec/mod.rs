//! What a user submits: what to run, what it needs, where it may run, what happens when things
//! fail. [`parse`] reads it from a stranger's document; these types hold what came through.

mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capacity::Resources;
use crate::geo::{Area, Position};
use crate::id::AgentId;
use crate::label::{Expression, Labels};

pub use parse::parse;
pub(crate) use parse::{agents, labels};

/// The largest `run` in bytes of JSON. An assignment must fit into one message to its agent, so
/// the bound is held where the task enters, not discovered when it is sent.
pub const RUN_BYTES_MAX: usize = 64 * 1024;
/// The longest that a task may set for anything, in seconds.
pub(crate) const YEAR_S: u64 = 366 * 24 * 3600;
/// The most rules by which a task keeps its groups apart.
pub const SPREAD_MAX: usize = 4;
/// The longest name of a group, in bytes.
const GROUP_BYTES_MAX: usize = 63;
/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// The longest name of a profile of the placement policy, in bytes.
pub const PROFILE_BYTES_MAX: usize = 64;

/// A task as its user described it, with every default filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct TaskSpec {
    /// A name for people; need not be unique.
    #[cfg_attr(feature = "schema", schemars(length(max = NAME_BYTES_MAX)))]
    pub name: Option<String>,
    /// Labels to find it by.
    #[serde(default)]
    pub labels: Labels,
    /// What to run.
    pub run: Run,
    /// What it reserves on its agent.
    #[serde(default)]
    pub needs: Resources,
    /// Where it may run.
    #[serde(rename = "where", default)]
    pub place: Place,
    /// What ranks the agents where it may run; what is absent comes from the policy.
    #[serde(default)]
    pub prefer: Preference,
    /// 0 to 100; higher is placed first.
    #[cfg_attr(feature = "schema", schemars(range(max = 100)))]
    pub priority: u8,
    /// The longest an attempt may run, in seconds; `None` is as long as it likes.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = YEAR_S)))]
    pub timeout_s: Option<u64>,
    /// Seconds after submission by which it must be settled, or it fails.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = YEAR_S)))]
    pub deadline_s: Option<u64>,
    /// What happens when an attempt fails.
    pub retry: Retry,
    /// What happens when core and agent cannot hear each other.
    pub disconnect: Disconnect,
    /// Never two copies at once: it runs under a lease, and is replaced when that is over.
    pub exclusive: bool,
}

/// What to run. More kinds will come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Run {
    /// A process.
    Exec(Exec),
    /// Nothing: accepted and settled at once by the agent. For checks and benchmarks.
    Noop {},
}

impl Run {
    /// The name of its kind, as agents list it among their runtimes.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exec(_) => "exec",
            Self::Noop {} => "noop",
        }
    }
}

/// A process to run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Exec {
    /// The program: a path, or a name that is looked up in the agent's `PATH`.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its environment, beside what the agent adds.
    pub env: BTreeMap<String, String>,
    /// Its working directory on the agent; `None` is a fresh one of its own.
    pub dir: Option<String>,
}

/// Where a task may run. Every condition that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Place {
    /// A point to be near.
    pub near: Option<Near>,
    /// An area to be inside.
    pub area: Option<Area>,
    /// Regions, one of which must be the agent's; empty is any.
    pub regions: Vec<String>,
    /// The highest round-trip time between core and agent, in milliseconds.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 1_000_000_000)))]
    pub latency_ms_max: Option<f64>,
    /// Labels the agent must have.
    pub labels: Labels,
    /// Conditions on the agent's labels.
    pub expressions: Vec<Expression>,
    /// Architectures, one of which must be the agent's; empty is any.
    pub arch: Vec<String>,
    /// Agents that may be chosen; empty is all.
    pub agents: Vec<AgentId>,
    /// Agents that may not be chosen.
    pub avoid_agents: Vec<AgentId>,
    /// Taints of an agent that do not keep this task away.
    pub tolerate: Vec<String>,
    /// How few of a group may be together. The task belongs to every group that it names here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = SPREAD_MAX)))]
    pub spread: Vec<Spread>,
}

/// At most so many tasks of a group in one region, in one zone, on one agent, or within a distance,
/// this one included. It is held when this task is placed: those that are placed later hold
/// what they ask for themselves, so all of a group should ask for the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Spread {
    /// The name of the group.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = GROUP_BYTES_MAX)))]
    pub group: String,
    /// The most of it that may be together, at least 1.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 1_000_000)))]
    pub max: u32,
    /// What being together means.
    #[serde(flatten)]
    pub together: Together,
}

/// When two tasks are together. An agent of which it cannot be told takes none of those that ask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Together {
    /// Their agents have this in common.
    Per(Per),
    /// Their agents are at most so many metres apart, along the great circle.
    WithinM(#[cfg_attr(feature = "schema", schemars(range(min = 0, max = 20_040_000)))] f64),
}

/// What two agents may have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Their region.
    Region,
    /// Their zone: the value of the label `zone`.
    Zone,
    /// They are the same agent.
    Agent,
}

impl Per {
    /// Every choice with its name on the wire.
    pub const ALL: [(&'static str, Self); 3] =
        [("region", Self::Region), ("zone", Self::Zone), ("agent", Self::Agent)];

    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Zone => "zone",
            Self::Agent => "agent",
        }
    }
}

/// The label that says in which zone an agent is.
pub const ZONE_LABEL: &str = "zone";

impl Place {
    /// The groups that the task belongs to, each once.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let first = |(at, rule): &(usize, &Spread)| {
            self.spread[..*at].iter().all(|earlier| earlier.group != rule.group)
        };
        self.spread.iter().enumerate().filter(first).map(|(_, rule)| rule.group.as_str())
    }
}

/// A point and how far from it is still near.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Near {
    /// The point.
    #[serde(flatten)]
    pub position: Position,
    /// The farthest an agent may be, in metres along the great circle; `None` is any distance,
    /// nearer being better.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = 20_040_000)))]
    pub within_m: Option<f64>,
}

/// How the agents that may take a task are ranked, as far as it says so itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Preference {
    /// Weight of a low load.
    #[cfg_attr(feature = "schema", schemars(range(max = 1_000)))]
    pub load: Option<u32>,
    /// Weight of free capacity.
    #[cfg_attr(feature = "schema", schemars(range(max = 1_000)))]
    pub capacity: Option<u32>,
    /// Weight of a short distance.
    #[cfg_attr(feature = "schema", schemars(range(max = 1_000)))]
    pub distance: Option<u32>,
    /// Weight of a low latency.
    #[cfg_attr(feature = "schema", schemars(range(max = 1_000)))]
    pub latency: Option<u32>,
    /// The profile of the placement policy to place it by; absent is the policy itself. Weights that
    /// are given here count before those of the profile.
    // Left out where it says nothing: a key is bound to the JSON of its task, also by earlier cores.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = PROFILE_BYTES_MAX)))]
    pub profile: Option<String>,
}

/// What happens when an attempt fails by itself. Losing an agent is not a failure of the task and
/// is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Retry {
    /// The most attempts that may fail, the first included.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = 100)))]
    pub attempts_max: u32,
    /// The wait before the second attempt, in seconds; it doubles from there.
    #[cfg_attr(feature = "schema", schemars(range(max = 86_400)))]
    pub delay_s: u64,
    /// The longest wait, in seconds.
    #[cfg_attr(feature = "schema", schemars(range(max = 604_800)))]
    pub delay_s_max: u64,
}

/// What core and agent do when they cannot hear each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Disconnect {
    /// After how many seconds of an agent's silence its attempt counts as lost.
    #[cfg_attr(feature = "schema", schemars(range(max = YEAR_S)))]
    pub lost_after_s: u64,
    /// After how many seconds without the core the agent stops the task by itself.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = YEAR_S)))]
    pub stop_after_s: Option<u64>,
    /// Whether a lost attempt is replaced on another agent.
    pub replace: bool,
    /// Which copy stays when a lost one comes back.
    pub reconcile: Reconcile,
}

/// Which copy stays when an attempt that was replaced is heard again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Reconcile {
    /// The one whose agent scored higher.
    BestScore,
    /// The first one.
    KeepOriginal,
    /// The replacement.
    KeepReplacement,
    /// The one that has run longest.
    LongestRunning,
}

impl Reconcile {
    /// Every choice with its name on the wire.
    pub const ALL: [(&'static str, Self); 4] = [
        ("best_score", Self::BestScore),
        ("keep_original", Self::KeepOriginal),
        ("keep_replacement", Self::KeepReplacement),
        ("longest_running", Self::LongestRunning),
    ];
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts_max: 3, delay_s: 5, delay_s_max: 300 }
    }
}

impl Default for Disconnect {
    fn default() -> Self {
        Self {
            lost_after_s: 60,
            stop_after_s: None,
            replace: true,
            reconcile: Reconcile::BestScore,
        }
    }
}

impl TaskSpec {
    /// The priority of a task that names none.
    pub const PRIORITY_DEFAULT: u8 = 50;
    /// The timeout of a task that names none, in seconds.
    pub const TIMEOUT_S_DEFAULT: u64 = 600;

    /// A task with nothing but what to run; everything else has its default.
    #[must_use]
    pub fn new(run: Run) -> Self {
        Self {
            name: None,
            labels: Labels::new(),
            run,
            needs: Resources::default(),
            place: Place::default(),
            prefer: Preference::default(),
            priority: Self::PRIORITY_DEFAULT,
            timeout_s: Some(Self::TIMEOUT_S_DEFAULT),
            deadline_s: None,
            retry: Retry::default(),
            disconnect: Disconnect::default(),
            exclusive: false,
        }
    }
}

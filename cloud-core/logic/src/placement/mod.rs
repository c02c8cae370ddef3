//! Placement: which agent takes a task, and why not each other one. Candidates → filter → score →
//! choose, with an explanation of every step. Reads the fleet and never changes it; reserving is
//! the business of whoever acts on the answer.

mod batch;
mod candidates;
mod detail;
mod explain;
mod filter;
mod groups;
mod help;
mod index;
mod limits;
mod plan;
mod policy;
mod refusal;
mod repack;
mod replay;
mod roster;
mod score;
mod snapshot;
mod terms;
mod vocabulary;
mod words;

#[cfg(test)]
mod tests;

use shared::id::AgentId;
use shared::spec::TaskSpec;

pub use batch::{Batch, Choice, Gain, TOGETHER_MAX};
pub use candidates::{Chooser, FullScan};
pub use explain::{Waiting, explain_placed, explain_waiting, what_helps};
pub use filter::{is_feasible, refusals};
pub use groups::Groups;
pub use plan::plan;
pub use policy::{Policy, Weights};
pub use refusal::Refusal;
pub use repack::{Repack, Repacked, Repacking};
pub use replay::{Recorded, replay};
pub use roster::Roster;
pub use score::candidate;
pub use snapshot::Snapshot;

/// What is to be placed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The task, as submitted.
    pub spec: &'a TaskSpec,
    /// Agents that have just refused this task. Not for ever: waiting helps against it.
    pub avoid: &'a [AgentId],
    /// Who is in the groups that the task is to be kept apart from.
    pub groups: &'a Groups,
}

impl<'a> Request<'a> {
    /// To place a task that no agent has refused, and that keeps apart from nobody.
    #[must_use]
    pub fn of(spec: &'a TaskSpec) -> Self {
        Self { spec, avoid: &[], groups: &groups::NO_GROUPS }
    }
}

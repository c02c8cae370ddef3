//! Many submissions in one request.

use serde::{Deserialize, Serialize};

use super::problem::ProblemDocument;
use super::task::TaskSummary;
use crate::spec::TaskSpec;

/// An item of a batch: a task, and beside its fields perhaps a key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BatchItem {
    /// The task.
    #[serde(flatten)]
    pub task: TaskSpec,
    /// What the header `Idempotency-Key` is for a single task: 1 to 255 visible ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 255), regex(pattern = r"^[!-~]+$"))
    )]
    pub idempotency_key: Option<String>,
}

/// What became of the items of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BatchDocument {
    /// One result per item, in the order of the items.
    pub results: Vec<BatchResult>,
}

/// What became of one item: a task or a problem, never both.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct BatchResult {
    /// The HTTP status that the item would have had alone: 201 for a task that was taken on, 200
    /// for one that was already, that of the problem otherwise.
    pub status: u16,
    /// The task, as in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<TaskSummary>,
    /// Why it was not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemDocument>,
}

impl BatchResult {
    /// A task that is there.
    #[must_use]
    pub fn task(status: u16, task: TaskSummary) -> Self {
        Self { status, task: Some(task), problem: None }
    }

    /// An item that was not taken.
    #[must_use]
    pub fn problem(problem: ProblemDocument) -> Self {
        Self { status: problem.status, task: None, problem: Some(problem) }
    }
}

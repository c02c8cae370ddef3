//! What the HTTP API answers. The types are the contract: fields may be added, what stands here
//! keeps its name and meaning.

mod agent;
mod batch;
mod event;
mod health;
mod logs;
mod placement;
mod policy;
mod problem;
mod replay;
mod schedule;
mod task;

use serde::{Deserialize, Serialize};

pub use agent::{AgentDocument, AgentFlag, AgentStatus};
pub use batch::{BatchDocument, BatchItem, BatchResult};
pub use event::{EventDetail, EventDocument, EventKind};
pub use health::{Index, Liveness, Readiness};
pub use logs::{LogGap, LogRecord, LogText};
pub use placement::{Candidate, Explanation, Plan, RefusalName, Refused, RefusedExample, Terms};
pub use policy::{
    BatchStrategy, PlacementPolicy, PolicyDocument, PolicyFilters, PolicyProfile, PolicyWeights,
    ProfileFilters, ProfileWeights,
};
pub use problem::ProblemDocument;
pub use replay::{
    PolicyReplay, ReplayAgent, ReplayCounts, ReplayExample, ReplayMeans, ReplayProfile,
};
pub use schedule::{
    FiringDocument, FiringStatus, HookCalled, HookDocument, PreviewDocument, PreviewWish,
    ScheduleDocument, ScheduleFired, ScheduleKind, ScheduleSummary,
};
pub use task::{
    AssignmentDocument, HistoryDocument, OutcomeDocument, ProgressDocument, TaskDocument,
    TaskOrigin, TaskSummary, Together, TraceDocument,
};

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "PageOf{T}"))]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// What to pass as `cursor` for the next page; null on the last.
    pub next_cursor: Option<String>,
}

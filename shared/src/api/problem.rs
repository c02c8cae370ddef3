//! Problem details (RFC 9457).

use serde::{Deserialize, Serialize};

use super::task::HistoryDocument;
use crate::border::Problem;

/// An error as the API tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ProblemDocument {
    /// A stable name: `https://ambit.dev/problems/…` is never fetched, only compared.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// A sentence that a person can act on.
    pub detail: String,
    /// What is wrong with which field, for a document that was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Problem>,
    /// What agents told of a task that the core has forgotten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub late_reports: Vec<HistoryDocument>,
}

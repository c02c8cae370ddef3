//! What the core says of itself to machines, and to people who open its root.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Index {
    /// What answers: `ambit core`.
    pub name: String,
    /// Its program version.
    pub version: String,
    /// Where to go on, by what is there.
    pub urls: BTreeMap<String, String>,
}

/// That the core serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Liveness {
    /// Always `live`.
    pub status: String,
}

/// Whether the core can do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Readiness {
    /// `ready` or `not_ready`.
    pub status: String,
    /// What is in the way, in words.
    pub reasons: Vec<String>,
}

//! Values to columns and back. SQLite's integers are signed; counters never come near the edge.

use edge_agent_logic::change::EntryKind;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::StoreError;

/// A counter as a column.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A column as a counter.
pub(super) fn number(signed: i64) -> u64 {
    u64::try_from(signed).unwrap_or(0)
}

/// A value as a column of JSON.
pub(super) fn text(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| damaged("a value", &error))
}

/// A column of JSON as a value.
pub(super) fn parse<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| damaged(what, &error))
}

/// What an entry of the outbox is good for, as a column.
pub(super) fn kind_text(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::State => "state",
        EntryKind::Run => "run",
        EntryKind::Firing => "firing",
        EntryKind::Outcome => "outcome",
    }
}

/// The same back.
pub(super) fn kind(text: &str) -> Result<EntryKind, StoreError> {
    let kinds = [EntryKind::State, EntryKind::Run, EntryKind::Firing, EntryKind::Outcome];
    let kind = kinds.into_iter().find(|kind| kind_text(*kind) == text);
    kind.ok_or_else(|| damaged("a report's kind", &text))
}

/// A column of text as an id.
pub(super) fn id<T: std::str::FromStr>(what: &'static str, text: &str) -> Result<T, StoreError>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|error| damaged(what, &error))
}

pub(super) fn damaged(what: &'static str, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged { what, detail: error.to_string() }
}

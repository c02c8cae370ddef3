//! Labels: what agents and tasks are tagged with, and the expressions that select by them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Labels by key.
pub type Labels = BTreeMap<String, String>;

/// The most labels on one thing.
pub const LABELS_MAX: usize = 64;
/// The longest label key, in bytes.
pub const LABEL_KEY_BYTES_MAX: usize = 63;
/// The longest label value, in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 253;

/// Checks a label's key.
///
/// # Errors
/// A sentence that says what a key may be.
pub fn check_key(key: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
    if key.is_empty() || key.len() > LABEL_KEY_BYTES_MAX || !key.chars().all(allowed) {
        return Err(format!(
            "a label key must be 1 to {LABEL_KEY_BYTES_MAX} letters, digits, `.`, `_`, `-` or `/`"
        ));
    }
    Ok(())
}

/// How an expression looks at one label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// The label's value is one of the values.
    In,
    /// The label is absent, or its value is none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    NotExists,
}

impl Operator {
    /// Every operator with its name on the wire.
    pub const ALL: [(&'static str, Self); 4] = [
        ("in", Self::In),
        ("not_in", Self::NotIn),
        ("exists", Self::Exists),
        ("not_exists", Self::NotExists),
    ];
}

/// A condition on one label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Expression {
    /// The label's key.
    pub key: String,
    /// How to look at it.
    pub op: Operator,
    /// What to compare with; empty for `exists` and `not_exists`.
    #[serde(default)]
    pub values: Vec<String>,
}

impl Expression {
    /// Whether labels satisfy it.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        let value = labels.get(&self.key);
        let listed = || value.is_some_and(|value| self.values.contains(value));
        match self.op {
            Operator::In => listed(),
            Operator::NotIn => !listed(),
            Operator::Exists => value.is_some(),
            Operator::NotExists => value.is_none(),
        }
    }

    /// The expression as a person would write it.
    #[must_use]
    pub fn describe(&self) -> String {
        let values = self.values.join(", ");
        match self.op {
            Operator::In => format!("{} in ({values})", self.key),
            Operator::NotIn => format!("{} not in ({values})", self.key),
            Operator::Exists => format!("{} exists", self.key),
            Operator::NotExists => format!("{} does not exist", self.key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absent_label_is_not_in_any_list() {
        let labels = Labels::from([("os".to_owned(), "debian".to_owned())]);
        let expression = |key: &str, op| Expression {
            key: key.to_owned(),
            op,
            values: vec!["debian".to_owned()],
        };
        assert!(expression("os", Operator::In).matches(&labels));
        assert!(!expression("os", Operator::NotIn).matches(&labels));
        assert!(expression("gpu", Operator::NotIn).matches(&labels));
        assert!(!expression("gpu", Operator::In).matches(&labels));
        assert!(expression("gpu", Operator::NotExists).matches(&labels));
    }
}

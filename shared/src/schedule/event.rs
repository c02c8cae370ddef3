//! Schedules that fire when something happens.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::topic::TopicFilter;
use crate::geo::Area;
use crate::id::{AgentId, ScheduleName, TaskId};
use crate::label::Labels;
use crate::task::TaskStatus;

/// The most conditions on a payload.
pub const CONDITIONS_MAX: usize = 16;
/// The largest payload that reaches a task, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 16 * 1024;

/// What a schedule waits for: exactly one of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EventTrigger {
    /// A signed call of `/v1/hooks/{name}`.
    Webhook {
        /// What must hold of its body, which is JSON then.
        #[serde(default)]
        when: Vec<Condition>,
    },
    /// Somebody publishes a message.
    Mqtt(MqttEvent),
    /// A task has its outcome.
    Outcome(OutcomeEvent),
    /// An agent has changed.
    Agent(AgentEvent),
}

/// Somebody publishes a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MqttEvent {
    /// On a topic that this filter matches.
    pub topic: TopicFilter,
    /// What must hold of its payload: of the JSON that it is, or of the text.
    #[serde(default)]
    pub when: Vec<Condition>,
}

/// A task has its outcome: one that is named, or any that a schedule made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OutcomeEvent {
    /// The task.
    #[serde(default)]
    pub task: Option<TaskId>,
    /// The schedule that made it.
    #[serde(default)]
    pub schedule: Option<ScheduleName>,
    /// Only these outcomes; empty is any.
    #[serde(default)]
    pub status: Vec<TaskStatus>,
}

/// An agent has changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct AgentEvent {
    /// How.
    pub becomes: AgentChange,
    /// The area that it enters.
    #[serde(default)]
    pub area: Option<Area>,
    /// Only these agents; empty is any.
    #[serde(default)]
    pub agents: Vec<AgentId>,
    /// Labels it must have.
    #[serde(default)]
    pub labels: Labels,
}

/// How an agent changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AgentChange {
    /// It can be heard.
    Online,
    /// It cannot be heard.
    Offline,
    /// It comes into an area.
    Inside,
}

impl AgentChange {
    /// Every choice with its name on the wire.
    pub const ALL: [(&'static str, Self); 3] =
        [("online", Self::Online), ("offline", Self::Offline), ("inside", Self::Inside)];
}

/// What must hold of a value in a payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Condition {
    /// JSON pointer (RFC 6901) of the value.
    pub pointer: String,
    /// How it is compared.
    pub op: Operator,
    /// With what; null for `exists` and `missing`.
    #[serde(default)]
    pub value: Value,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(rename = "ConditionOperator"))]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// It is the same.
    Eq,
    /// It is there and another.
    Ne,
    /// It is a greater number.
    Gt,
    /// It is a greater number, or the same.
    Ge,
    /// It is a smaller number.
    Lt,
    /// It is a smaller number, or the same.
    Le,
    /// It is one of a list.
    In,
    /// It is there.
    Exists,
    /// It is not there.
    Missing,
}

impl Operator {
    /// Every choice with its name on the wire.
    pub const ALL: [(&'static str, Self); 9] = [
        ("eq", Self::Eq),
        ("ne", Self::Ne),
        ("gt", Self::Gt),
        ("ge", Self::Ge),
        ("lt", Self::Lt),
        ("le", Self::Le),
        ("in", Self::In),
        ("exists", Self::Exists),
        ("missing", Self::Missing),
    ];
}

impl Condition {
    /// Whether it holds of a payload.
    #[must_use]
    pub fn holds(&self, payload: &Value) -> bool {
        let found = payload.pointer(&self.pointer);
        let ordered = |wanted: fn(std::cmp::Ordering) -> bool| {
            let pair = (found.and_then(Value::as_f64), self.value.as_f64());
            let (Some(found), Some(value)) = pair else { return false };
            found.partial_cmp(&value).is_some_and(wanted)
        };
        match self.op {
            Operator::Eq => found.is_some_and(|found| same(found, &self.value)),
            Operator::Ne => found.is_some_and(|found| !same(found, &self.value)),
            Operator::Gt => ordered(std::cmp::Ordering::is_gt),
            Operator::Ge => ordered(std::cmp::Ordering::is_ge),
            Operator::Lt => ordered(std::cmp::Ordering::is_lt),
            Operator::Le => ordered(std::cmp::Ordering::is_le),
            Operator::In => {
                let list = self.value.as_array().map_or(&[][..], Vec::as_slice);
                found.is_some_and(|found| list.iter().any(|value| same(found, value)))
            }
            Operator::Exists => found.is_some(),
            Operator::Missing => found.is_none(),
        }
    }
}

/// Whether all conditions hold of a payload, which is read once for all that ask and null if it is
/// no JSON.
#[must_use]
pub fn holds(when: &[Condition], payload: &str, read: &mut Option<Value>) -> bool {
    if when.is_empty() {
        return true;
    }
    let value = read.get_or_insert_with(|| serde_json::from_str(payload).unwrap_or_default());
    when.iter().all(|condition| condition.holds(value))
}

/// Whether two values are the same; numbers by what they are worth, however they are written.
fn same(one: &Value, other: &Value) -> bool {
    match (one.as_f64(), other.as_f64()) {
        (Some(one), Some(other)) => one == other,
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_condition_holds_of_what_it_describes_and_of_nothing_else() {
        let payload = json!({"door": {"open": true}, "t": 21, "tags": ["a"], "none": null});
        let holds = |pointer: &str, op: &str, value: Value| {
            let document = json!({"pointer": pointer, "op": op, "value": value});
            serde_json::from_value::<Condition>(document).expect("condition").holds(&payload)
        };
        assert!(holds("/door/open", "eq", json!(true)));
        assert!(!holds("/door/shut", "ne", json!(true)));
        assert!(holds("/t", "ge", json!(21.0)));
        assert!(holds("/t", "eq", json!(21.0)));
        assert!(!holds("/t", "gt", json!(21)));
        assert!(holds("/t", "lt", json!(21.5)));
        assert!(!holds("/tags", "lt", json!(1)));
        assert!(holds("/tags/0", "in", json!(["b", "a"])));
        assert!(holds("/none", "exists", json!(null)));
        assert!(holds("/gone", "missing", json!(null)));
        assert!(!holds("/t", "in", json!(21)));
    }
}

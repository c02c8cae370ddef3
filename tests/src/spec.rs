//! Tasks as tests write them: the few kinds that all of them use, as JSON to be added to.

use serde_json::{Value, json};

/// A task with nothing but what to run.
#[must_use]
pub fn task(run: Value) -> Value {
    json!({ "run": run })
}

/// What to run: a shell script.
#[must_use]
pub fn sh(script: &str) -> Value {
    json!({"exec": {"command": "/bin/sh", "args": ["-c", script]}})
}

/// What to run: nothing.
#[must_use]
pub fn noop() -> Value {
    json!({"noop": {}})
}

/// The same task with some fields more; objects in it are merged field by field.
#[must_use]
pub fn with(mut task: Value, more: Value) -> Value {
    merge(&mut task, more);
    task
}

fn merge(into: &mut Value, more: Value) {
    match (into, more) {
        (Value::Object(into), Value::Object(more)) => {
            for (key, value) in more {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, more) => *into = more,
    }
}

/// Only on these agents.
#[must_use]
pub fn on(task: Value, agents: &[&str]) -> Value {
    with(task, json!({"where": {"agents": agents}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_added_where_they_belong() {
        let made =
            with(on(task(noop()), &["a"]), json!({"where": {"regions": ["r"]}, "priority": 1}));
        let meant = json!({
            "run": {"noop": {}}, "priority": 1, "where": {"agents": ["a"], "regions": ["r"]}
        });
        assert_eq!(made, meant);
    }
}

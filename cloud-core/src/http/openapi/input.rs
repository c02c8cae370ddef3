//! The schemas of what is sent to the core. They differ from those of what it answers: most fields
//! may be left out or null, and a field that nobody knows is refused. The readers are written by
//! hand (`shared::spec::parse`), so what they ask for is said here. Pure.

use serde_json::{Map, Value, json};
use shared::spec::{Disconnect, Retry, Run, TaskSpec};

use super::document::SCHEMAS;

/// What the name of such a schema ends with.
const SUFFIX: &str = "Input";

/// The fields that must be there and not null, by type. Of every other type none has to.
const REQUIRED: &[(&str, &[&str])] = &[
    ("TaskSpec", &["run"]),
    ("BatchItem", &["run"]),
    ("Exec", &["command"]),
    ("Near", &["latitude", "longitude"]),
    ("Expression", &["key", "op"]),
    ("ScheduleSpec", &["trigger", "task"]),
    ("PreviewWish", &["trigger"]),
    ("CronTrigger", &["cron"]),
    ("IntervalTrigger", &["interval_s"]),
    ("Condition", &["pointer", "op"]),
    ("AgentEvent", &["becomes"]),
];

/// The schemas as they stand in the document, from those of the types.
pub fn schemas(definitions: Map<String, Value>) -> Map<String, Value> {
    let mut schemas = Map::new();
    for (name, mut schema) in definitions {
        if !is_shared(&name) {
            fill_in(&name, &mut schema);
            open_up(&name, &mut schema);
            schemas.insert(format!("{name}{SUFFIX}"), reference(schema));
        }
    }
    schemas
}

/// A schema with its references turned to the schemas of what is sent.
pub fn reference(mut schema: Value) -> Value {
    turn(&mut schema);
    schema
}

fn turn(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(Value::String(target)) = fields.get_mut("$ref")
                && let Some(name) = target.strip_prefix(&format!("#{SCHEMAS}/"))
                && !is_shared(name)
            {
                target.push_str(SUFFIX);
            }
            fields.values_mut().for_each(turn);
        }
        Value::Array(items) => items.iter_mut().for_each(turn),
        _ => {}
    }
}

/// Whether it is the same to write and to read: words, ids, places.
fn is_shared(name: &str) -> bool {
    matches!(
        name,
        "AgentId"
            | "AgentChange"
            | "Area"
            | "ConditionOperator"
            | "Day"
            | "Dst"
            | "MissedRule"
            | "Operator"
            | "Overlap"
            | "Position"
            | "Reconcile"
            | "ScheduleName"
            | "TaskId"
            | "TaskStatus"
            | "Timestamp"
    )
}

/// Says what a field is when it is left out.
fn fill_in(name: &str, schema: &mut Value) {
    let written = match name {
        "TaskSpec" | "BatchItem" => serde_json::to_value(TaskSpec::new(Run::Noop {})),
        "Retry" => serde_json::to_value(Retry::default()),
        "Disconnect" => serde_json::to_value(Disconnect::default()),
        _ => return,
    };
    let Ok(Value::Object(defaults)) = written else {
        return;
    };
    for (field, default) in defaults {
        let told = schema["properties"].get_mut(&field).and_then(Value::as_object_mut);
        let is_plain = !default.is_object() && !default.is_array() && !default.is_null();
        if let (Some(told), true) = (told, is_plain) {
            told.insert("default".to_owned(), default);
        }
    }
}

/// Lets fields be left out and null, and refuses unknown ones, as the reader does.
fn open_up(name: &str, schema: &mut Value) {
    if name == "Run" {
        return one_kind(schema);
    }
    let required = REQUIRED.iter().find(|(known, _)| *known == name).map_or(&[][..], |row| row.1);
    let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (field, told) in fields.iter_mut() {
        if !required.contains(&field.as_str()) {
            *told = or_null(told.take());
        }
    }
    schema["additionalProperties"] = json!(false);
    schema["required"] = json!(required);
    if name == "ScheduleSpec"
        && let Some(choices) = schema["properties"]["resident"]["anyOf"].as_array_mut()
    {
        choices.push(json!({"type": "boolean"}));
    }
    if name == "Exec" {
        schema["properties"]["command"]["minLength"] = json!(1);
    }
}

/// One kind of `run` has to be given, and the others may be null.
fn one_kind(schema: &mut Value) {
    let Some(kinds) = schema.get_mut("oneOf").and_then(Value::as_array_mut) else {
        return;
    };
    let names: Vec<String> =
        kinds.iter().filter_map(|kind| kind["required"][0].as_str().map(str::to_owned)).collect();
    for kind in kinds {
        let own = kind["required"][0].clone();
        for name in names.iter().filter(|name| own != name.as_str()) {
            kind["properties"][name] = json!({"type": "null"});
        }
        if own == "noop" {
            kind["properties"]["noop"] =
                json!({"type": "object", "properties": {}, "additionalProperties": false});
        }
    }
}

fn or_null(mut told: Value) -> Value {
    match &mut told["type"] {
        Value::String(kind) => {
            let kind = kind.clone();
            told["type"] = json!([kind, "null"]);
            told
        }
        Value::Array(kinds) => {
            if !kinds.contains(&json!("null")) {
                kinds.push(json!("null"));
            }
            told
        }
        _ => {
            let fields = told.as_object_mut();
            let mut fields = fields.cloned().unwrap_or_default();
            fields.remove("type");
            let is_open = fields.get("anyOf").is_some_and(|choices| {
                choices.as_array().is_some_and(|all| all.contains(&json!({"type": "null"})))
            });
            if is_open {
                return Value::Object(fields);
            }
            let description = fields.remove("description");
            let default = fields.remove("default");
            let mut open = json!({"anyOf": [fields, {"type": "null"}]});
            for (name, value) in [("description", description), ("default", default)] {
                if let Some(value) = value {
                    open[name] = value;
                }
            }
            open
        }
    }
}

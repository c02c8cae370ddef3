//! From flags and files to tasks: a flag wins over what the file says. What comes out has been
//! read as the core reads it, so that a mistake is told before anything is submitted.

use serde_json::{Map, Value, json};
use shared::border::Problem;

use super::args::SpecArgs;
use super::document::{self, Document, TASKS_MAX};
use super::error::ClientError;

/// What has no place in a file that holds several tasks.
const SINGLE: &str = "several tasks are given, and this takes one; name one file with one task";

/// The field of a task in a file that is not the task's: the key under which it is submitted.
const KEY_FIELD: &str = "idempotency_key";
/// The longest such key, in bytes, by the API.
const KEY_BYTES_MAX: usize = 255;
/// The most mistakes that are told: one who makes more has made one many times.
pub(super) const MISTAKES_MAX: usize = 50;

/// The tasks that were asked for, at least one.
///
/// # Errors
/// A file cannot be read, a task is not valid, or there is none: everything that is wrong, a line
/// each.
pub fn tasks(args: &SpecArgs) -> Result<Vec<Document>, ClientError> {
    if args.within.is_some() && args.near.is_none() && args.files.is_empty() {
        return Err(ClientError::Usage(
            "--within says how far from a point; name the point with --near LAT,LON".to_owned(),
        ));
    }
    let mut documents = Vec::new();
    for path in &args.files {
        documents.extend(document::read(path, args.format)?);
    }
    if documents.len() > TASKS_MAX {
        return Err(ClientError::Usage(format!(
            "{} tasks in all the files, at most {TASKS_MAX} in one call; make several",
            documents.len()
        )));
    }
    if args.files.is_empty() {
        documents.push(Document::given(json!({"run": run_of(args)?})));
    }
    let flags = flags(args);
    let mut wrong = Vec::new();
    for document in &mut documents {
        if let Err(problem) = take_key(document) {
            wrong.push(document.tell(&problem));
        }
        // Something else than an object is told as what it is.
        if document.value.is_object() {
            merge(&mut document.value, &flags);
        }
        if let Err(problems) = shared::spec::parse(&document.value) {
            wrong.extend(problems.iter().map(|problem| match flag_of(problem, args) {
                Some(flag) => format!("{flag}: {}", problem.detail),
                None => document.tell(problem),
            }));
        }
    }
    if wrong.is_empty() { Ok(documents) } else { Err(ClientError::Usage(listed(wrong))) }
}

/// Mistakes a line each, as many as somebody reads.
pub(super) fn listed(mut wrong: Vec<String>) -> String {
    let count = wrong.len();
    if count > MISTAKES_MAX {
        wrong.truncate(MISTAKES_MAX);
        wrong.push(format!("and {} more", count - MISTAKES_MAX));
    }
    wrong.join("\n")
}

/// Takes the key out of a task, beside whose fields it may stand.
fn take_key(document: &mut Document) -> Result<(), Problem> {
    let wrong =
        |detail: &str| Problem { pointer: format!("/{KEY_FIELD}"), detail: detail.to_owned() };
    let key = document.value.as_object_mut().and_then(|fields| fields.remove(KEY_FIELD));
    document.key = match key {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => {
            let is_good = (1..=KEY_BYTES_MAX).contains(&key.len())
                && key.bytes().all(|byte| byte.is_ascii_graphic());
            if !is_good {
                return Err(wrong("must have 1 to 255 visible ASCII characters"));
            }
            Some(key)
        }
        Some(_) => return Err(wrong("must be a text")),
    };
    Ok(())
}

/// The one task that was asked for.
///
/// # Errors
/// As [`tasks`], or there are several.
pub fn single(args: &SpecArgs) -> Result<Document, ClientError> {
    let mut documents = tasks(args)?;
    match (documents.pop(), documents.is_empty()) {
        (Some(document), true) => Ok(document),
        _ => Err(ClientError::Usage(SINGLE.to_owned())),
    }
}

/// As [`single`], to be tried once unless somebody said how often.
///
/// # Errors
/// As [`single`].
pub fn once(args: &SpecArgs) -> Result<Document, ClientError> {
    let mut document = single(args)?;
    if let Some(map) = document.value.as_object_mut()
        && !map.contains_key("retry")
    {
        map.insert("retry".to_owned(), json!({"attempts_max": 1}));
    }
    Ok(document)
}

fn run_of(args: &SpecArgs) -> Result<Value, ClientError> {
    if args.noop {
        return Ok(json!({"noop": {}}));
    }
    let Some((command, rest)) = args.command.split_first() else {
        return Err(ClientError::Usage(
            "nothing to run; write `-- COMMAND ARGS…` at the end, or name a task file with -f"
                .to_owned(),
        ));
    };
    Ok(json!({"exec": {"command": command, "args": rest}}))
}

/// What the flags say, in the shape of a task.
fn flags(args: &SpecArgs) -> Value {
    let mut task = Map::new();
    let mut put = |path: &[&str], value: Value| put(&mut task, path, value);
    let pairs = |pairs: &[(String, String)]| -> Value {
        pairs.iter().map(|(key, value)| (key.clone(), json!(value))).collect::<Map<_, _>>().into()
    };
    let texts = [
        (&["name"][..], &args.name),
        (&["run", "exec", "dir"], &args.dir),
        (&["prefer", "profile"], &args.profile),
    ];
    for (path, text) in texts {
        if let Some(text) = text {
            put(path, json!(text));
        }
    }
    let numbers = [
        (&["needs", "cpu_millis"][..], args.cpu_millis),
        (&["needs", "memory_mib"], args.memory_mib),
        (&["needs", "disk_mib"], args.disk_mib),
        (&["priority"], args.priority),
        (&["timeout_s"], args.timeout),
        (&["deadline_s"], args.deadline),
        (&["retry", "attempts_max"], args.attempts_max),
    ];
    for (path, number) in numbers {
        if let Some(number) = number {
            put(path, json!(number));
        }
    }
    if let Some(near) = args.near {
        put(&["where", "near", "latitude"], json!(near.latitude));
        put(&["where", "near", "longitude"], json!(near.longitude));
    }
    if let Some(within) = args.within {
        put(&["where", "near", "within_m"], json!(within));
    }
    if let Some(latency) = args.latency_ms_max {
        put(&["where", "latency_ms_max"], json!(latency));
    }
    let lists = [
        ("regions", json!(args.regions)),
        ("arch", json!(args.arch)),
        ("agents", json!(args.agents)),
        ("avoid_agents", json!(args.avoid_agents)),
        ("tolerate", json!(args.tolerate)),
        ("labels", pairs(&args.where_labels)),
    ];
    for (name, list) in lists {
        put(&["where", name], list);
    }
    put(&["labels"], pairs(&args.labels));
    put(&["run", "exec", "env"], pairs(&args.env));
    let devices = args.devices.iter().map(|(name, amount)| (name.clone(), json!(amount)));
    put(&["needs", "devices"], Value::Object(devices.collect()));
    if args.exclusive {
        put(&["exclusive"], json!(true));
    }
    Value::Object(task)
}

/// Puts a value at its place; one that says nothing is left out.
fn put(task: &mut Map<String, Value>, path: &[&str], value: Value) {
    let says_nothing = match &value {
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    };
    let Some((last, path)) = path.split_last() else { return };
    if says_nothing {
        return;
    }
    let mut map = task;
    for name in path {
        let inner = map.entry((*name).to_owned()).or_insert_with(|| json!({}));
        match inner {
            Value::Object(inner) => map = inner,
            _ => return,
        }
    }
    map.insert((*last).to_owned(), value);
}

/// The second over the first; objects are merged field by field.
fn merge(into: &mut Value, over: &Value) {
    match (into, over) {
        (Value::Object(into), Value::Object(over)) => {
            for (key, value) in over {
                match into.get_mut(key) {
                    Some(inner) => merge(inner, value),
                    None => drop(into.insert(key.clone(), value.clone())),
                }
            }
        }
        (into, over) => *into = over.clone(),
    }
}

/// The flag that a wrong value came from, if it came from one.
fn flag_of(problem: &Problem, args: &SpecArgs) -> Option<&'static str> {
    let flag = match problem.pointer.as_str() {
        "/where/near/within_m" if args.within.is_some() => "--within",
        "/priority" if args.priority.is_some() => "--priority",
        "/name" if args.name.is_some() => "--name",
        "/prefer/profile" if args.profile.is_some() => "--profile",
        "/retry/attempts_max" if args.attempts_max.is_some() => "--attempts-max",
        "/where/latency_ms_max" if args.latency_ms_max.is_some() => "--latency-ms-max",
        "/timeout_s" if args.timeout.is_some() => "--timeout",
        "/deadline_s" if args.deadline.is_some() => "--deadline",
        "/needs/cpu_millis" if args.cpu_millis.is_some() => "--cpu-millis",
        "/needs/memory_mib" if args.memory_mib.is_some() => "--memory-mib",
        "/needs/disk_mib" if args.disk_mib.is_some() => "--disk-mib",
        _ => return None,
    };
    Some(flag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::measure::Point;

    #[test]
    fn flags_become_a_task() {
        let args = SpecArgs {
            name: Some("hello".to_owned()),
            near: Some(Point { latitude: -37.5, longitude: 144.0 }),
            within: Some(5_000.0),
            regions: vec!["au".to_owned()],
            where_labels: vec![("sensor".to_owned(), "pm25".to_owned())],
            devices: vec![("camera".to_owned(), 1)],
            env: vec![("RATE".to_owned(), "10".to_owned())],
            timeout: Some(60),
            exclusive: true,
            command: vec!["echo".to_owned(), "a b".to_owned()],
            ..SpecArgs::default()
        };
        let document = once(&args).expect("a task");
        let expected = json!({
            "name": "hello", "exclusive": true, "timeout_s": 60,
            "run": {"exec": {"command": "echo", "args": ["a b"], "env": {"RATE": "10"}}},
            "needs": {"devices": {"camera": 1}},
            "where": {"near": {"latitude": -37.5, "longitude": 144.0, "within_m": 5000.0},
                      "regions": ["au"], "labels": {"sensor": "pm25"}},
            "retry": {"attempts_max": 1},
        });
        assert_eq!(document.value, expected);
    }

    #[test]
    fn a_flag_wins_over_the_file_and_leaves_the_rest() {
        let mut task = json!({"priority": 1, "where": {"regions": ["a"], "arch": ["x"]}});
        let args =
            SpecArgs { priority: Some(2), regions: vec!["b".to_owned()], ..SpecArgs::default() };
        merge(&mut task, &flags(&args));
        assert_eq!(task, json!({"priority": 2, "where": {"regions": ["b"], "arch": ["x"]}}));
    }

    #[test]
    fn a_wrong_flag_is_told_as_one() {
        let args = SpecArgs { noop: true, priority: Some(101), ..SpecArgs::default() };
        let error = single(&args).expect_err("refused").to_string();
        let expected = "--priority: must be a whole number from 0 to 100";
        assert!(error.starts_with(expected), "{error}");
        let error = single(&SpecArgs::default()).expect_err("refused").to_string();
        assert!(error.starts_with("nothing to run"), "{error}");
        let args = SpecArgs { noop: true, within: Some(1.0), ..SpecArgs::default() };
        assert!(single(&args).expect_err("refused").to_string().contains("--near"));
    }
}

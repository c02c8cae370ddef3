//! `ambit task`: what is asked of the core, and in which words.

use std::time::Duration;

use serde_json::{Value, json};
use shared::api::{Explanation, Plan, TaskDocument, TaskSummary};
use shared::id::TaskId;
use shared::trace::TraceContext;
use shared_runtime::clock::random_bytes;

use super::args::{
    Common, PageArgs, RunArgs, SubmitArgs, TaskArgs, TaskCommand, TaskListArgs, WatchArgs,
};
use super::connection::{Connection, Sent, with_query};
use super::document::Document;
use super::error::ClientError;
use super::output::{self, Output, typed};
use super::{batch, follow, logs, show, wish};

/// The most items of one page, by the API.
const PAGE_MAX: usize = 500;
/// The waits before a submission that may not have arrived is sent again.
const SUBMIT_WAITS_MS: [u64; 4] = [100, 300, 1_000, 2_000];

/// Does what the command line says.
///
/// # Errors
/// Whatever keeps it from being done.
pub fn run(args: TaskArgs) -> Result<u8, ClientError> {
    let TaskArgs { common, command } = args;
    let output = common.output;
    match command {
        TaskCommand::Submit(args) => return submit_all(&common, &args),
        TaskCommand::Run(args) => return run_one(&common, &args),
        TaskCommand::Plan(args) => {
            let document = wish::single(&args.spec)?;
            let connection = Connection::of(&common)?;
            let sent = Sent::json(&document.value);
            let value = connection.send("POST", "/v1/tasks/plan", sent)?;
            output::answer(output, &value, || Ok(show::plan(&typed::<Plan>(&value)?)))?;
        }
        TaskCommand::List(args) => list(&Connection::of(&common)?, output, &args)?,
        TaskCommand::Status(name) => {
            let connection = Connection::of(&common)?;
            let id = resolve(&connection, &name.task)?;
            let value = connection.get(&format!("/v1/tasks/{id}"))?;
            output::answer(output, &value, || Ok(show::task(&typed::<TaskDocument>(&value)?)))?;
        }
        TaskCommand::Explain(name) => {
            let connection = Connection::of(&common)?;
            let id = resolve(&connection, &name.task)?;
            let value = connection.get(&format!("/v1/tasks/{id}/explain"))?;
            output::answer(output, &value, || {
                Ok(show::explanation(&typed::<Explanation>(&value)?))
            })?;
        }
        TaskCommand::Cancel { tasks } => cancel(&Connection::of(&common)?, output, &tasks)?,
        TaskCommand::Watch(args) => return watch(&common, &args),
        TaskCommand::Logs(args) => {
            let connection = Connection::of(&common)?;
            let id = resolve(&connection, &args.task.task)?;
            logs::show(&connection, &id, &args, output)?;
        }
    }
    Ok(0)
}

fn submit_all(common: &Common, args: &SubmitArgs) -> Result<u8, ClientError> {
    let documents = wish::tasks(&args.spec)?;
    let is_one = documents.len() == 1 && !documents[0].is_among_others;
    if !is_one && args.idempotency_key.is_some() {
        let detail = "--idempotency-key: one key is for one task, and several are given; in the \
                      file, each may have its own `idempotency_key`";
        return Err(ClientError::Usage(detail.to_owned()));
    }
    let connection = Connection::of(common)?;
    if !is_one {
        return batch::submit(&connection, &documents, common.output);
    }
    let value = submit(&connection, &documents[0], args.idempotency_key.as_deref())?;
    output::answer(common.output, &value, || {
        // The id alone on a line, for scripts.
        Ok(value["id"].as_str().map(|id| format!("{id}\n")).unwrap_or_default())
    })?;
    Ok(0)
}

/// Submits one task. It is sent again with the same key when nobody can say whether it arrived.
fn submit(
    connection: &Connection,
    document: &Document,
    key: Option<&str>,
) -> Result<Value, ClientError> {
    let key = key.or(document.key.as_deref()).map_or_else(fresh_key, str::to_owned);
    until_certain(|| {
        let mut sent = Sent::json(&document.value);
        sent.headers.push(("idempotency-key", key.clone()));
        sent.headers.extend(trace_of_caller());
        connection.send("POST", "/v1/tasks", sent)
    })
    .map_err(|error| located(error, document))
}

/// Submits something that has a key, and again with the same key when nobody can say whether it
/// arrived.
pub(super) fn until_certain(
    attempt: impl Fn() -> Result<Value, ClientError>,
) -> Result<Value, ClientError> {
    let mut waits = SUBMIT_WAITS_MS.iter();
    loop {
        let error = match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let is_doubtful = match &error {
            ClientError::Unreachable { may_have_arrived, .. } => *may_have_arrived,
            ClientError::Problem { problem, .. } => problem.status == 503,
            _ => false,
        };
        match waits.next() {
            Some(wait_ms) if is_doubtful => std::thread::sleep(Duration::from_millis(*wait_ms)),
            _ => return Err(error),
        }
    }
}

/// The trace that this program runs in, if it does: as with every program that is traced, variables
/// tell. What is not valid there counts as nothing, as the Recommendation has it.
pub(super) fn trace_of_caller() -> Vec<(&'static str, String)> {
    let variable = |name: &str| std::env::var(name).ok();
    let context = variable("TRACEPARENT").and_then(|traceparent| {
        TraceContext { traceparent, tracestate: variable("TRACESTATE") }.checked()
    });
    let Some(TraceContext { traceparent, tracestate }) = context else {
        return Vec::new();
    };
    let state = tracestate.map(|state| ("tracestate", state));
    std::iter::once(("traceparent", traceparent)).chain(state).collect()
}

/// A key that nobody else has.
pub(super) fn fresh_key() -> String {
    uuid::Builder::from_random_bytes(random_bytes()).into_uuid().to_string()
}

/// What the core finds wrong with a task, told where it was written.
fn located(error: ClientError, document: &Document) -> ClientError {
    match error {
        ClientError::Problem { mut problem, path, retry_after_s } if !problem.errors.is_empty() => {
            let told: Vec<String> =
                problem.errors.iter().map(|problem| document.tell(problem)).collect();
            problem.detail = format!("the core refuses the task\n{}", told.join("\n"));
            problem.errors.clear();
            ClientError::Problem { problem, path, retry_after_s }
        }
        other => other,
    }
}

fn run_one(common: &Common, args: &RunArgs) -> Result<u8, ClientError> {
    let document = wish::once(&args.spec)?;
    let connection = Connection::of(common)?;
    follow::told(|| {
        let value = submit(&connection, &document, args.idempotency_key.as_deref())?;
        let task: TaskSummary = typed(&value)?;
        if !args.quiet {
            output::note(&format!("submitted  {}", task.id));
        }
        let wish =
            follow::Wish { logs: args.logs, quiet: args.quiet, tails: true, output: common.output };
        follow::until_settled(&connection, &task.id.to_string(), &wish)
    })
}

fn watch(common: &Common, args: &WatchArgs) -> Result<u8, ClientError> {
    let connection = Connection::of(common)?;
    follow::told(|| {
        let id = resolve(&connection, &args.task.task)?;
        let wish =
            follow::Wish { logs: args.logs, quiet: false, tails: false, output: common.output };
        follow::until_settled(&connection, &id, &wish)
    })
}

fn list(connection: &Connection, output: Output, args: &TaskListArgs) -> Result<(), ClientError> {
    let filters = [
        ("status", args.status.clone()),
        ("agent", args.agent.clone()),
        ("name", args.name.clone()),
        ("label", args.label.clone()),
        ("schedule", args.schedule.as_ref().map(ToString::to_string)),
    ];
    let value = pages(connection, "/v1/tasks", &filters, &args.page)?;
    output::answer(output, &value, || Ok(show::tasks(&typed::<Vec<TaskSummary>>(&value["items"])?)))
}

fn cancel(connection: &Connection, output: Output, tasks: &[TaskId]) -> Result<(), ClientError> {
    let mut answers = Vec::new();
    for id in tasks {
        let path = format!("/v1/tasks/{id}/cancel");
        answers.push(connection.send("POST", &path, Sent::default())?);
    }
    let value = match answers.len() {
        1 => answers.remove(0),
        _ => json!({"items": answers}),
    };
    output::answer(output, &value, || {
        let all = value["items"].as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
        let tasks = all.iter().map(typed::<TaskSummary>).collect::<Result<Vec<_>, _>>()?;
        Ok(tasks.iter().fold(String::new(), |all, task| {
            let note = if task.status.is_settled() { "" } else { " (its agent is being asked)" };
            all + &format!("{} {}{note}\n", task.id, task.status.name())
        }))
    })
}

/// The id of a task that is named by its id or its name.
fn resolve(connection: &Connection, text: &str) -> Result<String, ClientError> {
    if let Ok(id) = text.parse::<TaskId>() {
        return Ok(id.to_string());
    }
    let query = [("name", Some(text.to_owned())), ("limit", Some("1".to_owned()))];
    let value = connection.get(&with_query("/v1/tasks", &query))?;
    match value["items"][0]["id"].as_str() {
        Some(id) => Ok(id.to_owned()),
        None => Err(ClientError::NotFound(format!(
            "`{}` is not the id of a task, and no task has this name; `ambit task list` shows those \
             there are",
            output::tame(text)
        ))),
    }
}

/// A list, page by page, as far as it was asked for.
///
/// # Errors
/// The core cannot be reached or refuses.
pub(super) fn pages(
    connection: &Connection,
    path: &str,
    filters: &[(&str, Option<String>)],
    page: &PageArgs,
) -> Result<Value, ClientError> {
    let most = if page.all { usize::MAX } else { page.limit };
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let limit = PAGE_MAX.min(most - items.len()).max(1);
        let mut query = filters.to_vec();
        query.push(("limit", Some(limit.to_string())));
        query.push(("cursor", cursor.take()));
        let mut value = connection.get(&with_query(path, &query))?;
        if let Some(Value::Array(more)) = value.get_mut("items").map(Value::take) {
            items.extend(more);
        }
        cursor = value["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() || items.len() >= most {
            items.truncate(most);
            return Ok(json!({"items": items, "next_cursor": cursor}));
        }
    }
}

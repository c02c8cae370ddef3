//! `ambit schedule`: what makes tasks by itself, made from files, looked at and operated.

pub mod args;
mod show;

use serde_json::{Map, Value, json};
use shared::api::{FiringDocument, HookDocument, PreviewDocument, ScheduleFired, ScheduleSummary};
use shared::id::ScheduleName;
use shared::schedule;

use super::connection::{Connection, Sent};
use super::document::{self, Document};
use super::error::ClientError;
use super::output::{self, Output, typed};
use super::task::pages;
use args::{CreateArgs, Name, PreviewArgs, ScheduleArgs, ScheduleCommand};

/// How many coming moments `status` shows.
const NEXT_SHOWN: u64 = 3;
/// How many moments that came it shows.
const LAST_SHOWN: usize = 5;
/// The fields of a schedule that say when it fires.
const WHEN: [&str; 4] = ["trigger", "starts_at", "ends_at", "exclude_days"];

/// Does what the command line says.
///
/// # Errors
/// Whatever keeps it from being done.
pub fn run(args: ScheduleArgs) -> Result<u8, ClientError> {
    let ScheduleArgs { common, command } = args;
    let output = common.output;
    let documents = match &command {
        // Before the core is asked anything.
        ScheduleCommand::Create(args) => read_all(args)?,
        _ => Vec::new(),
    };
    if let ScheduleCommand::Preview(args) = &command {
        let (wish, document) = wish_of(args)?;
        let sent = Sent::json(&wish);
        let value = Connection::of(&common)?.send("POST", "/v1/schedules/preview", sent);
        let value = value.map_err(|error| placed(error, &document))?;
        output::answer(output, &value, || Ok(show::preview(&typed::<PreviewDocument>(&value)?)))?;
        return Ok(0);
    }
    let connection = Connection::of(&common)?;
    match command {
        ScheduleCommand::Create(args) => create(&connection, output, &documents, args.replace)?,
        ScheduleCommand::List { page } => {
            let value = pages(&connection, "/v1/schedules", &[], &page)?;
            output::answer(output, &value, || {
                Ok(show::list(&typed::<Vec<ScheduleSummary>>(&value["items"])?))
            })?;
        }
        ScheduleCommand::Status(name) => status(&connection, output, &name)?,
        ScheduleCommand::Pause(names) => each(&connection, output, &names.schedules, "pause")?,
        ScheduleCommand::Resume(names) => each(&connection, output, &names.schedules, "resume")?,
        ScheduleCommand::Delete(names) => each(&connection, output, &names.schedules, "")?,
        ScheduleCommand::Fire(name) => {
            let value = connection.send("POST", &path(&name.schedule, "/fire"), Sent::default())?;
            output::answer(output, &value, || Ok(show::fired(&typed::<ScheduleFired>(&value)?)))?;
        }
        ScheduleCommand::Hook(name) => {
            let value = connection.get(&path(&name.schedule, "/hook"))?;
            let url = connection.url();
            output::answer(output, &value, || {
                Ok(show::hook(url, &typed::<HookDocument>(&value)?))
            })?;
        }
        ScheduleCommand::Firings { name, page } => {
            let value = pages(&connection, &path(&name.schedule, "/firings"), &[], &page)?;
            output::answer(output, &value, || {
                Ok(show::firings(&typed::<Vec<FiringDocument>>(&value["items"])?))
            })?;
        }
        // Done above.
        ScheduleCommand::Preview(_) => {}
    }
    Ok(0)
}

fn path(name: &ScheduleName, rest: &str) -> String {
    format!("/v1/schedules/{name}{rest}")
}

/// The schedules of all files, each in order.
fn read_all(args: &CreateArgs) -> Result<Vec<Document>, ClientError> {
    let mut documents = Vec::new();
    let mut wrong = Vec::new();
    for file in &args.files {
        for document in document::read(file, args.format)? {
            if let Err(problems) = schedule::parse(&document.value) {
                wrong.extend(problems.iter().map(|it| document.tell_of("schedule", it)));
            }
            documents.push(document);
        }
    }
    match wrong.is_empty() {
        true => Ok(documents),
        false => Err(ClientError::Usage(wrong.join("\n"))),
    }
}

fn create(
    connection: &Connection,
    output: Output,
    documents: &[Document],
    replace: bool,
) -> Result<(), ClientError> {
    let mut answers = Vec::new();
    for document in documents {
        let name = document.value["name"].as_str().unwrap_or_default();
        let sent = Sent::json(&document.value);
        let made = match replace {
            true => connection.send("PUT", &format!("/v1/schedules/{name}"), sent),
            false => connection.send("POST", "/v1/schedules", sent),
        };
        answers.push(made.map_err(|error| placed(error, document))?);
    }
    told(output, answers)
}

/// What the core says of a schedule, with the lines of the file.
fn placed(error: ClientError, document: &Document) -> ClientError {
    match error {
        ClientError::Problem { mut problem, path, retry_after_s } if !problem.errors.is_empty() => {
            let told = problem.errors.iter().map(|it| document.tell_of("schedule", it));
            let told: Vec<String> = told.collect();
            problem.detail = format!("the core refuses the schedule\n{}", told.join("\n"));
            problem.errors.clear();
            ClientError::Problem { problem, path, retry_after_s }
        }
        other => other,
    }
}

/// Does the same to each; without a verb, deletes them.
fn each(
    connection: &Connection,
    output: Output,
    names: &[ScheduleName],
    verb: &str,
) -> Result<(), ClientError> {
    let mut answers = Vec::new();
    for name in names {
        answers.push(match verb {
            "" => connection.send("DELETE", &path(name, ""), Sent::default())?,
            verb => connection.send("POST", &path(name, &format!("/{verb}")), Sent::default())?,
        });
    }
    told(output, answers)
}

/// Schedules that were made or changed.
fn told(output: Output, mut answers: Vec<Value>) -> Result<(), ClientError> {
    let value = match answers.len() {
        1 => answers.remove(0),
        _ => json!({"items": answers}),
    };
    output::answer(output, &value, || {
        let all = value["items"].as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
        let all = all.iter().map(typed::<ScheduleSummary>).collect::<Result<Vec<_>, _>>()?;
        Ok(show::list(&all))
    })
}

/// A schedule, its next moments and its last ones. For programs it is the schedule alone.
fn status(connection: &Connection, output: Output, name: &Name) -> Result<(), ClientError> {
    let value = connection.get(&path(&name.schedule, ""))?;
    output::answer(output, &value, || {
        let mut wish = when_of(&value["spec"]);
        let is_timed = value["next"].is_string();
        wish.insert("from".to_owned(), Value::Null);
        wish.insert("count".to_owned(), NEXT_SHOWN.into());
        let next = match is_timed {
            true => {
                // An interval is counted from when the schedule was made, unless it says from where.
                if wish["trigger"]["interval_s"].is_u64() && wish["trigger"]["anchor"].is_null() {
                    wish["trigger"]["anchor"] = value["next"].clone();
                }
                let sent = Sent::json(&Value::Object(wish));
                typed::<PreviewDocument>(&connection.send(
                    "POST",
                    "/v1/schedules/preview",
                    sent,
                )?)?
            }
            false => PreviewDocument { firings: Vec::new() },
        };
        let last =
            connection.get(&path(&name.schedule, &format!("/firings?limit={LAST_SHOWN}")))?;
        Ok(show::whole(&typed(&value)?, &next, &typed::<Vec<FiringDocument>>(&last["items"])?))
    })
}

/// The part of a schedule that says when it fires.
fn when_of(spec: &Value) -> Map<String, Value> {
    let fields = WHEN.into_iter().filter_map(|name| {
        let value = spec.get(name).filter(|value| !value.is_null())?;
        Some((name.to_owned(), value.clone()))
    });
    fields.collect()
}

/// What is to be previewed, and where it was written.
fn wish_of(args: &PreviewArgs) -> Result<(Value, Document), ClientError> {
    let document = match (&args.file, &args.cron) {
        (Some(file), _) => {
            let mut documents = document::read(file, args.format)?;
            match (documents.pop(), documents.is_empty()) {
                (Some(document), true) => document,
                _ => {
                    let detail = "several schedules, and one is previewed; leave one of them";
                    return Err(ClientError::Usage(format!("{}: {detail}", file.display())));
                }
            }
        }
        (None, cron) => Document::given(json!({"trigger": {
            "cron": cron, "zone": args.zone, "fields": args.fields, "dst": args.dst,
        }})),
    };
    let mut wish = when_of(&document.value);
    if let Some(from) = &args.from {
        wish.insert("from".to_owned(), Value::from(from.as_str()));
    }
    wish.insert("count".to_owned(), Value::from(args.count));
    let wish = Value::Object(wish);
    match schedule::parse_preview(&wish) {
        Ok(_) => Ok((wish, document)),
        Err(problems) => {
            let told = problems.iter().map(|problem| document.tell_of("schedule", problem));
            Err(ClientError::Usage(told.collect::<Vec<_>>().join("\n")))
        }
    }
}

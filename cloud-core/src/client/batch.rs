//! `ambit task submit` of several tasks: in batches, each item with a key of its own, so that what
//! may not have arrived is sent again and makes no task twice. Whatever the core refuses is told
//! where it was written.

use std::io::{self, IsTerminal};

use serde_json::{Value, json};
use shared::api::{BatchDocument, ProblemDocument};

use super::connection::{Connection, Sent};
use super::document::Document;
use super::error::{ClientError, EXIT_LATER, EXIT_REFUSED};
use super::output::{self, Output, tame, typed};
use super::task::{fresh_key, trace_of_caller, until_certain};
use super::wish::MISTAKES_MAX;

/// The most tasks of one request. The API takes 10,000; with half of that there is progress to see.
const CHUNK_TASKS_MAX: usize = 5_000;
/// The most bytes of one request, unless one task alone has more. The API takes 16 MiB.
const CHUNK_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Submits tasks and tells what became of each; the answer is the exit code.
///
/// # Errors
/// The core cannot be reached, or refuses a whole batch. What was submitted before is told even
/// then: it runs.
pub fn submit(
    connection: &Connection,
    documents: &[Document],
    output: Output,
) -> Result<u8, ClientError> {
    let mut told = Told { output, results: Vec::new(), refused: Vec::new(), is_refused: false };
    let shows_progress = io::stderr().is_terminal();
    let mut done = 0;
    while done < documents.len() {
        let rest = &documents[done..];
        let (count, body) = chunk(rest);
        let answer = until_certain(|| {
            let body = Some(("application/x-ndjson", body.clone()));
            connection.send("POST", "/v1/tasks/batch", Sent { body, headers: trace_of_caller() })
        });
        if let Err(error) = answer.and_then(|answer| told.take(&rest[..count], answer)) {
            told.finish(done)?;
            output::note(&unsent(&error, documents, done));
            return Err(error);
        }
        done += count;
        if shows_progress && documents.len() > CHUNK_TASKS_MAX {
            output::note(&format!("{done} of {} sent", documents.len()));
        }
    }
    told.finish(done)
}

/// How many of the tasks go into the next request, at least one, and the request: a task a line.
fn chunk(documents: &[Document]) -> (usize, String) {
    let mut body = String::new();
    for (count, document) in documents.iter().enumerate() {
        let mut item = document.value.clone();
        if let Some(fields) = item.as_object_mut() {
            let key = document.key.clone().unwrap_or_else(fresh_key);
            fields.insert("idempotency_key".to_owned(), Value::String(key));
        }
        let line = item.to_string();
        let is_full = body.len() + line.len() >= CHUNK_BYTES_MAX;
        if count == CHUNK_TASKS_MAX || (is_full && count > 0) {
            return (count, body);
        }
        body.push_str(&line);
        body.push('\n');
    }
    (documents.len(), body)
}

/// What is told of those that were not submitted, or of which nobody knows.
fn unsent(error: &ClientError, documents: &[Document], done: usize) -> String {
    let from = documents[done].place("");
    let count = documents.len();
    match error {
        ClientError::Unreachable { may_have_arrived: true, .. } => format!(
            "{done} of {count} sent; whether those from {from} on arrived cannot be said: \
             `ambit task list` shows those that did"
        ),
        _ => format!("{done} of {count} sent; those from {from} on are not submitted"),
    }
}

/// What became of the tasks so far.
struct Told {
    output: Output,
    /// As the core said it; ids are printed as they come, and are not kept.
    results: Vec<Value>,
    /// The first refusals, where each task was written.
    refused: Vec<String>,
    /// Whether a task was refused for good, not only for now.
    is_refused: bool,
}

impl Told {
    /// Takes the answer about these tasks.
    fn take(&mut self, documents: &[Document], mut answer: Value) -> Result<(), ClientError> {
        let results = typed::<BatchDocument>(&answer)?.results;
        if results.len() != documents.len() {
            return Err(ClientError::Failed(format!(
                "the core told what became of {} tasks, and {} were sent; `ambit task list` shows \
                 those that arrived",
                results.len(),
                documents.len()
            )));
        }
        let mut ids = String::new();
        for (document, result) in documents.iter().zip(results) {
            match (result.task, result.problem) {
                (Some(task), _) => ids += &format!("{}\n", task.id),
                (None, problem) => {
                    self.is_refused |= !matches!(result.status, 429 | 503);
                    self.refused.push(why(document, problem.as_ref()));
                }
            }
        }
        match (self.output, answer["results"].as_array_mut()) {
            (Output::Table, _) => output::print(&ids)?,
            (_, Some(results)) => self.results.append(results),
            (_, None) => {}
        }
        Ok(())
    }

    /// Tells the end of it, of so many that were sent.
    fn finish(self, sent: usize) -> Result<u8, ClientError> {
        if self.output != Output::Table {
            output::answer(self.output, &json!({"results": self.results}), || Ok(String::new()))?;
        }
        let count = self.refused.len();
        if count == 0 {
            return Ok(0);
        }
        for why in self.refused.iter().take(MISTAKES_MAX) {
            output::note(why);
        }
        if count > MISTAKES_MAX {
            output::note(&format!("and {} more; -o json shows them all", count - MISTAKES_MAX));
        }
        let taken = sent - count;
        output::note(&format!("ambit: {count} of {sent} refused; {taken} submitted"));
        Ok(if self.is_refused { EXIT_REFUSED } else { EXIT_LATER })
    }
}

/// Why a task was refused, where it was written; a line for each wrong field.
fn why(document: &Document, problem: Option<&ProblemDocument>) -> String {
    let Some(problem) = problem else {
        return format!("{}: refused without a reason", document.place(""));
    };
    if problem.errors.is_empty() {
        return format!("{}: {}", document.place(""), tame(&problem.detail));
    }
    let told: Vec<String> = problem.errors.iter().map(|one| tame(&document.tell(one))).collect();
    told.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn documents(count: usize, bytes: usize) -> Vec<Document> {
        let name = "x".repeat(bytes);
        vec![Document::given(json!({"run": {"noop": {}}, "name": name})); count]
    }

    fn chunks(documents: &[Document]) -> Vec<usize> {
        let (mut counts, mut rest) = (Vec::new(), documents);
        while !rest.is_empty() {
            let (count, body) = chunk(rest);
            assert_eq!(body.lines().count(), count);
            counts.push(count);
            rest = &rest[count..];
        }
        counts
    }

    #[test]
    fn tasks_are_sent_in_requests_that_the_api_takes() {
        assert_eq!(chunks(&documents(5_000, 1)), [5_000]);
        assert_eq!(chunks(&documents(5_001, 1)), [5_000, 1]);
        // By bytes: three of three mebibytes do not fit, and one that is too large goes alone.
        assert_eq!(chunks(&documents(3, 3 * 1024 * 1024)), [2, 1]);
        assert_eq!(chunks(&documents(2, CHUNK_BYTES_MAX)), [1, 1]);
    }

    #[test]
    fn every_task_has_a_key_its_own_if_it_names_one() {
        let mut documents = documents(3, 1);
        documents[1].key = Some("mine".to_owned());
        let keys = |body: &str| -> Vec<String> {
            let items = body.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
            items.map(|item| item["idempotency_key"].as_str().expect("a key").to_owned()).collect()
        };
        let found = keys(&chunk(&documents).1);
        assert_eq!(found[1], "mine");
        assert!(found[0].len() == 36 && found[0] != found[2]);
    }

    #[test]
    fn a_refusal_says_where_the_task_was_written() {
        let text = r#"[{"run": {"noop": {}}}, {"run": {"noop": {}}, "priority": 1}]"#;
        let documents = super::super::document::parse(text, super::super::FileFormat::Json, "f");
        let documents = documents.expect("two");
        let problem = |errors: Value| -> ProblemDocument {
            let problem = json!({"type": "https://ambit.dev/problems/x", "title": "t",
                                 "status": 422, "detail": "the detail", "errors": errors});
            serde_json::from_value(problem).expect("a problem")
        };
        let wrong = problem(json!([{"pointer": "/priority", "detail": "is too high"}]));
        assert_eq!(why(&documents[1], Some(&wrong)), "f, line 1, item 2: priority: is too high");
        assert_eq!(why(&documents[0], Some(&problem(json!([])))), "f, line 1, item 1: the detail");
    }
}

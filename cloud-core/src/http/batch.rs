//! `POST /v1/tasks/batch`: many tasks in one request, as a JSON array or as a line each. Every item
//! is read, checked and taken for itself; those that are taken travel to the core as one message
//! and to the disk in one transaction.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use cloud_core_logic::change::IdempotencyKey;
use cloud_core_logic::document::submitted_summary;
use cloud_core_logic::{Answer, NewTask, Taken};
use serde::de::{Deserialize, Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::error::Category;
use serde_json::value::RawValue;
use shared::api::{BatchDocument, BatchResult};
use shared::id::TaskId;
use shared::spec::TaskSpec;
use shared::trace::Trace;
use tokio::sync::Semaphore;

use super::body::{self, BODY_BYTES_MAX, Rules};
use super::problem::{ApiError, ApiResult, Kind};
use super::state::{State, blocking};
use super::{query, tasks, trace, unexpected};
use crate::store::{Reader, StoreError};

/// The most items in a batch.
pub const ITEMS_MAX: usize = 10_000;
/// The most batches at once: each holds a body in memory, and all of them together bring fewer
/// idempotency keys than the core remembers.
const BATCHES_MAX: usize = 8;
/// When a caller who finds as many of them may try again, in seconds.
const RETRY_AFTER_S: u64 = 1;
/// The field of an item that is not the task's.
const KEY_FIELD: &str = "idempotency_key";

const ARRAY: &str = "application/json";
const LINES: &str = "application/x-ndjson";

/// A body that is many tasks.
const BATCH: Rules = Rules {
    types: &[ARRAY, LINES],
    bytes_max: 16 * 1024 * 1024,
    timeout: Duration::from_secs(30),
    advice: "in all; send several batches",
};

/// Room for batches.
#[derive(Debug, Clone)]
pub struct BatchRoom(Arc<Semaphore>);

impl Default for BatchRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BATCHES_MAX)))
    }
}

/// What is known of an item.
enum Item {
    /// It is to be taken on.
    Sent { id: TaskId, spec: Arc<TaskSpec> },
    /// It was taken on earlier.
    There(TaskId),
    /// It cannot be taken.
    Refused(ApiError),
}

/// `POST /v1/tasks/batch`.
pub async fn submit(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> ApiResult {
    query::none(&request)?;
    let Ok(_room) = state.batch_room.0.try_acquire() else {
        let detail = format!(
            "as many batches are being taken as may be at once ({BATCHES_MAX}); nothing was done, \
             try again in {RETRY_AFTER_S} s"
        );
        return Err(ApiError::new(Kind::CoreBusy, detail).retry_after_s(RETRY_AFTER_S));
    };
    let (bytes, kind) = body::bytes(&request, payload, &BATCH).await?;
    let mark = state.core.key_mark();
    let (shared, trace) = (state.clone(), trace::of(&request));
    let (items, sent) = blocking(move || read(&shared, &bytes, kind, trace)).await??;
    let taken = match sent.is_empty() {
        true => Vec::new(),
        false => match state.core.submit_many(sent, mark).await? {
            Answer::SubmittedMany(taken) => taken,
            other => return Err(unexpected("submit_many", &other)),
        },
    };
    if let Some(full) = nothing_fits(&items, &taken) {
        return Err(full);
    }
    let reader = state.core.reader();
    let body = blocking(move || tell(reader.as_ref(), items, taken)).await??;
    Ok(HttpResponse::Ok().content_type("application/json").body(body))
}

/// Reads and checks the items, and makes what the core is to be asked. All are in the trace of the
/// request.
fn read(
    state: &State,
    bytes: &[u8],
    kind: &str,
    trace: Option<Box<Trace>>,
) -> ApiResult<(Vec<Item>, Vec<NewTask>)> {
    let texts = match kind {
        LINES => lines_of(bytes)?,
        _ => elements_of(bytes)?,
    };
    let reader = state.core.reader();
    let mut sent = Vec::with_capacity(texts.len());
    let mut items = Vec::with_capacity(texts.len());
    for text in texts {
        let item = match item_of(text) {
            Err(error) => Item::Refused(error),
            Ok((spec, key)) => match known(reader.as_ref(), key.as_ref())? {
                Some(item) => item,
                None => {
                    let (id, spec) = (state.core.new_task_id(), Arc::new(spec));
                    let trace = trace.clone();
                    sent.push(NewTask { id, spec: Arc::clone(&spec), key, trace });
                    Item::Sent { id, spec }
                }
            },
        };
        items.push(item);
    }
    Ok((items, sent))
}

/// What the store knows of a key.
fn known(reader: &dyn Reader, key: Option<&IdempotencyKey>) -> Result<Option<Item>, StoreError> {
    let Some(key) = key else {
        return Ok(None);
    };
    let found = reader.task_by_key(&key.key)?;
    Ok(found.map(|(first, hash)| match hash == key.body_hash {
        true => Item::There(first),
        false => Item::Refused(tasks::reused(first)),
    }))
}

/// Reads one item: a task, and beside its fields perhaps a key.
fn item_of(text: &[u8]) -> ApiResult<(TaskSpec, Option<IdempotencyKey>)> {
    if text.len() > BODY_BYTES_MAX {
        let detail = format!(
            "a task may have at most {BODY_BYTES_MAX} bytes of JSON, and this one has {}; put \
             large input into a file that the task fetches",
            text.len()
        );
        return Err(ApiError::new(Kind::BodyTooLarge, detail));
    }
    let mut document = body::json(text)?;
    let key = document.as_object_mut().and_then(|fields| fields.remove(KEY_FIELD));
    let spec = body::checked(&document)?;
    let key = match key {
        None | Some(Value::Null) => None,
        Some(Value::String(key)) => {
            let key = tasks::checked_key(key.as_bytes())?;
            Some(IdempotencyKey { key, body_hash: tasks::hash_of(&spec)? })
        }
        Some(_) => return Err(tasks::wrong_key("it is not a text")),
    };
    Ok((spec, key))
}

/// The lines that are not blank.
fn lines_of(bytes: &[u8]) -> ApiResult<Vec<&[u8]>> {
    let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut lines = lines.filter(|line| !line.is_empty());
    let items = lines.by_ref().take(ITEMS_MAX).collect();
    match lines.next() {
        Some(_) => Err(too_many()),
        None => Ok(items),
    }
}

/// The elements of a JSON array, as they are written.
fn elements_of(bytes: &[u8]) -> ApiResult<Vec<&[u8]>> {
    if bytes.trim_ascii().is_empty() {
        let detail = "the body is empty; send an array of tasks, or a task a line as \
                      application/x-ndjson";
        return Err(ApiError::new(Kind::InvalidJson, detail));
    }
    let elements: Elements<'_> =
        serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            Category::Data if bytes.trim_ascii_start().starts_with(b"[") => too_many(),
            Category::Data => {
                let detail = "the body must be an array of tasks; one task is sent to /v1/tasks, \
                              and a task a line as application/x-ndjson";
                ApiError::new(Kind::InvalidBatch, detail)
            }
            _ => body::not_json(&error),
        })?;
    Ok(elements.0.into_iter().map(|element| element.get().as_bytes()).collect())
}

fn too_many() -> ApiError {
    let detail = format!("a batch may have at most {ITEMS_MAX} tasks; send several");
    ApiError::new(Kind::InvalidBatch, detail)
}

/// An array of anything, read only as far as it may be long.
struct Elements<'a>(Vec<&'a RawValue>);

impl<'de> Deserialize<'de> for Elements<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;

        impl<'de> Visitor<'de> for Reading {
            type Value = Elements<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array of tasks")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    if elements.len() == ITEMS_MAX {
                        return Err(A::Error::custom("too many"));
                    }
                    elements.push(element);
                }
                Ok(Elements(elements))
            }
        }

        deserializer.deserialize_seq(Reading)
    }
}

/// The answer to a batch of which nothing was taken because nothing more may wait: that of a single
/// submission.
fn nothing_fits(items: &[Item], taken: &[Taken]) -> Option<ApiError> {
    let first = taken.first()?;
    let all_full = taken.iter().all(|one| matches!(one, Taken::QueueFull { .. }));
    let none_there = !items.iter().any(|item| matches!(item, Item::There(_)));
    match first {
        Taken::QueueFull { pending_max, retry_after_s } if all_full && none_there => {
            Some(tasks::queue_full(*pending_max, *retry_after_s))
        }
        _ => None,
    }
}

/// Says what became of each item. `taken` is about those that were sent, in order.
fn tell(reader: &dyn Reader, items: Vec<Item>, taken: Vec<Taken>) -> ApiResult<Vec<u8>> {
    let mut taken = taken.into_iter();
    let there = |id| match reader.task(id)? {
        Some(task) => Ok(BatchResult::task(200, task.summary)),
        None => Ok(refused(&tasks::pruned(id))),
    };
    let results = items.into_iter().map(|item| match item {
        Item::Refused(error) => Ok(refused(&error)),
        Item::There(id) => there(id),
        Item::Sent { id, spec } => match taken.next() {
            Some(Taken::Submitted { at }) => {
                Ok(BatchResult::task(201, submitted_summary(id, &spec, at)))
            }
            Some(Taken::Repeated(first)) => there(first),
            Some(Taken::KeyReused(first)) => Ok(refused(&tasks::reused(first))),
            Some(Taken::UnknownProfile(problem)) => Ok(refused(&body::invalid(vec![*problem]))),
            Some(Taken::QueueFull { pending_max, retry_after_s }) => {
                Ok(refused(&tasks::queue_full(pending_max, retry_after_s)))
            }
            None => Err(ApiError::new(Kind::Internal, "the core told less than it was asked")),
        },
    });
    let document = BatchDocument { results: results.collect::<ApiResult<_>>()? };
    serde_json::to_vec(&document).map_err(|error| {
        tracing::error!(%error, "the results of a batch cannot be written as JSON");
        ApiError::new(Kind::Internal, "the results cannot be written; the core's log says more")
    })
}

fn refused(error: &ApiError) -> BatchResult {
    BatchResult::problem(error.document())
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_body_breaks_the_readers(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                "[\\[\\]{},:\"0-9a-z \n]{0,80}".prop_map(String::into_bytes),
            ],
        ) {
            let _ = elements_of(&bytes);
            for line in lines_of(&bytes).expect("few lines") {
                prop_assert!(!line.is_empty() && !line.contains(&b'\n'));
                let _ = item_of(line);
            }
        }

        #[test]
        fn an_array_and_its_lines_are_the_same_items(
            numbers in prop::collection::vec(any::<i64>(), 0..40),
            blank in "[ \t\r\n]{0,4}",
        ) {
            let texts: Vec<String> = numbers.iter().map(|n| format!("{{\"n\": [{n}]}}")).collect();
            let array = format!("{blank}[{}]{blank}", texts.join(&format!("{blank},{blank}")));
            let lines = texts.join(&format!("{blank}\n{blank}"));
            let expected: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
            prop_assert_eq!(elements_of(array.as_bytes()).ok(), Some(expected.clone()));
            prop_assert_eq!(lines_of(lines.as_bytes()).ok(), Some(expected));
        }
    }
}

//! Submitting, listing, showing and canceling tasks. An idempotency key is looked up in the store
//! first, because the core forgets tasks that are settled; the core itself catches the races.

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use cloud_core_logic::Answer;
use cloud_core_logic::change::IdempotencyKey;
use shared::api::{Page, TaskDocument};
use shared::id::TaskId;
use shared::spec::TaskSpec;
use shared::task::TaskStatus;
use shared_runtime::seal::{sha256, to_hex};

use super::problem::{ApiError, ApiResult, Kind};
use super::query::{self, Query, quote};
use super::state::State;
use super::{body, trace, unexpected};
use crate::store::TaskFilter;

const KEY_HEADER: &str = "idempotency-key";
/// The longest idempotency key, in characters.
pub const KEY_LENGTH_MAX: usize = 255;

/// `POST /v1/tasks`.
pub async fn submit(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> ApiResult {
    query::none(&request)?;
    let key = key_of(&request)?;
    let trace = trace::of(&request);
    let spec = Arc::new(body::task(&request, payload).await?);
    let key = match key {
        Some(key) => Some(IdempotencyKey { key, body_hash: hash_of(&spec)? }),
        None => None,
    };
    if let Some(sent) = key.clone() {
        let found = state.read(move |reader| reader.task_by_key(&sent.key)).await?;
        if let Some((first, hash)) = found {
            let same = key.is_some_and(|sent| sent.body_hash == hash);
            return if same { repeated(&state, first).await } else { Err(reused(first)) };
        }
    }
    match state.core.submit(spec, key, trace).await? {
        Answer::Submitted(task) => Ok(HttpResponse::Created()
            .insert_header((header::LOCATION, format!("/v1/tasks/{}", task.summary.id)))
            .json(task)),
        Answer::Repeated(first) => repeated(&state, first).await,
        Answer::KeyReused(first) => Err(reused(first)),
        Answer::UnknownProfile(problem) => Err(body::invalid(vec![*problem])),
        Answer::QueueFull { pending_max, retry_after_s } => {
            Err(queue_full(pending_max, retry_after_s))
        }
        other => Err(unexpected("submit", &other)),
    }
}

/// `GET /v1/tasks`.
pub async fn list(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    let known = ["status", "agent", "label", "name", "schedule", "limit", "cursor"];
    let mut query = Query::of(&request, &known);
    let schedule = query.schedule("schedule");
    let mut filter = TaskFilter {
        status: query.word("status", &TaskStatus::ALL),
        agent: query.agent("agent"),
        label: query.label(),
        name: query.text("name"),
        schedule: None,
    };
    let (limit, cursor) = (query.limit(), query.text("cursor"));
    query.finish()?;
    let page = state.read(move |reader| {
        if let Some(name) = schedule {
            let Some(row) = reader.schedule(&name)? else {
                return Ok(Page { items: Vec::new(), next_cursor: None });
            };
            filter.schedule = Some(row.id);
        }
        reader.tasks(&filter, limit, cursor.as_deref())
    });
    let page = page.await?;
    Ok(HttpResponse::Ok().json(page))
}

/// `GET /v1/tasks/{id}`.
pub async fn show(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    query::none(&request)?;
    let task = stored(&state, id_of(&request)?).await?;
    Ok(HttpResponse::Ok().json(task))
}

/// `POST /v1/tasks/{id}/cancel`.
pub async fn cancel(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    query::none(&request)?;
    let id = id_of(&request)?;
    match state.core.cancel(id).await? {
        // Not live: settled, which is as canceled as it gets, or never there.
        Answer::Canceling(id) | Answer::NotLive(id) => {
            Ok(HttpResponse::Ok().json(stored(&state, id).await?))
        }
        other => Err(unexpected("cancel", &other)),
    }
}

/// The task id in the path.
///
/// # Errors
/// 400 when there is none.
pub fn id_of(request: &HttpRequest) -> ApiResult<TaskId> {
    let text = request.match_info().get("id").unwrap_or_default();
    text.parse().map_err(|error| {
        let detail =
            format!("{error}, as `id` in the answer to a submission; {} is none", quote(text));
        ApiError::new(Kind::InvalidId, detail)
    })
}

/// What is said of a task that is not there. A core that was put back to a backup has forgotten
/// what was submitted after it, and still hears of it from agents.
///
/// # Errors
/// Always.
pub async fn no_task<T>(state: &State, id: TaskId) -> ApiResult<T> {
    let late_reports = state.read(move |reader| reader.late_reports(id)).await?;
    if late_reports.is_empty() {
        let detail = format!(
            "there is no task {id}; it may have been settled so long ago that it is not kept any \
             more. GET /v1/tasks lists those there are"
        );
        return Err(ApiError::new(Kind::TaskNotFound, detail));
    }
    let detail = format!(
        "this core does not know task {id} any more: it was put back to a backup taken before the \
         task was submitted, or has pruned it; what agents told of it since is in `late_reports`"
    );
    Err(ApiError::new(Kind::TaskForgotten, detail).with_late_reports(late_reports))
}

async fn stored(state: &State, id: TaskId) -> ApiResult<TaskDocument> {
    match state.read(move |reader| reader.task(id)).await? {
        Some(task) => Ok(task),
        None => no_task(state, id).await,
    }
}

async fn repeated(state: &State, first: TaskId) -> ApiResult {
    match state.read(move |reader| reader.task(first)).await? {
        Some(task) => Ok(HttpResponse::Ok().json(task)),
        None => Err(pruned(first)),
    }
}

/// What is said of a key whose task is settled and not kept any more. The key has outlived it, so
/// that it is not run again.
pub fn pruned(first: TaskId) -> ApiError {
    let detail = format!(
        "this Idempotency-Key was used before for task {first}, which is settled and not kept any \
         more; nothing was done. Use a new key to run it again"
    );
    ApiError::new(Kind::TaskPruned, detail)
}

/// What is said of a task that does not fit.
pub fn queue_full(pending_max: u64, retry_after_s: u64) -> ApiError {
    let detail = format!(
        "{pending_max} tasks wait for a place, and no more may; this one was not taken, try again \
         in {} s",
        retry_after_s.max(1)
    );
    ApiError::new(Kind::QueueFull, detail).retry_after_s(retry_after_s)
}

/// What is said of a key that another task has.
pub fn reused(first: TaskId) -> ApiError {
    let detail = format!(
        "this Idempotency-Key was used before for task {first}, which is another one; use a new \
         key for a new task"
    );
    ApiError::new(Kind::IdempotencyKeyReused, detail)
}

fn key_of(request: &HttpRequest) -> ApiResult<Option<String>> {
    let mut keys = request.headers().get_all(KEY_HEADER);
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    if keys.next().is_some() {
        return Err(wrong_key("it is given more than once"));
    }
    checked_key(key.as_bytes()).map(Some)
}

/// An idempotency key as it may be.
///
/// # Errors
/// 400 when it may not.
pub fn checked_key(bytes: &[u8]) -> ApiResult<String> {
    match std::str::from_utf8(bytes) {
        Ok("") => Err(wrong_key("it is empty")),
        Ok(_) if bytes.len() > KEY_LENGTH_MAX => Err(wrong_key(&format!("it has {}", bytes.len()))),
        Ok(text) if bytes.iter().all(u8::is_ascii_graphic) => Ok(text.to_owned()),
        _ => Err(wrong_key("it holds another character")),
    }
}

/// What is said of an idempotency key that is none.
pub fn wrong_key(what: &str) -> ApiError {
    let detail = format!(
        "Idempotency-Key must be 1 to {KEY_LENGTH_MAX} visible ASCII characters, given once; {what}"
    );
    ApiError::new(Kind::InvalidIdempotencyKey, detail)
}

/// What two bodies have in common when they mean the same task: the hash of the task with every
/// default filled in, so that neither whitespace nor the order of fields matters.
///
/// # Errors
/// 500, which is a bug.
pub fn hash_of(spec: &TaskSpec) -> ApiResult<String> {
    let text = serde_json::to_vec(spec).map_err(|error| {
        tracing::error!(%error, "a checked task cannot be written as JSON");
        ApiError::new(Kind::Internal, "the task cannot be written down; the core's log says more")
    })?;
    Ok(to_hex(&sha256(&text)))
}

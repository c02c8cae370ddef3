//! Schedules over HTTP: made, changed, shown, fired and previewed. A change is decided over what was
//! read; when somebody else was faster it is read again.

mod hook;
mod show;

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use cloud_core_logic::firing::ScheduleRow;
use cloud_core_logic::{Answer, ScheduleOperation};
use serde_json::Value;
use shared::api::{Page, PreviewDocument, ScheduleDocument, ScheduleFired, ScheduleSummary};
use shared::border::Problem;
use shared::id::ScheduleName;
use shared::schedule::{ScheduleSpec, Timetable, Window, Zones, parse, parse_preview};
use shared_runtime::seal::HookKey;

use super::body::{self, INLINE_BYTES_MAX};
use super::problem::{ApiError, ApiResult, Kind};
use super::query::{self, Query, quote};
use super::state::{State, blocking};
use super::unexpected;

pub use hook::{Deliveries, call, secret};

/// How often a change is decided anew when others are faster.
const TRIES_MAX: usize = 5;
/// When whoever lost each time may try again, in seconds.
const RETRY_AFTER_S: u64 = 1;
/// How many firings a preview shows when it does not say.
const PREVIEW_DEFAULT: u64 = 5;

/// What schedules need of the machine.
#[derive(Clone)]
pub struct ScheduleParts {
    /// What time it is where.
    pub zones: Arc<dyn Zones>,
    /// What the secrets of hooks follow from.
    pub hook_key: HookKey,
}

/// `POST /v1/schedules`.
pub async fn create(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> ApiResult {
    query::none(&request)?;
    let spec = spec_of(&request, payload, None).await?;
    let (row, _) = put_row(&state, spec, true).await?;
    answer(&state, row, true).await
}

/// `PUT /v1/schedules/{name}`.
pub async fn put(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> ApiResult {
    query::none(&request)?;
    let name = name_of(&request)?;
    let spec = spec_of(&request, payload, Some(name)).await?;
    let (row, made) = put_row(&state, spec, false).await?;
    answer(&state, row, made).await
}

/// `GET /v1/schedules`.
pub async fn list(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    let mut query = Query::of(&request, &["limit", "cursor"]);
    let (limit, cursor) = (query.limit(), query.text("cursor"));
    query.finish()?;
    let (zones, now) = (Arc::clone(&state.schedules.zones), state.clock.now().wall);
    let page: Page<ScheduleSummary> = state
        .read(move |reader| {
            let page = reader.schedules(limit, cursor.as_deref())?;
            let items = page.items.iter().map(|row| show::summary(row, &*zones, now)).collect();
            Ok(Page { items, next_cursor: page.next_cursor })
        })
        .await?;
    Ok(HttpResponse::Ok().json(page))
}

/// `GET /v1/schedules/{name}`.
pub async fn show(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    query::none(&request)?;
    let row = stored(&state, &name_of(&request)?).await?;
    Ok(HttpResponse::Ok().json(document(&state, row).await?))
}

/// `DELETE /v1/schedules/{name}`: the answer is the schedule as it was.
pub async fn delete(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    operate(request, state, ScheduleOperation::Delete).await
}

/// `POST /v1/schedules/{name}/pause`.
pub async fn pause(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    operate(request, state, ScheduleOperation::Pause).await
}

/// `POST /v1/schedules/{name}/resume`.
pub async fn resume(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    operate(request, state, ScheduleOperation::Resume).await
}

/// `POST /v1/schedules/{name}/fire`.
pub async fn fire(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    operate(request, state, ScheduleOperation::Fire).await
}

/// `GET /v1/schedules/{name}/firings`.
pub async fn firings(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    let mut query = Query::of(&request, &["limit", "cursor"]);
    let (limit, cursor) = (query.limit(), query.text("cursor"));
    query.finish()?;
    let id = stored(&state, &name_of(&request)?).await?.id;
    let page = state.read(move |reader| reader.firings(id, limit, cursor.as_deref())).await?;
    let items = page.items.iter().map(show::firing).collect();
    Ok(HttpResponse::Ok().json(Page { items, next_cursor: page.next_cursor }))
}

/// `POST /v1/schedules/preview`.
pub async fn preview(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> ApiResult {
    query::none(&request)?;
    let (bytes, _) = body::bytes(&request, payload, &body::DOCUMENT).await?;
    let wish = parse_preview(&body::json(&bytes)?).map_err(invalid)?;
    let (zones, now) = (Arc::clone(&state.schedules.zones), state.clock.now().wall);
    let firings = blocking(move || {
        let from = wish.from.unwrap_or(now);
        let window = Window {
            starts_at: wish.starts_at,
            ends_at: wish.ends_at,
            exclude_days: wish.exclude_days,
        };
        let timetable = Timetable::new(&wish.trigger, &window, from, &*zones)?;
        let count = usize::try_from(wish.count.unwrap_or(PREVIEW_DEFAULT)).unwrap_or(usize::MAX);
        Ok(timetable.preview(from, count))
    });
    let firings = firings
        .await?
        .map_err(|error: shared::schedule::TimetableError| invalid(vec![error.problem()]))?;
    Ok(HttpResponse::Ok().json(PreviewDocument { firings }))
}

async fn operate(
    request: HttpRequest,
    state: web::Data<State>,
    operation: ScheduleOperation,
) -> ApiResult {
    query::none(&request)?;
    let name = name_of(&request)?;
    for _ in 0..TRIES_MAX {
        let before = Box::new(stored(&state, &name).await?);
        match state.core.operate_schedule(before, operation).await? {
            Answer::Schedule(row) => {
                return Ok(HttpResponse::Ok().json(document(&state, *row).await?));
            }
            Answer::ScheduleFired { at, task } => {
                return Ok(HttpResponse::Ok().json(ScheduleFired { at, task }));
            }
            // Deleted since it was read, and perhaps made again: reading tells.
            Answer::ScheduleMoved(_) | Answer::UnknownSchedule(_) => {}
            other => return Err(unexpected("operate_schedule", &other)),
        }
    }
    Err(contended(&name))
}

/// Makes a schedule, or replaces one; and says whether it was made.
async fn put_row(
    state: &State,
    spec: Arc<ScheduleSpec>,
    only_new: bool,
) -> ApiResult<(ScheduleRow, bool)> {
    for _ in 0..TRIES_MAX {
        let name = spec.name.clone();
        let before = state.read(move |reader| reader.schedule(&name)).await?.map(Box::new);
        let made = before.is_none();
        match state.core.put_schedule(before, Arc::clone(&spec), only_new).await? {
            Answer::Schedule(row) => return Ok((*row, made)),
            Answer::ScheduleExists(name) => {
                let detail = format!(
                    "there is a schedule {name} already; nothing was changed. PUT \
                     /v1/schedules/{name} replaces it"
                );
                return Err(ApiError::new(Kind::ScheduleExists, detail));
            }
            Answer::SchedulesFull { schedules_max } => {
                let detail = format!(
                    "there are {schedules_max} schedules, and no more may be; nothing was changed"
                );
                return Err(ApiError::new(Kind::SchedulesFull, detail).retry_after_s(60));
            }
            Answer::BadSchedule(problem) => return Err(invalid(vec![*problem])),
            Answer::ScheduleMoved(_) => {}
            other => return Err(unexpected("put_schedule", &other)),
        }
    }
    Err(contended(&spec.name))
}

async fn answer(state: &State, row: ScheduleRow, made: bool) -> ApiResult {
    let path = format!("/v1/schedules/{}", row.spec.name);
    let document = document(state, row).await?;
    Ok(match made {
        true => HttpResponse::Created().insert_header((header::LOCATION, path)).json(document),
        false => HttpResponse::Ok().json(document),
    })
}

async fn document(state: &State, row: ScheduleRow) -> ApiResult<ScheduleDocument> {
    let (zones, now) = (Arc::clone(&state.schedules.zones), state.clock.now().wall);
    state.read(move |reader| show::document(&row, reader, &*zones, now)).await
}

/// The schedule that is stored under a name.
async fn stored(state: &State, name: &ScheduleName) -> ApiResult<ScheduleRow> {
    let asked = name.clone();
    let found = state.read(move |reader| reader.schedule(&asked)).await?;
    found.ok_or_else(|| {
        let detail =
            format!("there is no schedule {name}; GET /v1/schedules lists those there are");
        ApiError::new(Kind::ScheduleNotFound, detail)
    })
}

/// The name in the path.
fn name_of(request: &HttpRequest) -> ApiResult<ScheduleName> {
    let text = request.match_info().get("name").unwrap_or_default();
    text.parse().map_err(|error| {
        ApiError::new(Kind::InvalidId, format!("{error}; {} is none", quote(text)))
    })
}

/// The schedule in the body of a request; under the name in the path, if there is one.
async fn spec_of(
    request: &HttpRequest,
    payload: web::Payload,
    name: Option<ScheduleName>,
) -> ApiResult<Arc<ScheduleSpec>> {
    let (bytes, _) = body::bytes(request, payload, &body::DOCUMENT).await?;
    let read = move |bytes: &[u8]| checked(body::json(bytes)?, name.as_ref());
    match bytes.len() <= INLINE_BYTES_MAX {
        true => read(&bytes),
        false => blocking(move || read(&bytes)).await?,
    }
}

fn checked(mut document: Value, name: Option<&ScheduleName>) -> ApiResult<Arc<ScheduleSpec>> {
    if let (Some(name), Some(fields)) = (name, document.as_object_mut()) {
        match fields.get("name") {
            None | Some(Value::Null) => {
                fields.insert("name".to_owned(), Value::from(name.as_str()));
            }
            Some(Value::String(given)) if given != name.as_str() => {
                let detail = format!("must be {name}, as in the path, or left out");
                return Err(invalid(vec![Problem { pointer: "/name".to_owned(), detail }]));
            }
            Some(_) => {}
        }
    }
    parse(&document).map(Arc::new).map_err(invalid)
}

/// What is said of a schedule with mistakes.
fn invalid(errors: Vec<Problem>) -> ApiError {
    let detail = match errors.as_slice() {
        [only] if only.pointer.is_empty() => format!("the schedule {}", only.detail),
        [only] => format!("{}: {}", only.pointer, only.detail),
        several => format!("{} mistakes; `errors` says where", several.len()),
    };
    ApiError::new(Kind::InvalidSchedule, detail).with_errors(errors)
}

fn contended(name: &ScheduleName) -> ApiError {
    let detail = format!(
        "the schedule {name} is being changed by others all the time; nothing was done, try again \
         in {RETRY_AFTER_S} s"
    );
    ApiError::new(Kind::CoreBusy, detail).retry_after_s(RETRY_AFTER_S)
}

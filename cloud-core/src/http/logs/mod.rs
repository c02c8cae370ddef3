//! What tasks write: `GET /v1/tasks/{id}/logs`. What was asked for is read here; a task of its own
//! then reads the store part by part and hands the parts to the connection, so that neither a long
//! log nor a slow client holds more than a few parts in memory.

mod stream;
mod tail;
mod tell;

use std::sync::Arc;

use actix_web::http::{Method, header};
use actix_web::{HttpRequest, HttpResponse, web};
use shared::id::{Attempt, TaskId};
use shared::time::Timestamp;
use shared::wire::uplink::LogStream;
use tokio::sync::{Semaphore, mpsc};

use super::followers::Followed;
use super::line::Line;
use super::parts::PartsBody;
use super::problem::{ApiError, ApiResult, Kind};
use super::query::Query;
use super::state::State;
use super::tasks;
use crate::store::LogState;
use stream::LogReader;

/// The most logs that are being read at the same moment; each holds a few parts in memory.
const READERS_MAX: usize = 256;
/// When a caller who finds as many of them may try again, in seconds.
const RETRY_AFTER_S: u64 = 5;
/// Parts that are made and not sent yet.
const PARTS_AHEAD: usize = 1;
/// The most lines that can be asked for.
pub const TAIL_MAX: u64 = 1_000_000;

const STREAMS: [(&str, LogStream); 2] =
    [("stdout", LogStream::Stdout), ("stderr", LogStream::Stderr)];
const FORMATS: [(&str, Format); 2] = [("ndjson", Format::Records), ("text", Format::Text)];

/// Room for those who read logs.
#[derive(Debug, Clone)]
pub struct LogRoom(Arc<Semaphore>);

impl Default for LogRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(READERS_MAX)))
    }
}

/// What a log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    /// One JSON record a line.
    Records,
    /// The text as it was written.
    Text,
}

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wish {
    /// Of which attempt; else of the latest that has a log.
    attempt: Option<Attempt>,
    /// Of one stream only.
    stream: Option<LogStream>,
    /// What was written from then on only.
    since: Option<Timestamp>,
    /// The last lines only.
    tail: Option<u64>,
    /// Whether to wait for more.
    follow: bool,
    format: Format,
}

impl Wish {
    fn of(request: &HttpRequest) -> ApiResult<Self> {
        let known = ["attempt", "stream", "since", "tail", "follow", "format"];
        let mut query = Query::of(request, &known);
        let attempt = query.number("attempt", 1, u64::from(u32::MAX));
        let wish = Self {
            attempt: attempt.and_then(|number| u32::try_from(number).ok()).map(Attempt),
            stream: query.word("stream", &STREAMS),
            since: query.time("since"),
            tail: query.number("tail", 0, TAIL_MAX),
            follow: query.flag("follow"),
            format: query.word("format", &FORMATS).unwrap_or_else(|| accepted(request)),
        };
        query.finish()?;
        Ok(wish)
    }
}

/// The format that a client prefers: text, if it names that and not the other.
fn accepted(request: &HttpRequest) -> Format {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let takes = |kind: &str| {
        let kinds = accept.unwrap_or_default().split(',');
        let named = kinds.map(|one| one.split(';').next().unwrap_or_default().trim());
        named.into_iter().any(|one| one.eq_ignore_ascii_case(kind))
    };
    match takes("text/plain") && !takes("application/x-ndjson") {
        true => Format::Text,
        false => Format::Records,
    }
}

/// `GET /v1/tasks/{id}/logs`.
pub async fn show(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    let wish = Wish::of(&request)?;
    let task = tasks::id_of(&request)?;
    let Some(log) = state.read(move |reader| reader.log_state(task)).await? else {
        return tasks::no_task(&state, task).await;
    };
    check_attempt(&wish, task, &log)?;
    let mut response = HttpResponse::Ok();
    response.content_type(match wish.format {
        Format::Records => "application/x-ndjson",
        Format::Text => "text/plain; charset=utf-8",
    });
    if request.method() == Method::HEAD {
        return Ok(response.finish());
    }
    let Ok(room) = Arc::clone(&state.log_room.0).try_acquire_owned() else {
        let detail = format!(
            "as many logs are being read as may be at once ({READERS_MAX}); try again in \
             {RETRY_AFTER_S} s"
        );
        return Err(ApiError::new(Kind::CoreBusy, detail).retry_after_s(RETRY_AFTER_S));
    };
    let (sender, parts) = mpsc::channel(PARTS_AHEAD);
    let place = state.metrics.followers().begin(Followed::Logs);
    let reader = LogReader::new(state, task, wish, place, Line::of(&request), sender);
    actix_web::rt::spawn(async move {
        reader.run(log).await;
        drop(room);
    });
    Ok(response.body(PartsBody::new(parts)))
}

fn check_attempt(wish: &Wish, task: TaskId, log: &LogState) -> ApiResult<()> {
    let Some(asked) = wish.attempt else {
        return Ok(());
    };
    if log.attempts.iter().any(|known| known.attempt == asked) {
        return Ok(());
    }
    let detail = match (log.attempts.first(), log.attempts.last()) {
        (Some(first), Some(last)) if first == last => {
            format!("task {task} has attempt {} only, and no attempt {asked}", last.attempt)
        }
        (Some(first), Some(last)) => {
            let (first, last) = (first.attempt, last.attempt);
            format!("the attempts of task {task} are between {first} and {last}; none is {asked}")
        }
        _ => format!("task {task} has no attempt yet; leave `attempt` out"),
    };
    Err(ApiError::new(Kind::InvalidQuery, format!("`attempt`: {detail}")))
}

//! `GET /v1/events`: what happens, as server-sent events. Each follower reads the log of events in
//! the store for itself, as fast as it takes them: a slow one holds a part in memory, is told a gap
//! when the log has moved on without it, and is cut off when it does not read at all.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::Method;
use actix_web::web::{self, Bytes};
use actix_web::{HttpRequest, HttpResponse};
use shared::api::{EventDocument, EventKind};
use shared::id::{AgentId, ScheduleName, TaskId};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::followers::{Ended, Followed, Place};
use super::line::Line;
use super::parts::{BrokenOff, PartsBody};
use super::problem::{ApiError, ApiResult, Kind};
use super::query::{Query, quote};
use super::state::State;

/// The most who follow at the same moment.
const FOLLOWERS_MAX: usize = 256;
/// When a caller who finds as many of them may try again, in seconds.
const RETRY_AFTER_S: u64 = 5;
/// The header in which a client that was cut off says how far it came.
const LAST_ID_HEADER: &str = "last-event-id";
/// The largest number that every reader of JSON understands.
pub const ID_MAX: u64 = 1 << 53;
/// How long an idle connection goes without a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long to let events gather before they are read: many transactions share one look.
const GATHERING: Duration = Duration::from_millis(10);
/// How long a client may take to make room for a part.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// Room for those who follow events.
#[derive(Debug, Clone)]
pub struct EventRoom(Arc<Semaphore>);

impl Default for EventRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(FOLLOWERS_MAX)))
    }
}

/// Which events to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Wish {
    kinds: Option<Vec<EventKind>>,
    task: Option<TaskId>,
    agent: Option<AgentId>,
    schedule: Option<ScheduleName>,
}

impl Wish {
    /// Whether an event is wanted. Gaps always are: what is missing may have been.
    fn takes(&self, event: &EventDocument) -> bool {
        let wanted = || {
            self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&event.kind))
                && self.task.is_none_or(|task| event.task == Some(task))
                && self.agent.as_ref().is_none_or(|agent| event.agent.as_ref() == Some(agent))
                && (self.schedule.is_none() || event.schedule == self.schedule)
        };
        event.kind == EventKind::Gap || wanted()
    }
}

/// `GET /v1/events`.
pub async fn follow(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    let mut query = Query::of(&request, &["kind", "task", "agent", "schedule", "after"]);
    let wish = Wish {
        kinds: query.words("kind", &EventKind::ALL),
        task: query.task("task"),
        agent: query.agent("agent"),
        schedule: query.schedule("schedule"),
    };
    let after = query.number("after", 0, ID_MAX);
    query.finish()?;
    // A client that connects again keeps its query, and says in the header how far it came.
    let after = last_id(&request)?.or(after);
    // From before the log is read, so that nothing comes in between unseen.
    let changed = state.core.events();
    let upto = match after {
        Some(after) => after,
        None => state.read(|reader| reader.newest_event()).await?,
    };
    let mut response = HttpResponse::Ok();
    response.content_type("text/event-stream");
    if request.method() == Method::HEAD {
        return Ok(response.finish());
    }
    let Ok(room) = Arc::clone(&state.event_room.0).try_acquire_owned() else {
        let detail = format!(
            "as many clients follow events as may at once ({FOLLOWERS_MAX}); try again in \
             {RETRY_AFTER_S} s"
        );
        return Err(ApiError::new(Kind::CoreBusy, detail).retry_after_s(RETRY_AFTER_S));
    };
    let (out, parts) = mpsc::channel(1);
    let place = state.metrics.followers().begin(Followed::Events);
    let line = Line::of(&request);
    let follower = Follower { state, wish, upto, changed, line, out, place };
    actix_web::rt::spawn(async move {
        follower.run().await;
        drop(room);
    });
    Ok(response.body(PartsBody::new(parts)))
}

/// How far a client came that was cut off.
fn last_id(request: &HttpRequest) -> ApiResult<Option<u64>> {
    let Some(value) = request.headers().get(LAST_ID_HEADER) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("\u{fffd}");
    match text.parse() {
        Ok(id) if id <= ID_MAX => Ok(Some(id)),
        // Browsers send an empty one when no event had an id.
        Err(_) if text.is_empty() => Ok(None),
        _ => {
            let found = quote(text);
            let detail = format!("Last-Event-ID must be the `id` of an event, not {found}");
            Err(ApiError::new(Kind::InvalidQuery, detail))
        }
    }
}

/// Why following ends.
enum End {
    /// The client left.
    Gone,
    /// The client does not read.
    Stuck,
    /// The store cannot be read.
    Failed,
}

impl From<ApiError> for End {
    fn from(_: ApiError) -> Self {
        Self::Failed
    }
}

/// Reads the log for one client.
struct Follower {
    state: web::Data<State>,
    wish: Wish,
    /// The event up to which everything was looked at.
    upto: u64,
    changed: watch::Receiver<()>,
    line: Option<Line>,
    out: mpsc::Sender<Result<Bytes, BrokenOff>>,
    place: Place,
}

impl Follower {
    async fn run(mut self) {
        let ended = self.tell().await;
        self.place.end(match ended {
            Ok(()) => Ended::Told,
            Err(End::Gone) => Ended::Left,
            Err(End::Stuck) => Ended::Cut,
            Err(End::Failed) => Ended::Failed,
        });
        if let Err(End::Failed) = ended {
            // A client that has left does not mind.
            let _ = self.out.send(Err(BrokenOff)).await;
        }
    }

    async fn tell(&mut self) -> Result<(), End> {
        // At once, so that the client knows that it is heard.
        self.send(format!(": from {}\nretry: 1000\n\n", self.upto)).await?;
        let mut heartbeat_at = Instant::now() + HEARTBEAT;
        loop {
            self.changed.mark_unchanged();
            // Before the log is read: what was committed before the core began to stop is told.
            let closing = self.state.core.is_closing();
            let after = self.upto;
            let part = self.state.read(move |reader| reader.events(after)).await?;
            let idle = part.events.is_empty();
            self.place.has_all(idle);
            let gaps = part.events.iter().filter(|event| event.kind == EventKind::Gap);
            self.place.tell_gaps(gaps.count() as u64);
            self.upto = part.upto;
            let mut text = String::new();
            for event in part.events.iter().filter(|event| self.wish.takes(event)) {
                write(event, &mut text)?;
            }
            if !text.is_empty() {
                self.send(text).await?;
                heartbeat_at = Instant::now() + HEARTBEAT;
            }
            if !idle {
                continue;
            }
            if closing {
                return Ok(());
            }
            if self.has_left() {
                return Err(End::Gone);
            }
            match timeout_at(heartbeat_at, self.changed.changed()).await {
                // The driver is gone.
                Ok(Err(_)) => return Ok(()),
                Ok(Ok(())) => sleep(GATHERING).await,
                Err(_) => {
                    // The number alone, so that a client whose filter lets nothing through comes
                    // back to where the log is.
                    self.send(format!(": nothing new\nid: {}\n\n", self.upto)).await?;
                    heartbeat_at = Instant::now() + HEARTBEAT;
                }
            }
        }
    }

    fn has_left(&self) -> bool {
        self.out.is_closed() || self.line.as_ref().is_some_and(Line::is_left)
    }

    async fn send(&mut self, text: String) -> Result<(), End> {
        match timeout(CLIENT_PATIENCE, self.out.send(Ok(text.into()))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => {
                // The framework would hold what it has for it for ever.
                if let Some(line) = &self.line {
                    line.cut();
                }
                Err(End::Stuck)
            }
        }
    }
}

/// An event as it is sent. JSON has no line breaks of its own.
fn write(event: &EventDocument, text: &mut String) -> Result<(), End> {
    use std::fmt::Write;
    let data = serde_json::to_string(event).map_err(|error| {
        tracing::error!(%error, "an event cannot be written as JSON");
        End::Failed
    })?;
    // Writing to a string does not fail.
    let _ = write!(text, "id: {}\nevent: {}\ndata: {data}\n\n", event.id, event.kind.name());
    Ok(())
}

#[cfg(test)]
mod properties {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_event_id_is_read_or_refused(text in "[!-~ ]{0,24}", id in 0..=ID_MAX) {
            let read = |text: &str| {
                last_id(&TestRequest::get().insert_header((LAST_ID_HEADER, text)).to_http_request())
            };
            prop_assert_eq!(read(&id.to_string()).ok(), Some(Some(id)));
            if let Ok(Some(id)) = read(&text) {
                prop_assert!(id <= ID_MAX);
            }
            prop_assert!(read(&(ID_MAX + 1).to_string()).is_err());
        }
    }
}

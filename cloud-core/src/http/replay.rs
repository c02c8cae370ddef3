//! `POST /v1/policy/replay`: what another policy would change about placements that the core
//! remembers, before it is put in force. Computes on a snapshot of the fleet, on a blocking thread.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use cloud_core_logic::placement::{self, Recorded};
use shared::api::PolicyReplay;
use shared::task::TaskStatus;
use tokio::sync::Semaphore;

use super::policy;
use super::problem::{ApiError, ApiResult};
use super::query::Query;
use super::state::{State, blocking};
use crate::driver::CoreBusy;
use crate::store::{PAGE_ITEMS_MAX, Reader, StoreError, TaskFilter};

/// How many placements are looked at when nobody says.
pub const LAST_DEFAULT: u64 = 1_000;
/// The most placements that are looked at.
pub const LAST_MAX: u64 = 10_000;
/// The most tasks that are looked at for each placement asked for: some have none.
const TASKS_EACH: usize = 4;

/// Room for one replay: each has an index over the whole fleet of its own.
#[derive(Debug, Clone)]
pub struct ReplayRoom(Arc<Semaphore>);

impl Default for ReplayRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// `POST /v1/policy/replay`.
pub async fn replay(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> ApiResult {
    let mut query = Query::of(&request, &["last"]);
    let last = query.number("last", 1, LAST_MAX).unwrap_or(LAST_DEFAULT);
    query.finish()?;
    let other = policy::of_body(&request, payload).await?;
    let room = Arc::clone(&state.replay_room.0);
    // Closed never, so that is as good as stopping.
    let _alone = room.acquire_owned().await.map_err(|_| CoreBusy::Stopping)?;
    let view = state.core.fleet().await?;
    let reader = state.core.reader();
    let told = blocking(move || {
        let recorded = recorded(reader.as_ref(), usize::try_from(last).unwrap_or(usize::MAX))?;
        let told = placement::replay((*view.fleet).clone(), &recorded, &view.policy, &other);
        Ok::<PolicyReplay, StoreError>(told)
    });
    Ok(HttpResponse::Ok().json(told.await?.map_err(ApiError::from)?))
}

/// The latest placements: those of tasks that are not over, then those of others, newest first.
fn recorded(reader: &dyn Reader, last: usize) -> Result<Vec<Recorded>, StoreError> {
    let live = [TaskStatus::Running, TaskStatus::Assigned];
    let mut recorded = Vec::new();
    for status in live {
        let filter = TaskFilter { status: Some(status), ..TaskFilter::default() };
        gather(reader, &filter, last, &mut recorded)?;
    }
    gather(reader, &TaskFilter::default(), last, &mut recorded)?;
    Ok(recorded)
}

/// Adds placements of the tasks that a filter shows, up to `last` in all. Those that are not over are
/// taken when the filter asks for them; of those that everybody asks for, the others.
fn gather(
    reader: &dyn Reader,
    filter: &TaskFilter,
    last: usize,
    recorded: &mut Vec<Recorded>,
) -> Result<(), StoreError> {
    let mut cursor = None;
    let mut looked_at = 0;
    while recorded.len() < last && looked_at < last.saturating_mul(TASKS_EACH) {
        let page = reader.tasks(filter, PAGE_ITEMS_MAX, cursor.as_deref())?;
        for task in page.items {
            looked_at += 1;
            // One that has moved on meanwhile is found among the others, or by the next replay.
            let live = !task.status.is_settled();
            if recorded.len() == last || live != filter.status.is_some() {
                continue;
            }
            let Some(task) = reader.task(task.id)? else { continue };
            if let Some(attempt) = task.assignments.last() {
                let live = attempt.ended_at.is_none();
                let (task, spec, agent) = (task.summary.id, task.spec, attempt.agent.clone());
                recorded.push(Recorded { task, spec, agent, live });
            }
        }
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    Ok(())
}

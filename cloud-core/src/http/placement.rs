//! Where a task would go, and why one is where it is. Both compute over an immutable snapshot of
//! the fleet on a blocking thread and change nothing.

use actix_web::{HttpRequest, HttpResponse, web};
use cloud_core_logic::placement::{self, Request, Waiting};
use shared::api::{Explanation, Plan};

use super::problem::ApiResult;
use super::state::{State, blocking};
use super::{body, explain, query, tasks};
use crate::driver::TaskView;
use crate::store::PlacementInput;

/// The most candidates that a plan shows.
const CANDIDATES_MAX: usize = 10;
/// The most agents that a plan shows for each reason.
const EXAMPLES_MAX: usize = 5;

/// `POST /v1/tasks/plan`.
pub async fn plan(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> ApiResult {
    query::none(&request)?;
    let spec = body::task(&request, payload).await?;
    let view = state.core.fleet().await?;
    let profile = spec.prefer.profile.as_deref();
    view.policy.check_profile(profile).map_err(|problem| body::invalid(vec![problem]))?;
    let plan: Plan = blocking(move || {
        let request = Request { groups: view.fleet.groups(), ..Request::of(&spec) };
        placement::plan(&view.fleet, &request, &view.policy, CANDIDATES_MAX, EXAMPLES_MAX)
    })
    .await?;
    Ok(HttpResponse::Ok().json(plan))
}

/// `GET /v1/tasks/{id}/explain`.
pub async fn explain(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    query::none(&request)?;
    let id = tasks::id_of(&request)?;
    let input = state.read(move |reader| reader.placement_input(id)).await?;
    let Some(input) = input else {
        return tasks::no_task(&state, id).await;
    };
    let explanation = match explain::waits(&input.task) {
        false => explain::placed(&input.task),
        true => {
            let view = state.core.look_at(id).await?;
            blocking(move || waiting(&input, &view)).await?
        }
    };
    Ok(HttpResponse::Ok().json(explanation))
}

fn waiting(input: &PlacementInput, view: &TaskView) -> Explanation {
    let (task, TaskView { fleet: view, held_until }) = (&input.task, view);
    let waiting =
        Waiting { task: task.summary.id, status: task.summary.status, not_before: task.not_before };
    let (spec, avoid, groups) = (&task.spec, &input.refused_by, view.fleet.groups());
    let request = Request { spec, avoid, groups };
    let now = placement::explain_waiting(waiting, &view.fleet, &request, &view.policy);
    let now = explain::held_back(now, view.recovering_until, *held_until);
    explain::after_attempts(task, now)
}

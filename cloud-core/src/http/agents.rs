//! Listing, showing and operating agents. Reads are of an immutable snapshot of the fleet.

use actix_web::{HttpRequest, HttpResponse, web};
use cloud_core_logic::Answer;
use cloud_core_logic::fleet::Agent;
use cloud_core_logic::input::Operation;
use shared::api::{AgentDocument, AgentStatus, Page};
use shared::id::AgentId;

use super::problem::{ApiError, ApiResult, Kind};
use super::query::{self, LabelFilter, Query};
use super::state::{State, blocking};
use super::{page, unexpected};

const STATUSES: [(&str, AgentStatus); 3] = [
    ("online", AgentStatus::Online),
    ("suspect", AgentStatus::Suspect),
    ("offline", AgentStatus::Offline),
];

/// Which agents a list shows. Every condition that is given must hold.
struct AgentFilter {
    status: Option<AgentStatus>,
    label: Option<LabelFilter>,
    region: Option<String>,
}

impl AgentFilter {
    fn takes(&self, agent: &Agent) -> bool {
        let labeled = self.label.as_ref().is_none_or(|(key, value)| {
            let held = agent.facts.labels.get(key);
            held.is_some_and(|held| value.as_ref().is_none_or(|value| value == held))
        });
        let in_region = self.region.is_none() || self.region == agent.facts.region;
        self.status.is_none_or(|status| status == agent.status) && labeled && in_region
    }
}

/// `GET /v1/agents`.
pub async fn list(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    let mut query = Query::of(&request, &["status", "label", "region", "limit", "cursor"]);
    let filter = AgentFilter {
        status: query.word("status", &STATUSES),
        label: query.label(),
        region: query.text("region"),
    };
    let (limit, cursor) = (query.limit(), query.text("cursor"));
    let after = cursor.as_deref().and_then(page::agent_of);
    if cursor.is_some() && after.is_none() {
        query.refuse(
            "cursor",
            "is none of this list; pass the `next_cursor` of an earlier page, or leave it out",
        );
    }
    query.finish()?;
    let view = state.core.fleet().await?;
    let page: Page<AgentDocument> = blocking(move || {
        let matching = view.fleet.after(after.as_ref()).filter(|agent| filter.takes(agent));
        let page = page::cut(matching, limit, |agent| &agent.id);
        let items = page.items.into_iter().map(Agent::document).collect();
        Page { items, next_cursor: page.next_cursor }
    })
    .await?;
    Ok(HttpResponse::Ok().json(page))
}

/// `GET /v1/agents/{id}`.
pub async fn show(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    query::none(&request)?;
    let id = id_of(&request)?;
    let view = state.core.fleet().await?;
    match view.fleet.get(&id) {
        Some(agent) => Ok(HttpResponse::Ok().json(agent.document())),
        None => Err(no_agent(&id)),
    }
}

/// `POST /v1/agents/{id}/cordon`.
pub async fn cordon(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    operate(&request, &state, Operation::Cordon).await
}

/// `POST /v1/agents/{id}/uncordon`.
pub async fn uncordon(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    operate(&request, &state, Operation::Uncordon).await
}

/// `POST /v1/agents/{id}/drain`.
pub async fn drain(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    operate(&request, &state, Operation::Drain).await
}

/// `POST /v1/agents/{id}/revoke`.
pub async fn revoke(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    operate(&request, &state, Operation::Revoke).await
}

/// `POST /v1/agents/{id}/readmit`.
pub async fn readmit(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    operate(&request, &state, Operation::Readmit).await
}

async fn operate(request: &HttpRequest, state: &State, operation: Operation) -> ApiResult {
    query::none(request)?;
    match state.core.operate(id_of(request)?, operation).await? {
        Answer::Agent(agent) => Ok(HttpResponse::Ok().json(agent)),
        Answer::UnknownAgent(id) => Err(no_agent(&id)),
        other => Err(unexpected("operate", &other)),
    }
}

fn id_of(request: &HttpRequest) -> ApiResult<AgentId> {
    let text = request.match_info().get("id").unwrap_or_default();
    text.parse().map_err(|error| {
        ApiError::new(Kind::InvalidId, format!("{error}; an agent id looks like board-7"))
    })
}

fn no_agent(id: &AgentId) -> ApiError {
    let detail = format!("no agent {id} has ever joined; GET /v1/agents lists those that have");
    ApiError::new(Kind::AgentNotFound, detail)
}

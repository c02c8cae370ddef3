//! What machines ask: is it alive, is it ready, how is it doing; and, for people who open the root
//! in a browser, what there is.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use prometheus_client::encoding::text;
use shared::api::{Index, Liveness, Readiness};

use super::problem::{ApiError, ApiResult, Kind};
use super::query;
use super::state::State;

/// The media type of the metrics: what Prometheus asks for, and text to everyone else.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /`.
pub async fn index(request: HttpRequest) -> ApiResult {
    query::none(&request)?;
    let urls = [
        ("tasks", "/v1/tasks"),
        ("plan", "/v1/tasks/plan"),
        ("agents", "/v1/agents"),
        ("openapi", "/v1/openapi.json"),
        ("docs", "/docs"),
        ("live", "/health/live"),
        ("ready", "/health/ready"),
        ("metrics", "/metrics"),
    ];
    Ok(HttpResponse::Ok().json(Index {
        name: "ambit core".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        urls: urls.map(|(what, path)| (what.to_owned(), path.to_owned())).into(),
    }))
}

/// `GET /health/live`: that this answers is the answer.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Liveness { status: "live".to_owned() })
}

/// `GET /health/ready`.
pub async fn ready(state: web::Data<State>) -> HttpResponse {
    let readiness = state.core.is_ready();
    let reasons: Vec<String> = readiness.reasons().into_iter().map(str::to_owned).collect();
    let (mut response, status) = match reasons.is_empty() {
        true => (HttpResponse::Ok(), "ready"),
        false => (HttpResponse::ServiceUnavailable(), "not_ready"),
    };
    if !reasons.is_empty() {
        response.insert_header((header::RETRY_AFTER, 1));
    }
    response.json(Readiness { status: status.to_owned(), reasons })
}

/// `GET /metrics`.
pub async fn metrics(state: web::Data<State>) -> ApiResult {
    let mut page = String::new();
    text::encode(&mut page, &state.registry).map_err(|error| {
        tracing::error!(%error, "the metrics cannot be written");
        ApiError::new(Kind::Internal, "the metrics cannot be written; the core's log says more")
    })?;
    Ok(HttpResponse::Ok().content_type(OPENMETRICS).body(page))
}

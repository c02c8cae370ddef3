//! What machines ask: is it alive, is it ready, how is it doing; and, for people who open the root
//! in a browser, what there is.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use prometheus_client::encoding::text;
use serde_json::json;

use super::problem::{ApiError, ApiResult, Kind};
use super::query;
use super::state::State;

/// The media type of the metrics: what Prometheus asks for, and text to everyone else.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `GET /`.
pub async fn index(request: HttpRequest) -> ApiResult {
    query::none(&request)?;
    Ok(HttpResponse::Ok().json(json!({
        "name": "ambit core",
        "version": env!("CARGO_PKG_VERSION"),
        "urls": {
            "tasks": "/v1/tasks",
            "plan": "/v1/tasks/plan",
            "agents": "/v1/agents",
            "live": "/health/live",
            "ready": "/health/ready",
            "metrics": "/metrics",
        },
    })))
}

/// `GET /health/live`: that this answers is the answer.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "live"}))
}

/// `GET /health/ready`.
pub async fn ready(state: web::Data<State>) -> HttpResponse {
    let readiness = state.core.is_ready();
    let reasons = readiness.reasons();
    match reasons.is_empty() {
        true => HttpResponse::Ok().json(json!({"status": "ready", "reasons": reasons})),
        false => HttpResponse::ServiceUnavailable()
            .insert_header((header::RETRY_AFTER, 1))
            .json(json!({"status": "not_ready", "reasons": reasons})),
    }
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

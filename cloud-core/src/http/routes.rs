//! The paths of the API in one place: which handler serves which, what to answer for another
//! method, and the hint for a path that does not exist.

use actix_web::dev::HttpServiceFactory;
use actix_web::guard::{Any, Get, Head};
use actix_web::{FromRequest, Handler, HttpRequest, Resource, Responder, Route, web};
use shared::border::nearest;

use super::problem::{ApiError, ApiResult, Kind};
use super::query::quote;
use super::{agents, batch, events, health, logs, placement, policy, tasks};

/// Every path, for hints.
const PATHS: [&str; 18] = [
    "/",
    "/v1/tasks",
    "/v1/tasks/batch",
    "/v1/tasks/plan",
    "/v1/tasks/{id}",
    "/v1/tasks/{id}/explain",
    "/v1/tasks/{id}/cancel",
    "/v1/tasks/{id}/logs",
    "/v1/agents",
    "/v1/agents/{id}",
    "/v1/agents/{id}/cordon",
    "/v1/agents/{id}/uncordon",
    "/v1/agents/{id}/drain",
    "/v1/events",
    "/v1/policy",
    "/health/live",
    "/health/ready",
    "/metrics",
];

/// Adds every path to the server.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(get("/", health::index))
        .service(
            web::resource("/v1/tasks")
                .route(reading().to(tasks::list))
                .route(web::post().to(tasks::submit))
                .default_service(refuse("GET, HEAD, POST")),
        )
        .service(post("/v1/tasks/batch", batch::submit))
        .service(post("/v1/tasks/plan", placement::plan))
        .service(get("/v1/tasks/{id}", tasks::show))
        .service(get("/v1/tasks/{id}/explain", placement::explain))
        .service(post("/v1/tasks/{id}/cancel", tasks::cancel))
        .service(get("/v1/tasks/{id}/logs", logs::show))
        .service(get("/v1/agents", agents::list))
        .service(get("/v1/agents/{id}", agents::show))
        .service(post("/v1/agents/{id}/cordon", agents::cordon))
        .service(post("/v1/agents/{id}/uncordon", agents::uncordon))
        .service(post("/v1/agents/{id}/drain", agents::drain))
        .service(get("/v1/events", events::follow))
        .service(
            web::resource("/v1/policy")
                .route(reading().to(policy::show))
                .route(web::put().to(policy::put))
                .default_service(refuse("GET, HEAD, PUT")),
        )
        .service(get("/health/live", health::live))
        .service(get("/health/ready", health::ready))
        .service(get("/metrics", health::metrics))
        .default_service(web::to(not_found));
}

/// GET, and HEAD, which is GET without the body.
fn reading() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

fn get<F, Args>(path: &'static str, handler: F) -> impl HttpServiceFactory + 'static
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let resource: Resource = web::resource(path);
    resource.route(reading().to(handler)).default_service(refuse("GET, HEAD"))
}

fn post<F, Args>(path: &'static str, handler: F) -> impl HttpServiceFactory + 'static
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let resource: Resource = web::resource(path);
    resource.route(web::post().to(handler)).default_service(refuse("POST"))
}

fn refuse(allowed: &'static str) -> Route {
    web::to(move |request: HttpRequest| {
        let (method, path) = (quote(request.method().as_str()), quote(request.path()));
        let detail = format!("{path} takes {allowed}, not {method}");
        let error = ApiError::new(Kind::MethodNotAllowed, detail).allow(allowed);
        async move { ApiResult::<&'static str>::Err(error) }
    })
}

async fn not_found(request: HttpRequest) -> ApiResult<&'static str> {
    let path = request.path();
    let hint = match nearest_path(path) {
        Some(known) => format!("did you mean {known}?"),
        None => "GET / lists what there is".to_owned(),
    };
    let detail = format!("nothing is served under {}; {hint}", quote(path));
    Err(ApiError::new(Kind::PathNotFound, detail))
}

/// The known path nearest to one that does not exist.
fn nearest_path(path: &str) -> Option<&'static str> {
    let trimmed = path.trim_end_matches('/');
    let steps: Vec<&str> = trimmed.split('/').skip(1).collect();
    // An id is as long as all the rest and must not weigh in the comparison.
    let plain = match steps.as_slice() {
        ["v1", list, _] => format!("/v1/{list}/{{id}}"),
        ["v1", list, _, verb] => format!("/v1/{list}/{{id}}/{verb}"),
        _ => trimmed.to_owned(),
    };
    let with_version = format!("/v1{plain}");
    let near = |text: &str| nearest(text, PATHS[1..].iter().copied());
    let exact = PATHS.iter().find(|known| **known == plain || **known == with_version);
    exact.copied().or_else(|| near(&plain)).or_else(|| near(&with_version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_path_is_the_one_that_was_meant() {
        for (wrong, meant) in [
            ("/v1/task", "/v1/tasks"),
            ("/v1/tasks/", "/v1/tasks"),
            ("/tasks", "/v1/tasks"),
            ("/v1/task/01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b", "/v1/tasks/{id}"),
            ("/v1/tasks/01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b/explian", "/v1/tasks/{id}/explain"),
            ("/v1/agents/board-7/uncordn", "/v1/agents/{id}/uncordon"),
            ("/v1/agent/board-7/drain", "/v1/agents/{id}/drain"),
            ("/health", "/health/live"),
            ("/healthz/ready", "/health/ready"),
            ("/metric", "/metrics"),
        ] {
            assert_eq!(nearest_path(wrong), Some(meant), "{wrong}");
        }
        for wrong in ["/wp-login.php", "/x", "", "*"] {
            assert_eq!(nearest_path(wrong), None, "{wrong}");
        }
        assert_eq!(nearest_path(&"/a".repeat(50_000)), None);
    }
}

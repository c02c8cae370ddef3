//! The paths of the API as the server knows them: made from the table of operations, with what to
//! answer for another method, and the hint for a path that does not exist.

use actix_web::guard::{Any, Get, Head};
use actix_web::{HttpRequest, Route, web};
use shared::border::nearest;

use super::access::asking;
use super::openapi::{Operation, Verb, operations};
use super::problem::{ApiError, ApiResult, Kind};
use super::query::quote;

/// Every path once, in the order of the table.
fn paths() -> Vec<&'static str> {
    let mut paths = Vec::new();
    for operation in operations() {
        if !paths.contains(&operation.path) {
            paths.push(operation.path);
        }
    }
    paths
}

/// Adds every path to the server.
pub fn configure(config: &mut web::ServiceConfig) {
    for path in paths() {
        let mut resource = web::resource(path);
        for operation in operations().filter(|operation| operation.path == path) {
            let route = (operation.serve)(route(operation.verb));
            resource = resource.route(asking(operation.role, route));
        }
        config.service(resource.default_service(refuse(allowed(path))));
    }
    config.default_service(web::to(not_found));
}

/// A route that takes one method, and for GET also HEAD, which is GET without the body.
fn route(verb: Verb) -> Route {
    match verb {
        Verb::Get => web::route().guard(Any(Get()).or(Head())),
        Verb::Post => web::post(),
        Verb::Put => web::put(),
        Verb::Delete => web::delete(),
    }
}

/// The methods of a path, as the header `Allow` has them.
fn allowed(path: &str) -> String {
    let verbs = operations().filter(|operation| operation.path == path);
    let name = |operation: &Operation| match operation.verb {
        Verb::Get => "GET, HEAD",
        verb => verb.name(),
    };
    verbs.map(name).collect::<Vec<_>>().join(", ")
}

fn refuse(allowed: String) -> Route {
    web::to(move |request: HttpRequest| {
        let (method, path) = (quote(request.method().as_str()), quote(request.path()));
        let detail = format!("{path} takes {allowed}, not {method}");
        let error = ApiError::new(Kind::MethodNotAllowed, detail).allow(&allowed);
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

/// What stands in the paths of a list for one of its items, as far as its name can be read.
fn parameter(list: &str) -> &'static str {
    match nearest(list, ["tasks", "agents", "schedules", "hooks"]) {
        Some("schedules" | "hooks") => "{name}",
        _ => "{id}",
    }
}

/// The known path nearest to one that does not exist.
fn nearest_path(path: &str) -> Option<&'static str> {
    let trimmed = path.trim_end_matches('/');
    let steps: Vec<&str> = trimmed.split('/').skip(1).collect();
    // An id is as long as all the rest and must not weigh in the comparison.
    let plain = match steps.as_slice() {
        ["v1", list, _] => format!("/v1/{list}/{}", parameter(list)),
        ["v1", list, _, verb] => format!("/v1/{list}/{}/{verb}", parameter(list)),
        _ => trimmed.to_owned(),
    };
    let with_version = format!("/v1{plain}");
    let paths = paths();
    let near = |text: &str| nearest(text, paths.iter().copied().filter(|known| *known != "/"));
    let exact = paths.iter().find(|known| **known == plain || **known == with_version);
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

//! Who asks, and whether they may: every request passes the gate before anything of it is looked
//! at, every route names the least role it asks for, and every change leaves a line in the audit.
//! Decides by `crate::access`; knows headers, and never writes one down.

use std::net::{IpAddr, Ipv4Addr};

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::{Next, from_fn};
use actix_web::{Error, HttpMessage, HttpResponse, Route, web};

use super::metrics::Changed;
use super::openapi::{Role as Asked, operations};
use super::problem::{ApiError, ApiResult, Kind};
use super::state::State;
use crate::access::{Caller, Denied, Role};

/// The longest part of a path that is written to the audit, in characters.
const PATH_LENGTH_MAX: usize = 200;

/// Whether everybody may use this path: what says no more than that the core is there, and what it
/// can do.
fn is_open(path: &str) -> bool {
    let fits = |pattern: &str| match pattern.strip_suffix("{name}") {
        Some(front) => path.strip_prefix(front).is_some_and(|name| !name.contains('/')),
        None => pattern == path,
    };
    operations().any(|operation| operation.role == Asked::Anyone && fits(operation.path))
}

/// Lets a request in, and notes who asks for the routes.
///
/// # Errors
/// 401 without a right token, 429 when it, or a wrong one, is used too often.
pub fn admit(request: &ServiceRequest, state: &State) -> ApiResult<()> {
    // By the path as it was written: one spelled otherwise needs a token.
    if is_open(request.path()) {
        return Ok(());
    }
    let shown = request.headers().get(header::AUTHORIZATION);
    // What is no text is no token either.
    let shown = shown.map(|value| value.to_str().unwrap_or_default());
    let caller = state.gate.admit(shown, address(request), state.clock.now())?;
    request.extensions_mut().insert(caller);
    Ok(())
}

/// Lets a route be used only by those of at least this role.
pub fn asking(role: Asked, route: Route) -> Route {
    let role = match role {
        Asked::Anyone => return route,
        Asked::Viewer => Role::Viewer,
        Asked::Submitter => Role::Submitter,
        Asked::Operator => Role::Operator,
    };
    route.wrap(from_fn(move |request, next| pass(role, request, next)))
}

async fn pass(
    least: Role,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let caller = request.extensions().get::<Caller>().cloned();
    let Some(caller) = caller else {
        // The gate was passed by: an open path on which a route asks for a role.
        return Ok(refuse(request, Denied::Missing.into()));
    };
    let changes = least > Role::Viewer && !request.method().is_safe();
    let (method, path) = (request.method().clone(), cut(request.path()));
    let from = address(&request);
    let state = request.app_data::<web::Data<State>>().cloned();
    let response = if caller.role < least {
        refuse(request, forbidden(&caller, least))
    } else {
        next.call(request).await?
    };
    if let Some(state) = state.filter(|state| changes && state.audit) {
        let made = response.headers().get(header::LOCATION).and_then(|made| made.to_str().ok());
        let refused = response.response().error().and_then(|error| error.as_error::<ApiError>());
        state.metrics.record(Changed {
            who: &caller.name,
            role: caller.role.name(),
            from,
            method: method.as_str(),
            path: &path,
            status: response.status().as_u16(),
            made: made.unwrap_or_default(),
            refused: refused.map_or("", |error| error.kind().name()),
        });
    }
    Ok(response)
}

/// Answers with a problem, and keeps which one it was for the audit.
fn refuse(request: ServiceRequest, error: ApiError) -> ServiceResponse<BoxBody> {
    let (request, _) = request.into_parts();
    ServiceResponse::new(request, HttpResponse::from_error(error))
}

fn forbidden(caller: &Caller, least: Role) -> ApiError {
    let Caller { name, role } = caller;
    let detail = format!(
        "the token {name} is one of a {role}, and this asks for {least}; use another token, or \
         ask an operator for one of this role"
    );
    ApiError::new(Kind::Forbidden, detail)
}

/// Whom a request comes from, as the system knows it: a header could be made up.
fn address(request: &ServiceRequest) -> IpAddr {
    request.peer_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.ip())
}

fn cut(path: &str) -> String {
    path.chars().take(PATH_LENGTH_MAX).collect()
}

impl From<Denied> for ApiError {
    fn from(denied: Denied) -> Self {
        let detail = denied.to_string();
        match denied {
            Denied::TooManyGuesses { wait_s } | Denied::TooManyRequests { wait_s, .. } => {
                Self::new(Kind::TooManyRequests, detail).retry_after_s(wait_s)
            }
            _ => Self::new(Kind::Unauthenticated, detail),
        }
    }
}

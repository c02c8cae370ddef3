//! `GET /v1/policy` and `PUT /v1/policy`: the placement policy in force, and earlier ones. Its version
//! is its entity tag, so that two operators do not undo each other's changes unseen.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use cloud_core_logic::Answer;
use cloud_core_logic::placement::Policy;

use super::problem::{ApiError, ApiResult, Kind};
use super::query::{self, Query, quote};
use super::state::State;
use super::{body, unexpected};
use crate::store::POLICIES_MAX;

/// The highest version that can be asked for.
pub const VERSION_MAX: u64 = i64::MAX as u64;

/// `GET /v1/policy`.
pub async fn show(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    let mut query = Query::of(&request, &["version"]);
    let version = query.number("version", 1, VERSION_MAX);
    query.finish()?;
    let view = state.core.fleet().await?;
    let Some(version) = version.filter(|version| *version != view.policy.version) else {
        return Ok(answer(&view.policy));
    };
    match state.read(move |reader| reader.policy(version)).await? {
        Some(policy) => Ok(answer(&policy)),
        None => {
            let detail = format!(
                "policy {version} is not kept; those in force are, up to the {POLICIES_MAX} latest, \
                 and now it is {}",
                view.policy.version
            );
            Err(ApiError::new(Kind::PolicyNotFound, detail))
        }
    }
}

/// `PUT /v1/policy`.
pub async fn put(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> ApiResult {
    query::none(&request)?;
    let only_over = version_of(&request)?;
    let policy = of_body(&request, payload).await?;
    if let Some(file) = &state.policy_file {
        let detail = format!(
            "the policy of this core comes from {}, and nothing was changed: change that file, which \
             takes effect within seconds. POST /v1/policy/replay says what a policy would change",
            file.display()
        );
        return Err(ApiError::new(Kind::PolicyFromFile, detail));
    }
    match state.core.set_policy(policy, only_over).await? {
        Answer::Policy(policy) => Ok(answer(&policy)),
        Answer::PolicyMoved(version) => {
            let detail = format!(
                "the policy in force has version {version}; nothing was changed. Get it, look \
                 whether your change still makes sense, and put it with If-Match: \"{version}\""
            );
            Err(ApiError::new(Kind::PolicyChanged, detail))
        }
        other => Err(unexpected("set_policy", &other)),
    }
}

/// The policy in the body of a request.
///
/// # Errors
/// What is wrong with the body; 422 with the JSON pointer of every mistake in the policy.
pub async fn of_body(request: &HttpRequest, payload: web::Payload) -> ApiResult<Policy> {
    let (bytes, _) = body::bytes(request, payload, &body::DOCUMENT).await?;
    Policy::parse(&body::json(&bytes)?).map_err(|errors| {
        let told = errors.iter().map(|error| match error.pointer.as_str() {
            "" => format!("the policy {}", error.detail),
            pointer => format!("{pointer}: {}", error.detail),
        });
        let detail = told.collect::<Vec<_>>().join("; ");
        ApiError::new(Kind::InvalidPolicy, detail).with_errors(errors)
    })
}

fn answer(policy: &Policy) -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::ETAG, format!("\"{}\"", policy.version)))
        .json(policy.document())
}

/// Over which version the policy is to be put, if that matters.
fn version_of(request: &HttpRequest) -> ApiResult<Option<u64>> {
    let Some(value) = request.headers().get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or("\u{fffd}").trim();
    if text == "*" {
        return Ok(None);
    }
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    tag.and_then(|tag| tag.parse().ok()).map(Some).ok_or_else(|| {
        let detail = format!(
            "If-Match must be the version of a policy in quotes, such as \"3\", not {}",
            quote(text)
        );
        ApiError::new(Kind::InvalidIfMatch, detail)
    })
}

//! `GET /v1/policy` and `PUT /v1/policy`: the placement policy in force. Its version is its entity
//! tag, so that two operators do not undo each other's changes unseen.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use cloud_core_logic::Answer;
use cloud_core_logic::placement::Policy;

use super::problem::{ApiError, ApiResult, Kind};
use super::query::{self, quote};
use super::state::State;
use super::{body, unexpected};

/// `GET /v1/policy`.
pub async fn show(request: HttpRequest, state: web::Data<State>) -> ApiResult {
    query::none(&request)?;
    Ok(answer(&state.core.fleet().await?.policy))
}

/// `PUT /v1/policy`.
pub async fn put(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> ApiResult {
    query::none(&request)?;
    let only_over = version_of(&request)?;
    let (bytes, _) = body::bytes(&request, payload, &body::DOCUMENT).await?;
    let policy = Policy::parse(&body::json(&bytes)?).map_err(|errors| {
        let told = errors.iter().map(|error| match error.pointer.as_str() {
            "" => format!("the policy {}", error.detail),
            pointer => format!("{pointer}: {}", error.detail),
        });
        let detail = told.collect::<Vec<_>>().join("; ");
        ApiError::new(Kind::InvalidPolicy, detail).with_errors(errors)
    })?;
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

//! Reading request bodies: bounded in size and time, declared as JSON, parsed with the place of a
//! mistake, and checked to be a task. Nothing of a body is parsed before all of this holds.

use std::time::Duration;

use actix_web::http::header;
use actix_web::web::Bytes;
use actix_web::{HttpRequest, web};
use serde_json::Value;
use serde_json::error::Category;
use shared::border::Problem;
use shared::spec::{self, TaskSpec};

use super::problem::{ApiError, ApiResult, Kind};
use super::query::quote;
use super::state::blocking;

/// The longest body, in bytes.
pub const BODY_BYTES_MAX: usize = 128 * 1024;
/// The longest time that a body may take to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest body that is checked on the thread that serves its connection. A large area takes
/// tens of milliseconds to check, which others on that thread would wait for.
pub(super) const INLINE_BYTES_MAX: usize = 8 * 1024;

const EXAMPLE: &str = r#"{"run": {"exec": {"command": "/bin/true"}}}"#;

/// What the body of a request may be.
pub struct Rules {
    /// The media types it may be declared as; the first is assumed where nothing is declared.
    pub types: &'static [&'static str],
    /// How long it may be, in bytes.
    pub bytes_max: usize,
    /// How long it may take to arrive.
    pub timeout: Duration,
    /// What is said of one that is longer, behind the number of bytes.
    pub advice: &'static str,
}

/// A body that is one JSON document, such as a task.
pub const DOCUMENT: Rules = Rules {
    types: &["application/json"],
    bytes_max: BODY_BYTES_MAX,
    timeout: BODY_TIMEOUT,
    advice: "of JSON; put large input into a file that the task fetches",
};

/// Reads the body of a request as a task.
///
/// # Errors
/// 408, 413 and 415 for the body itself, 400 when it is not JSON, 422 with the JSON pointer of
/// every mistake when it is not a task.
pub async fn task(request: &HttpRequest, payload: web::Payload) -> ApiResult<TaskSpec> {
    let (bytes, _) = bytes(request, payload, &DOCUMENT).await?;
    if bytes.len() <= INLINE_BYTES_MAX {
        return spec_of(&bytes);
    }
    blocking(move || spec_of(&bytes)).await?
}

/// Reads the body of a request, and says as which of its types it was declared.
///
/// # Errors
/// 408, 413 and 415.
pub async fn bytes(
    request: &HttpRequest,
    payload: web::Payload,
    rules: &Rules,
) -> ApiResult<(Bytes, &'static str)> {
    let declared = check_declared(request, rules)?;
    Ok((arriving(payload, rules).await?, declared))
}

/// Reads the body of a request whatever it is declared as.
///
/// # Errors
/// 408 and 413.
pub async fn arriving(payload: web::Payload, rules: &Rules) -> ApiResult<Bytes> {
    let arriving = payload.to_bytes_limited(rules.bytes_max);
    match actix_web::rt::time::timeout(rules.timeout, arriving).await {
        Ok(Ok(Ok(bytes))) => Ok(bytes),
        Ok(Ok(Err(_))) => {
            let detail = "the body broke off, or its chunks cannot be read; send it again";
            Err(ApiError::new(Kind::BadRequest, detail))
        }
        Ok(Err(_)) => Err(too_large(rules)),
        Err(_) => {
            let detail = format!("the body must arrive within {} s", rules.timeout.as_secs());
            Err(ApiError::new(Kind::RequestTimeout, detail))
        }
    }
}

fn spec_of(bytes: &[u8]) -> ApiResult<TaskSpec> {
    checked(&json(bytes)?)
}

/// A task that is JSON already.
///
/// # Errors
/// 422 with the JSON pointer of every mistake.
pub fn checked(document: &Value) -> ApiResult<TaskSpec> {
    spec::parse(document).map_err(invalid)
}

/// What is said of a task with mistakes.
pub fn invalid(errors: Vec<Problem>) -> ApiError {
    let detail = match errors.as_slice() {
        [only] if only.pointer.is_empty() => format!("the task {}", only.detail),
        [only] => format!("{}: {}", only.pointer, only.detail),
        several => format!("{} mistakes; `errors` says where", several.len()),
    };
    ApiError::new(Kind::InvalidTask, detail).with_errors(errors)
}

/// Reads JSON.
///
/// # Errors
/// 400 with the place of the mistake.
pub fn json(bytes: &[u8]) -> ApiResult<Value> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        let detail = format!("the body is empty; send a task as JSON, for example {EXAMPLE}");
        return Err(ApiError::new(Kind::InvalidJson, detail));
    }
    serde_json::from_slice(bytes).map_err(|error| not_json(&error))
}

/// What is said of a body that is not JSON.
pub fn not_json(error: &serde_json::Error) -> ApiError {
    let hint = match error.classify() {
        Category::Eof => "; the body ends too early",
        _ => "",
    };
    // The error's own text ends with "at line L column C".
    ApiError::new(Kind::InvalidJson, format!("the body is not JSON: {error}{hint}"))
}

/// What can be told from the headers alone, before a byte of the body is read.
fn check_declared(request: &HttpRequest, rules: &Rules) -> ApiResult<&'static str> {
    let mut declared = rules.types[0];
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
    if request.headers().get_all(header::CONTENT_TYPE).count() > 1 {
        let detail = format!("the body has two types; send {}", rules.types.join(" or "));
        return Err(ApiError::new(Kind::UnsupportedMediaType, detail));
    }
    if let Some(kind) = text(header::CONTENT_TYPE) {
        let is_foreign = |parameter: &str| match parameter.trim().split_once('=') {
            Some((name, set)) if name.eq_ignore_ascii_case("charset") => {
                !set.trim_matches('"').eq_ignore_ascii_case("utf-8")
            }
            _ => false,
        };
        if kind.split(';').skip(1).any(is_foreign) {
            let detail = format!("the body is {}; JSON is sent in UTF-8", quote(kind));
            return Err(ApiError::new(Kind::UnsupportedMediaType, detail));
        }
        let essence = kind.split(';').next().unwrap_or_default().trim();
        let Some(known) = rules.types.iter().find(|known| essence.eq_ignore_ascii_case(known))
        else {
            let detail = format!("the body is {}; send {}", quote(kind), rules.types.join(" or "));
            return Err(ApiError::new(Kind::UnsupportedMediaType, detail));
        };
        declared = known;
    }
    if let Some(coding) = text(header::CONTENT_ENCODING)
        && !coding.trim().eq_ignore_ascii_case("identity")
    {
        let detail = format!("the body is encoded as {}; send it as it is", quote(coding));
        return Err(ApiError::new(Kind::UnsupportedMediaType, detail));
    }
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if length.is_some_and(|bytes| bytes > rules.bytes_max as u64) {
        return Err(too_large(rules));
    }
    Ok(declared)
}

fn too_large(rules: &Rules) -> ApiError {
    let detail = format!("the body may have at most {} bytes {}", rules.bytes_max, rules.advice);
    ApiError::new(Kind::BodyTooLarge, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_json_is_told_with_its_place() {
        let detail = |text: &str| match spec_of(text.as_bytes()) {
            Err(error) if error.kind() == Kind::InvalidJson => error.detail().to_owned(),
            other => panic!("{text}: {other:?}"),
        };
        assert!(detail("{\n  \"run\": nope}").contains("at line 2 column 11"));
        assert!(detail("{\"run\": ").contains("ends too early"));
        assert!(detail(" \n").contains("is empty"));
        assert!(detail(&"[".repeat(100_000)).contains("recursion limit"));
        assert!(detail("{\"priority\": 1e999}").contains("out of range"));
        assert!(spec_of(b"\"\xff\"").is_err());
    }

    #[test]
    fn mistakes_in_a_task_keep_their_pointers() {
        let error = spec_of(br#"{"run": {"noop": {}}, "prioritty": 1}"#).expect_err("wrong");
        assert_eq!(error.kind(), Kind::InvalidTask);
        assert!(error.detail().contains("/prioritty"), "{error}");
        assert_eq!(error.document().errors[0].pointer, "/prioritty");
        let error = spec_of(b"[]").expect_err("wrong");
        assert!(error.detail().starts_with("the task must be an object"), "{error}");
    }
}

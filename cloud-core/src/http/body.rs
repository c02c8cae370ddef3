//! Reading request bodies: bounded in size and time, declared as JSON, parsed with the place of a
//! mistake, and checked to be a task. Nothing of a body is parsed before all of this holds.

use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, web};
use serde_json::Value;
use serde_json::error::Category;
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
const INLINE_BYTES_MAX: usize = 8 * 1024;

const EXAMPLE: &str = r#"{"run": {"exec": {"command": "/bin/true"}}}"#;

/// Reads the body of a request as a task.
///
/// # Errors
/// 408, 413 and 415 for the body itself, 400 when it is not JSON, 422 with the JSON pointer of
/// every mistake when it is not a task.
pub async fn task(request: &HttpRequest, payload: web::Payload) -> ApiResult<TaskSpec> {
    check_declared(request)?;
    let arriving = payload.to_bytes_limited(BODY_BYTES_MAX);
    let bytes = match actix_web::rt::time::timeout(BODY_TIMEOUT, arriving).await {
        Ok(Ok(Ok(bytes))) => bytes,
        Ok(Ok(Err(error))) => {
            let detail = format!("the body broke off: {error}; send it again");
            return Err(ApiError::new(Kind::BadRequest, detail));
        }
        Ok(Err(_)) => return Err(too_large()),
        Err(_) => {
            let detail = format!("the body must arrive within {} s", BODY_TIMEOUT.as_secs());
            return Err(ApiError::new(Kind::RequestTimeout, detail));
        }
    };
    if bytes.len() <= INLINE_BYTES_MAX {
        return spec_of(&bytes);
    }
    blocking(move || spec_of(&bytes)).await?
}

fn spec_of(bytes: &[u8]) -> ApiResult<TaskSpec> {
    spec::parse(&json(bytes)?).map_err(|errors| {
        let detail = match errors.as_slice() {
            [only] if only.pointer.is_empty() => format!("the task {}", only.detail),
            [only] => format!("{}: {}", only.pointer, only.detail),
            several => format!("{} mistakes; `errors` says where", several.len()),
        };
        ApiError::new(Kind::InvalidTask, detail).with_errors(errors)
    })
}

fn json(bytes: &[u8]) -> ApiResult<Value> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        let detail = format!("the body is empty; send a task as JSON, for example {EXAMPLE}");
        return Err(ApiError::new(Kind::InvalidJson, detail));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let hint = match error.classify() {
            Category::Eof => "; the body ends too early",
            _ => "",
        };
        // The error's own text ends with "at line L column C".
        ApiError::new(Kind::InvalidJson, format!("the body is not JSON: {error}{hint}"))
    })
}

/// What can be told from the headers alone, before a byte of the body is read.
fn check_declared(request: &HttpRequest) -> ApiResult<()> {
    let text = |name| request.headers().get(name).map(|value| value.to_str().unwrap_or("\u{fffd}"));
    if let Some(kind) = text(header::CONTENT_TYPE) {
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/json") {
            let detail = format!("the body is {}; send application/json", quote(kind));
            return Err(ApiError::new(Kind::UnsupportedMediaType, detail));
        }
    }
    if let Some(coding) = text(header::CONTENT_ENCODING)
        && !coding.trim().eq_ignore_ascii_case("identity")
    {
        let detail = format!("the body is encoded as {}; send it as it is", quote(coding));
        return Err(ApiError::new(Kind::UnsupportedMediaType, detail));
    }
    let declared = text(header::CONTENT_LENGTH).and_then(|length| length.parse::<u64>().ok());
    if declared.is_some_and(|bytes| bytes > BODY_BYTES_MAX as u64) {
        return Err(too_large());
    }
    Ok(())
}

fn too_large() -> ApiError {
    let detail = format!(
        "a task may have at most {BODY_BYTES_MAX} bytes of JSON; put large input into a file that \
         the task fetches"
    );
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

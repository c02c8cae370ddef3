//! Every error of the HTTP API, as problem details (RFC 9457): one list of stable types with
//! their status and title, and the error that handlers return. Touches nothing but the response.

use std::fmt;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use shared::api::{HistoryDocument, ProblemDocument};
use shared::border::Problem;

/// What the `type` of every problem begins with. Never fetched, only compared.
pub const TYPE_PREFIX: &str = "https://ambit.dev/problems/";

/// What kind of problem it is. Names and statuses are part of the API and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The request cannot be read at all.
    BadRequest,
    /// The body is not JSON.
    InvalidJson,
    /// A query parameter is unknown, repeated or wrong.
    InvalidQuery,
    /// The id in the path is none.
    InvalidId,
    /// The `Idempotency-Key` is none.
    InvalidIdempotencyKey,
    /// The `If-Match` is none.
    InvalidIfMatch,
    /// No token, or not a right one, came with it.
    Unauthenticated,
    /// A call of a hook is not signed, or not rightly.
    BadSignature,
    /// The token's role does not allow this.
    Forbidden,
    /// A browser sent it on behalf of another site.
    CrossOrigin,
    /// No task has this id.
    TaskNotFound,
    /// A task of this id was forgotten, and agents have told of it.
    TaskForgotten,
    /// No agent has this id.
    AgentNotFound,
    /// No schedule has this name.
    ScheduleNotFound,
    /// No policy of this version is kept.
    PolicyNotFound,
    /// Nothing is served under this path.
    PathNotFound,
    /// The path does not take this method.
    MethodNotAllowed,
    /// The body did not arrive in time.
    RequestTimeout,
    /// A schedule of this name is there.
    ScheduleExists,
    /// The policy comes from a file of the core.
    PolicyFromFile,
    /// The task of this idempotency key is settled and not kept any more.
    TaskPruned,
    /// The policy is not the one to be replaced.
    PolicyChanged,
    /// The body is longer than allowed.
    BodyTooLarge,
    /// The body is not declared as plain JSON.
    UnsupportedMediaType,
    /// The core does not go by this host name.
    UnknownHost,
    /// The body is not a batch of tasks.
    InvalidBatch,
    /// The task is JSON, but not a valid task.
    InvalidTask,
    /// The schedule is JSON, but not a valid schedule.
    InvalidSchedule,
    /// The policy is JSON, but not a valid policy.
    InvalidPolicy,
    /// The key was used before, with another task.
    IdempotencyKeyReused,
    /// As many tasks wait as may wait.
    QueueFull,
    /// There are as many schedules as there may be.
    SchedulesFull,
    /// A token is used too often, or too many wrong ones came.
    TooManyRequests,
    /// A mistake of the core's own.
    Internal,
    /// The core has more requests than it can take now.
    CoreBusy,
    /// The core is on its way down.
    CoreStopping,
    /// The core cannot read or write its store.
    StoreFailing,
}

/// What is told of a kind.
struct Facts {
    kind: Kind,
    name: &'static str,
    status: StatusCode,
    title: &'static str,
}

const fn facts(kind: Kind, name: &'static str, status: StatusCode, title: &'static str) -> Facts {
    Facts { kind, name, status, title }
}

/// Every kind, in the order in which they are declared. One row a line: it is a table.
#[rustfmt::skip]
const FACTS: [Facts; 37] = {
    use Kind as K;
    use StatusCode as S;
    [
        facts(K::BadRequest, "bad-request", S::BAD_REQUEST, "The request cannot be read"),
        facts(K::InvalidJson, "invalid-json", S::BAD_REQUEST, "The body is not JSON"),
        facts(K::InvalidQuery, "invalid-query", S::BAD_REQUEST, "A query parameter is wrong"),
        facts(K::InvalidId, "invalid-id", S::BAD_REQUEST, "The id in the path is malformed"),
        facts(K::InvalidIdempotencyKey, "invalid-idempotency-key", S::BAD_REQUEST, "The idempotency key is malformed"),
        facts(K::InvalidIfMatch, "invalid-if-match", S::BAD_REQUEST, "The If-Match is malformed"),
        facts(K::Unauthenticated, "unauthenticated", S::UNAUTHORIZED, "A token is needed"),
        facts(K::BadSignature, "bad-signature", S::UNAUTHORIZED, "The call is not signed rightly"),
        facts(K::Forbidden, "forbidden", S::FORBIDDEN, "The token does not allow this"),
        facts(K::CrossOrigin, "cross-origin", S::FORBIDDEN, "Requests from other web sites are refused"),
        facts(K::TaskNotFound, "task-not-found", S::NOT_FOUND, "There is no such task"),
        facts(K::TaskForgotten, "task-forgotten", S::NOT_FOUND, "The core has forgotten this task"),
        facts(K::AgentNotFound, "agent-not-found", S::NOT_FOUND, "There is no such agent"),
        facts(K::ScheduleNotFound, "schedule-not-found", S::NOT_FOUND, "There is no such schedule"),
        facts(K::PolicyNotFound, "policy-not-found", S::NOT_FOUND, "There is no policy of this version"),
        facts(K::PathNotFound, "path-not-found", S::NOT_FOUND, "There is no such path"),
        facts(K::MethodNotAllowed, "method-not-allowed", S::METHOD_NOT_ALLOWED, "The path does not take this method"),
        facts(K::RequestTimeout, "request-timeout", S::REQUEST_TIMEOUT, "The body did not arrive in time"),
        facts(K::ScheduleExists, "schedule-exists", S::CONFLICT, "There is a schedule of this name"),
        facts(K::PolicyFromFile, "policy-from-file", S::CONFLICT, "The policy comes from a file"),
        facts(K::TaskPruned, "task-pruned", S::GONE, "The task of this key was done and is not kept any more"),
        facts(K::PolicyChanged, "policy-changed", S::PRECONDITION_FAILED, "The policy was changed meanwhile"),
        facts(K::BodyTooLarge, "body-too-large", S::PAYLOAD_TOO_LARGE, "The body is too large"),
        facts(K::UnsupportedMediaType, "unsupported-media-type", S::UNSUPPORTED_MEDIA_TYPE, "The body must be plain JSON"),
        facts(K::UnknownHost, "unknown-host", S::MISDIRECTED_REQUEST, "The core does not go by this host name"),
        facts(K::InvalidBatch, "invalid-batch", S::UNPROCESSABLE_ENTITY, "The body is not a batch of tasks"),
        facts(K::InvalidTask, "invalid-task", S::UNPROCESSABLE_ENTITY, "The task is not valid"),
        facts(K::InvalidSchedule, "invalid-schedule", S::UNPROCESSABLE_ENTITY, "The schedule is not valid"),
        facts(K::InvalidPolicy, "invalid-policy", S::UNPROCESSABLE_ENTITY, "The policy is not valid"),
        facts(K::IdempotencyKeyReused, "idempotency-key-reused", S::UNPROCESSABLE_ENTITY, "The idempotency key belongs to another task"),
        facts(K::QueueFull, "queue-full", S::TOO_MANY_REQUESTS, "As many tasks wait as may wait"),
        facts(K::SchedulesFull, "schedules-full", S::TOO_MANY_REQUESTS, "There are as many schedules as there may be"),
        facts(K::TooManyRequests, "too-many-requests", S::TOO_MANY_REQUESTS, "Too many requests"),
        facts(K::Internal, "internal", S::INTERNAL_SERVER_ERROR, "The core made a mistake"),
        facts(K::CoreBusy, "core-busy", S::SERVICE_UNAVAILABLE, "The core is busy"),
        facts(K::CoreStopping, "core-stopping", S::SERVICE_UNAVAILABLE, "The core is stopping"),
        facts(K::StoreFailing, "store-failing", S::SERVICE_UNAVAILABLE, "The core cannot use its store"),
    ]
};

impl Kind {
    /// Every kind, by status.
    pub fn all() -> impl Iterator<Item = Self> {
        FACTS.iter().map(|facts| facts.kind)
    }

    /// The end of its `type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        FACTS[self as usize].name
    }

    /// Its HTTP status.
    #[must_use]
    pub fn status(self) -> StatusCode {
        FACTS[self as usize].status
    }

    /// What it is, in words.
    #[must_use]
    pub fn title(self) -> &'static str {
        FACTS[self as usize].title
    }
}

/// An error of the API: what a handler returns instead of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    kind: Kind,
    detail: String,
    errors: Vec<Problem>,
    late_reports: Vec<HistoryDocument>,
    retry_after_s: Option<u64>,
    allow: Option<String>,
}

/// What a handler returns.
pub type ApiResult<T = HttpResponse> = Result<T, ApiError>;

impl ApiError {
    /// A problem, with a sentence that a person can act on.
    #[must_use]
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            late_reports: Vec::new(),
            retry_after_s: None,
            allow: None,
        }
    }

    /// Says which fields of the body are wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<Problem>) -> Self {
        self.errors = errors;
        self
    }

    /// Says what agents told of the task.
    #[must_use]
    pub fn with_late_reports(mut self, late_reports: Vec<HistoryDocument>) -> Self {
        self.late_reports = late_reports;
        self
    }

    /// Says after how many seconds to try again; at least one.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds.max(1));
        self
    }

    /// Says which methods the path takes.
    #[must_use]
    pub fn allow(mut self, methods: &str) -> Self {
        self.allow = Some(methods.to_owned());
        self
    }

    /// What kind of problem it is.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence for people.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// The problem as it is sent.
    #[must_use]
    pub fn document(&self) -> ProblemDocument {
        ProblemDocument {
            kind: format!("{TYPE_PREFIX}{}", self.kind.name()),
            title: self.kind.title().to_owned(),
            status: self.kind.status().as_u16(),
            detail: self.detail.clone(),
            errors: self.errors.clone(),
            late_reports: self.late_reports.clone(),
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.detail)
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.kind.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.kind.status());
        response.content_type("application/problem+json");
        if let Some(seconds) = self.retry_after_s {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.kind == Kind::Unauthenticated {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"ambit\""));
        }
        if let Some(methods) = &self.allow {
            response.insert_header((header::ALLOW, methods.as_str()));
        }
        response.json(self.document())
    }
}

/// Turns an error that the framework made into a problem: extractors and guards of our own return
/// [`ApiError`] already, so what comes here is a request that could not be read.
#[must_use]
pub fn from_framework(error: &actix_web::Error) -> ApiError {
    if let Some(known) = error.as_error::<ApiError>() {
        return known.clone();
    }
    let status = error.as_response_error().status_code();
    let kind = match status {
        StatusCode::NOT_FOUND => Kind::PathNotFound,
        StatusCode::METHOD_NOT_ALLOWED => Kind::MethodNotAllowed,
        StatusCode::REQUEST_TIMEOUT => Kind::RequestTimeout,
        StatusCode::PAYLOAD_TOO_LARGE => Kind::BodyTooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Kind::UnsupportedMediaType,
        status if status.is_client_error() => Kind::BadRequest,
        _ => Kind::Internal,
    };
    if kind == Kind::Internal {
        tracing::error!(%error, "a request failed inside the server");
        return ApiError::new(kind, "the request failed inside the core; its log says more");
    }
    ApiError::new(kind, format!("the request cannot be served: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_is_listed_once_with_a_name_fit_for_a_url() {
        for (index, kind) in Kind::all().enumerate() {
            assert_eq!(kind as usize, index, "{}", kind.name());
            assert!(kind.name().chars().all(|c| c.is_ascii_lowercase() || c == '-'));
            assert!(kind.status().as_u16() >= 400);
        }
        let names: BTreeSet<_> = Kind::all().map(Kind::name).collect();
        assert_eq!(names.len(), FACTS.len());
        assert!(Kind::all().is_sorted_by_key(|kind| kind.status().as_u16()));
    }

    #[test]
    fn the_manual_lists_every_problem_as_it_is() {
        let manual = include_str!("../../../docs/API.md");
        for kind in Kind::all() {
            let row = format!("| `{}` | {} |", kind.name(), kind.status().as_u16());
            assert!(manual.contains(&row), "docs/API.md lacks the row {row}");
        }
    }

    #[test]
    fn a_response_says_what_when_and_how() {
        let error = ApiError::new(Kind::QueueFull, "full").retry_after_s(0);
        let response = error.error_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers().get("retry-after").expect("header"), "1");
        assert_eq!(
            response.headers().get("content-type").expect("header"),
            "application/problem+json"
        );
    }

    #[test]
    fn an_error_of_the_framework_becomes_a_problem() {
        let error = actix_web::error::ErrorPayloadTooLarge("too much");
        assert_eq!(from_framework(&error).kind(), Kind::BodyTooLarge);
        let error = actix_web::error::ErrorImATeapot("short and stout");
        assert_eq!(from_framework(&error).kind(), Kind::BadRequest);
        let error = actix_web::error::ErrorBadGateway("secret");
        let problem = from_framework(&error);
        assert_eq!(problem.kind(), Kind::Internal);
        assert!(!problem.detail().contains("secret"));
        let own: actix_web::Error = ApiError::new(Kind::InvalidId, "x").into();
        assert_eq!(from_framework(&own).kind(), Kind::InvalidId);
    }
}

//! The trace that a request came with, if it did. A header that is not valid is as if it were not
//! there: to refuse work because somebody's telemetry is wrong would be worse than a gap in it.

use actix_web::HttpRequest;
use shared::trace::Trace;

/// The header with the trace and the caller's span.
pub const TRACEPARENT: &str = "traceparent";
/// The header with what others left in the trace.
pub const TRACESTATE: &str = "tracestate";

/// Reads both headers.
pub fn of(request: &HttpRequest) -> Option<Box<Trace>> {
    let values = |name| request.headers().get_all(name).map(|value| value.as_bytes());
    Trace::read(values(TRACEPARENT), values(TRACESTATE)).map(Box::new)
}

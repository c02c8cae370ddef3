//! The words of a collector: OTLP over HTTP as JSON. A request is an `ExportTraceServiceRequest` of
//! opentelemetry-proto in the JSON mapping of OTLP 1.x: ids in hexadecimal, 64-bit numbers as
//! texts, enumerations as numbers, nothing that has its default.

use serde::Serialize;
use serde_json::{Value as Json, json};
use shared::api::TraceDocument;
use shared::id::CoreId;
use shared::time::Timestamp;

use super::spans::{Span, Status, Value};

/// `Span.kind`: what happens inside a program, and what is done for another that does not wait.
const INTERNAL: u8 = 1;
const CONSUMER: u8 = 5;
/// `Status.code`.
const OK: u8 = 1;
const ERROR: u8 = 2;
/// `Span.flags`: the low byte is that of the trace, where 1 is sampled; then, whether it is known
/// if the parent is remote, and whether it is.
const SAMPLED: u32 = 0x001;
const PARENT_IS_KNOWN: u32 = 0x100;
const PARENT_IS_REMOTE: u32 = 0x200;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanJson {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace_state: Option<String>,
    flags: u32,
    name: &'static str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Json>,
    status: Json,
}

/// Spans of one request, already in the collector's words.
#[derive(Debug, Default)]
pub(super) struct Request(Vec<SpanJson>);

impl Request {
    /// Adds the spans of a task.
    pub(super) fn add(&mut self, trace: &TraceDocument, spans: Vec<Span>) {
        self.0.extend(spans.into_iter().map(|span| in_json(trace, span)));
    }

    /// How many spans it has.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The body of the request.
    pub(super) fn body(&self, core: CoreId) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let resource = [
            attribute("service.name", &Value::Text("ambit".to_owned())),
            attribute("service.version", &Value::Text(version.to_owned())),
            attribute("service.instance.id", &Value::Text(core.to_string())),
        ];
        json!({"resourceSpans": [{
            "resource": {"attributes": resource},
            "scopeSpans": [{"scope": {"name": "ambit", "version": version}, "spans": self.0}],
        }]})
        .to_string()
    }
}

fn in_json(trace: &TraceDocument, span: Span) -> SpanJson {
    let attributes = span.attributes.iter().map(|(name, value)| attribute(name, value)).collect();
    let remote = if span.is_called { PARENT_IS_REMOTE } else { 0 };
    SpanJson {
        trace_id: trace.trace_id.to_string(),
        span_id: span.id.to_string(),
        parent_span_id: span.parent.map(|parent| parent.to_string()),
        trace_state: trace.tracestate.clone(),
        flags: SAMPLED | PARENT_IS_KNOWN | remote,
        name: span.name,
        kind: if span.name == "task" { CONSUMER } else { INTERNAL },
        start_time_unix_nano: nanoseconds(span.start),
        end_time_unix_nano: nanoseconds(span.end),
        attributes,
        status: match span.status {
            Status::Unset => json!({}),
            Status::Succeeded => json!({"code": OK}),
            Status::Failed(message) => json!({"code": ERROR, "message": message}),
        },
    }
}

fn attribute(name: &str, value: &Value) -> Json {
    let value = match value {
        Value::Text(text) => json!({"stringValue": text}),
        Value::Whole(number) => json!({"intValue": number.to_string()}),
        Value::Real(number) => json!({"doubleValue": number}),
    };
    json!({"key": name, "value": value})
}

/// Since 1970; nothing was before that.
fn nanoseconds(at: Timestamp) -> String {
    (i128::from(at.0.max(0)) * 1_000_000).to_string()
}

/// What a collector made of a request that it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// All of it is taken.
    Taken,
    /// So many spans were not, and why.
    Rejected { spans: u64, message: String },
    /// It does not speak OTLP.
    Nonsense,
}

/// Reads an `ExportTraceServiceResponse`. An empty one says that all is well.
pub(super) fn answer(body: &[u8]) -> Answer {
    if body.trim_ascii().is_empty() {
        return Answer::Taken;
    }
    let Ok(Json::Object(answer)) = serde_json::from_slice(body) else {
        return Answer::Nonsense;
    };
    let partial = answer.get("partialSuccess").unwrap_or(&Json::Null);
    let spans = match &partial["rejectedSpans"] {
        Json::String(text) => text.parse().unwrap_or(0),
        number => number.as_u64().unwrap_or(0),
    };
    let message = partial["errorMessage"].as_str().unwrap_or_default().to_owned();
    if spans == 0 { Answer::Taken } else { Answer::Rejected { spans, message } }
}

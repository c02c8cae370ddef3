//! An OpenTelemetry collector as a test needs it: takes OTLP over HTTP as JSON, and keeps the spans.
//! It refuses what is not as the specification has it, so that a test fails that sends it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;

use crate::wait::{check, eventually};

/// A span as it was received.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Span {
    /// Its trace, in hexadecimal.
    pub trace_id: String,
    /// Its id.
    pub span_id: String,
    /// The span that it is in; empty for the root of a trace.
    #[serde(default)]
    pub parent_span_id: String,
    /// What others left in the trace.
    #[serde(default)]
    pub trace_state: String,
    /// What it tells of.
    pub name: String,
    /// When it begins, in nanoseconds since 1970.
    pub start_time_unix_nano: String,
    /// When it ends.
    pub end_time_unix_nano: String,
    /// What else there is to say.
    pub attributes: Vec<Attribute>,
    /// How what it tells of came out.
    pub status: Value,
}

/// Something said of a span.
#[derive(Debug, Clone, Deserialize)]
pub struct Attribute {
    /// What.
    pub key: String,
    /// Its value, in an object that names its type.
    pub value: Value,
}

impl Span {
    /// An attribute as a text; empty when there is none.
    #[must_use]
    pub fn attribute(&self, key: &str) -> String {
        let found = self.attributes.iter().find(|attribute| attribute.key == key);
        let value = found.and_then(|attribute| attribute.value.as_object()?.values().next());
        match value {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        }
    }

    /// Whether it begins and ends within another.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let times = |span: &Self| {
            let read = |text: &str| text.parse::<u64>().expect("nanoseconds");
            (read(&span.start_time_unix_nano), read(&span.end_time_unix_nano))
        };
        let ((start, end), (first, last)) = (times(self), times(other));
        first <= start && start <= end && end <= last
    }
}

/// What a collector does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes it.
    Good,
    /// Answers something that is not HTTP.
    Garbled,
    /// Never answers.
    Silent,
}

/// A collector that listens until the test ends.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    spans: Arc<Mutex<Vec<Span>>>,
}

impl Collector {
    /// Starts one.
    ///
    /// # Panics
    /// When there is no port.
    #[must_use]
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let spans = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&spans);
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for stream in listener.incoming().flatten() {
                match manner {
                    Manner::Silent => held.push(stream),
                    _ => {
                        let kept = Arc::clone(&kept);
                        std::thread::spawn(move || serve(&stream, manner, &kept));
                    }
                }
            }
        });
        Self { address, spans }
    }

    /// Its URL, as a core is told it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans of a trace that have come so far, in order.
    #[must_use]
    pub fn of_trace(&self, trace: &str) -> Vec<Span> {
        let spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        spans.iter().filter(|span| span.trace_id == trace).cloned().collect()
    }

    /// Waits until the spans of a trace are there.
    ///
    /// # Panics
    /// When they do not come.
    #[must_use]
    pub fn trace(&self, trace: &str) -> Vec<Span> {
        eventually(&format!("trace {trace}"), || {
            let spans = self.of_trace(trace);
            check(!spans.is_empty(), || "no span of it".to_owned())?;
            Ok(spans)
        })
    }
}

fn serve(stream: &TcpStream, manner: Manner, kept: &Mutex<Vec<Span>>) {
    let mut reader = BufReader::new(stream);
    while let Some((head, body)) = request(&mut reader) {
        let answer = match manner {
            Manner::Garbled => "what do you mean?\n",
            _ => match spans(&head, &body) {
                Ok(spans) => {
                    kept.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 21\r\n\r\n\
                     {\"partialSuccess\":{}}"
                }
                Err(_) => "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
            },
        };
        let mut writer = stream;
        if writer.write_all(answer.as_bytes()).is_err() || manner == Manner::Garbled {
            return;
        }
    }
}

/// Head, in lower case, and body.
fn request(reader: &mut BufReader<&TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.split_once("content-length: ")?.1.split_once('\r')?.0.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, body))
}

/// The spans of a request, if it is one.
fn spans(head: &str, body: &[u8]) -> Result<Vec<Span>, String> {
    check(head.starts_with("post /v1/traces http/1.1\r\n"), || head.to_owned())?;
    check(head.contains("content-type: application/json\r\n"), || head.to_owned())?;
    let body: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let mut spans = Vec::new();
    for resource in body["resourceSpans"].as_array().ok_or("no resourceSpans")? {
        for scope in resource["scopeSpans"].as_array().ok_or("no scopeSpans")? {
            let some: Vec<Span> = serde_json::from_value(scope["spans"].clone())
                .map_err(|error| error.to_string())?;
            spans.extend(some);
        }
    }
    for span in &spans {
        let hex = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let ids = [(&span.trace_id, 32), (&span.span_id, 16)];
        let right = |(id, length): &(&String, usize)| id.len() == *length && hex(id);
        check(ids.iter().all(right), || format!("{span:?}"))?;
        let number = |text: &str| text.parse::<u64>().is_ok();
        let times = [&span.start_time_unix_nano, &span.end_time_unix_nano];
        check(times.iter().all(|time| number(time)), || format!("{span:?}"))?;
    }
    Ok(spans)
}

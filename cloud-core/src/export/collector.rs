//! The collector, over HTTP: where it is, what it is told beside the spans, and what its answers
//! mean. Holds secrets, and never shows them.

use std::fmt;
use std::time::Duration;

use shared_runtime::secret::{SecretError, secret_file};
use ureq::Agent;
use ureq::http::{HeaderName, HeaderValue, StatusCode, Uri};

use super::ExportSettings;
use super::otlp::{self, Answer};

/// Where a collector takes traces, behind its endpoint.
const PATH: &str = "/v1/traces";
/// How long one request may take in all.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// The most headers.
const HEADERS_MAX: usize = 32;
/// The longest wait that a collector can ask for, in seconds.
const RETRY_AFTER_S_MAX: u64 = 60;
/// The longest reason that is told, in characters: it may hold what a stranger wrote.
const REASON_CHARS_MAX: usize = 300;

/// The URL of a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint(String);

/// Why a text is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what}; write for example http://127.0.0.1:4318")]
pub struct EndpointError {
    what: &'static str,
}

impl std::str::FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = |what| Err(EndpointError { what });
        if text.starts_with("https://") {
            return wrong(
                "the core speaks http:// to a collector only: have one on its own host that passes \
                 traces on with TLS",
            );
        }
        if text.contains('@') {
            return wrong("a URL must not hold a password: use telemetry.otlp.headers_file");
        }
        let Ok(uri) = text.parse::<Uri>() else {
            return wrong("not a URL");
        };
        let has_host = uri.host().is_some_and(|host| !host.is_empty());
        if uri.scheme_str() != Some("http") || !has_host {
            return wrong("not the URL of a collector");
        }
        if uri.query().is_some() || text.contains('#') {
            return wrong("a URL with more than a host, a port and a path");
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// Headers of every request. They may be secrets.
#[derive(Clone, Default)]
pub struct Headers(Vec<(HeaderName, HeaderValue)>);

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Headers").field(&self.0.len()).finish()
    }
}

/// Why a file with headers cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] SecretError),
    /// What is in it.
    #[error("{}, line {line}: {what}", path.display())]
    Line {
        /// The file.
        path: std::path::PathBuf,
        /// Where in it, from 1.
        line: usize,
        /// What is wrong, without the value.
        what: &'static str,
    },
}

impl Headers {
    /// Reads a file that only its owner can read: `Name: value`, one a line; lines that are empty
    /// or begin with `#` say nothing.
    ///
    /// # Errors
    /// What is wrong with the file, without what is secret in it.
    pub fn read(path: &std::path::Path) -> Result<Self, HeaderError> {
        let mut headers = Vec::new();
        for (index, line) in secret_file(path)?.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let wrong = |what| HeaderError::Line { path: path.to_owned(), line: index + 1, what };
            if headers.len() == HEADERS_MAX {
                return Err(wrong("more headers than there may be"));
            }
            headers.push(header(line).map_err(wrong)?);
        }
        Ok(Self(headers))
    }
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), &'static str> {
    let (name, value) = line.split_once(':').ok_or("not a header; write `Name: value`")?;
    let name: HeaderName = name.trim().parse().map_err(|_| "a header cannot have this name")?;
    if ["content-type", "content-length", "host", "transfer-encoding"].contains(&name.as_str()) {
        return Err("the core sets this header itself; leave it out");
    }
    let value = HeaderValue::from_str(value.trim());
    let mut value = value.map_err(|_| "the value holds characters that no header has")?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// Why a request was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    /// What to tell.
    pub(super) reason: String,
    /// Whether the same may be sent again.
    pub(super) again: bool,
    /// Not before so long, in milliseconds, if it said.
    pub(super) after_ms: Option<u64>,
}

/// A collector.
#[derive(Debug)]
pub(super) struct Collector {
    url: String,
    headers: Headers,
    agent: Agent,
}

impl Collector {
    pub(super) fn new(settings: ExportSettings) -> Self {
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("ambit/", env!("CARGO_PKG_VERSION")))
            .timeout_global(Some(REQUEST_TIMEOUT))
            .build();
        let url = format!("{}{PATH}", settings.endpoint.0);
        Self { url, headers: settings.headers, agent: agent.into() }
    }

    /// The URL that requests go to.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When nobody can say that it was taken.
    pub(super) fn send(&self, body: String) -> Result<Answer, Refused> {
        let mut request = self.agent.post(&self.url).header("content-type", "application/json");
        for (name, value) in &self.headers.0 {
            request = request.header(name, value);
        }
        let mut answer = request.send(body).map_err(|error| unreached(&error))?;
        let status = answer.status();
        let header = answer.headers().get("retry-after");
        let after_s = header.and_then(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
        let limited = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let body = limited.read_to_vec();
        if !status.is_success() {
            return Err(Refused {
                reason: format!("it answers {status}"),
                again: may_be_repeated(status),
                after_ms: after_s.map(|seconds| seconds.min(RETRY_AFTER_S_MAX) * 1_000),
            });
        }
        let body = body.map_err(|error| unreached(&error))?;
        Ok(otlp::answer(&body))
    }
}

/// What the specification lets a client send again.
fn may_be_repeated(status: StatusCode) -> bool {
    [429, 502, 503, 504].contains(&status.as_u16())
}

fn unreached(error: &ureq::Error) -> Refused {
    let again = !matches!(error, ureq::Error::Protocol(_) | ureq::Error::BodyExceedsLimit(_));
    Refused { reason: in_short(&error.to_string()), again, after_ms: None }
}

/// No longer than it has to be, and without what a terminal would make something of.
pub(super) fn in_short(text: &str) -> String {
    let tame = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    tame.take(REASON_CHARS_MAX).collect()
}

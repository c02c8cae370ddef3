//! One core over HTTP: JSON in, JSON out, and every failure told as a person can act on it. Holds
//! the token, and never shows it.

use std::fmt;
use std::io::{self, BufReader};
use std::time::Duration;

use serde_json::Value;
use shared::api::ProblemDocument;
use shared_runtime::secret::secret_file;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::args::Common;
use super::error::ClientError;
use super::trust;

/// The core of somebody who names none.
pub const URL_DEFAULT: &str = "http://127.0.0.1:8080";
/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the core may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The largest answer that is read as a whole, in bytes.
const ANSWER_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The longest line of an answer that comes line by line, in bytes: more than any log or event has.
const LINE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Talks to one core.
pub struct Connection {
    url: String,
    token: Option<String>,
    agent: Agent,
    /// For answers that go on for as long as the core likes.
    patient: Agent,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("url", &self.url).finish_non_exhaustive()
    }
}

/// What is sent, beside the path.
#[derive(Debug, Clone, Default)]
pub struct Sent<'a> {
    /// The body: its media type, and what it says.
    pub body: Option<(&'static str, String)>,
    /// Headers more.
    pub headers: Vec<(&'a str, String)>,
}

impl Sent<'_> {
    /// A JSON document.
    #[must_use]
    pub fn json(body: &Value) -> Self {
        Self { body: Some(("application/json", body.to_string())), headers: Vec::new() }
    }
}

impl Connection {
    /// To the core, and with the token, that arguments and variables name.
    ///
    /// # Errors
    /// The URL is none that can be spoken to, or the token cannot be read.
    pub fn of(common: &Common) -> Result<Self, ClientError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let (url, origin) = match (&common.url, variable("AMBIT_URL")) {
            (Some(url), _) => (url.clone(), "--url"),
            (None, Some(url)) => (url, "AMBIT_URL"),
            (None, None) => (URL_DEFAULT.to_owned(), "--url"),
        };
        let url = checked_url(&url)
            .map_err(|detail| ClientError::Usage(format!("{origin}: {detail}")))?;
        let token = match (&common.token_file, variable("AMBIT_TOKEN")) {
            (Some(path), _) => Some(
                secret_file(path)
                    .map_err(|error| ClientError::Usage(format!("--token-file: {error}")))?,
            ),
            (None, token) => token,
        };
        if token.as_ref().is_some_and(|token| !token.trim().bytes().all(|b| b.is_ascii_graphic())) {
            let detail = "the token holds characters that no token has; copy it again";
            return Err(ClientError::Usage(detail.to_owned()));
        }
        let token = token.map(|token| token.trim().to_owned());
        let tls = trust::tls(common.ca_file.as_deref(), url.starts_with("https://"))?;
        let builder = || {
            Agent::config_builder()
                .tls_config(tls.clone())
                .http_status_as_error(false)
                .max_redirects(0)
                .user_agent(concat!("ambit/", env!("CARGO_PKG_VERSION")))
                .timeout_connect(Some(CONNECT_TIMEOUT))
                .timeout_recv_response(Some(ANSWER_TIMEOUT))
        };
        let agent = builder().timeout_recv_body(Some(ANSWER_TIMEOUT)).build();
        Ok(Self { url, token, agent: agent.into(), patient: builder().build().into() })
    }

    /// The core's URL.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Reads a document.
    ///
    /// # Errors
    /// The core cannot be reached, refuses, or does not answer JSON.
    pub fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.send("GET", path, Sent::default())
    }

    /// Sends something and reads the answer.
    ///
    /// # Errors
    /// As [`Self::get`].
    pub fn send(&self, method: &str, path: &str, sent: Sent<'_>) -> Result<Value, ClientError> {
        let mut answer = self.call(&self.agent, method, path, sent)?;
        let limited = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX);
        let text = limited.read_to_string().map_err(|error| self.unreachable(&error))?;
        serde_json::from_str(&text).map_err(|_| self.unexpected("what it said is not JSON"))
    }

    /// Asks for something that answers JSON with any status: whether it is well is in it.
    ///
    /// # Errors
    /// The core cannot be reached or does not answer JSON.
    pub fn look(&self, path: &str) -> Result<(u16, Value), ClientError> {
        let url = format!("{}{path}", self.url);
        let mut answer = self.agent.get(&url).call().map_err(|error| self.unreachable(&error))?;
        let text = answer.body_mut().read_to_string().map_err(|error| self.unreachable(&error))?;
        let value = serde_json::from_str(&text);
        let value = value.map_err(|_| self.unexpected("what it said is not JSON"))?;
        Ok((answer.status().as_u16(), value))
    }

    /// Reads an answer that comes line by line.
    ///
    /// # Errors
    /// The core cannot be reached or refuses.
    pub fn stream(
        &self,
        path: &str,
        headers: Vec<(&str, String)>,
    ) -> Result<Lines<impl io::BufRead + use<>>, ClientError> {
        let answer = self.call(&self.patient, "GET", path, Sent { body: None, headers })?;
        Ok(Lines(BufReader::new(answer.into_body().into_with_config().limit(u64::MAX).reader())))
    }

    fn call(
        &self,
        agent: &Agent,
        method: &str,
        path: &str,
        sent: Sent<'_>,
    ) -> Result<Response<Body>, ClientError> {
        let mut request =
            ureq::http::Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        for (name, value) in sent.headers {
            request = request.header(name, value);
        }
        let built = match sent.body {
            Some((kind, body)) => request.header("content-type", kind).body(body),
            None => request.body(String::new()),
        };
        // Names of agents and tasks come into paths: what is no path is the caller's mistake.
        let request = built.map_err(|error| ClientError::Usage(format!("{path}: {error}")))?;
        let answer = agent.run(request).map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.problem(answer, path)) }
    }

    fn problem(&self, mut answer: Response<Body>, path: &str) -> ClientError {
        let status = answer.status();
        let header = answer.headers().get("retry-after");
        let retry_after_s = header.and_then(|value| value.to_str().ok()?.parse().ok());
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        match serde_json::from_str::<ProblemDocument>(&text) {
            Ok(problem) => ClientError::Problem {
                problem: Box::new(problem),
                path: path.to_owned(),
                retry_after_s,
            },
            Err(_) => self.unexpected(&format!("status {status} without a problem document")),
        }
    }

    fn unexpected(&self, detail: &str) -> ClientError {
        ClientError::Unexpected { url: self.url.clone(), detail: detail.to_owned() }
    }

    /// What an answer that is no HTTP may mean: the other side of a listener for HTTPS is mute, or
    /// says something in TLS.
    fn perhaps_tls(&self, detail: &str) -> String {
        match self.url.strip_prefix("http://") {
            Some(rest) => format!("{detail}; if it serves HTTPS, write https://{rest}"),
            None => detail.to_owned(),
        }
    }

    /// What the network's refusal means.
    fn unreachable(&self, error: &ureq::Error) -> ClientError {
        let told = |cause: &str, advice, may_have_arrived| ClientError::Unreachable {
            url: self.url.clone(),
            cause: cause.to_owned(),
            advice,
            may_have_arrived,
        };
        let start = "start one with `ambit core` or `ambit dev`, or name another one with --url or \
                     AMBIT_URL";
        if let Some(refused) = trust::refusal(error) {
            return ClientError::Untrusted { url: self.url.clone(), refused };
        }
        match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                told("nobody listens there", start, false)
            }
            ureq::Error::ConnectionFailed => told("no connection", start, false),
            ureq::Error::HostNotFound => {
                told("no host has this name", "check --url and AMBIT_URL", false)
            }
            ureq::Error::Timeout(_) => {
                told("it does not answer", "check that it is up and not overloaded", true)
            }
            ureq::Error::Protocol(_) => {
                self.unexpected(&self.perhaps_tls("it does not speak HTTP"))
            }
            ureq::Error::Io(error) if hung_up(error) => {
                told(&self.perhaps_tls("it hung up without an answer"), "check that it is up", true)
            }
            ureq::Error::BodyExceedsLimit(_) => self.unexpected("the answer is too large"),
            other => told(&other.to_string(), "check that it is up", true),
        }
    }
}

/// The lines of an answer, each as long as [`LINE_BYTES_MAX`] at most: whatever answers, it does
/// not fill the memory.
pub struct Lines<R>(R);

impl<R: io::BufRead> Iterator for Lines<R> {
    type Item = io::Result<String>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        let mut limited = io::Read::take(&mut self.0, LINE_BYTES_MAX + 1);
        match io::BufRead::read_until(&mut limited, b'\n', &mut line) {
            Err(error) => return Some(Err(error)),
            Ok(0) => return None,
            Ok(_) => {}
        }
        if line.len() as u64 > LINE_BYTES_MAX {
            let detail = format!("a line has more than {LINE_BYTES_MAX} bytes");
            return Some(Err(io::Error::new(io::ErrorKind::InvalidData, detail)));
        }
        if line.ends_with(b"\n") {
            line.truncate(line.len() - 1 - usize::from(line.ends_with(b"\r\n")));
        }
        let wrong = |_| io::Error::new(io::ErrorKind::InvalidData, "a line is no text in UTF-8");
        Some(String::from_utf8(line).map_err(wrong))
    }
}

/// Whether the other side ended the connection.
fn hung_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof)
}

/// A URL without a slash at its end.
fn checked_url(url: &str) -> Result<String, String> {
    let shown: String = url.rsplit('@').next().unwrap_or_default().chars().take(80).collect();
    let scheme = ["http://", "https://"].into_iter().find(|scheme| url.starts_with(scheme));
    let Some((scheme, rest)) = scheme.and_then(|scheme| Some((scheme, url.strip_prefix(scheme)?)))
    else {
        return Err(format!("`{shown}` is not a core's URL; write for example {URL_DEFAULT}"));
    };
    let rest = rest.trim_end_matches('/');
    let odd = |c: char| c.is_whitespace() || c.is_control() || "?#/\\".contains(c);
    if rest.contains('@') {
        return Err("a URL must not hold a password; use --token-file or AMBIT_TOKEN".to_owned());
    }
    if rest.is_empty() || rest.contains(odd) {
        return Err(format!("`{shown}` is not a core's URL; write for example {URL_DEFAULT}"));
    }
    Ok(format!("{scheme}{rest}"))
}

/// A text as it stands in a path or in a query.
#[must_use]
pub fn escaped(text: &str) -> String {
    use fmt::Write as _;
    text.bytes().fold(String::new(), |mut all, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                all.push(char::from(byte));
            }
            _ => drop(write!(all, "%{byte:02X}")),
        }
        all
    })
}

/// A path with the parameters that have a value.
#[must_use]
pub fn with_query(path: &str, parameters: &[(&str, Option<String>)]) -> String {
    let pairs: Vec<String> = parameters
        .iter()
        .filter_map(|(name, value)| Some(format!("{name}={}", escaped(value.as_ref()?))))
        .collect();
    if pairs.is_empty() { path.to_owned() } else { format!("{path}?{}", pairs.join("&")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_url_is_taken_as_it_is_meant_or_refused() {
        assert_eq!(checked_url("http://core:8080/").as_deref(), Ok("http://core:8080"));
        assert_eq!(checked_url("https://core/").as_deref(), Ok("https://core"));
        assert_eq!(checked_url("http://[::1]:80").as_deref(), Ok("http://[::1]:80"));
        for (url, expected) in [
            ("core:8080", "is not a core's URL"),
            ("https://", "is not a core's URL"),
            ("HTTPS://core", "is not a core's URL"),
            ("https://me:secret@core", "must not hold a password"),
            ("http://", "is not a core's URL"),
            ("http://core/v1", "is not a core's URL"),
            ("http://a b", "is not a core's URL"),
            ("http://me:secret@core", "must not hold a password"),
        ] {
            let error = checked_url(url).expect_err("refused");
            assert!(error.contains(expected) && !error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn what_a_user_writes_stays_one_part_of_a_path() {
        assert_eq!(escaped("a/b?c=ä"), "a%2Fb%3Fc%3D%C3%A4");
        let parameters = [("label", Some("team=air".to_owned())), ("name", None)];
        assert_eq!(with_query("/v1/tasks", &parameters), "/v1/tasks?label=team%3Dair");
        assert_eq!(with_query("/v1/tasks", &[("name", None)]), "/v1/tasks");
    }

    #[test]
    fn lines_are_read_one_by_one_and_never_without_end() {
        let read = |bytes: &[u8]| Lines(bytes).collect::<io::Result<Vec<_>>>();
        assert_eq!(read(b"a\r\n\nb").expect("lines"), ["a", "", "b"]);
        assert!(read(b"\xff\n").is_err());
        let endless = io::repeat(b'x');
        let told = Lines(BufReader::new(endless)).next().expect("an answer").expect_err("refused");
        assert!(told.to_string().contains("4194304 bytes"), "{told}");
    }

    proptest! {
        #[test]
        fn no_url_breaks_the_reader(url in ".{0,60}|https?://[-a-z0-9.:@/\\[\\]]{0,40}") {
            if let Ok(checked) = checked_url(&url) {
                prop_assert_eq!(checked_url(&checked), Ok(checked.clone()));
                prop_assert!(!checked.ends_with('/') && !checked.contains('@'));
            }
        }

        #[test]
        fn lines_are_those_of_the_standard_library(text in "[a-c\r\n]{0,30}") {
            let read: Vec<String> = Lines(text.as_bytes()).map(|line| line.expect("text")).collect();
            prop_assert_eq!(read, text.lines().collect::<Vec<_>>());
        }

        #[test]
        fn what_is_escaped_stays_one_part(text: String) {
            let escaped = escaped(&text);
            prop_assert!(escaped.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        }
    }
}

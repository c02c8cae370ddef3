//! A small HTTP client for what this program says to a core: JSON in, JSON out.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

/// Talks to one core.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    agent: ureq::Agent,
}

impl Client {
    /// A client of the core at `base`, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(Duration::from_secs(10)))
            .http_status_as_error(false)
            .build();
        Self { base: base.trim_end_matches('/').to_owned(), agent: config.into() }
    }

    /// Reads a document.
    ///
    /// # Errors
    /// When the core cannot be reached or answers with a problem.
    pub fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let answer = self.agent.get(&url).call().with_context(|| format!("cannot reach {url}"))?;
        read(answer, &url)
    }

    /// Sends a document and reads the answer.
    ///
    /// # Errors
    /// When the core cannot be reached or answers with a problem.
    pub fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.base);
        let request = self.agent.post(&url).header("content-type", "application/json");
        let answer =
            request.send(body.to_string()).with_context(|| format!("cannot reach {url}"))?;
        read(answer, &url)
    }
}

fn read(mut answer: ureq::http::Response<ureq::Body>, url: &str) -> anyhow::Result<Value> {
    let status = answer.status();
    let text = answer.body_mut().read_to_string().with_context(|| format!("reading {url}"))?;
    if !status.is_success() {
        bail!("{url} answered {status}: {text}");
    }
    serde_json::from_str(&text).with_context(|| format!("{url} did not answer JSON: {text}"))
}

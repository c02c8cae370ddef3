//! What the HTTP server measures of itself: requests by method, path and status, and how long
//! they take. Paths are counted by their pattern, so no client can make a new time series.

use std::net::IpAddr;
use std::time::Duration;

use actix_web::http::{Method, StatusCode};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::followers::Followers;

/// The upper bounds of the buckets, in seconds.
const BUCKETS_S: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    path: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PathLabel {
    path: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ChangeLabels {
    role: &'static str,
    status: u16,
}

/// Somebody changed something, or tried to: a line of the audit, and a count.
#[derive(Debug)]
pub struct Changed<'a> {
    /// The name of the token, or what stands for none.
    pub who: &'a str,
    /// Its role.
    pub role: &'static str,
    /// The address it came from.
    pub from: IpAddr,
    /// What was asked.
    pub method: &'a str,
    /// Of what.
    pub path: &'a str,
    /// What was answered.
    pub status: u16,
    /// The path of what was made, if something was.
    pub made: &'a str,
    /// The name of the problem, if it was refused.
    pub refused: &'a str,
}

/// The server's own metrics. Copies count into the same series.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    requests: Family<RequestLabels, Counter>,
    duration: Family<PathLabel, Histogram, fn() -> Histogram>,
    changes: Family<ChangeLabels, Counter>,
    followers: Followers,
}

impl HttpMetrics {
    /// Makes them and adds them to a registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let new_histogram: fn() -> Histogram = || Histogram::new(BUCKETS_S);
        let metrics = Self {
            requests: Family::default(),
            duration: Family::new_with_constructor(new_histogram),
            changes: Family::default(),
            followers: Followers::register(registry),
        };
        registry.register(
            "ambit_http_requests",
            "Requests answered, by method, path and status",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "ambit_http_request_duration",
            "Time from the head of a request to its answer, by path",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register(
            "ambit_http_changes",
            "Changes asked for by submitters and operators, by role and status",
            metrics.changes.clone(),
        );
        metrics
    }

    /// Writes a change to the audit, and counts it.
    pub fn record(&self, changed: Changed<'_>) {
        let Changed { who, role, from, method, path, status, made, refused } = changed;
        self.changes.get_or_create(&ChangeLabels { role, status }).inc();
        tracing::info!(
            target: "audit",
            who, role, %from, method, path, status, made, refused, "change"
        );
    }

    /// Those who follow events and logs.
    pub fn followers(&self) -> &Followers {
        &self.followers
    }

    /// Counts one request. `pattern` is the path that matched, if one did.
    pub fn count(
        &self,
        method: &Method,
        pattern: Option<String>,
        status: StatusCode,
        took: Duration,
    ) {
        let path = pattern.unwrap_or_else(|| "other".to_owned());
        let labels =
            RequestLabels { method: known(method), path: path.clone(), status: status.as_u16() };
        self.requests.get_or_create(&labels).inc();
        self.duration.get_or_create(&PathLabel { path }).observe(took.as_secs_f64());
    }
}

/// A method's name, with one name for all that nobody serves.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_cannot_make_new_series() {
        let mut registry = Registry::default();
        let metrics = HttpMetrics::register(&mut registry);
        for name in ["BREW", "PLEASE"] {
            let method = Method::from_bytes(name.as_bytes()).expect("method");
            metrics.count(&method, None, StatusCode::NOT_FOUND, Duration::from_millis(3));
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encode");
        let line = r#"ambit_http_requests_total{method="other",path="other",status="404"} 2"#;
        assert!(text.contains(line), "{text}");
        assert!(text.contains("ambit_http_request_duration_seconds_bucket{le=\"0.005\""), "{text}");
    }
}

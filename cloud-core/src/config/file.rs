//! The configuration file, section by section. `configs/cloud.toml` shows every key with its
//! default; a test holds the two together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cloud_core_logic::Settings;
use cloud_core_logic::placement::Policy;
use serde::{Deserialize, Serialize};
use shared_runtime::telemetry::{Format, Level};

use super::broker::LISTEN_DEFAULT as BROKER_LISTEN_DEFAULT;
use super::{BrokerChoice, Config, ConfigProblem, OtlpSettings};
use crate::access::Limits;
use crate::broker::CLIENTS_MAX_DEFAULT;
use crate::driver::Bounds;
use crate::export::EndpointError;
use crate::http::{HttpSettings, HttpTls};
use crate::store::{EventBounds, HistoryBounds, LogBounds, TASK_BYTES_LEAST};

/// The data folder of a core that is told of none, in the folder it is started in.
pub const DATA_DEFAULT: &str = "ambit-data";

/// The database in the data folder.
const STORE_FILE: &str = "core.db";
/// The join token in the data folder.
const JOIN_TOKEN_FILE: &str = "join-token";

/// The whole file. Every key may be left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    /// The folder for everything the core keeps; [`DATA_DEFAULT`] when left out.
    pub data: Option<PathBuf>,
    /// How HTTP is served.
    pub http: HttpSection,
    /// How much one API token may ask.
    pub access: Limits,
    /// The database.
    pub store: StoreSection,
    /// The broker.
    pub broker: BrokerSection,
    /// How agents join.
    pub join: JoinSection,
    /// How to decide.
    pub core: Settings,
    /// Where how to place is written, if not in this file.
    pub placement: PlacementSection,
    /// How to place.
    pub policy: Policy,
    /// The driver's bounds.
    pub queue: Bounds,
    /// How much is kept of the logs of tasks.
    pub logs: LogBounds,
    /// How much is kept of the log of events.
    pub events: EventBounds,
    /// How much is kept of tasks that are settled.
    pub history: HistoryBounds,
    /// The core's own log.
    pub log: LogSection,
    /// What the core tells others about the work it does.
    pub telemetry: TelemetrySection,
}

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSection {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Whether to serve other machines although nobody is asked who they are.
    pub allow_remote_without_token: bool,
    /// Threads that serve connections.
    pub workers: usize,
    /// The most connections at once.
    pub connections_max: usize,
    /// How long an idle connection is kept, in seconds.
    pub keep_alive_s: u64,
    /// How long a client may take to send the head of a request, in seconds.
    pub head_timeout_s: u64,
    /// How long requests under way may take once the server is stopped, in seconds.
    pub stop_timeout_s: u64,
    /// Names, beside `localhost` and addresses, under which it may be addressed.
    pub hosts: Vec<String>,
    /// Whether every change that somebody asks for is written to the log.
    pub audit: bool,
    /// With which certificate to serve HTTPS.
    pub tls: HttpTlsSection,
}

/// `[http.tls]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpTlsSection {
    /// The certificate chain, PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, PEM.
    pub key: Option<PathBuf>,
}

impl HttpTlsSection {
    fn settings(self) -> Result<Option<HttpTls>, ConfigProblem> {
        match (self.certificate, self.key) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(HttpTls { certificate, key })),
            (Some(_), None) => Err(ConfigProblem::key(
                "http.tls.key",
                "missing; name the PEM file with the private key of http.tls.certificate",
            )),
            (None, Some(_)) => Err(ConfigProblem::key(
                "http.tls.certificate",
                "missing; name the PEM file with the certificate chain of http.tls.key",
            )),
        }
    }
}

/// `[store]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreSection {
    /// The database; `core.db` in the data folder when left out.
    pub path: Option<PathBuf>,
}

/// `[broker]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerSection {
    /// Where the embedded broker listens without TLS; port 0 picks a free one.
    pub listen: Option<SocketAddr>,
    /// Where it listens with TLS.
    pub tls_listen: Option<SocketAddr>,
    /// Its certificate chain, PEM.
    pub tls_cert_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub tls_key_file: Option<PathBuf>,
    /// The most clients it bears at once.
    pub clients_max: usize,
    /// The file with machines of others that may publish there.
    pub publishers_file: Option<PathBuf>,
    /// Another broker to use instead.
    pub url: Option<String>,
    /// The core's user name there.
    pub username: Option<String>,
    /// The file with its password.
    pub password_file: Option<PathBuf>,
    /// The authorities to trust with `mqtts://`, PEM; the system's when left out.
    pub ca_file: Option<PathBuf>,
}

/// `[join]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JoinSection {
    /// The file with the join token; `join-token` in the data folder when left out.
    pub token_file: Option<PathBuf>,
}

/// `[placement]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PlacementSection {
    /// The file with the placement policy; then it is changed there and nowhere else.
    pub policy_file: Option<PathBuf>,
}

/// `[log]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSection {
    /// The least important lines that are written.
    pub level: Level,
    /// What a line looks like.
    pub format: Format,
}

/// `[telemetry]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySection {
    /// Which collector has the traces of tasks.
    pub otlp: OtlpSection,
}

/// `[telemetry.otlp]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpSection {
    /// The collector's URL, without the path of a signal; nothing is exported when left out.
    pub endpoint: Option<String>,
    /// The file with headers of every request to it.
    pub headers_file: Option<PathBuf>,
}

impl OtlpSection {
    fn settings(self) -> Result<Option<OtlpSettings>, ConfigProblem> {
        let Some(endpoint) = self.endpoint else {
            return match self.headers_file {
                None => Ok(None),
                Some(_) => {
                    let what = "is of use only with telemetry.otlp.endpoint beside it";
                    Err(ConfigProblem::key("telemetry.otlp.headers_file", what))
                }
            };
        };
        let wrong =
            |error: EndpointError| ConfigProblem::key("telemetry.otlp.endpoint", error.to_string());
        let endpoint = endpoint.parse().map_err(wrong)?;
        Ok(Some(OtlpSettings { endpoint, headers_file: self.headers_file }))
    }
}

impl Default for HttpSection {
    fn default() -> Self {
        let HttpSettings {
            listen,
            workers,
            connections_max,
            keep_alive_s,
            head_timeout_s,
            stop_timeout_s,
            hosts,
            audit,
            tls: _,
            policy_file: _,
        } = HttpSettings::default();
        Self {
            listen,
            allow_remote_without_token: false,
            workers,
            connections_max,
            keep_alive_s,
            head_timeout_s,
            stop_timeout_s,
            hosts,
            audit,
            tls: HttpTlsSection::default(),
        }
    }
}

impl HttpSection {
    fn settings(self) -> Result<HttpSettings, ConfigProblem> {
        for (key, value) in
            [("http.workers", self.workers), ("http.connections_max", self.connections_max)]
        {
            at_least(key, value as u64, 1)?;
        }
        Ok(HttpSettings {
            listen: self.listen,
            workers: self.workers,
            connections_max: self.connections_max,
            keep_alive_s: self.keep_alive_s,
            head_timeout_s: self.head_timeout_s,
            stop_timeout_s: self.stop_timeout_s,
            hosts: self.hosts,
            audit: self.audit,
            tls: self.tls.settings()?,
            policy_file: None,
        })
    }
}

impl Default for BrokerSection {
    fn default() -> Self {
        Self {
            listen: None,
            tls_listen: None,
            tls_cert_file: None,
            tls_key_file: None,
            clients_max: CLIENTS_MAX_DEFAULT,
            publishers_file: None,
            url: None,
            username: None,
            password_file: None,
            ca_file: None,
        }
    }
}

impl FileConfig {
    /// Reads the paths in the file as seen from the file's folder, not from wherever the program
    /// was started.
    pub(super) fn anchor(&mut self, folder: &Path) {
        let broker = &mut self.broker;
        let optional = [
            &mut self.data,
            &mut self.store.path,
            &mut self.join.token_file,
            &mut self.http.tls.certificate,
            &mut self.http.tls.key,
            &mut self.telemetry.otlp.headers_file,
            &mut self.placement.policy_file,
            &mut broker.tls_cert_file,
            &mut broker.tls_key_file,
            &mut broker.publishers_file,
            &mut broker.password_file,
            &mut broker.ca_file,
        ];
        for path in optional.into_iter().flatten() {
            *path = folder.join(&path);
        }
    }

    /// The same with what follows from other values filled in, as a core would use it.
    #[must_use]
    pub fn effective(mut self) -> Self {
        let data = self.data.take().unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
        self.store.path.get_or_insert_with(|| data.join(STORE_FILE));
        self.join.token_file.get_or_insert_with(|| data.join(JOIN_TOKEN_FILE));
        if self.broker.url.is_none() && self.broker.tls_listen.is_none() {
            self.broker.listen.get_or_insert(BROKER_LISTEN_DEFAULT);
        }
        self.data = Some(data);
        self
    }

    /// Checks what the file can get wrong as a whole.
    pub(super) fn check(self) -> Result<Config, ConfigProblem> {
        check_settings(&self.core)?;
        if let Err(problems) = self.policy.check() {
            let all = problems
                .iter()
                .map(|problem| format!("{} {}", problem.pointer.replace('/', "."), problem.detail));
            let what = all.map(|line| line.trim_start_matches('.').to_owned()).collect::<Vec<_>>();
            return Err(ConfigProblem::key("policy", what.join("; ")));
        }
        if self.placement.policy_file.is_some() && self.policy != Policy::default() {
            let what = "has no say beside placement.policy_file; write it into that file, or take \
                        one of them out";
            return Err(ConfigProblem::key("policy", what));
        }
        at_least("access.requests_burst", self.access.requests_burst, 1)?;
        within("access.requests_per_second", self.access.requests_per_second, 0, 1_000_000_000)?;
        at_least("queue.requests_max", self.queue.requests_max as u64, 1)?;
        at_least("queue.uplinks_max", self.queue.uplinks_max as u64, 1)?;
        at_least("queue.batch_max", self.queue.batch_max as u64, 2)?;
        within("queue.logs_max", self.queue.logs_max as u64, 1, 100_000)?;
        check_logs(&self.logs)?;
        within("events.count_max", self.events.count_max, 1_000, 1_000_000_000)?;
        within("events.keep_hours", self.events.keep_hours, 1, 1_000_000)?;
        check_history(&self.history)?;
        let data = self.data.unwrap_or_else(|| PathBuf::from(DATA_DEFAULT));
        let join_token_made = self.join.token_file.is_none();
        Ok(Config {
            allow_remote_without_token: self.http.allow_remote_without_token,
            http: HttpSettings {
                policy_file: self.placement.policy_file.clone(),
                ..self.http.settings()?
            },
            access: self.access,
            store_path: self.store.path.unwrap_or_else(|| data.join(STORE_FILE)),
            broker: BrokerChoice::of(self.broker)?,
            join_token_file: self.join.token_file.unwrap_or_else(|| data.join(JOIN_TOKEN_FILE)),
            join_token_made,
            core: self.core,
            policy: self.policy,
            policy_file: self.placement.policy_file,
            queue: self.queue,
            logs: self.logs,
            events: self.events,
            history: self.history,
            log_level: self.log.level,
            log_format: self.log.format,
            otlp: self.telemetry.otlp.settings()?,
            data,
        })
    }
}

/// The bounds are wide: they keep out what could not work and what would overflow, no more.
fn check_settings(core: &Settings) -> Result<(), ConfigProblem> {
    const HOUR_MS: u64 = 3_600_000;
    for (key, value, least, most) in [
        ("core.pending_max", core.pending_max, 1, 100_000_000),
        ("core.agents_max", core.agents_max, 1, 100_000_000),
        ("core.heartbeat_ms", core.heartbeat_ms, 100, HOUR_MS),
        ("core.suspect_after_beats", core.suspect_after_beats, 1, 1_000),
        ("core.offline_after_beats", core.offline_after_beats, core.suspect_after_beats, 1_000),
        ("core.recover_beats", core.recover_beats, 1, 1_000),
        ("core.offer_timeout_ms", core.offer_timeout_ms, 1_000, 24 * HOUR_MS),
        ("core.grace_ms", core.grace_ms, 0, HOUR_MS),
        ("core.lease_margin_ms", core.lease_margin_ms, 100, HOUR_MS),
        ("core.recovery_ms", core.recovery_ms, 1_000, 24 * HOUR_MS),
        ("core.reports_per_second", core.reports_per_second, 1, 100_000_000),
        ("core.resend_ms", core.resend_ms, 100, HOUR_MS),
        ("core.placements_per_step", core.placements_per_step as u64, 1, 1_000_000),
        ("core.trace_one_in", core.trace_one_in, 0, 1_000_000_000),
    ] {
        within(key, value, least, most)?;
    }
    Ok(())
}

fn check_history(history: &HistoryBounds) -> Result<(), ConfigProblem> {
    const MANY: u64 = 1_000_000_000;
    within("history.count_max", history.count_max, 1_000, MANY)?;
    within("history.keep_hours", history.keep_hours, 1, 1_000_000)?;
    within("history.keys_count_max", history.keys_count_max, 1_000, MANY)?;
    // A key that goes before its task lets the task run a second time.
    within("history.keys_keep_hours", history.keys_keep_hours, history.keep_hours, 1_000_000)
}

fn check_logs(logs: &LogBounds) -> Result<(), ConfigProblem> {
    const GIB: u64 = 1024 * 1024 * 1024;
    within("logs.task_bytes_max", logs.task_bytes_max, TASK_BYTES_LEAST, GIB)?;
    within("logs.bytes_max", logs.bytes_max, logs.task_bytes_max, 1024 * 1024 * GIB)?;
    within("logs.keep_days", logs.keep_days, 1, 100_000)
}

fn at_least(key: &'static str, value: u64, least: u64) -> Result<(), ConfigProblem> {
    within(key, value, least, 1_000_000_000)
}

fn within(key: &'static str, value: u64, least: u64, most: u64) -> Result<(), ConfigProblem> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(ConfigProblem::key(key, format!("must be from {least} to {most}, not {value}")))
}

//! What the core is told about itself: defaults, then the file, then `AMBIT_…` variables, then
//! flags, the later one winning. Checked as a whole before anything is started. Reads the one
//! file it is given and nothing else.

mod broker;
mod file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cloud_core_logic::Settings;
use cloud_core_logic::placement::Policy;
use shared_runtime::config::{ConfigError, load};
use shared_runtime::telemetry::{Format, Level, LevelError};

use crate::access::Limits;
use crate::driver::Bounds;
use crate::http::HttpSettings;
use crate::store::{EventBounds, LogBounds};

pub use broker::{BrokerChoice, ExternalBroker};
pub use file::{
    BrokerSection, DATA_DEFAULT, FileConfig, HttpSection, HttpTlsSection, JoinSection, LogSection,
    StoreSection,
};

/// What was written where a more exact source wins over the file: flags, or variables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// The configuration file.
    pub config: Option<PathBuf>,
    /// Where to serve HTTP.
    pub listen: Option<String>,
    /// The data folder.
    pub data: Option<PathBuf>,
    /// An address for the embedded broker, or the URL of another one.
    pub broker: Option<String>,
    /// The log level.
    pub log: Option<String>,
}

impl Overrides {
    /// What the `AMBIT_…` variables say; `variable` reads one. An empty one says nothing.
    #[must_use]
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let read = |name: &str| variable(name).filter(|value| !value.is_empty());
        Self {
            config: read("AMBIT_CONFIG").map(PathBuf::from),
            listen: read("AMBIT_LISTEN"),
            data: read("AMBIT_DATA").map(PathBuf::from),
            broker: read("AMBIT_BROKER"),
            log: read("AMBIT_LOG"),
        }
    }

    /// These, and the other's where these say nothing.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self {
            config: self.config.or(other.config),
            listen: self.listen.or(other.listen),
            data: self.data.or(other.data),
            broker: self.broker.or(other.broker),
            log: self.log.or(other.log),
        }
    }
}

/// Everything the core is told, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder for everything the core keeps.
    pub data: PathBuf,
    /// How HTTP is served.
    pub http: HttpSettings,
    /// Whether to serve other machines although there is no API token.
    pub allow_remote_without_token: bool,
    /// How much one API token may ask.
    pub access: Limits,
    /// The database.
    pub store_path: PathBuf,
    /// Which broker.
    pub broker: BrokerChoice,
    /// The file with the join token.
    pub join_token_file: PathBuf,
    /// Whether the token may be made when the file is missing: not when a person named the file.
    pub join_token_made: bool,
    /// How to decide.
    pub core: Settings,
    /// How to place.
    pub policy: Policy,
    /// The driver's bounds.
    pub queue: Bounds,
    /// How much is kept of the logs of tasks.
    pub logs: LogBounds,
    /// How much is kept of the log of events.
    pub events: EventBounds,
    /// The least important log lines.
    pub log_level: Level,
    /// What a log line looks like.
    pub log_format: Format,
}

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    /// The file cannot be read or understood.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// An address is none.
    #[error(
        "{origin}: `{text}` is not an address; write ADDRESS:PORT, such as 127.0.0.1:{example}"
    )]
    Address {
        /// Where it was written.
        origin: &'static str,
        /// What was written.
        text: String,
        /// A port to show.
        example: u16,
    },
    /// The log level is none.
    #[error("{origin}: {source}")]
    Level {
        /// Where it was written.
        origin: &'static str,
        /// What is wrong.
        source: LevelError,
    },
    /// A broker's URL is none.
    #[error("broker: `{url}` {what}; write mqtt://HOST:1883 or mqtts://HOST:8883")]
    Url {
        /// What was written.
        url: String,
        /// What is wrong.
        what: &'static str,
    },
    /// Keys that do not go together, or lack one another.
    #[error("{key}: {what}")]
    Key {
        /// The key.
        key: &'static str,
        /// What is wrong, and what to write instead.
        what: String,
    },
}

impl ConfigProblem {
    pub(super) fn key(key: &'static str, what: impl Into<String>) -> Self {
        Self::Key { key, what: what.into() }
    }
}

impl Config {
    /// Puts the sources together and checks the result.
    ///
    /// # Errors
    /// The first thing that is wrong, with where it was written and what to write instead.
    pub fn resolve(flags: Overrides, environment: Overrides) -> Result<Self, ConfigProblem> {
        let origins = Origins::of(&flags);
        let overrides = flags.or(environment);
        let mut file = match &overrides.config {
            Some(path) => load::<FileConfig>(path)?,
            None => FileConfig::default(),
        };
        let folder = overrides.config.as_deref().and_then(Path::parent).map(Path::to_owned);
        file.anchor(folder.as_deref().unwrap_or(Path::new("")));
        if let Some(data) = overrides.data {
            file.data = Some(data);
        }
        if let Some(listen) = overrides.listen {
            file.http.listen = address(&listen, origins.listen, 8080)?;
        }
        if let Some(broker) = overrides.broker {
            file.broker.override_with(&broker, origins.broker)?;
        }
        if let Some(level) = overrides.log {
            let wrong = |source| ConfigProblem::Level { origin: origins.log, source };
            file.log.level = level.parse().map_err(wrong)?;
        }
        file.check()
    }

    /// With nothing but a data folder said.
    ///
    /// # Errors
    /// None in practice: the defaults are consistent.
    pub fn with_data(data: &Path) -> Result<Self, ConfigProblem> {
        let overrides = Overrides { data: Some(data.to_owned()), ..Overrides::default() };
        Self::resolve(overrides, Overrides::default())
    }
}

/// How the source of a value is called in an error.
struct Origins {
    listen: &'static str,
    broker: &'static str,
    log: &'static str,
}

impl Origins {
    fn of(flags: &Overrides) -> Self {
        let pick = |flag: bool, name, variable| if flag { name } else { variable };
        Self {
            listen: pick(flags.listen.is_some(), "--listen", "AMBIT_LISTEN"),
            broker: pick(flags.broker.is_some(), "--broker", "AMBIT_BROKER"),
            log: pick(flags.log.is_some(), "--log", "AMBIT_LOG"),
        }
    }
}

/// Reads an address; `localhost` is the IPv4 one.
fn address(text: &str, origin: &'static str, example: u16) -> Result<SocketAddr, ConfigProblem> {
    let spelled = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let wrong = |_| ConfigProblem::Address { origin, text: text.to_owned(), example };
    spelled.parse().map_err(wrong)
}

#[cfg(test)]
mod tests;

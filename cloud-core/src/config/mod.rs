//! What the core is told about itself: defaults, then the file, then `AMBIT_…` variables, then
//! flags, the later one winning. Checked as a whole before anything is started. Reads the one
//! file it is given and nothing else.

mod broker;
mod file;
mod policy_file;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use cloud_core_logic::Settings;
use cloud_core_logic::placement::Policy;
use shared_runtime::config::{ConfigError, Layered};
use shared_runtime::telemetry::{Format, Level, LevelError};

use crate::access::Limits;
use crate::driver::Bounds;
use crate::export::Endpoint;
use crate::http::HttpSettings;
use crate::store::{EventBounds, HistoryBounds, LogBounds};

pub use broker::{BrokerChoice, ExternalBroker};
pub use file::{
    BrokerSection, DATA_DEFAULT, FileConfig, HttpSection, HttpTlsSection, JoinSection, LogSection,
    OtlpSection, PlacementSection, StoreSection, TelemetrySection,
};
pub use policy_file::{Mark, PolicyFile, PolicyFileError};

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
    /// Any other keys, `KEY=VALUE`.
    pub settings: Vec<String>,
    /// Variables, by name, that may be those of any key.
    pub variables: Vec<(String, String)>,
}

/// What `AMBIT_…` variables begin with.
const VARIABLE_PREFIX: &str = "AMBIT_";
/// Variables of this prefix that are no key of the configuration: those that stand for several
/// keys, the client's, and what the agent tells tasks.
const VARIABLES_OF_OTHERS: [&str; 13] = [
    "AMBIT_CONFIG",
    "AMBIT_LISTEN",
    "AMBIT_BROKER",
    "AMBIT_LOG",
    "AMBIT_URL",
    "AMBIT_TOKEN",
    "AMBIT_CA_FILE",
    "AMBIT_TASK_ID",
    "AMBIT_TASK_NAME",
    "AMBIT_ATTEMPT",
    "AMBIT_AGENT_ID",
    "AMBIT_AGENT_PROGRAM",
    "AMBIT_PROGRESS_FILE",
];

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
            settings: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// What the variables of this process say.
    #[must_use]
    pub fn of_process() -> Self {
        let variables = shared_runtime::config::variables();
        let find = |name: &str| {
            variables.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone())
        };
        let overrides = Self::from_environment(find);
        Self { variables, ..overrides }
    }

    /// Puts these over what was said so far; `names` is how each is called in an error.
    fn over(
        &self,
        layered: &mut Layered<FileConfig>,
        names: [&'static str; 4],
    ) -> Result<(), ConfigProblem> {
        let [data_name, listen_name, broker_name, log_name] = names;
        layered.take_variables(VARIABLE_PREFIX, &VARIABLES_OF_OTHERS, &self.variables)?;
        for setting in &self.settings {
            layered.take_setting(setting, "--set")?;
        }
        if let Some(data) = &self.data {
            layered.value.data = Some(data.clone());
            layered.note("data", data_name);
        }
        if let Some(listen) = &self.listen {
            layered.value.http.listen = address(listen, listen_name, 8080)?;
            layered.note("http.listen", listen_name);
        }
        if let Some(broker) = &self.broker {
            layered.value.broker.override_with(broker, broker_name)?;
            let is_url = layered.value.broker.url.is_some();
            layered.note(if is_url { "broker.url" } else { "broker.listen" }, broker_name);
        }
        if let Some(level) = &self.log {
            let wrong = |source| ConfigProblem::Level { origin: log_name, source };
            layered.value.log.level = level.parse().map_err(wrong)?;
            layered.note("log.level", log_name);
        }
        Ok(())
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
    /// The file that says how to place instead, if there is one.
    pub policy_file: Option<PathBuf>,
    /// The driver's bounds.
    pub queue: Bounds,
    /// How much is kept of the logs of tasks.
    pub logs: LogBounds,
    /// How much is kept of the log of events.
    pub events: EventBounds,
    /// How much is kept of tasks that are settled.
    pub history: HistoryBounds,
    /// The least important log lines.
    pub log_level: Level,
    /// What a log line looks like.
    pub log_format: Format,
    /// Where the traces of tasks are exported to, if they are.
    pub otlp: Option<OtlpSettings>,
}

/// A collector of traces.
#[derive(Debug, Clone)]
pub struct OtlpSettings {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The file with what it is to be told beside the traces.
    pub headers_file: Option<PathBuf>,
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
        Self::layered(&flags, &environment)?.value.check()
    }

    /// Puts the sources together, unchecked.
    fn layered(
        flags: &Overrides,
        environment: &Overrides,
    ) -> Result<Layered<FileConfig>, ConfigProblem> {
        let path = flags.config.as_deref().or(environment.config.as_deref());
        let mut layered = Layered::load(path, FileConfig::anchor)?;
        let variables = ["AMBIT_DATA", "AMBIT_LISTEN", "AMBIT_BROKER", "AMBIT_LOG"];
        environment.over(&mut layered, variables)?;
        flags.over(&mut layered, ["--data", "--listen", "--broker", "--log"])?;
        Ok(layered)
    }

    /// The configuration that these sources come to, every key with where it came from, as a file
    /// that says the same.
    ///
    /// # Errors
    /// As [`Self::resolve`].
    pub fn print(flags: &Overrides, environment: &Overrides) -> Result<String, ConfigProblem> {
        let layered = Self::layered(flags, environment)?;
        let effective = layered.value.clone().effective();
        layered.value.clone().check()?;
        Ok(layered.print(&effective))
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

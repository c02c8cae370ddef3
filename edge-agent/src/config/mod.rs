//! What the agent is told at its start: the configuration file, the arguments that win over it,
//! and what is measured where neither says anything. Everything is checked here, before anything
//! is opened.

mod broker;
mod capacity;
mod file;
mod sources;
mod writing;

use std::path::{Path, PathBuf};

use edge_agent_logic::Settings;
use edge_agent_logic::settings::{INVENTORY_PART_LIMIT, SCHEDULES_MAX_LIMIT, TASKS_MAX_LIMIT};
use shared::geo::Position;
use shared::id::AgentId;
use shared::label::{LABEL_VALUE_BYTES_MAX, LABELS_MAX, Labels, check_key};
use shared::wire::uplink::Facts;
use shared_runtime::config::ConfigError;
use shared_runtime::link::{ClientCertificate, TlsConfig};
use shared_runtime::seal::{BrokerPassword, JoinToken, TokenError};
use shared_runtime::secret::{SecretError, secret_file};
use shared_runtime::telemetry::{Format, Level};

use crate::cli::{LogFormat, RunArgs};
use crate::exec::TAIL_BYTES_MAX;
use crate::probe::HostFacts;

pub use broker::{BrokerUrl, BrokerUrlError};
pub use capacity::{CapacityError, CapacityWish};
pub use file::{BrokerFile, DiskFile, FileConfig, FlashFile, LogFile, LogsFile};
pub use writing::LogLimits;

/// The most tasks held when nobody says otherwise.
const TASKS_MAX_DEFAULT: u32 = 64;
/// How many schedules are held when nothing says otherwise.
const SCHEDULES_MAX_DEFAULT: u32 = 100;
/// The longest text among the facts, in bytes; the core takes no longer one.
const TEXT_BYTES_MAX: usize = LABEL_VALUE_BYTES_MAX;

/// Why the agent cannot be started as it was told.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The configuration file is wrong.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// A value is wrong.
    #[error("{what}: {detail}")]
    Value {
        /// Which.
        what: &'static str,
        /// What is wrong, and what to write instead.
        detail: String,
    },
    /// The join token cannot be used.
    #[error("join_token_file: {0}")]
    Token(#[from] TokenError),
    /// The broker's password cannot be used.
    #[error("broker.password_file: {0}")]
    Password(#[from] SecretError),
}

/// Who the agent is at an external broker, whose users are its operator's.
#[derive(Debug, Clone)]
pub struct BrokerUser {
    /// The user name.
    pub username: String,
    /// The password.
    pub password: BrokerPassword,
}

/// Everything the agent is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who it is.
    pub id: AgentId,
    /// Where it keeps its database and its tasks.
    pub data: PathBuf,
    /// Where the broker is.
    pub broker: BrokerUrl,
    /// How to encrypt, if the broker's URL asks for it.
    pub tls: Option<TlsConfig>,
    /// Who it is at an external broker; `None` for the core's own, which knows it by its
    /// credential.
    pub broker_user: Option<BrokerUser>,
    /// Lets it join; not needed once it has joined.
    pub join_token: Option<JoinToken>,
    /// What it is. The capacity may lack what is to be measured, see [`Config::facts`].
    pub base_facts: Facts,
    /// What it offers, as far as it was told.
    pub capacity: CapacityWish,
    /// A file that tells where it is, when it moves.
    pub position_file: Option<PathBuf>,
    /// How much of the disk stays free for what is under way, MiB.
    pub disk_reserve_mib: u64,
    /// How much room is taken to be let go when there is no other, MiB.
    pub ballast_mib: u64,
    /// How many bytes may be written in a day; `None` is no bound.
    pub flash_bytes_per_day: Option<u64>,
    /// How much is kept of what tasks write.
    pub logs: LogLimits,
    /// How much of the end of each output stream is reported, in bytes.
    pub tail_bytes: u32,
    /// The bounds and times it decides by.
    pub settings: Settings,
    /// What is logged.
    pub log: (Level, Format),
}

impl Config {
    /// Puts together what was written: defaults, file, variables, arguments.
    ///
    /// # Errors
    /// The first thing that is wrong, with what to write instead.
    pub fn of(args: &RunArgs) -> Result<Self, SetupError> {
        Self::merge(args, sources::layered(args, &shared_runtime::config::variables())?.value)
    }

    /// Every key with its value and where that came from, as a file that says the same.
    ///
    /// # Errors
    /// As [`Self::of`].
    pub fn print(args: &RunArgs) -> Result<String, SetupError> {
        let mut layered = sources::layered(args, &shared_runtime::config::variables())?;
        let config = Self::merge(args, layered.value.clone())?;
        let effective = sources::effective(args, &mut layered, &config);
        Ok(layered.print(&effective))
    }

    fn merge(args: &RunArgs, file: FileConfig) -> Result<Self, SetupError> {
        let id = match args.id.clone().or(file.id.clone()) {
            Some(id) => id,
            None => id_of_host()?,
        };
        let broker =
            args.broker.clone().or(file.broker.url.clone()).unwrap_or_else(BrokerUrl::local);
        let tls = encryption(args, &file.broker, &broker)?;
        let broker_user = broker_user(args, &file.broker, &id)?;
        let token_file = args.join_token_file.as_ref().or(file.join_token_file.as_ref());
        let join_token = token_file.map(|path| JoinToken::from_file(path)).transpose()?;
        let position = position(args, &file)?;
        let tail_bytes = file.output_tail_bytes.unwrap_or(crate::exec::TAIL_BYTES_DEFAULT);
        if tail_bytes > TAIL_BYTES_MAX {
            let detail = format!("at most {TAIL_BYTES_MAX}, so that a report fits into a message");
            return Err(SetupError::Value { what: "output_tail_bytes", detail });
        }
        Ok(Self {
            base_facts: base_facts(args, &file, position)?,
            capacity: args.capacity.clone().unwrap_or_default().or(&file.capacity),
            data: args.data.clone().or(file.data).unwrap_or_else(data_default),
            position_file: file.position_file,
            disk_reserve_mib: file.disk_reserve_mib.unwrap_or(64),
            ballast_mib: writing::ballast(&file.disk)?,
            flash_bytes_per_day: writing::flash(&file.flash)?,
            logs: LogLimits::of(&file.logs)?,
            settings: checked_settings(file.limits)?,
            log: log_of(args, &file.log),
            id,
            broker,
            tls,
            broker_user,
            join_token,
            tail_bytes,
        })
    }

    /// What the agent is, with everything measured that it was not told.
    #[must_use]
    pub fn facts(&self, host: &HostFacts) -> Facts {
        let mut facts = self.base_facts.clone();
        facts.capacity = self.capacity.over(host.default_capacity());
        facts.arch = host.arch.to_owned();
        let measured = [("os", host.os.as_str()), ("arch", host.arch)];
        for (key, value) in measured {
            facts.labels.entry(key.to_owned()).or_insert_with(|| value.to_owned());
        }
        facts
    }
}

/// Where the data is when no file and no argument says: where `AMBIT_EDGE_DATA` does, else the
/// system's place for root, the user's own otherwise.
#[must_use]
pub fn data_default() -> PathBuf {
    if let Some(data) = std::env::var_os("AMBIT_EDGE_DATA").filter(|data| !data.is_empty()) {
        return PathBuf::from(data);
    }
    if rustix::process::geteuid().is_root() {
        return PathBuf::from("/var/lib/ambit-agent");
    }
    let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("."), PathBuf::from);
    home.join(".local/share/ambit-agent")
}

/// The host's name, with what an id may not hold replaced by `-`.
fn id_of_host() -> Result<AgentId, SetupError> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let allowed = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let text: String = name.trim().chars().map(allowed).take(64).collect();
    text.trim_start_matches(['.', '_', '-']).parse().map_err(|_| SetupError::Value {
        what: "id",
        detail: "the host has no name to take it from; write one with --id".to_owned(),
    })
}

fn encryption(
    args: &RunArgs,
    file: &BrokerFile,
    broker: &BrokerUrl,
) -> Result<Option<TlsConfig>, SetupError> {
    let ca_file = args.ca_file.clone().or(file.ca_file.clone());
    let client = match (&file.certificate_file, &file.key_file) {
        (Some(certificate_file), Some(key_file)) => Some(ClientCertificate {
            certificate_file: certificate_file.clone(),
            key_file: key_file.clone(),
        }),
        (None, None) => None,
        _ => {
            let detail = "certificate_file and key_file go together; write both or none";
            return Err(SetupError::Value { what: "broker", detail: detail.to_owned() });
        }
    };
    if !broker.tls && (ca_file.is_some() || client.is_some()) {
        let detail = format!("certificates are of no use over {broker}; write mqtts://");
        return Err(SetupError::Value { what: "broker.url", detail });
    }
    Ok(broker.tls.then_some(TlsConfig { ca_file, client }))
}

fn broker_user(
    args: &RunArgs,
    file: &BrokerFile,
    id: &AgentId,
) -> Result<Option<BrokerUser>, SetupError> {
    let username = args.broker_username.clone().or(file.username.clone());
    let path = args.broker_password_file.as_ref().or(file.password_file.as_ref());
    match (username, path) {
        (username, Some(path)) => Ok(Some(BrokerUser {
            username: username.unwrap_or_else(|| id.as_str().to_owned()),
            password: BrokerPassword::from_text(secret_file(path)?),
        })),
        (None, None) => Ok(None),
        (Some(_), None) => {
            let detail = "a user name needs a password; write password_file too".to_owned();
            Err(SetupError::Value { what: "broker.username", detail })
        }
    }
}

fn position(args: &RunArgs, file: &FileConfig) -> Result<Option<Position>, SetupError> {
    let (Some(latitude), Some(longitude)) = (args.latitude, args.longitude) else {
        return Ok(file.position);
    };
    Position::new(latitude, longitude)
        .map(Some)
        .map_err(|error| SetupError::Value { what: "position", detail: error.to_string() })
}

fn base_facts(
    args: &RunArgs,
    file: &FileConfig,
    position: Option<Position>,
) -> Result<Facts, SetupError> {
    let mut labels: Labels = file.labels.clone();
    labels.extend(args.labels.iter().cloned());
    let mut taints = file.taints.clone();
    taints.extend(args.taints.iter().cloned());
    taints.sort();
    taints.dedup();
    let region = args.region.clone().or(file.region.clone());
    let tasks_max = args.tasks_max.or(file.tasks_max).unwrap_or(TASKS_MAX_DEFAULT);
    let schedules_max = file.schedules_max.unwrap_or(SCHEDULES_MAX_DEFAULT);
    let wrong = |what, detail| Err(SetupError::Value { what, detail });
    // Room for the two labels that the agent adds.
    if labels.len() > LABELS_MAX - 2 || taints.len() > LABELS_MAX {
        return wrong("labels", format!("at most {} labels and taints", LABELS_MAX - 2));
    }
    for key in labels.keys() {
        if let Err(sentence) = check_key(key) {
            return wrong("labels", format!("`{key}`: {sentence}"));
        }
    }
    let mut texts = labels.values().chain(&taints).chain(&region);
    if let Some(text) = texts.find(|text| text.len() > TEXT_BYTES_MAX) {
        let start: String = text.chars().take(20).collect();
        return wrong("labels", format!("`{start}...` is longer than {TEXT_BYTES_MAX} bytes"));
    }
    if !(1..=TASKS_MAX_LIMIT).contains(&tasks_max) {
        return wrong("tasks_max", format!("write 1 to {TASKS_MAX_LIMIT}"));
    }
    if schedules_max > SCHEDULES_MAX_LIMIT {
        return wrong("schedules_max", format!("write 0 to {SCHEDULES_MAX_LIMIT}"));
    }
    Ok(Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        position,
        region,
        labels,
        taints,
        tasks_max,
        schedules_max,
        runtimes: vec!["exec".to_owned(), "noop".to_owned()],
        ..Facts::default()
    })
}

fn checked_settings(settings: Settings) -> Result<Settings, SetupError> {
    let wrong = |detail: String| Err(SetupError::Value { what: "limits", detail });
    if settings.held_max == 0 {
        return wrong("held_max must be at least 1".to_owned());
    }
    if !(1..=INVENTORY_PART_LIMIT).contains(&settings.inventory_part) {
        return wrong(format!("inventory_part must be 1 to {INVENTORY_PART_LIMIT}"));
    }
    if settings.running_max == Some(0) || settings.outbox_window == 0 {
        return wrong("running_max and outbox_window must be at least 1".to_owned());
    }
    // Fewer, and an agent that holds all it may could apply nothing any more.
    if settings.outbox_max < 10_000 {
        return wrong("outbox_max must be at least 10000".to_owned());
    }
    let waits = [
        ("resend_ms", settings.resend_ms),
        ("hello_ms", settings.hello_ms),
        ("refused_ms", settings.refused_ms),
        ("cloned_ms", settings.cloned_ms),
        ("kill_again_ms", settings.kill_again_ms),
    ];
    if let Some((name, _)) = waits.iter().find(|(_, wait)| *wait < 100) {
        return wrong(format!("{name} must be at least 100"));
    }
    Ok(settings)
}

fn log_of(args: &RunArgs, file: &LogFile) -> (Level, Format) {
    let format = match args.log_format {
        Some(LogFormat::Text) => Format::Text,
        Some(LogFormat::Json) => Format::Json,
        None => file.format,
    };
    (args.log.unwrap_or(file.level), format)
}

/// The database in a data folder.
#[must_use]
pub fn database_in(data: &Path) -> PathBuf {
    data.join("agent.sqlite")
}

/// The file that says that an agent uses a data folder.
#[must_use]
pub fn lock_in(data: &Path) -> PathBuf {
    data.join("lock")
}

/// The credential in a data folder.
#[must_use]
pub fn credential_in(data: &Path) -> PathBuf {
    data.join("credential")
}

#[cfg(test)]
mod tests;

//! The configuration file as it is written: every key, none of them required.

use std::path::{Path, PathBuf};

use edge_agent_logic::Settings;
use serde::{Deserialize, Serialize};
use shared::geo::Position;
use shared::id::AgentId;
use shared::label::Labels;
use shared_runtime::telemetry::{Format, Level};

use super::broker::BrokerUrl;
use super::capacity::CapacityWish;

/// The configuration file; configs/edge.toml says what each key means.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FileConfig {
    /// The agent's id.
    pub id: Option<AgentId>,
    /// The data folder.
    pub data: Option<PathBuf>,
    /// The join token's file.
    pub join_token_file: Option<PathBuf>,
    /// The region.
    pub region: Option<String>,
    /// Taints.
    pub taints: Vec<String>,
    /// The most tasks held at once.
    pub tasks_max: Option<u32>,
    /// The most schedules held at once.
    pub schedules_max: Option<u32>,
    /// How much of each output stream's end is reported, in bytes.
    pub output_tail_bytes: Option<u32>,
    /// How much of the disk stays free, MiB.
    pub disk_reserve_mib: Option<u64>,
    /// A file that tells where the agent is, when it moves.
    pub position_file: Option<PathBuf>,
    /// Where the agent is, if it does not move.
    pub position: Option<Position>,
    /// Labels.
    pub labels: Labels,
    /// What the agent offers; what is not named is measured.
    pub capacity: CapacityWish,
    /// The broker.
    pub broker: BrokerFile,
    /// The log.
    pub log: LogFile,
    /// The disk.
    pub disk: DiskFile,
    /// Writing to flash.
    pub flash: FlashFile,
    /// What tasks write.
    pub logs: LogsFile,
    /// Bounds and times.
    pub limits: Settings,
}

/// The broker, as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BrokerFile {
    /// Where it is.
    pub url: Option<BrokerUrl>,
    /// The authorities that its certificate must come from.
    pub ca_file: Option<PathBuf>,
    /// The agent's own certificate.
    pub certificate_file: Option<PathBuf>,
    /// The key of that.
    pub key_file: Option<PathBuf>,
    /// User name at an external broker.
    pub username: Option<String>,
    /// Password at an external broker.
    pub password_file: Option<PathBuf>,
}

/// The disk, as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiskFile {
    /// How much room is taken to be let go when there is no other, MiB.
    pub ballast_mib: Option<u64>,
}

/// Writing to flash, as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FlashFile {
    /// How many bytes may be written in a day; 0 is no bound.
    pub bytes_per_day: Option<u64>,
}

/// What is kept of what tasks write, as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogsFile {
    /// The most for one attempt, in bytes.
    pub attempt_bytes_max: Option<u64>,
    /// The most for all attempts, in bytes.
    pub bytes_max: Option<u64>,
    /// How long it is kept for a core that does not take it, in hours.
    pub keep_hours: Option<u64>,
}

/// The log, as written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogFile {
    /// The least important lines.
    pub level: Level,
    /// What lines look like.
    pub format: Format,
}

impl FileConfig {
    /// The same with every path that is not absolute seen from the folder that the file is in.
    #[must_use]
    pub fn seen_from(mut self, folder: &Path) -> Self {
        let paths = [
            &mut self.data,
            &mut self.join_token_file,
            &mut self.position_file,
            &mut self.broker.ca_file,
            &mut self.broker.certificate_file,
            &mut self.broker.key_file,
            &mut self.broker.password_file,
        ];
        for path in paths.into_iter().flatten() {
            *path = folder.join(&*path);
        }
        self
    }
}

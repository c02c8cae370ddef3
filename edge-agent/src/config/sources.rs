//! Where values come from: the file, variables, `--set`, and the arguments with names of their own.

use shared_runtime::config::{ConfigError, Layered};

use super::{Config, FileConfig};
use crate::cli::RunArgs;

/// What the agent's variables begin with. Not `AMBIT_`, because a core may run on the same machine
/// with other folders and addresses, and because tasks are told things in such variables.
const VARIABLE_PREFIX: &str = "AMBIT_EDGE_";

/// The file, the variables over it, and `--set` over these.
pub(super) fn layered(
    args: &RunArgs,
    variables: &[(String, String)],
) -> Result<Layered<FileConfig>, ConfigError> {
    let mut layered: Layered<FileConfig> =
        Layered::load(args.config.as_deref(), |file: &mut FileConfig, folder| {
            *file = std::mem::take(file).seen_from(folder);
        })?;
    layered.take_variables(VARIABLE_PREFIX, &[], variables)?;
    for setting in &args.settings {
        layered.take_setting(setting, "--set")?;
    }
    Ok(layered)
}

/// The file that says what the agent would run with. What was an argument is noted as one.
pub(super) fn effective(
    args: &RunArgs,
    layered: &mut Layered<FileConfig>,
    config: &Config,
) -> FileConfig {
    let facts = &config.base_facts;
    let mut file = layered.value.clone();
    file.id = Some(config.id.clone());
    file.data = Some(config.data.clone());
    file.region.clone_from(&facts.region);
    file.taints.clone_from(&facts.taints);
    file.tasks_max = Some(facts.tasks_max);
    file.schedules_max = Some(facts.schedules_max);
    file.output_tail_bytes = Some(config.tail_bytes);
    file.disk_reserve_mib = Some(config.disk_reserve_mib);
    file.position = facts.position;
    file.labels.clone_from(&facts.labels);
    file.capacity = config.capacity.clone();
    file.broker.url = Some(config.broker.clone());
    file.disk.ballast_mib = Some(config.ballast_mib);
    file.flash.bytes_per_day = Some(config.flash_bytes_per_day.unwrap_or(0));
    file.logs.attempt_bytes_max = Some(config.logs.attempt_bytes_max);
    file.logs.bytes_max = Some(config.logs.bytes_max);
    file.logs.keep_hours = Some(config.logs.keep_ms / 3_600_000);
    (file.log.level, file.log.format) = config.log;
    let paths = [
        (&mut file.join_token_file, &args.join_token_file),
        (&mut file.broker.ca_file, &args.ca_file),
        (&mut file.broker.password_file, &args.broker_password_file),
    ];
    for (path, given) in paths {
        *path = given.clone().or(path.take());
    }
    file.broker.username = args.broker_username.clone().or(file.broker.username.take());
    for (key, flag, given) in [
        ("id", "--id", args.id.is_some()),
        ("data", "--data", args.data.is_some()),
        ("join_token_file", "--join-token-file", args.join_token_file.is_some()),
        ("region", "--region", args.region.is_some()),
        ("taints", "--taint", !args.taints.is_empty()),
        ("tasks_max", "--tasks-max", args.tasks_max.is_some()),
        ("position", "--latitude, --longitude", args.latitude.is_some()),
        ("labels", "--label", !args.labels.is_empty()),
        ("broker.url", "--broker", args.broker.is_some()),
        ("broker.ca_file", "--ca-file", args.ca_file.is_some()),
        ("broker.username", "--broker-username", args.broker_username.is_some()),
        ("broker.password_file", "--broker-password-file", args.broker_password_file.is_some()),
        ("log.level", "--log", args.log.is_some()),
        ("log.format", "--log-format", args.log_format.is_some()),
    ] {
        if given {
            layered.note(key, flag);
        }
    }
    if let Some(capacity) = &args.capacity {
        for (key, given) in [
            ("capacity.cpu_millis", capacity.cpu_millis.is_some()),
            ("capacity.memory_mib", capacity.memory_mib.is_some()),
            ("capacity.disk_mib", capacity.disk_mib.is_some()),
            ("capacity.bandwidth_kbps", capacity.bandwidth_kbps.is_some()),
            ("capacity.devices", !capacity.devices.is_empty()),
        ] {
            if given {
                layered.note(key, "--capacity");
            }
        }
    }
    file
}

//! The command line: what may be written, and nothing about what it does.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use shared::id::AgentId;
use shared_runtime::telemetry::Level;

use crate::config::{BrokerUrl, CapacityWish};

/// Runs work on this device for an Ambit core, with and without a network.
#[derive(Debug, Parser)]
#[command(name = "ambit-agent", version = env!("CARGO_PKG_VERSION"))]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the agent until it is told to stop. Tasks go on running without it and are found again
    /// at its next start.
    Run(Box<StartArgs>),
    /// Show how the agent stands, from its own database: needs no network and no running agent.
    Status(LookArgs),
    /// List the tasks the agent holds, from its own database: needs no network and no running
    /// agent.
    Tasks(LookArgs),
    /// Show what a task writes, from this board's own disk: while it runs, and until the core has
    /// it. Needs no network and no running agent.
    Logs(LogsArgs),
    /// Check whether an agent that is started with these arguments can do its work here, and say
    /// what to do if not: needs no network and no running agent, and changes nothing. Exit code 0,
    /// or 1 if something fails.
    Doctor(Box<DoctorArgs>),
}

/// Whose log to show, and what of it.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The task: its id, a part of it that is no other's (4 characters or more), or its name.
    pub task: String,
    /// Which attempt [default: the last one held here].
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// Only the last lines.
    #[arg(long, value_name = "LINES")]
    pub tail: Option<usize>,
    /// Go on showing what comes, until the task is over.
    #[arg(short, long)]
    pub follow: bool,
    /// Only one of its two streams.
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<StreamName>,
    /// The agent's data folder.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The text as it was written, or JSON, one record a line, as the core's API has it.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// One of a task's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Whom to examine, and how to say what was found.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// As `run` is given them.
    #[command(flatten)]
    pub run: RunArgs,
    /// A table for people, or JSON.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// What to run with, and whether to run at all.
#[derive(Debug, Args)]
pub struct StartArgs {
    /// What is written instead of the configuration file.
    #[command(flatten)]
    pub run: RunArgs,
    /// Say whether the configuration is in order, and start nothing.
    #[arg(long)]
    pub check_config: bool,
    /// Print every key with its value and where that came from, and start nothing.
    #[arg(long, conflicts_with = "check_config")]
    pub print_config: bool,
}

/// What can be written instead of the configuration file, or beside it: an argument wins over a
/// variable (`AMBIT_EDGE_...`), and that over the file.
#[derive(Debug, Default, Args)]
pub struct RunArgs {
    /// Configuration file (TOML); see configs/edge.toml for every key.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The agent's id, unique in the fleet [default: the host name].
    #[arg(long)]
    pub id: Option<AgentId>,
    /// The broker: mqtt://HOST:1883, or mqtts://HOST:8883 over TLS.
    #[arg(long, value_name = "URL")]
    pub broker: Option<BrokerUrl>,
    /// Latitude of the device, WGS84 degrees.
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true, requires = "longitude")]
    pub latitude: Option<f64>,
    /// Longitude of the device, WGS84 degrees.
    #[arg(long, value_name = "DEGREES", allow_negative_numbers = true, requires = "latitude")]
    pub longitude: Option<f64>,
    /// The region the device belongs to.
    #[arg(long)]
    pub region: Option<String>,
    /// A label of the device; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    pub labels: Vec<(String, String)>,
    /// A taint: only tasks that tolerate it come here; may be repeated.
    #[arg(long = "taint", value_name = "NAME")]
    pub taints: Vec<String>,
    /// What the device offers, for example cpu_millis=4000,memory_mib=4096,device.camera=1; what
    /// is not named is measured.
    #[arg(long, value_name = "KEY=AMOUNT,...")]
    pub capacity: Option<CapacityWish>,
    /// The most tasks the agent holds at once.
    #[arg(long, value_name = "N")]
    pub tasks_max: Option<u32>,
    /// Where the agent keeps its database and its tasks.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// File with the token that lets this agent join the core; needed until it has joined.
    #[arg(long, value_name = "FILE")]
    pub join_token_file: Option<PathBuf>,
    /// PEM file with the authorities that the broker's certificate must come from [default: the
    /// system's].
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// User name at an external broker [default: the agent's id].
    #[arg(long, value_name = "NAME", requires = "broker_password_file")]
    pub broker_username: Option<String>,
    /// File with the password at an external broker.
    #[arg(long, value_name = "FILE")]
    pub broker_password_file: Option<PathBuf>,
    /// The least important log lines to write: error, warn, info, debug, trace.
    #[arg(long, value_name = "LEVEL")]
    pub log: Option<Level>,
    /// What log lines look like.
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Any key of the configuration file, such as limits.running_max=4; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// What log lines look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to look at, and how.
#[derive(Debug, Args)]
pub struct LookArgs {
    /// The agent's data folder.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A table for people, or JSON.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    pub output: Output,
}

/// How to write an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| "a label is written KEY=VALUE, for example sensor=pm25".to_owned())?;
    shared::label::check_key(key)?;
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &[&str]) -> String {
        let words = ["ambit-agent", "run"].into_iter().chain(arguments.iter().copied());
        Cli::try_parse_from(words).expect_err("refused").to_string()
    }

    #[test]
    fn a_wrong_capacity_key_names_the_right_one() {
        let error = refused(&["--capacity", "cpu_milis=4000"]);
        assert!(error.contains("did you mean `cpu_millis`?"), "{error}");
        let error = refused(&["--capacity", "cpu_millis=lots"]);
        assert!(error.contains("must be a whole number"), "{error}");
    }

    #[test]
    fn a_wrong_argument_says_what_to_write_instead() {
        for (arguments, expected) in [
            (&["--broker", "http://x"][..], "mqtt://"),
            (&["--label", "sensor"][..], "KEY=VALUE"),
            (&["--id", "a/b"][..], "letters, digits"),
            (&["--latitude", "1"][..], "--longitude"),
            (&["--log", "loud"][..], "is not a log level"),
            (&["--brokr", "x"][..], "--broker"),
        ] {
            let error = refused(arguments);
            assert!(error.contains(expected), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_place_in_the_south_west_can_be_written() {
        let words =
            ["ambit-agent", "run", "--latitude", "-37.81", "--longitude", "-144.9", "--id", "b-7"];
        let Command::Run(args) = Cli::try_parse_from(words).expect("parsed").command else {
            panic!("another command")
        };
        assert_eq!((args.run.latitude, args.run.longitude), (Some(-37.81), Some(-144.9)));
    }
}

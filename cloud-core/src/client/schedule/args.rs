//! What `ambit schedule` can be told.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};
use shared::id::ScheduleName;

use crate::client::args::{Common, PageArgs};
use crate::client::document::FileFormat;
use crate::client::measure;

/// `ambit schedule`.
#[derive(Debug, Args)]
pub struct ScheduleArgs {
    /// Which core, and how to answer.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: ScheduleCommand,
}

/// What can be done with schedules.
#[derive(Debug, Subcommand)]
pub enum ScheduleCommand {
    /// Make schedules from files
    Create(CreateArgs),
    /// List schedules by name
    List {
        /// How much of the list.
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show one schedule, when it fires next, and what became of its last moments
    Status(Name),
    /// Let schedules rest
    Pause(Names),
    /// Let schedules that rest go on
    Resume(Names),
    /// Say when a trigger fires, and what time changes do to it; makes nothing
    Preview(PreviewArgs),
    /// Fire a schedule now, beside its moments
    Fire(Name),
    /// Delete schedules; their tasks go on
    Delete(Names),
    /// Show the path and the secret of a schedule's hook
    Hook(Name),
    /// List what became of the moments of a schedule, the latest first
    Firings {
        /// Which.
        #[command(flatten)]
        name: Name,
        /// How much of the list.
        #[command(flatten)]
        page: PageArgs,
    },
}

/// A schedule.
#[derive(Debug, Args)]
pub struct Name {
    /// The schedule's name
    #[arg(value_name = "SCHEDULE")]
    pub schedule: ScheduleName,
}

/// Several schedules.
#[derive(Debug, Args)]
pub struct Names {
    /// Their names
    #[arg(value_name = "SCHEDULE", required = true)]
    pub schedules: Vec<ScheduleName>,
}

/// `ambit schedule create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// File with schedules in TOML, YAML or JSON; `-` is standard input; may be repeated
    #[arg(short, long = "file", value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// How the files are written [default: by the end of their names]
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<FileFormat>,
    /// Replace those that are there
    #[arg(long)]
    pub replace: bool,
}

/// `ambit schedule preview`.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("what").required(true).args(["file", "cron"])))]
pub struct PreviewArgs {
    /// File with a schedule in TOML, YAML or JSON; `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// How the file is written [default: by the end of its name]
    #[arg(long, value_name = "FORMAT", requires = "file")]
    pub format: Option<FileFormat>,
    /// A cron expression, in quotes
    #[arg(long, value_name = "EXPRESSION")]
    pub cron: Option<String>,
    /// The IANA time zone that it goes by [default: UTC]
    #[arg(long, value_name = "ZONE", conflicts_with = "file")]
    pub zone: Option<String>,
    /// How many fields it has: 6 begin with the second, 7 end with the year [default: 5]
    #[arg(long, value_name = "N", conflicts_with = "file", value_parser = measure::whole)]
    pub fields: Option<u64>,
    /// What a time change does to it: skip, once or twice
    #[arg(long, value_name = "RULE", conflicts_with = "file")]
    pub dst: Option<String>,
    /// Only moments behind this one, in RFC 3339 [default: now]
    #[arg(long, value_name = "TIME")]
    pub from: Option<String>,
    /// How many, up to 1000
    #[arg(long, value_name = "N", value_parser = measure::whole, default_value_t = 5)]
    pub count: u64,
}

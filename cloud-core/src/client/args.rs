//! What the client can be told, and nothing about what it does.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use shared::id::{AgentId, ScheduleName, TaskId};

use super::document::FileFormat;
use super::measure::{self, Point};
use super::output::Output;
use super::schedule::args::ScheduleArgs;

/// What to ask a core, or to make for a shell.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Submit tasks, look at them, follow them, call them off
    Task(Box<TaskArgs>),
    /// Look at agents, and operate them
    Agent(AgentArgs),
    /// Make schedules, which make tasks by themselves, look at them, and operate them
    Schedule(Box<ScheduleArgs>),
    /// See what happens in the fleet, as it happens
    Events(EventsArgs),
    /// Look at the placement policy, replace it, or ask what another one would change
    Policy(PolicyArgs),
    /// Check whether the core and its fleet can be worked with, and say what to do if not
    Doctor(DoctorArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands into a folder
    Man {
        /// The folder
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
    },
}

/// A shell that can be given completions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
}

/// Which core, as whom, and how to answer.
#[derive(Debug, Clone, Args)]
pub struct Common {
    /// The core [default: AMBIT_URL, else http://127.0.0.1:8080]
    #[arg(long, value_name = "URL", global = true, help_heading = "Core and answer")]
    pub url: Option<String>,
    /// File with an API token, readable by its owner only [default: the token in AMBIT_TOKEN]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Core and answer")]
    pub token_file: Option<PathBuf>,
    /// File with the authorities to trust for https://, PEM [default: AMBIT_CA_FILE, else the system's]
    #[arg(long, value_name = "FILE", global = true, help_heading = "Core and answer")]
    pub ca_file: Option<PathBuf>,
    /// How to answer
    #[arg(
        short,
        long,
        value_name = "FORMAT",
        global = true,
        default_value = "table",
        help_heading = "Core and answer"
    )]
    pub output: Output,
}

/// `ambit task`.
#[derive(Debug, Args)]
pub struct TaskArgs {
    /// Which core, and how to answer.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: TaskCommand,
}

/// What can be done with tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Submit tasks and go: from files, from standard input, or a command
    Submit(SubmitArgs),
    /// Submit one task, wait, and exit with its exit code
    Run(RunArgs),
    /// Say where a task would go, and why not elsewhere; submits nothing
    Plan(PlanArgs),
    /// List tasks, newest first
    List(TaskListArgs),
    /// Show a task: its attempts and its outcome
    Status(TaskName),
    /// Say why a task is where it is, or why it waits and what would help
    Explain(TaskName),
    /// Call tasks off
    Cancel {
        /// Their ids
        #[arg(required = true, value_name = "TASK")]
        tasks: Vec<TaskId>,
    },
    /// Follow a task until it is settled, and exit with its exit code
    Watch(WatchArgs),
    /// Show what a task writes
    Logs(LogsArgs),
}

/// A task that exists.
#[derive(Debug, Clone, Args)]
pub struct TaskName {
    /// Its id, or its name: the newest one of that name
    #[arg(value_name = "TASK")]
    pub task: String,
}

/// `ambit task submit`.
#[derive(Debug, Args)]
pub struct SubmitArgs {
    /// What to submit.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Makes it safe to submit the one task again: the same key, the same task
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
}

/// `ambit task run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// What to run. Tried once unless told otherwise.
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Makes it safe to submit the task again: the same key, the same task
    #[arg(long, value_name = "KEY")]
    pub idempotency_key: Option<String>,
    /// Stream what it writes; without, the end of it is shown when it is over
    #[arg(long)]
    pub logs: bool,
    /// Say nothing on the way
    #[arg(short, long)]
    pub quiet: bool,
}

/// `ambit task plan`.
#[derive(Debug, Args)]
pub struct PlanArgs {
    /// What to plan.
    #[command(flatten)]
    pub spec: SpecArgs,
}

/// `ambit task watch`.
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Which.
    #[command(flatten)]
    pub task: TaskName,
    /// Stream what it writes as well
    #[arg(long)]
    pub logs: bool,
}

/// `ambit task logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Which.
    #[command(flatten)]
    pub task: TaskName,
    /// Go on showing what comes, until the task is over
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "LINES", value_parser = measure::whole)]
    pub tail: Option<u64>,
    /// Only what was written since then, by the board's clock (RFC 3339)
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Which attempt [default: the latest that has a log]
    #[arg(long, value_name = "N")]
    pub attempt: Option<u32>,
    /// Only one of its two streams
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<StreamName>,
}

/// One of a task's two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StreamName {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// `ambit task list`.
#[derive(Debug, Args)]
pub struct TaskListArgs {
    /// Only in this status: blocked, pending, assigned, running, succeeded, failed or canceled
    #[arg(long)]
    pub status: Option<String>,
    /// Only those whose latest attempt is on this agent
    #[arg(long)]
    pub agent: Option<String>,
    /// Only of this name
    #[arg(long)]
    pub name: Option<String>,
    /// Only with this label; KEY alone for any value
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Option<String>,
    /// Only those that this schedule has made
    #[arg(long)]
    pub schedule: Option<ScheduleName>,
    /// How much of the list.
    #[command(flatten)]
    pub page: PageArgs,
}

/// How much of a list.
#[derive(Debug, Clone, Args)]
pub struct PageArgs {
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50, conflicts_with = "all")]
    pub limit: usize,
    /// All of them
    #[arg(long)]
    pub all: bool,
}

/// A task, from files, flags, or both: a flag wins over the file.
#[derive(Debug, Clone, Default, Args)]
pub struct SpecArgs {
    /// File with tasks in TOML, YAML, JSON or NDJSON; `-` is standard input; may be repeated
    #[arg(short, long = "file", value_name = "FILE", conflicts_with_all = ["command", "noop"])]
    pub files: Vec<PathBuf>,
    /// How the files are written [default: by the end of their names]
    #[arg(long, value_name = "FORMAT", requires = "files")]
    pub format: Option<FileFormat>,
    /// A name for people
    #[arg(long)]
    pub name: Option<String>,
    /// A label to find the task by; may be repeated
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = measure::pair)]
    pub labels: Vec<(String, String)>,
    /// Near this point, WGS84 degrees
    #[arg(long, value_name = "LAT,LON", allow_hyphen_values = true, value_parser = measure::point, help_heading = "Where")]
    pub near: Option<Point>,
    /// At most so far from it: 800m, 5km
    #[arg(long, value_name = "DISTANCE", allow_hyphen_values = true, value_parser = measure::distance_m, help_heading = "Where")]
    pub within: Option<f64>,
    /// In this region; may be repeated: in one of them
    #[arg(long = "region", value_name = "REGION", help_heading = "Where")]
    pub regions: Vec<String>,
    /// On an agent with this label; may be repeated
    #[arg(long = "where-label", value_name = "KEY=VALUE", value_parser = measure::pair, help_heading = "Where")]
    pub where_labels: Vec<(String, String)>,
    /// On this architecture; may be repeated: on one of them
    #[arg(long, value_name = "ARCH", help_heading = "Where")]
    pub arch: Vec<String>,
    /// On this agent; may be repeated: on one of them
    #[arg(long = "agent", value_name = "AGENT", help_heading = "Where")]
    pub agents: Vec<AgentId>,
    /// Not on this agent; may be repeated
    #[arg(long = "avoid-agent", value_name = "AGENT", help_heading = "Where")]
    pub avoid_agents: Vec<AgentId>,
    /// At most so many milliseconds away
    #[arg(long, value_name = "MS", help_heading = "Where")]
    pub latency_ms_max: Option<f64>,
    /// A taint that does not keep it away; may be repeated
    #[arg(long, value_name = "TAINT", help_heading = "Where")]
    pub tolerate: Vec<String>,
    /// The profile of the placement policy to place it by
    #[arg(long, value_name = "PROFILE", help_heading = "Where")]
    pub profile: Option<String>,
    /// Thousandths of a processor core to reserve
    #[arg(long, value_name = "N", help_heading = "Needs", value_parser = measure::whole)]
    pub cpu_millis: Option<u64>,
    /// Memory to reserve, MiB
    #[arg(long, value_name = "N", help_heading = "Needs", value_parser = measure::whole)]
    pub memory_mib: Option<u64>,
    /// Disk to reserve, MiB
    #[arg(long, value_name = "N", help_heading = "Needs", value_parser = measure::whole)]
    pub disk_mib: Option<u64>,
    /// A device to reserve; may be repeated
    #[arg(long = "device", value_name = "NAME=N", value_parser = measure::amount, help_heading = "Needs")]
    pub devices: Vec<(String, u32)>,
    /// 0 to 100; higher is placed first
    #[arg(long, value_name = "N", value_parser = measure::whole)]
    pub priority: Option<u64>,
    /// The longest an attempt may run: 30s, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = measure::seconds)]
    pub timeout: Option<u64>,
    /// By when it must be settled, or it fails: 30s, 10m, 2h
    #[arg(long, value_name = "TIME", value_parser = measure::seconds)]
    pub deadline: Option<u64>,
    /// The most attempts that may fail
    #[arg(long, value_name = "N", value_parser = measure::whole)]
    pub attempts_max: Option<u64>,
    /// Never two copies at once
    #[arg(long)]
    pub exclusive: bool,
    /// A variable of its environment; may be repeated
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = measure::pair)]
    pub env: Vec<(String, String)>,
    /// Its working directory on the agent [default: a fresh one]
    #[arg(long, value_name = "DIR")]
    pub dir: Option<String>,
    /// Nothing to run: for checks
    #[arg(long, conflicts_with = "command")]
    pub noop: bool,
    /// The program to run, and its arguments
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

/// `ambit agent`.
#[derive(Debug, Args)]
pub struct AgentArgs {
    /// Which core, and how to answer.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: AgentCommand,
}

/// What can be done with agents.
#[derive(Debug, Subcommand)]
pub enum AgentCommand {
    /// List agents by id
    List(AgentListArgs),
    /// Show an agent
    Status(AgentName),
    /// Let an agent take nothing new
    Cordon(AgentNames),
    /// Take back cordon and drain
    Uncordon(AgentNames),
    /// As cordon, and move what has not started there
    Drain(AgentNames),
    /// Void an agent's credential: it cannot connect any more until it joins anew
    Revoke(AgentNames),
}

/// An agent.
#[derive(Debug, Args)]
pub struct AgentName {
    /// Its id
    #[arg(value_name = "AGENT")]
    pub agent: AgentId,
}

/// Agents.
#[derive(Debug, Args)]
pub struct AgentNames {
    /// Their ids
    #[arg(value_name = "AGENT", required = true)]
    pub agents: Vec<AgentId>,
}

/// `ambit agent list`.
#[derive(Debug, Args)]
pub struct AgentListArgs {
    /// Only in this status: online, suspect or offline
    #[arg(long)]
    pub status: Option<String>,
    /// Only in this region
    #[arg(long)]
    pub region: Option<String>,
    /// Only with this label; KEY alone for any value
    #[arg(long, value_name = "KEY=VALUE")]
    pub label: Option<String>,
    /// How much of the list.
    #[command(flatten)]
    pub page: PageArgs,
}

/// `ambit events`.
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Which core, and how to answer.
    #[command(flatten)]
    pub common: Common,
    /// Only of this kind, such as task.settled; may be repeated
    #[arg(long = "kind", value_name = "KIND", value_delimiter = ',')]
    pub kinds: Vec<String>,
    /// Only of this task
    #[arg(long)]
    pub task: Option<TaskId>,
    /// Only of this agent
    #[arg(long)]
    pub agent: Option<AgentId>,
    /// Only about this schedule
    #[arg(long)]
    pub schedule: Option<ScheduleName>,
    /// From after this event on; 0 is from the oldest one that is kept [default: from now on]
    #[arg(long, value_name = "ID", value_parser = measure::whole)]
    pub after: Option<u64>,
    /// End after so many
    #[arg(long, value_name = "N", value_parser = measure::whole)]
    pub count: Option<u64>,
}

/// `ambit policy`.
#[derive(Debug, Args)]
pub struct PolicyArgs {
    /// Which core, and how to answer.
    #[command(flatten)]
    pub common: Common,
    /// What to do.
    #[command(subcommand)]
    pub command: PolicyCommand,
}

/// What can be done with the policy.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Show the policy in force, or an earlier one
    Show {
        /// Which version [default: the one in force]
        #[arg(long, value_name = "VERSION", value_parser = measure::whole)]
        version: Option<u64>,
    },
    /// Replace the policy by that in a file
    Set {
        /// The file, TOML, YAML or JSON; `-` is standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// How the file is written [default: by the end of its name]
        #[arg(long, value_name = "FORMAT")]
        format: Option<FileFormat>,
        /// Only if this version is in force still
        #[arg(long, value_name = "VERSION", value_parser = measure::whole)]
        if_version: Option<u64>,
    },
    /// Say what the policy in a file would change, and change nothing
    Replay {
        /// The file, TOML, YAML or JSON; `-` is standard input
        #[arg(short, long, value_name = "FILE")]
        file: PathBuf,
        /// How the file is written [default: by the end of its name]
        #[arg(long, value_name = "FORMAT")]
        format: Option<FileFormat>,
        /// How many placements to look at, up to 10000, those of tasks that are not over first
        #[arg(long, value_name = "N", value_parser = measure::whole, default_value_t = 1_000)]
        last: u64,
    },
}

/// `ambit doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Which core, and how to answer.
    #[command(flatten)]
    pub common: Common,
}

//! The command line of `ambit`: what can be asked, and what each answer does to the exit status.
//! Parses and hands over; the work is elsewhere.

mod token;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use shared_runtime::shutdown::Shutdown;
use shared_runtime::telemetry;

use crate::app::{App, AppError, backup};
use crate::client::{self, ClientCommand};
use crate::config::{Config, Overrides};
use crate::dev;
use crate::store::{Backup, PutBack};

/// Runs work on the right device in the right place.
#[derive(Debug, Parser)]
#[command(name = "ambit", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the cloud core, with its own broker unless another one is named
    Core(CoreArgs),
    /// Run a whole fleet on this machine: core, broker, and one agent in each of the biggest cities
    Dev(DevArgs),
    /// Say who may use the HTTP API of a core on this machine
    #[command(subcommand)]
    Token(token::TokenCommand),
    #[command(flatten)]
    Client(ClientCommand),
}

/// What `ambit dev` is told.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// How many agents, one per city, most populous first
    #[arg(long, value_name = "N", default_value_t = 12)]
    agents: usize,
    /// Address to serve HTTP on; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Folder for everything the fleet keeps [default: one that is gone when the fleet is]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Show the fleet at work
    #[arg(long)]
    tour: bool,
    /// End after the tour: status 0 when everything was seen to happen
    #[arg(long)]
    once: bool,
    /// Least important log lines to write: off, error, warn, info, debug, trace [default: error]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
}

/// What `ambit core` is told.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct CoreArgs {
    #[command(subcommand)]
    command: Option<CoreCommand>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Address to serve HTTP on; port 0 picks a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
    /// Folder for everything the core keeps [default: ambit-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address for the embedded broker, or another broker's mqtt:// or mqtts:// URL [default: 127.0.0.1:1883]
    #[arg(long, value_name = "ADDRESS:PORT|URL")]
    broker: Option<String>,
    /// Least important log lines to write: off, error, warn, info, debug, trace [default: info]
    #[arg(long, value_name = "LEVEL")]
    log: Option<String>,
    /// Any key of the configuration file, such as core.heartbeat_ms=2000; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Say whether the configuration is in order, and start nothing
    #[arg(long)]
    check_config: bool,
    /// Print every key with its value and where that came from, and start nothing
    #[arg(long, conflicts_with = "check_config")]
    print_config: bool,
}

impl From<CoreArgs> for Overrides {
    fn from(args: CoreArgs) -> Self {
        let CoreArgs { config, listen, data, broker, log, settings, .. } = args;
        Self { config, listen, data, broker, log, settings, variables: Vec::new() }
    }
}

#[derive(Debug, Subcommand)]
enum CoreCommand {
    /// Write a backup of the core's database to a new file, also while the core runs
    Backup(BackupArgs),
    /// Put a backup in place of the database of a core that does not run
    Restore(BackupArgs),
}

/// What `ambit core backup` and `ambit core restore` are told.
#[derive(Debug, Args)]
struct BackupArgs {
    /// The backup
    file: PathBuf,
    /// The core's configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The core's data folder [default: ambit-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// The exit status of a program that was told something it cannot do.
const EXIT_USAGE: u8 = 2;
/// The exit status of a program that failed at what it was told.
const EXIT_FAILED: u8 = 1;

/// Does what the command line says.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        Command::Core(mut args) => match args.command.take() {
            None => core(args),
            Some(CoreCommand::Backup(args)) => with_config(args, back_up),
            Some(CoreCommand::Restore(args)) => with_config(args, restore),
        },
        Command::Dev(args) => dev(args),
        Command::Token(command) => token::run(command),
        Command::Client(command) => client::run(command, Cli::command()),
    }
}

fn core(args: CoreArgs) -> ExitCode {
    let environment = Overrides::of_process();
    if args.print_config {
        return match Config::print(&args.into(), &environment) {
            Ok(printed) => told(&printed),
            Err(problem) => fail(EXIT_USAGE, &problem),
        };
    }
    let only_check = args.check_config;
    let config = match Config::resolve(args.into(), environment) {
        Ok(config) if only_check => {
            return match App::check(&config) {
                Ok(()) => told("the configuration is in order\n"),
                Err(error) => fail(EXIT_USAGE, &error),
            };
        }
        Ok(config) => config,
        Err(problem) => return fail(EXIT_USAGE, &problem),
    };
    telemetry::init(config.log_level, config.log_format);
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(EXIT_FAILED, &error),
    };
    match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_FAILED, &error),
    }
}

/// Does something with a core's database, and tells what came of it.
fn with_config(args: BackupArgs, work: fn(&Config, &Path) -> Result<String, AppError>) -> ExitCode {
    let BackupArgs { file, config, data } = args;
    let environment = Overrides::of_process();
    let overrides = Overrides { config, data, ..Overrides::default() };
    let config = match Config::resolve(overrides, environment) {
        Ok(config) => config,
        Err(problem) => return fail(EXIT_USAGE, &problem),
    };
    match work(&config, &file) {
        Ok(text) => told(&text),
        Err(error) => fail(EXIT_FAILED, &error),
    }
}

fn back_up(config: &Config, file: &Path) -> Result<String, AppError> {
    let Backup { taken_at, bytes } = backup::write(config, file)?;
    let (file, data, token) = (file.display(), config.data.display(), &config.join_token_file);
    Ok(format!(
        "wrote {file}: the database of the core in {data} as it was at {taken_at}, {bytes} bytes\n\
         It holds the credentials of the agents: keep it as private as the database itself. The\n\
         join token is not in it; it is in {}.\n\
         To go back to it: stop the core, run `ambit core restore {file} --data {data}`, and start\n\
         the core again.\n",
        token.display()
    ))
}

fn restore(config: &Config, file: &Path) -> Result<String, AppError> {
    let PutBack { backup, kept } = backup::restore(config, file)?;
    let database = config.store_path.display();
    let kept = kept.map_or("there was none before".to_owned(), |kept| {
        format!("the one that was there is kept as {}", kept.display())
    });
    let (taken_at, seconds) = (backup.taken_at, config.core.recovery_ms.div_ceil(1_000));
    Ok(format!(
        "the database {database} is now the backup of {taken_at}; {kept}\n\
         Start the core. It gives its agents {seconds} s to say what they hold before it places\n\
         anything. What was submitted after the backup is forgotten: submit it again.\n"
    ))
}

fn dev(args: DevArgs) -> ExitCode {
    let DevArgs { agents, listen, data, tour, once, log } = args;
    let wishes = dev::Wishes { agents, tour, once };
    if let Err(problem) = dev::check(&wishes) {
        return fail(EXIT_USAGE, &problem);
    }
    let passing = match data.is_none().then(dev::PassingFolder::make).transpose() {
        Ok(folder) => folder,
        Err(error) => return fail(EXIT_FAILED, &whole(&error)),
    };
    let overrides = Overrides {
        config: None,
        listen,
        data: data.or_else(|| passing.as_ref().map(|folder| folder.path().to_owned())),
        // A free port: the usual one may be a real broker's.
        broker: Some("127.0.0.1:0".to_owned()),
        log: Some(log.unwrap_or_else(|| "error".to_owned())),
        ..Overrides::default()
    };
    let config = match Config::resolve(overrides, Overrides::default()) {
        Ok(config) => config,
        Err(problem) => return fail(EXIT_USAGE, &problem),
    };
    telemetry::init(config.log_level, config.log_format);
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| {
            runtime.block_on(async { dev::run(config, wishes, Shutdown::on_signals()?).await })
        });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(EXIT_FAILED, &whole(&error)),
    }
}

/// Runs a core until a signal, or until it cannot go on.
async fn serve(config: Config) -> anyhow::Result<()> {
    let shutdown = Shutdown::on_signals()?;
    let mut app = App::start(config).await?;
    println!("ready {}", app.http_url);
    let ended = tokio::select! {
        () = shutdown.requested() => Ok(()),
        ended = app.failed() => ended,
    };
    let stopped = app.stop().await;
    Ok(ended.and(stopped)?)
}

/// Prints an answer. A reader that has seen enough is no mistake.
fn told(text: &str) -> ExitCode {
    let _ = std::io::Write::write_all(&mut std::io::stdout(), text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(status: u8, error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("ambit: {error}");
    ExitCode::from(status)
}

/// An error with its causes, each told once: some errors name their cause in their own words.
fn whole(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match &*told {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

//! The only place that builds adapters and puts them together: from a command line to a running
//! agent, and from an error to an exit code.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use edge_agent_logic::{Agent, Start};
use shared::id::Incarnation;
use shared::time::{Timestamp, mix};
use shared_runtime::clock::{Clock, new_uuid_v4};
use shared_runtime::link::Believed;
use shared_runtime::shutdown::Shutdown;
use shared_runtime::telemetry;

use crate::cli::{Cli, Command, DoctorArgs, LookArgs, Output, RunArgs};
use crate::config::{Config, SetupError, credential_in, data_default, database_in};
use crate::doctor::{self, Verdict};
use crate::driver::{Driver, DriverError, Parts, TaskEnvironment};
use crate::exec::{Executor, ExecutorError, kernel_boot_id};
use crate::folder::{Folder, FolderError};
use crate::identity::CredentialFile;
use crate::link::{self, Line, LineError, Me};
use crate::look;
use crate::observe;
use crate::probe::{HostFacts, HostProbe, PositionProbe};
use crate::room::Room;
use crate::store::{Store, StoreError};

/// The binary as the system's link to it, which stays right when the file is replaced.
const OWN_EXE: &str = "/proc/self/exe";

/// How often it is tried to begin on a disk that has no room at all.
const ROOM_RETRY: Duration = Duration::from_secs(5);

/// No right clock has ever shown less to this program: 2026-11-01. To be moved on with releases.
pub(crate) const BUILT_AT: Timestamp = Timestamp(1_793_491_200_000);

/// Why the agent cannot run, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// It was told something wrong.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Its database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It cannot run tasks.
    #[error(transparent)]
    Executor(#[from] ExecutorError),
    /// It has no way to its core.
    #[error(transparent)]
    Line(#[from] LineError),
    /// There is no log to show.
    #[error(transparent)]
    Logs(#[from] look::LogsError),
    /// It cannot go on.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The system does not give what every program needs.
    #[error("cannot set up the program: {0}")]
    System(#[from] std::io::Error),
}

impl AppError {
    /// 2: what it was told is wrong, and trying again does not help. 3: the data folder is in
    /// use. 1: anything else.
    fn exit_code(&self) -> u8 {
        match self {
            Self::Setup(_)
            | Self::Driver(DriverError::Link(_))
            | Self::Line(_)
            | Self::Store(StoreError::OtherAgent { .. }) => 2,
            Self::Folder(FolderError::InUse { .. }) => 3,
            _ => 1,
        }
    }
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Run(args) if args.print_config => print_config(&args.run),
        Command::Run(args) if args.check_config => check_config(&args.run),
        Command::Run(args) => run(&args.run),
        Command::Status(args) => {
            show(&args, look::status_json, |data| look::status_table(data, Clock::new().now()))
        }
        Command::Tasks(args) => show(&args, look::tasks_json, |data| {
            look::tasks_table(data, look::terminal_width(), Clock::new().now())
        }),
        Command::Logs(args) => {
            let data = args.data.clone().unwrap_or_else(data_default);
            let (mut out, mut aside) = (std::io::stdout().lock(), std::io::stderr().lock());
            look::show_logs(&data, &args, &mut out, &mut aside).map_err(AppError::from)
        }
        Command::Doctor(args) => return examine(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ambit-agent: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn print_config(args: &RunArgs) -> Result<(), AppError> {
    say(&Config::print(args)?);
    Ok(())
}

fn check_config(args: &RunArgs) -> Result<(), AppError> {
    Config::of(args)?;
    say("the configuration is in order\n");
    Ok(())
}

fn examine(args: &DoctorArgs) -> ExitCode {
    let findings = doctor::examine(&args.run, Clock::new().now());
    say(&match args.output {
        Output::Json => doctor::as_json(&findings),
        Output::Table => doctor::as_text(&findings, look::terminal_width()),
    });
    match doctor::worst(&findings) {
        Verdict::Ok | Verdict::Warn => ExitCode::SUCCESS,
        Verdict::Fail => ExitCode::FAILURE,
    }
}

fn say(text: &str) {
    use std::io::Write as _;
    // A reader that has seen enough is no error.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

fn show(
    args: &LookArgs,
    json: fn(&Path) -> Result<String, StoreError>,
    table: impl Fn(&Path) -> Result<String, StoreError>,
) -> Result<(), AppError> {
    let data = args.data.clone().unwrap_or_else(data_default);
    say(&match args.output {
        Output::Json => json(&data)?,
        Output::Table => table(&data)?,
    });
    Ok(())
}

fn run(args: &RunArgs) -> Result<(), AppError> {
    let config = Config::of(args)?;
    telemetry::init(config.log.0, config.log.1);
    let _folder = Folder::take(&config.data)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let shutdown = Shutdown::on_signals()?;
        let driver = loop {
            match assemble(&config, link::mqtt(&config), Path::new(OWN_EXE)) {
                Err(AppError::Store(error)) if is_out_of_room(&config, &error) => {
                    // Tasks run on, and their supervisors keep how they ended.
                    observe::cannot_start_yet(&error);
                }
                assembled => break assembled?,
            }
            tokio::select! {
                () = tokio::time::sleep(ROOM_RETRY) => {}
                () = shutdown.requested() => return Ok(()),
            }
        };
        Ok(driver.run(shutdown).await?)
    })
}

fn is_out_of_room(config: &Config, error: &StoreError) -> bool {
    let room = Room::new(&config.data, config.ballast_mib);
    error.is_want_of_room().is_some_and(|sure| sure || room.is_out())
}

/// Which start of the kernel this is, as a number: all that is asked of it is to differ.
fn board() -> u32 {
    let id = kernel_boot_id().unwrap_or_default();
    let folded = id.bytes().fold(0, |word, byte| mix(word, u64::from(byte) + 1));
    u32::try_from(folded >> 32).unwrap_or_default()
}

/// Does something with the database; when there is no room for it, lets go what may be let go.
fn with_room<T>(
    room: &Room,
    mut work: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    loop {
        let error = match work() {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let out = error.is_want_of_room().is_some_and(|sure| sure || room.is_out());
        match out.then(|| room.give_way()).flatten() {
            Some(what) => observe::gave_way(what),
            None => return Err(error),
        }
    }
}

/// Builds an agent that speaks over the links that `dial` makes. `own_exe` is the program that
/// supervises tasks. Must be called inside a tokio runtime.
///
/// # Errors
/// A part of it cannot be made.
pub fn assemble(config: &Config, dial: link::Dial, own_exe: &Path) -> Result<Driver, AppError> {
    let fresh = Incarnation(new_uuid_v4());
    let room = Room::new(&config.data, config.ballast_mib);
    let mut store =
        with_room(&room, || Store::open(&database_in(&config.data), &config.id, fresh))?;
    let stored = with_room(&room, || match store.begin_boot() {
        Err(error) if error.is_want_of_room().is_some() && store.use_log_anew() => {
            store.begin_boot()
        }
        other => other,
    })?;
    let flash = store.flash()?;
    let now = Clock::new().now();
    let floor = stored.floor;
    let believed = Believed { wall: floor.unwrap_or(BUILT_AT).max(BUILT_AT), mono: now.mono };
    let facts = config.facts(&HostFacts::of(&config.data));
    let (settings, board) = (config.settings.clone(), board());
    let agent = Agent::restore(Start { stored, settings, facts, board, built_at: BUILT_AT, now });
    let me = Me {
        agent: config.id.clone(),
        incarnation: agent.incarnation(),
        boot: agent.boot(),
        session: agent.session(),
    };
    let broker = config.broker.to_string();
    observe::started(&me.agent, me.incarnation, me.boot, &config.data, &broker);
    let credential = CredentialFile::of(&credential_in(&config.data), &config.id);
    let mut line = Line::new(me, dial, credential, config.join_token.clone())?;
    line.believe(believed);
    let (executor, exec_events) = Executor::new(&config.data, own_exe)?;
    Ok(Driver::new(Parts {
        agent,
        store,
        flash,
        floor,
        line,
        executor,
        exec_events,
        host: HostProbe::new(&config.data),
        position: config.position_file.as_deref().map(PositionProbe::new),
        environment: TaskEnvironment::new(config),
        data: config.data.clone(),
        room,
        disk_reserve_mib: config.disk_reserve_mib,
        flash_bytes_per_day: config.flash_bytes_per_day,
        logs: config.logs,
    }))
}

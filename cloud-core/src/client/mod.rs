//! The operator's client: what `ambit task`, `agent`, `events`, `policy` and `doctor` ask of a core
//! over HTTP, and how the answers are shown. Knows the core's API and nothing of its inside, so
//! that it works from anywhere.

mod agent;
mod args;
mod batch;
mod connection;
mod doctor;
pub(crate) mod document;
mod error;
mod events;
mod follow;
mod logs;
mod measure;
mod output;
mod policy;
mod schedule;
mod shell;
mod show;
mod task;
mod trust;
mod wish;

use std::process::ExitCode;

pub use args::ClientCommand;
pub use connection::{Connection, URL_DEFAULT};
pub use document::{Document, FileFormat};
pub use error::ClientError;
pub use output::Output;

/// Does what the command line says. `program` is the whole command line, for completions and
/// manual pages.
#[must_use]
pub fn run(command: ClientCommand, program: clap::Command) -> ExitCode {
    let ended = match command {
        ClientCommand::Task(args) => task::run(*args),
        ClientCommand::Agent(args) => agent::run(args),
        ClientCommand::Schedule(args) => schedule::run(*args),
        ClientCommand::Events(args) => events::run(&args),
        ClientCommand::Policy(args) => policy::run(args),
        ClientCommand::Doctor(args) => doctor::run(&args),
        ClientCommand::Completions { shell } => shell::completions(shell, program),
        ClientCommand::Man { dir } => shell::manual(dir.as_deref(), program),
    };
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            output::note(&format!("ambit: {error}"));
            ExitCode::from(error.code())
        }
    }
}

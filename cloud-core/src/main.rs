//! The program `ambit`.

use std::process::ExitCode;

use clap::Parser;
use cloud_core::cli::{Cli, run};

fn main() -> ExitCode {
    run(Cli::parse())
}

//! The program `ambit`.

use std::process::ExitCode;

use clap::Parser;
use cloud_core::cli::{Cli, run};
use mimalloc::MiMalloc;

/// What one thread allocates another one frees, for every request: docs/decisions/0034 says what
/// that costs with the system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    run(Cli::parse())
}

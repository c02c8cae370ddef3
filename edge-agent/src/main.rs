//! The edge agent's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: a supervisor must start fast and needs nothing that follows.
    if let Some(code) = edge_agent::exec::main_if_supervisor() {
        return code;
    }
    eprintln!("ambit-agent: unknown command line");
    ExitCode::from(2)
}

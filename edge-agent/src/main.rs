//! The edge agent's binary: supervises a task, or does what the command line says.

use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all: a supervisor must start fast and needs nothing that follows.
    if let Some(code) = edge_agent::exec::main_if_supervisor() {
        return code;
    }
    edge_agent::app::main()
}

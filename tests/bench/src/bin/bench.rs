//! The benchmarks' command, behind `make bench-offline`. See `docs/BENCHMARKS.md`.

use std::process::ExitCode;

fn main() -> ExitCode {
    benchmarks::main(std::env::args().skip(1))
}

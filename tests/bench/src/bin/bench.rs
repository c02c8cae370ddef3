//! The benchmarks' command, behind `make bench-offline`. See `docs/BENCHMARKS.md`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// As the core has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    benchmarks::main(std::env::args().skip(1))
}

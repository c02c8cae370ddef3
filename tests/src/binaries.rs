//! Where the programs under test are: beside the test program, where Cargo puts them.

use std::path::{Path, PathBuf};

/// The core, `ambit`.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn core() -> PathBuf {
    find("ambit")
}

/// The agent, `ambit-agent`.
///
/// # Panics
/// When it was not built.
#[must_use]
pub fn agent() -> PathBuf {
    find("ambit-agent")
}

fn find(name: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("the path of the test program");
    // target/PROFILE/deps/e2e-0123456789abcdef, or a program beside them
    let folder = tests.parent().expect("a folder");
    let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is missing; build the programs first: `make test`, or `cargo build -p cloud-core -p edge-agent`",
        path.display()
    );
    path
}

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a folder above tests/").to_path_buf()
}

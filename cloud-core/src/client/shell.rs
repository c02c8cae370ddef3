//! Completions and manual pages, generated from the command line itself.

use std::path::Path;

use clap_complete::shells::{Bash, Fish, Zsh};

use super::args::Shell;
use super::error::ClientError;
use super::output;

/// Prints a completion script.
///
/// # Errors
/// Standard output takes no more.
pub fn completions(shell: Shell, mut program: clap::Command) -> Result<u8, ClientError> {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => clap_complete::generate(Bash, &mut program, name, &mut script),
        Shell::Zsh => clap_complete::generate(Zsh, &mut program, name, &mut script),
        Shell::Fish => clap_complete::generate(Fish, &mut program, name, &mut script),
    }
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(0)
}

/// Prints the manual page, or writes one for each command into a folder.
///
/// # Errors
/// The folder or standard output cannot be written to.
pub fn manual(folder: Option<&Path>, program: clap::Command) -> Result<u8, ClientError> {
    match folder {
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(program, folder))
                .map_err(|error| {
                    let folder = folder.display();
                    ClientError::Usage(format!("--dir: cannot write to {folder}: {error}"))
                })?;
        }
        None => {
            let mut page = Vec::new();
            clap_mangen::Man::new(program).render(&mut page)?;
            output::print(&String::from_utf8_lossy(&page))?;
        }
    }
    Ok(0)
}

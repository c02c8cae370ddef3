//! `ambit token`: creates, lists and revokes the tokens of a core by the file in its data folder,
//! whether the core runs or not. A secret is printed once, alone, on standard output.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use shared::time::Timestamp;
use shared_runtime::clock::Clock;

use super::{EXIT_FAILED, EXIT_USAGE, fail};
use crate::access::{Role, TokenFile, TokenFileError, TokenName, TokenRow, Wish};
use crate::config::{Config, Overrides};

/// What is done to tokens.
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Create a token and print it, this once
    Create(CreateArgs),
    /// List the tokens, without their secrets
    List(ListArgs),
    /// Revoke a token: nobody is let in with it any more
    Revoke(RevokeArgs),
}

/// Where the tokens are.
#[derive(Debug, Args)]
struct PlaceArgs {
    /// The core's configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The core's data folder [default: ambit-data]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

/// What `ambit token create` is told.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What to call it; stands in the core's audit
    #[arg(long, value_name = "NAME")]
    name: TokenName,
    /// What its bearer may do: viewer, submitter or operator
    #[arg(long, value_name = "ROLE")]
    role: Role,
    /// How long it holds, such as 12h or 90d [default: until it is revoked]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    expires_in: Option<u64>,
    #[command(flatten)]
    place: PlaceArgs,
}

/// What `ambit token list` is told.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// table for people, json for machines
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: ListFormat,
    #[command(flatten)]
    place: PlaceArgs,
}

/// How a list is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ListFormat {
    Table,
    Json,
}

/// What `ambit token revoke` is told.
#[derive(Debug, Args)]
pub struct RevokeArgs {
    /// The name or the id of the token
    token: String,
    #[command(flatten)]
    place: PlaceArgs,
}

/// Does it.
pub fn run(command: TokenCommand) -> ExitCode {
    let now = Clock::new().now().wall;
    let (place, work): (PlaceArgs, Errand) = match command {
        TokenCommand::Create(CreateArgs { name, role, expires_in, place }) => {
            let wish = Wish { name, role, expires_in_s: expires_in };
            (place, Box::new(move |file| create(file, wish, now)))
        }
        TokenCommand::List(ListArgs { output, place }) => {
            (place, Box::new(move |file| list(file, output, now)))
        }
        TokenCommand::Revoke(RevokeArgs { token, place }) => {
            (place, Box::new(move |file| revoke(file, &token, now)))
        }
    };
    let environment = Overrides::from_environment(|name| std::env::var(name).ok());
    let overrides = Overrides { config: place.config, data: place.data, ..Overrides::default() };
    let config = match Config::resolve(overrides, environment) {
        Ok(config) => config,
        Err(problem) => return fail(EXIT_USAGE, &problem),
    };
    if !config.data.is_dir() {
        // A token in a folder that no core works in would be a riddle.
        let data = config.data.display();
        let problem = format!("{data} is no data folder; name that of the core with --data");
        return fail(EXIT_USAGE, &problem);
    }
    match work(&TokenFile::of(&config.data)) {
        Ok(Told { out, note }) => {
            print!("{out}");
            eprint!("{note}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(EXIT_FAILED, &error),
    }
}

/// What goes to standard output, and what to standard error.
struct Told {
    out: String,
    note: String,
}

type Work = Result<Told, TokenFileError>;

/// What is done to the tokens of a folder.
type Errand = Box<dyn FnOnce(&TokenFile) -> Work>;

fn create(file: &TokenFile, wish: Wish, now: Timestamp) -> Work {
    let (secret, row) = file.create(wish, now)?;
    let ends = row.expires_at.map_or("until it is revoked".to_owned(), |at| format!("until {at}"));
    let note = format!(
        "This is the token {} with the role {}, which holds {ends}. It is not shown again: keep it in a\n\
         file that only its owner can read. A running core takes it within a second.\n",
        row.name, row.role
    );
    Ok(Told { out: format!("{}\n", secret.expose()), note })
}

fn revoke(file: &TokenFile, called: &str, now: Timestamp) -> Work {
    let TokenRow { name, id, .. } = file.revoke(called, now)?;
    let note =
        format!("revoked the token {name} ({id}); a running core heeds it within a second\n");
    Ok(Told { out: String::new(), note })
}

fn list(file: &TokenFile, output: ListFormat, now: Timestamp) -> Work {
    let (rows, used) = (file.read()?, file.used());
    let note = String::new();
    if let ListFormat::Json = output {
        let items: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({
                    "id": row.id, "name": row.name, "role": row.role, "status": status(row, now),
                    "created_at": row.created_at, "expires_at": row.expires_at,
                    "revoked_at": row.revoked_at, "last_used_at": used.get(&row.id),
                })
            })
            .collect();
        return Ok(Told { out: format!("{:#}\n", json!({ "items": items })), note });
    }
    let heads = ["NAME", "ID", "ROLE", "STATUS", "EXPIRES", "LAST USED"].map(str::to_owned);
    let time = |at: Option<&Timestamp>| at.map_or("never".to_owned(), ToString::to_string);
    let lines = rows.iter().map(|row| {
        [
            row.name.to_string(),
            row.id.to_string(),
            row.role.to_string(),
            status(row, now).to_owned(),
            time(row.expires_at.as_ref()),
            time(used.get(&row.id)),
        ]
    });
    Ok(Told { out: table(std::iter::once(heads).chain(lines).collect()), note })
}

fn status(row: &TokenRow, now: Timestamp) -> &'static str {
    match (row.revoked_at, row.holds(now)) {
        (Some(_), _) => "revoked",
        (None, true) => "holds",
        (None, false) => "expired",
    }
}

fn table<const N: usize>(rows: Vec<[String; N]>) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:<width$}  ");
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// Reads a time such as 90d, in seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "write a number and s, m, h or d, such as 12h or 90d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let count: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    if count == 0 || count > 1_000_000_000 {
        return Err(wrong());
    }
    Ok(count * each)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(seconds("90d"), Ok(7_776_000));
        assert_eq!(seconds("12h"), Ok(43_200));
        for wrong in ["", "d", "90", "0d", "-1d", "1w", "1.5h", "99999999999999999999d", "1ä"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}

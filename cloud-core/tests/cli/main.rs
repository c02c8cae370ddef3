//! What the program answers to what is written wrongly: a table of calls, task files and
//! configurations, each with the whole answer, kept as a golden file. No core runs here.
//! `INSTA_UPDATE=always cargo test -p cloud-core --test cli` writes the answers anew.

mod calls;
mod config;
mod files;
mod schedules;

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The words of a call, and the variables it is made with.
type Call<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

/// Runs the program in a folder of its own and tells what it answered.
fn ambit(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ambit"));
    // Nothing of whoever runs the tests comes in.
    command.args(words).current_dir(folder).env_clear().envs(variables.iter().copied());
    let answer = command.stdin(Stdio::null()).output().expect("the program");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (answer.status.code().unwrap_or(-1), text(&answer.stdout), text(&answer.stderr))
}

/// One call and its answer, as the golden files show them.
fn shown(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> String {
    let (code, stdout, stderr) = ambit(folder, words, variables);
    let mut text = String::new();
    let set =
        variables.iter().fold(String::new(), |all, (name, value)| all + name + "=" + value + " ");
    let _ = writeln!(text, "$ {set}ambit {}", words.join(" "));
    text.push_str(&stdout);
    text.push_str(&stderr);
    let _ = writeln!(text, "[exit code {code}]\n");
    text
}

//! Configurations of the agent: what it runs with when nobody says anything, where each value came
//! from, and what is answered to one that is wrong.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The words of a call, and the variables it is made with.
type Call<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)]);

/// One call and its answer, as the golden files show them.
fn shown(folder: &Path, words: &[&str], variables: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ambit-agent"));
    command.args(words).current_dir(folder).env_clear().envs(variables.iter().copied());
    let answer = command.stdin(Stdio::null()).output().expect("the program");
    let mut text = String::new();
    let set =
        variables.iter().fold(String::new(), |all, (name, value)| format!("{all}{name}={value} "));
    let _ = writeln!(text, "$ {set}ambit-agent {}", words.join(" "));
    text.push_str(&String::from_utf8_lossy(&answer.stdout));
    text.push_str(&String::from_utf8_lossy(&answer.stderr));
    let _ = writeln!(text, "[exit code {}]\n", answer.status.code().unwrap_or(-1));
    text
}

fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("edge.toml"), text).expect("written");
    folder
}

/// Whoever changes a default sees it here, and says so in the changelog.
#[test]
fn the_defaults_are_as_they_were() {
    let folder = folder_with("");
    // Who it is and where its data is follow from the machine.
    let words = ["run", "--print-config", "--id", "board", "--data", "data"];
    insta::assert_snapshot!(shown(folder.path(), &words, &[]));
}

#[test]
fn every_value_says_where_it_came_from() {
    let folder = folder_with(
        "id = 'file'\nregion = 'north'\n[labels]\na = '1'\n[position]\nlatitude = 1.5\n\
         longitude = 2.5\n[limits]\nrunning_max = 1\n",
    );
    let words = [
        "run",
        "--print-config",
        "--config",
        "edge.toml",
        "--id",
        "board",
        "--set",
        "limits.running_max=3",
        "--capacity",
        "cpu_millis=1000,device.camera=1",
        "--data",
        "data",
    ];
    let variables = [
        ("AMBIT_EDGE_ID", "variable"),
        ("AMBIT_EDGE_BROKER_URL", "mqtt://broker"),
        ("AMBIT_EDGE_LIMITS_RUNNING_MAX", "2"),
        ("AMBIT_EDGE_TAINTS", "one,two"),
        ("AMBIT_EDGE_CAPACITY_MEMORY_MIB", "64"),
        ("AMBIT_EDGE_FLASH_BYTES_PER_DAY", "0"),
        // The core's, and a task's.
        ("AMBIT_DATA", "elsewhere"),
        ("AMBIT_AGENT_ID", "another"),
    ];
    let text = shown(folder.path(), &words, &variables);
    let changed = text.lines().filter(|line| !line.contains("  # default"));
    let changed: Vec<&str> = changed.filter(|line| !line.starts_with('#')).collect();
    insta::assert_snapshot!(changed.join("\n"));
}

#[test]
fn wrong_configurations_are_told_with_the_right_key() {
    let check = &["run", "--check-config", "--config", "edge.toml"][..];
    let mut text = String::new();
    for file in [
        "[brokr]\n",
        "[broker]\nurl = 'x'\n",
        "[broker]\nusername = 'x'\n",
        "[capacity]\ncpu_milis = 1\n",
        "[position]\nlatitude = 91\nlongitude = 0\n",
        "tasks_max = 0\n",
        "[limits]\nheld_max = 'many'\n",
        "[log]\nlevel = 'loud'\n",
        "join_token_file = '/nonexistent/token'\n",
    ] {
        let folder = folder_with(file);
        let _ = write!(text, "{file}{}", shown(folder.path(), check, &[]));
    }
    let folder = folder_with("");
    let calls: &[Call<'_>] = &[
        (check, &[]),
        (check, &[("AMBIT_EDGE_BROKR_URL", "mqtt://b")]),
        (check, &[("AMBIT_EDGE_BROKER_URL", "b")]),
        (check, &[("AMBIT_EDGE_LIMITS_RUNNING_MAX", "few")]),
        (&["run", "--check-config", "--set", "limits.runing_max=1"], &[]),
        (&["run", "--check-config", "--set", "position=latitude=1.5,longitude=2.5"], &[]),
        (&["run", "--check-config", "--set", "position=here"], &[]),
    ];
    for (words, variables) in calls {
        text.push_str(&shown(folder.path(), words, variables));
    }
    insta::assert_snapshot!(text);
}

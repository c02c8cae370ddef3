//! Configurations: what the core runs with when nobody says anything, where each value came from,
//! and what is answered to one that is wrong.

use std::path::Path;

use super::{ambit, shown};

const PRINT: &[&str] = &["core", "--print-config"];
const CHECK: &[&str] = &["core", "--check-config", "--config", "core.toml"];

fn folder_with(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("core.toml"), text).expect("written");
    folder
}

/// Whoever changes a default sees it here, and says so in the changelog.
#[test]
fn the_defaults_are_as_they_were() {
    insta::assert_snapshot!(shown(folder_with("").path(), PRINT, &[]));
}

#[test]
fn every_value_says_where_it_came_from() {
    let folder = folder_with("data = 'here'\n[http]\nlisten = '127.0.0.1:1'\nworkers = 7\n");
    let words = ["core", "--print-config", "--config", "core.toml", "--set", "core.grace_ms=5000"];
    let words = [&words[..], &["--log", "warn", "--set", "http.hosts=a,b"]].concat();
    let variables = [
        ("AMBIT_HTTP_LISTEN", "127.0.0.1:2"),
        ("AMBIT_BROKER", "mqtt://elsewhere"),
        ("AMBIT_CORE_GRACE_MS", "1"),
        ("AMBIT_POLICY_WEIGHTS_LOAD", "1"),
        // What a container platform sets beside a service of this name.
        ("AMBIT_SERVICE_HOST", "10.0.0.1"),
        ("AMBIT_PORT", "tcp://10.0.0.1:8080"),
        ("AMBIT_URL", "http://core"),
    ];
    let text = shown(folder.path(), &words, &variables);
    let changed = text.lines().filter(|line| !line.contains("  # default"));
    let changed: Vec<&str> = changed.filter(|line| !line.starts_with('#')).collect();
    insta::assert_snapshot!(changed.join("\n"));
}

#[test]
fn what_is_printed_is_a_file_that_says_the_same() {
    let folder = folder_with("");
    let (code, printed, _) = ambit(folder.path(), PRINT, &[]);
    assert_eq!(code, 0);
    std::fs::write(folder.path().join("again.toml"), &printed).expect("written");
    let (code, again, told) =
        ambit(folder.path(), &[PRINT, &["--config", "again.toml"]].concat(), &[]);
    assert_eq!(code, 0, "{told}");
    let values = |text: &str| -> Vec<String> {
        text.lines().filter_map(|line| Some(line.split_once("  # ")?.0.to_owned())).collect()
    };
    let seen = |line: &String| line.replace("\"./", "\"");
    assert_eq!(values(&again).iter().map(seen).collect::<Vec<_>>(), values(&printed));
}

#[test]
fn wrong_configurations_are_told_with_the_right_key() {
    let mut text = String::new();
    for file in [
        "[htpp]\nlisten = '127.0.0.1:1'\n",
        "[http]\nlistn = '127.0.0.1:1'\n",
        "[http]\nlisten = '8080'\n",
        "[http]\nlisten = '0.0.0.0:8080'\n",
        "[http]\nworkers = 'many'\n",
        "[http]\nworkers = 0\n",
        "[core]\nheartbeat_s = 5\n",
        "[core]\nheartbeat_ms = 5\n",
        "[log]\nlevel = 'loud'\n",
        "[broker]\nurl = 'mqtt://me:secret@host'\n",
        "[broker]\nurl = 'mqtt://b'\nlisten = '127.0.0.1:1'\n",
        "[policy.weights]\nlod = 1\n",
        "[telemetry.otlp]\nendpoint = 'http://me:secret@collector:4318'\n",
        "[telemetry.otlp]\nendpoint = 'https://collector'\n",
        "[telemetry.otlp]\nheaders_file = 'headers'\n",
        "http = \n",
    ] {
        let folder = folder_with(file);
        let answer = shown(folder.path(), CHECK, &[]);
        assert!(!answer.contains("secret"), "{answer}");
        text.push_str(&format!("{file}{answer}"));
    }
    let folder = folder_with("");
    let calls: &[crate::Call<'_>] = &[
        (CHECK, &[]),
        (CHECK, &[("AMBIT_HTTP_LISTN", "127.0.0.1:1")]),
        (CHECK, &[("AMBIT_HTTP_LISTEN", "8080")]),
        (CHECK, &[("AMBIT_LISTEN", "8080")]),
        (CHECK, &[("AMBIT_HTTP_WORKERS", "many")]),
        (CHECK, &[("AMBIT_LOG_LEVEL", "loud")]),
        (&["core", "--check-config", "--config", "missing.toml"], &[]),
        (&["core", "--check-config", "--set", "http.listn=127.0.0.1:1"], &[]),
        (&["core", "--check-config", "--set", "http.listen"], &[]),
        (&["core", "--check-config", "--set", "http.workers=0"], &[]),
        (&["core", "--check-config", "--print-config"], &[]),
        (&["core", "--check-config", "--lisen", "127.0.0.1:1"], &[]),
    ];
    for (words, variables) in calls {
        text.push_str(&shown(folder.path(), words, variables));
    }
    assert!(!Path::new("ambit-data").exists());
    insta::assert_snapshot!(text);
}

#[test]
fn a_policy_file_is_checked_with_the_configuration() {
    let folder = folder_with("[placement]\npolicy_file = 'policy.toml'\n");
    let check = |policy: &str| {
        std::fs::write(folder.path().join("policy.toml"), policy).expect("written");
        ambit(folder.path(), CHECK, &[])
    };
    let (code, _, told) = check("[profiles.near.weights]\ndistance = 200\n");
    assert_eq!(code, 0, "{told}");
    let (code, _, told) = check("packing = true\n[filters]\noffline = false\n");
    assert_eq!(code, 2, "{told}");
    let expected = "policy.toml, line 3: filters.offline: is always on";
    assert!(told.contains("placement.policy_file: ") && told.contains(expected), "{told}");
    std::fs::remove_file(folder.path().join("policy.toml")).expect("removed");
    let (code, _, told) = ambit(folder.path(), CHECK, &[]);
    assert!(code == 2 && told.contains("policy.toml"), "{told}");
}

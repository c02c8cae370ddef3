//! Calls that are wrong, and calls that find no core.

use super::{Call, ambit, shown};

/// Nobody listens on port 1.
const NOBODY: &str = "http://127.0.0.1:1";

#[test]
fn wrong_calls_are_answered_with_what_to_write() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("open-token"), "secret").expect("written");
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    std::fs::write(folder.path().join("broken.pem"), broken).expect("written");
    let calls: &[&[&str]] = &[
        &["tsk"],
        &["task", "lst"],
        &["task", "run"],
        &["task", "run", "--near", "here", "--", "echo"],
        &["task", "run", "--near", "91,0", "--", "echo"],
        &["task", "run", "--near", "-37.81", "--", "echo"],
        &["task", "run", "--near", "0,0", "--within", "5", "--", "echo"],
        &["task", "run", "--near", "0,0", "--within", "-5km", "--", "echo"],
        &["task", "run", "--within", "5km", "--", "echo"],
        &["task", "run", "--priority", "101", "--", "echo"],
        &["task", "run", "--priority", "high", "--", "echo"],
        &["task", "run", "--timeout", "10", "--", "echo"],
        &["task", "run", "--env", "RATE", "--", "echo"],
        &["task", "run", "--device", "camera=x", "--", "echo"],
        &["task", "run", "--agent", "a/b", "--", "echo"],
        &["task", "run", "--noop", "--", "echo"],
        &["task", "run", "--regoin", "x", "--", "echo"],
        &["task", "run", "echo"],
        &["task", "submit", "-f", "a.toml", "--", "echo"],
        &["task", "list", "--limit", "5", "--all"],
        &["task", "cancel"],
        &["task", "cancel", "hello"],
        &["task", "list", "-o", "xml"],
        &["task", "logs", "hello", "--stream", "both"],
        &["agent", "drain"],
        &["agent", "status", "a/b"],
        &["events", "--after", "yesterday"],
        &["policy", "set"],
        &["policy", "show", "--version", "three"],
        &["policy", "replay"],
        &["completions", "tcsh"],
        &["task", "list", "--token", "secret"],
        &["task", "list", "--token-file", "missing"],
        &["task", "list", "--token-file", "open-token"],
        &["task", "list", "--url", "localhost:8080"],
        &["task", "list", "--url", "https://core/v1"],
        &["task", "list", "--url", "https://me:secret@core"],
        &["task", "list", "--url", "https://core", "--ca-file", "missing.pem"],
        &["task", "list", "--url", "https://core", "--ca-file", "open-token"],
        &["task", "list", "--url", "https://core", "--ca-file", "broken.pem"],
        &["task", "list", "--ca-file", "missing.pem"],
        &["task", "list", "--url", "http://me:secret@core"],
    ];
    let text: String = calls.iter().map(|words| shown(folder.path(), words, &[])).collect();
    insta::assert_snapshot!(text);
}

#[test]
fn a_core_that_cannot_be_reached_is_told_with_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = &[("AMBIT_URL", NOBODY)][..];
    let calls: &[Call<'_>] = &[
        (&["task", "list"], at),
        (&["agent", "list", "--url", "http://127.0.0.1:1/"], &[]),
        (&["task", "run", "--noop"], at),
        (&["doctor"], at),
        (&["doctor", "-o", "json"], at),
        (
            &["task", "list"],
            &[("AMBIT_URL", "https://127.0.0.1:1"), ("AMBIT_CA_FILE", "missing.pem")],
        ),
        (&["task", "list"], &[("AMBIT_URL", NOBODY), ("AMBIT_CA_FILE", "missing.pem")]),
        (&["task", "list"], &[("AMBIT_URL", "core")]),
        (&["task", "list"], &[("AMBIT_TOKEN", "two words"), ("AMBIT_URL", NOBODY)]),
    ];
    let text: String =
        calls.iter().map(|(words, variables)| shown(folder.path(), words, variables)).collect();
    insta::assert_snapshot!(text);
}

#[test]
fn completions_and_manual_name_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, _) = ambit(folder.path(), &["completions", shell], &[]);
        assert_eq!(code, 0);
        for word in ["submit", "uncordon", "idempotency-key"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    let (code, page, _) = ambit(folder.path(), &["man"], &[]);
    assert!(code == 0 && page.contains(".TH ambit 1") && page.contains("doctor"), "{page}");
    let (code, _, told) = ambit(folder.path(), &["man", "--dir", "pages"], &[]);
    assert_eq!((code, told.as_str()), (0, ""));
    let page = std::fs::read_to_string(folder.path().join("pages/ambit-task-run.1"));
    assert!(page.expect("a page").contains("LAT,LON"));
}

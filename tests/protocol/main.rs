//! The protocol as others read it: the AsyncAPI document against the code, the golden vectors in
//! both directions, and real traffic against the schemas.

mod asyncapi;
mod traffic;
mod vectors;

use std::path::PathBuf;

/// Set, tests write what they else compare.
const UPDATE: &str = "AMBIT_UPDATE";

/// A file of the project.
fn file(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).join(path)
}

fn read(path: &str) -> String {
    let full = file(path);
    std::fs::read_to_string(&full).unwrap_or_else(|error| panic!("{}: {error}", full.display()))
}

/// Compares a checked-in JSON file with what it should be; writes it instead when asked to.
fn assert_checked_in(path: &str, now: &serde_json::Value) {
    if std::env::var_os(UPDATE).is_some() {
        let text = serde_json::to_string_pretty(now).expect("text") + "\n";
        std::fs::write(file(path), text).expect("write");
    }
    let kept: serde_json::Value = serde_json::from_str(&read(path)).expect("JSON");
    assert!(kept == *now, "{path} is not what the code says; run this test with {UPDATE}=1");
}

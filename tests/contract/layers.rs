//! The doors: each library that touches the world is named in one place, flows do not name one
//! another, and what is pure stays so.

use crate::source::{self, Source, assert_none, names};

/// A word, and the beginnings of the paths where it may stand.
const PLACES: &[(&str, &[&str])] = &[
    ("rumqttc", &["shared/runtime/src/link/"]),
    ("rusqlite", &["shared/runtime/src/sqlite", "cloud-core/src/store/", "edge-agent/src/store/"]),
    ("actix_web", &["cloud-core/src/http/", "cloud-core/src/app"]),
    ("mqtt5", &["cloud-core/src/broker/"]),
    ("prometheus_client", &["cloud-core/src/http/", "cloud-core/src/observe"]),
];

/// How SQL begins.
const SQL: &[&str] = &["SELECT ", "INSERT ", "DELETE FROM ", "CREATE TABLE ", "PRAGMA "];
const SQL_PLACES: &[&str] = PLACES[1].1;

/// Folders of what decides and never acts.
const PURE: &[&str] = &["shared/src/", "cloud-core/logic/src/", "edge-agent/logic/src/"];

/// What acts, reads the clock or draws lots, in the standard library.
const IMPURE: &[&str] = &[
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::env",
    "std::io",
    "SystemTime",
    "Instant",
    "RandomState",
    "HashMap",
    "HashSet",
    "println",
    "eprintln",
];

fn stands_in(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

fn misplaced(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    if !source.is_production() {
        return faults;
    }
    for (number, line) in source.code() {
        let at = format!("{}:{number}", source.path);
        for (word, places) in PLACES {
            if names(line, word) && !stands_in(&source.path, places) {
                faults.push(format!("{at}: `{word}` may be named only in {places:?}"));
            }
        }
        if SQL.iter().any(|sql| line.contains(sql)) && !stands_in(&source.path, SQL_PLACES) {
            faults.push(format!("{at}: SQL belongs to {SQL_PLACES:?}"));
        }
        if stands_in(&source.path, PURE) {
            for word in IMPURE.iter().filter(|word| names(line, word)) {
                faults.push(format!("{at}: `{word}` has no place in a pure package"));
            }
        }
    }
    faults
}

/// The flow that a path is the file of.
fn flow_of(path: &str) -> Option<(&str, &str)> {
    let (folder, file) = path.split_once("/flow/")?;
    let name = file.split('/').next()?.strip_suffix(".rs").unwrap_or(file);
    (name != "mod").then_some((folder, name))
}

/// Flows that name a flow beside them.
fn entangled(sources: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for source in sources.iter().filter(|source| source.is_production()) {
        let Some((folder, own)) = flow_of(&source.path) else {
            continue;
        };
        let beside = sources.iter().filter_map(|other| flow_of(&other.path));
        for (_, other) in beside.filter(|(near, name)| *near == folder && *name != own) {
            for (number, line) in source.code() {
                let named = [format!("super::{other}"), format!("flow::{other}")];
                let listed = line.contains("super::{") || line.contains("flow::{");
                if named.iter().any(|path| names(line, path)) || (listed && names(line, other)) {
                    faults.push(format!("{}:{number}: names the flow `{other}`", source.path));
                }
            }
        }
    }
    faults
}

#[test]
fn what_touches_the_world_is_named_in_one_place() {
    assert_none(&source::rust().iter().flat_map(misplaced).collect::<Vec<_>>());
}

#[test]
fn flows_do_not_name_one_another() {
    let sources = source::rust();
    let flows = sources.iter().filter(|source| flow_of(&source.path).is_some()).count();
    assert!(flows >= 10, "only {flows} flows are looked at");
    assert_none(&entangled(&sources));
}

#[test]
fn a_word_in_a_wrong_place_is_found() {
    let count = |path: &str, text: &str| misplaced(&Source::example(path, text)).len();
    assert_eq!(count("edge-agent/src/driver.rs", "use rumqttc::Client;"), 1);
    assert_eq!(count("shared/runtime/src/link/mqtt.rs", "use rumqttc::Client;"), 0);
    assert_eq!(count("cloud-core/src/http/tasks.rs", "let q = \"SELECT 1\";"), 1);
    assert_eq!(count("cloud-core/src/store/x.rs", "let q = \"SELECT 1\";"), 0);
    assert_eq!(count("cloud-core/tests/a.rs", "use rumqttc::Client;"), 0);
    assert_eq!(count("shared/src/a.rs", "let now = std::time::Instant::now();"), 1);
    assert_eq!(count("shared/runtime/src/a.rs", "let now = std::time::Instant::now();"), 0);
    assert_eq!(count("cloud-core/logic/src/a.rs", "use std::collections::HashMap;"), 1);
}

#[test]
fn a_flow_that_names_another_is_found() {
    let file = |name: &str, text: &str| Source::example(&format!("x/src/flow/{name}.rs"), text);
    let count = |text: &str| entangled(&[file("a", text), file("b", ""), file("mod", "")]).len();
    assert_eq!(count("use super::Context;"), 0);
    assert_eq!(count("use super::b;"), 1);
    assert_eq!(count("use super::{Context, b};"), 1);
    assert_eq!(count("crate::flow::b::go();"), 1);
    assert_eq!(count("use crate::flow::{a, Context};"), 0);
}

//! The shape of the files: their length, their first words, and words that have no place in them.

use crate::source::{self, Source, assert_none};

/// The longest file, and the longest function, in lines.
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// What no file may say: paths of one machine, and promises instead of work. Put together here so
/// that this file does not say them either.
fn forbidden() -> [String; 5] {
    let join = |parts: [&str; 2]| parts.concat();
    [
        join(["/wo", "rk/"]),
        join(["/ro", "ot/"]),
        join(["TO", "DO"]),
        join(["FIX", "ME"]),
        join(["todo", "!("]),
    ]
}

fn faults(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, line) in source.text.lines().enumerate() {
        for word in forbidden().iter().filter(|word| line.contains(word.as_str())) {
            faults.push(format!("{}:{}: says `{word}`", source.path, index + 1));
        }
    }
    if source.path.ends_with(".rs") {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", source.path));
        }
        if !source.text.starts_with("//!") {
            faults.push(format!("{}: does not begin with its documentation", source.path));
        }
        faults.extend(long_functions(source));
    }
    faults
}

/// Functions that are too long, as rustfmt lays them out: the closing brace stands below the
/// first word of the signature.
fn long_functions(source: &Source) -> Vec<String> {
    let mut faults = Vec::new();
    let lines: Vec<&str> = source.text.lines().collect();
    for (start, line) in lines.iter().enumerate() {
        let words = line.trim_start();
        let signature = words.split('(').next().unwrap_or_default();
        let is_function = signature.starts_with("fn ") || signature.contains(" fn ");
        if !is_function || words.starts_with("//") {
            continue;
        }
        let end = format!("{}}}", &line[..line.len() - words.len()]);
        let length = lines[start..].iter().position(|line| **line == end).map_or(1, |n| n + 1);
        let semicolon = lines[start..].iter().position(|line| line.ends_with(';'));
        let brace = lines[start..].iter().position(|line| line.ends_with('{'));
        let is_declaration = semicolon.is_some() && semicolon < brace;
        if length > FUNCTION_LINES_MAX && !is_declaration {
            let at = format!("{}:{}", source.path, start + 1);
            faults
                .push(format!("{at}: a function of {length} lines, at most {FUNCTION_LINES_MAX}"));
        }
    }
    faults
}

/// Decision records that are not numbered from 1 without gaps.
fn misnumbered(records: &[Source]) -> Vec<String> {
    let mut faults = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let name = record.path.rsplit('/').next().unwrap_or_default();
        let number = format!("{:04}-", index + 1);
        if !name.starts_with(&number) {
            faults.push(format!("{}: its number should be {number}", record.path));
        }
        if !record.text.starts_with("# ") {
            faults.push(format!("{}: does not begin with a title", record.path));
        }
    }
    faults
}

#[test]
fn files_have_the_shape_of_the_house() {
    let ours = source::all().into_iter().filter(|source| source.path != "Cargo.lock");
    assert_none(&ours.flat_map(|source| faults(&source)).collect::<Vec<_>>());
}

#[test]
fn decisions_are_numbered() {
    let records: Vec<Source> = source::all()
        .into_iter()
        .filter(|source| source.path.starts_with("docs/decisions/"))
        .collect();
    assert!(!records.is_empty(), "no decision is written down in docs/decisions");
    assert_none(&misnumbered(&records));
}

#[test]
fn what_is_out_of_shape_is_found() {
    let count = |text: &str| faults(&Source::example("a.rs", text)).len();
    assert_eq!(count("//! Good.\n"), 0);
    assert_eq!(count("fn undocumented() {}\n"), 1);
    assert_eq!(count(&format!("//! Later. {}\n", forbidden()[2])), 1);
    assert_eq!(count(&format!("//! {}\n", "\n//!".repeat(FILE_LINES_MAX))), 1);
    let function =
        |lines: usize| format!("//! Good.\n\npub fn f() {{\n{}}}\n", "    x();\n".repeat(lines));
    assert_eq!(count(&function(FUNCTION_LINES_MAX - 2)), 0);
    assert_eq!(count(&function(FUNCTION_LINES_MAX - 1)), 1);
    let record = |name: &str| Source::example(&format!("docs/decisions/{name}"), "# Title\n");
    assert_eq!(misnumbered(&[record("0001-a.md"), record("0002-b.md")]).len(), 0);
    assert_eq!(misnumbered(&[record("0001-a.md"), record("0003-b.md")]).len(), 1);
}

//! JSON, read by serde_json; where its values stand is read off by the YAML reader, since JSON is
//! YAML too.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Located, Malformed, yaml};

pub(super) fn read(text: &str) -> Result<Located, Malformed> {
    let value = value_of(text, 1)?;
    // What YAML cannot read of it, such as a key that stands twice, is only not located.
    let lines = yaml::read(text).ok().and_then(|read| read.into_iter().next());
    Ok((value, lines.map(|(_, lines)| lines).unwrap_or_default()))
}

/// A value a line; blank lines do not count.
pub(super) fn read_lines(text: &str) -> Result<Vec<Located>, Malformed> {
    let lines = text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty());
    lines
        .map(|(index, text)| {
            let line = index + 1;
            Ok((value_of(text, line)?, BTreeMap::from([(String::new(), line)])))
        })
        .collect()
}

/// One value; `first` is the line on which the text begins.
fn value_of(text: &str, first: usize) -> Result<Value, Malformed> {
    serde_json::from_str(text).map_err(|error| {
        let column = error.column();
        // It says the line once more, at its end.
        let detail = error.to_string();
        let detail = detail.split(" at line ").next().unwrap_or_default();
        Malformed {
            line: first + error.line().max(1) - 1,
            detail: format!("not JSON at column {column}: {detail}"),
        }
    })
}

//! JSON, read by serde_json; where its values stand is read off by the YAML reader, since JSON is
//! YAML too.

use serde_json::Value;

use super::{Located, Malformed, yaml};

pub(super) fn read(text: &str) -> Result<Located, Malformed> {
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let column = error.column();
        // It says the line once more, at its end.
        let detail = error.to_string();
        let detail = detail.split(" at line ").next().unwrap_or_default();
        Malformed {
            line: error.line().max(1),
            detail: format!("not JSON at column {column}: {detail}"),
        }
    })?;
    // What YAML cannot read of it, such as a key that stands twice, is only not located.
    let lines = yaml::read(text).ok().and_then(|read| read.into_iter().next());
    Ok((value, lines.map(|(_, lines)| lines).unwrap_or_default()))
}

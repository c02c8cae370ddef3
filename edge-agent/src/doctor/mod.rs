//! `doctor`: whether an agent that is started with these arguments could do its work here, and if
//! not, what to do about it. Works with and without a network, beside an agent that runs and when
//! there is none. Looks, and changes nothing.

mod clock;
mod data;
mod machine;
mod network;
mod room;

use std::path::PathBuf;

use serde::Serialize;
use shared::time::Now;

use crate::cli::RunArgs;
use crate::config::{Config, SetupError, data_default, database_in};
use crate::look;
use crate::store::{Glance, Reader, StoreError};

/// How it stands with one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The agent works, but less well than it could.
    Warn,
    /// The agent cannot do what it is there for.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub what: &'static str,
    /// How it stands with it.
    pub verdict: Verdict,
    /// What was found.
    pub detail: String,
    /// What to do about it, and what goes on meanwhile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

impl Finding {
    fn ok(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, verdict: Verdict::Ok, detail: detail.into(), way_out: None }
    }

    fn warn(
        what: &'static str,
        detail: impl Into<String>,
        way_out: impl Into<Option<String>>,
    ) -> Self {
        Self { verdict: Verdict::Warn, way_out: way_out.into(), ..Self::ok(what, detail) }
    }

    fn fail(
        what: &'static str,
        detail: impl Into<String>,
        way_out: impl Into<Option<String>>,
    ) -> Self {
        Self { verdict: Verdict::Fail, way_out: way_out.into(), ..Self::ok(what, detail) }
    }
}

/// What is known before anything is looked at.
struct Patient {
    config: Result<Config, SetupError>,
    data: PathBuf,
    now: Now,
    /// What its database says, if that can be read.
    glance: Option<Glance>,
    reader: Result<Reader, StoreError>,
    /// Whether an agent uses the folder, and which process that is.
    user: Option<Option<u32>>,
}

/// Looks at everything.
#[must_use]
pub fn examine(args: &RunArgs, now: Now) -> Vec<Finding> {
    let config = Config::of(args);
    let told = config.as_ref().ok().map(|config| config.data.clone());
    let data = told.or_else(|| args.data.clone()).unwrap_or_else(data_default);
    let mut reader = Reader::open(&database_in(&data));
    let glance = reader.as_mut().ok().and_then(|reader| reader.glance().ok());
    let user = crate::folder::Folder::user_of(&data);
    let patient = Patient { config, data, now, glance, reader, user };
    let parts = [
        data::configuration(&patient, args),
        data::agent(&patient),
        data::folder(&patient),
        data::database(&patient),
        data::credential(&patient),
        room::findings(&patient),
        network::findings(&patient),
        clock::findings(&patient),
        machine::findings(&patient),
    ];
    parts.into_iter().flatten().collect()
}

/// The worst of all verdicts.
#[must_use]
pub fn worst(findings: &[Finding]) -> Verdict {
    findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Ok)
}

/// The findings as JSON.
#[must_use]
pub fn as_json(findings: &[Finding]) -> String {
    #[derive(Serialize)]
    struct Findings<'a> {
        verdict: Verdict,
        items: &'a [Finding],
    }
    look::json(&Findings { verdict: worst(findings), items: findings })
}

/// The findings for people, in lines of at most `width` characters.
#[must_use]
pub fn as_text(findings: &[Finding], width: Option<usize>) -> String {
    /// Verdict, a gap, the thing, a gap.
    const INDENT: usize = 4 + 2 + 14 + 2;
    let room = width.unwrap_or(usize::MAX).saturating_sub(INDENT).max(20);
    let mut text = String::new();
    for finding in findings {
        let verdict = match finding.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        let mut begin = format!("{verdict:<4}  {:<14}  ", finding.what);
        for line in std::iter::once(&finding.detail).chain(&finding.way_out) {
            for part in wrapped(line, room) {
                text.push_str(&begin);
                text.push_str(&part);
                text.push('\n');
                begin = " ".repeat(INDENT);
            }
        }
    }
    text
}

/// A sentence in lines of at most so many characters, as far as its words allow.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let long = word.chars().count();
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.chars().count().saturating_add(1 + long) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests;

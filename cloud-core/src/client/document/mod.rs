//! Task files: TOML, YAML or JSON, read into JSON documents that remember on which line each value
//! stands, so that whatever is wrong with a field can be told where it is written. Reads the files
//! it is given, or standard input, and nothing else.

mod json;
mod toml;
mod yaml;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use clap::ValueEnum;
use serde_json::Value;
use shared::border::Problem;

use super::error::ClientError;

/// The largest file, in bytes.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// The most tasks of one call.
pub const TASKS_MAX: usize = 10_000;
/// How deep values may be nested.
const DEPTH_MAX: usize = 64;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FileFormat {
    /// TOML: one task.
    Toml,
    /// YAML: one task, or several, separated by `---` or in a list.
    Yaml,
    /// JSON: one task, or a list of them.
    Json,
}

/// A task as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// The task.
    pub value: Value,
    /// Where it was written: the file's name.
    pub origin: String,
    /// On which line, from 1, each value stands, by its JSON pointer.
    pub lines: BTreeMap<String, usize>,
}

/// What is wrong with a text that is not in the format it should be in.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Malformed {
    /// The line, from 1.
    line: usize,
    /// What is wrong, and what to write instead.
    detail: String,
}

/// One value of a text, with the lines of what is in it.
type Located = (Value, BTreeMap<String, usize>);

impl Document {
    /// A task that was not written in a file.
    #[must_use]
    pub fn given(value: Value) -> Self {
        Self { value, origin: "the command line".to_owned(), lines: BTreeMap::new() }
    }

    /// What is wrong with the task, in a sentence that names file, line and field.
    #[must_use]
    pub fn tell(&self, problem: &Problem) -> String {
        let Problem { pointer, detail } = problem;
        let place = match self.line_of(pointer) {
            Some(line) => format!("{}, line {line}", self.origin),
            None => self.origin.clone(),
        };
        let field = pointer.trim_start_matches('/').replace('/', ".");
        match field.as_str() {
            "" => format!("{place}: the task {detail}"),
            field => format!("{place}: {field}: {detail}"),
        }
    }

    /// The line of a value, or of the nearest one around it.
    fn line_of(&self, pointer: &str) -> Option<usize> {
        let mut pointer = pointer;
        loop {
            if let Some(line) = self.lines.get(pointer) {
                return Some(*line);
            }
            pointer = pointer.rsplit_once('/')?.0;
        }
    }
}

/// Reads the tasks of a file; `-` is standard input.
///
/// # Errors
/// The file cannot be read, its format is not known, or it is not written in it.
pub fn read(path: &Path, format: Option<FileFormat>) -> Result<Vec<Document>, ClientError> {
    let from_input = path == Path::new("-");
    let origin = if from_input { "standard input".to_owned() } else { path.display().to_string() };
    let format = format.or_else(|| format_of(path)).ok_or_else(|| {
        let what = if from_input { "standard input" } else { "this file" };
        ClientError::Usage(format!(
            "{origin}: cannot tell the format of {what}; write --format toml, yaml or json"
        ))
    })?;
    let text = text_of(path, from_input)
        .map_err(|detail| ClientError::Usage(format!("{origin}: {detail}")))?;
    parse(&text, format, &origin)
}

/// Reads the tasks of a text; `origin` names it in errors.
///
/// # Errors
/// The text is not in that format, or holds no task.
pub fn parse(text: &str, format: FileFormat, origin: &str) -> Result<Vec<Document>, ClientError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let read = match format {
        FileFormat::Toml => toml::read(text).map(|located| vec![located]),
        FileFormat::Yaml => yaml::read(text),
        FileFormat::Json => json::read(text).map(|located| vec![located]),
    };
    let values = read.map_err(|Malformed { line, detail }| {
        ClientError::Usage(format!("{origin}, line {line}: {detail}"))
    })?;
    let documents: Vec<Document> = values
        .into_iter()
        .flat_map(one_by_one)
        .map(|(value, lines)| Document { value, origin: origin.to_owned(), lines })
        .collect();
    match documents.len() {
        0 => Err(ClientError::Usage(format!("{origin}: there is no task in it"))),
        1..=TASKS_MAX => Ok(documents),
        count => Err(ClientError::Usage(format!(
            "{origin}: {count} tasks, at most {TASKS_MAX} in one file; split it"
        ))),
    }
}

/// The tasks of a list, each with the lines of its own.
fn one_by_one((value, lines): Located) -> Vec<Located> {
    let Value::Array(items) = value else { return vec![(value, lines)] };
    let own = |index: usize| {
        let prefix = format!("/{index}");
        let inside = lines.iter().filter_map(|(pointer, line)| {
            let rest = pointer.strip_prefix(&prefix)?;
            (rest.is_empty() || rest.starts_with('/')).then(|| (rest.to_owned(), *line))
        });
        inside.collect()
    };
    items.into_iter().enumerate().map(|(index, item)| (item, own(index))).collect()
}

fn format_of(path: &Path) -> Option<FileFormat> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "toml" => Some(FileFormat::Toml),
        "yaml" | "yml" => Some(FileFormat::Yaml),
        "json" => Some(FileFormat::Json),
        _ => None,
    }
}

fn text_of(path: &Path, from_input: bool) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}; name a file that can");
    let mut bytes = Vec::new();
    let read = if from_input {
        std::io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path).map_err(cannot)?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)
    };
    read.map_err(cannot)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("has more than {FILE_BYTES_MAX} bytes; split it"));
    }
    String::from_utf8(bytes).map_err(|_| "is not text in UTF-8; save it as that".to_owned())
}

/// The line, from 1, that a byte position lies in.
fn line_at(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests;

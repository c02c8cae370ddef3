//! Task files: TOML, YAML, JSON or a task a line, read into JSON documents that remember on which line each value
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
/// The largest file of a task a line, which costs less to read, in bytes.
const LINES_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// The most tasks of one call.
pub const TASKS_MAX: usize = 100_000;
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
    /// NDJSON: a task a line, in JSON; blank lines do not count.
    Ndjson,
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
    /// Which of a list it is, from 1, when it stands in one: a list may stand on one line.
    pub item: Option<usize>,
    /// Whether its file is one that may hold several, though it may hold this one alone.
    pub is_among_others: bool,
    /// The key under which it is submitted, if it names one beside its fields.
    pub key: Option<String>,
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
        Self {
            value,
            origin: "the command line".to_owned(),
            lines: BTreeMap::new(),
            item: None,
            is_among_others: false,
            key: None,
        }
    }

    /// Where something of it was written: the file, the line, and which of a list.
    #[must_use]
    pub fn place(&self, pointer: &str) -> String {
        let mut place = self.origin.clone();
        if let Some(line) = self.line_of(pointer) {
            place += &format!(", line {line}");
        }
        if let Some(item) = self.item {
            place += &format!(", item {item}");
        }
        place
    }

    /// What is wrong with the task, in a sentence that names file, line and field.
    #[must_use]
    pub fn tell(&self, problem: &Problem) -> String {
        self.tell_of("task", problem)
    }

    /// The same of something else than a task.
    #[must_use]
    pub fn tell_of(&self, what: &str, problem: &Problem) -> String {
        let Problem { pointer, detail } = problem;
        let place = self.place(pointer);
        let field = pointer.trim_start_matches('/').replace('/', ".");
        match field.as_str() {
            "" => format!("{place}: the {what} {detail}"),
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
            "{origin}: cannot tell the format of {what}; write --format toml, yaml, json or ndjson"
        ))
    })?;
    let bytes_max = if format == FileFormat::Ndjson { LINES_BYTES_MAX } else { FILE_BYTES_MAX };
    let text = text_of(path, from_input, bytes_max)
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
        FileFormat::Ndjson => json::read_lines(text),
    };
    let values = read.map_err(|Malformed { line, detail }| {
        ClientError::Usage(format!("{origin}, line {line}: {detail}"))
    })?;
    let is_among_others = format == FileFormat::Ndjson || values.len() > 1;
    let mut documents = Vec::with_capacity(values.len());
    for (value, lines) in values {
        let document = |value, lines, item: Option<usize>| Document {
            value,
            origin: origin.to_owned(),
            lines,
            item,
            is_among_others: is_among_others || item.is_some(),
            key: None,
        };
        // A line is one task, whatever it is.
        match value {
            Value::Array(items) if format != FileFormat::Ndjson => {
                let lines = lines_of_items(lines, items.len());
                let items = items.into_iter().zip(lines).enumerate();
                documents.extend(
                    items.map(|(index, (item, lines))| document(item, lines, Some(index + 1))),
                );
            }
            value => documents.push(document(value, lines, None)),
        }
    }
    match documents.len() {
        0 => Err(ClientError::Usage(format!("{origin}: there is no task in it"))),
        1..=TASKS_MAX => Ok(documents),
        count => Err(ClientError::Usage(format!(
            "{origin}: {count} tasks, at most {TASKS_MAX} in one call; split it"
        ))),
    }
}

/// The lines of a list, each item's own with pointers of its own.
fn lines_of_items(lines: BTreeMap<String, usize>, count: usize) -> Vec<BTreeMap<String, usize>> {
    let mut own = vec![BTreeMap::new(); count];
    for (pointer, line) in lines {
        let Some(inside) = pointer.strip_prefix('/') else { continue };
        let (index, rest) = inside.split_at(inside.find('/').unwrap_or(inside.len()));
        if let Some(lines) = index.parse().ok().and_then(|index: usize| own.get_mut(index)) {
            lines.insert(rest.to_owned(), line);
        }
    }
    own
}

fn format_of(path: &Path) -> Option<FileFormat> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "toml" => Some(FileFormat::Toml),
        "yaml" | "yml" => Some(FileFormat::Yaml),
        "json" => Some(FileFormat::Json),
        "ndjson" | "jsonl" => Some(FileFormat::Ndjson),
        _ => None,
    }
}

fn text_of(path: &Path, from_input: bool, bytes_max: u64) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {error}; name a file that can");
    let mut bytes = Vec::new();
    let read = if from_input {
        std::io::stdin().lock().take(bytes_max + 1).read_to_end(&mut bytes)
    } else {
        let file = std::fs::File::open(path).map_err(cannot)?;
        file.take(bytes_max + 1).read_to_end(&mut bytes)
    };
    read.map_err(cannot)?;
    if bytes.len() as u64 > bytes_max {
        return Err(format!("has more than {bytes_max} bytes; split it"));
    }
    String::from_utf8(bytes).map_err(|_| "is not text in UTF-8; save it as that".to_owned())
}

/// Where the lines of a text end, so that finding the line of a position costs little in a long one.
struct LineEnds(Vec<usize>);

impl LineEnds {
    fn of(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(position, _)| position).collect())
    }

    /// The line, from 1, that a byte position lies in.
    fn line_at(&self, position: usize) -> usize {
        self.0.partition_point(|end| *end < position) + 1
    }
}

#[cfg(test)]
mod tests;

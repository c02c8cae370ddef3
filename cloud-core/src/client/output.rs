//! How answers are written: tables for people, as wide as the terminal and coloured where that is
//! wanted; JSON and YAML for programs, exactly as the core said it. Answers go to standard output,
//! everything else to standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use clap::ValueEnum;
use serde_json::Value;
use shared::time::Timestamp;
use shared_runtime::clock::Clock;

use super::error::ClientError;

/// What an answer looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs: what the core answered.
    Json,
    /// The same as YAML.
    Yaml,
}

/// Writes an answer: what the core said, or what `table` makes of it for people.
///
/// # Errors
/// Standard output takes no more, or `table` cannot read the answer.
pub fn answer(
    output: Output,
    value: &Value,
    table: impl FnOnce() -> Result<String, ClientError>,
) -> Result<(), ClientError> {
    let text = match output {
        Output::Table => table()?,
        Output::Json => serde_json::to_string_pretty(value).unwrap_or_default() + "\n",
        Output::Yaml => yaml(value),
    };
    print(&text)
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no mistake.
///
/// # Errors
/// Standard output takes no more.
pub fn print(text: &str) -> Result<(), ClientError> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => Ok(other?),
    }
}

/// Tells a person how it goes, on standard error.
pub fn note(text: &str) {
    // Nobody may be there to read it.
    let _ = writeln!(io::stderr(), "{text}");
}

/// A document that the core sent, as what it should be.
///
/// # Errors
/// It is something else.
pub fn typed<T: serde::de::DeserializeOwned>(value: &Value) -> Result<T, ClientError> {
    T::deserialize(value).map_err(|error| {
        ClientError::Failed(format!(
            "the core's answer is not what this client ({}) knows: {error}; use a client of the \
             core's version, or -o json",
            env!("CARGO_PKG_VERSION")
        ))
    })
}

/// A colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// All is well.
    Green,
    /// Under way, or worth a look.
    Yellow,
    /// Something is wrong.
    Red,
    /// Of less interest.
    Grey,
}

/// A text in a colour for standard error, where colours are wanted.
#[must_use]
pub fn noted(colour: Option<Colour>, text: String) -> String {
    let variable = |name: &str| std::env::var(name).ok();
    if coloured_when(io::stderr().is_terminal(), variable) { painted(colour, text) } else { text }
}

/// Whether to colour what goes to standard output.
fn is_coloured() -> bool {
    static COLOURED: OnceLock<bool> = OnceLock::new();
    *COLOURED
        .get_or_init(|| coloured_when(io::stdout().is_terminal(), |name| std::env::var(name).ok()))
}

/// On a terminal that knows colours, unless somebody wants none: <https://no-color.org>.
fn coloured_when(is_terminal: bool, variable: impl Fn(&str) -> Option<String>) -> bool {
    let unwanted = variable("NO_COLOR").is_some_and(|text| !text.is_empty());
    is_terminal && !unwanted && variable("TERM").as_deref() != Some("dumb")
}

/// A text in a colour, where colours are wanted.
#[must_use]
pub fn coloured(colour: Option<Colour>, text: String) -> String {
    if is_coloured() { painted(colour, text) } else { text }
}

fn painted(colour: Option<Colour>, text: String) -> String {
    let code = match colour {
        Some(Colour::Green) => 32,
        Some(Colour::Yellow) => 33,
        Some(Colour::Red) => 31,
        Some(Colour::Grey) => 90,
        None => return text,
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// The colour of a status or a flag, of whatever it is.
#[must_use]
pub fn colour_of(word: &str) -> Option<Colour> {
    match word.split([' ', ',']).next().unwrap_or_default() {
        "succeeded" | "online" | "running" | "ok" => Some(Colour::Green),
        "pending" | "assigned" | "blocked" | "suspect" | "offered" | "accepted" | "unknown"
        | "cordoned" | "draining" | "warning" => Some(Colour::Yellow),
        "failed" | "offline" | "lost" | "quarantined" | "revoked" => Some(Colour::Red),
        "canceled" => Some(Colour::Grey),
        _ => None,
    }
}

/// Text that came from elsewhere, without what would move a terminal's cursor.
#[must_use]
pub fn tame(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

/// How long ago that was, in few words.
#[must_use]
pub fn age(at: Timestamp) -> String {
    duration(Clock::new().now().wall.since_ms(at) / 1_000)
}

/// So many seconds, in few words.
#[must_use]
pub fn duration(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A distance in few words.
#[must_use]
pub fn distance(metres: f64) -> String {
    match metres {
        ..1_000.0 => format!("{metres:.0} m"),
        ..100_000.0 => format!("{:.1} km", metres / 1_000.0),
        _ => format!("{:.0} km", metres / 1_000.0),
    }
}

/// A document as YAML, in block style; texts are quoted as in JSON, which is YAML too, unless they
/// are plain words.
#[must_use]
pub fn yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block(value, 0, &mut text),
        Value::Array(items) if !items.is_empty() => block(value, 0, &mut text),
        scalar => text = flat(scalar) + "\n",
    }
    text
}

fn block(value: &Value, indent: usize, text: &mut String) {
    let margin = " ".repeat(indent);
    let mut entry = |head: String, value: &Value| {
        text.push_str(&margin);
        text.push_str(&head);
        let is_empty = match value {
            Value::Object(map) => map.is_empty(),
            Value::Array(items) => items.is_empty(),
            _ => true,
        };
        if is_empty {
            text.push(' ');
            text.push_str(&flat(value));
            text.push('\n');
        } else {
            text.push('\n');
            block(value, indent + 2, text);
        }
    };
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                entry(format!("{}:", word(key)), value);
            }
        }
        Value::Array(items) => {
            for item in items {
                entry("-".to_owned(), item);
            }
        }
        _ => {}
    }
}

fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        other => other.to_string(),
    }
}

/// A text, quoted unless it can be nothing else.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '/' | '.');
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '/');
    // Words that some reader of YAML takes for a truth value or for nothing.
    let taken = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    if first && text.chars().all(plain) && !taken.contains(&text.to_lowercase().as_str()) {
        return text.to_owned();
    }
    let quoted = Value::String(text.to_owned()).to_string();
    // JSON leaves characters alone that YAML wants escaped.
    quoted.chars().fold(String::new(), |mut all, c| {
        match c {
            '\u{7f}'..='\u{9f}'
            | '\u{feff}'
            | '\u{2028}'
            | '\u{2029}'
            | '\u{fffe}'
            | '\u{ffff}' => {
                all.push_str(&format!("\\u{:04x}", u32::from(c)));
            }
            _ => all.push(c),
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn colours_are_for_terminals_whose_owner_wants_them() {
        let with = |name: &'static str, value: &'static str| {
            move |asked: &str| (asked == name).then(|| value.to_owned())
        };
        assert!(coloured_when(true, |_| None));
        assert!(!coloured_when(false, |_| None), "a pipe");
        assert!(!coloured_when(true, with("NO_COLOR", "1")));
        assert!(coloured_when(true, with("NO_COLOR", "")), "an empty variable says nothing");
        assert!(!coloured_when(true, with("TERM", "dumb")));
        assert_eq!(painted(Some(Colour::Red), "x".to_owned()), "\u{1b}[31mx\u{1b}[0m");
    }

    #[test]
    fn yaml_is_laid_out_for_people() {
        let value = json!({"id": "board-7", "flags": [], "labels": {"a": "no", "b": "1"},
                           "items": [{"x": 1, "z": null}, "two words"]});
        let expected = "flags: []\nid: board-7\nitems:\n  -\n    x: 1\n    z: null\n  - \"two words\"\n\
                        labels:\n  a: \"no\"\n  b: \"1\"\n";
        assert_eq!(yaml(&value), expected);
        assert_eq!(yaml(&json!([])), "[]\n");
    }

    #[test]
    fn figures_are_short() {
        assert_eq!((distance(812.4), distance(3_240.0)), ("812 m".to_owned(), "3.2 km".to_owned()));
        assert_eq!((distance(713_000.0), duration(130)), ("713 km".to_owned(), "2 min".to_owned()));
        assert_eq!(tame("a\u{1b}[31mb\r\nc"), "a[31mb\nc");
    }
}

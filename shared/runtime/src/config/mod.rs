//! Reads a TOML file into a struct, and says what is wrong with it as a person would: which file,
//! which line, which key, and which key was probably meant; [`Layered`] puts variables and flags
//! over it. Reads that one file and nothing else.

mod layers;

use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use shared::border::nearest;

pub use layers::{Layered, anchor, variables};

/// Why a configuration file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}; name a file that exists", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file says something that is not understood.
    #[error("{}, line {line}: {detail}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, and what to write instead.
        detail: String,
    },
    /// A variable or a flag says something that is not understood.
    #[error("{origin}: {detail}")]
    Given {
        /// Which variable or flag.
        origin: String,
        /// What is wrong, and what to write instead.
        detail: String,
    },
}

/// Reads a configuration file. Every struct in `T` should be marked
/// `#[serde(deny_unknown_fields)]`, because only then is a mistyped key found.
///
/// # Errors
///
/// When the file cannot be read or says something that `T` does not understand.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_path_buf(), source })?;
    parse(&text, path)
}

/// As [`load`], for text that was read already; `path` only names it in errors.
///
/// # Errors
///
/// When the text says something that `T` does not understand.
pub fn parse<T: DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| ConfigError::Wrong {
        path: path.to_path_buf(),
        line: line_of(text, error.span().map_or(0, |span| span.start)),
        detail: detail_of(error.message()),
    })
}

/// The line, from 1, that a byte position lies in.
fn line_of(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
}

/// What readers say in words of programmers.
const PLAINLY: [(&str, &str); 7] = [
    ("invalid socket address syntax", "not an address; write ADDRESS:PORT, such as 127.0.0.1:8080"),
    ("expected usize", "expected a whole number"),
    ("expected u64", "expected a whole number"),
    ("expected u32", "expected a whole number"),
    ("expected u16", "expected a whole number up to 65535"),
    ("expected f64", "expected a number"),
    ("expected a boolean", "expected true or false"),
];

/// Turns what the reader says about a wrong name into advice. Anything else passes unchanged.
fn detail_of(message: &str) -> String {
    let advice = advise(message, "unknown field `", "key")
        .or_else(|| advise(message, "unknown variant `", "value"));
    advice.unwrap_or_else(|| {
        let mut detail = message.trim().replace('\n', "; ");
        for (technical, plain) in PLAINLY {
            detail = detail.replace(technical, plain);
        }
        detail
    })
}

/// Reads serde's "unknown field `x`, expected one of `a`, `b`" (or "expected `a` or `b`").
fn advise(message: &str, opening: &str, what: &str) -> Option<String> {
    let (wrong, rest) = message.trim().strip_prefix(opening)?.split_once('`')?;
    let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
    let mut detail = format!("unknown {what} `{wrong}`");
    if let Some(meant) = nearest(wrong, known.iter().copied()) {
        detail.push_str(&format!("; did you mean `{meant}`?"));
    }
    if known.is_empty() {
        detail.push_str("; nothing may be written here");
    } else {
        detail.push_str(&format!(" (known here: {})", known.join(", ")));
    }
    Some(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        listen_port: u16,
        #[serde(default)]
        broker: Broker,
    }

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields, default)]
    struct Broker {
        host: String,
        kind: Kind,
    }

    #[derive(Debug, Default, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Kind {
        #[default]
        Embedded,
        External,
    }

    fn wrong(text: &str) -> String {
        parse::<Example>(text, Path::new("edge.toml")).expect_err("refused").to_string()
    }

    #[test]
    fn a_file_is_read() {
        let text = "listen_port = 80\n[broker]\nhost = 'h'\nkind = 'external'\n";
        let broker = Broker { host: "h".to_owned(), kind: Kind::External };
        let example: Example = parse(text, Path::new("x")).expect("read");
        assert_eq!(example, Example { listen_port: 80, broker });
    }

    #[test]
    fn a_wrong_key_names_the_file_the_line_and_the_right_key() {
        assert_eq!(
            wrong("listen_port = 80\n\n[broker]\n# where\nhots = 'h'\n"),
            "edge.toml, line 5: unknown key `hots`; did you mean `host`? (known here: host, kind)"
        );
        assert_eq!(
            wrong("listen_port = 80\nzzzzzzzz = 1\n"),
            "edge.toml, line 2: unknown key `zzzzzzzz` (known here: listen_port, broker)"
        );
    }

    #[test]
    fn a_wrong_value_names_the_file_the_line_and_what_is_allowed() {
        assert_eq!(
            wrong("listen_port = 80\n[broker]\nkind = 'embeded'\n"),
            "edge.toml, line 3: unknown value `embeded`; did you mean `embedded`? (known here: embedded, external)"
        );
        let error = wrong("listen_port = 'eighty'\n");
        assert!(error.starts_with("edge.toml, line 1: invalid type"), "{error}");
        let error = wrong("\nlisten_port = 80\nbroker = [\n");
        assert!(error.starts_with("edge.toml, line ") && !error.contains('\n'), "{error}");
        let error = wrong("[broker]\n");
        assert!(error.contains("missing field `listen_port`"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load::<Example>(Path::new("/nonexistent/edge.toml")).expect_err("missing");
        assert!(error.to_string().contains("/nonexistent/edge.toml"), "{error}");
    }
}

//! Machines of others that may publish to the embedded broker, for schedules that listen: a file with a
//! name, a password and topics for each. They may publish there and do nothing else.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use shared::id::AgentId;
use shared::schedule::{TopicFilter, TopicFilterError};
use shared_runtime::seal::password_hash;
use shared_runtime::secret::{SecretError, secret_file};

/// The shortest password, in characters: one that nobody guesses over the network.
const PASSWORD_LEAST: usize = 16;
/// The most topic filters of one publisher.
const TOPICS_MAX: usize = 16;

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publisher {
    /// SHA-256 of its password.
    pub(super) password_hash: [u8; 32],
    /// Where it may publish.
    pub(super) topics: Vec<TopicFilter>,
}

/// All of them, by name. A name here has nothing to do with an agent of the same name: a publisher is
/// told by its client id.
pub type Publishers = BTreeMap<AgentId, Publisher>;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PublishersError {
    /// It cannot be read.
    #[error(
        "broker.publishers_file: cannot read {}: {source}; write to that file who may publish (each a \
         table such as [plc-1] with password = \"…\" and topics = [\"factory/#\"]), name another \
         file, or leave the setting out",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others can read it, or it is no file of text.
    #[error("broker.publishers_file: {0}")]
    File(SecretError),
    /// It is not what it should be.
    #[error(
        "broker.publishers_file: {}: {what}; each publisher is a table such as [plc-1] with \
         password = \"…\" and topics = [\"factory/#\"]",
        path.display()
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// A publisher as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    password: String,
    topics: Vec<String>,
}

impl From<SecretError> for PublishersError {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Read { path, source } => Self::Read { path, source },
            other => Self::File(other),
        }
    }
}

/// Reads the file.
///
/// # Errors
/// When others than its owner may read it, or the first thing that is wrong with it.
pub fn read(path: &Path) -> Result<Publishers, PublishersError> {
    let text = secret_file(path)?;
    parse(&text).map_err(|what| PublishersError::Content { path: path.to_owned(), what })
}

/// Reads its text. What is said about it never holds a password.
fn parse(text: &str) -> Result<Publishers, String> {
    let written: BTreeMap<String, Written> = toml::from_str(text).map_err(|error| {
        let line = error.span().map(|span| 1 + text[..span.start].matches('\n').count());
        let line = line.map_or_else(String::new, |line| format!("line {line}: "));
        format!("{line}{}", error.message())
    })?;
    let publisher = |(name, written): (String, Written)| {
        let id: AgentId = name.parse().map_err(|error| format!("[{name}]: the name: {error}"))?;
        if written.password.chars().count() < PASSWORD_LEAST {
            let least = format!("the password must have at least {PASSWORD_LEAST} characters");
            return Err(format!("[{name}]: {least}; `openssl rand -hex 16` makes one"));
        }
        if written.topics.is_empty() || written.topics.len() > TOPICS_MAX {
            return Err(format!("[{name}]: topics must hold 1 to {TOPICS_MAX} filters"));
        }
        let filter = |text: &String| {
            let wrong = |error: TopicFilterError| format!("[{name}]: topics: `{text}` {error}");
            text.parse::<TopicFilter>().map_err(wrong)
        };
        let topics = written.topics.iter().map(filter).collect::<Result<_, _>>()?;
        let password_hash = password_hash(written.password.as_bytes());
        Ok((id, Publisher { password_hash, topics }))
    };
    written.into_iter().map(publisher).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let publishers =
            parse("[plc-1]\npassword = '0123456789abcdef'\ntopics = ['factory/#', 'a/+/b']\n");
        let publishers = publishers.expect("in order");
        let plc = &publishers[&"plc-1".parse().expect("a name")];
        assert_eq!(plc.password_hash, password_hash(b"0123456789abcdef"));
        assert!(plc.topics.len() == 2 && plc.topics[1].matches("a/x/b"));
    }

    #[test]
    fn a_file_that_is_not_there_is_told_what_to_hold() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("publishers.toml");
        let told = read(&missing).expect_err("there is none").to_string();
        let says =
            ["broker.publishers_file", "publishers.toml", "[plc-1]", "leave the setting out"];
        assert!(says.iter().all(|words| told.contains(words)), "{told}");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place_and_without_a_password() {
        let good = "password = 'hunter2hunter2hunter2'\ntopics = ['t']";
        for (text, says) in [
            (format!("[plc/1]\n{good}"), "line 1: "),
            (format!("['plc/1']\n{good}"), "[plc/1]: the name: "),
            ("[p]\npassword = 'hunter2'\ntopics = ['t']".to_owned(), "at least 16 characters"),
            ("[p]\npassword = 'hunter2hunter2hunter2'\ntopics = []".to_owned(), "1 to 16 filters"),
            (
                good.replace("'t'", "'ambit/#'").replace("password", "[p]\npassword"),
                "`ambit/#` begins",
            ),
            (
                good.replace("'t'", "'#'").replace("password", "[p]\npassword"),
                "`#` must begin with",
            ),
            (format!("[p]\n{good}\nqos = 1"), "line 4: unknown field `qos`"),
            (format!("[p]\n{good}\n[p]\n{good}"), "line 4: "),
            ("[p]\npassword = 'hunter2hunter2hunter2'".to_owned(), "missing field `topics`"),
        ] {
            let wrong = parse(&text).expect_err(&text);
            assert!(wrong.contains(says), "{text}\n{wrong}");
            assert!(!wrong.contains("hunter2"), "{wrong}");
        }
    }
}

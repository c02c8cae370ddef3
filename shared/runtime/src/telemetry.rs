//! Where log lines go: standard error, as text for people or JSON for machines. Installs the
//! process's subscriber and does nothing else.

use std::str::FromStr;

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Crates whose lines follow the level asked for. Others are heard from a warning on, unless
/// everything is asked for: a library's chatter is not the state of this program.
const OURS: [&str; 9] = [
    "ambit",
    "ambit_agent",
    "audit",
    "cloud_core",
    "cloud_core_logic",
    "edge_agent",
    "edge_agent_logic",
    "shared",
    "shared_runtime",
];

/// The least important lines that are still written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Nothing at all.
    Off,
    /// What needs a person.
    Error,
    /// What a person should know of.
    Warn,
    /// What happened.
    #[default]
    Info,
    /// What happened within.
    Debug,
    /// Everything, also from libraries.
    Trace,
}

/// A text that names no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a log level; write off, error, warn, info, debug or trace")]
pub struct LevelError(String);

impl FromStr for Level {
    type Err = LevelError;

    fn from_str(text: &str) -> Result<Self, LevelError> {
        match text {
            "off" => Ok(Self::Off),
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            "trace" => Ok(Self::Trace),
            _ => Err(LevelError(text.to_owned())),
        }
    }
}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Off => Self::OFF,
            Level::Error => Self::ERROR,
            Level::Warn => Self::WARN,
            Level::Info => Self::INFO,
            Level::Debug => Self::DEBUG,
            Level::Trace => Self::TRACE,
        }
    }
}

/// What a log line looks like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One line for people: time, level, message, fields.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Sends this process's log lines to standard error. The first call decides; later ones change
/// nothing, so tests may call it as often as they like.
pub fn init(level: Level, format: Format) {
    let registry = tracing_subscriber::registry().with(filter(level));
    // An error says that a subscriber is installed already.
    let _ = match format {
        Format::Text => registry
            .with(
                fmt::layer()
                    .with_writer(std::io::stderr)
                    .with_target(false)
                    .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())),
            )
            .try_init(),
        Format::Json => registry
            .with(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr))
            .try_init(),
    };
}

fn filter(level: Level) -> Targets {
    let ours = LevelFilter::from(level);
    // What a library warns of (a client with a wrong password, a link that broke) is told by our own
    // lines, with a cause and a way out.
    let others = if level == Level::Trace { ours } else { ours.min(LevelFilter::ERROR) };
    Targets::new().with_default(others).with_targets(OURS.map(|name| (name, ours)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_call_changes_nothing_and_does_not_panic() {
        init(Level::Off, Format::Json);
        init(Level::Trace, Format::Text);
        tracing::error!("not written");
    }

    #[test]
    fn libraries_are_quiet_until_everything_is_asked_for() {
        use tracing::Level as Of;
        let info = filter(Level::Info);
        assert!(info.would_enable("shared_runtime::link", &Of::INFO));
        assert!(!info.would_enable("shared_runtime::link", &Of::DEBUG));
        assert!(!info.would_enable("mqtt5::broker", &Of::INFO));
        assert!(!info.would_enable("mqtt5::broker", &Of::WARN));
        assert!(info.would_enable("mqtt5::broker", &Of::ERROR));
        assert!(!filter(Level::Error).would_enable("mqtt5::broker", &Of::WARN));
        assert!(filter(Level::Trace).would_enable("mqtt5::broker", &Of::TRACE));
    }

    #[test]
    fn a_wrong_level_names_the_right_ones() {
        assert_eq!("debug".parse(), Ok(Level::Debug));
        let error = "loud".parse::<Level>().expect_err("wrong").to_string();
        assert!(error.contains("`loud`") && error.contains("warn"), "{error}");
    }
}

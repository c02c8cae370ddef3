//! The story of a world: who did what, in virtual time. Written only when somebody will read it.

use std::fmt;

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// What a reader needs to follow.
    Story,
    /// Every message, every change of a row.
    Everything,
}

/// Who did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    World,
    Fault,
    Network,
    Core,
    Board(usize),
    /// A board with a copy of another's disk.
    Copy(usize),
    Client(usize),
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::World => f.pad("world"),
            Self::Fault => f.pad("FAULT"),
            Self::Network => f.pad("network"),
            Self::Core => f.pad("core"),
            Self::Board(number) => f.pad(&format!("agent-{number}")),
            Self::Copy(number) => f.pad(&format!("copy-{number}")),
            Self::Client(number) => f.pad(&format!("client {number}")),
        }
    }
}

/// The story so far.
#[derive(Debug)]
pub struct Trace {
    pub detail: Detail,
    text: String,
}

impl Trace {
    pub fn new(detail: Detail) -> Self {
        Self { detail, text: String::new() }
    }

    /// A line: when, who, what.
    pub fn line(&mut self, at_ms: u64, who: Who, words: &str) {
        let (seconds, milliseconds) = (at_ms / 1_000, at_ms % 1_000);
        let line = format!("{seconds:>6}.{milliseconds:03}  {who:<9}  {words}\n");
        self.text.push_str(&line);
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The last lines.
    pub fn tail(&self, lines: usize) -> String {
        let all: Vec<&str> = self.text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

//! What a line is made of and what happens on it, as values.

use shared::id::{AgentId, Boot, Incarnation, Session};
use shared::wire::Downlink;

use crate::identity::CredentialError;

/// Who speaks.
#[derive(Debug, Clone)]
pub struct Me {
    /// The agent.
    pub agent: AgentId,
    /// Which database.
    pub incarnation: Incarnation,
    /// Which start of the process.
    pub boot: Boot,
    /// Which process of that start.
    pub session: Session,
}

/// What happened on the line.
#[derive(Debug)]
pub enum LineEvent {
    /// The agent's own connection is up.
    Up {
        /// Its number; its last will carries the same.
        link: u64,
    },
    /// There is no connection, or it does not speak for the agent yet.
    Down {
        /// Why, for people.
        reason: String,
    },
    /// The core said something: the seal is right.
    Message(Box<Downlink>),
}

/// Why there can be no line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The credential cannot be used.
    #[error(transparent)]
    Credential(#[from] CredentialError),
    /// There is nothing to connect with.
    #[error(
        "this agent has not joined a core yet; name the file with the core's join token: --join-token-file FILE"
    )]
    NoCredential,
}

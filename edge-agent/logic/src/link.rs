//! How it stands between this agent and its core on the present connection. Values only; the
//! flows move them. Nothing here is stored: a new process starts with a new connection.

use shared::geo::Position;
use shared::time::{Monotonic, Timestamp};

use crate::change::LinkSeen;

/// Where the conversation with the core stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conversation {
    /// There is no connection.
    Down,
    /// Hello was said; the welcome is awaited.
    Greeting {
        /// How often hello was said in a row.
        hellos: u32,
        /// When to say it again.
        again_at: Monotonic,
    },
    /// The core does not let this agent in.
    Refused {
        /// When to say hello again.
        until: Monotonic,
    },
    /// The core knows this agent.
    Met {
        /// How often to send a heartbeat, in milliseconds.
        heartbeat_ms: u64,
        /// When to send the next.
        beat_at: Monotonic,
    },
}

/// A ping whose pong is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ping {
    /// What comes back in the pong.
    pub nonce: u64,
    /// When it was sent.
    pub sent: Monotonic,
}

/// When outbox entries are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resend {
    /// When.
    pub at: Monotonic,
    /// How often that was done since the last acknowledgement.
    pub times: u32,
}

/// Everything about the present connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Link {
    /// Which connection of this process it is; 0 before the first.
    pub number: u64,
    /// Where the conversation stands.
    pub conversation: Conversation,
    /// When the core was last heard; the start of the process before it ever was.
    pub heard: Monotonic,
    /// The wall time of that, if the core was heard since the process started.
    pub heard_at: Option<Timestamp>,
    /// The wall time of the last contact that is on disk.
    pub saved_at: Option<Timestamp>,
    /// When that was written.
    pub saved: Monotonic,
    /// What the database says about the connection.
    pub seen: LinkSeen,
    /// Counts heartbeats of this process.
    pub beat: u64,
    /// The last round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The ping whose pong is awaited.
    pub ping: Option<Ping>,
    /// Set while outbox entries are under way.
    pub resend: Option<Resend>,
    /// The link took no more outbox entries: wait for an acknowledgement or a resend.
    pub congested: bool,
    /// The position that the last hello told.
    pub told_position: Option<Position>,
}

impl Link {
    /// Before the first connection.
    #[must_use]
    pub fn new(seen: LinkSeen, saved_at: Option<Timestamp>, now: Monotonic) -> Self {
        Self {
            number: 0,
            conversation: Conversation::Down,
            heard: now,
            heard_at: None,
            saved_at,
            saved: now,
            seen,
            beat: 0,
            rtt_ms: None,
            ping: None,
            resend: None,
            congested: false,
            told_position: None,
        }
    }

    /// Whether the core knows this agent on this connection.
    #[must_use]
    pub fn is_met(&self) -> bool {
        matches!(self.conversation, Conversation::Met { .. })
    }

    /// When something is to be done for the conversation or the outbox.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        let (conversation, resend) = match self.conversation {
            Conversation::Down => (None, None),
            Conversation::Greeting { again_at, .. } => (Some(again_at), None),
            Conversation::Refused { until } => (Some(until), None),
            Conversation::Met { beat_at, .. } => {
                (Some(beat_at), self.resend.map(|resend| resend.at))
            }
        };
        conversation.into_iter().chain(resend).min()
    }
}

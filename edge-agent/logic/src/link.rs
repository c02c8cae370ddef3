//! How it stands between this agent and its core on the present connection. Values only; the
//! flows move them. Nothing here is stored: a new process starts with a new connection.

use std::collections::VecDeque;

use shared::geo::Position;
use shared::id::Revision;
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

/// The most pings whose pongs are awaited: a way that takes longer than this many heartbeats does
/// not keep a lease.
const PINGS_MAX: usize = 8;

/// A pong that renews the lease once desired state is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Up to where.
    pub desired_rev: Revision,
    /// When its ping was sent.
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
    /// What the database says about the connection.
    pub seen: LinkSeen,
    /// Counts heartbeats and hellos of this process.
    pub beat: u64,
    /// The number of the last hello.
    pub hello: u64,
    /// The last round trip, in milliseconds.
    pub rtt_ms: Option<f64>,
    /// The pings whose pongs are awaited, oldest first.
    pub pings: VecDeque<Ping>,
    /// When the newest ping that was answered was sent; leases count from it. `None` until one is
    /// answered in this process: what was before it nobody measured.
    pub renewed: Option<Monotonic>,
    /// Pongs that renew it once desired state is applied, oldest first.
    pub renewals: VecDeque<Renewal>,
    /// Set since the core said that another board speaks with a copy of this database, or that it
    /// is an old one: nothing is started, and no hello is said before this moment.
    pub barred: Option<Monotonic>,
    /// Set while the core wants no reports yet.
    pub reports_at: Option<Monotonic>,
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
            seen,
            beat: 0,
            hello: 0,
            rtt_ms: None,
            pings: VecDeque::new(),
            renewed: None,
            renewals: VecDeque::new(),
            barred: None,
            reports_at: None,
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

    /// Remembers a ping that was sent.
    pub fn pinged(&mut self, ping: Ping) {
        if self.pings.len() == PINGS_MAX {
            self.pings.pop_front();
        }
        self.pings.push_back(ping);
    }

    /// The ping that a pong answers, if it is awaited. Older ones are awaited no longer.
    pub fn answered(&mut self, nonce: u64) -> Option<Ping> {
        let at = self.pings.iter().position(|ping| ping.nonce == nonce)?;
        self.pings.drain(..=at).next_back()
    }

    /// When something is to be done for the conversation or the outbox.
    #[must_use]
    pub fn next_wakeup(&self) -> Option<Monotonic> {
        match self.conversation {
            Conversation::Down => None,
            Conversation::Greeting { again_at, .. } => Some(again_at),
            Conversation::Refused { until } => Some(until),
            Conversation::Met { beat_at, .. } => {
                let resend = self.resend.map(|resend| resend.at);
                [Some(beat_at), resend, self.reports_at].into_iter().flatten().min()
            }
        }
    }
}

//! Joining: the agent makes a nonce, sends it under the join token's seal, and has its credential
//! once the core says `Joined`. Nothing secret crosses the wire. Values only; `line` sends.

use shared::backoff::delay_ms;
use shared::id::{AgentId, Incarnation};
use shared::time::{Monotonic, Now};
use shared::wire::downlink::RefusedBecause;
use shared::wire::uplink::Join;
use shared::wire::{Downlink, Uplink};
use shared_runtime::seal::{BrokerPassword, JoinToken, Nonce, Root, SealKey, to_hex};

/// How long the core may take to answer, in milliseconds; it doubles.
const ANSWER_MS: u64 = 3_000;
/// The longest wait between two requests, in milliseconds.
const ANSWER_MS_MAX: u64 = 30_000;
/// How long to wait after a refusal, in milliseconds.
const REFUSED_MS: u64 = 30_000;
/// How long after an operator revoked this agent: nothing but an operator changes that.
const REVOKED_MS: u64 = 5 * 60_000;

/// One attempt to join. Its nonce stays the same however often it is asked, so that it does not
/// matter which of several answers arrives.
pub(super) struct Joining {
    /// Seals what is said.
    pub key: SealKey,
    /// What the agent shows to the core's own broker.
    pub password: BrokerPassword,
    /// What the agent has once the core says yes.
    pub root: Root,
    request: Uplink,
    client_id: String,
    requests: u32,
    /// When to ask again; `None` while there is no connection.
    pub ask_at: Option<Monotonic>,
}

/// What the core answered.
pub(super) enum Answer {
    /// The credential holds.
    Granted,
    /// It does not let the agent in.
    Refused(String),
}

impl Joining {
    pub fn new(token: &JoinToken, agent: &AgentId, incarnation: Incarnation, now: Now) -> Self {
        let nonce = Nonce::fresh();
        let request = Uplink::Join(Join { nonce: nonce.to_hex(), incarnation });
        Self {
            key: token.join_key(agent),
            password: token.join_password(agent),
            root: token.root(agent, &nonce),
            request,
            // Not the agent's own: a broker ends an older connection of the same client id.
            client_id: format!("join-{agent}-{}", to_hex(&now.chance.to_be_bytes())),
            requests: 0,
            ask_at: None,
        }
    }

    pub fn client_id(&self) -> String {
        self.client_id.clone()
    }

    /// The connection is up: ask at once.
    pub fn connected(&mut self, now: Now) {
        self.requests = 0;
        self.ask_at = Some(now.mono);
    }

    /// The request, if it is time for it.
    pub fn ask(&mut self, now: Now) -> Option<Uplink> {
        if self.ask_at.is_none_or(|at| at > now.mono) {
            return None;
        }
        self.requests = self.requests.saturating_add(1);
        let wait_ms = delay_ms(self.requests, ANSWER_MS, ANSWER_MS_MAX, now.chance);
        self.ask_at = Some(now.mono + wait_ms);
        Some(self.request.clone())
    }

    /// Whether it is being asked again on the same connection, for the first time: somebody may
    /// want to know.
    pub fn is_unanswered(&self) -> bool {
        self.requests == 2
    }

    /// Takes a message; `None` when it is no answer.
    pub fn hear(&mut self, message: Downlink, now: Now) -> Option<Answer> {
        match message {
            Downlink::Joined => Some(Answer::Granted),
            Downlink::JoinRefused(refusal) => {
                let revoked = refusal.reason == RefusedBecause::Revoked;
                let wait_ms = if revoked { REVOKED_MS } else { REFUSED_MS };
                self.ask_at = Some(now.mono + wait_ms);
                Some(Answer::Refused(refusal.detail))
            }
            _ => None,
        }
    }
}

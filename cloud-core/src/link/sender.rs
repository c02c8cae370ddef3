//! The driver's way out: seals each message for its agent and hands it to the link, or drops it
//! at once. Never waits: a slow broker must not hold up decisions.

use std::fmt::Display;
use std::sync::Arc;

use cloud_core_logic::change::Credential;
use shared::id::AgentId;
use shared::wire::{Downlink, Topic, encode};
use shared_runtime::link::{LinkSender, PublishError};
use shared_runtime::seal::{JoinToken, SealKey, seal};

use tokio::sync::mpsc::UnboundedSender;

use super::Credentials;
use crate::driver::Outbound;
use crate::observe::{DropCause, MessageDropped, MessageSent, Metrics};

/// Seals and sends.
#[derive(Debug)]
pub struct SealedSender {
    link: LinkSender,
    credentials: Arc<Credentials>,
    token: JoinToken,
    metrics: Metrics,
    /// Where to say whose connection is to end, with an embedded broker.
    evictions: Option<UnboundedSender<AgentId>>,
}

impl SealedSender {
    /// A way out through this link.
    #[must_use]
    pub fn new(
        link: LinkSender,
        credentials: Arc<Credentials>,
        token: JoinToken,
        metrics: Metrics,
    ) -> Self {
        Self { link, credentials, token, metrics, evictions: None }
    }

    /// The same, which says whose connection is to end.
    #[must_use]
    pub fn evicting(mut self, evictions: Option<UnboundedSender<AgentId>>) -> Self {
        self.evictions = evictions;
        self
    }

    fn publish(&self, agent: &AgentId, key: &SealKey, message: &Downlink) {
        let body = match encode(message) {
            Ok(body) => body,
            Err(error) => return self.dropped(DropCause::TooLarge, agent, &error),
        };
        let topic = Topic::Down(agent.clone()).to_string();
        let payload = seal(key, &topic, &body);
        match self.link.try_publish(topic, payload) {
            Ok(()) => self.metrics.record(MessageSent),
            Err(error) => {
                let cause = match error {
                    PublishError::Full => DropCause::LinkFull,
                    PublishError::Down | PublishError::Closed => DropCause::LinkDown,
                    PublishError::TooLarge { .. } => DropCause::TooLarge,
                };
                self.dropped(cause, agent, &error);
            }
        }
    }

    fn dropped(&self, cause: DropCause, agent: &AgentId, detail: &dyn Display) {
        self.metrics.record(MessageDropped::sent(cause, agent.as_str(), detail));
    }
}

impl Outbound for SealedSender {
    fn put_credential(&mut self, agent: &AgentId, credential: &Credential) {
        self.credentials.put(agent, credential);
    }

    fn remove_credential(&mut self, agent: &AgentId) {
        self.credentials.revoke(agent);
        if let Some(evictions) = &self.evictions {
            // The broker is on its way down otherwise.
            let _ = evictions.send(agent.clone());
        }
    }

    fn readmit(&mut self, agent: &AgentId) {
        self.credentials.readmit(agent);
    }

    fn send(&mut self, agent: &AgentId, message: &Downlink) {
        match self.credentials.key(agent) {
            Some(key) => self.publish(agent, &key, message),
            None => self.dropped(DropCause::UnknownAgent, agent, &"the agent has no credential"),
        }
    }

    fn answer_join(&mut self, agent: &AgentId, message: &Downlink) {
        self.publish(agent, &self.token.join_key(agent), message);
    }
}

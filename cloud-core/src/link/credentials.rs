//! The agents' credentials in force: the keys that seal their messages, and with an embedded
//! broker the passwords it lets them in with. Filled from the store at the start, and by the
//! driver after each commit.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use cloud_core_logic::change::Credential;
use shared::id::AgentId;
use shared_runtime::seal::{SealKey, from_hex};

use crate::broker::CredentialBook;

/// The credentials in force. Debug output does not show them.
#[derive(Debug, Default)]
pub struct Credentials {
    keys: RwLock<HashMap<AgentId, SealKey>>,
    /// The embedded broker's, if there is one.
    book: Option<Arc<CredentialBook>>,
}

impl Credentials {
    /// Credentials that the embedded broker, if there is one, is told of too.
    #[must_use]
    pub fn new(book: Option<Arc<CredentialBook>>) -> Self {
        Self { keys: RwLock::default(), book }
    }

    /// Puts a credential in force, in place of the agent's earlier one.
    pub fn put(&self, agent: &AgentId, credential: &Credential) {
        let key = SealKey::from_hex(&credential.seal_key);
        let hash = from_hex::<32>(&credential.password_hash);
        let (Ok(key), Ok(hash)) = (key, hash) else {
            // What the core derived itself is well-formed, so the store was meddled with.
            tracing::error!(%agent, "the stored credential cannot be read; the agent must join again");
            return;
        };
        // A panic elsewhere leaves the map as it was.
        self.keys.write().unwrap_or_else(PoisonError::into_inner).insert(agent.clone(), key);
        if let Some(book) = &self.book {
            book.set_agent(agent.clone(), hash);
        }
    }

    /// Takes an agent's credential out of force, and lets it join no more.
    pub fn revoke(&self, agent: &AgentId) {
        self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(agent);
        if let Some(book) = &self.book {
            book.revoke_agent(agent.clone());
        }
    }

    /// Lets an agent that was revoked join again.
    pub fn readmit(&self, agent: &AgentId) {
        if let Some(book) = &self.book {
            book.readmit_agent(agent);
        }
    }

    /// The key that seals an agent's messages, if it has joined.
    #[must_use]
    pub fn key(&self, agent: &AgentId) -> Option<SealKey> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).get(agent).cloned()
    }
}

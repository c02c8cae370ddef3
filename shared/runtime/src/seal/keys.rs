//! Where every key comes from. One join token admits agents; each agent makes a nonce, and both
//! ends derive the same root from token, agent and nonce, so nothing secret crosses the wire:
//!
//! - root S = HMAC(token, "ambit/v1/credential\n" agent "\n" nonce in hex)
//! - seal key M = HMAC(S, "ambit/v1/seal"), password P = hex(HMAC(S, "ambit/v1/password"))
//! - before joining: join key = HMAC(token, "ambit/v1/join\n" agent), join password =
//!   hex(HMAC(token, "ambit/v1/join-password\n" agent))
//!
//! The agent keeps S; the core keeps M and the hash of P, neither of which gives S.

use std::fmt;
use std::path::Path;

use ring::hmac;
use shared::id::AgentId;

use super::hex::{HexError, from_hex, to_hex};
use super::password::BrokerPassword;
use crate::clock::random_bytes;
use crate::secret::{SecretError, secret_file};

/// The shortest join token, in bytes.
pub const TOKEN_BYTES_MIN: usize = 16;

/// Why a join token is not usable.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The token is too short to resist guessing.
    #[error(
        "a join token must have at least {TOKEN_BYTES_MIN} bytes, this one has {bytes}; make one with: openssl rand -hex 32"
    )]
    Short {
        /// Its length.
        bytes: usize,
    },
    /// The token's file cannot be used.
    #[error(transparent)]
    File(#[from] SecretError),
}

/// Admits agents: whoever holds it may join under any free agent id. Debug output does not show
/// it.
#[derive(Clone)]
pub struct JoinToken(Vec<u8>);

impl JoinToken {
    /// A token from text, without the newlines at its end.
    ///
    /// # Errors
    ///
    /// When it is shorter than [`TOKEN_BYTES_MIN`].
    pub fn from_text(text: &str) -> Result<Self, TokenError> {
        let text = text.trim_end_matches(['\r', '\n']);
        if text.len() < TOKEN_BYTES_MIN {
            return Err(TokenError::Short { bytes: text.len() });
        }
        Ok(Self(text.as_bytes().to_vec()))
    }

    /// A token from a file that only its owner may read.
    ///
    /// # Errors
    ///
    /// When the file cannot be used or the token is too short.
    pub fn from_file(path: &Path) -> Result<Self, TokenError> {
        Self::from_text(&secret_file(path)?)
    }

    /// A fresh token of 256 random bits, as text to be written to a file.
    #[must_use]
    pub fn fresh_text() -> String {
        to_hex(&random_bytes::<32>())
    }

    /// Seals an agent's `Join`.
    #[must_use]
    pub fn join_key(&self, agent: &AgentId) -> SealKey {
        SealKey(derive(&self.0, &["ambit/v1/join\n", agent.as_str()]))
    }

    /// What an agent shows to the broker before it has joined.
    #[must_use]
    pub fn join_password(&self, agent: &AgentId) -> BrokerPassword {
        let bytes = derive(&self.0, &["ambit/v1/join-password\n", agent.as_str()]);
        BrokerPassword::from_text(to_hex(&bytes))
    }

    /// The root of an agent's own credential.
    #[must_use]
    pub fn root(&self, agent: &AgentId, nonce: &Nonce) -> Root {
        let parts = ["ambit/v1/credential\n", agent.as_str(), "\n", &nonce.to_hex()];
        Root(derive(&self.0, &parts))
    }
}

/// Makes each root new; made by the agent, sent in its `Join`. No secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nonce([u8; 32]);

impl Nonce {
    /// A nonce from the system's randomness.
    #[must_use]
    pub fn fresh() -> Self {
        Self(random_bytes())
    }

    /// The nonce as it is written in `Join`.
    #[must_use]
    pub fn to_hex(&self) -> String {
        to_hex(&self.0)
    }

    /// Reads a nonce from `Join`.
    ///
    /// # Errors
    ///
    /// When the text is not 64 lower-case hex characters.
    pub fn from_hex(text: &str) -> Result<Self, HexError> {
        from_hex(text).map(Self)
    }
}

/// The root S of an agent's credential; kept by the agent in a file only it can read, and by
/// nobody else. Debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Root([u8; 32]);

impl Root {
    /// The key M that seals this agent's messages, both ways.
    #[must_use]
    pub fn seal_key(&self) -> SealKey {
        SealKey(derive(&self.0, &["ambit/v1/seal"]))
    }

    /// The password P that this agent shows to the broker.
    #[must_use]
    pub fn broker_password(&self) -> BrokerPassword {
        BrokerPassword::from_text(to_hex(&derive(&self.0, &["ambit/v1/password"])))
    }

    /// The root as text, for the agent's credential file and nothing else.
    #[must_use]
    pub fn expose_hex(&self) -> String {
        to_hex(&self.0)
    }

    /// Reads a root from the agent's credential file.
    ///
    /// # Errors
    ///
    /// When the text is not 64 lower-case hex characters.
    pub fn from_hex(text: &str) -> Result<Self, HexError> {
        from_hex(text).map(Self)
    }
}

/// Seals and opens messages. Debug output does not show it; it is written down only by
/// [`SealKey::expose_hex`].
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey([u8; 32]);

impl SealKey {
    /// The key as text, for the core's store and nothing else.
    #[must_use]
    pub fn expose_hex(&self) -> String {
        to_hex(&self.0)
    }

    /// Reads a key from the core's store.
    ///
    /// # Errors
    ///
    /// When the text is not 64 lower-case hex characters.
    pub fn from_hex(text: &str) -> Result<Self, HexError> {
        from_hex(text).map(Self)
    }

    pub(super) fn hmac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.0)
    }
}

macro_rules! hide {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    )*};
}

hide!(JoinToken, Root, SealKey);

/// HMAC-SHA256 with `key` over the parts, one after the other.
fn derive(key: &[u8], parts: &[&str]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part.as_bytes());
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.sign().as_ref());
    bytes
}

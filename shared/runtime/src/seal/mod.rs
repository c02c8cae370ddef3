//! Who said what, proved by both ends and not by the broker: the seal on every message, and the
//! names of what can go wrong with it. Computes only; the keys come from `keys`.
//!
//! A sealed payload is 64 lower-case hex characters of HMAC-SHA256 over the topic, a newline and
//! the body, then a newline, then the body. The topic is inside the seal, so a broker cannot move
//! a message from one agent to another.

mod hex;
mod hook;
mod keys;
mod password;

pub use hex::{HexError, from_hex, to_hex};
pub use hook::{HookKey, HookSecret, base64};
pub use keys::{JoinToken, Nonce, Root, SealKey, TOKEN_BYTES_MIN, TokenError};
pub use password::{BrokerPassword, password_hash, password_matches, sha256};

use ring::hmac;
use shared::wire::MESSAGE_BYTES_MAX;

use password::same_bytes;

/// The length of a seal: its hex characters and the newline.
pub const SEAL_BYTES: usize = 65;
/// The longest body, in bytes: what a message may have, without the seal.
pub const BODY_BYTES_MAX: usize = MESSAGE_BYTES_MAX - SEAL_BYTES;

/// Why a payload is not opened. Whoever receives one ignores the message: it proves nothing
/// about the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// More bytes than any message may have; nothing of it was looked at.
    #[error("the message has {bytes} bytes, more than the {MESSAGE_BYTES_MAX} allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// It does not begin with 64 lower-case hex characters and a newline.
    #[error("the message carries no seal (64 lower-case hex characters and a newline)")]
    Unsealed,
    /// The seal is not the one that this key makes for this topic and body.
    #[error("the seal is wrong: another key, another topic, or a changed body")]
    Wrong,
}

/// Seals a body for one topic. The body should have at most [`BODY_BYTES_MAX`] bytes: a longer
/// one is sealed, and then refused by the link and by the receiver.
#[must_use]
pub fn seal(key: &SealKey, topic: &str, body: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(SEAL_BYTES + body.len());
    payload.extend_from_slice(to_hex(mac(key, topic, body).as_ref()).as_bytes());
    payload.push(b'\n');
    payload.extend_from_slice(body);
    payload
}

/// The body of a sealed payload that came on `topic`, if its seal is right. Allocates nothing;
/// never panics, whatever the bytes.
///
/// # Errors
///
/// When the payload is too large, carries no seal, or a wrong one.
pub fn open<'a>(key: &SealKey, topic: &str, payload: &'a [u8]) -> Result<&'a [u8], SealError> {
    if payload.len() > MESSAGE_BYTES_MAX {
        return Err(SealError::TooLarge { bytes: payload.len() });
    }
    let Some((head, body)) = payload.split_at_checked(SEAL_BYTES) else {
        return Err(SealError::Unsealed);
    };
    let Some((b'\n', digits)) = head.split_last() else {
        return Err(SealError::Unsealed);
    };
    let Ok(claimed) = hex::decode::<32>(digits) else {
        return Err(SealError::Unsealed);
    };
    if same_bytes(mac(key, topic, body).as_ref(), &claimed) {
        Ok(body)
    } else {
        Err(SealError::Wrong)
    }
}

/// HMAC over topic, newline and body, without putting them together in memory. A topic holds no
/// newline, so no two pairs of topic and body give the same bytes.
fn mac(key: &SealKey, topic: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&key.hmac_key());
    context.update(topic.as_bytes());
    context.update(b"\n");
    context.update(body);
    context.sign()
}

#[cfg(test)]
mod tests;

//! Bytes to messages and back. Nothing is allocated by a size that the peer names: the length of
//! the payload itself is checked first, and bounds all that follows.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version every message carries.
pub const PROTOCOL_VERSION: u32 = 1;
/// The largest message, seal included, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 256 * 1024;
/// What the seal and the envelope may take of it, in bytes.
pub const ENVELOPE_BYTES_MAX: usize = 256;

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// More bytes than a message may have.
    #[error("the message has {bytes} bytes, at most {MESSAGE_BYTES_MAX} are allowed")]
    TooLarge {
        /// How many it has.
        bytes: usize,
    },
    /// It speaks another version.
    #[error(
        "the message speaks version {version} of the protocol, this side speaks {PROTOCOL_VERSION}"
    )]
    Version {
        /// The version it names.
        version: u32,
    },
    /// It is not JSON, or not a message that this side knows.
    #[error("the message cannot be read: {reason}")]
    Malformed {
        /// What the reader said.
        reason: String,
    },
}

#[derive(Serialize)]
struct OutgoingEnvelope<'a, T> {
    v: u32,
    #[serde(flatten)]
    message: &'a T,
}

#[derive(Deserialize)]
struct VersionOnly {
    v: u32,
}

/// Writes a message.
///
/// # Errors
/// [`CodecError::TooLarge`] when it would not fit; the caller splits what it sends so that this
/// does not happen.
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, CodecError> {
    let envelope = OutgoingEnvelope { v: PROTOCOL_VERSION, message };
    let bytes = serde_json::to_vec(&envelope)
        .map_err(|error| CodecError::Malformed { reason: error.to_string() })?;
    if bytes.len() + ENVELOPE_BYTES_MAX > MESSAGE_BYTES_MAX {
        return Err(CodecError::TooLarge { bytes: bytes.len() });
    }
    Ok(bytes)
}

/// Reads a message.
///
/// # Errors
/// Named for every way in which bytes fail to be one.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(CodecError::TooLarge { bytes: bytes.len() });
    }
    let malformed = |error: serde_json::Error| CodecError::Malformed { reason: error.to_string() };
    // The version is read by itself first: a message of another version is told apart from a
    // broken one, even where its fields happen to look alike.
    let VersionOnly { v } = serde_json::from_slice(bytes).map_err(malformed)?;
    if v != PROTOCOL_VERSION {
        return Err(CodecError::Version { version: v });
    }
    serde_json::from_slice(bytes).map_err(malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Downlink, Uplink};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2_000)) {
            let _ = decode::<Uplink>(&bytes);
            let _ = decode::<Downlink>(&bytes);
        }

        #[test]
        fn a_damaged_message_never_panics(at in 0_usize..4_000, byte: u8, cut in 0_usize..4_000) {
            for mut bytes in crate::wire::uplink::tests::samples().iter().map(|m| encode(m).unwrap()) {
                let at = at % bytes.len();
                bytes[at] = byte;
                bytes.truncate(cut.max(1));
                let _ = decode::<Uplink>(&bytes);
            }
        }
    }

    #[test]
    fn another_version_is_told_apart_from_a_broken_message() {
        let text = br#"{"v":2,"type":"ping","nonce":1}"#;
        assert_eq!(decode::<Uplink>(text), Err(CodecError::Version { version: 2 }));
        let text = br#"{"v":1,"type":"pong"}"#;
        assert!(matches!(decode::<Uplink>(text), Err(CodecError::Malformed { .. })));
        assert!(matches!(decode::<Uplink>(b"{}"), Err(CodecError::Malformed { .. })));
    }

    #[test]
    fn the_size_limit_holds_at_its_edge() {
        let padding = |bytes: usize| vec![b' '; bytes];
        let mut text = br#"{"v":1,"type":"ping","nonce":1,"session":2}"#.to_vec();
        text.extend(padding(MESSAGE_BYTES_MAX - text.len()));
        assert!(decode::<Uplink>(&text).is_ok());
        text.push(b' ');
        let bytes = text.len();
        assert_eq!(decode::<Uplink>(&text), Err(CodecError::TooLarge { bytes }));
    }

    #[test]
    fn deep_nesting_is_refused_not_followed() {
        let mut text = br#"{"v":1,"type":"ping","nonce":1,"x":"#.to_vec();
        text.extend(vec![b'['; 100_000]);
        assert!(decode::<Uplink>(&text).is_err());
    }
}

//! Signed hooks, after the Standard Webhooks specification 1.0 (<https://www.standardwebhooks.com>):
//! whoever calls one proves that it holds the hook's secret, by an HMAC-SHA256 over the delivery's id,
//! the time and the body. All secrets follow from one key, so that none has to be stored:
//!
//! - secret of a schedule = HMAC(key, "ambit/v1/hook\n" schedule)

use std::fmt;
use std::path::Path;

use ring::hmac;
use shared::id::ScheduleId;

use super::password::same_bytes;
use super::to_hex;
use crate::clock::random_bytes;
use crate::secret::{SecretError, secret_file};

/// What every secret begins with when it is shown.
const PREFIX: &str = "whsec_";
/// What every signature of this kind begins with.
const VERSION: &str = "v1,";
/// The most signatures looked at in one header: a sender that changes its secret sends two.
const SIGNATURES_MAX: usize = 8;

/// What the secrets of all hooks follow from. Debug output does not show it.
#[derive(Clone)]
pub struct HookKey(Vec<u8>);

/// The secret of one hook. Debug output does not show it.
#[derive(Clone)]
pub struct HookSecret([u8; 32]);

impl fmt::Debug for HookKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookKey")
    }
}

impl fmt::Debug for HookSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookSecret")
    }
}

impl HookKey {
    /// The key in a text.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.trim_end_matches(['\r', '\n']).as_bytes().to_vec())
    }

    /// The key in a file that only its owner may read.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn from_file(path: &Path) -> Result<Self, SecretError> {
        Ok(Self::from_text(&secret_file(path)?))
    }

    /// A fresh key of 256 random bits, as text to be written to a file.
    #[must_use]
    pub fn fresh_text() -> String {
        to_hex(&random_bytes::<32>())
    }

    /// The secret of a schedule's hook.
    #[must_use]
    pub fn secret(&self, schedule: ScheduleId) -> HookSecret {
        let text = format!("ambit/v1/hook\n{schedule}");
        HookSecret(mac(&self.0, &[text.as_bytes()]))
    }
}

impl HookSecret {
    /// The secret as whoever calls the hook has to know it. Never log it.
    #[must_use]
    pub fn expose(&self) -> String {
        format!("{PREFIX}{}", base64(&self.0))
    }

    /// The header `webhook-signature` of a delivery.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: &str, body: &[u8]) -> String {
        let parts = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body];
        format!("{VERSION}{}", base64(&mac(&self.0, &parts)))
    }

    /// Whether one of the signatures in a header is that of the delivery. Takes as long whatever is
    /// wrong with them.
    #[must_use]
    pub fn verify(&self, header: &str, id: &str, timestamp: &str, body: &[u8]) -> bool {
        let right = self.sign(id, timestamp, body);
        let shown = header.split(' ').take(SIGNATURES_MAX);
        shown.fold(false, |found, one| found | same_bytes(one.as_bytes(), right.as_bytes()))
    }
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.sign().as_ref());
    bytes
}

/// Base64 with padding (RFC 4648, section 4). Only written here: a signature is compared as text.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let word = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let digit = (word >> (18 - 6 * place) & 63) as usize;
            text.push(if place <= three.len() { char::from(DIGITS[digit]) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn base64_is_that_of_the_standard() {
        // The vectors of RFC 4648, section 10.
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xbf]), "+/+/");
    }

    #[test]
    fn a_delivery_is_known_by_all_of_it() {
        let key = HookKey::from_text("one\n");
        let (one, other) = (ScheduleId(Uuid::from_u128(1)), ScheduleId(Uuid::from_u128(2)));
        let secret = key.secret(one);
        let header = secret.sign("msg_1", "1700000000", b"{}");
        assert!(secret.verify(&header, "msg_1", "1700000000", b"{}"));
        assert!(secret.verify(&format!("v1,AAAA {header}"), "msg_1", "1700000000", b"{}"));
        for (header, id, timestamp, body) in [
            (header.as_str(), "msg_2", "1700000000", &b"{}"[..]),
            (&header, "msg_1", "1700000001", b"{}"),
            (&header, "msg_1", "1700000000", b"{ }"),
            (&header[3..], "msg_1", "1700000000", b"{}"),
            ("", "msg_1", "1700000000", b"{}"),
        ] {
            assert!(!secret.verify(header, id, timestamp, body), "{header} {id} {timestamp}");
        }
        assert!(!key.secret(other).verify(&header, "msg_1", "1700000000", b"{}"));
        let another = HookKey::from_text("two").secret(one);
        assert!(!another.verify(&header, "msg_1", "1700000000", b"{}"));
        assert!(secret.expose().starts_with(PREFIX) && secret.expose().ends_with('='));
        assert_eq!(format!("{secret:?} {key:?}"), "HookSecret HookKey");
    }
}

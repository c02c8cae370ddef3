//! The password that an agent shows to the broker, the hash that the core keeps of it, and the
//! comparison that tells nothing by its duration.

use std::fmt;

use ring::digest;

/// A password for the broker: derived from an agent's credential, or given by the operator of an
/// external broker. Debug output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerPassword(String);

impl BrokerPassword {
    /// A password that someone wrote down.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        Self(text)
    }

    /// The password itself, for the CONNECT packet and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether a password that someone showed is this one, compared in constant time.
    #[must_use]
    pub fn matches(&self, shown: &[u8]) -> bool {
        password_matches(&password_hash(self.0.as_bytes()), shown)
    }
}

impl fmt::Debug for BrokerPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrokerPassword(..)")
    }
}

/// SHA-256 of a password: all that the core keeps of it. A plain hash is enough, because the
/// passwords that are hashed here have 256 random bits.
#[must_use]
pub fn password_hash(password: &[u8]) -> [u8; 32] {
    sha256(password)
}

/// Whether a password that someone showed has this hash, compared in constant time.
#[must_use]
pub fn password_matches(hash: &[u8; 32], shown: &[u8]) -> bool {
    same_bytes(hash, &sha256(shown))
}

/// SHA-256 of some bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

/// Compares without stopping at the first difference, so that the duration does not tell how much
/// of a guess was right.
pub(super) fn same_bytes(left: &[u8], right: &[u8]) -> bool {
    let differences =
        left.iter().zip(right).fold(0, |seen, (l, r)| std::hint::black_box(seen | (l ^ r)));
    left.len() == right.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_bytes_are_the_same() {
        assert!(same_bytes(b"", b""));
        assert!(same_bytes(b"abc", b"abc"));
        assert!(!same_bytes(b"abc", b"abd"));
        assert!(!same_bytes(b"abc", b"xbc"));
        assert!(!same_bytes(b"abc", b"ab"));
        assert!(!same_bytes(b"", b"a"));
    }

    #[test]
    fn a_password_is_known_by_its_hash() {
        let password = BrokerPassword::from_text("correct horse".to_owned());
        let hash = password_hash(password.expose().as_bytes());
        // Printed by `printf 'correct horse' | sha256sum`.
        assert_eq!(
            crate::seal::to_hex(&hash),
            "4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631"
        );
        assert!(password_matches(&hash, b"correct horse") && password.matches(b"correct horse"));
        assert!(!password_matches(&hash, b"correct horsf") && !password.matches(b""));
        assert_eq!(format!("{password:?}"), "BrokerPassword(..)");
    }
}

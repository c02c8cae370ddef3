//! One token: its secret text, what is kept of it, and the role it gives. Values only; the secret
//! is made here, shown once, and kept nowhere.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shared::time::Timestamp;
use shared_runtime::clock::random_bytes;
use shared_runtime::seal::{from_hex, password_hash, password_matches, to_hex};

/// What every token begins with, so that people and scanners for leaked secrets know one.
const PREFIX: &str = "ambit_";
/// The longest name, in characters.
const NAME_LENGTH_MAX: usize = 64;
/// Names that the audit gives to those who came without a token.
const RESERVED: [&str; 2] = ["loopback", "anyone"];

/// What a token lets its bearer do. Each role may do all that those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Reads everything, changes nothing.
    Viewer,
    /// Submits and cancels tasks too.
    Submitter,
    /// Operates agents and the policy too.
    Operator,
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a role; write viewer, submitter or operator")]
pub struct RoleError(String);

impl Role {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Submitter => "submitter",
            Self::Operator => "operator",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        let all = [Self::Viewer, Self::Submitter, Self::Operator];
        all.into_iter().find(|role| role.name() == text).ok_or_else(|| RoleError(text.to_owned()))
    }
}

/// What people call a token: 1 to 64 of `A-Z a-z 0-9 . _ -`. Stands in the audit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenName(String);

/// A text that is no token's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It is empty, too long, or has other characters.
    #[error(
        "a token's name has 1 to {NAME_LENGTH_MAX} of the characters A-Z a-z 0-9 . _ -, such as ci-melbourne"
    )]
    Malformed,
    /// It stands for those without a token.
    #[error("`{0}` is what those without a token are called; choose another name")]
    Reserved(String),
}

impl TokenName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TokenName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if text.is_empty() || text.len() > NAME_LENGTH_MAX || !text.chars().all(fits) {
            return Err(NameError::Malformed);
        }
        if RESERVED.contains(&text) {
            return Err(NameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for TokenName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<TokenName> for String {
    fn from(name: TokenName) -> Self {
        name.0
    }
}

/// What names a token and is no secret: eight hexadecimal characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TokenId(pub String);

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A token as its bearer has it: `ambit_<id>_<64 hexadecimal characters>`. Debug output does not
/// show it.
pub struct Secret {
    /// The part that is no secret.
    pub id: TokenId,
    text: String,
}

impl Secret {
    /// A new one, from the system's randomness.
    #[must_use]
    pub fn fresh() -> Self {
        let id = TokenId(to_hex(&random_bytes::<4>()));
        let text = format!("{PREFIX}{id}_{}", to_hex(&random_bytes::<32>()));
        Self { id, text }
    }

    /// Reads what a bearer has shown; `None` when it cannot be a token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, random) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let fits = from_hex::<4>(id).is_ok() && from_hex::<32>(random).is_ok();
        fits.then(|| Self { id: TokenId(id.to_owned()), text: text.to_owned() })
    }

    /// The whole text, to be shown to the one who asked for the token and to nobody else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        password_hash(self.text.as_bytes())
    }

    /// Whether it has this hash, compared in constant time.
    pub(super) fn has_hash(&self, hash: &[u8; 32]) -> bool {
        password_matches(hash, self.text.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, not shown)", self.id)
    }
}

/// What is asked for when a token is created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Its name.
    pub name: TokenName,
    /// Its role.
    pub role: Role,
    /// For how long it holds, in seconds; for ever when left out.
    pub expires_in_s: Option<u64>,
}

/// What is kept of a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRow {
    /// Its id.
    pub id: TokenId,
    /// Its name.
    pub name: TokenName,
    /// Its role.
    pub role: Role,
    /// SHA-256 of the whole text, in hexadecimal.
    pub hash: String,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ends; never when left out.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

impl TokenRow {
    pub(super) fn new(wish: Wish, secret: &Secret, now: Timestamp) -> Self {
        let ends = |seconds: u64| {
            now.plus_ms(i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(i64::MAX))
        };
        Self {
            id: secret.id.clone(),
            name: wish.name,
            role: wish.role,
            hash: to_hex(&secret.hash()),
            created_at: now,
            expires_at: wish.expires_in_s.map(ends),
            revoked_at: None,
        }
    }

    /// Whether it lets anybody in at this time.
    #[must_use]
    pub fn holds(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|ends| ends > now)
    }
}

impl fmt::Debug for TokenRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenRow({} {} {})", self.id, self.name, self.role)
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in ".{0,80}|ambit_[0-9a-fA-F]{7,9}_[0-9a-fA-F]{63,65}") {
            if let Some(secret) = Secret::parse(&text) {
                prop_assert_eq!(secret.expose(), text.as_str());
                prop_assert_eq!(text.len(), PREFIX.len() + 8 + 1 + 64);
                prop_assert!(!text.contains(|c: char| c.is_ascii_uppercase()));
            }
            if let Ok(name) = text.parse::<TokenName>() {
                prop_assert_eq!(name.as_str(), text.as_str());
            }
            if let Ok(role) = text.parse::<Role>() {
                prop_assert_eq!(role.to_string(), text);
            }
        }

        #[test]
        fn a_fresh_token_is_one(_any: bool) {
            let secret = Secret::fresh();
            let read = Secret::parse(secret.expose()).expect("a token");
            prop_assert!(read.id == secret.id && read.has_hash(&secret.hash()));
        }
    }
}

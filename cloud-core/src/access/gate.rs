//! The gate: who is let in with what was shown, and how often. In memory, so that no request
//! waits for a disk; the keeper brings it what the file says.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use shared::time::{Now, Timestamp};
use shared_runtime::seal::from_hex;

use super::bucket::Bucket;
use super::throttle::{Refusal, Throttle};
use super::token::{Role, Secret, TokenId, TokenRow};

/// How much one token may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Requests a second of one token; 0 for as many as it likes.
    pub requests_per_second: u64,
    /// Requests that may come at once beyond that.
    pub requests_burst: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { requests_per_second: 1_000, requests_burst: 2_000 }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The token's name; `loopback` or `anyone` for one who needed none.
    pub name: Arc<str>,
    /// What it may do.
    pub role: Role,
}

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No token was shown.
    #[error(
        "this core asks for a token; send the header `Authorization: Bearer ambit_…`. An operator \
         makes one on the core's machine with `ambit token create`"
    )]
    Missing,
    /// What was shown cannot be a token.
    #[error(
        "the header Authorization holds no token of this core's; write `Authorization: Bearer` \
         and then the token, which begins with ambit_"
    )]
    Malformed,
    /// No token is what was shown.
    #[error("the token is wrong, or was created for another core; ask an operator for a new one")]
    Wrong,
    /// The token was right, and is revoked.
    #[error("the token was revoked; ask an operator for a new one")]
    Revoked,
    /// The token was right, and is over.
    #[error("the token ended at {0}; ask an operator for a new one")]
    Expired(Timestamp),
    /// Too many wrong tokens came from this address.
    #[error("too many wrong tokens came from this address; the next is looked at in {wait_s} s")]
    TooManyGuesses {
        /// How long to wait, in seconds.
        wait_s: u64,
    },
    /// The token is used too often.
    #[error(
        "this token is used too often: at most {per_second} requests a second are allowed; try again in {wait_s} s"
    )]
    TooManyRequests {
        /// How many are allowed.
        per_second: u64,
        /// How long to wait, in seconds.
        wait_s: u64,
    },
}

#[derive(Debug)]
struct Held {
    row: TokenRow,
    name: Arc<str>,
    hash: [u8; 32],
    bucket: Mutex<Bucket>,
    /// In milliseconds since 1970; 0 before the first use.
    used_at: AtomicI64,
}

/// The gate. One for the whole core.
#[derive(Debug)]
pub struct Gate {
    tokens: RwLock<Arc<HashMap<TokenId, Arc<Held>>>>,
    guesses: Mutex<Throttle>,
    limits: Limits,
    /// Whether everybody is let in as long as no token was ever created.
    open_without: bool,
    used: AtomicBool,
}

impl Gate {
    /// A gate without a token. `open_without`: everybody may do anything as long as there is none.
    #[must_use]
    pub fn new(limits: Limits, open_without: bool) -> Self {
        Self {
            tokens: RwLock::default(),
            guesses: Mutex::default(),
            limits,
            open_without,
            used: AtomicBool::new(false),
        }
    }

    /// Puts tokens in force, in place of all before. Those that stay keep their accounts.
    pub fn put(&self, rows: Vec<TokenRow>, used: &BTreeMap<TokenId, Timestamp>) {
        let before = self.held();
        let mut tokens = HashMap::with_capacity(rows.len());
        for row in rows {
            let Ok(hash) = from_hex::<32>(&row.hash) else {
                tracing::error!(token = %row.id, "its hash cannot be read; nobody is let in with it");
                continue;
            };
            let id = row.id.clone();
            let old = before.get(&id);
            let held = match old {
                Some(old) if old.row == row => Arc::clone(old),
                _ => {
                    let stored = used.get(&id).map_or(0, |at| at.0);
                    let used_at = old.map_or(stored, |old| old.used_at.load(Ordering::Relaxed));
                    Arc::new(Held {
                        name: row.name.as_str().into(),
                        row,
                        hash,
                        bucket: Mutex::default(),
                        used_at: AtomicI64::new(used_at),
                    })
                }
            };
            tokens.insert(id, held);
        }
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(tokens);
    }

    /// Whether everybody is let in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open_without && self.held().is_empty()
    }

    /// Lets a request in, by what its `Authorization` header says.
    ///
    /// # Errors
    /// The named reason why not.
    pub fn admit(
        &self,
        authorization: Option<&str>,
        peer: IpAddr,
        now: Now,
    ) -> Result<Caller, Denied> {
        let held = self.held();
        if self.open_without && held.is_empty() {
            let name = if peer.to_canonical().is_loopback() { "loopback" } else { "anyone" };
            return Ok(Caller { name: name.into(), role: Role::Operator });
        }
        let shown = authorization.ok_or(Denied::Missing)?;
        let (scheme, text) = shown.split_once(' ').unwrap_or((shown, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(Denied::Malformed);
        }
        let secret = Secret::parse(text.trim());
        let account = secret.as_ref().map_or("", |secret| &secret.id.0);
        // Asked before the token is looked at, or guesses would be answered after all.
        let wait_ms = locked(&self.guesses).wait_ms(account, peer, now.mono);
        if wait_ms > 0 {
            return Err(Denied::TooManyGuesses { wait_s: wait_ms.div_ceil(1_000) });
        }
        let found = secret
            .as_ref()
            .and_then(|secret| held.get(&secret.id).filter(|token| secret.has_hash(&token.hash)));
        let Some(token) = found else {
            let denied = if secret.is_some() { Denied::Wrong } else { Denied::Malformed };
            let refusal = locked(&self.guesses).refused(account, peer, now.mono);
            if refusal == Refusal::First {
                tracing::warn!(%peer, "a request came with a wrong token");
            }
            return Err(denied);
        };
        self.let_in(token, now)
    }

    fn let_in(&self, token: &Held, now: Now) -> Result<Caller, Denied> {
        if token.row.revoked_at.is_some() {
            return Err(Denied::Revoked);
        }
        if let Some(ends) = token.row.expires_at.filter(|ends| *ends <= now.wall) {
            return Err(Denied::Expired(ends));
        }
        token.used_at.store(now.wall.0, Ordering::Relaxed);
        self.used.store(true, Ordering::Relaxed);
        let Limits { requests_per_second: per_second, requests_burst } = self.limits;
        if per_second > 0 {
            let taken = locked(&token.bucket).take(per_second, requests_burst, now.mono);
            taken.map_err(|wait_ms| Denied::TooManyRequests {
                per_second,
                wait_s: wait_ms.div_ceil(1_000),
            })?;
        }
        Ok(Caller { name: Arc::clone(&token.name), role: token.row.role })
    }

    /// When tokens were last used, if one was since this was last asked.
    pub(super) fn take_used(&self) -> Option<BTreeMap<TokenId, Timestamp>> {
        if !self.used.swap(false, Ordering::Relaxed) {
            return None;
        }
        let held = self.held();
        let used = held.iter().filter_map(|(id, token)| {
            let at = token.used_at.load(Ordering::Relaxed);
            (at != 0).then(|| (id.clone(), Timestamp(at)))
        });
        Some(used.collect())
    }

    /// How many tokens there are, whether they hold or not.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.held().len()
    }

    fn held(&self) -> Arc<HashMap<TokenId, Arc<Held>>> {
        Arc::clone(&self.tokens.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A panic elsewhere leaves these accounts as they were: every change is one call.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Values of which many are the same, each kept once while it is used.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde::Serialize;

/// How many are kept before it is first looked which of them nobody uses any more.
const SWEEP_FIRST: usize = 1_024;

/// Every value that is in use, by a digest.
#[derive(Debug)]
pub(super) struct Pool<T> {
    by_digest: BTreeMap<u64, Arc<T>>,
    /// The one that was last asked for by itself: a core that starts mostly asks for it again, and
    /// comparing is less work than a digest.
    last: Option<Arc<T>>,
    sweep_at: usize,
}

impl<T> Default for Pool<T> {
    fn default() -> Self {
        Self { by_digest: BTreeMap::new(), last: None, sweep_at: SWEEP_FIRST }
    }
}

impl<T: PartialEq> Pool<T> {
    /// The value that is kept for this one, known by itself.
    pub(super) fn share(&mut self, value: T) -> Arc<T>
    where
        T: Serialize,
    {
        if let Some(last) = self.last.as_ref().filter(|last| ***last == value) {
            return Arc::clone(last);
        }
        let digest = digest_of(&value);
        let kept = self.keep(digest, value);
        self.last = Some(Arc::clone(&kept));
        kept
    }

    /// The value that is kept for this one, known by what it was made of.
    pub(super) fn share_as(&mut self, made_of: &impl Serialize, value: T) -> Arc<T> {
        self.keep(digest_of(made_of), value)
    }

    fn keep(&mut self, digest: u64, value: T) -> Arc<T> {
        if let Some(kept) = self.by_digest.get(&digest) {
            return match **kept == value {
                true => Arc::clone(kept),
                // Two with one digest: whoever came first is shared, the other is not.
                false => Arc::new(value),
            };
        }
        if self.by_digest.len() >= self.sweep_at {
            self.by_digest.retain(|_, kept| Arc::strong_count(kept) > 1);
            self.sweep_at = SWEEP_FIRST.max(self.by_digest.len() * 2);
        }
        let fresh = Arc::new(value);
        self.by_digest.insert(digest, Arc::clone(&fresh));
        fresh
    }
}

fn digest_of(value: &impl Serialize) -> u64 {
    // Serialization of plain data into memory does not fail; if it did, all such values would have
    // one digest, and be kept apart.
    let text = serde_json::to_vec(value).unwrap_or_default();
    // Its key is a constant: the same values have the same digests in every run.
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_one_while_they_are_used() {
        let mut pool = Pool::default();
        let first = pool.share("one".to_owned());
        assert!(Arc::ptr_eq(&first, &pool.share("one".to_owned())));
        assert!(!Arc::ptr_eq(&first, &pool.share("two".to_owned())));
        for number in 0..5_000 {
            pool.share(format!("gone at once {number}"));
            assert!(pool.by_digest.len() <= SWEEP_FIRST + 1);
        }
        assert!(Arc::ptr_eq(&first, &pool.share("one".to_owned())));
    }
}

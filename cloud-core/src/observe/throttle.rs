//! Bounds how often the same thing is said in the log, so that a stranger cannot fill a disk with
//! it. Counting is never throttled.

use std::sync::atomic::{AtomicU64, Ordering};

use shared::time::Monotonic;

/// The least time between two lines about the same thing, in milliseconds.
const INTERVAL_MS: u64 = 10_000;

/// Lets one line through per interval, and remembers how many it held back.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    /// When the next line may be written, in milliseconds.
    next_ms: AtomicU64,
    held_back: AtomicU64,
}

impl Throttle {
    /// Whether a line may be written now; if so, how many were held back since the last one.
    pub(super) fn admit(&self, now: Monotonic) -> Option<u64> {
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let later_ms = now.0.saturating_add(INTERVAL_MS);
        let ours = now.0 >= next_ms
            && self
                .next_ms
                .compare_exchange(next_ms, later_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if ours {
            Some(self.held_back.swap(0, Ordering::Relaxed))
        } else {
            self.held_back.fetch_add(1, Ordering::Relaxed);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_an_interval_and_none_is_forgotten() {
        let throttle = Throttle::default();
        assert_eq!(throttle.admit(Monotonic(50)), Some(0));
        assert_eq!(throttle.admit(Monotonic(51)), None);
        assert_eq!(throttle.admit(Monotonic(50 + INTERVAL_MS - 1)), None);
        assert_eq!(throttle.admit(Monotonic(50 + INTERVAL_MS)), Some(2));
        assert_eq!(throttle.admit(Monotonic(51 + INTERVAL_MS)), None);
    }
}

//! A token bucket: so many requests a second, and a few more at once. Pure; the time is an
//! argument.

use shared::time::Monotonic;

/// How much may still come now. Counts in thousandths, so that slow rates lose nothing.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Bucket {
    /// What was taken and has not flowed back, in thousandths of a request.
    taken_milli: u64,
    at: Monotonic,
}

impl Bucket {
    /// Takes one request, if there is room; else how long until there is, in milliseconds.
    pub(super) fn take(&mut self, per_second: u64, burst: u64, now: Monotonic) -> Result<(), u64> {
        // A request a second is a thousandth of one each millisecond.
        let back = now.since_ms(self.at).saturating_mul(per_second);
        self.taken_milli = self.taken_milli.saturating_sub(back);
        self.at = self.at.max(now);
        let after = self.taken_milli.saturating_add(1_000);
        let over = after.saturating_sub(burst.max(1).saturating_mul(1_000));
        if over > 0 {
            return Err(over.div_ceil(per_second.max(1)));
        }
        self.taken_milli = after;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_burst_passes_and_then_as_many_as_flow_back() {
        let mut bucket = Bucket::default();
        for _ in 0..3 {
            assert_eq!(bucket.take(2, 3, Monotonic(10)), Ok(()));
        }
        assert_eq!(bucket.take(2, 3, Monotonic(10)), Err(500));
        assert_eq!(bucket.take(2, 3, Monotonic(509)), Err(1));
        assert_eq!(bucket.take(2, 3, Monotonic(510)), Ok(()));
        assert_eq!(bucket.take(2, 3, Monotonic(510)), Err(500));
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_the_rate_allow(
            waits in prop::collection::vec(0_u64..400, 1..200), rate in 1_u64..50, burst in 1_u64..20
        ) {
            let (mut bucket, mut now, mut passed) = (Bucket::default(), Monotonic(0), 0_u64);
            for wait in waits {
                now = now + wait;
                match bucket.take(rate, burst, now) {
                    Ok(()) => passed += 1,
                    Err(wait_ms) => {
                        prop_assert!(wait_ms > 0);
                        let mut later = bucket;
                        prop_assert_eq!(later.take(rate, burst, now + wait_ms), Ok(()));
                    }
                }
            }
            prop_assert!(passed * 1_000 <= burst * 1_000 + now.0 * rate);
        }
    }
}

//! How long to wait before trying again: exponential, capped, with jitter. One rule for retries of
//! tasks and for everything else that tries again.

use crate::time::mix;

/// The wait before retry number `failures` (1 for the first), in milliseconds: a random half and a
/// fixed half of `first_ms * 2^(failures - 1)`, at most `max_ms` ("equal jitter", Brooker,
/// "Exponential Backoff And Jitter", 2015). Never less than half the nominal wait, so a retry
/// storm cannot form, and never more than `max_ms`.
#[must_use]
pub fn delay_ms(failures: u32, first_ms: u64, max_ms: u64, chance: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(63);
    let nominal = u128::from(first_ms) << doublings;
    let nominal = u64::try_from(nominal).unwrap_or(u64::MAX).min(max_ms);
    let half = nominal / 2;
    let spread = nominal - half;
    half + mix(chance, 0x6261_636b) % (spread + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_delay_stays_between_half_its_nominal_value_and_the_cap(
            failures in 0_u32..200,
            first in 0_u64..1_000_000,
            max in 0_u64..10_000_000,
            chance: u64,
        ) {
            let delay = delay_ms(failures, first, max, chance);
            prop_assert!(delay <= max);
            prop_assert!(delay >= first.min(max) / 2);
        }
    }

    #[test]
    fn delays_double_until_the_cap() {
        let least = |failures| (0..64).map(|c| delay_ms(failures, 1_000, 60_000, c)).min();
        assert!(least(1) >= Some(500) && least(2) >= Some(1_000) && least(3) >= Some(2_000));
        assert!(delay_ms(60, 1_000, 60_000, 1) >= 30_000);
    }
}

//! Schedules: how long it takes to say when one fires next, and how a core carries a million of them.

pub mod million;
pub mod next;

use rustix::time::{ClockId, clock_gettime};

/// Processor time of this thread, in µs.
fn now_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The middle one, and the one that one in a hundred is above.
fn percentiles(values: &mut [f64]) -> [f64; 2] {
    values.sort_by(f64::total_cmp);
    let at = |part: usize| values.get(values.len() * part / 100).copied().unwrap_or(f64::NAN);
    [at(50), at(99)]
}

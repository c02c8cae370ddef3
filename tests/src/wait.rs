//! Waiting for what must come, without ever sleeping for a fixed time: a probe is asked again and
//! again until it answers or patience ends, and then says what it saw last.

use std::time::{Duration, Instant};

/// How long anything that must happen may take. Generous, because a busy machine is no bug.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How long to wait between two questions at first; it grows to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Waits up to [`PATIENCE`] until the probe answers; what it says until then is why not.
///
/// # Panics
/// When it does not, with what it said last.
pub fn eventually<T>(what: &str, probe: impl FnMut() -> Result<T, String>) -> T {
    within(PATIENCE, what, probe)
}

/// As [`eventually`], with another patience.
///
/// # Panics
/// When the probe does not answer in that time.
pub fn within<T>(
    patience: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<T, String>,
) -> T {
    let begun = Instant::now();
    let mut pause = PAUSE;
    loop {
        match probe() {
            Ok(answer) => return answer,
            Err(last) if begun.elapsed() >= patience => {
                panic!("waited {} s for: {what}\nlast seen: {last}", patience.as_secs())
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 3 / 2).min(PAUSE_MAX);
    }
}

/// Turns a condition into the answer of a probe.
///
/// # Errors
/// With what was seen, when the condition does not hold.
pub fn check(holds: bool, seen: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(seen()) }
}

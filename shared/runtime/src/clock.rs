//! The only file that reads clocks and randomness. Drivers take a [`Now`] from here and pass it
//! on; nothing below a driver asks again.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::time::{ClockId, Timespec, clock_gettime};
use shared::time::{Monotonic, Now, Timestamp, mix};
use uuid::{Builder, Uuid};

/// The increment of SplitMix64: consecutive states of the counter differ by it.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

/// Keeps counting while the machine is suspended, so that a lease or a timeout does not wait for
/// a board that was asleep.
#[cfg(any(target_os = "linux", target_os = "android"))]
const MONOTONIC: ClockId = ClockId::Boottime;
/// The best that this system offers; it may stand still while the machine is suspended.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const MONOTONIC: ClockId = ClockId::Monotonic;

/// Reads the wall clock, the monotonic clock and chance. May be shared between threads.
#[derive(Debug)]
pub struct Clock {
    /// State of a SplitMix64 generator: fast, seeded from the system, and not for secrets.
    chance: AtomicU64,
}

impl Clock {
    /// A clock whose chance is seeded from the system's randomness.
    ///
    /// # Panics
    ///
    /// When the system has no randomness, see [`random_bytes`].
    #[must_use]
    pub fn new() -> Self {
        Self { chance: AtomicU64::new(u64::from_le_bytes(random_bytes())) }
    }

    /// What a step is told about this moment.
    #[must_use]
    pub fn now(&self) -> Now {
        let state = self.chance.fetch_add(GAMMA, Ordering::Relaxed);
        Now { wall: wall(), mono: monotonic(), chance: mix(state, 0) }
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

/// The wall clock, in milliseconds since 1970; negative when the clock stands before that.
fn wall() -> Timestamp {
    let milliseconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => {
            i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ahead| -ahead)
        }
    };
    Timestamp(milliseconds)
}

/// The monotonic clock, in milliseconds.
fn monotonic() -> Monotonic {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(MONOTONIC);
    let seconds = u64::try_from(tv_sec).unwrap_or(0);
    let milliseconds = u64::try_from(tv_nsec).unwrap_or(0) / 1_000_000;
    Monotonic(seconds.saturating_mul(1_000).saturating_add(milliseconds))
}

/// Bytes from the system's generator, fit for secrets.
///
/// # Panics
///
/// When the system has no randomness to give. A program that went on would make secrets that can
/// be guessed, so it stops.
#[must_use]
pub fn random_bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        panic!("the system gives no randomness (getrandom failed); no secret can be made");
    }
    bytes
}

/// The last time and count that a UUID was made of: milliseconds, then 11 bits that count within
/// one millisecond. The twelfth bit of the count stays clear: ids with it are made elsewhere.
static LAST_UUID: AtomicU64 = AtomicU64::new(0);

/// A UUID that sorts by time (version 7), for the wall time of `now`. Before 1970 counts as 1970.
/// Those made by one process sort in the order in which they were made, and no two of them begin
/// with the same eight bytes: the bits after the time count within a millisecond (RFC 9562,
/// section 6.2, method 1), and a clock that goes back is not followed. The rest is from the
/// system, asked for by the kilobyte, because to ask for each takes longer than all else here.
#[must_use]
pub fn new_uuid_v7(now: &Now) -> Uuid {
    let reading = u64::try_from(now.wall.0).unwrap_or(0) << 11;
    let next = |last: u64| last.saturating_add(1).max(reading);
    // The closure always gives a value, so there is always a last one.
    let last =
        LAST_UUID.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
    let stamp = next(last.unwrap_or_default());
    let mut random = [0; 10];
    random[2..].copy_from_slice(&unguessable_bytes());
    let count = stamp.to_be_bytes();
    (random[0], random[1]) = (count[6] & 0x07, count[7]);
    Builder::from_unix_timestamp_millis(stamp >> 11, &random).into_uuid()
}

/// Lets every UUID of version 7 that is made from now on sort behind this one.
pub fn uuids_follow(uuid: &Uuid) {
    let (front, _) = uuid.as_u64_pair();
    // The time, and the count without the version between them.
    let stamp = (front >> 16) << 11 | (front & 0x0fff).min(0x07ff);
    LAST_UUID.fetch_max(stamp, Ordering::Relaxed);
}

/// How much is asked of the system at once, in bytes.
const POOL_BYTES: usize = 1_024;

/// Bytes from the system's generator that were asked for in advance, a thread's own.
struct Pool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_BYTES], used: POOL_BYTES }) };
}

/// Eight bytes that nobody can guess, none of them given twice.
fn unguessable_bytes() -> [u8; 8] {
    POOL.with_borrow_mut(|pool| {
        if pool.used == POOL_BYTES {
            *pool = Pool { bytes: random_bytes(), used: 0 };
        }
        let mut taken = [0; 8];
        let part = &mut pool.bytes[pool.used..pool.used + taken.len()];
        taken.copy_from_slice(part);
        part.fill(0);
        pool.used += taken.len();
        taken
    })
}

/// A random UUID (version 4).
#[must_use]
pub fn new_uuid_v4() -> Uuid {
    Builder::from_random_bytes(random_bytes()).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn uuids_sort_in_the_order_in_which_they_were_made() {
        let at = |wall| Now { wall: Timestamp(wall), mono: Monotonic(0), chance: 0 };
        // Many within a millisecond, more than twelve bits can count, and a clock that goes back.
        let base = 4_000_000_000_000;
        let made: Vec<Uuid> = (0..10_000)
            .map(|n| new_uuid_v7(&at(if n < 6_000 { base } else { base - 60_000 })))
            .collect();
        assert!(made.is_sorted_by(|one, next| one < next));
        assert!(made.iter().all(|uuid| uuid.get_version_num() == 7));
    }

    #[test]
    fn uuids_follow_those_of_earlier_processes_whatever_the_clock_shows() {
        let at = |wall| Now { wall: Timestamp(wall), mono: Monotonic(0), chance: 0 };
        let ahead = Builder::from_unix_timestamp_millis(4_100_000_000_000, &[0xff; 10]).into_uuid();
        uuids_follow(&ahead);
        let made: Vec<Uuid> = (0..5_000).map(|_| new_uuid_v7(&at(4_000_000_000_000))).collect();
        assert!(made[0] > ahead && made.is_sorted_by(|one, next| one < next));
        let fronts: HashSet<u64> = made.iter().map(|uuid| uuid.as_u64_pair().0).collect();
        assert_eq!(fronts.len(), made.len(), "each has a front of its own");
        let backs: HashSet<u64> = made.iter().map(|uuid| uuid.as_u64_pair().1).collect();
        assert_eq!(backs.len(), made.len(), "nothing random is given twice");
    }

    #[test]
    fn the_monotonic_clock_never_goes_back_and_chance_never_repeats() {
        let clock = Clock::new();
        let mut last = clock.now();
        let mut seen = HashSet::from([last.chance]);
        for _ in 0..10_000 {
            let now = clock.now();
            assert!(now.mono >= last.mono);
            assert!(seen.insert(now.chance));
            last = now;
        }
        // After 2020, before 2100: milliseconds, not seconds or microseconds.
        assert!((1_577_836_800_000..4_102_444_800_000).contains(&last.wall.0), "{:?}", last.wall);
    }

    #[test]
    fn two_clocks_do_not_share_their_chance() {
        assert_ne!(Clock::new().now().chance, Clock::new().now().chance);
    }

    #[test]
    fn a_version_7_uuid_sorts_by_its_time() {
        let at = |wall| Now { wall: Timestamp(wall), mono: Monotonic(0), chance: 0 };
        let earlier = new_uuid_v7(&at(1_795_223_223_456));
        let later = new_uuid_v7(&at(1_795_223_223_457));
        assert!(earlier < later);
        assert_eq!(earlier.get_version_num(), 7);
        assert_eq!(new_uuid_v7(&at(-5)).get_version_num(), 7);
        assert_eq!(new_uuid_v4().get_version_num(), 4);
        assert_ne!(new_uuid_v4(), new_uuid_v4());
    }
}

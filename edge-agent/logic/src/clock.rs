//! Whether the wall clock is to be believed. Boards without a battery wake up in 1970, others run
//! years ahead. The agent remembers the last time it believed (the floor), watches for jumps
//! against the monotonic clock, and takes the core's word over its own. A clock in doubt decides
//! nothing; it is only shown, and told with the doubt.

use serde::{Deserialize, Serialize};
use shared::time::{Monotonic, Now, Stamp, Timestamp};

/// How far a wall clock may lie behind the floor, or jump against the monotonic clock, in
/// milliseconds.
pub const JUMP_MS: u64 = 60_000;
/// How far it may differ from the core's, in milliseconds.
pub const CORE_MS: u64 = 600_000;
/// How far beyond the floor it may be before the core confirms it, in milliseconds: ten years.
pub const PLAUSIBLE_MS: u64 = 10 * 365 * 24 * 3_600 * 1_000;

/// Why a wall clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "doubt", rename_all = "snake_case")]
pub enum Doubt {
    /// It shows less than what was believed before, or than the date of the program.
    BehindFloor {
        /// What was believed before.
        floor: Timestamp,
    },
    /// It shows more than any board can have been off for.
    FarAhead {
        /// What was believed before.
        floor: Timestamp,
    },
    /// It jumped, and no core has confirmed it.
    Jumped {
        /// By how much, in milliseconds; negative when it went back.
        by_ms: i64,
    },
    /// The core's shows something else.
    CoreDiffers {
        /// What is to be added to get the core's, in milliseconds.
        offset_ms: i64,
    },
}

impl Doubt {
    /// Whether this is the same doubt, but for a little time that has passed since.
    #[must_use]
    fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Jumped { by_ms: one }, Self::Jumped { by_ms: two })
            | (Self::CoreDiffers { offset_ms: one }, Self::CoreDiffers { offset_ms: two }) => {
                one.abs_diff(*two) <= JUMP_MS
            }
            (Self::BehindFloor { .. }, Self::BehindFloor { .. })
            | (Self::FarAhead { .. }, Self::FarAhead { .. }) => true,
            _ => false,
        }
    }
}

/// Whether the wall clock is believed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "clock", rename_all = "snake_case")]
pub enum Trust {
    /// It is.
    #[default]
    Trusted,
    /// It is not.
    Unsynced {
        /// Why.
        #[serde(flatten)]
        why: Doubt,
    },
}

/// A wall time that held at a moment of the monotonic clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Anchor {
    wall: Timestamp,
    mono: Monotonic,
}

impl Anchor {
    /// How far the wall clock is ahead of what follows from this, in milliseconds.
    fn ahead_ms(&self, now: Now) -> i64 {
        let elapsed = i64::try_from(now.mono.since_ms(self.mono)).unwrap_or(i64::MAX);
        now.wall.0.saturating_sub(self.wall.plus_ms(elapsed).0)
    }
}

/// The wall clock as far as it is believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clock {
    board: u32,
    built_at: Timestamp,
    floor: Timestamp,
    trust: Trust,
    /// The last look at it while it was believed.
    own: Option<Anchor>,
    /// What the core said last.
    core: Option<Anchor>,
}

impl Clock {
    /// A clock at the start of a process, before anything of it is known but what was stored.
    /// Follow with [`Clock::look`].
    #[must_use]
    pub fn new(board: u32, built_at: Timestamp, stored_floor: Option<Timestamp>) -> Self {
        let floor = stored_floor.map_or(built_at, |floor| floor.max(built_at));
        Self { board, built_at, floor, trust: Trust::Trusted, own: None, core: None }
    }

    /// Whether it is believed.
    #[must_use]
    pub fn trust(&self) -> Trust {
        self.trust
    }

    /// The last time that was believed.
    #[must_use]
    pub fn floor(&self) -> Timestamp {
        self.floor
    }

    /// The wall time, if it is believed and a core has confirmed it since the process started: a
    /// board that was years ahead when it started would have nothing to tell that by.
    #[must_use]
    pub fn confirmed(&self, now: Now) -> Option<Timestamp> {
        (self.trust == Trust::Trusted && self.core.is_some()).then_some(now.wall)
    }

    /// What goes with everything that is told about this moment.
    #[must_use]
    pub fn stamp(&self, now: Now) -> Stamp {
        let trusted = self.trust == Trust::Trusted;
        Stamp { board: self.board, mono_ms: now.mono.0, trusted }
    }

    /// What is to be added to this wall clock to get the core's, in milliseconds.
    #[must_use]
    pub fn offset_ms(&self, now: Now) -> Option<i64> {
        self.core.map(|core| core.ahead_ms(now).saturating_neg())
    }

    /// Looks at the clock. The floor advances while it is believed, and never otherwise.
    pub fn look(&mut self, now: Now) {
        self.trust = match (self.judge(now), self.trust) {
            (None, _) => Trust::Trusted,
            // What is shown of a doubt does not tremble with every look.
            (Some(why), Trust::Unsynced { why: before }) if why.is_like(&before) => self.trust,
            (Some(why), _) => Trust::Unsynced { why },
        };
        if self.trust == Trust::Trusted {
            self.own = Some(Anchor { wall: now.wall, mono: now.mono });
            self.floor = self.floor.max(now.wall);
        }
    }

    /// The core's clock shows this. Its word is better than ours, and the only one that lowers the
    /// floor: a board that once ran years ahead would never recover otherwise. A core that shows
    /// a time before this program was made is the one that is wrong.
    pub fn hear(&mut self, core: Timestamp, now: Now) {
        if core.plus_ms(to_signed(JUMP_MS)) < self.built_at {
            return;
        }
        self.core = Some(Anchor { wall: core, mono: now.mono });
        self.floor = self.floor.min(core.max(self.built_at));
        self.look(now);
    }

    fn judge(&self, now: Now) -> Option<Doubt> {
        if let Some(core) = self.core {
            let ahead_ms = core.ahead_ms(now);
            let differs = ahead_ms.unsigned_abs() > CORE_MS;
            return differs.then_some(Doubt::CoreDiffers { offset_ms: ahead_ms.saturating_neg() });
        }
        let floor = self.floor;
        if let Some(own) = self.own {
            let by_ms = own.ahead_ms(now);
            // One that was set back is right again at the latest when it shows what it showed.
            let passed = by_ms < 0 && now.wall >= floor;
            let jumped = by_ms.unsigned_abs() > JUMP_MS && !passed;
            return jumped.then_some(Doubt::Jumped { by_ms });
        }
        if now.wall.plus_ms(to_signed(JUMP_MS)) < floor {
            return Some(Doubt::BehindFloor { floor });
        }
        (now.wall.since_ms(floor) > PLAUSIBLE_MS).then_some(Doubt::FarAhead { floor })
    }
}

fn to_signed(milliseconds: u64) -> i64 {
    i64::try_from(milliseconds).unwrap_or(i64::MAX)
}

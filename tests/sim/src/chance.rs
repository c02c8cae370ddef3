//! All chance of a simulated world: counters and the finalizer that the logic itself uses, from one
//! seed. No other source of randomness, no clock and no address decides anything here. What is
//! planned draws from streams of its own, so that leaving one part of a plan out does not change
//! the others.

use shared::time::mix;

/// What a stream of chance is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    Plan = 1,
    Boards,
    Faults,
    Work,
    Processes,
    Run,
    Schedules,
}

/// A stream of chance.
#[derive(Debug, Clone)]
pub struct Chance {
    seed: u64,
    drawn: u64,
}

impl Chance {
    /// A stream of a seed; `number` tells apart many of one kind.
    pub fn new(seed: u64, stream: Stream, number: u64) -> Self {
        Self { seed: mix(mix(seed, 0x5eed), mix(stream as u64, number)), drawn: 0 }
    }

    pub fn word(&mut self) -> u64 {
        self.drawn += 1;
        mix(self.seed, self.drawn)
    }

    /// A number from 0 up to, not including, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.word() % end.max(1)
    }

    /// A number of the range, its end included.
    pub fn between(&mut self, first: u64, last: u64) -> u64 {
        first + self.below(last - first + 1)
    }

    /// As [`Chance::between`], small ones as likely as large ones: every octave has the same share.
    pub fn spread(&mut self, first: u64, last: u64) -> u64 {
        let octaves = u64::from(64 - (last / first.max(1)).leading_zeros());
        let end = first.saturating_mul(1 << self.below(octaves)).saturating_mul(2).min(last);
        self.between(first, end.max(first))
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("an index")
    }

    /// One of some.
    pub fn pick<T: Copy>(&mut self, some: &[T]) -> T {
        some[self.index(some.len())]
    }

    pub fn uuid(&mut self) -> uuid::Uuid {
        uuid::Uuid::from_u64_pair(self.word(), self.word())
    }
}

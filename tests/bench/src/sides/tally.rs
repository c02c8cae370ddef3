//! Counts of agents of which something is true.

use shared::time::Monotonic;

/// Which agents something is true of, and since when of all.
#[derive(Debug, Default)]
pub struct Tally {
    is: Vec<bool>,
    pub count: usize,
    pub all_at: u64,
}

impl Tally {
    /// Of none of so many.
    pub fn of(agents: usize) -> Self {
        Self { is: vec![false; agents], ..Self::default() }
    }

    /// Notes whether it is true of one.
    pub fn set(&mut self, at: usize, is: bool, now: Monotonic) {
        if let Some(was) = self.is.get_mut(at).filter(|was| **was != is) {
            *was = is;
            self.count = if is { self.count + 1 } else { self.count - 1 };
            if self.count == self.is.len() {
                self.all_at = now.0;
            }
        }
    }
}

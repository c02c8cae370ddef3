//! Bookkeeping for what must arrive exactly once over a pipe that loses, repeats and reorders.
//! The sender keeps everything until it is acknowledged ([`Outbox`]); the receiver remembers, for
//! each incarnation of a sender, how far it has come ([`Inbox`]). Where the entries themselves are
//! kept is the store's business.
//!
//! The invariant: the receiver's `acked` only grows within one incarnation, an entry takes effect
//! when `acked` passes its number, and never again.

use serde::{Deserialize, Serialize};

use crate::id::{Incarnation, Sequence};

/// The sender's side: which numbers are given, acknowledged, and under way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Outbox {
    /// The last number given to an entry.
    pub last: Sequence,
    /// Everything up to here is acknowledged.
    pub acked: Sequence,
    /// Everything up to here was handed to the link since it came up. Not kept on disk.
    #[serde(skip)]
    pub sent: Sequence,
}

impl Outbox {
    /// Gives the next entry its number.
    pub fn push(&mut self) -> Sequence {
        self.last = self.last.next();
        self.last
    }

    /// Takes an acknowledgement. `None` when it says nothing new or speaks of numbers never given
    /// (a receiver that is ahead of its sender remembers somebody else: say hello again).
    pub fn acknowledge(&mut self, upto: Sequence) -> Option<Sequence> {
        if upto <= self.acked || upto > self.last {
            return None;
        }
        self.acked = upto;
        self.sent = self.sent.max(upto);
        Some(upto)
    }

    /// Forgets what was handed to the link: it came up anew, or the receiver says it has `acked`.
    pub fn rewind(&mut self) {
        self.sent = self.acked;
    }

    /// Takes back acknowledgements beyond `acked`: the receiver was put back to an earlier state.
    /// `false` when there are none.
    pub fn restore(&mut self, acked: Sequence) -> bool {
        let lost = acked < self.acked;
        if lost {
            (self.acked, self.sent) = (acked, acked);
        }
        lost
    }

    /// Numbers that are not acknowledged; no fewer than there are entries to be told.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.last.0 - self.acked.0
    }
}

/// What the receiver does with a run of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Take every entry numbered above this.
    Above(Sequence),
    /// Something before the run is missing: drop it, acknowledge what is held, await the resend.
    Gap,
}

/// The receiver's side: how far one incarnation of one sender has been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inbox {
    /// Whose numbers these are.
    pub incarnation: Incarnation,
    /// Everything up to here has taken effect.
    pub acked: Sequence,
}

impl Inbox {
    /// Whether a run that begins right behind `after` may be taken.
    #[must_use]
    pub fn admit(&self, after: Sequence) -> Admission {
        if after > self.acked { Admission::Gap } else { Admission::Above(self.acked) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    #[test]
    fn an_acknowledgement_from_the_future_is_not_believed() {
        let mut outbox = Outbox::default();
        outbox.push();
        assert_eq!(outbox.acknowledge(Sequence(2)), None);
        assert_eq!(outbox.acknowledge(Sequence(1)), Some(Sequence(1)));
        assert_eq!(outbox.acknowledge(Sequence(1)), None);
        assert_eq!(outbox.waiting(), 0);
    }

    #[test]
    fn a_receiver_that_was_put_back_is_told_again_from_where_it_stands() {
        let mut outbox = Outbox::default();
        for _ in 0..4 {
            outbox.push();
        }
        outbox.acknowledge(Sequence(3));
        assert!(!outbox.restore(Sequence(3)));
        assert!(outbox.restore(Sequence(1)));
        assert_eq!((outbox.acked, outbox.sent, outbox.waiting()), (Sequence(1), Sequence(1), 3));
        assert_eq!(outbox.acknowledge(Sequence(4)), Some(Sequence(4)));
    }

    proptest! {
        /// Whatever the pipe does to runs and acknowledgements, every entry takes effect once and
        /// in order, as far as anything takes effect at all.
        #[test]
        fn every_entry_takes_effect_once_and_in_order(
            moves in prop::collection::vec((0_u8..6, 0_usize..64), 1..300)
        ) {
            let mut outbox = Outbox::default();
            let mut inbox = Inbox { incarnation: Incarnation(Uuid::nil()), acked: Sequence(0) };
            let mut pipe: Vec<(u64, u64)> = Vec::new();
            let mut acks: Vec<Sequence> = Vec::new();
            let mut applied: Vec<u64> = Vec::new();
            for (action, pick) in moves {
                match action {
                    0 => { outbox.push(); }
                    1 => {
                        let upto = (outbox.sent.0 + 3).min(outbox.last.0);
                        if upto > outbox.sent.0 {
                            pipe.push((outbox.sent.0, upto));
                            outbox.sent = Sequence(upto);
                        }
                    }
                    2 => outbox.rewind(),
                    3 if !pipe.is_empty() => {
                        // Delivered from anywhere and kept: repeats and reorders.
                        let (after, upto) = pipe[pick % pipe.len()];
                        if let Admission::Above(held) = inbox.admit(Sequence(after)) {
                            for seq in after + 1..=upto {
                                if seq > held.0 {
                                    applied.push(seq);
                                    inbox.acked = Sequence(seq);
                                }
                            }
                        }
                        acks.push(inbox.acked);
                    }
                    4 if !pipe.is_empty() => { let at = pick % pipe.len(); pipe.remove(at); }
                    5 if !acks.is_empty() => { outbox.acknowledge(acks[pick % acks.len()]); }
                    _ => {}
                }
                prop_assert!(outbox.acked <= inbox.acked && inbox.acked <= outbox.last);
            }
            let expected: Vec<u64> = (1..=inbox.acked.0).collect();
            prop_assert_eq!(applied, expected);
        }
    }
}

//! What is to happen, in the order of its time. What happens at one moment happens in the order in
//! which it was asked for.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use shared::id::AssignmentId;
use shared::wire::uplink::Gone;
use shared::wire::{Downlink, Uplink};

use crate::parcel::Parcel;

/// Something that is to happen at a time.
#[derive(Debug)]
pub enum Event {
    CoreTurn { life: u64 },
    CoreWake { life: u64 },
    CoreCommit { life: u64 },
    CoreStart,
    CoreLinkUp { life: u64 },
    CoreLinkHeal,
    AgentTurn { board: usize, life: u64 },
    AgentWake { board: usize, life: u64 },
    AgentCommit { board: usize, life: u64 },
    AgentMeasure { board: usize, life: u64 },
    AgentStart { board: usize },
    ClockSet { board: usize, booted_ms: u64 },
    Dial { board: usize, life: u64 },
    Join { board: usize, life: u64 },
    LookForAnswer { board: usize, session: u64 },
    LineDead { board: usize, session: u64, only_if_cut: bool },
    Heal { board: usize },
    Up { board: usize, seal: u64, parcel: Parcel<Uplink> },
    Will { board: usize, seal: u64, gone: Gone },
    Down { agent: usize, seal: u64, parcel: Parcel<Downlink> },
    DiskPutBack { board: usize },
    CoreRestore,
    LeaseLook { board: usize, id: AssignmentId, token: u64 },
    ProcessStart { board: usize, id: AssignmentId, token: u64 },
    Overdue { board: usize, id: AssignmentId, token: u64, life: u64 },
    ProcessWrites { board: usize, id: AssignmentId, token: u64 },
    ProcessEnd { board: usize, id: AssignmentId, token: u64, signal: Option<i32> },
    BrokerUp,
    Fault { planned: usize },
    Client { index: usize },
    Deed { schedule: usize, deed: usize, tries: u32 },
    Calm,
    Look,
}

#[derive(Debug)]
struct Due {
    at_ms: u64,
    number: u64,
    event: Event,
}

impl Due {
    fn key(&self) -> (u64, u64) {
        (self.at_ms, self.number)
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    /// The heap gives its greatest first: that is the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        other.key().cmp(&self.key())
    }
}

/// Everything that is to happen.
#[derive(Debug, Default)]
pub struct Agenda {
    heap: BinaryHeap<Due>,
    scheduled: u64,
}

impl Agenda {
    pub fn put(&mut self, at_ms: u64, event: Event) {
        self.scheduled += 1;
        self.heap.push(Due { at_ms, number: self.scheduled, event });
    }

    pub fn next(&mut self) -> Option<(u64, Event)> {
        self.heap.pop().map(|due| (due.at_ms, due.event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_comes_first_and_equals_in_their_order() {
        let mut agenda = Agenda::default();
        for (at_ms, board) in [(5, 0), (3, 1), (5, 2), (3, 3)] {
            agenda.put(at_ms, Event::Heal { board });
        }
        let mut seen = Vec::new();
        while let Some((at_ms, Event::Heal { board })) = agenda.next() {
            seen.push((at_ms, board));
        }
        assert_eq!(seen, [(3, 1), (3, 3), (5, 0), (5, 2)]);
    }
}

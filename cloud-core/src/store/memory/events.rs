//! The log of events in memory.

use std::collections::VecDeque;

use cloud_core_logic::happening::Happening;
use shared::time::Timestamp;

use crate::store::events::{
    BLOCKS_PRUNED, BLOCKS_READ, Block, EventBounds, EventPart, blocks, is_to_go, part_of,
};

/// The log.
#[derive(Debug, Default)]
pub(super) struct Events {
    pub(super) bounds: EventBounds,
    /// The oldest first, without holes between them.
    blocks: VecDeque<Block>,
    newest: u64,
}

impl Events {
    /// Adds what happened; says where the log ended before.
    pub(super) fn append(&mut self, at: Timestamp, events: &[Happening]) -> u64 {
        let before = self.newest;
        let mut added = 0;
        for (head, events) in blocks(at, events, before) {
            self.blocks.push_back(Block { head, events: events.to_vec() });
            (self.newest, added) = (head.last, added + 1);
        }
        for _ in 0..added + BLOCKS_PRUNED {
            let oldest = self.blocks.front().map(|block| block.head);
            match oldest {
                Some(head) if is_to_go(&head, self.newest, &self.bounds, at) => {
                    self.blocks.pop_front();
                }
                _ => break,
            }
        }
        before
    }

    /// Forgets what was added behind an event. What gave way to it is gone.
    pub(super) fn take_back(&mut self, before: u64) {
        self.blocks.retain(|block| block.head.last <= before);
        self.newest = before;
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    /// What there is to tell behind an event.
    pub(super) fn part(&self, after: u64) -> EventPart {
        let next = self.blocks.iter().filter(|block| block.head.last > after);
        part_of(after, 0, self.newest, next.take(BLOCKS_READ).cloned().collect())
    }
}

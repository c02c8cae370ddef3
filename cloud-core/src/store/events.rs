//! The log of events, the same for every store. What one transaction tells is kept in blocks of
//! consecutive numbers, so that a thousand submissions cost one row; the oldest blocks go when
//! there are too many events or when they are too old, a few with each transaction that adds some.
//!
//! **The invariant**: an event is readable exactly when its change is committed; numbers grow; and
//! whoever reads on from an event is told every one that comes behind it, or a gap.

use cloud_core_logic::happening::Happening;
use serde::{Deserialize, Serialize};
use shared::api::{EventDetail, EventDocument, EventKind};
use shared::time::Timestamp;

/// The most events in a block.
pub(super) const BLOCK_EVENTS_MAX: usize = 1_000;
/// The most blocks read at once.
pub(super) const BLOCKS_READ: usize = 4;
/// How many blocks are looked at beyond those that were added, when old ones are taken away.
pub(super) const BLOCKS_PRUNED: usize = 4;

/// How much is kept of the log of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventBounds {
    /// About how many.
    pub count_max: u64,
    /// For how long, in hours.
    pub keep_hours: u64,
}

impl Default for EventBounds {
    fn default() -> Self {
        Self { count_max: 1_000_000, keep_hours: 7 * 24 }
    }
}

/// A part of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventPart {
    /// The events, gaps among them.
    pub events: Vec<EventDocument>,
    /// The event from which to read on: as asked for when there is nothing yet.
    pub upto: u64,
}

/// A block without what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockHead {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) at: Timestamp,
}

/// A block: events with consecutive numbers, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) head: BlockHead,
    pub(super) events: Vec<Happening>,
}

/// The number before that of the first event a store ever keeps. Made of the time, so that a store
/// that takes another's place, or is put back to a backup, never gives a number again.
pub(super) fn number_before(now: Timestamp) -> u64 {
    u64::try_from(now.0).unwrap_or(0).saturating_mul(1_000)
}

/// Cuts what happened into blocks that follow `last`.
pub(super) fn blocks(
    at: Timestamp,
    events: &[Happening],
    last: u64,
) -> impl Iterator<Item = (BlockHead, &[Happening])> {
    events.chunks(BLOCK_EVENTS_MAX).scan(last, move |last, events| {
        let first = *last + 1;
        *last += events.len() as u64;
        Some((BlockHead { first, last: *last, at }, events))
    })
}

/// Whether a block, the oldest there is, is to go. `newest` is the last event, and never goes.
pub(super) fn is_to_go(
    block: &BlockHead,
    newest: u64,
    bounds: &EventBounds,
    now: Timestamp,
) -> bool {
    let kept_ms = bounds.keep_hours.saturating_mul(3_600_000);
    let too_old = block.at.0.saturating_add(i64::try_from(kept_ms).unwrap_or(i64::MAX)) < now.0;
    let too_many = newest - block.last >= bounds.count_max;
    block.last < newest && (too_old || too_many)
}

/// What there is to tell behind an event, of the blocks from that on in which the next one lies.
/// `origin` is the number before the store's first event, `newest` that of the last.
pub(super) fn part_of(after: u64, origin: u64, newest: u64, blocks: Vec<Block>) -> EventPart {
    // From the start of the log is from the first event there ever was.
    let mut upto = if after == 0 { origin } else { after };
    let mut events = Vec::new();
    if upto > newest {
        // Numbered by a store that knew more, or by nobody.
        let at = blocks.last().map_or(Timestamp(0), |block| block.head.at);
        events.push(gap(upto, newest + 1, at));
        return EventPart { events, upto: newest };
    }
    for block in blocks {
        if block.head.first > upto + 1 {
            events.push(gap(upto, block.head.first, block.head.at));
            upto = block.head.first - 1;
        }
        let numbered = (block.head.first..).zip(block.events);
        events.extend(numbered.filter(|(id, _)| *id > upto).map(|(id, event)| EventDocument {
            id,
            at: block.head.at,
            kind: event.kind,
            task: event.task,
            agent: event.agent,
            schedule: event.schedule,
            detail: event.detail,
        }));
        upto = upto.max(block.head.last);
    }
    EventPart { events, upto }
}

fn gap(after: u64, next: u64, at: Timestamp) -> EventDocument {
    let detail = EventDetail { after: Some(after), next: Some(next), ..EventDetail::default() };
    EventDocument {
        id: next - 1,
        at,
        kind: EventKind::Gap,
        task: None,
        agent: None,
        schedule: None,
        detail: Some(detail),
    }
}

//! The log of events: numbered with its changes, told once each, or a gap.

use cloud_core_logic::change::Change;
use cloud_core_logic::happening::Happening;
use shared::api::{EventDocument, EventKind};
use shared::id::TaskId;
use shared::time::Timestamp;

use super::super::{Reader, Store};
use super::sample::{added, task_id, task_row};
use super::{commit, refused};

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// What happened at a moment, to the tasks with these numbers.
pub fn happened(at: i64, tasks: std::ops::Range<u128>) -> Change {
    let events = tasks.map(|n| Happening::submitted(task_id(n))).collect();
    Change::Happened { at: Timestamp(at), events }
}

/// All that follows an event, read part by part.
pub fn told(reader: &dyn Reader, after: u64) -> Vec<EventDocument> {
    let (mut all, mut upto) = (Vec::new(), after);
    loop {
        let part = reader.events(upto).expect("events");
        if part.events.is_empty() {
            return all;
        }
        assert_eq!(part.upto, part.events.last().expect("an event").id);
        upto = part.upto;
        all.extend(part.events);
    }
}

fn tasks(events: &[EventDocument]) -> Vec<Option<TaskId>> {
    events.iter().map(|event| event.task).collect()
}

/// Gaps, as what they lie between.
fn gaps(events: &[EventDocument]) -> Vec<(u64, u64)> {
    let of = |event: &EventDocument| {
        let detail = event.detail.as_ref().filter(|_| event.kind == EventKind::Gap)?;
        assert_eq!(detail.next, Some(event.id + 1));
        detail.after.zip(detail.next)
    };
    events.iter().filter_map(of).collect()
}

pub(super) fn every_event_is_told_once_in_order(store: &mut dyn Store) {
    let reader = store.reader();
    let before = reader.newest_event().expect("newest");
    assert!(told(&*reader, before).is_empty());
    commit(store, &[happened(1, 0..3)]);
    commit(store, &[happened(2, 3..6_503)]);
    commit(store, &[happened(3, 6_503..6_504)]);
    let events = told(&*reader, before);
    assert_eq!(tasks(&events), (0..6_504).map(|n| Some(task_id(n))).collect::<Vec<_>>());
    assert!(events.windows(2).all(|two| two[0].id + 1 == two[1].id));
    assert_eq!(
        (events[0].id, reader.newest_event().expect("newest")),
        (before + 1, before + 6_504)
    );
    assert_eq!([events[2].at, events[3].at, events[6_503].at].map(|at| at.0), [1, 2, 3]);
    // From the start, and from anywhere between, within a block and at its edges.
    assert_eq!(told(&*reader, 0), events);
    for from in [0, 1, 2, 3, 1_001, 1_002, 1_003, 1_500, 6_502, 6_503] {
        assert_eq!(told(&*reader, before + 1 + from as u64), events[from + 1..], "{from}");
    }
}

pub(super) fn an_event_is_there_exactly_when_its_change_is(store: &mut dyn Store) {
    let reader = store.reader();
    commit(store, &[added(&task_row(1)), happened(1, 1..2)]);
    let newest = reader.newest_event().expect("newest");
    refused(store, &[happened(2, 2..9), added(&task_row(1))]);
    assert_eq!(reader.newest_event().expect("newest"), newest);
    assert!(told(&*reader, newest).is_empty());
    commit(store, &[happened(3, 3..4)]);
    let next = told(&*reader, newest);
    assert_eq!((next.len(), next[0].id), (1, newest + 1), "no number is skipped");
}

pub(super) fn what_was_taken_away_is_told_as_a_gap(store: &mut dyn Store) {
    let reader = store.reader();
    commit(store, &[happened(0, 0..2_500)]);
    let old = reader.newest_event().expect("newest");
    let first = old - 2_499;
    commit(store, &[happened(8 * DAY_MS, 2_500..2_501)]);
    let events = told(&*reader, first);
    assert_eq!(gaps(&events), [(first, old + 1)]);
    assert_eq!(tasks(&events), [None, Some(task_id(2_500))]);
    assert_eq!(gaps(&told(&*reader, 0)), [(first - 1, old + 1)], "and to who reads from the start");
    assert!(gaps(&told(&*reader, old)).is_empty(), "nothing is missing behind what was kept");
    // The last event stays, so that numbers go on behind it.
    assert_eq!(reader.newest_event().expect("newest"), old + 1);
}

pub(super) fn a_number_that_was_never_given_is_told_as_a_gap(store: &mut dyn Store) {
    let reader = store.reader();
    commit(store, &[happened(1, 0..1)]);
    let newest = reader.newest_event().expect("newest");
    let part = reader.events(newest + 70).expect("events");
    assert_eq!(gaps(&part.events), [(newest + 70, newest + 1)]);
    assert_eq!(part.upto, newest);
}

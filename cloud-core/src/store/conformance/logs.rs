//! Logs: taken once, whole, from whom they belong to, and no more of them than may be.

use cloud_core_logic::change::Change;
use proptest::prelude::*;
use shared::id::{AssignmentId, Attempt};
use shared::time::Timestamp;
use shared::wire::uplink::{LogChunk, LogPiece, LogStream};

use super::commit;
use super::sample::{
    added, agent_id, assignment_id, assignment_put, assignment_row, moved, settled, task_id,
    task_row,
};
use crate::store::{
    AgentLogs, LogBounds, LogDrop, LogFate, Pruned, Reader, Store, TASK_BYTES_LEAST,
};

/// When everything here is taken, unless it says otherwise.
const NOW: Timestamp = Timestamp(1_000_000_000_000);
const DAY_MS: i64 = 24 * 3_600 * 1_000;

fn bounds() -> LogBounds {
    LogBounds::default()
}

/// A piece of text.
pub fn text(offset: u64, text: &str) -> LogPiece {
    let (bytes, at) = (text.len() as u64, Timestamp(7 + offset as i64));
    let stream = if offset.is_multiple_of(2) { LogStream::Stdout } else { LogStream::Stderr };
    LogPiece::Text { offset, bytes, at, stream, text: text.to_owned() }
}

/// A chunk of an agent about an attempt of a task.
pub fn logs(agent: &str, task: u128, attempt: u32, pieces: &[LogPiece], last: bool) -> AgentLogs {
    let assignment = assignment_id(task, attempt);
    AgentLogs {
        agent: agent_id(agent),
        chunk: LogChunk { assignment, pieces: pieces.to_vec(), last },
    }
}

fn keep(store: &mut dyn Store, logs: AgentLogs) -> LogFate {
    store.keep_logs(&[logs], &bounds(), NOW).expect("kept").fates[0]
}

fn taken(acked: u64, kept: u64) -> LogFate {
    LogFate { acked: Some(acked), kept, dropped: None }
}

fn dropped(acked: Option<u64>, why: LogDrop) -> LogFate {
    LogFate { acked, kept: 0, dropped: Some(why) }
}

/// Everything that is kept of an attempt: offsets and texts.
pub fn all(reader: &dyn Reader, id: AssignmentId) -> Vec<(u64, String)> {
    let mut from = 0;
    let mut all = Vec::new();
    loop {
        let part = reader.log_part(id, from).expect("read");
        from = part.pieces.last().map_or(part.upto, |piece| piece.end());
        all.extend(part.pieces.into_iter().map(|piece| (piece.offset, piece.text)));
        if part.is_last {
            return all;
        }
    }
}

fn two_tasks(store: &mut dyn Store) {
    commit(
        store,
        &[
            added(&task_row(1)),
            assignment_put(&assignment_row(1, 1, "a")),
            assignment_put(&assignment_row(1, 2, "b")),
            added(&task_row(2)),
            assignment_put(&assignment_row(2, 1, "a")),
        ],
    );
}

pub(super) fn a_log_is_taken_once_however_often_it_comes(store: &mut dyn Store) {
    two_tasks(store);
    let id = assignment_id(1, 1);
    let (one, two) = (text(0, "one\n"), text(4, "two\n"));
    let chunk = |pieces: &[LogPiece]| logs("a", 1, 1, pieces, false);
    assert_eq!(keep(store, chunk(std::slice::from_ref(&one))), taken(4, 4));
    assert_eq!(keep(store, chunk(std::slice::from_ref(&one))), taken(4, 0), "again");
    assert_eq!(keep(store, chunk(&[one, two])), taken(8, 4), "overlapping");
    assert_eq!(keep(store, chunk(&[text(5, "wo\nmore")])), taken(12, 4), "in the middle");
    // What lies between was never kept by the agent.
    let gap = LogPiece::Gap { offset: 12, bytes: 100 };
    assert_eq!(keep(store, chunk(&[gap, text(112, "end")])), taken(115, 3));
    let early = keep(store, chunk(&[text(200, "too early")]));
    assert_eq!(early, dropped(Some(115), LogDrop::Gap), "told from where to go on");
    let reader = store.reader();
    let kept = [(0, "one\n"), (4, "two\n"), (8, "more"), (112, "end")];
    assert_eq!(all(&*reader, id), kept.map(|(offset, text)| (offset, text.to_owned())));
    let part = reader.log_part(id, 5).expect("read");
    assert_eq!(part.pieces.iter().map(|piece| piece.offset).collect::<Vec<_>>(), [4, 8, 112]);
    assert_eq!((part.upto, part.is_last), (115, true));
    let piece = &part.pieces[0];
    assert_eq!((piece.bytes, piece.at, piece.stream), (4, Timestamp(11), LogStream::Stdout));
    assert_eq!(keep(store, logs("a", 1, 1, &[], true)), taken(115, 0));
    let state = reader.log_state(task_id(1)).expect("read").expect("there");
    assert!(!state.settled && state.attempts.len() == 2);
    let first = &state.attempts[0];
    let stream = first.stream.expect("a log");
    assert_eq!((first.attempt, stream.upto, stream.complete), (Attempt(1), 115, true));
    assert_eq!((first.started, first.ended, state.attempts[1].stream), (false, false, None));
}

pub(super) fn a_log_is_taken_from_its_own_agent_only(store: &mut dyn Store) {
    two_tasks(store);
    commit(store, &[moved(2, settled(1, "a", 0))]);
    let piece = [text(0, "forged\n")];
    let not_own = dropped(None, LogDrop::NotItsOwn);
    assert_eq!(keep(store, logs("b", 1, 1, &piece, true)), not_own);
    // An attempt that is not known yet may be one that a restored core is about to hear of.
    assert_eq!(keep(store, logs("a", 1, 9, &piece, true)), not_own);
    // What nobody will ever ask for need not be sent again.
    let forgotten = dropped(Some(7), LogDrop::Forgotten);
    assert_eq!(keep(store, logs("a", 2, 9, &piece, true)), forgotten);
    assert_eq!(keep(store, logs("a", 404, 1, &piece, true)), forgotten);
    // A settled task's own attempt may still tell what it wrote.
    assert_eq!(keep(store, logs("a", 2, 1, &[text(0, "true\n")], true)), taken(5, 5));
    let broken = [text(0, "x"), text(9, "y")];
    assert_eq!(keep(store, logs("a", 1, 1, &broken, false)), dropped(None, LogDrop::Malformed));
    let reader = store.reader();
    assert!(all(&*reader, assignment_id(1, 1)).is_empty());
    assert_eq!(reader.log_state(task_id(404)).expect("read"), None);
    assert!(reader.log_state(task_id(2)).expect("read").expect("there").settled);
    assert!(reader.log_before(assignment_id(404, 1), 5).expect("read").is_empty());
}

pub(super) fn of_one_task_the_oldest_goes_first(store: &mut dyn Store) {
    two_tasks(store);
    let bounds = LogBounds { task_bytes_max: TASK_BYTES_LEAST, ..bounds() };
    let line = "0123456789abcdef".repeat(512);
    let bytes = line.len() as u64;
    for number in 0..12 {
        for (agent, task, attempt) in [("a", 1, 1), ("a", 2, 1)] {
            let logs = logs(agent, task, attempt, &[text(number * bytes, &line)], false);
            store.keep_logs(&[logs], &bounds, NOW).expect("kept");
        }
    }
    let reader = store.reader();
    let kept = all(&*reader, assignment_id(1, 1));
    let offsets: Vec<u64> = kept.iter().map(|(offset, _)| offset / bytes).collect();
    assert_eq!(offsets, [5, 6, 7, 8, 9, 10, 11], "the newest that fit");
    assert_eq!(all(&*reader, assignment_id(2, 1)).len(), 7, "each task by itself");
    // A later attempt of the same task takes the room of the earlier one.
    let many: Vec<LogPiece> = (0..5).map(|number| text(number * bytes, &line)).collect();
    let later = logs("b", 1, 2, &many, false);
    store.keep_logs(&[later], &bounds, NOW).expect("kept");
    assert_eq!(all(&*reader, assignment_id(1, 1)).len(), 2);
    assert_eq!(all(&*reader, assignment_id(1, 2)).len(), 5);
    let state = reader.log_state(task_id(1)).expect("read").expect("there");
    let costs: Vec<u64> =
        state.attempts.iter().map(|one| one.stream.expect("a log").cost).collect();
    assert_eq!(costs, [2 * (bytes + 64), 5 * (bytes + 64)]);
    assert_eq!(state.attempts[0].stream.expect("a log").upto, 12 * bytes, "taken all the same");
}

pub(super) fn of_all_logs_the_oldest_goes_first(store: &mut dyn Store) {
    two_tasks(store);
    let piece = |offset| [text(offset, "0123456789")];
    let tight = LogBounds { bytes_max: 3 * 74, ..bounds() };
    let mut bytes = 0;
    for (task, attempt, offset, agent) in
        [(1, 1, 0, "a"), (2, 1, 0, "a"), (1, 1, 10, "a"), (1, 2, 0, "b"), (2, 1, 10, "a")]
    {
        let logs = logs(agent, task, attempt, &piece(offset), false);
        bytes = store.keep_logs(&[logs], &tight, NOW).expect("kept").bytes;
    }
    assert_eq!(bytes, 3 * 74);
    let reader = store.reader();
    let offsets = |task, attempt| -> Vec<u64> {
        all(&*reader, assignment_id(task, attempt)).into_iter().map(|(offset, _)| offset).collect()
    };
    assert_eq!((offsets(1, 1), offsets(2, 1), offsets(1, 2)), (vec![10], vec![10], vec![0]));
    // And what is too old goes, whatever room there is.
    let later = Timestamp(NOW.0 + 7 * DAY_MS);
    assert_eq!(
        store.prune_logs(&bounds(), later).expect("pruned"),
        Pruned { bytes: 3 * 74, more: false },
        "not yet"
    );
    let later = Timestamp(NOW.0 + 7 * DAY_MS + 1);
    let pruned = store.prune_logs(&bounds(), later).expect("pruned");
    assert_eq!(pruned, Pruned { bytes: 0, more: false });
    assert!(offsets(1, 1).is_empty());
    // Where the agent goes on is not forgotten.
    assert_eq!(keep(store, logs("a", 1, 1, &piece(20), false)), taken(30, 10));
    assert_eq!(offsets(1, 1), [20]);
}

pub(super) fn old_logs_go_in_small_steps(store: &mut dyn Store) {
    two_tasks(store);
    let many: Vec<AgentLogs> =
        (0..600).map(|number| logs("a", 1, 1, &[text(number, "x")], false)).collect();
    store.keep_logs(&many, &bounds(), NOW).expect("kept");
    let later = Timestamp(NOW.0 + 30 * DAY_MS);
    let mut left = Vec::new();
    loop {
        let Pruned { bytes, more } = store.prune_logs(&bounds(), later).expect("pruned");
        left.push(bytes / 65);
        if !more {
            break;
        }
    }
    assert_eq!(left, [600 - 256, 600 - 512, 0]);
}

pub(super) fn a_long_log_is_read_part_by_part_in_both_directions(store: &mut dyn Store) {
    two_tasks(store);
    let id = assignment_id(1, 1);
    let (mut offset, mut written) = (0, String::new());
    for number in 0..40 {
        let piece = format!("line {number} {}\n", "x".repeat(7_000));
        keep(store, logs("a", 1, 1, &[text(offset, &piece)], false));
        offset += piece.len() as u64;
        written.push_str(&piece);
    }
    let reader = store.reader();
    let part = reader.log_part(id, 0).expect("read");
    assert!(!part.is_last && (5..20).contains(&part.pieces.len()), "{}", part.pieces.len());
    let read: String = all(&*reader, id).into_iter().map(|(_, text)| text).collect();
    assert!(read == written);
    let mut backwards = String::new();
    let mut from = offset;
    loop {
        let pieces = reader.log_before(id, from).expect("read");
        let Some(first) = pieces.first() else { break };
        from = first.offset;
        let text: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
        backwards.insert_str(0, &text);
    }
    assert!(backwards == written);
}

/// Random chunks, whole and torn, of whom they belong to and of others.
pub fn chunks() -> impl Strategy<Value = Vec<Vec<AgentLogs>>> {
    let piece = (0_u64..3, 0_usize..40, any::<bool>());
    let one = (0_u128..4, 1_u32..3, 0_u8..5, 0_u64..400, prop::collection::vec(piece, 0..5));
    let chunk = (one, any::<bool>()).prop_map(|((task, attempt, agent, from, pieces), last)| {
        let mut offset = from;
        let mut made = Vec::new();
        for (hole, length, is_text) in pieces {
            // Now and then the next one does not follow.
            offset += u64::from(hole == 2 && length % 7 == 0);
            let piece = match is_text {
                true => text(offset, &"ab\n".repeat(length * 60)),
                false => LogPiece::Gap { offset, bytes: length as u64 },
            };
            offset = piece.end();
            made.push(piece);
        }
        logs(if agent == 0 { "b" } else { "a" }, task, attempt, &made, last)
    });
    prop::collection::vec(prop::collection::vec(chunk, 1..6), 1..12)
}

/// Feeds both stores the same chunks and compares all that can be read of them after each.
///
/// # Errors
/// When they differ.
pub fn alike(
    left: &mut dyn Store,
    right: &mut dyn Store,
    batches: Vec<Vec<AgentLogs>>,
) -> Result<(), TestCaseError> {
    let bounds = LogBounds {
        task_bytes_max: TASK_BYTES_LEAST,
        bytes_max: 2 * TASK_BYTES_LEAST,
        keep_days: 3,
    };
    let setup: Vec<Change> = [1, 2, 3]
        .into_iter()
        .flat_map(|task| [added(&task_row(task)), assignment_put(&assignment_row(task, 1, "a"))])
        .chain([moved(3, settled(1, "a", 0))])
        .collect();
    left.commit(&setup).expect("commit");
    right.commit(&setup).expect("commit");
    let mut now = NOW;
    for batch in batches {
        now = Timestamp(now.0 + DAY_MS / 2);
        let kept = left.keep_logs(&batch, &bounds, now).expect("kept");
        prop_assert_eq!(&kept, &right.keep_logs(&batch, &bounds, now).expect("kept"));
        prop_assert!(kept.bytes <= bounds.bytes_max);
        let (left, right) = (left.reader(), right.reader());
        for task in 0..4 {
            let state = left.log_state(task_id(task)).expect("read");
            prop_assert_eq!(&state, &right.log_state(task_id(task)).expect("read"));
            let costs = state.iter().flat_map(|state| &state.attempts);
            let cost: u64 = costs.filter_map(|one| one.stream).map(|stream| stream.cost).sum();
            prop_assert!(cost <= bounds.task_bytes_max);
            for id in [assignment_id(task, 1), assignment_id(task, 2)] {
                prop_assert!(all(&*left, id) == all(&*right, id));
                for from in [0, 7, 300, 5_000] {
                    let part = left.log_part(id, from).expect("read");
                    prop_assert!(part == right.log_part(id, from).expect("read"));
                    let before = left.log_before(id, from).expect("read");
                    prop_assert!(before == right.log_before(id, from).expect("read"));
                }
            }
        }
    }
    Ok(())
}

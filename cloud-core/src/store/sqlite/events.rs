//! The log of events on disk: a row for each block. Numbers of two stores that stood in one place
//! differ, because each begins with the time at which it was made or put back.

use cloud_core_logic::happening::Happening;
use rusqlite::{Connection, OptionalExtension, Row, params};
use shared::time::Timestamp;

use super::read::all;
use super::rows::{from_json, json};
use crate::store::StoreError;
use crate::store::events::{
    BLOCKS_PRUNED, BLOCKS_READ, Block, BlockHead, EventBounds, EventPart, blocks, is_to_go,
    number_before, part_of,
};

type Result<T> = std::result::Result<T, StoreError>;

/// Gives a database without a log of events the number that its log begins behind.
pub(super) fn begin(connection: &Connection, now: Timestamp) -> Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT (key) DO NOTHING";
    for key in ["events_origin", "events_before"] {
        connection.execute(sql, [key, &number_before(now).to_string()])?;
    }
    Ok(())
}

/// Numbers events of a database that was put back to a backup behind all that it may have numbered
/// since.
pub(super) fn begin_again(connection: &Connection, now: Timestamp) -> Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES ('events_before', $1) \
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    connection.execute(sql, [number_before(now).to_string()])?;
    Ok(())
}

fn noted(connection: &Connection, key: &str) -> Result<u64> {
    let sql = "SELECT value FROM meta WHERE key = $1";
    let mut statement = connection.prepare_cached(sql)?;
    let value: Option<String> = statement.query_row([key], |row| row.get(0)).optional()?;
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
}

/// The number of the last event.
pub(super) fn newest(connection: &Connection) -> Result<u64> {
    let sql = "SELECT last FROM events ORDER BY first DESC LIMIT 1";
    let mut statement = connection.prepare_cached(sql)?;
    let last = statement.query_row([], |row| count(row, 0)).optional()?;
    Ok(last.unwrap_or(0).max(noted(connection, "events_before")?))
}

/// Adds what happened, and takes a few of the oldest away when that is too much.
pub(super) fn append(
    connection: &Connection,
    at: Timestamp,
    events: &[Happening],
    bounds: &EventBounds,
) -> Result<()> {
    let before = newest(connection)?;
    let sql = "INSERT INTO events (first, last, at, events) VALUES ($1, $2, $3, $4)";
    let mut statement = connection.prepare_cached(sql)?;
    let mut added = 0;
    for (head, events) in blocks(at, events, before) {
        statement.execute(params![number(head.first), number(head.last), at.0, json(&events)?])?;
        added += 1;
    }
    let newest = before + events.len() as u64;
    let sql = "SELECT first, last, at FROM events ORDER BY first LIMIT $1";
    let oldest = all(connection, sql, [number((added + BLOCKS_PRUNED) as u64)], head)?;
    for block in oldest.iter().take_while(|block| is_to_go(block, newest, bounds, at)) {
        let mut statement = connection.prepare_cached("DELETE FROM events WHERE first = $1")?;
        statement.execute([number(block.first)])?;
    }
    Ok(())
}

/// What there is to tell behind an event.
pub(super) fn part(connection: &mut Connection, after: u64) -> Result<EventPart> {
    let snapshot = connection.transaction()?;
    let origin = noted(&snapshot, "events_origin")?;
    let next = number(after.max(origin).saturating_add(1));
    let sql = "SELECT first, last, at, events FROM events WHERE first >= coalesce(\
               (SELECT first FROM events WHERE first <= $1 ORDER BY first DESC LIMIT 1), 0) \
               AND last >= $1 ORDER BY first LIMIT $2";
    let read = |row: &Row<'_>| Ok(Block { head: head(row)?, events: from_json(row, 3)? });
    let found = all(&snapshot, sql, [next, number(BLOCKS_READ as u64)], read)?;
    Ok(part_of(after, origin, newest(&snapshot)?, found))
}

fn head(row: &Row<'_>) -> rusqlite::Result<BlockHead> {
    Ok(BlockHead { first: count(row, 0)?, last: count(row, 1)?, at: Timestamp(row.get(2)?) })
}

/// Numbers begin with a time in microseconds: no column is too small for them.
fn number(id: u64) -> i64 {
    i64::try_from(id).unwrap_or(i64::MAX)
}

fn count(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    Ok(u64::try_from(row.get::<_, i64>(column)?).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use shared::api::EventKind;
    use shared::id::CoreId;
    use uuid::Uuid;

    use super::*;
    use crate::store::conformance::events::{happened, told};
    use crate::store::conformance::sample::CORE;
    use crate::store::{SqliteStore, Store, back_up, put_back};

    fn open(path: &Path, fresh: CoreId, now: i64) -> SqliteStore {
        SqliteStore::open(path, fresh, Timestamp(now)).expect("open")
    }

    #[test]
    fn numbers_go_on_where_they_were_and_never_come_again_after_a_backup() {
        let folder = tempfile::tempdir().expect("folder");
        let (path, backup) = (folder.path().join("core.db"), folder.path().join("backup"));
        let commit = |store: &mut SqliteStore, change| store.commit(&[change]).expect("commit");
        let newest = |store: &SqliteStore| store.reader().newest_event().expect("newest");
        let mut store = open(&path, CORE, 1_000);
        commit(&mut store, happened(1_000, 0..5));
        back_up(&path, &backup, Timestamp(2_000)).expect("a backup");
        drop(store);
        let mut store = open(&path, CORE, 3_000);
        assert_eq!(newest(&store), 1_000_005, "the time at which the log began, and five more");
        commit(&mut store, happened(3_000, 5..9));
        let forgotten = newest(&store);
        drop(store);

        put_back(&backup, &path, Timestamp(4_000)).expect("put back");
        let mut store = open(&path, CoreId(Uuid::from_u128(77)), 5_000);
        commit(&mut store, happened(5_000, 20..21));
        let next = newest(&store);
        assert!(next > forgotten);
        // Also to who read only what the backup knows: more may have been told.
        for last in [1_000_005, forgotten] {
            let events = told(&*store.reader(), last);
            let kinds: Vec<_> = events.iter().map(|event| (event.kind, event.id)).collect();
            let expected = [(EventKind::Gap, next - 1), (EventKind::TaskSubmitted, next)];
            assert_eq!(kinds, expected, "behind {last}");
        }
    }

    #[test]
    fn the_log_stays_within_its_bounds_while_it_grows() {
        let folder = tempfile::tempdir().expect("folder");
        let bounds = EventBounds { count_max: 2_000, keep_hours: 1 };
        let mut store = open(&folder.path().join("core.db"), CORE, 0).with_events(bounds);
        for n in 0..40 {
            store.commit(&[happened(n, 0..150)]).expect("commit");
            let kept = told(&*store.reader(), 0).len();
            assert!(kept <= 2_151, "{kept}");
        }
        let kept = told(&*store.reader(), 0).len();
        assert!(kept > 2_000, "{kept}");
    }
}

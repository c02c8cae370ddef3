//! Backups: whole while somebody writes, refused when they are none, and what a store is that
//! finds itself to be one.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cloud_core_logic::change::{Change, FORGOTTEN_ATTEMPTS, Forgotten};
use shared::id::{Attempt, CoreId};
use shared::time::Timestamp;
use shared_runtime::sqlite::DatabaseError;
use uuid::Uuid;

use super::*;
use crate::store::conformance::logs::{all, logs, text};
use crate::store::conformance::sample::{
    CORE, added, agent_id, agent_row, assigned, assignment_id, assignment_put, assignment_row,
    credential, moved, settled, task_id, task_row,
};
use crate::store::{BackupError, LogDrop};

const NOW: Timestamp = Timestamp(1_795_223_223_456);
const LATER: Timestamp = Timestamp(1_795_223_224_000);
const OTHER: CoreId = CoreId(Uuid::from_u128(0xBEEF));

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("folder") }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn database(&self) -> PathBuf {
        self.path("core.db")
    }

    fn open(&self, fresh: CoreId) -> SqliteStore {
        SqliteStore::open(&self.database(), fresh, NOW).expect("open")
    }

    fn back_up(&self, name: &str) -> PathBuf {
        let file = self.path(name);
        back_up(&self.database(), &file, NOW).expect("a backup");
        file
    }

    /// Every name in the folder.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).expect("list").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

/// Two tasks that are not settled, one of them with an attempt, and one that is.
fn some_tasks() -> Vec<Change> {
    vec![
        Change::AgentPut(Box::new(agent_row("a"))),
        Change::CredentialPut { agent: agent_id("a"), credential: credential(1) },
        added(&task_row(1)),
        assignment_put(&assignment_row(1, 3, "a")),
        moved(1, assigned(3, "a")),
        added(&task_row(2)),
        added(&task_row(3)),
        moved(3, settled(1, "a", 0)),
    ]
}

#[test]
fn a_backup_put_in_place_is_the_store_of_another_core() {
    let place = Place::new();
    let mut store = place.open(CORE);
    store.commit(&some_tasks()).expect("commit");
    let before = store.load().expect("load");
    let settled_before = store.reader().task(task_id(3)).expect("read");
    // Beside a store that is open, and goes on.
    let file = place.back_up("backup");
    store.commit(&[added(&task_row(4)), moved(2, settled(1, "a", 0))]).expect("commit");
    assert_eq!(store.taken_up(), None);
    drop(store);

    let done = put_back(&file, &place.database(), LATER).expect("put back");
    assert_eq!(done.backup.taken_at, NOW.to_string());
    let mut store = place.open(OTHER);
    let expected = TakenUp { taken_at: NOW.to_string(), tasks: 2 };
    assert_eq!(store.taken_up(), Some(&expected));
    let after = store.load().expect("load");
    assert!(after.recovering && after.core == OTHER);
    assert_eq!((&after.assignments, &after.agents), (&before.assignments, &before.agents));
    assert_eq!((&after.credentials, &after.wanted), (&before.credentials, &before.wanted));
    for (now, then) in after.tasks.iter().zip(&before.tasks) {
        let mut life = then.life.clone();
        life.restore_from_backup();
        assert_eq!((now.id, &now.life), (then.id, &life));
        assert_eq!((&now.spec, &now.key), (&then.spec, &then.key));
    }
    let upto = Attempt(3 + FORGOTTEN_ATTEMPTS);
    let forgotten =
        Some(Forgotten { above: Attempt(3), upto, found: std::collections::BTreeSet::new() });
    assert_eq!(
        (after.tasks[0].life.attempt, after.tasks[0].life.forgotten.clone()),
        (upto, forgotten)
    );
    assert_eq!(store.reader().task(task_id(3)).expect("read"), settled_before, "its outcome stays");
    assert_eq!(store.reader().task(task_id(4)).expect("read"), None, "what came later is gone");
    drop(store);

    // It is done once: a core that is started again is the same one, and still waits.
    let mut store = place.open(CORE);
    assert_eq!(store.taken_up(), None);
    assert_eq!(store.load().expect("load"), after);
    store.commit(&[Change::Recovered]).expect("commit");
    assert!(!store.load().expect("load").recovering);
    drop(store);
    assert!(!place.open(CORE).load().expect("load").recovering);
    // The database that was replaced is there as it was, under another name.
    let kept = SqliteStore::open(&done.kept.expect("kept"), OTHER, LATER);
    let kept = kept.expect("open").reader();
    assert!(kept.task(task_id(4)).expect("read").is_some());
}

#[test]
fn a_backup_is_whole_while_somebody_writes() {
    let place = Place::new();
    let mut store = place.open(CORE);
    store.commit(&[added(&task_row(1))]).expect("commit");
    let files: Vec<PathBuf> = std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            // Two by two: a backup holds both or neither.
            for number in 1..300 {
                let pair = [added(&task_row(2 * number)), added(&task_row(2 * number + 1))];
                store.commit(&pair).expect("commit");
            }
        });
        let mut files = Vec::new();
        while !writing.is_finished() || files.is_empty() {
            files.push(place.back_up(&format!("backup-{}", files.len())));
        }
        writing.join().expect("written");
        files
    });
    for file in files {
        let mut copy = SqliteStore::open(&file, OTHER, LATER).expect("open");
        let tasks = copy.load().expect("load").tasks;
        assert_eq!(tasks.len() % 2, 1, "a backup between two moments");
        assert!(tasks.iter().zip(1..).all(|(task, number)| task.id == task_id(number)));
    }
}

#[test]
fn a_backup_is_private_and_replaces_nothing() {
    let place = Place::new();
    drop(place.open(CORE));
    let file = place.back_up("backup");
    let mode = std::fs::metadata(&file).expect("file").permissions().mode() & 0o777;
    assert_eq!(mode, 0o600);
    let before = (std::fs::read(&file).expect("read"), place.names());
    let error = back_up(&place.database(), &file, LATER).expect_err("refused");
    assert!(matches!(error, BackupError::Exists { .. }), "{error}");
    let nowhere = place.path("missing").join("backup");
    let error = back_up(&place.database(), &nowhere, LATER).expect_err("refused");
    assert!(matches!(error, BackupError::Writing { .. }), "{error}");
    let error = back_up(&place.path("other.db"), &place.path("x"), LATER).expect_err("refused");
    assert!(matches!(error, BackupError::Database(DatabaseError::Missing { .. })), "{error}");
    let strange = place.path("strange.db");
    rusqlite::Connection::open(&strange).expect("open").execute_batch("VACUUM").expect("made");
    let error = back_up(&strange, &place.path("x"), LATER).expect_err("refused");
    assert!(matches!(error, BackupError::NotACore { .. }), "{error}");
    std::fs::remove_file(strange).expect("removed");
    let same = std::fs::read(&file).expect("read") == before.0;
    assert!(same && place.names() == before.1, "nothing is changed, and nothing is left");
}

#[test]
fn what_is_no_sound_backup_is_not_put_in_place() {
    let place = Place::new();
    let mut store = place.open(CORE);
    let many: Vec<Change> = (1..200).map(|number| added(&task_row(number))).collect();
    store.commit(&many).expect("commit");
    drop(store);
    let good = place.back_up("good");
    let bytes = std::fs::read(&good).expect("read");
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(place.path(name), bytes).expect("write");
        place.path(name)
    };
    let mut holed = bytes.clone();
    holed[bytes.len() / 2..bytes.len() / 2 + 8_192].fill(0xA5);
    let unmarked = place.back_up("unmarked");
    let connection = rusqlite::Connection::open(&unmarked).expect("open");
    connection.execute("DELETE FROM meta WHERE key = 'backup'", []).expect("a plain copy");
    drop(connection);
    let other = place.path("other");
    let connection = rusqlite::Connection::open(&other).expect("open");
    connection.execute_batch("CREATE TABLE t (x); PRAGMA user_version = 1;").expect("made");
    let newer = place.back_up("newer");
    let connection = rusqlite::Connection::open(&newer).expect("open");
    connection.pragma_update(None, "user_version", 999).expect("newer");
    drop(connection);
    // Every page is where it belongs, and one row breaks what its table says.
    let inconsistent = place.back_up("inconsistent");
    let connection = rusqlite::Connection::open(&inconsistent).expect("open");
    connection
        .execute_batch(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema \
             SET sql = replace(sql, 'name TEXT,', 'name TEXT NOT NULL,') WHERE name = 'tasks';",
        )
        .expect("made inconsistent");
    drop(connection);
    let before = (std::fs::read(place.database()).expect("read"), place.names());
    for (file, told) in [
        (inconsistent, "NULL value in tasks.name"),
        (write("good", &bytes[..bytes.len() - 4_096]), "not a sound backup"),
        (write("good", &holed), "not a sound backup"),
        (write("good", b""), "not a sound backup"),
        (write("good", b"a text that is no database at all, whatever it is called"), "sound"),
        (unmarked, "no mark"),
        (other, "another program's database"),
        (newer, "schema version 999"),
        (place.database(), "database itself"),
        (place.path("missing"), "cannot read the backup"),
    ] {
        let error = put_back(&file, &place.database(), LATER).expect_err("refused").to_string();
        assert!(error.contains(told), "{}: {error}", file.display());
    }
    let same = std::fs::read(place.database()).expect("read") == before.0;
    assert!(same && place.names() == before.1, "the database is as it was, and alone");
}

#[test]
fn a_damaged_database_is_replaced_and_kept_with_its_log() {
    let place = Place::new();
    let mut store = place.open(CORE);
    store.commit(&some_tasks()).expect("commit");
    let file = place.back_up("backup");
    drop(store);
    let killed = Place::new();
    let (garbage, log) = (b"nothing that could be read", b"nor a log of anything");
    std::fs::write(killed.path("core.db-wal"), log).expect("the log");
    std::fs::write(killed.database(), garbage).expect("damage");
    let kept = put_back(&file, &killed.database(), LATER).expect("put back").kept.expect("kept");
    assert_eq!(std::fs::read(&kept).expect("kept"), garbage);
    let kept_log = PathBuf::from(format!("{}-wal", kept.display()));
    assert_eq!(std::fs::read(kept_log).expect("its log"), log);
    let tasks = killed.open(OTHER).load().expect("load").tasks;
    assert_eq!(tasks.len(), 2, "nothing of the old log is taken for the new database's");
}

#[test]
fn a_backup_makes_a_core_where_there_was_none_and_a_busy_database_is_left_alone() {
    let place = Place::new();
    place.open(CORE).commit(&some_tasks()).expect("commit");
    let file = place.back_up("backup");
    let elsewhere = place.path("new").join("core.db");
    assert_eq!(put_back(&file, &elsewhere, LATER).expect("put back").kept, None);
    let store = SqliteStore::open(&elsewhere, OTHER, LATER).expect("open");
    assert!(store.taken_up().is_some());
    assert!(Path::new(&file).exists(), "the backup stays");
    let error = put_back(&file, &elsewhere, LATER).expect_err("it is open");
    assert!(matches!(error, BackupError::Database(DatabaseError::Busy { .. })), "{error}");
    assert!(store.reader().task(task_id(1)).expect("read").is_some());
}

#[test]
fn a_store_put_back_does_not_wait_for_logs_that_never_come_again() {
    let place = Place::new();
    let mut store = place.open(CORE);
    store.commit(&some_tasks()).expect("commit");
    let bounds = LogBounds::default();
    let chunk = |attempt, offset| logs("a", 1, attempt, &[text(offset, "line\n")], false);
    let keep = |store: &mut SqliteStore, chunk, now| {
        store.keep_logs(&[chunk], &bounds, now).expect("kept").fates[0]
    };
    let before = Timestamp(NOW.0 - 1);
    assert_eq!(keep(&mut store, chunk(3, 0), before).acked, Some(5));
    let file = place.back_up("backup");
    // Acknowledged after the backup: the agent has deleted it.
    assert_eq!(keep(&mut store, chunk(3, 5), before).acked, Some(10));
    drop(store);
    put_back(&file, &place.database(), NOW).expect("put back");
    let mut store = place.open(OTHER);
    let fate = keep(&mut store, chunk(3, 10), LATER);
    assert_eq!((fate.acked, fate.dropped), (Some(15), None));
    // Once: from now on what is missing will come.
    let fate = keep(&mut store, chunk(3, 20), LATER);
    assert_eq!((fate.acked, fate.dropped), (Some(15), Some(LogDrop::Gap)));
    let kept = all(&*store.reader(), assignment_id(1, 3));
    assert_eq!(kept, [(0, "line\n".to_owned()), (10, "line\n".to_owned())]);
    // An attempt that the backup did not know, and that was taken on again.
    store.commit(&[assignment_put(&assignment_row(1, 7, "a"))]).expect("commit");
    assert_eq!(keep(&mut store, chunk(7, 1_000), LATER).acked, Some(1_005));
    // One that is placed from now on has lost nothing.
    let mut fresh = assignment_row(1, 2_000, "a");
    fresh.offered_at = LATER;
    store.commit(&[assignment_put(&fresh)]).expect("commit");
    assert_eq!(keep(&mut store, chunk(2_000, 5), LATER).dropped, Some(LogDrop::Gap));
}

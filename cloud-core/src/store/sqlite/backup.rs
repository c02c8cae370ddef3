//! Backups: a copy of the database while a core writes it, marked as a copy; the copy put in place
//! of a database; and what a core does that finds the mark. The mark is written last, so that a
//! copy that broke off is none.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cloud_core_logic::change::Change;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, TransactionBehavior};
use shared::id::CoreId;
use shared::time::Timestamp;
use shared_runtime::clock::random_bytes;
use shared_runtime::disk::{create_private_folder, folder_of, sync_folder};
use shared_runtime::sqlite::{DatabaseError, open_read_only, schema_version};

use super::number::Numbers;
use super::write::Writing;
use super::{events, read, schema};
use crate::store::{BackupError, EventBounds, StoreError};

/// How often, and after which pause each, a database is tried again that another has open.
const BUSY_TRIES: usize = 40;
const BUSY_PAUSE: Duration = Duration::from_millis(50);

/// What every SQLite database begins with.
const DATABASE_HEAD: &[u8; 16] = b"SQLite format 3\0";

/// A backup that was written, or put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// When it was taken, as its mark says.
    pub taken_at: String,
    /// How large it is, in bytes.
    pub bytes: u64,
}

/// A database in whose place a backup was put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutBack {
    /// The backup.
    pub backup: Backup,
    /// Where the database is kept that was there before.
    pub kept: Option<PathBuf>,
}

/// What a store did that found itself to be a backup put in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenUp {
    /// When the backup was taken.
    pub taken_at: String,
    /// How many of its tasks were not settled.
    pub tasks: usize,
}

/// Copies a database, which a core may be writing at the same time, to a new file.
///
/// # Errors
/// When the database cannot be read or the file cannot be written; then there is no such file.
pub fn back_up(database: &Path, file: &Path, now: Timestamp) -> Result<Backup, BackupError> {
    let source = open_read_only(database)?;
    let found = schema_version(&source).map_err(|error| BackupError::copying(database, error))?;
    if found == 0 {
        return Err(BackupError::NotACore { path: database.to_owned() });
    }
    // The name is taken first, and what lies under it is whole or empty at any moment.
    let mut taken = NewFile::make(file).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists { path: file.to_owned() },
        _ => BackupError::writing(file, error),
    })?;
    let copy = NewFile::make(&beside(file)).map_err(|error| BackupError::writing(file, error))?;
    let name = copy.path.to_str().ok_or_else(|| BackupError::Name { path: file.to_owned() })?;
    source
        .execute("VACUUM INTO $1", [name])
        .and_then(|_| mark(&copy.path, &now.to_string()))
        .map_err(|error| BackupError::copying(database, error))?;
    let backup = inspect(&copy.path, file)?;
    copy.move_to(file).map_err(|error| BackupError::writing(file, error))?;
    taken.stays();
    Ok(backup)
}

/// Puts a copy of a backup in place of a database that nobody has open; the one that was there is
/// kept beside it.
///
/// # Errors
/// When the file is no sound backup, or cannot be put in place; the database is then as it was.
pub fn put_back(file: &Path, database: &Path, now: Timestamp) -> Result<PutBack, BackupError> {
    let writing = |error| BackupError::writing(database, error);
    if is_same(file, database) {
        return Err(BackupError::InPlace { path: file.to_owned() });
    }
    create_private_folder(folder_of(database)).map_err(writing)?;
    let copy = NewFile::make(&beside(database)).map_err(writing)?;
    let mut from = File::open(file)
        .map_err(|source| BackupError::Reading { path: file.to_owned(), source })?;
    io::copy(&mut from, &mut &copy.file).map_err(writing)?;
    let backup = inspect(&copy.path, file)?;
    let kept = set_aside(database, now)?;
    copy.move_to(database).map_err(writing)?;
    Ok(PutBack { backup, kept })
}

/// What a core does that finds its database to be a backup put in place, in one transaction: from
/// now on it is another core, whose attempts have numbers that no forgotten one has, and which asks
/// its agents before it places anything. `None` when the database is no backup.
pub(super) fn take_up(
    connection: &mut Connection,
    fresh: CoreId,
    now: Timestamp,
) -> Result<Option<TakenUp>, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let Some(taken_at) = marked(&transaction)? else {
        return Ok(None);
    };
    let rows = read::unsettled(&transaction)?;
    let tasks = rows.len();
    let renewed = rows.into_iter().map(|mut row| {
        row.life.restore_from_backup();
        Change::TaskMoved { task: row.id, life: Box::new(row.life) }
    });
    let renewed: Vec<Change> = renewed.collect();
    let numbers = Numbers::of_store(&transaction)?;
    let events = EventBounds::default();
    let writing = Writing { connection: &transaction, numbers: &numbers, events: &events };
    writing.apply_all(&renewed)?;
    let sql = "INSERT INTO meta (key, value) VALUES ($1, $2) \
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    for (key, value) in [
        ("core", fresh.to_string()),
        ("recovering", now.to_string()),
        ("restored", now.0.to_string()),
    ] {
        transaction.execute(sql, [key, &value])?;
    }
    events::begin_again(&transaction, now)?;
    transaction.execute("DELETE FROM meta WHERE key = 'backup'", [])?;
    transaction.commit()?;
    Ok(Some(TakenUp { taken_at, tasks }))
}

fn marked(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT value FROM meta WHERE key = 'backup'";
    connection.query_row(sql, [], |row| row.get(0)).optional()
}

/// Makes a copy a backup. Nothing of it stays in a log beside it.
fn mark(copy: &Path, at: &str) -> rusqlite::Result<()> {
    let connection = open_alone(copy)?;
    let sql = "INSERT INTO meta (key, value) VALUES ('backup', $1) \
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    connection.execute(sql, [at])?;
    connection.close().map_err(|(_, error)| error)
}

/// Opens a database that nobody else has open, and folds its write-ahead log into it.
fn open_alone(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))?;
    Ok(connection)
}

/// Checks that a file, a copy of the one that is `named`, is a sound backup.
fn inspect(path: &Path, named: &Path) -> Result<Backup, BackupError> {
    let refuse = |why: String| BackupError::NotABackup { path: named.to_owned(), why };
    let connection = open_read_only(path).map_err(|error| match error {
        DatabaseError::Corrupt { source, .. } => refuse(source.to_string()),
        other => other.into(),
    })?;
    let damaged = |error: rusqlite::Error| refuse(error.to_string());
    let found = schema_version(&connection).map_err(damaged)?;
    let known = schema::MIGRATIONS.len() as u32;
    if found > known {
        return Err(DatabaseError::Newer { path: named.to_owned(), found, known }.into());
    }
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'tasks', 'agents')";
    let tables: i64 = connection.query_row(sql, [], |row| row.get(0)).map_err(damaged)?;
    if found == 0 || tables != 3 {
        return Err(refuse("it is another program's database".to_owned()));
    }
    let Some(taken_at) = marked(&connection).map_err(damaged)? else {
        return Err(refuse("it has no mark of one".to_owned()));
    };
    let sound: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(damaged)?;
    if sound != "ok" {
        return Err(refuse(sound));
    }
    let bytes = std::fs::metadata(path)
        .map_err(|source| BackupError::Reading { path: named.to_owned(), source })?
        .len();
    Ok(Backup { taken_at, bytes })
}

/// Keeps the database that is there under another name, and leaves nothing beside it that would
/// be taken for a part of the one put in its place. The database itself stays where it is until
/// it is replaced, so that there is one at any moment.
fn set_aside(database: &Path, now: Timestamp) -> Result<Option<PathBuf>, BackupError> {
    let failed = |error| BackupError::writing(database, error);
    if is_database(database) {
        match patiently(|| open_alone(database).map(drop)) {
            Ok(()) => {}
            Err(error) if is_busy(&error) => {
                let path = database.to_owned();
                return Err(DatabaseError::Busy { path, source: error }.into());
            }
            // One that cannot be read is a reason to restore: it is kept as it is, with its log.
            Err(error) => tracing::warn!(%error, "the database that is replaced is damaged"),
        }
    }
    let stamp: String = now.to_string().chars().filter(|letter| *letter != ':').collect();
    let aside = with_suffix(database, &format!(".replaced-{stamp}"));
    for suffix in ["-wal", "-journal", "-shm"] {
        match std::fs::rename(with_suffix(database, suffix), with_suffix(&aside, suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    if !database.exists() {
        return Ok(None);
    }
    // Not every file system knows links.
    if std::fs::hard_link(database, &aside).is_err() {
        let copy = NewFile::make(&aside).map_err(failed)?;
        let mut from = File::open(database).map_err(failed)?;
        io::copy(&mut from, &mut &copy.file).map_err(failed)?;
        copy.move_to(&aside).map_err(failed)?;
    }
    sync_folder(folder_of(database)).map_err(failed)?;
    Ok(Some(aside))
}

/// Whether a file begins like a database. SQLite throws away the log of one that does not.
fn is_database(path: &Path) -> bool {
    let mut head = [0; DATABASE_HEAD.len()];
    File::open(path).and_then(|mut file| file.read_exact(&mut head)).is_ok()
        && head == *DATABASE_HEAD
}

/// Tries again while another has the database open: one that is on its way out lets go of it soon,
/// and SQLite does not wait for that by itself.
fn patiently<T>(mut work: impl FnMut() -> rusqlite::Result<T>) -> rusqlite::Result<T> {
    for _ in 0..BUSY_TRIES {
        match work() {
            Err(error) if is_busy(&error) => std::thread::sleep(BUSY_PAUSE),
            done => return done,
        }
    }
    work()
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn is_same(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(suffix);
    name.into()
}

/// A name in the same folder that nobody else uses.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{:016x}.tmp", u64::from_le_bytes(random_bytes())));
    folder_of(path).join(name)
}

/// A file with mode 0600 that was not there before, and that is gone again unless it stays.
struct NewFile {
    path: PathBuf,
    file: File,
    stays: bool,
}

impl NewFile {
    fn make(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        Ok(Self { path: path.to_owned(), file, stays: false })
    }

    fn stays(&mut self) {
        self.stays = true;
    }

    /// Brings it to disk, and then under its name, in place of what is there.
    fn move_to(mut self, path: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        if self.path != path {
            std::fs::rename(&self.path, path)?;
        }
        self.stays();
        sync_folder(folder_of(path))
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.stays {
            // A leftover is only untidy.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

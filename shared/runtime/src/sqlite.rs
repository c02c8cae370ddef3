//! Opens SQLite databases that lose nothing they committed: WAL with synchronous FULL, and a
//! schema that is brought up to date one transaction at a time. The SQL itself belongs to the
//! stores.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::disk;

/// How long a statement waits for another process that holds the database, in milliseconds.
const BUSY_TIMEOUT_MS: u64 = 5_000;
/// What the write-ahead log is cut back to after a checkpoint, in bytes: a burst does not keep
/// the space that it once needed.
const JOURNAL_BYTES_KEPT: u64 = 8 * 1024 * 1024;

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// Its folder or file cannot be created or made durable.
    #[error(
        "cannot create the database {}: {source}; make its folder writable for this user, or configure another path",
        path.display()
    )]
    Create {
        /// The database file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file, and this caller does not make one.
    #[error("there is no database {}; start the program that makes it first, or name another path", path.display())]
    Missing {
        /// The database file.
        path: PathBuf,
    },
    /// The file is not a database, or a damaged one.
    #[error(
        "{} is not a readable database ({source}); move the file away to start afresh, or put a backup in its place",
        path.display()
    )]
    Corrupt {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// The file may not be written, or the disk is full.
    #[error(
        "cannot write the database {} ({source}); check its owner, that its file system is mounted read-write, and the free space",
        path.display()
    )]
    Unwritable {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Another process holds the database.
    #[error("the database {} is in use by another process ({source}); stop that one first", path.display())]
    Busy {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A newer program wrote the file.
    #[error(
        "the database {} has schema version {found}, this program knows versions up to {known}; run the newer program, or put back the backup made before it ran",
        path.display()
    )]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
        /// The newest version that this program knows.
        known: u32,
    },
    /// A migration failed; the database is as the migration before left it.
    #[error("cannot bring the database {} to schema version {version}: {source}", path.display())]
    Migration {
        /// The database file.
        path: PathBuf,
        /// The version that the migration would have given it.
        version: u32,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Anything else that SQLite says.
    #[error("cannot open the database {}: {source}", path.display())]
    Other {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

/// Opens a database for writing and brings its schema up to date, creating it and its folder
/// (mode 0700, the file 0600) when missing. `migrations[n]` takes the schema from version `n` to
/// `n + 1`, may hold many statements, and runs in a transaction of its own; once released, a
/// migration never changes.
///
/// # Errors
///
/// When the database cannot be created, read, written or migrated, or is newer than the program.
pub fn open(path: &Path, migrations: &[&str]) -> Result<Connection, DatabaseError> {
    create(path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let named = |source| name(path, source);
    let mut connection = Connection::open_with_flags(path, flags).map_err(named)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS)).map_err(named)?;
    // Before anything is changed, so that a newer database stays untouched.
    let found = schema_version(&connection).map_err(named)?;
    let known = count(migrations);
    if found > known {
        return Err(DatabaseError::Newer { path: path.to_path_buf(), found, known });
    }
    configure(&connection).map_err(named)?;
    migrate(&mut connection, found, migrations).map_err(|(version, source)| {
        DatabaseError::Migration { path: path.to_path_buf(), version, source }
    })?;
    // The log and its index were created beside the file.
    disk::sync_folder(disk::folder_of(path))
        .map_err(|source| DatabaseError::Create { path: path.to_path_buf(), source })?;
    Ok(connection)
}

/// Opens an existing database for reading, beside a writer that may be running.
///
/// # Errors
///
/// When there is no such database or it cannot be read.
pub fn open_read_only(path: &Path) -> Result<Connection, DatabaseError> {
    if !path.exists() {
        return Err(DatabaseError::Missing { path: path.to_path_buf() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let named = |source| name(path, source);
    let connection = Connection::open_with_flags(path, flags).map_err(named)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS)).map_err(named)?;
    schema_version(&connection).map_err(named)?;
    Ok(connection)
}

/// The schema version of a database: how many migrations it has had.
///
/// # Errors
///
/// When the database cannot be read.
pub fn schema_version(connection: &Connection) -> rusqlite::Result<u32> {
    // Reads the schema itself, so that a damaged file is found here and not later.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Creates the folder and an empty file that only its owner may read; SQLite gives the files that
/// it puts beside it the same mode.
fn create(path: &Path) -> Result<(), DatabaseError> {
    let named = |source| DatabaseError::Create { path: path.to_path_buf(), source };
    let folder = disk::folder_of(path);
    disk::create_private_folder(folder).map_err(named)?;
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => disk::sync_folder(folder).map_err(named),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(named(error)),
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    // Otherwise a bound LIMIT counts for the query planner, which then compiles a kept statement
    // anew whenever something else is bound.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Setting the journal mode answers with a row, hence not with the others.
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch(&format!(
        "PRAGMA synchronous = FULL;
         PRAGMA foreign_keys = ON;
         PRAGMA journal_size_limit = {JOURNAL_BYTES_KEPT};"
    ))
}

/// Runs the migrations that are missing. On failure gives the version that was not reached.
fn migrate(
    connection: &mut Connection,
    found: u32,
    migrations: &[&str],
) -> Result<(), (u32, rusqlite::Error)> {
    for (version, migration) in (1..).zip(migrations).skip(found as usize) {
        let step = |connection: &mut Connection| {
            let transaction = connection.transaction()?;
            transaction.execute_batch(migration)?;
            transaction.pragma_update(None, "user_version", version)?;
            transaction.commit()
        };
        step(connection).map_err(|source| (version, source))?;
    }
    Ok(())
}

fn count(migrations: &[&str]) -> u32 {
    u32::try_from(migrations.len()).unwrap_or(u32::MAX)
}

/// Gives an error of SQLite its name here.
fn name(path: &Path, source: rusqlite::Error) -> DatabaseError {
    let path = path.to_path_buf();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            DatabaseError::Corrupt { path, source }
        }
        Some(
            ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::CannotOpen
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure,
        ) => DatabaseError::Unwritable { path, source },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            DatabaseError::Busy { path, source }
        }
        _ => DatabaseError::Other { path, source },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const FIRST: &str =
        "CREATE TABLE task (id TEXT PRIMARY KEY) STRICT; INSERT INTO task VALUES ('a');";
    const SECOND: &str = "ALTER TABLE task ADD COLUMN note TEXT; UPDATE task SET note = 'new';";

    fn place() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("state").join("agent.db");
        (folder, path)
    }

    fn text(connection: &Connection, sql: &str) -> String {
        connection
            .query_row(sql, [], |row| {
                row.get::<_, rusqlite::types::Value>(0).map(|v| format!("{v:?}"))
            })
            .expect(sql)
    }

    #[test]
    fn a_new_database_is_private_and_loses_nothing() {
        let (_folder, path) = place();
        let connection = open(&path, &[FIRST]).expect("open");
        assert_eq!(text(&connection, "PRAGMA journal_mode"), "Text(\"wal\")");
        assert_eq!(text(&connection, "PRAGMA synchronous"), "Integer(2)");
        assert_eq!(text(&connection, "PRAGMA foreign_keys"), "Integer(1)");
        let mode =
            |path: &Path| std::fs::metadata(path).expect("file").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&path.with_extension("db-wal")), 0o600);
        assert_eq!(mode(path.parent().expect("parent")), 0o700);
    }

    #[test]
    fn a_kept_statement_is_compiled_once_whatever_is_bound() {
        let (_folder, path) = place();
        let connection = open(&path, &[FIRST]).expect("open");
        let mut statement =
            connection.prepare("SELECT id FROM task WHERE id > $1 LIMIT $2").expect("prepare");
        for limit in 1..10 {
            let found = statement.query_row(rusqlite::params!["", limit], |_| Ok(()));
            found.expect("a row");
        }
        assert_eq!(statement.get_status(rusqlite::StatementStatus::RePrepare), 0);
    }

    #[test]
    fn migrations_run_once_each_and_in_order() {
        let (_folder, path) = place();
        assert_eq!(schema_version(&open(&path, &[]).expect("empty")).expect("version"), 0);
        assert_eq!(schema_version(&open(&path, &[FIRST]).expect("first")).expect("version"), 1);
        for _ in 0..2 {
            let connection = open(&path, &[FIRST, SECOND]).expect("both");
            assert_eq!(schema_version(&connection).expect("version"), 2);
            assert_eq!(
                text(&connection, "SELECT count(*) || ' ' || note FROM task"),
                "Text(\"1 new\")"
            );
        }
    }

    #[test]
    fn a_failed_migration_leaves_the_version_before_it() {
        let (_folder, path) = place();
        let broken = "CREATE TABLE extra (x INTEGER); INSERT INTO nowhere VALUES (1);";
        let error = open(&path, &[FIRST, broken]).expect_err("broken");
        assert!(matches!(error, DatabaseError::Migration { version: 2, .. }), "{error}");
        let connection = open(&path, &[FIRST]).expect("as it was");
        assert_eq!(
            text(&connection, "SELECT count(*) FROM sqlite_schema WHERE name = 'extra'"),
            "Integer(0)"
        );
    }

    #[test]
    fn a_newer_database_is_refused_and_untouched() {
        let (_folder, path) = place();
        drop(open(&path, &[FIRST, SECOND]).expect("newer program"));
        let before = std::fs::read(&path).expect("read");
        let error = open(&path, &[FIRST]).expect_err("older program");
        assert!(matches!(error, DatabaseError::Newer { found: 2, known: 1, .. }), "{error}");
        assert_eq!(std::fs::read(&path).expect("read"), before);
    }

    #[test]
    fn a_file_that_is_no_database_is_refused_and_untouched() {
        let (folder, _) = place();
        let path = folder.path().join("garbage.db");
        let garbage = b"this is not a database, not even nearly. ".repeat(200);
        std::fs::write(&path, &garbage).expect("write");
        let error = open(&path, &[FIRST]).expect_err("garbage");
        assert!(matches!(error, DatabaseError::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains("garbage.db"), "{error}");
        assert!(matches!(open_read_only(&path), Err(DatabaseError::Corrupt { .. })));
        assert_eq!(std::fs::read(&path).expect("read"), garbage);
    }

    #[test]
    fn a_place_where_no_file_can_be_is_refused_by_name() {
        let (folder, _) = place();
        let file = folder.path().join("file");
        std::fs::write(&file, b"x").expect("write");
        let error = open(&file.join("agent.db"), &[FIRST]).expect_err("below a file");
        assert!(matches!(error, DatabaseError::Create { .. }), "{error}");
        let error = open(folder.path(), &[FIRST]).expect_err("a folder");
        assert!(matches!(error, DatabaseError::Unwritable { .. }), "{error}");
    }

    #[test]
    fn a_reader_reads_beside_the_writer_and_cannot_write() {
        let (_folder, path) = place();
        assert!(matches!(open_read_only(&path), Err(DatabaseError::Missing { .. })));
        let writer = open(&path, &[FIRST]).expect("writer");
        let reader = open_read_only(&path).expect("reader");
        writer.execute("INSERT INTO task VALUES ('b')", []).expect("write");
        assert_eq!(text(&reader, "SELECT count(*) FROM task"), "Integer(2)");
        assert!(reader.execute("DELETE FROM task", []).is_err());
        drop(writer);
        assert_eq!(
            text(&open_read_only(&path).expect("alone"), "SELECT count(*) FROM task"),
            "Integer(2)"
        );
    }

    #[test]
    fn what_was_committed_is_there_when_the_file_is_opened_again() {
        let (_folder, path) = place();
        let connection = open(&path, &[FIRST]).expect("open");
        connection.execute("INSERT INTO task VALUES ('b')", []).expect("write");
        // Never closed: as after a kill, all that there is lies in the log.
        std::mem::forget(connection);
        let connection = open(&path, &[FIRST]).expect("again");
        assert_eq!(text(&connection, "SELECT count(*) FROM task"), "Integer(2)");
    }
}

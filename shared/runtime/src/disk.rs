//! Files and folders that only their owner may read, and that survive a power cut. Touches the
//! file system and nothing else.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::clock::random_bytes;

/// Creates a folder and what is missing above it, each with mode 0700. A folder that exists is
/// left as it is.
///
/// # Errors
///
/// What the system says.
pub fn create_private_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a folder's entries to the disk: a file that was created or renamed in it is only then
/// sure to be found after a power cut.
///
/// # Errors
///
/// What the system says.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// The folder that a path lies in; `.` for a bare file name.
#[must_use]
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Replaces a file's content, or creates it, with mode 0600 and all or nothing: a reader sees the
/// old content or the new, also after a power cut. The folder is created when it is missing.
///
/// # Errors
///
/// What the system says; the file is then as it was.
pub fn write_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = folder_of(path);
    create_private_folder(folder)?;
    let temporary = temporary_beside(path)?;
    let written = write_new(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // The first error is the one that matters; a leftover is only untidy.
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    sync_folder(folder)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn temporary_beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the path does not name a file")
    })?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{:016x}.tmp", u64::from_le_bytes(random_bytes())));
    Ok(folder_of(path).join(hidden))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).expect("metadata").permissions().mode() & 0o777
    }

    #[test]
    fn a_private_file_is_replaced_whole_and_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("inner").join("secret");
        write_private_file(&path, b"first").expect("first");
        write_private_file(&path, b"second").expect("second");
        assert_eq!(std::fs::read(&path).expect("read"), b"second");
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&folder.path().join("inner")), 0o700);
        assert_eq!(std::fs::read_dir(folder.path().join("inner")).expect("list").count(), 1);
    }

    #[test]
    fn a_file_that_cannot_be_replaced_leaves_nothing_beside_it() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("taken");
        std::fs::create_dir(&path).expect("a folder where the file should be");
        std::fs::write(path.join("content"), b"x").expect("content");
        assert!(write_private_file(&path, b"bytes").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).expect("list").count(), 1);
        assert!(write_private_file(Path::new("/"), b"bytes").is_err());
    }

    #[test]
    fn a_bare_name_lies_in_the_current_folder() {
        assert_eq!(folder_of(Path::new("name")), Path::new("."));
        assert_eq!(folder_of(Path::new("a/name")), Path::new("a"));
    }
}

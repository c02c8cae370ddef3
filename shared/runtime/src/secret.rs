//! Secrets in files: read only when nobody else can read them, written so that nobody else can.
//! Touches the file system; never logs or prints what it read.

use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::disk;

/// The largest secret file, in bytes.
pub const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// Why a secret cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file cannot be opened or read.
    #[error(
        "cannot read the secret in {}: {source}; write the secret to that file, or name another file",
        path.display()
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error(
        "{0} can be read by others (mode {mode:03o}); run: chmod 600 {0}",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The path names a folder or a device.
    #[error("{} is not a file; name a file that holds the secret", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The file is too large to be a secret.
    #[error(
        "{} holds more than {SECRET_BYTES_MAX} bytes, too many for a secret; name the right file",
        path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file holds no text.
    #[error("{} must hold one secret as UTF-8 text, and does not", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// The file is empty.
    #[error("{} is empty; write the secret to it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be written.
    #[error("cannot write {}: {source}; make its folder writable for this user", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads a secret, without the newline that editors put at the end of a file.
///
/// # Errors
///
/// When the file is missing, too large, empty, not text, or readable by anyone but its owner.
pub fn secret_file(path: &Path) -> Result<String, SecretError> {
    let named = || path.to_path_buf();
    let read = |source| SecretError::Read { path: named(), source };
    let file = std::fs::File::open(path).map_err(read)?;
    // Asked of the open file, so that the file checked is the file read.
    let metadata = file.metadata().map_err(read)?;
    if !metadata.is_file() {
        return Err(SecretError::NotAFile { path: named() });
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(SecretError::Exposed { path: named(), mode });
    }
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(read)?;
    if bytes.len() as u64 > SECRET_BYTES_MAX {
        return Err(SecretError::TooLarge { path: named() });
    }
    let text = String::from_utf8(bytes).map_err(|_| SecretError::NotText { path: named() })?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.trim().is_empty() {
        return Err(SecretError::Empty { path: named() });
    }
    Ok(secret.to_owned())
}

/// Writes a secret file with mode 0600, all or nothing.
///
/// # Errors
///
/// When the file or its folder cannot be written; the file is then as it was.
pub fn write_secret_file(path: &Path, bytes: &[u8]) -> Result<(), SecretError> {
    disk::write_private_file(path, bytes)
        .map_err(|source| SecretError::Write { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("token");
        write_secret_file(&path, bytes).expect("write");
        (folder, path)
    }

    #[test]
    fn a_secret_is_read_back_without_its_newline() {
        let (_folder, path) = file(b"open sesame\r\n");
        assert_eq!(secret_file(&path).expect("read"), "open sesame");
    }

    #[test]
    fn a_secret_that_others_can_read_is_refused_with_the_command_that_helps() {
        let (_folder, path) = file(b"open sesame\n");
        for mode in [0o640, 0o604, 0o620, 0o601, 0o777] {
            set_permissions(&path, Permissions::from_mode(mode)).expect("mode");
            let error = secret_file(&path).expect_err("refused").to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
            assert!(!error.contains("sesame"), "{error}");
        }
        set_permissions(&path, Permissions::from_mode(0o400)).expect("mode");
        assert_eq!(secret_file(&path).expect("stricter is fine"), "open sesame");
    }

    #[test]
    fn what_is_no_secret_is_refused_by_name() {
        let (folder, path) = file(b"\n \n");
        assert!(matches!(secret_file(&path), Err(SecretError::Empty { .. })));
        write_secret_file(&path, &[0xff, 0xfe]).expect("write");
        assert!(matches!(secret_file(&path), Err(SecretError::NotText { .. })));
        write_secret_file(&path, &vec![b'a'; SECRET_BYTES_MAX as usize + 1]).expect("write");
        assert!(matches!(secret_file(&path), Err(SecretError::TooLarge { .. })));
        assert!(matches!(secret_file(folder.path()), Err(SecretError::NotAFile { .. })));
        assert!(matches!(secret_file(&path.join("x")), Err(SecretError::Read { .. })));
    }
}

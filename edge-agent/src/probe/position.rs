//! Where the agent is, when it moves: a file that a positioning service on the same machine
//! rewrites, `{"latitude": -37.81, "longitude": 144.96}`. Reads it only when it has changed.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use shared::geo::Position;

/// The most that a position may take to write.
const FILE_BYTES_MAX: u64 = 4096;

/// Why a position file says nothing.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// It cannot be read.
    #[error("cannot read the position file {}: {source}", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else.
    #[error("the position file {} holds no position: {source}; write {{\"latitude\": -37.81, \"longitude\": 144.96}} in WGS84 degrees", .path.display())]
    NotAPosition {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        source: serde_json::Error,
    },
}

/// Follows a position file.
#[derive(Debug)]
pub struct PositionProbe {
    path: PathBuf,
    seen: Option<Version>,
}

/// What changes when a file is rewritten in place or replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    modified: SystemTime,
    length: u64,
    inode: u64,
}

impl Version {
    fn of(metadata: &Metadata) -> io::Result<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let (length, inode) = (metadata.len(), metadata.ino());
        Ok(Self { modified: metadata.modified()?, length, inode })
    }
}

impl PositionProbe {
    /// A probe for this file, which need not exist yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: None }
    }

    /// The position, if the file has changed since the last call that read it. `Ok(None)` if it
    /// has not, or does not exist.
    ///
    /// # Errors
    /// The file cannot be read or holds no position. Said once per version of the file: it may
    /// be half-written and right a moment later.
    pub fn sample(&mut self) -> Result<Option<Position>, PositionError> {
        let unreadable = |source| PositionError::Unreadable { path: self.path.clone(), source };
        let version = match std::fs::metadata(&self.path).and_then(|found| Version::of(&found)) {
            Ok(version) => version,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        if self.seen.as_ref() == Some(&version) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        File::open(&self.path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
            .map_err(unreadable)?;
        self.seen = Some(version);
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| PositionError::NotAPosition { path: self.path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_told_once_per_change() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("position.json");
        let mut probe = PositionProbe::new(&path);
        assert!(matches!(probe.sample(), Ok(None)), "no file yet");
        std::fs::write(&path, r#"{"latitude": -37.5, "longitude": 144.5}"#).expect("write");
        let position = probe.sample().expect("a position").expect("changed");
        assert_eq!((position.latitude(), position.longitude()), (-37.5, 144.5));
        assert!(matches!(probe.sample(), Ok(None)), "unchanged");
        std::fs::write(&path, r#"{"latitude": 1, "longitude": 2}"#).expect("write");
        assert!(matches!(probe.sample(), Ok(Some(_))));
    }

    #[test]
    fn hostile_positions_are_refused_and_said_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("position.json");
        let mut probe = PositionProbe::new(&path);
        for text in [
            "",
            "{",
            "null",
            "[]",
            r#"{"latitude": 91, "longitude": 0}"#,
            r#"{"latitude": 0, "longitude": 181}"#,
            r#"{"latitude": "1", "longitude": 0}"#,
            r#"{"latitude": 1e999, "longitude": 0}"#,
            r#"{"latitude": 1}"#,
        ] {
            let _ = std::fs::remove_file(&path);
            std::fs::write(&path, text).expect("write");
            probe.seen = None;
            assert!(matches!(probe.sample(), Err(PositionError::NotAPosition { .. })), "{text:?}");
            assert!(matches!(probe.sample(), Ok(None)), "said once");
        }
        let mut probe = PositionProbe::new(dir.path());
        assert!(matches!(probe.sample(), Err(PositionError::Unreadable { .. })));
    }
}

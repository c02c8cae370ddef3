//! The file with the placement policy: TOML (or YAML, or JSON, by the end of its name), in the words
//! of the API. Whatever is wrong with it is told with the line on which it stands.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cloud_core_logic::placement::Policy;

use crate::client::document;

/// Why the file is not the policy.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PolicyFileError(String);

/// What tells one content of the file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

/// A file with a placement policy.
#[derive(Debug, Clone)]
pub struct PolicyFile(PathBuf);

impl PolicyFile {
    /// The one at this path.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The policy that it says, with the version of a policy that nobody has counted yet.
    ///
    /// # Errors
    /// Everything that is wrong with it, a sentence each, with file, line and field.
    pub fn read(&self) -> Result<Policy, PolicyFileError> {
        let told = |error: crate::client::ClientError| PolicyFileError(error.to_string());
        let mut documents = document::read(&self.0, None).map_err(told)?;
        let (Some(document), true) = (documents.pop(), documents.is_empty()) else {
            let path = self.0.display();
            let detail = "must hold one policy, not several documents or none";
            return Err(PolicyFileError(format!("{path}: {detail}")));
        };
        Policy::parse(&document.value).map_err(|problems| {
            let all = problems.iter().map(|problem| document.tell_of("policy", problem));
            PolicyFileError(all.collect::<Vec<_>>().join("; "))
        })
    }

    /// What the file looks like from outside; `None` when there is none.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        let metadata = fs::metadata(&self.0).ok()?;
        Some(Mark {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}

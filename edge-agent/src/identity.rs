//! The agent's credential: one secret in one file that only the agent can read. Everything else,
//! the key that seals messages and the password at the broker, is derived from it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shared::id::AgentId;
use shared_runtime::seal::Root;
use shared_runtime::secret::{SecretError, secret_file, write_secret_file};

/// The file as it is written.
#[derive(Serialize, Deserialize)]
struct File {
    agent: AgentId,
    root: String,
}

/// Why a credential cannot be used or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] SecretError),
    /// The file holds something else.
    #[error(
        "{} holds no credential of an agent; remove it, and the agent joins again with its join token",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It is somebody else's.
    #[error(
        "{} is the credential of agent {found}, not of {wanted}; write --id {found}, or name another folder with --data",
        .path.display()
    )]
    OtherAgent {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: AgentId,
        /// Who asked.
        wanted: AgentId,
    },
}

/// Where an agent's credential is kept.
#[derive(Debug, Clone)]
pub struct CredentialFile {
    path: PathBuf,
    agent: AgentId,
}

impl CredentialFile {
    /// The credential file of an agent, which need not exist.
    #[must_use]
    pub fn of(path: &Path, agent: &AgentId) -> Self {
        Self { path: path.to_owned(), agent: agent.clone() }
    }

    /// Reads it; `None` if the agent has not joined yet.
    ///
    /// # Errors
    /// It cannot be read, is damaged, or somebody else's.
    pub fn read(&self) -> Result<Option<Root>, CredentialError> {
        if !self.path.exists() {
            return Ok(None);
        }
        let text = secret_file(&self.path)?;
        let damaged = || CredentialError::Damaged { path: self.path.clone() };
        let file: File = serde_json::from_str(&text).map_err(|_| damaged())?;
        if file.agent != self.agent {
            return Err(CredentialError::OtherAgent {
                path: self.path.clone(),
                found: file.agent,
                wanted: self.agent.clone(),
            });
        }
        Root::from_hex(&file.root).map(Some).map_err(|_| damaged())
    }

    /// Keeps a credential, all or nothing, in the place of an earlier one.
    ///
    /// # Errors
    /// It cannot be written; the earlier one is then untouched.
    pub fn write(&self, root: &Root) -> Result<(), CredentialError> {
        let file = File { agent: self.agent.clone(), root: root.expose_hex() };
        let text = serde_json::to_string(&file).unwrap_or_default();
        Ok(write_secret_file(&self.path, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use shared_runtime::seal::{JoinToken, Nonce};

    use super::*;

    fn agent(name: &str) -> AgentId {
        name.parse().expect("an agent id")
    }

    #[test]
    fn a_credential_is_kept_for_its_agent_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credential");
        let own = CredentialFile::of(&path, &agent("a"));
        assert!(own.read().expect("none yet").is_none());
        let token = JoinToken::from_text("0123456789abcdef").expect("a token");
        let root = token.root(&agent("a"), &Nonce::fresh());
        own.write(&root).expect("write");
        assert!(own.read().expect("read") == Some(root));
        let mode = std::fs::metadata(&path).expect("metadata").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let other = CredentialFile::of(&path, &agent("b"));
        let error = other.read().expect_err("refused").to_string();
        assert!(error.contains("write --id a"), "{error}");
    }

    #[test]
    fn a_file_that_is_no_credential_says_what_to_do() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("credential");
        let file = CredentialFile::of(&path, &agent("a"));
        for text in ["{}", "x", r#"{"agent":"a","root":"zz"}"#] {
            write_secret_file(&path, text.as_bytes()).expect("write");
            let error = file.read().expect_err("refused").to_string();
            assert!(error.contains("joins again"), "{text}: {error}");
            assert!(!error.contains("zz"));
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).expect("chmod");
        assert!(matches!(file.read(), Err(CredentialError::File(_))));
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;
    use shared_runtime::seal::{JoinToken, Nonce};

    use super::*;

    proptest! {
        // Each case waits for the disk three times.
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_credential_is_read_back_and_a_damaged_file_is_told(
            nonce: [u8; 32],
            cut in 0_usize..120,
            bytes in prop::collection::vec(any::<u8>(), 1..100),
        ) {
            let folder = tempfile::tempdir().expect("a folder");
            let path = folder.path().join("credential");
            let agent: AgentId = "board-7".parse().expect("an id");
            let file = CredentialFile::of(&path, &agent);
            let token = JoinToken::from_text("a token of sixteen or more").expect("a token");
            let nonce = Nonce::from_hex(&shared_runtime::seal::to_hex(&nonce)).expect("a nonce");
            let root = token.root(&agent, &nonce);
            file.write(&root).expect("written");
            let read = file.read().expect("read").expect("a credential");
            prop_assert_eq!(read.expose_hex(), root.expose_hex());
            // A power cut leaves less of a file, a bad card something else.
            let whole = std::fs::read(&path).expect("read");
            for damaged in [&whole[..cut.min(whole.len() - 1)], &bytes] {
                write_secret_file(&path, damaged).expect("written");
                prop_assert!(file.read().is_err());
            }
        }
    }
}

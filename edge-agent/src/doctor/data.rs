//! What an agent is told, and what it keeps: its configuration, its folder, its database, its
//! credential; and whether it runs.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use rustix::fs::{Access, access};
use rustix::process::geteuid;

use super::{Finding, Patient};
use crate::cli::RunArgs;
use crate::config::{credential_in, database_in};
use crate::identity::CredentialFile;
use crate::link::LineError;
use crate::store::StoreError;

pub(super) fn configuration(patient: &Patient, args: &RunArgs) -> Vec<Finding> {
    const WHAT: &str = "configuration";
    let found = match (&patient.config, &args.config) {
        (Ok(config), Some(path)) => {
            Finding::ok(WHAT, format!("{}, agent {}", path.display(), config.id))
        }
        (Ok(config), None) => {
            let detail = format!("no file named; agent {}, the rest by default", config.id);
            Finding::ok(WHAT, detail)
        }
        (Err(error), _) => Finding::fail(WHAT, error.to_string(), None),
    };
    vec![found]
}

pub(super) fn agent(patient: &Patient) -> Vec<Finding> {
    const WHAT: &str = "agent";
    let found = match patient.user {
        Some(Some(pid)) => Finding::ok(WHAT, format!("running, process {pid}")),
        Some(None) => Finding::ok(WHAT, "running"),
        None => {
            let way_out = "Tasks go on under their supervisors and are found again. Start it: systemctl start ambit-agent, or ambit-agent run.";
            Finding::warn(WHAT, "not running", way_out.to_owned())
        }
    };
    vec![found]
}

pub(super) fn folder(patient: &Patient) -> Vec<Finding> {
    const WHAT: &str = "data folder";
    let data = &patient.data;
    let shown = data.display();
    let metadata = match fs::metadata(data) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let way_out = "The agent makes it at its first start. If it has run before, name its folder with --data or --config.";
            return vec![Finding::fail(
                WHAT,
                format!("{shown} does not exist"),
                way_out.to_owned(),
            )];
        }
        Err(error) => {
            let way_out = "Run this as the user that the agent runs as.";
            let detail = format!("{shown} cannot be looked at: {error}");
            return vec![Finding::fail(WHAT, detail, way_out.to_owned())];
        }
    };
    let (owner, own, mode) =
        (metadata.uid(), geteuid().as_raw(), metadata.permissions().mode() & 0o777);
    let found = if !metadata.is_dir() {
        let way_out = "Name another with --data, or move the file away.";
        Finding::fail(WHAT, format!("{shown} is not a folder"), way_out.to_owned())
    } else if owner != own && own != 0 {
        let way_out =
            format!("Run this, and the agent, as user {owner}, or: chown -R {own} {shown}");
        Finding::fail(WHAT, format!("{shown} belongs to user {owner}, you are {own}"), way_out)
    } else if let Err(error) = access(data, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        let way_out = "Mount its file system read-write (a damaged card turns read-only: dmesg says so), or make the folder writable.";
        let detail = format!("{shown} cannot be written: {}", io::Error::from(error));
        Finding::fail(WHAT, detail, way_out.to_owned())
    } else if mode & 0o077 != 0 {
        let way_out = format!("It holds secrets: chmod 700 {shown}");
        Finding::warn(WHAT, format!("{shown} can be entered by others (mode {mode:04o})"), way_out)
    } else {
        Finding::ok(WHAT, format!("{shown}, of user {owner}, mode {mode:04o}"))
    };
    vec![found]
}

pub(super) fn database(patient: &Patient) -> Vec<Finding> {
    const WHAT: &str = "database";
    const AFRESH: &str = "Stop the agent and move agent.sqlite, agent.sqlite-wal and agent.sqlite-shm away: it then starts afresh, and the core places anew what it held.";
    let path = database_in(&patient.data);
    let sound = patient.reader.as_ref().map(|reader| reader.look_through());
    let found = match (sound, &patient.glance) {
        (Err(error), _) if !path.exists() => {
            let way_out = "The agent makes it at its first start.";
            Finding::warn(WHAT, error.to_string(), way_out.to_owned())
        }
        (Err(error), _) => Finding::fail(WHAT, error.to_string(), None),
        (Ok(Err(error)), _) => Finding::fail(WHAT, error.to_string(), AFRESH.to_owned()),
        (Ok(Ok(sound)), _) if sound.version > sound.known => {
            let (version, known) = (sound.version, sound.known);
            let way_out =
                "Run the newer program, or put back the copy that was made before it ran.";
            let detail = format!("a newer program wrote it: schema {version}, known are {known}");
            Finding::fail(WHAT, detail, way_out.to_owned())
        }
        (Ok(Ok(sound)), _) if !sound.faults.is_empty() => {
            let detail = format!("it is damaged: {}", sound.faults.join("; "));
            Finding::fail(WHAT, detail, AFRESH.to_owned())
        }
        (Ok(Ok(sound)), _) if sound.version < sound.known => {
            let (version, known) = (sound.version, sound.known);
            let way_out = "The next start of the agent brings it up to date.";
            let detail = format!("sound, of an earlier program: schema {version} of {known}");
            Finding::warn(WHAT, detail, way_out.to_owned())
        }
        (Ok(Ok(_)), None) => {
            let detail = "it is whole, but says what no agent has written";
            Finding::fail(WHAT, detail, AFRESH.to_owned())
        }
        (Ok(Ok(sound)), Some(glance)) => {
            let mib = fs::metadata(&path).map_or(0.0, |found| found.len() as f64) / 1_048_576.0;
            let detail = format!(
                "sound, {mib:.1} MiB, schema {}: {} tasks held, {} outcomes kept",
                sound.version,
                glance.tasks.len(),
                glance.reports_kept
            );
            Finding::ok(WHAT, detail)
        }
    };
    std::iter::once(found).chain(other_agent(patient)).collect()
}

/// A database of somebody else is of no use.
fn other_agent(patient: &Patient) -> Option<Finding> {
    let (config, glance) = (patient.config.as_ref().ok()?, patient.glance.as_ref()?);
    let (found, wanted) = (glance.id.clone(), config.id.clone());
    let other = found != wanted.as_str();
    other.then(|| {
        Finding::fail("agent id", StoreError::OtherAgent { found, wanted }.to_string(), None)
    })
}

pub(super) fn credential(patient: &Patient) -> Vec<Finding> {
    const WHAT: &str = "credential";
    let Ok(config) = &patient.config else { return Vec::new() };
    let path = credential_in(&patient.data);
    let found = match CredentialFile::of(&path, &config.id).read() {
        Ok(Some(_)) => Finding::ok(WHAT, format!("{}, for its owner only", path.display())),
        Ok(None) if config.join_token.is_some() => {
            let way_out = "It joins with its join token as soon as it reaches the core.";
            Finding::warn(WHAT, "the agent has not joined a core yet", way_out.to_owned())
        }
        Ok(None) => Finding::fail(WHAT, LineError::NoCredential.to_string(), None),
        Err(error) => Finding::fail(WHAT, error.to_string(), None),
    };
    vec![found]
}

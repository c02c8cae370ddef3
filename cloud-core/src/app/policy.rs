//! Keeps the placement policy in step with its file: what is saved there holds within seconds, or at
//! once after SIGHUP; what makes no sense is told and changes nothing.

use std::future::pending;
use std::time::Duration;

use cloud_core_logic::Answer;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use super::AppError;
use crate::config::{Mark, PolicyFile};
use crate::driver::{Core, CoreBusy};

/// How often the file is looked at. A change is taken once it looks the same twice, so that none is
/// read while it is being written.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What keeps the policy in step. Dropping it stops it.
#[derive(Debug)]
pub(super) struct PolicyKeeper(JoinHandle<()>);

impl PolicyKeeper {
    /// Puts the policy of a file in force, and goes on doing so whenever it changes.
    ///
    /// # Errors
    /// When the file is not a policy, or the core does not take it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(super) async fn start(file: PolicyFile, core: Core) -> Result<Self, AppError> {
        let hangups = signal(SignalKind::hangup()).map_err(AppError::Hangup)?;
        let mark = file.mark();
        let policy = file.read()?;
        let answer = core.set_policy(policy, None).await;
        tell(&answer.map_err(|_| AppError::PolicyNotTaken)?);
        Ok(Self(tokio::spawn(watch(file, core, mark, hangups))))
    }
}

impl Drop for PolicyKeeper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn watch(file: PolicyFile, core: Core, mut known: Option<Mark>, mut hangups: Signal) {
    let mut seen = known;
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => false,
            () = hangup(&mut hangups) => true,
        };
        // Taken before the content: what changes in between is read once more.
        let mark = file.mark();
        let rests = mark == std::mem::replace(&mut seen, mark);
        let is_due = asked || (rests && mark != known);
        if is_due && take(&file, &core).await.is_ok() {
            known = mark;
        }
    }
}

async fn hangup(hangups: &mut Signal) {
    if hangups.recv().await.is_none() {
        pending::<()>().await;
    }
}

/// Puts what the file says in force. An error asks to be tried again; a file that makes no sense is
/// told once, and is done with.
async fn take(file: &PolicyFile, core: &Core) -> Result<(), CoreBusy> {
    match file.read() {
        Ok(policy) => {
            tell(&core.set_policy(policy, None).await?);
        }
        Err(error) => {
            tracing::error!(%error, "the placement policy stays as it was, for its file is none");
        }
    }
    Ok(())
}

fn tell(answer: &Answer) {
    if let Answer::Policy(policy) = answer {
        tracing::info!(version = policy.version, "the placement policy is that of its file");
    }
}

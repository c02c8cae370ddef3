//! Keeps the gate in step with the file: a token that is created or revoked holds, or holds no
//! longer, within a second; and writes down now and then when tokens were last used.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::file::{Mark, TokenFile, TokenFileError};
use super::gate::Gate;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How often it is written down when tokens were last used, at most: not at every request, and
/// seldom enough for any disk.
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// What keeps a gate in step. Dropping it stops it.
#[derive(Debug)]
pub struct Keeper {
    file: TokenFile,
    gate: Arc<Gate>,
    watching: JoinHandle<()>,
}

impl Keeper {
    /// Reads the file into the gate, and goes on doing so whenever it changes.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(file: TokenFile, gate: Arc<Gate>) -> Result<Self, TokenFileError> {
        let mark = file.mark();
        gate.put(file.read()?, &file.used());
        let watching = tokio::spawn(watch(file.clone(), Arc::clone(&gate), mark));
        Ok(Self { file, gate, watching })
    }

    /// Stops, and writes down when tokens were last used.
    pub fn stop(self) {
        self.watching.abort();
        write_used(&self.file, &self.gate);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

async fn watch(file: TokenFile, gate: Arc<Gate>, mut known: Option<Mark>) {
    let mut write_at = Instant::now() + WRITE_EVERY;
    let mut failing = false;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Taken before the content: what changes in between is read once more.
        let mark = file.mark();
        if mark != known || failing {
            match file.read() {
                Ok(rows) => {
                    gate.put(rows, &file.used());
                    (known, failing) = (mark, false);
                    tracing::info!(tokens = gate.tokens(), "the API tokens have changed");
                }
                Err(error) => {
                    if !failing {
                        tracing::error!(%error, "the API tokens stay as they were");
                    }
                    failing = true;
                }
            }
        }
        if write_at <= Instant::now() {
            write_at = Instant::now() + WRITE_EVERY;
            write_used(&file, &gate);
        }
    }
}

fn write_used(file: &TokenFile, gate: &Gate) {
    let Some(used) = gate.take_used() else { return };
    if let Err(error) = file.write_used(&used) {
        tracing::warn!(%error, "it cannot be written down when tokens were last used");
    }
}

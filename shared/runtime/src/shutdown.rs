//! Being asked to stop: SIGTERM and SIGINT, or the program itself. Touches signals only; what to
//! do about it is for those who wait.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Tells everyone who holds a copy that the program was asked to stop. Once asked, it stays so.
#[derive(Debug, Clone)]
pub struct Shutdown {
    asked: Arc<watch::Sender<bool>>,
}

impl Shutdown {
    /// One that only the program itself asks, for tests and parts that stop on their own.
    #[must_use]
    pub fn new() -> Self {
        Self { asked: Arc::new(watch::Sender::new(false)) }
    }

    /// One that SIGTERM and SIGINT ask too. A second signal ends the process at once with status
    /// 128 plus the signal's number, because someone who presses Ctrl-C twice means it, and
    /// nothing here depends on a clean end.
    ///
    /// # Errors
    ///
    /// When the handlers cannot be installed.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn on_signals() -> io::Result<Self> {
        let shutdown = Self::new();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let asked = shutdown.clone();
        tokio::spawn(async move {
            let number = either(&mut terminate, &mut interrupt).await;
            tracing::info!(signal = number, "stopping");
            asked.request();
            let number = either(&mut terminate, &mut interrupt).await;
            tracing::warn!(signal = number, "ending at once");
            std::process::exit(128 + number);
        });
        Ok(shutdown)
    }

    /// Asks to stop.
    pub fn request(&self) {
        self.asked.send_replace(true);
    }

    /// Whether someone asked to stop.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        *self.asked.borrow()
    }

    /// Waits until someone asks to stop; at once when someone did.
    pub async fn requested(&self) {
        // The sender lives as long as `self`, so an error cannot occur.
        let _ = self.asked.subscribe().wait_for(|asked| *asked).await;
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits for one of the two and gives its number.
async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> i32 {
    tokio::select! {
        _ = terminate.recv() => SignalKind::terminate().as_raw_value(),
        _ = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everyone_hears_a_request_also_those_who_come_late() {
        let shutdown = Shutdown::new();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.requested().await }
        });
        assert!(!shutdown.is_requested());
        shutdown.request();
        waiting.await.expect("heard");
        shutdown.requested().await;
        assert!(shutdown.clone().is_requested());
    }

    #[tokio::test]
    async fn a_signal_is_a_request() {
        let shutdown = Shutdown::on_signals().expect("handlers");
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::TERM).expect("signal");
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }
}

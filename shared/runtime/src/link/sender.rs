//! The bounded way into a link, and how its owner ends it. The task of the link holds the other
//! end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared::wire::MESSAGE_BYTES_MAX;
use tokio::sync::{mpsc, watch};

/// How long a link that nobody holds any more tries to send what is queued.
const ABANDONED_FLUSH: Duration = Duration::from_secs(5);

/// A message on its way out.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) topic: String,
    pub(super) payload: Vec<u8>,
}

/// How a link is asked to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Not at all.
    No,
    /// Say goodbye now.
    Now,
    /// Send what is queued, at most this long, then say goodbye.
    Flush(Duration),
}

/// Why a message was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// The queue is full; try again when the peer acknowledged something, or later.
    #[error("too many messages wait to be published")]
    Full,
    /// The link is down; what matters is sent again after the next `Up`.
    #[error("the link is down")]
    Down,
    /// No receiver would take it. Waiting does not help.
    #[error("the message has {bytes} bytes, at most {MESSAGE_BYTES_MAX} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// The link was shut down.
    #[error("the link was shut down")]
    Closed,
}

/// Publishes through a link, at least once while the connection lasts, and never across two
/// connections. May be cloned; when the last clone is dropped the link sends what is queued and
/// ends with a goodbye.
#[derive(Debug, Clone)]
pub struct LinkSender {
    queue: mpsc::Sender<Outgoing>,
    stop: watch::Sender<Stop>,
    up: Arc<AtomicBool>,
}

impl LinkSender {
    /// Queues a message, or says at once why not.
    ///
    /// # Errors
    ///
    /// When the link is down, full or shut down, or the message is too large.
    pub fn try_publish(
        &self,
        topic: impl Into<String>,
        payload: Vec<u8>,
    ) -> Result<(), PublishError> {
        self.check(&payload)?;
        let message = Outgoing { topic: topic.into(), payload };
        self.queue.try_send(message).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => PublishError::Full,
            mpsc::error::TrySendError::Closed(_) => PublishError::Closed,
        })
    }

    /// Queues a message, waiting for room. Does not wait for a connection: when the link is or
    /// goes down, room comes at once, because what is queued is dropped.
    ///
    /// # Errors
    ///
    /// When the link is down or shut down, or the message is too large.
    pub async fn publish(
        &self,
        topic: impl Into<String>,
        payload: Vec<u8>,
    ) -> Result<(), PublishError> {
        self.check(&payload)?;
        let message = Outgoing { topic: topic.into(), payload };
        self.queue.send(message).await.map_err(|_| PublishError::Closed)
    }

    fn check(&self, payload: &[u8]) -> Result<(), PublishError> {
        if payload.len() > MESSAGE_BYTES_MAX {
            return Err(PublishError::TooLarge { bytes: payload.len() });
        }
        if self.queue.is_closed() {
            return Err(PublishError::Closed);
        }
        if self.is_up() { Ok(()) } else { Err(PublishError::Down) }
    }

    /// Whether the link is connected, as far as it knows.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// How many more messages [`LinkSender::try_publish`] would take now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.queue.capacity()
    }

    /// Ends the link with a goodbye, so that the broker does not publish the will, and drops what
    /// is queued. Returns when it has ended; within seconds, whatever the broker does.
    pub async fn shutdown(&self) {
        self.end(Stop::Now).await;
    }

    /// As [`LinkSender::shutdown`], after sending what is queued and hearing of its arrival, but
    /// waiting for that at most `wait`.
    pub async fn shutdown_after_flush(&self, wait: Duration) {
        self.end(Stop::Flush(wait)).await;
    }

    async fn end(&self, how: Stop) {
        self.stop.send_replace(how);
        self.stop.closed().await;
    }
}

/// What comes through an [`Outlet`].
#[derive(Debug)]
pub(super) enum Next {
    /// A message to publish.
    Message(Outgoing),
    /// The link is asked to end.
    Stop(Stop),
}

/// The task's end of a sender.
#[derive(Debug)]
pub(super) struct Outlet {
    /// What is to be published.
    pub(super) queue: mpsc::Receiver<Outgoing>,
    stop: watch::Receiver<Stop>,
    up: Arc<AtomicBool>,
}

impl Outlet {
    /// A sender and its other end.
    pub(super) fn new(queue_max: usize) -> (LinkSender, Self) {
        let (sending, queue) = mpsc::channel(queue_max.max(1));
        let (asking, stop) = watch::channel(Stop::No);
        let up = Arc::new(AtomicBool::new(false));
        let sender = LinkSender { queue: sending, stop: asking, up: Arc::clone(&up) };
        (sender, Self { queue, stop, up })
    }

    /// Opens or closes the way in. Opening drops what was queued before.
    pub(super) fn set_up(&mut self, up: bool) {
        if up {
            while self.queue.try_recv().is_ok() {}
        }
        self.up.store(up, Ordering::Release);
    }

    /// Waits for a message, if `messages`, or for being asked to end, if `stops`. Losing the race
    /// in a `select!` loses nothing.
    pub(super) async fn next(&mut self, messages: bool, stops: bool) -> Next {
        tokio::select! {
            Some(message) = self.queue.recv(), if messages => Next::Message(message),
            stop = stopped(&mut self.stop), if stops => Next::Stop(stop),
            else => std::future::pending().await,
        }
    }

    /// Drops every message that comes, queued by someone who asked just before the link went
    /// down, until the link is asked to end.
    pub(super) async fn discard_until_stopped(&mut self) {
        while let Next::Message(_) = self.next(true, true).await {}
    }

    /// Whether the link was asked to end.
    pub(super) fn is_stopped(&self) -> bool {
        *self.stop.borrow() != Stop::No || self.stop.has_changed().is_err()
    }
}

async fn stopped(stop: &mut watch::Receiver<Stop>) -> Stop {
    match stop.wait_for(|stop| *stop != Stop::No).await {
        Ok(stop) => *stop,
        Err(_) => Stop::Flush(ABANDONED_FLUSH),
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.up.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_refusal_has_its_name() {
        let (sender, mut outlet) = Outlet::new(1);
        let publish = |bytes: usize| sender.try_publish("t", vec![0; bytes]);
        assert_eq!(publish(1), Err(PublishError::Down));
        outlet.set_up(true);
        assert_eq!(
            publish(MESSAGE_BYTES_MAX + 1),
            Err(PublishError::TooLarge { bytes: MESSAGE_BYTES_MAX + 1 })
        );
        assert_eq!(publish(MESSAGE_BYTES_MAX), Ok(()));
        assert_eq!((publish(1), sender.room()), (Err(PublishError::Full), 0));
        drop(outlet);
        assert_eq!(publish(1), Err(PublishError::Closed));
        assert_eq!(sender.publish("t", vec![]).await, Err(PublishError::Closed));
    }

    #[tokio::test]
    async fn what_was_queued_before_a_connection_is_dropped_by_it() {
        let (sender, mut outlet) = Outlet::new(2);
        outlet.set_up(true);
        sender.try_publish("old", vec![]).expect("queued");
        outlet.set_up(false);
        outlet.set_up(true);
        sender.publish("new", vec![]).await.expect("queued");
        assert_eq!(outlet.queue.recv().await.expect("message").topic, "new");
    }

    #[tokio::test]
    async fn an_end_is_asked_by_name_or_by_letting_go() {
        let (sender, mut outlet) = Outlet::new(1);
        assert!(!outlet.is_stopped());
        let ending = tokio::spawn(async move { sender.shutdown().await });
        assert!(matches!(outlet.next(true, true).await, Next::Stop(Stop::Now)));
        assert!(outlet.is_stopped());
        drop(outlet);
        ending.await.expect("told of the end");

        let (sender, mut outlet) = Outlet::new(1);
        drop(sender);
        assert!(matches!(outlet.next(true, true).await, Next::Stop(Stop::Flush(_))));
        assert!(outlet.is_stopped());
    }
}

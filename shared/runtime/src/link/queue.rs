//! The bounded stream of events from a link to its owner. Messages have a bound in number and in
//! bytes and may be turned away; what is said about the connection never is.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::event::LinkEvent;

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<LinkEvent>,
    /// How many of them are no state.
    messages: usize,
    bytes: usize,
    /// No more will come.
    closed: bool,
    /// Nobody listens.
    abandoned: bool,
}

/// The link's end: one task pushes.
#[derive(Debug)]
pub(super) struct EventQueue {
    state: Mutex<State>,
    arrived: Notify,
    left: Notify,
    messages_max: usize,
    bytes_max: usize,
}

impl EventQueue {
    /// A queue and its reading end.
    pub(super) fn new(messages_max: usize, bytes_max: usize) -> (Arc<Self>, LinkEvents) {
        let queue = Arc::new(Self {
            state: Mutex::default(),
            arrived: Notify::new(),
            left: Notify::new(),
            messages_max,
            bytes_max,
        });
        (Arc::clone(&queue), LinkEvents { queue })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that holds the lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells of the connection. Always taken: when the queue is full, the newest state replaces
    /// one before it that was not read yet, so that the queue stays bounded.
    pub(super) fn push_state(&self, event: LinkEvent) {
        let mut state = self.lock();
        if state.abandoned {
            return;
        }
        if state.waiting.len() >= self.messages_max
            && state.waiting.back().is_some_and(LinkEvent::is_state)
        {
            state.waiting.pop_back();
        }
        state.waiting.push_back(event);
        drop(state);
        self.arrived.notify_one();
    }

    /// Passes a message on, if there is room now. Also true when nobody listens.
    pub(super) fn try_push(&self, event: LinkEvent) -> Result<(), LinkEvent> {
        let mut state = self.lock();
        if state.abandoned {
            return Ok(());
        }
        let bytes = event.bytes();
        // An empty queue takes any message: none is larger than what the wire allows.
        let full = state.messages >= self.messages_max || state.bytes + bytes > self.bytes_max;
        if full && state.messages > 0 {
            return Err(event);
        }
        state.messages += 1;
        state.bytes += bytes;
        state.waiting.push_back(event);
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Passes a message on, waiting for room at most `wait`. False when there was none.
    pub(super) async fn push(&self, event: LinkEvent, wait: Duration) -> bool {
        let Err(mut event) = self.try_push(event) else {
            return true;
        };
        let retry = async {
            loop {
                self.left.notified().await;
                match self.try_push(event) {
                    Ok(()) => return,
                    Err(back) => event = back,
                }
            }
        };
        tokio::time::timeout(wait, retry).await.is_ok()
    }

    /// Says that no more will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_one();
    }

    fn pop(&self) -> Next {
        let mut state = self.lock();
        match state.waiting.pop_front() {
            Some(event) => {
                if !event.is_state() {
                    state.messages -= 1;
                    state.bytes -= event.bytes();
                }
                drop(state);
                self.left.notify_one();
                Next::Event(event)
            }
            None if state.closed => Next::Closed,
            None => Next::Empty,
        }
    }
}

/// Closes the stream of events whatever way the task of a link ends.
#[derive(Debug)]
pub(super) struct Closing(pub(super) Arc<EventQueue>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

enum Next {
    Event(LinkEvent),
    Empty,
    Closed,
}

/// The stream of a link's events. Dropping it does not end the link.
#[derive(Debug)]
pub struct LinkEvents {
    queue: Arc<EventQueue>,
}

impl LinkEvents {
    /// Waits for the next event; `None` when the link was shut down and all was taken. Losing
    /// the race in a `select!` loses no event.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        loop {
            match self.queue.pop() {
                Next::Event(event) => return Some(event),
                Next::Closed => return None,
                Next::Empty => self.queue.arrived.notified().await,
            }
        }
    }

    /// The next event, if one is there already.
    pub fn try_recv(&mut self) -> Option<LinkEvent> {
        match self.queue.pop() {
            Next::Event(event) => Some(event),
            Next::Empty | Next::Closed => None,
        }
    }
}

impl Drop for LinkEvents {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        *state = State { abandoned: true, closed: state.closed, ..State::default() };
        drop(state);
        self.queue.left.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::super::event::LinkDown;
    use super::*;

    fn message(bytes: usize) -> LinkEvent {
        LinkEvent::Message { topic: String::new(), payload: vec![0; bytes] }
    }

    fn down() -> LinkEvent {
        LinkEvent::Down { reason: LinkDown::NoAnswer }
    }

    #[tokio::test]
    async fn messages_are_bounded_in_number_and_bytes_and_states_always_pass() {
        let (queue, mut events) = EventQueue::new(2, 10);
        assert!(queue.try_push(message(8)).is_ok());
        assert!(queue.try_push(message(8)).is_err(), "too many bytes");
        assert!(queue.try_push(message(2)).is_ok());
        assert!(queue.try_push(message(0)).is_err(), "too many messages");
        for _ in 0..100 {
            queue.push_state(down());
            queue.push_state(LinkEvent::Up);
        }
        assert!(queue.lock().waiting.len() <= 4);
        assert_eq!(events.recv().await, Some(message(8)));
        assert_eq!(events.recv().await, Some(message(2)));
        assert_eq!(events.recv().await, Some(LinkEvent::Up), "the newest state");
        assert!(queue.try_push(message(99)).is_ok(), "an empty queue takes any message");
        assert_eq!(events.recv().await, Some(message(99)));
        let state = queue.lock();
        assert_eq!((state.messages, state.bytes), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_is_waited_for_but_not_for_ever() {
        let (queue, mut events) = EventQueue::new(1, 10);
        assert!(queue.push(message(1), Duration::from_secs(1)).await);
        assert!(!queue.push(message(2), Duration::from_secs(1)).await);
        let waiting = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.push(message(3), Duration::from_secs(60)).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(events.recv().await, Some(message(1)));
        assert!(waiting.await.expect("task"));
        assert_eq!(events.recv().await, Some(message(3)));
    }

    #[tokio::test]
    async fn the_end_is_told_after_what_came_before() {
        let (queue, mut events) = EventQueue::new(1, 10);
        queue.push_state(LinkEvent::Up);
        queue.close();
        assert_eq!(events.recv().await, Some(LinkEvent::Up));
        assert_eq!(events.recv().await, None);
        assert_eq!(events.try_recv(), None);
    }

    #[tokio::test]
    async fn when_nobody_listens_nothing_is_kept() {
        let (queue, events) = EventQueue::new(1, 10);
        drop(events);
        for _ in 0..3 {
            assert!(queue.push(message(1), Duration::from_secs(60)).await);
            queue.push_state(LinkEvent::Up);
        }
        assert!(queue.lock().waiting.is_empty());
    }
}

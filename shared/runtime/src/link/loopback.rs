//! Links in memory, for tests: a [`Hub`] is a broker, a network and a pair of scissors. Its links
//! have the same two halves, the same bounds and the same habit of losing what was under way.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::queue::{Closing, EventQueue, LinkEvents};
use super::sender::{LinkSender, Next, Outgoing, Outlet, Stop};
use super::{LinkDown, LinkEvent, LinkRefused, Will};

/// How many messages may wait in each direction of a link, unless said otherwise.
const MESSAGES_MAX: usize = 256;
/// How many bytes may wait to be taken.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long a sender is held up by a receiver that takes nothing, before its message is dropped.
const RECEIVE_WAIT: Duration = Duration::from_secs(2);

/// What a client's connection should be.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Up,
    Cut,
    Refused(LinkRefused),
}

#[derive(Debug)]
struct Client {
    subscriptions: Vec<String>,
    will: Option<Will>,
    events: Arc<EventQueue>,
    wanted: watch::Sender<Wanted>,
    /// Connected now, as the broker sees it.
    connected: bool,
}

/// A broker in memory. Clones are the same broker.
#[derive(Debug, Clone)]
pub struct Hub {
    clients: Arc<Mutex<HashMap<String, Client>>>,
    messages_max: usize,
}

impl Default for Hub {
    fn default() -> Self {
        Self::with_room(MESSAGES_MAX)
    }
}

impl Hub {
    /// A broker without clients.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, whose links bear more or fewer messages in each direction than usual.
    #[must_use]
    pub fn with_room(messages_max: usize) -> Self {
        Self { clients: Arc::default(), messages_max }
    }

    /// Connects a client. One that has the same id is refused from then on.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn link(
        &self,
        client_id: &str,
        subscriptions: Vec<String>,
        will: Option<Will>,
    ) -> (LinkSender, LinkEvents) {
        let (sender, outlet) = Outlet::new(self.messages_max);
        let (events, receiver) = EventQueue::new(self.messages_max, BYTES_MAX);
        let (wanted, wishes) = watch::channel(Wanted::Up);
        let client =
            Client { subscriptions, will, events: Arc::clone(&events), wanted, connected: false };
        if let Some(old) = self.lock().insert(client_id.to_owned(), client) {
            old.wanted.send_replace(Wanted::Refused(LinkRefused::TakenOver));
        }
        let client_id = client_id.to_owned();
        let wire = Wire { hub: self.clone(), client_id, events: Closing(events), outlet, wishes };
        tokio::spawn(wire.run());
        (sender, receiver)
    }

    /// Cuts a client off: messages under way are lost, and its will is published.
    pub fn cut(&self, client_id: &str) {
        self.want(client_id, Wanted::Cut);
    }

    /// Refuses a client, as a broker with a changed password or access list would.
    pub fn refuse(&self, client_id: &str, reason: LinkRefused) {
        self.want(client_id, Wanted::Refused(reason));
    }

    /// Lets a client connect again.
    pub fn restore(&self, client_id: &str) {
        self.want(client_id, Wanted::Up);
    }

    fn want(&self, client_id: &str, wanted: Wanted) {
        if let Some(client) = self.lock().get(client_id) {
            client.wanted.send_replace(wanted);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Passes a message to everyone who is connected and subscribed.
    async fn publish(&self, topic: &str, payload: &[u8]) {
        let wants = |client: &&Client| {
            client.connected && client.subscriptions.iter().any(|filter| covers(filter, topic))
        };
        let receivers: Vec<_> =
            self.lock().values().filter(wants).map(|client| Arc::clone(&client.events)).collect();
        for receiver in receivers {
            let event = LinkEvent::Message { topic: topic.to_owned(), payload: payload.to_vec() };
            // Lost when there is no room: that is what links do.
            receiver.push(event, RECEIVE_WAIT).await;
        }
    }
}

/// One client's connection, run by its task.
struct Wire {
    hub: Hub,
    client_id: String,
    // Dropped in this order: events are closed before the owner hears that the link has ended.
    events: Closing,
    outlet: Outlet,
    wishes: watch::Receiver<Wanted>,
}

impl Wire {
    async fn run(mut self) {
        let mut connected = None;
        loop {
            let wanted = self.wishes.borrow_and_update().clone();
            if connected.as_ref() != Some(&wanted) {
                self.change(&wanted).await;
                connected = Some(wanted);
            }
            let up = connected == Some(Wanted::Up);
            tokio::select! {
                Ok(()) = self.wishes.changed() => {}
                next = self.outlet.next(true, true) => match next {
                    Next::Message(Outgoing { topic, payload }) => {
                        if up {
                            self.hub.publish(&topic, &payload).await;
                        }
                    }
                    Next::Stop(stop) => {
                        return self.leave(stop, up).await;
                    }
                },
            }
        }
    }

    async fn change(&mut self, wanted: &Wanted) {
        let was = self.set_connected(*wanted == Wanted::Up);
        self.outlet.set_up(*wanted == Wanted::Up);
        self.events.0.push_state(match wanted {
            Wanted::Up => LinkEvent::Up,
            Wanted::Cut => {
                LinkEvent::Down { reason: LinkDown::Network { detail: "cut".to_owned() } }
            }
            Wanted::Refused(reason) => LinkEvent::Refused { reason: reason.clone() },
        });
        if let (true, Some(Will { topic, payload })) = was {
            self.hub.publish(&topic, &payload).await;
        }
    }

    /// Tells the broker whether this client is there. Gives whether its will is to be published,
    /// and the will.
    fn set_connected(&self, connected: bool) -> (bool, Option<Will>) {
        let mut clients = self.hub.lock();
        let mine = clients.get_mut(&self.client_id);
        match mine.filter(|client| Arc::ptr_eq(&client.events, &self.events.0)) {
            Some(client) => {
                let left = client.connected && !connected;
                client.connected = connected;
                (left, client.will.clone())
            }
            None => (false, None),
        }
    }

    /// Says goodbye: no will.
    async fn leave(mut self, stop: Stop, up: bool) {
        if let (Stop::Flush(wait), true) = (stop, up) {
            self.outlet.queue.close();
            let flush = async {
                while let Some(Outgoing { topic, payload }) = self.outlet.queue.recv().await {
                    self.hub.publish(&topic, &payload).await;
                }
            };
            // What did not go out in time is lost.
            let _ = tokio::time::timeout(wait, flush).await;
        }
        let mut clients = self.hub.lock();
        let mine = |client: &Client| Arc::ptr_eq(&client.events, &self.events.0);
        if clients.get(&self.client_id).is_some_and(mine) {
            clients.remove(&self.client_id);
        }
    }
}

/// Whether a topic filter covers a topic.
fn covers(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for level in filter.split('/') {
        match (level, levels.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(actual)) if level == actual => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::super::PublishError;
    use super::*;

    fn message(topic: &str, payload: &[u8]) -> LinkEvent {
        LinkEvent::Message { topic: topic.to_owned(), payload: payload.to_vec() }
    }

    fn topics(filters: &[&str]) -> Vec<String> {
        filters.iter().map(|filter| (*filter).to_owned()).collect()
    }

    #[test]
    fn filters_cover_what_the_standard_says() {
        assert!(covers("a/+/up", "a/b/up") && covers("#", "a/b") && covers("a/#", "a/b/c"));
        assert!(covers("a/b", "a/b") && covers("a/#", "a"));
        assert!(!covers("a/+", "a/b/c") && !covers("a/b", "a") && !covers("a", "a/b"));
    }

    #[tokio::test]
    async fn messages_pass_between_those_who_are_connected() {
        let hub = Hub::new();
        let (core, mut core_events) = hub.link("core", topics(&["a/+/up"]), None);
        let (agent, mut agent_events) = hub.link("7", topics(&["a/7/down"]), None);
        assert_eq!(core_events.recv().await, Some(LinkEvent::Up));
        assert_eq!(agent_events.recv().await, Some(LinkEvent::Up));
        agent.try_publish("a/7/up", b"hello".to_vec()).expect("sent");
        assert_eq!(core_events.recv().await, Some(message("a/7/up", b"hello")));
        core.publish("a/7/down", b"welcome".to_vec()).await.expect("sent");
        assert_eq!(agent_events.recv().await, Some(message("a/7/down", b"welcome")));
    }

    #[tokio::test]
    async fn a_cut_publishes_the_will_and_carries_nothing_over() {
        let hub = Hub::new();
        let will = Will { topic: "a/7/will".to_owned(), payload: b"gone".to_vec() };
        let (_core, mut core_events) = hub.link("core", topics(&["#"]), None);
        let (agent, mut agent_events) = hub.link("7", vec![], Some(will));
        assert_eq!(core_events.recv().await, Some(LinkEvent::Up));
        assert_eq!(agent_events.recv().await, Some(LinkEvent::Up));
        hub.cut("7");
        assert!(matches!(agent_events.recv().await, Some(LinkEvent::Down { .. })));
        assert_eq!(core_events.recv().await, Some(message("a/7/will", b"gone")));
        assert_eq!(agent.try_publish("a/7/up", vec![]), Err(PublishError::Down));
        hub.restore("7");
        assert_eq!(agent_events.recv().await, Some(LinkEvent::Up));
        agent.try_publish("a/7/up", b"back".to_vec()).expect("sent");
        agent.shutdown_after_flush(Duration::from_secs(60)).await;
        assert_eq!(agent_events.recv().await, None);
        assert_eq!(core_events.recv().await, Some(message("a/7/up", b"back")));
        assert_eq!(core_events.try_recv(), None, "a goodbye publishes no will");
    }

    #[tokio::test]
    async fn the_second_client_with_an_id_takes_the_place_of_the_first() {
        let hub = Hub::new();
        let (first, mut first_events) = hub.link("7", vec![], None);
        assert_eq!(first_events.recv().await, Some(LinkEvent::Up));
        let (_second, mut second_events) = hub.link("7", topics(&["t"]), None);
        let reason = LinkRefused::TakenOver;
        assert_eq!(first_events.recv().await, Some(LinkEvent::Refused { reason }));
        assert_eq!(second_events.recv().await, Some(LinkEvent::Up));
        first.shutdown().await;
        let (other, mut other_events) = hub.link("8", vec![], None);
        assert_eq!(other_events.recv().await, Some(LinkEvent::Up));
        other.publish("t", b"still there".to_vec()).await.expect("sent");
        assert_eq!(second_events.recv().await, Some(message("t", b"still there")));
    }
}

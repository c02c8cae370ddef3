//! One connection, from CONNECT to its end: subscribes, passes messages both ways within a window,
//! and says goodbye when asked. The client's event loop is polled here and nowhere else, and a
//! poll is never abandoned half-way.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnAck, ConnectionError, Event, EventLoop, MqttOptions, Outgoing as Sent, Packet,
    PubAck, Publish, PublishOptions, QoS, SubAck, SubscribeFilterInput,
};
use shared::time::Monotonic;
use tokio::time::Instant;

use super::super::queue::EventQueue;
use super::super::sender::{Next, Outgoing, Outlet, Stop};
use super::super::{LinkDown, LinkEvent, LinkRefused, Unsent};
use super::{Loss, reason};
use crate::clock::Clock;

/// How long the broker may take to grant the subscriptions.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_secs(15);
/// How long a goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a received message waits for room before it is dropped. Meanwhile nothing is read, so
/// the broker is slowed down; longer, and the broker would take us for dead.
const RECEIVE_WAIT: Duration = Duration::from_secs(2);
/// What a PUBLISH adds to topic and payload, in bytes, at most: 5 of header, 2 of topic length, 2
/// of packet id, 1 of properties.
const PUBLISH_OVERHEAD_BYTES: usize = 10;

/// How a connection ended.
pub(super) enum Ending {
    /// As asked.
    Stopped,
    /// Or not.
    Lost(Loss),
}

/// How far a connection has come.
enum Phase {
    Connecting,
    Subscribing {
        until: Instant,
    },
    Up,
    /// Sending what is queued.
    Flushing {
        until: Instant,
    },
    /// Saying goodbye.
    Leaving {
        until: Instant,
    },
}

pub(super) struct Session<'a> {
    subscriptions: &'a [String],
    in_flight_max: usize,
    outlet: &'a mut Outlet,
    events: &'a EventQueue,
    clock: &'a Clock,
    client: AsyncClient,
    phase: Phase,
    up_since: Option<Monotonic>,
    /// The largest packet that the broker takes, in bytes.
    packet_bytes_max: usize,
    /// Topics of messages given to the client, oldest first, that it has not numbered yet.
    handed: VecDeque<String>,
    /// Topics of messages that the broker has not acknowledged, by packet id.
    in_flight: HashMap<u16, String>,
    /// Whether the log was told of a message that the broker refused, or that nobody took.
    told_refused: bool,
    told_dropped: bool,
    /// The last received message found no room: the next ones do not wait, or the pings that keep
    /// the connection alive would wait behind them.
    stalled: bool,
    eventloop: Option<EventLoop>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        options: MqttOptions,
        subscriptions: &'a [String],
        in_flight_max: usize,
        outlet: &'a mut Outlet,
        events: &'a EventQueue,
        clock: &'a Clock,
    ) -> Self {
        // Never full: no more than the window is ever given to it, and one SUBSCRIBE.
        let (client, eventloop) = AsyncClient::builder(options).capacity(in_flight_max + 1).build();
        Self {
            subscriptions,
            in_flight_max,
            outlet,
            events,
            clock,
            client,
            phase: Phase::Connecting,
            up_since: None,
            packet_bytes_max: usize::MAX,
            handed: VecDeque::new(),
            in_flight: HashMap::new(),
            told_refused: false,
            told_dropped: false,
            stalled: false,
            eventloop: Some(eventloop),
        }
    }

    /// Runs the connection to its end, and gives since when it was up, if ever.
    pub(super) async fn run(mut self) -> (Ending, Option<Monotonic>) {
        let Some(mut eventloop) = self.eventloop.take() else {
            return (Ending::Stopped, None);
        };
        loop {
            let ending = match self.poll(&mut eventloop).await {
                Some(Ok(event)) => self.on_event(event).await,
                Some(Err(_)) if self.is_leaving() => Some(Ending::Stopped),
                Some(Err(error)) => Some(Ending::Lost(reason::loss(&error))),
                None => self.on_deadline(),
            };
            if let Some(ending) = ending {
                return (ending, self.up_since);
            }
            self.leave_when_flushed();
        }
    }

    /// Waits for the client's next event; `None` when a deadline passed first. Gives the client
    /// messages and requests to stop meanwhile. Only a deadline abandons the poll, and after that
    /// the connection is given up.
    async fn poll(&mut self, eventloop: &mut EventLoop) -> Option<Result<Event, ConnectionError>> {
        let poll = eventloop.poll();
        tokio::pin!(poll);
        loop {
            let deadline = self.deadline();
            let stoppable = !self.is_leaving();
            let room = self.has_room();
            tokio::select! {
                event = &mut poll => return Some(event),
                next = self.outlet.next(room, stoppable) => match next {
                    Next::Message(message) => self.take(message),
                    Next::Stop(stop) => self.on_stop(stop),
                },
                () = sleep_until(deadline) => match self.phase {
                    // What did not go out in time is given up; the goodbye still goes out.
                    Phase::Flushing { .. } => self.leave(),
                    _ => return None,
                },
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Connecting | Phase::Up => None,
            Phase::Subscribing { until } | Phase::Flushing { until } | Phase::Leaving { until } => {
                Some(until)
            }
        }
    }

    fn on_deadline(&self) -> Option<Ending> {
        Some(if self.is_leaving() {
            Ending::Stopped
        } else {
            Ending::Lost(Loss::Down(LinkDown::NoAnswer))
        })
    }

    fn is_leaving(&self) -> bool {
        matches!(self.phase, Phase::Flushing { .. } | Phase::Leaving { .. })
    }

    /// Whether a message may be taken from the queue: to be sent, while the window has room, or to
    /// be dropped, when there is nothing to send it through.
    fn has_room(&self) -> bool {
        match self.phase {
            Phase::Up | Phase::Flushing { .. } => self.unacknowledged() < self.in_flight_max,
            Phase::Connecting | Phase::Subscribing { .. } | Phase::Leaving { .. } => true,
        }
    }

    fn unacknowledged(&self) -> usize {
        self.handed.len() + self.in_flight.len()
    }

    /// Gives the client one message, and as many more as there are and fit.
    fn take(&mut self, message: Outgoing) {
        let sending = matches!(self.phase, Phase::Up | Phase::Flushing { .. });
        let mut next = Some(message);
        while let Some(message) = next {
            if sending {
                self.send(message);
            }
            next = if self.has_room() { self.outlet.queue.try_recv().ok() } else { None };
        }
        self.leave_when_flushed();
    }

    fn send(&mut self, message: Outgoing) {
        let Outgoing { topic, payload } = message;
        let bytes = topic.len() + payload.len() + PUBLISH_OVERHEAD_BYTES;
        if bytes > self.packet_bytes_max {
            // The client would end the connection over it, and again after every reconnection.
            return self.refuse(topic, Unsent::TooLarge { bytes, max: self.packet_bytes_max });
        }
        let options = PublishOptions::new(QoS::AtLeastOnce);
        match self.client.try_publish(topic.as_str(), payload, options) {
            Ok(()) => self.handed.push_back(topic),
            Err(_) => self.refuse(topic, Unsent::Topic),
        }
    }

    fn refuse(&mut self, topic: String, reason: Unsent) {
        if self.told_refused {
            tracing::debug!(topic, %reason, "message not sent");
        } else {
            tracing::warn!(topic, %reason, "message not sent");
            self.told_refused = true;
        }
        // Without room, the log alone has to do: this tells of a wrong configuration, not of data.
        let _ = self.events.try_push(LinkEvent::Unsent { topic, reason });
    }

    fn on_stop(&mut self, stop: Stop) {
        match (stop, &self.phase) {
            (Stop::Flush(wait), Phase::Up) => {
                // Nobody may add to it any more, so that it comes to an end.
                self.outlet.queue.close();
                self.phase = Phase::Flushing { until: Instant::now() + wait };
                self.leave_when_flushed();
            }
            _ => self.leave(),
        }
    }

    fn leave_when_flushed(&mut self) {
        let flushing = matches!(self.phase, Phase::Flushing { .. });
        if flushing && self.unacknowledged() == 0 && self.outlet.queue.is_empty() {
            self.leave();
        }
    }

    /// Says goodbye. While still connecting, the connection is made first: a broker that has the
    /// will already would publish it otherwise.
    fn leave(&mut self) {
        // An error says that the client has ended, which is what is wanted.
        let _ = self.client.try_disconnect_now();
        self.phase = Phase::Leaving { until: Instant::now() + GOODBYE_TIMEOUT };
    }

    async fn on_event(&mut self, event: Event) -> Option<Ending> {
        match event {
            Event::Incoming(Packet::ConnAck(answer)) => self.on_connected(&answer),
            Event::Incoming(Packet::SubAck(answer)) => self.on_subscribed(&answer),
            Event::Incoming(Packet::Publish(message)) => {
                self.on_message(message).await;
                None
            }
            Event::Incoming(Packet::PubAck(answer)) => {
                self.on_acknowledged(&answer);
                None
            }
            Event::Outgoing(Sent::Publish(id)) => {
                if let Some(topic) = self.handed.pop_front() {
                    self.in_flight.insert(id, topic);
                }
                None
            }
            _ => None,
        }
    }

    fn on_connected(&mut self, answer: &ConnAck) -> Option<Ending> {
        if let Some(properties) = &answer.properties {
            if properties.max_qos == Some(0) {
                let detail = "it does not support QoS 1".to_owned();
                return Some(Ending::Lost(Loss::Refused(LinkRefused::Other { detail })));
            }
            if let Some(max) = properties.max_packet_size {
                self.packet_bytes_max = usize::try_from(max).unwrap_or(usize::MAX);
            }
        }
        if !matches!(self.phase, Phase::Connecting) {
            return None;
        }
        if self.subscriptions.is_empty() {
            self.go_up();
            return None;
        }
        let filters = self.subscriptions.iter();
        let filters = filters.map(|filter| SubscribeFilterInput::new(filter, QoS::AtLeastOnce));
        if self.client.try_subscribe_many(filters).is_err() {
            let topic = self.subscriptions.join(", ");
            let detail = "not a topic filter".to_owned();
            let refused = LinkRefused::Subscription { topic, detail };
            return Some(Ending::Lost(Loss::Refused(refused)));
        }
        self.phase = Phase::Subscribing { until: Instant::now() + SUBSCRIBE_TIMEOUT };
        None
    }

    fn on_subscribed(&mut self, answer: &SubAck) -> Option<Ending> {
        if let Some(refused) = reason::ungranted(self.subscriptions, &answer.return_codes) {
            return Some(Ending::Lost(Loss::Refused(refused)));
        }
        if matches!(self.phase, Phase::Subscribing { .. }) {
            self.go_up();
        }
        None
    }

    fn go_up(&mut self) {
        self.phase = Phase::Up;
        self.up_since = Some(self.clock.now().mono);
        self.outlet.set_up(true);
        tracing::info!("link up");
        self.events.push_state(LinkEvent::Up);
    }

    async fn on_message(&mut self, message: Publish) {
        let Ok(topic) = String::from_utf8(message.topic.to_vec()) else {
            return;
        };
        let event = LinkEvent::Message { topic, payload: message.payload.to_vec() };
        let wait = if self.stalled { Duration::ZERO } else { RECEIVE_WAIT };
        self.stalled = !self.events.push(event, wait).await;
        if self.stalled && !self.told_dropped {
            self.told_dropped = true;
            tracing::warn!("messages are dropped: they come faster than they are taken");
        }
    }

    fn on_acknowledged(&mut self, answer: &PubAck) {
        let topic = self.in_flight.remove(&answer.pkid);
        if let Some(reason) = reason::unsent(answer.reason) {
            self.refuse(topic.unwrap_or_default(), reason);
        }
    }
}

/// Sleeps until a deadline; for ever without one.
async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

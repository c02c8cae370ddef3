//! Listens to topics of others, over a connection of its own: whatever happens here — a flood, a filter
//! that the broker does not grant — the link to the fleet does not feel it.
//!
//! What it promises, and no more:
//! - Each filter is subscribed to by itself, under an identifier of its own, and a message comes with the
//!   filters whose identifiers it carries. So one copy for several filters and a copy for each of them
//!   come to the same.
//! - What is published while there is no connection is not heard, and what a broker has kept from before
//!   (retained) is no message: it is asked not to send it.
//! - What comes faster than it is taken is dropped and counted. Nothing waits for it.
//! - A filter that is not granted is told of, and asked for again after a while; others go on.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use rumqttc::mqttbytes::v5::{RetainForwardRule, SubscribeProperties};
use rumqttc::{
    AsyncClient, ConnAck, ConnectionError, Event, EventLoop, MqttOptions, Outgoing as Sent, Packet,
    Publish, QoS, SubAck, SubscribeFilterInput,
};
use shared::schedule::TopicFilter;
use shared::time::Monotonic;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::Instrument;

use super::super::{LinkConfig, LinkConfigError, LinkRefused};
use super::{Backoff, Loss, STEADY_MS, options, reason, same_kind};
use crate::clock::Clock;

/// How many filters may wait for the broker's answer at once.
const ASKED_MAX: usize = 16;
/// How long to wait before a filter that was not granted is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(60);
/// How long a goodbye may take.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(2);

/// A message of somebody else's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Where it was published.
    pub topic: String,
    /// The filters that let it through, each once.
    pub filters: Vec<TopicFilter>,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// What listening tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicEvent {
    /// A message came.
    Heard(Heard),
    /// A filter is listened to from now on.
    Granted(TopicFilter),
    /// The broker does not grant a filter.
    Refused {
        /// Which.
        filter: TopicFilter,
        /// Its reason.
        reason: LinkRefused,
    },
    /// So many messages were dropped before this event, because they came faster than they were taken.
    Dropped(u64),
}

/// Starts listening, in a task that ends when `wanted` or the receiver is dropped. There is a connection
/// as long as anything is wanted. `queue_max` messages may wait to be taken.
///
/// # Errors
///
/// When the configuration cannot work, as for [`super::start`].
///
/// # Panics
///
/// Outside a tokio runtime.
pub fn listen(
    config: LinkConfig,
    wanted: watch::Receiver<BTreeSet<TopicFilter>>,
    queue_max: usize,
) -> Result<mpsc::Receiver<TopicEvent>, LinkConfigError> {
    config.check()?;
    let options = options::build(&config, None)?;
    let (out, events) = mpsc::channel(queue_max.max(1));
    let listener = Listener {
        options,
        wanted,
        out,
        dropped: 0,
        backoff: Backoff { failures: 0, max_ms: config.backoff_ms_max },
        clock: Clock::new(),
    };
    tokio::spawn(
        listener.run().instrument(tracing::info_span!("topics", broker = config.target())),
    );
    Ok(events)
}

struct Listener {
    options: MqttOptions,
    wanted: watch::Receiver<BTreeSet<TopicFilter>>,
    out: mpsc::Sender<TopicEvent>,
    /// Messages that found no room and were not told of.
    dropped: u64,
    backoff: Backoff,
    clock: Clock,
}

/// How a connection ended.
enum Ending {
    /// Nothing is wanted any more, or nobody is there.
    Unwanted,
    Lost(Loss),
}

impl Listener {
    async fn run(mut self) {
        let mut told: Option<Loss> = None;
        loop {
            tokio::select! {
                wanted = self.wanted.wait_for(|wanted| !wanted.is_empty()) => {
                    if wanted.is_err() {
                        return;
                    }
                }
                () = self.out.closed() => return,
            }
            let (ending, up_since) = Connection::new(&mut self).run().await;
            if up_since.is_some() {
                told = None;
            }
            let Ending::Lost(loss) = ending else {
                continue;
            };
            let now = self.clock.now();
            if up_since.is_some_and(|since| now.mono.since_ms(since) >= STEADY_MS) {
                self.backoff.failures = 0;
            }
            let retry_ms = self.backoff.next_ms(matches!(loss, Loss::Refused(_)), now.chance);
            let reason = match &loss {
                Loss::Down(reason) => reason.to_string(),
                Loss::Refused(reason) => reason.to_string(),
            };
            if told.as_ref().is_none_or(|told| !same_kind(told, &loss)) {
                tracing::warn!(reason, retry_ms, "topics of schedules are not heard");
            }
            told = Some(loss);
            tokio::time::sleep(Duration::from_millis(retry_ms)).await;
        }
    }

    /// Passes an event on, if there is room for it.
    fn tell(&mut self, event: TopicEvent) {
        if self.dropped > 0 && self.out.try_send(TopicEvent::Dropped(self.dropped)).is_ok() {
            self.dropped = 0;
        }
        let heard = matches!(event, TopicEvent::Heard(_));
        if self.out.try_send(event).is_err() && heard {
            self.dropped += 1;
        }
    }
}

/// One connection.
struct Connection<'a> {
    listener: &'a mut Listener,
    client: AsyncClient,
    eventloop: Option<EventLoop>,
    up_since: Option<Monotonic>,
    leaving: Option<Instant>,
    /// Whether the broker says by identifiers which filters let a message through.
    numbered: bool,
    last_number: usize,
    /// What was asked for, by its number.
    numbers: BTreeMap<usize, TopicFilter>,
    asked: BTreeMap<TopicFilter, usize>,
    /// Filters given to the client, oldest first, that it has not sent yet.
    handed: VecDeque<TopicFilter>,
    /// Filters that the broker has not answered, by packet id.
    unanswered: BTreeMap<u16, TopicFilter>,
    refused: BTreeSet<TopicFilter>,
    ask_again: Instant,
}

impl<'a> Connection<'a> {
    fn new(listener: &'a mut Listener) -> Self {
        let options = listener.options.clone();
        let (client, eventloop) = AsyncClient::builder(options).capacity(2 * ASKED_MAX).build();
        Self {
            listener,
            client,
            eventloop: Some(eventloop),
            up_since: None,
            leaving: None,
            numbered: true,
            last_number: 0,
            numbers: BTreeMap::new(),
            asked: BTreeMap::new(),
            handed: VecDeque::new(),
            unanswered: BTreeMap::new(),
            refused: BTreeSet::new(),
            ask_again: Instant::now() + ASK_AGAIN,
        }
    }

    /// Runs to the end, and gives since when it was up, if ever.
    async fn run(mut self) -> (Ending, Option<Monotonic>) {
        let Some(mut eventloop) = self.eventloop.take() else {
            return (Ending::Unwanted, None);
        };
        loop {
            let ending = match self.poll(&mut eventloop).await {
                Some(Ok(event)) => self.on_event(event),
                _ if self.leaving.is_some() => Some(Ending::Unwanted),
                Some(Err(error)) => Some(Ending::Lost(reason::loss(&error))),
                None => Some(Ending::Unwanted),
            };
            if let Some(ending) = ending {
                return (ending, self.up_since);
            }
            self.ask();
        }
    }

    /// Waits for the client's next event, and asks for what is wanted meanwhile. `None` when a goodbye
    /// takes too long; only then is a poll abandoned half-way.
    async fn poll(&mut self, eventloop: &mut EventLoop) -> Option<Result<Event, ConnectionError>> {
        let poll = eventloop.poll();
        tokio::pin!(poll);
        loop {
            let stays = self.leaving.is_none();
            let deadline = self.leaving.unwrap_or(self.ask_again);
            tokio::select! {
                event = &mut poll => return Some(event),
                changed = self.listener.wanted.changed(), if stays => match changed {
                    Ok(()) => self.ask(),
                    Err(_) => self.leave(),
                },
                () = self.listener.out.closed(), if stays => self.leave(),
                () = tokio::time::sleep_until(deadline) => {
                    if !stays {
                        return None;
                    }
                    self.ask_again = Instant::now() + ASK_AGAIN;
                    for filter in std::mem::take(&mut self.refused) {
                        self.forget(&filter);
                    }
                    self.ask();
                }
            }
        }
    }

    fn on_event(&mut self, event: Event) -> Option<Ending> {
        match event {
            Event::Incoming(Packet::ConnAck(answer)) => self.on_connected(&answer),
            Event::Outgoing(Sent::Subscribe(id)) => {
                if let Some(filter) = self.handed.pop_front() {
                    self.unanswered.insert(id, filter);
                }
            }
            Event::Incoming(Packet::SubAck(answer)) => self.on_subscribed(&answer),
            Event::Incoming(Packet::Publish(message)) => self.on_message(message),
            _ => {}
        }
        None
    }

    fn on_connected(&mut self, answer: &ConnAck) {
        let properties = answer.properties.as_ref();
        let numbers = properties.and_then(|it| it.subscription_identifiers_available);
        self.numbered = numbers != Some(0);
        if !self.numbered {
            tracing::warn!(
                "the broker has no subscription identifiers: a message may fire a schedule once for each \
                 filter that matches it"
            );
        }
        self.up_since = Some(self.listener.clock.now().mono);
    }

    fn on_subscribed(&mut self, answer: &SubAck) {
        let Some(filter) = self.unanswered.remove(&answer.pkid) else {
            return;
        };
        let asked = [filter.as_str().to_owned()];
        let event = match reason::ungranted(&asked, &answer.return_codes) {
            Some(reason) => {
                self.refused.insert(filter.clone());
                TopicEvent::Refused { filter, reason }
            }
            None => TopicEvent::Granted(filter),
        };
        self.listener.tell(event);
    }

    fn on_message(&mut self, message: Publish) {
        let Ok(topic) = String::from_utf8(message.topic.to_vec()) else {
            return;
        };
        let numbers =
            message.properties.map(|it| it.subscription_identifiers).filter(|it| !it.is_empty());
        let filters: BTreeSet<TopicFilter> = match numbers {
            Some(numbers) if self.numbered => {
                numbers.iter().filter_map(|number| self.numbers.get(number)).cloned().collect()
            }
            _ => self.asked.keys().filter(|filter| filter.matches(&topic)).cloned().collect(),
        };
        if message.retain || filters.is_empty() {
            return;
        }
        let (filters, payload) = (filters.into_iter().collect(), message.payload.to_vec());
        self.listener.tell(TopicEvent::Heard(Heard { topic, filters, payload }));
    }

    /// Asks the broker for what is wanted and was not asked for, as far as there is room, and lets go of
    /// what is wanted no more.
    fn ask(&mut self) {
        if self.up_since.is_none() || self.leaving.is_some() {
            return;
        }
        let wanted = self.listener.wanted.borrow_and_update().clone();
        if wanted.is_empty() {
            return self.leave();
        }
        let surplus: Vec<TopicFilter> =
            self.asked.keys().filter(|filter| !wanted.contains(filter)).cloned().collect();
        for filter in surplus {
            if self.client.try_unsubscribe(filter.as_str()).is_err() {
                // Another time: whatever comes through it meanwhile fires nothing.
                break;
            }
            self.forget(&filter);
        }
        for filter in wanted {
            if self.handed.len() + self.unanswered.len() >= ASKED_MAX {
                return;
            }
            if !self.asked.contains_key(&filter) && !self.subscribe(filter) {
                return;
            }
        }
    }

    fn subscribe(&mut self, filter: TopicFilter) -> bool {
        let number = self.last_number + 1;
        let wish = SubscribeFilterInput::new(filter.as_str(), QoS::AtLeastOnce)
            .retain_forward_rule(RetainForwardRule::Never);
        let properties = SubscribeProperties {
            id: self.numbered.then_some(number),
            user_properties: Vec::new(),
        };
        if self.client.try_subscribe_many_with_properties([wish], properties).is_err() {
            return false;
        }
        self.last_number = number;
        self.numbers.insert(number, filter.clone());
        self.asked.insert(filter.clone(), number);
        self.handed.push_back(filter);
        true
    }

    fn forget(&mut self, filter: &TopicFilter) {
        self.refused.remove(filter);
        if let Some(number) = self.asked.remove(filter) {
            self.numbers.remove(&number);
        }
    }

    fn leave(&mut self) {
        if self.leaving.is_none() {
            // An error says that the client has ended, which is what is wanted.
            let _ = self.client.try_disconnect_now();
            self.leaving = Some(Instant::now() + GOODBYE_TIMEOUT);
        }
    }
}

//! Topics of others, to which schedules listen: what is published there is passed on to the decisions, in
//! batches of which one at a time is under way. So a flood fills nothing but its own queue, and is told
//! as dropped.

mod message;

use std::collections::BTreeSet;

use cloud_core_logic::Published;
use shared::schedule::TopicFilter;
use shared_runtime::link::mqtt::{TopicEvent, listen};
use shared_runtime::link::{LinkConfig, LinkConfigError};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::broker::CORE_TOPICS_CLIENT_ID;
use crate::driver::Core;
use crate::observe::{MessageFate, Metrics, TopicMessages, TopicRefused, TopicsWanted};
use message::document;

/// How many messages may wait; more are dropped.
const QUEUE_MAX: usize = 1_024;
/// How many are decided together.
const BATCH_MAX: usize = 256;

/// Starts listening, over a connection like that to the fleet.
///
/// # Errors
/// When the configuration cannot work.
///
/// # Panics
/// Outside a tokio runtime.
pub fn start(
    link: &LinkConfig,
    wanted: watch::Receiver<BTreeSet<TopicFilter>>,
    core: Core,
    metrics: Metrics,
) -> Result<JoinHandle<()>, LinkConfigError> {
    let mut config = link.clone();
    config.client_id = CORE_TOPICS_CLIENT_ID.to_owned();
    let events = listen(config, wanted.clone(), QUEUE_MAX)?;
    Ok(tokio::spawn(pass_on(events, wanted, core, metrics)))
}

async fn pass_on(
    mut events: mpsc::Receiver<TopicEvent>,
    wanted: watch::Receiver<BTreeSet<TopicFilter>>,
    core: Core,
    metrics: Metrics,
) {
    let mut refused: BTreeSet<TopicFilter> = BTreeSet::new();
    let mut waiting = Vec::with_capacity(BATCH_MAX);
    while events.recv_many(&mut waiting, BATCH_MAX).await > 0 {
        let mut messages = Vec::with_capacity(waiting.len());
        for event in waiting.drain(..) {
            match event {
                TopicEvent::Heard(heard) => match document(&heard.topic, &heard.payload) {
                    Some(message) => {
                        messages.push(Published { filters: heard.filters, message });
                    }
                    None => metrics.record(TopicMessages { fate: MessageFate::TooLarge, count: 1 }),
                },
                TopicEvent::Granted(filter) => {
                    refused.remove(&filter);
                }
                TopicEvent::Refused { filter, reason } => {
                    let first = refused.insert(filter.clone());
                    metrics.record(TopicRefused { filter: &filter, reason: &reason, first });
                }
                TopicEvent::Dropped(count) => {
                    metrics.record(TopicMessages { fate: MessageFate::Dropped, count });
                }
            }
        }
        refused.retain(|filter| wanted.borrow().contains(filter));
        metrics.record(TopicsWanted { wanted: wanted.borrow().len(), refused: refused.len() });
        let count = messages.len() as u64;
        if count > 0 {
            let fate = match core.publish(messages).await {
                Ok(_) => MessageFate::Taken,
                Err(_) => MessageFate::Dropped,
            };
            metrics.record(TopicMessages { fate, count });
        }
    }
}

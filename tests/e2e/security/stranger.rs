//! Somebody at the broker who is not who he says he is: one connection, one message.

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use shared::wire::encode;
use shared_runtime::link::{Link, LinkConfig, LinkEvent, LinkEvents, Unsent};
use shared_runtime::seal::{BrokerPassword, SealKey, seal};
use tests::PATIENCE;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The broker took it.
    Delivered,
    /// The broker said that this client may not publish there.
    NotAllowed,
    /// The connection ended before anything was known.
    Ended,
}

/// A client of the broker.
pub struct Stranger(LinkConfig);

impl Stranger {
    pub fn new(broker: SocketAddr, user: &str, password: &str) -> Self {
        let host = broker.ip().to_string();
        let mut config = LinkConfig::for_agent(host, broker.port(), user.to_owned());
        config.username = Some(user.to_owned());
        config.password = Some(BrokerPassword::from_text(password.to_owned()));
        Self(config)
    }

    /// Connects, says it, and leaves.
    pub fn says(self, topic: &str, message: &impl Serialize, key: &SealKey) -> Said {
        let payload = seal(key, topic, &encode(message).expect("a message"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let (sender, mut events) =
                Link::start(self.0, Vec::new(), None).expect("a sound configuration");
            loop {
                match next(&mut events).await {
                    LinkEvent::Up => break,
                    LinkEvent::Down { .. } => {}
                    other => panic!("the broker does not let it in: {other:?}"),
                }
            }
            sender.try_publish(topic.to_owned(), payload).expect("the link is up");
            let said = tokio::select! {
                event = next(&mut events) => match event {
                    LinkEvent::Unsent { reason: Unsent::NotAuthorised, .. } => Said::NotAllowed,
                    LinkEvent::Down { .. } | LinkEvent::Refused { .. } => Said::Ended,
                    other => panic!("after a message: {other:?}"),
                },
                // A refusal comes at once, in the acknowledgement.
                () = tokio::time::sleep(Duration::from_millis(500)) => Said::Delivered,
            };
            sender.shutdown_after_flush(Duration::from_secs(1)).await;
            said
        })
    }
}

async fn next(events: &mut LinkEvents) -> LinkEvent {
    let event = tokio::time::timeout(PATIENCE, events.recv()).await;
    event.expect("a word from the link").expect("the link lives")
}

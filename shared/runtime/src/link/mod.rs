//! The link between core and agent, as both towers see it: a bounded sender, a bounded stream of
//! events, and no guarantee beyond them. [`mqtt`] is the real one, [`loopback`] the one in memory
//! for tests; both give the same two halves.
//!
//! What the link promises, and no more:
//! - A message may be lost, repeated or late; the protocol above is built for that.
//! - [`LinkEvent::Up`] comes after the broker granted every subscription, and once for every
//!   connection: the sign to say hello and send again what is unacknowledged.
//! - What is published while the link is down is refused, and what was still queued when it went
//!   down is dropped. Nothing is carried from one connection to the next.
//! - The will is published by the broker when the connection ends in any way but
//!   [`LinkSender::shutdown`].

mod config;
mod event;
pub mod loopback;
pub mod mqtt;
mod queue;
mod reach;
mod sender;
mod tls;

pub use config::{Believed, ClientCertificate, LinkConfig, LinkConfigError, TlsConfig};
pub use event::{LinkDown, LinkEvent, LinkRefused, Unsent};
pub use queue::LinkEvents;
pub use reach::{Reached, Unreached, certificate_file_ends, reach};
pub use sender::{LinkSender, PublishError};
pub use tls::authorities;

/// What the broker publishes for a client whose connection ends without goodbye.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Will {
    /// Where it is published.
    pub topic: String,
    /// What is published; sealed when it is sent, so that it can be believed.
    pub payload: Vec<u8>,
}

/// Links over MQTT; see [`mqtt::start`].
#[derive(Debug)]
pub struct Link;

impl Link {
    /// Starts a link over MQTT 5; see [`mqtt::start`].
    ///
    /// # Errors
    ///
    /// When the configuration cannot work, whatever the broker does.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(
        config: LinkConfig,
        subscriptions: Vec<String>,
        will: Option<Will>,
    ) -> Result<(LinkSender, LinkEvents), LinkConfigError> {
        mqtt::start(config, subscriptions, will)
    }
}

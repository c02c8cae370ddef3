//! What a link tells, and every reason it can give. Values only.

/// What happened on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// Connected, and every subscription granted. Nothing of an earlier connection is left.
    Up,
    /// Not connected; the link goes on trying. Told when the link goes down and when the reason
    /// changes, not for every attempt.
    Down {
        /// Why.
        reason: LinkDown,
    },
    /// Not connected, because the broker does not want us; the link goes on trying, slowly. Told
    /// for every attempt, so that whoever can change something (join again) gets the chance.
    Refused {
        /// Why.
        reason: LinkRefused,
    },
    /// A message came.
    Message {
        /// The topic it was published on.
        topic: String,
        /// Its bytes, believed by nobody before the seal was checked.
        payload: Vec<u8>,
    },
    /// A message that was accepted for publishing will never arrive, and sending it again would
    /// not help.
    Unsent {
        /// Where it was meant to go.
        topic: String,
        /// Why.
        reason: Unsent,
    },
}

impl LinkEvent {
    /// Whether this tells of the connection, not of a message.
    pub(super) fn is_state(&self) -> bool {
        matches!(self, Self::Up | Self::Down { .. } | Self::Refused { .. })
    }

    /// The bytes that this event keeps while it waits.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Message { topic, payload } => topic.len() + payload.len(),
            Self::Unsent { topic, .. } => topic.len(),
            Self::Up | Self::Down { .. } | Self::Refused { .. } => 0,
        }
    }
}

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkDown {
    /// The broker cannot be reached, or closed the connection without a word.
    #[error("no connection to the broker: {detail}")]
    Network {
        /// What the system said.
        detail: String,
    },
    /// The broker did not answer in time.
    #[error("the broker does not answer")]
    NoAnswer,
    /// The broker said goodbye, for a time.
    #[error("the broker ended the connection: {detail}")]
    BrokerLeft {
        /// Its reason.
        detail: String,
    },
    /// The broker is not the one it should be, or does not trust us.
    #[error(
        "no encrypted connection: {detail}; check ca_file, and the name in the broker's certificate"
    )]
    Tls {
        /// What rustls said.
        detail: String,
    },
    /// One of the two ends broke the rules of MQTT.
    #[error("the connection broke the rules of MQTT: {detail}")]
    Protocol {
        /// Which rule.
        detail: String,
    },
}

/// Why the broker does not want us. Waiting alone will not help with any of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkRefused {
    /// Unknown user or wrong password.
    #[error("the broker does not accept user name and password")]
    BadCredentials,
    /// The user may not connect.
    #[error("the broker does not allow this user to connect")]
    NotAuthorised,
    /// An operator has shut the client out.
    #[error("the broker lets this client in no more")]
    Banned,
    /// The broker does not accept this client id.
    #[error("the broker does not accept the client id")]
    ClientId,
    /// Another client with the same id took our place.
    #[error("another client connected with our client id; every agent needs an id of its own")]
    TakenOver,
    /// The broker does not speak MQTT 5.
    #[error("the broker does not speak MQTT 5; use a broker that does")]
    Version,
    /// The broker does not grant a subscription.
    #[error(
        "the broker does not grant the subscription to {topic}: {detail}; check its access list"
    )]
    Subscription {
        /// The topic filter.
        topic: String,
        /// Its reason.
        detail: String,
    },
    /// The broker has another reason.
    #[error("the broker refuses the connection: {detail}")]
    Other {
        /// Its reason.
        detail: String,
    },
}

/// Why a message will never arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsent {
    /// The broker's access list forbids it.
    #[error("the broker does not allow us to publish there; check its access list")]
    NotAuthorised,
    /// It is larger than what the broker takes.
    #[error(
        "the message has {bytes} bytes, the broker takes at most {max}; raise its packet limit"
    )]
    TooLarge {
        /// The size of its packet.
        bytes: usize,
        /// The largest packet that the broker takes.
        max: usize,
    },
    /// The topic cannot be published to.
    #[error("the topic is not one that can be published to")]
    Topic,
    /// The broker has another reason.
    #[error("the broker refused the message: {detail}")]
    Refused {
        /// Its reason.
        detail: String,
    },
}

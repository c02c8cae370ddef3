//! The port to a broker inside the core's process: what the core needs of one, and who may do
//! what on it. Everything that knows the broker library is in `embedded` and `hooks`; an
//! external broker needs none of this, the core is then only one of its clients.
//!
//! Nothing here is trusted to say who said what: every message carries a seal of its own. The
//! rules only keep strangers out and agents apart.

pub mod credentials;
pub mod embedded;
mod hooks;
mod publishers;
mod role;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;

use shared::id::{AgentId, IdError};

pub use credentials::CredentialBook;
pub use embedded::EmbeddedBroker;
pub use publishers::{Publisher, Publishers, PublishersError, read as read_publishers};
pub use role::{Admission, Role};

/// The MQTT user name and client id of the core itself, on the embedded broker and by
/// convention on an external one.
pub const CORE_USERNAME: &str = "ambit-core";

/// The client id of the core's second connection, over which it hears topics of others.
pub const CORE_TOPICS_CLIENT_ID: &str = "ambit-core-topics";

/// How many clients may be connected at once, unless configured.
pub const CLIENTS_MAX_DEFAULT: usize = 20_000;

/// The largest MQTT packet, in bytes: a message of ours with its topic and room to spare.
pub const PACKET_BYTES_MAX: usize = 512 * 1024;

/// Where the broker listens and how much it bears.
#[derive(Debug, Clone)]
pub struct BrokerSettings {
    /// The listener without TLS; port 0 lets the system choose. `None`: agents must use TLS, and
    /// the core reaches its own broker over a port on the loopback address.
    pub listen: Option<SocketAddr>,
    /// The listener with TLS.
    pub tls: Option<TlsSettings>,
    /// How many clients may be connected at once; more are closed as they come.
    pub clients_max: usize,
    /// The file with machines of others that may publish; whoever makes the [`Gatekeeper`] reads it.
    pub publishers_file: Option<PathBuf>,
}

impl BrokerSettings {
    /// A listener without TLS, and default limits.
    #[must_use]
    pub fn plain(listen: SocketAddr) -> Self {
        let clients_max = CLIENTS_MAX_DEFAULT;
        Self { listen: Some(listen), tls: None, clients_max, publishers_file: None }
    }
}

/// The listener with TLS. Clients prove themselves by password, not by certificate.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// Its address; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// The certificate chain, PEM, the server's own certificate first.
    pub cert_file: PathBuf,
    /// The private key, PEM.
    pub key_file: PathBuf,
}

/// The addresses that a running broker is bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The listener without TLS, if one was asked for.
    pub plain: Option<SocketAddr>,
    /// The listener with TLS, if one was asked for.
    pub tls: Option<SocketAddr>,
    /// Where the core itself connects, without TLS and without leaving this machine.
    pub core: SocketAddr,
}

/// Why a broker does not start.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// The address cannot be bound.
    #[error(
        "the broker cannot listen on {address}: {source}; choose another address or stop what uses it"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A file of the TLS listener cannot be used.
    #[error("the broker cannot use {}: {reason}; name a PEM file with the {what}", file.display())]
    TlsFile {
        /// What the file was meant to hold.
        what: &'static str,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No client could ever connect.
    #[error("the broker's limit of clients is 0; write 1 or more")]
    NoClients,
}

/// Ends an agent's connection; see [`Broker::disconnect`].
pub type Disconnector =
    Box<dyn Fn(AgentId) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A broker that is running. Dropping it stops it without waiting.
pub trait Broker: Send + Sync {
    /// The addresses it is bound to.
    fn bound(&self) -> &Bound;

    /// Ends the agent's connection, if it has one. Its client sees a closed connection; whether
    /// it may come back is for the [`Gatekeeper`] to say. Joining connections are not touched.
    fn disconnect<'a>(
        &'a self,
        agent: &'a AgentId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

    /// What [`Broker::disconnect`] does, for one who cannot hold the broker itself.
    fn disconnector(&self) -> Disconnector;

    /// Stops listening, tells every client, and waits a moment for them to go. Afterwards the
    /// addresses are free.
    fn shutdown(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// What a client says about itself when it connects.
#[derive(Clone, Copy)]
pub struct ConnectAttempt<'a> {
    /// The MQTT user name: an agent id, a publisher's name, or [`CORE_USERNAME`].
    pub username: &'a str,
    /// The MQTT password.
    pub password: &'a [u8],
    /// The MQTT client id. A broker ends an older connection of the same client id, so no one
    /// may use another's.
    pub client_id: &'a str,
}

/// Decides who may connect and whether they may stay. Asked on the path of every message, so it
/// must be fast and do no I/O.
pub trait Gatekeeper: Send + Sync {
    /// Whom this client may act as.
    ///
    /// # Errors
    ///
    /// The named reason why it may not connect.
    fn connect(&self, attempt: &ConnectAttempt<'_>) -> Result<Admission, ConnectRefused>;

    /// Whether a client that acts so may publish to a topic.
    fn may_publish(&self, role: &Role, topic: &str) -> bool {
        role.may_publish(topic)
    }

    /// Whether an earlier admission still holds: false once the credential it was given for was
    /// replaced or withdrawn.
    fn holds(&self, admission: &Admission) -> bool;
}

/// Why a client may not connect. The reason code goes to the client, the text to the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectRefused {
    /// No user name or no password.
    #[error("no user name and password given; an agent connects with its id and its password")]
    NoCredentials,
    /// The user name is not an agent id.
    #[error("the user name is not an agent id: {0}")]
    NotAnAgentId(#[from] IdError),
    /// No publisher has this name.
    #[error("no publisher of this name is in broker.publishers_file")]
    UnknownPublisher,
    /// The agent never joined, or was removed.
    #[error("no agent of this id has joined; give it a join token")]
    UnknownAgent,
    /// An operator has revoked the agent.
    #[error("an operator has revoked this agent; ask one to readmit it, or stop the agent")]
    Revoked,
    /// The password is wrong.
    #[error("the password is wrong")]
    WrongPassword,
    /// The join token is wrong, or agents may not join at all.
    #[error("the join token is wrong, or none is in force; give the agent the token of this core")]
    JoinRefused,
    /// The client id belongs to somebody else.
    #[error(
        "the client id is not this user's; an agent uses its id, or `join-<id>-<anything>` to join, a \
         publisher `publisher:<name>`"
    )]
    ForeignClientId,
    /// The last will is addressed to a topic that the client may not publish to.
    #[error("the last will is for a topic that is not this client's")]
    ForeignWill,
    /// The client speaks MQTT 3, which cannot tell a client that it was refused.
    #[error("the client speaks an old MQTT; use MQTT 5")]
    OldProtocol,
    /// Too many wrong attempts from this user name or address.
    #[error("too many refused attempts; the next is looked at in {wait_ms} ms")]
    TooManyAttempts {
        /// How long to wait, in milliseconds.
        wait_ms: u64,
    },
}

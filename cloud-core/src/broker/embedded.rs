//! The broker inside the core's process: an adapter over the `mqtt5` library. It opens the
//! listeners and accepts connections itself; the library speaks MQTT with each and routes.
//!
//! The library's own server loop is not used: it does a TLS handshake at a time with no limit of
//! time, so a single silent client would shut out all others.

use std::fmt::Display;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use mqtt5::broker::auth::AuthProvider;
use mqtt5::broker::client_handler::ClientHandler;
use mqtt5::broker::config::{BrokerConfig, StorageConfig};
use mqtt5::broker::resource_monitor::{ResourceLimits, ResourceMonitor};
use mqtt5::broker::router::MessageRouter;
use mqtt5::broker::storage::QueueLimits;
use mqtt5::broker::sys_topics::BrokerStats;
use mqtt5::broker::tls_acceptor::{TlsAcceptorConfig, TlsStreamWrapper};
use mqtt5::broker::transport::BrokerTransport;
use shared::id::AgentId;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use super::hooks::Hooks;
use super::{
    Bound, Broker, BrokerError, BrokerSettings, Disconnector, Gatekeeper, PACKET_BYTES_MAX,
    TlsSettings,
};

/// Connections that have not shown who they are; more are closed as they come.
const STRANGERS_MAX: usize = 1_024;
/// How long a TLS handshake may take. The library gives the CONNECT packet as long again.
const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a shutdown waits for clients to be told.
const SHUTDOWN_MAX: Duration = Duration::from_secs(2);
/// How often idle memory is given back.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// How long to rest when the system cannot accept, which happens when it is out of descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// Messages on their way to one client before its publishers are made to wait.
const LANE_MESSAGES_MAX: usize = 1_024;
/// Messages to one client that it has not acknowledged; the client may ask for fewer.
const IN_FLIGHT_MAX: u16 = 256;
/// What is kept for one client that is too slow even then; the oldest go first.
const QUEUE_LIMITS: QueueLimits = QueueLimits { max_messages: 4_096, max_bytes: 32 * 1024 * 1024 };
/// Unacknowledged messages that a client may send.
const RECEIVE_MAX: u16 = 1_024;
/// The most subscriptions of one client: as many topics of others as schedules may listen to. An agent
/// may have one, which its role sees to.
const SUBSCRIPTIONS_MAX: usize = 2_048;

/// The embedded broker, running.
pub struct EmbeddedBroker {
    bound: Bound,
    shared: Arc<Shared>,
    accepting: Vec<JoinHandle<()>>,
    /// Stops the listeners, first …
    closing: watch::Sender<bool>,
    /// … and the connections then, so that none is missed.
    stop: broadcast::Sender<()>,
    /// Closes when the last connection is gone.
    gone: mpsc::Receiver<()>,
}

/// What every connection needs.
struct Shared {
    config: Arc<BrokerConfig>,
    router: Arc<MessageRouter>,
    hooks: Arc<Hooks>,
    stats: Arc<BrokerStats>,
    monitor: Arc<ResourceMonitor>,
    clients: Arc<Semaphore>,
    strangers: Arc<Semaphore>,
}

/// Makes a transport of an accepted connection: at once, or after a TLS handshake.
type Upgrade = Arc<dyn Fn(TcpStream) -> Upgrading + Send + Sync>;
type Upgrading = Pin<Box<dyn Future<Output = Option<BrokerTransport>> + Send>>;

impl EmbeddedBroker {
    /// Binds the listeners and starts to accept connections, on the tokio runtime of the caller.
    ///
    /// # Errors
    ///
    /// When an address cannot be bound or a TLS file cannot be used; nothing listens then.
    pub async fn start(
        settings: &BrokerSettings,
        gatekeeper: Arc<dyn Gatekeeper>,
    ) -> Result<Self, BrokerError> {
        if settings.clients_max == 0 {
            return Err(BrokerError::NoClients);
        }
        let plain_address = settings.listen.unwrap_or(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let (plain, plain_bound) = listen(plain_address).await?;
        let mut doors = vec![(plain, upgrade_plain())];
        let mut bound = Bound {
            plain: settings.listen.map(|_| plain_bound),
            tls: None,
            core: reachable(plain_bound),
        };
        if let Some(tls) = &settings.tls {
            let upgrade = upgrade_tls(tls).await?;
            let (listener, address) = listen(tls.listen).await?;
            bound.tls = Some(address);
            doors.push((listener, upgrade));
        }
        Ok(Self::run(settings, gatekeeper, bound, doors))
    }

    fn run(
        settings: &BrokerSettings,
        gatekeeper: Arc<dyn Gatekeeper>,
        bound: Bound,
        doors: Vec<(TcpListener, Upgrade)>,
    ) -> Self {
        let shared = Arc::new(Shared::new(settings, gatekeeper));
        let (closing, closed) = watch::channel(false);
        // One slot is enough: the only value ever sent is "stop".
        let (stop, _) = broadcast::channel(1);
        let (alive, gone) = mpsc::channel(1);
        let mut accepting: Vec<_> = doors
            .into_iter()
            .map(|(listener, upgrade)| {
                let door = Door {
                    listener,
                    upgrade,
                    shared: Arc::clone(&shared),
                    stop: stop.clone(),
                    alive: alive.clone(),
                };
                tokio::spawn(door.accept_until(closed.clone()))
            })
            .collect();
        accepting.push(tokio::spawn(tidy_until(Arc::clone(&shared), closed)));
        tracing::info!(plain = ?bound.plain, tls = ?bound.tls, "broker listens");
        Self { bound, shared, accepting, closing, stop, gone }
    }

    /// How many clients are connected and admitted.
    #[must_use]
    pub fn clients(&self) -> usize {
        self.shared.stats.clients_connected.load(std::sync::atomic::Ordering::Relaxed)
    }

    async fn close(mut self) {
        self.closing.send_replace(true);
        for task in std::mem::take(&mut self.accepting) {
            // An error says that the task panicked; its listener is closed then, too.
            let _ = task.await;
        }
        // Fails when there is no connection.
        let _ = self.stop.send(());
        let left = tokio::time::timeout(SHUTDOWN_MAX, self.gone.recv()).await;
        tracing::info!(all_told = left.is_ok(), "broker stopped");
    }
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        self.closing.send_replace(true);
        let _ = self.stop.send(());
    }
}

impl Broker for EmbeddedBroker {
    fn bound(&self) -> &Bound {
        &self.bound
    }

    fn disconnect<'a>(
        &'a self,
        agent: &'a AgentId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        // The client id of a joined agent is its id.
        Box::pin(self.shared.router.unregister_client(agent.as_str()))
    }

    fn disconnector(&self) -> Disconnector {
        let router = Arc::clone(&self.shared.router);
        Box::new(move |agent| {
            let router = Arc::clone(&router);
            Box::pin(async move { router.unregister_client(agent.as_str()).await })
        })
    }

    fn shutdown(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(self.close())
    }
}

impl Shared {
    fn new(settings: &BrokerSettings, gatekeeper: Arc<dyn Gatekeeper>) -> Self {
        let hooks = Arc::new(Hooks::new(gatekeeper));
        let limits = ResourceLimits {
            max_connections: settings.clients_max,
            max_connections_per_ip: settings.clients_max,
            // 0 is "no limit": a client that sends too fast is slowed down by its connection.
            max_message_rate_per_client: 0,
            max_bandwidth_per_client: 0,
            ..ResourceLimits::default()
        };
        Self {
            config: Arc::new(library_config(settings, Arc::clone(&hooks))),
            // Messages are retained nowhere: the hooks see to it, and this would stop the rest.
            router: Arc::new(
                MessageRouter::new()
                    .with_fallback_queue_limits(QUEUE_LIMITS)
                    .with_retained_limits(1, 1),
            ),
            hooks,
            stats: Arc::new(BrokerStats::new()),
            monitor: Arc::new(ResourceMonitor::new(limits)),
            clients: Arc::new(Semaphore::new(settings.clients_max.min(Semaphore::MAX_PERMITS))),
            strangers: Arc::new(Semaphore::new(STRANGERS_MAX)),
        }
    }
}

/// What the library is told. Sessions end with their connection and nothing is kept on disk: the
/// protocol above resends what was lost.
fn library_config(settings: &BrokerSettings, hooks: Arc<Hooks>) -> BrokerConfig {
    BrokerConfig {
        bind_addresses: Vec::new(),
        max_clients: settings.clients_max,
        session_expiry_interval: Duration::ZERO,
        max_packet_size: PACKET_BYTES_MAX,
        topic_alias_maximum: 0,
        retain_available: false,
        maximum_qos: 1,
        wildcard_subscription_available: true,
        subscription_identifier_available: true,
        shared_subscription_available: false,
        max_subscriptions_per_client: SUBSCRIPTIONS_MAX,
        client_channel_capacity: LANE_MESSAGES_MAX,
        max_outbound_inflight: IN_FLIGHT_MAX,
        server_receive_maximum: Some(RECEIVE_MAX),
        storage_config: StorageConfig::default().with_persistence(false),
        sys_topics_enabled: false,
        event_handler: Some(hooks),
        ..BrokerConfig::default()
    }
}

/// One listener, and what its connections need.
struct Door {
    listener: TcpListener,
    upgrade: Upgrade,
    shared: Arc<Shared>,
    stop: broadcast::Sender<()>,
    alive: mpsc::Sender<()>,
}

impl Door {
    async fn accept_until(self, mut closed: watch::Receiver<bool>) {
        loop {
            let accepted = tokio::select! {
                // An error says that the broker was dropped.
                _ = closed.wait_for(|closed| *closed) => return,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.admit(stream, peer),
                Err(error) => {
                    tracing::warn!(%error, "the broker cannot accept a connection");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            }
        }
    }

    /// Serves a connection, or closes it at once when there are too many.
    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let shared = Arc::clone(&self.shared);
        let client = Arc::clone(&shared.clients).try_acquire_owned();
        let stranger = Arc::clone(&shared.strangers).try_acquire_owned();
        let (Ok(client), Ok(stranger)) = (client, stranger) else {
            tracing::debug!(%peer, "connection closed: too many");
            return;
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "a connection was gone as it came");
            return;
        }
        shared.hooks.stranger_came(peer, stranger);
        let upgrading = (self.upgrade)(stream);
        // Subscribed here, before the listeners close, so that a shutdown reaches it.
        let (mut stop, told) = (self.stop.subscribe(), self.stop.subscribe());
        let alive = self.alive.clone();
        tokio::spawn(async move {
            let transport = tokio::select! {
                _ = stop.recv() => None,
                transport = tokio::time::timeout(TLS_HANDSHAKE_MAX, upgrading) => {
                    transport.ok().flatten()
                }
            };
            if let Some(transport) = transport {
                serve(&shared, transport, peer, told).await;
            }
            shared.hooks.stranger_left(peer);
            drop((client, alive));
        });
    }
}

async fn serve(
    shared: &Shared,
    transport: BrokerTransport,
    peer: SocketAddr,
    stop: broadcast::Receiver<()>,
) {
    let handler = ClientHandler::new(
        transport,
        peer,
        Arc::clone(&shared.config),
        Arc::clone(&shared.router),
        Arc::clone(&shared.hooks) as Arc<dyn AuthProvider>,
        None,
        Arc::clone(&shared.stats),
        Arc::clone(&shared.monitor),
        stop,
    );
    if let Err(error) = handler.run().await {
        // Connections break; what follows from it is the concern of both ends.
        tracing::debug!(%peer, %error, "connection ended");
    }
}

/// Gives back the memory of clients that are gone, and says how many were turned away.
async fn tidy_until(shared: Arc<Shared>, mut closed: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = closed.wait_for(|closed| *closed) => return,
            () = tokio::time::sleep(TIDY_EVERY) => {}
        }
        shared.router.sweep_sessions().await;
        let refused = shared.hooks.tidy();
        if refused > 0 {
            tracing::warn!(refused, "connections refused in the last minute");
        }
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BrokerError> {
    let failed = |source| BrokerError::Listen { address, source };
    // Sets SO_REUSEADDR, so a restart need not wait for old connections to time out.
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Where a listener is reached from this machine.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

fn upgrade_plain() -> Upgrade {
    Arc::new(|stream| Box::pin(std::future::ready(Some(BrokerTransport::tcp(stream)))))
}

async fn upgrade_tls(settings: &TlsSettings) -> Result<Upgrade, BrokerError> {
    // An error says that the process has chosen its cryptography already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (cert_file, key_file) = (&settings.cert_file, &settings.key_file);
    let certificates = TlsAcceptorConfig::load_cert_chain_from_file(cert_file)
        .await
        .map_err(|error| tls_file("certificate chain", cert_file, &error))?;
    let key = TlsAcceptorConfig::load_private_key_from_file(key_file)
        .await
        .map_err(|error| tls_file("private key", key_file, &error))?;
    let acceptor = TlsAcceptorConfig::new(certificates, key)
        .build_acceptor()
        .map_err(|error| tls_file("private key of the certificate", key_file, &error))?;
    Ok(Arc::new(move |stream: TcpStream| {
        let accepting = acceptor.accept(stream);
        Box::pin(async move {
            match accepting.await {
                Ok(stream) => Some(BrokerTransport::tls(TlsStreamWrapper::new(stream))),
                Err(error) => {
                    tracing::debug!(%error, "TLS handshake failed");
                    None
                }
            }
        })
    }))
}

fn tls_file(what: &'static str, file: &Path, reason: &dyn Display) -> BrokerError {
    BrokerError::TlsFile { what, file: file.to_path_buf(), reason: reason.to_string() }
}

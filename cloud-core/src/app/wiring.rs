//! The parts of the core, each as configured: the store is opened, an embedded broker is started,
//! another one is only addressed.

use std::net::SocketAddr;
use std::sync::Arc;

use cloud_core_logic::change::Stored;
use shared::id::{AgentId, CoreId};
use shared::wire::Topic;
use shared_runtime::clock::{Clock, new_uuid_v4};
use shared_runtime::link::{Link, LinkConfig, LinkConfigError, LinkEvents, LinkSender, TlsConfig};
use shared_runtime::seal::{BrokerPassword, JoinToken};
use shared_runtime::secret::secret_file;
use shared_runtime::zones::ZoneDatabase;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::{AppError, data};
use crate::access::{Gate, Keeper, TokenFile};
use crate::broker::{
    Broker, BrokerSettings, CORE_USERNAME, CredentialBook, EmbeddedBroker, Gatekeeper, Publishers,
    PublishersError, read_publishers,
};
use crate::config::{BrokerChoice, Config, ExternalBroker, OtlpSettings};
use crate::export::{ExportSettings, Exporter, HeaderError, Headers, TraceLane};
use crate::http::ScheduleParts;
use crate::link::Credentials;
use crate::observe::{BackupTakenUp, Metrics};
use crate::store::{Reader, SqliteStore, Store, TakenUp};

/// Where the broker is, for the core and for agents.
pub(super) struct Endpoint {
    /// How the core reaches it.
    pub(super) link: LinkConfig,
    /// Where an embedded one listens without TLS.
    pub(super) plain: Option<SocketAddr>,
    /// What an agent on this machine would be told.
    pub(super) url: String,
}

/// The store, with what it holds that is not settled.
pub(super) fn store(config: &Config, metrics: &Metrics) -> Result<(SqliteStore, Stored), AppError> {
    let (fresh, now) = (CoreId(new_uuid_v4()), Clock::new().now().wall);
    let mut store = SqliteStore::open(&config.store_path, fresh, now)?.with_events(config.events);
    if let Some(TakenUp { taken_at, tasks }) = store.taken_up() {
        metrics.record(BackupTakenUp { taken_at, tasks: *tasks });
    }
    let stored = store.load()?;
    Ok((store, stored))
}

/// What schedules need of this machine: its time zones, and the key of all hooks.
pub(super) fn schedules(config: &Config) -> Result<ScheduleParts, AppError> {
    let zones = Arc::new(ZoneDatabase::default());
    Ok(ScheduleParts { zones, hook_key: data::hook_key(&config.data)? })
}

/// Who is known, and who is not to be let in any more.
pub(super) fn credentials(stored: &Stored, book: Option<Arc<CredentialBook>>) -> Credentials {
    let credentials = Credentials::new(book);
    for (agent, credential) in &stored.credentials {
        credentials.put(agent, credential);
    }
    for row in stored.agents.iter().filter(|row| row.flags.revoked) {
        credentials.revoke(&row.id);
    }
    credentials
}

/// The machines of others that may publish to the embedded broker.
pub(super) fn publishers(choice: &BrokerChoice) -> Result<Publishers, PublishersError> {
    match choice {
        BrokerChoice::Embedded(BrokerSettings { publishers_file: Some(path), .. }) => {
            read_publishers(path)
        }
        _ => Ok(Publishers::default()),
    }
}

/// Who may connect to the embedded broker, if that is the one.
pub(super) fn book(
    choice: &BrokerChoice,
    join_token: &JoinToken,
) -> Result<Option<Arc<CredentialBook>>, PublishersError> {
    let BrokerChoice::Embedded(_) = choice else {
        return Ok(None);
    };
    let book = CredentialBook::new(Some(join_token.clone()));
    Ok(Some(Arc::new(book.with_publishers(publishers(choice)?))))
}

/// Starts the embedded broker, or notes where the other one is. `book` belongs to the former.
pub(super) async fn broker(
    choice: &BrokerChoice,
    book: Option<Arc<CredentialBook>>,
) -> Result<(Option<Box<dyn Broker>>, Endpoint), AppError> {
    match choice {
        BrokerChoice::Embedded(settings) => {
            let book = book.unwrap_or_else(|| Arc::new(CredentialBook::new(None)));
            embedded(settings, book).await
        }
        BrokerChoice::External(external) => Ok((None, elsewhere(external)?)),
    }
}

async fn embedded(
    settings: &BrokerSettings,
    book: Arc<CredentialBook>,
) -> Result<(Option<Box<dyn Broker>>, Endpoint), AppError> {
    let gatekeeper: Arc<dyn Gatekeeper> = book.clone();
    let broker = EmbeddedBroker::start(settings, gatekeeper).await?;
    let bound = broker.bound().clone();
    let host = bound.core.ip().to_string();
    let mut link = LinkConfig::for_core(host, bound.core.port(), CORE_USERNAME.to_owned());
    link.username = Some(CORE_USERNAME.to_owned());
    link.password = Some(book.core_password().clone());
    let url = match (bound.plain, bound.tls) {
        (None, Some(tls)) => format!("mqtts://{tls}"),
        (plain, _) => format!("mqtt://{}", plain.unwrap_or(bound.core)),
    };
    let endpoint = Endpoint { link, plain: bound.plain, url };
    Ok((Some(Box::new(broker)), endpoint))
}

fn elsewhere(external: &ExternalBroker) -> Result<Endpoint, AppError> {
    let host = external.host.clone();
    let mut link = LinkConfig::for_core(host, external.port, CORE_USERNAME.to_owned());
    link.username = external.username.clone();
    if let Some(path) = &external.password_file {
        link.password = Some(BrokerPassword::from_text(secret_file(path)?));
    }
    link.tls = external.tls.then(|| TlsConfig { ca_file: external.ca_file.clone(), client: None });
    let url = link.target();
    Ok(Endpoint { link, plain: None, url })
}

/// Ends the connections of those who are named, one after the other, until nobody can name any.
pub(super) fn evictions(broker: &dyn Broker) -> UnboundedSender<AgentId> {
    let disconnect = broker.disconnector();
    let (sender, mut named) = unbounded_channel::<AgentId>();
    tokio::spawn(async move {
        while let Some(agent) = named.recv().await {
            disconnect(agent).await;
        }
    });
    sender
}

/// Says no to a configuration that would let strangers in.
pub(super) fn check_gate(config: &Config) -> Result<(), AppError> {
    let closed = config.http.listen.ip().is_loopback() || config.allow_remote_without_token;
    if !closed && TokenFile::of(&config.data).read()?.is_empty() {
        return Err(open_to_all(config));
    }
    Ok(())
}

fn open_to_all(config: &Config) -> AppError {
    AppError::OpenToAll { listen: config.http.listen, data: config.data.clone() }
}

/// Makes the gate for HTTP, which knows the tokens and learns of new ones.
pub(super) fn gate(config: &Config) -> Result<(Arc<Gate>, Keeper), AppError> {
    let listen = config.http.listen;
    let (local, allowed) = (listen.ip().is_loopback(), config.allow_remote_without_token);
    let gate = Arc::new(Gate::new(config.access, local || allowed));
    let keeper = Keeper::start(TokenFile::of(&config.data), Arc::clone(&gate))?;
    match gate.tokens() {
        0 if local => tracing::info!(
            "there is no API token: the core listens on this machine only, and lets everybody on \
             it do anything; `ambit token create` makes one"
        ),
        0 if allowed => tracing::warn!(
            %listen,
            "there is no API token, and other machines can reach the core: whoever gets past the \
             proxy in front of it may do anything"
        ),
        0 => return Err(open_to_all(config)),
        tokens => {
            tracing::info!(tokens, "every request needs an API token");
            if !local && config.http.tls.is_none() {
                tracing::warn!(
                    %listen,
                    "tokens cross the network in the clear; set http.tls, or put a proxy with TLS in \
                     front"
                );
            }
        }
    }
    Ok((gate, keeper))
}

/// Where traces go, if they go anywhere.
pub(super) fn export_settings(config: &Config) -> Result<Option<ExportSettings>, HeaderError> {
    let Some(OtlpSettings { endpoint, headers_file }) = config.otlp.clone() else {
        return Ok(None);
    };
    let headers = headers_file.as_deref().map(Headers::read).transpose()?.unwrap_or_default();
    Ok(Some(ExportSettings { endpoint, headers }))
}

/// Starts what exports traces, if they go anywhere.
pub(super) fn exporter(
    config: &Config,
    stored: &Stored,
    reader: Arc<dyn Reader>,
    metrics: &Metrics,
) -> Result<(TraceLane, Option<Exporter>), AppError> {
    let Some(settings) = export_settings(config)? else {
        return Ok((TraceLane::default(), None));
    };
    let started = Exporter::start(settings, stored.core, reader, metrics.clone());
    let (lane, exporter) = started.map_err(AppError::Export)?;
    Ok((lane, Some(exporter)))
}

/// Starts the link. It connects by itself, and again after every loss.
pub(super) fn link(config: LinkConfig) -> Result<(LinkSender, LinkEvents), LinkConfigError> {
    Link::start(config, Topic::core_filters().to_vec(), None)
}

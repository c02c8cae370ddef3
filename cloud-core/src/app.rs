//! The only place that builds adapters and puts them together: data folder, store, broker, link,
//! driver, HTTP. What it has started it also stops, in the opposite order.

pub mod backup;
mod data;
mod policy;
mod wiring;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use shared_runtime::link::{LinkConfigError, LinkSender};
use shared_runtime::seal::{JoinToken, TokenError};
use shared_runtime::secret::SecretError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::access::{Keeper, TokenFileError};
use crate::broker::{Broker, BrokerError, PublishersError};
use crate::config::{Config, PolicyFile, PolicyFileError};
use crate::driver::{self, Core, DriverError, DriverHandle, Parts};
use crate::export::{Exporter, HeaderError};
use crate::http::{self, HttpError, ServerHandle};
use crate::link::{self, Doorman, SealedSender};
use crate::observe::{Metrics, ProcessMetrics, Registry};
use crate::store::{BackupError, Store, StoreError};
use crate::topics;
use data::DataFolder;
use policy::PolicyKeeper;

/// How long the last messages may take on their way out.
const FLUSH_MAX: Duration = Duration::from_secs(2);

/// Why the core does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data folder cannot be made or locked.
    #[error("cannot use the data folder {}: {source}; make it writable for this user, or choose another with --data", path.display())]
    Data {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Another core works in the data folder.
    #[error("another core uses the data folder {}{}; stop that one, or choose another folder with --data", path.display(), holder.as_ref().map_or(String::new(), |pid| format!(" (process {pid})")))]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The process that has it, if it said so.
        holder: Option<String>,
    },
    /// The join token cannot be used.
    #[error("join token: {0}")]
    Token(#[from] TokenError),
    /// A secret file cannot be used.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No backup is written or put in place.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The embedded broker does not start.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Who may publish to the embedded broker cannot be read.
    #[error(transparent)]
    Publishers(#[from] PublishersError),
    /// The link cannot work.
    #[error("broker: {0}")]
    Link(#[from] LinkConfigError),
    /// The driver does not start, or ended.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The API tokens cannot be used.
    #[error("API tokens: {0}")]
    Tokens(#[from] TokenFileError),
    /// The placement policy cannot be used.
    #[error("placement.policy_file: {0}")]
    Policy(#[from] PolicyFileError),
    /// The core ended before it took the placement policy.
    #[error("placement.policy_file: the core stopped before it took the policy; its log says why")]
    PolicyNotTaken,
    /// SIGHUP cannot be waited for.
    #[error("cannot wait for SIGHUP: {0}")]
    Hangup(std::io::Error),
    /// What a collector is to be told cannot be read.
    #[error("telemetry.otlp.headers_file: {0}")]
    Headers(#[from] HeaderError),
    /// The system gives no thread.
    #[error("cannot start a thread for telemetry.otlp: {0}")]
    Export(std::io::Error),
    /// HTTP would be open to strangers.
    #[error(
        "http.listen: {listen} can be reached from other machines, and there is no API token, so anybody there could run anything on your agents; create a token first with `ambit token create --name NAME --role operator --data {}`, or listen on 127.0.0.1. Behind a proxy that checks who asks, set http.allow_remote_without_token = true", data.display()
    )]
    OpenToAll {
        /// Where it would listen.
        listen: SocketAddr,
        /// The data folder.
        data: PathBuf,
    },
    /// HTTP cannot be served.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// Starts cores.
#[derive(Debug)]
pub struct App;

/// A core that runs. Stop it with [`RunningApp::stop`]; dropping it lets go of everything without
/// waiting, and loses nothing that was acknowledged.
pub struct RunningApp {
    /// Where HTTP is served.
    pub http_url: String,
    /// The same as an address.
    pub http_addr: SocketAddr,
    /// Where the embedded broker listens without TLS, if it does.
    pub broker_addr: Option<SocketAddr>,
    /// The broker as an agent on this machine would be told: `mqtt://…` or `mqtts://…`.
    pub broker_url: String,
    /// What agents join with.
    pub join_token: JoinToken,
    /// The file that it is in.
    pub join_token_file: PathBuf,
    /// The core.
    pub core: Core,
    driver: DriverHandle,
    server: ServerHandle,
    link: LinkSender,
    listening: JoinHandle<()>,
    topics: JoinHandle<()>,
    broker: Option<Box<dyn Broker>>,
    keeper: Keeper,
    policy_keeper: Option<PolicyKeeper>,
    exporter: Option<Exporter>,
    // Last, so that the folder is let go of when everything else has ended.
    _data: DataFolder,
}

impl App {
    /// Looks whether a configuration would be served, as far as that can be told without starting.
    ///
    /// # Errors
    /// When HTTP would be open to strangers, or the tokens, the headers for a collector, or the
    /// placement policy, cannot be read.
    pub fn check(config: &Config) -> Result<(), AppError> {
        wiring::check_gate(config)?;
        wiring::export_settings(config)?;
        wiring::publishers(&config.broker)?;
        if let Some(path) = &config.policy_file {
            PolicyFile::at(path).read()?;
        }
        Ok(())
    }

    /// Starts a core and returns once HTTP is served. Agents may still be on their way.
    ///
    /// # Errors
    /// What is in the way, in words that say what to do about it.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(config: Config) -> Result<RunningApp, AppError> {
        let data = DataFolder::lock(&config.data)?;
        let (gate, keeper) = wiring::gate(&config)?;
        let join_token = data::join_token(&config)?;
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        registry.register_collector(Box::new(ProcessMetrics::new(&config.store_path)));
        let (store, stored) = wiring::store(&config, &metrics)?;

        let book = wiring::book(&config.broker, &join_token)?;
        let credentials = Arc::new(wiring::credentials(&stored, book.clone()));
        let (broker, endpoint) = wiring::broker(&config.broker, book).await?;
        let (link, events) = wiring::link(endpoint.link.clone())?;

        let outbound = SealedSender::new(
            link.clone(),
            Arc::clone(&credentials),
            join_token.clone(),
            metrics.clone(),
        )
        .evicting(broker.as_deref().map(wiring::evictions));
        let (traces, exporter) = wiring::exporter(&config, &stored, store.reader(), &metrics)?;
        let schedules = wiring::schedules(&config)?;
        let (topics, wanted) = watch::channel(BTreeSet::new());
        let (core, uplinks, driver) = driver::start(Parts {
            zones: Arc::clone(&schedules.zones),
            topics,
            stored,
            store: Box::new(store),
            outbound: Box::new(outbound),
            settings: config.core.clone(),
            policy: config.policy.clone(),
            bounds: config.queue,
            logs: config.logs,
            history: config.history,
            metrics: metrics.clone(),
            traces,
        })?;
        // Before any agent is heard, so that nothing is placed by another one.
        let policy_keeper = match &config.policy_file {
            Some(path) => Some(PolicyKeeper::start(PolicyFile::at(path), core.clone()).await?),
            None => None,
        };
        let doorman = Doorman::new(credentials, join_token.clone());
        let listening = tokio::spawn(link::listen(events, doorman, uplinks, metrics.clone()));
        let topics = topics::start(&endpoint.link, wanted, core.clone(), metrics)?;
        let (server, http_addr) =
            http::start(core.clone(), registry, &config.http, gate, schedules)?;
        let scheme = if config.http.tls.is_some() { "https" } else { "http" };
        Ok(RunningApp {
            http_url: format!("{scheme}://{http_addr}"),
            http_addr,
            broker_addr: endpoint.plain,
            broker_url: endpoint.url,
            join_token,
            join_token_file: config.join_token_file,
            core,
            driver,
            server,
            link,
            listening,
            topics,
            broker,
            keeper,
            policy_keeper,
            exporter,
            _data: data,
        })
    }
}

impl RunningApp {
    /// Waits until the core cannot go on by itself. Losing the race in a `select!` loses nothing.
    ///
    /// # Errors
    /// Why it ended.
    pub async fn failed(&mut self) -> Result<(), AppError> {
        Ok(self.driver.ended().await?)
    }

    /// Stops everything: no new requests, then the driver, which finishes what it has taken, then
    /// the link, which sends what is queued, then the broker.
    ///
    /// # Errors
    /// When the driver had ended by itself.
    pub async fn stop(mut self) -> Result<(), AppError> {
        drop(self.policy_keeper.take());
        self.core.close();
        self.topics.abort();
        self.server.stop(true).await;
        let ended = self.driver.stop().await;
        self.link.shutdown_after_flush(FLUSH_MAX).await;
        self.listening.abort();
        if let Some(broker) = self.broker.take() {
            broker.shutdown().await;
        }
        self.keeper.stop();
        if let Some(exporter) = self.exporter.take() {
            exporter.stop(FLUSH_MAX).await;
        }
        Ok(ended?)
    }
}

#[cfg(test)]
mod tests;

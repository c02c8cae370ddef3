//! The core's own links, seals, driver and store, with a socket in place of MQTT.

use std::path::Path;
use std::sync::Arc;

use cloud_core::driver::{self, Bounds, Core, DriverHandle, Parts};
use cloud_core::export::TraceLane;
use cloud_core::link::{self, Credentials, Doorman, SealedSender};
use cloud_core::observe::{Metrics, Registry};
use cloud_core::store::{HistoryBounds, LogBounds, SqliteStore, Store};
use cloud_core_logic::Settings;
use cloud_core_logic::placement::Policy;
use shared::id::CoreId;
use shared::wire::Topic;
use shared_runtime::clock::{Clock, new_uuid_v4};
use shared_runtime::link::LinkConfig;
use shared_runtime::link::loopback::Hub;

use super::board::{join_token, socket};
use super::bridge::bridge;

/// A core that runs.
pub struct Running {
    pub core: Core,
    registry: Registry,
    /// When it had read its database, on the machine's monotonic clock.
    pub loaded_at: u64,
    _driver: DriverHandle,
}

/// Starts a core on the database of a folder, and listens there for the agents' side.
pub async fn start(folder: &Path, settings: Settings) -> Running {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let now = Clock::new().now().wall;
    let store = SqliteStore::open(&folder.join("core.db"), CoreId(new_uuid_v4()), now);
    let mut store: Box<dyn Store> = Box::new(store.expect("a store"));
    let stored = store.load().expect("what it holds");
    let loaded_at = now_ms();
    let token = join_token();
    let credentials = Arc::new(Credentials::default());
    for (agent, credential) in &stored.credentials {
        credentials.put(agent, credential);
    }
    // The bounds of the link that a real core has.
    let bounds = LinkConfig::for_core("memory".to_owned(), 1, "core".to_owned());
    let hub = Hub::with_room(bounds.queue_max);
    let (link, events) = hub.link("core", Topic::core_filters().to_vec(), None);
    let (core, uplinks, driver) = driver::start(Parts {
        topics: tokio::sync::watch::Sender::default(),
        zones: std::sync::Arc::new(shared::schedule::OnlyUtc),
        stored,
        store,
        outbound: Box::new(SealedSender::new(
            link,
            Arc::clone(&credentials),
            token.clone(),
            metrics.clone(),
        )),
        settings,
        policy: Policy::default(),
        bounds: Bounds::default(),
        logs: LogBounds::default(),
        history: HistoryBounds::default(),
        metrics: metrics.clone(),
        traces: TraceLane::default(),
    })
    .expect("a driver");
    let doorman = Doorman::new(credentials, token);
    tokio::spawn(link::listen(events, doorman, uplinks, metrics));
    tokio::spawn(bridge(hub, socket(folder)));
    Running { core, registry, loaded_at, _driver: driver }
}

impl Running {
    /// Its metrics, as Prometheus reads them.
    pub fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("metrics");
        text
    }
}

/// The sum of all series whose line begins with this.
pub fn sum(metrics: &str, begins: &str) -> u64 {
    let values = metrics.lines().filter(|line| line.starts_with(begins));
    values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
}

/// The machine's monotonic clock, in milliseconds.
pub fn now_ms() -> u64 {
    Clock::new().now().mono.0
}

/// Runs one side as `ambit core` is run, with the driver's own thread beside it.
pub fn block_on(side: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.expect("a runtime").block_on(side);
}

/// Standard input without a thread that would keep the program from ending.
pub fn stdin() -> tokio::net::unix::pipe::Receiver {
    let file = std::fs::File::open("/dev/stdin").expect("standard input");
    tokio::net::unix::pipe::Receiver::from_file(file).expect("a pipe")
}

/// The processor time of this process and of its driver's thread, in milliseconds.
pub fn processor_ms() -> (u64, u64) {
    // The kernel counts in hundredths of a second, whatever its own clock is.
    let of = |path: &str| -> u64 {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        let rest = text.rsplit(") ").next().unwrap_or_default();
        let numbers: Vec<i64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
        // User and system time are the eleventh and twelfth number behind the name and the state.
        let ticks: i64 = numbers.iter().skip(10).take(2).sum();
        u64::try_from(ticks).unwrap_or(0) * 10
    };
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let driver = threads.map(|entry| entry.path()).find(|path| {
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        name.trim() == "core-driver"
    });
    let driver_ms = driver.map_or(0, |path| of(&path.join("stat").display().to_string()));
    (of("/proc/self/stat"), driver_ms)
}

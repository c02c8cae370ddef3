//! The server itself: its bounds, its listener, and what happens around every request (who it
//! comes from, how long it took, errors as problems). Owns the sockets and nothing else.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServerHandle, ServiceRequest, ServiceResponse};
use actix_web::middleware::{DefaultHeaders, Next, from_fn};
use actix_web::{App, Error, HttpServer, ResponseError, web};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use shared_runtime::clock::Clock;

use super::access;
use super::batch::BatchRoom;
use super::events::EventRoom;
use super::line::Line;
use super::logs::LogRoom;
use super::metrics::HttpMetrics;
use super::origin::{self, Hosts};
use super::problem;
use super::replay::ReplayRoom;
use super::routes;
use super::schedules::{Deliveries, ScheduleParts};
use super::state::State;
use super::tls::{HttpTls, HttpTlsError};
use crate::access::Gate;
use crate::driver::Core;

/// How the server listens, and its bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpSettings {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Threads that serve connections.
    pub workers: usize,
    /// The most connections at once; more wait in the listener's backlog.
    pub connections_max: usize,
    /// How long an idle connection is kept, in seconds.
    pub keep_alive_s: u64,
    /// How long a client may take to send the head of a request, in seconds.
    pub head_timeout_s: u64,
    /// How long requests under way may take once the server is stopped, in seconds.
    pub stop_timeout_s: u64,
    /// Names, beside `localhost` and IP addresses, under which a core that listens on loopback
    /// may be addressed: that of a proxy in front of it. Elsewhere any name is good.
    pub hosts: Vec<String>,
    /// Whether every change that somebody asks for is written to the log.
    pub audit: bool,
    /// With which certificate to serve HTTPS instead of HTTP.
    pub tls: Option<HttpTls>,
    /// The file that the placement policy comes from, if it does: then nobody puts another one.
    pub policy_file: Option<PathBuf>,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workers: 2,
            connections_max: 4_096,
            keep_alive_s: 75,
            head_timeout_s: 10,
            stop_timeout_s: 5,
            hosts: Vec::new(),
            audit: true,
            tls: None,
            policy_file: None,
        }
    }
}

/// Why the server does not start.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// It cannot listen there.
    #[error(
        "cannot listen on {address}: {source}; stop what listens there, or choose another address \
         with `--listen` (port 0 picks a free one)"
    )]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] HttpTlsError),
}

/// Threads of each worker for what blocks: reading the store and planning.
const BLOCKING_THREADS_PER_WORKER: usize = 4;
/// How long a connection may take to close, in milliseconds.
const DISCONNECT_TIMEOUT_MS: u64 = 1_000;

/// Starts to serve, and returns at once: the handle that stops it (`handle.stop(true)` lets
/// requests under way finish) and the address it listens on. Adds the server's own metrics to
/// `registry`, which it serves from then on; clones of the other metrics keep counting into it.
///
/// # Errors
/// When it cannot listen there.
///
/// # Panics
/// Outside a tokio runtime.
pub fn start(
    core: Core,
    mut registry: Registry,
    settings: &HttpSettings,
    gate: Arc<Gate>,
    schedules: ScheduleParts,
) -> Result<(ServerHandle, SocketAddr), HttpError> {
    let metrics = HttpMetrics::register(&mut registry);
    let hosts = Hosts::for_listener(settings.listen.ip(), &settings.hosts);
    let (clock, audit) = (Clock::new(), settings.audit);
    let state = web::Data::new(State {
        core,
        registry,
        metrics,
        hosts,
        batch_room: BatchRoom::default(),
        event_room: EventRoom::default(),
        log_room: LogRoom::default(),
        replay_room: ReplayRoom::default(),
        policy_file: settings.policy_file.clone(),
        schedules,
        deliveries: Deliveries::default(),
        gate,
        clock,
        audit,
    });
    let failed = |source| HttpError::Listen { address: settings.listen, source };
    let workers = settings.workers.max(1);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(state.clone())
            .wrap(from_fn(around))
            .wrap(
                DefaultHeaders::new()
                    .add(("Cache-Control", "no-store"))
                    .add(("X-Content-Type-Options", "nosniff")),
            )
            .configure(routes::configure)
    })
    .workers(workers)
    .worker_max_blocking_threads(BLOCKING_THREADS_PER_WORKER)
    .max_connections(settings.connections_max.div_ceil(workers).max(1))
    .keep_alive(Duration::from_secs(settings.keep_alive_s))
    .client_request_timeout(Duration::from_secs(settings.head_timeout_s))
    .client_disconnect_timeout(Duration::from_millis(DISCONNECT_TIMEOUT_MS))
    .shutdown_timeout(settings.stop_timeout_s)
    .tcp_nodelay(true)
    .on_connect(Line::keep)
    .disable_signals();
    let server = match &settings.tls {
        Some(tls) => server.bind_rustls_0_23(settings.listen, tls.load()?),
        None => server.bind(settings.listen),
    }
    .map_err(failed)?;
    let address = server.addrs().first().copied().unwrap_or(settings.listen);
    let server = server.run();
    let handle = server.handle();
    tokio::spawn(async move {
        if let Err(error) = server.await {
            tracing::error!(%error, "the HTTP server failed");
        }
    });
    tracing::info!(%address, workers, tls = settings.tls.is_some(), "serving HTTP");
    Ok((handle, address))
}

/// Around every request: refuses what comes from where it must not, turns the framework's own
/// errors into problems, and counts.
async fn around(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let begun = Instant::now();
    let method = request.method().clone();
    let state = request.app_data::<web::Data<State>>().cloned();
    let checked = match &state {
        Some(state) => origin::check(&method, request.headers(), &state.hosts)
            .and_then(|()| access::admit(&request, state)),
        None => Ok(()),
    };
    let response = match checked {
        Err(refusal) => request.into_response(refusal.error_response()),
        Ok(()) => match next.call(request).await {
            Ok(response) => as_problem(response.map_into_boxed_body()),
            Err(error) => return Err(problem::from_framework(&error).into()),
        },
    };
    if let Some(state) = state {
        let pattern = response.request().match_pattern();
        state.metrics.count(&method, pattern, response.status(), begun.elapsed());
    }
    Ok(response)
}

/// An error response that is not a problem yet comes from the framework.
fn as_problem(response: ServiceResponse<BoxBody>) -> ServiceResponse<BoxBody> {
    let is_foreign = |error: &Error| error.as_error::<problem::ApiError>().is_none();
    let problem = match response.response().error() {
        Some(error) if is_foreign(error) => problem::from_framework(error).error_response(),
        _ => return response,
    };
    let (request, _) = response.into_parts();
    ServiceResponse::new(request, problem)
}

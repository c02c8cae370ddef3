//! The HTTP API. Reads come from the store's readers and from snapshots of the fleet; every write
//! is an input to the core. The only place that names actix-web; it decides nothing.

mod access;
mod agents;
mod batch;
mod body;
mod docs;
mod events;
mod explain;
mod followers;
mod health;
mod line;
mod logs;
mod metrics;
mod openapi;
mod origin;
mod page;
mod parts;
mod placement;
mod policy;
pub mod problem;
mod query;
mod replay;
mod routes;
mod schedules;
mod server;
mod state;
mod tasks;
mod tls;
mod trace;

#[cfg(test)]
mod tests;

use cloud_core_logic::Answer;

pub use actix_web::dev::ServerHandle;
pub use body::BODY_BYTES_MAX;
#[cfg(test)]
pub(crate) use followers::{Ended, Followed};
#[cfg(test)]
pub(crate) use metrics::HttpMetrics;
pub use query::{LIMIT_DEFAULT, LIMIT_MAX};
pub use schedules::ScheduleParts;
pub use server::{HttpError, HttpSettings, start};
pub use tls::{HttpTls, HttpTlsError};

use problem::{ApiError, Kind};

/// An answer that the core does not give to what was asked: a bug, told as one.
fn unexpected(asked: &'static str, answer: &Answer) -> ApiError {
    tracing::error!(asked, ?answer, "the core gave an answer to another question");
    ApiError::new(Kind::Internal, "the core gave an answer to another question; this is a bug")
}

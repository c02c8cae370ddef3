//! What every handler works with: the core's handle, the metrics, and the way to do what blocks
//! (reading the store, planning over the fleet) off the threads that serve connections.

use std::path::PathBuf;
use std::sync::Arc;

use actix_web::web;
use prometheus_client::registry::Registry;
use shared_runtime::clock::Clock;

use super::batch::BatchRoom;
use super::events::EventRoom;
use super::logs::LogRoom;
use super::metrics::HttpMetrics;
use super::origin::Hosts;
use super::problem::{ApiError, ApiResult, Kind};
use super::replay::ReplayRoom;
use super::schedules::{Deliveries, ScheduleParts};
use crate::access::Gate;
use crate::driver::{Core, CoreBusy};
use crate::store::{Reader, StoreError};

/// Seconds after which to try again where nobody knows better.
const RETRY_AFTER_S: u64 = 5;

/// What every handler works with. One for all workers.
pub struct State {
    /// The core.
    pub core: Core,
    /// Everyone's metrics.
    pub registry: Registry,
    /// The server's own.
    pub metrics: HttpMetrics,
    /// The names it answers to.
    pub hosts: Hosts,
    /// Room for batches of tasks.
    pub batch_room: BatchRoom,
    /// Room for those who follow events.
    pub event_room: EventRoom,
    /// Room for those who read logs.
    pub log_room: LogRoom,
    /// Room for replays of policies.
    pub replay_room: ReplayRoom,
    /// The file that the placement policy comes from, if it does.
    pub policy_file: Option<PathBuf>,
    /// What schedules need of the machine.
    pub schedules: ScheduleParts,
    /// The deliveries to hooks that were taken lately.
    pub deliveries: Deliveries,
    /// Who is let in.
    pub gate: Arc<Gate>,
    /// For the gate: when a request came.
    pub clock: Clock,
    /// Whether changes are written to the audit.
    pub audit: bool,
}

impl State {
    /// Reads the store on a blocking thread.
    ///
    /// # Errors
    /// 400 for a cursor that is none, 503 when the store cannot be read.
    pub async fn read<T, F>(&self, work: F) -> ApiResult<T>
    where
        T: Send + 'static,
        F: FnOnce(&dyn Reader) -> Result<T, StoreError> + Send + 'static,
    {
        let reader: Arc<dyn Reader> = self.core.reader();
        Ok(blocking(move || work(reader.as_ref())).await??)
    }
}

/// Does what takes long on a blocking thread.
///
/// # Errors
/// 500 when it panicked, which is a bug.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> ApiResult<T> {
    web::block(work).await.map_err(|error| {
        tracing::error!(%error, "a request failed on a blocking thread");
        ApiError::new(Kind::Internal, "the request failed inside the core; its log says more")
    })
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::BadCursor) {
            return Self::new(Kind::InvalidQuery, format!("`cursor`: {error}"));
        }
        tracing::error!(%error, "the store cannot be read");
        store_failing(RETRY_AFTER_S)
    }
}

impl From<CoreBusy> for ApiError {
    fn from(busy: CoreBusy) -> Self {
        match busy {
            CoreBusy::QueueFull { retry_after_s } => {
                let detail = format!(
                    "the core has as many requests to decide as it can hold; nothing was done, \
                     try again in {} s",
                    retry_after_s.max(1)
                );
                Self::new(Kind::CoreBusy, detail).retry_after_s(retry_after_s)
            }
            CoreBusy::Stopping => {
                let detail = "the core is stopping; try again once it is back. Whether this \
                              request was done is not known: repeat a submission with the same \
                              Idempotency-Key";
                Self::new(Kind::CoreStopping, detail).retry_after_s(RETRY_AFTER_S)
            }
            CoreBusy::StoreFailing { retry_after_s } => store_failing(retry_after_s),
        }
    }
}

fn store_failing(retry_after_s: u64) -> ApiError {
    let detail = "the core cannot use its store now, and its log says why; nothing was done";
    ApiError::new(Kind::StoreFailing, detail).retry_after_s(retry_after_s)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError;

    #[test]
    fn whoever_cannot_be_served_now_is_told_when_to_come_back() {
        let full = CoreBusy::QueueFull { retry_after_s: 3 };
        let failing = CoreBusy::StoreFailing { retry_after_s: 2 };
        for (busy, kind, seconds) in [
            (full, Kind::CoreBusy, "3"),
            (failing, Kind::StoreFailing, "2"),
            (CoreBusy::Stopping, Kind::CoreStopping, "5"),
        ] {
            let error = ApiError::from(busy);
            assert_eq!(error.kind(), kind);
            let response = error.error_response();
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers().get("retry-after").expect("header"), seconds);
        }
    }

    #[test]
    fn a_store_that_fails_is_not_the_callers_fault_and_a_bad_cursor_is() {
        let failing = StoreError::Unavailable { source: "a secret path".into() };
        let error = ApiError::from(failing);
        assert_eq!(error.kind(), Kind::StoreFailing);
        assert!(!error.detail().contains("secret"));
        assert_eq!(ApiError::from(StoreError::BadCursor).kind(), Kind::InvalidQuery);
    }
}

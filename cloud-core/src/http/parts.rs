//! The body of an answer that is made while it is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use actix_web::web::Bytes;
use tokio::sync::mpsc;

/// Why an answer breaks off. The client sees a connection that ends too early, since the status
/// has been sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read on")]
pub struct BrokenOff;

/// Parts as they come. Dropping it tells whoever makes them to stop.
pub struct PartsBody {
    parts: mpsc::Receiver<Result<Bytes, BrokenOff>>,
}

impl PartsBody {
    /// The body whose parts come from the other end.
    #[must_use]
    pub fn new(parts: mpsc::Receiver<Result<Bytes, BrokenOff>>) -> Self {
        Self { parts }
    }
}

impl MessageBody for PartsBody {
    type Error = BrokenOff;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.parts.poll_recv(context)
    }
}

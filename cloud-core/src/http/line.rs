//! A client's connection, for answers that take long: whether the client is still there, and the
//! end of one that does not read. The framework tells neither to whoever makes an answer.

use std::any::Any;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::HttpRequest;
use actix_web::dev::Extensions;
use actix_web::rt::net::TcpStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{Shutdown, shutdown};

/// A client's connection.
#[derive(Debug, Clone)]
pub struct Line(Arc<OwnedFd>);

impl Line {
    /// Keeps the connection at hand for the requests that come over it.
    pub fn keep(connection: &dyn Any, extensions: &mut Extensions) {
        let plain = connection.downcast_ref::<TcpStream>();
        let stream = plain.or_else(|| {
            connection.downcast_ref::<TlsStream<TcpStream>>().map(|sealed| sealed.get_ref().0)
        });
        match stream.map(|stream| stream.as_fd().try_clone_to_owned()) {
            Some(Ok(same)) => {
                extensions.insert(Self(Arc::new(same)));
            }
            Some(Err(error)) => tracing::debug!(%error, "a connection cannot be looked at"),
            None => {}
        }
    }

    /// The connection of a request.
    #[must_use]
    pub fn of(request: &HttpRequest) -> Option<Self> {
        request.conn_data::<Self>().cloned()
    }

    /// Whether the client has hung up. One that only says that it will ask nothing more is taken
    /// for one that has: the system does not tell them apart.
    #[must_use]
    pub fn is_left(&self) -> bool {
        let ends = PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR;
        let mut line = [PollFd::new(&self.0, ends)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut line, Some(&now)).is_ok_and(|ready| ready > 0)
            && line[0].revents().intersects(ends)
    }

    /// Ends the connection at once.
    pub fn cut(&self) {
        // It may have ended by itself.
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

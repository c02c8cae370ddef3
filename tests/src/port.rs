//! Ports that stay ours while their process is down. A port from the system's own range could be
//! taken by any outgoing connection before a killed core is back; these lie below that range, and
//! a UDP socket on the same number keeps other tests, also in other processes, away from it.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 12_000;
const COUNT: u16 = 18_000;

static NEXT: AtomicU16 = AtomicU16::new(0);

/// A TCP port on loopback, reserved until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _reservation: UdpSocket,
}

impl Port {
    /// Reserves a free one.
    ///
    /// # Panics
    /// When all are taken.
    #[must_use]
    pub fn reserve() -> Self {
        let start = (std::process::id() as u16).wrapping_mul(37);
        for _ in 0..COUNT {
            let step = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = FIRST + start.wrapping_add(step) % COUNT;
            let Ok(reservation) = UdpSocket::bind(("127.0.0.1", number)) else {
                continue;
            };
            if TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Self { number, _reservation: reservation };
            }
        }
        panic!("no free port from {FIRST} to {}", FIRST + COUNT);
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Its address on loopback.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.number))
    }
}

//! A network between two processes that can be slow, cut or dead: a TCP proxy whose weather a
//! test commands. Forwards bytes and never looks at them.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::port::Port;
use crate::wait::eventually;

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Weather {
    /// Bytes pass.
    Fair,
    /// Connections are closed, and new ones closed at once.
    Cut,
    /// Connections stay open and nothing passes either way, as behind a router that died. What
    /// was sent waits, as TCP would keep sending it.
    Stalled,
    /// It is over.
    Gone,
}

#[derive(Debug)]
struct Sky {
    weather: Weather,
    delay: Duration,
    open: Vec<TcpStream>,
    accepted: u64,
}

#[derive(Debug)]
struct Shared {
    sky: Mutex<Sky>,
    changed: Condvar,
}

impl Shared {
    fn sky(&self) -> MutexGuard<'_, Sky> {
        self.sky.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, weather: Weather) {
        let mut sky = self.sky();
        sky.weather = weather;
        if matches!(weather, Weather::Cut | Weather::Gone) {
            for stream in sky.open.drain(..) {
                // It may be closed already.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        self.changed.notify_all();
    }

    /// Waits until bytes may pass; false when they never will.
    fn may_pass(&self) -> bool {
        let sky = self
            .changed
            .wait_while(self.sky(), |sky| sky.weather == Weather::Stalled)
            .unwrap_or_else(PoisonError::into_inner);
        sky.weather == Weather::Fair
    }
}

/// A link to one server, on a port of its own.
#[derive(Debug)]
pub struct FaultyLink {
    port: Port,
    shared: Arc<Shared>,
}

impl FaultyLink {
    /// A link to `server`, which need not listen yet.
    ///
    /// # Panics
    /// When no port is free.
    #[must_use]
    pub fn to(server: SocketAddr) -> Self {
        let port = Port::reserve();
        // A process that another test starts at this moment may hold what the reservation tried
        // the port with, until it has become its program.
        let listener = eventually("a reserved port to be free", || {
            TcpListener::bind(port.address()).map_err(|error| error.to_string())
        });
        let sky = Sky { weather: Weather::Fair, delay: Duration::ZERO, open: vec![], accepted: 0 };
        let shared = Arc::new(Shared { sky: Mutex::new(sky), changed: Condvar::new() });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, server, &accepting));
        Self { port, shared }
    }

    /// Where clients connect instead.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Every byte takes this much longer, each way.
    pub fn delay(&self, delay: Duration) {
        self.shared.sky().delay = delay;
    }

    /// Ends all connections and lets none be made.
    pub fn cut(&self) {
        self.shared.set(Weather::Cut);
    }

    /// Keeps connections open and lets nothing pass, so that neither end is told.
    pub fn stall(&self) {
        self.shared.set(Weather::Stalled);
    }

    /// Makes all well again.
    pub fn restore(&self) {
        self.shared.set(Weather::Fair);
    }

    /// How many connections were let through so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.sky().accepted
    }
}

impl Drop for FaultyLink {
    fn drop(&mut self) {
        self.shared.set(Weather::Gone);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.port.address());
    }
}

fn accept(listener: &TcpListener, server: SocketAddr, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        let mut sky = shared.sky();
        match sky.weather {
            Weather::Gone => return,
            Weather::Cut => continue,
            Weather::Fair | Weather::Stalled => {}
        }
        let Ok(upstream) = TcpStream::connect_timeout(&server, Duration::from_secs(2)) else {
            continue;
        };
        let _ = client.set_nodelay(true);
        let _ = upstream.set_nodelay(true);
        let pair = [(&client, &upstream), (&upstream, &client)];
        for (from, to) in pair {
            if let (Ok(from), Ok(to), Ok(kept)) =
                (from.try_clone(), to.try_clone(), from.try_clone())
            {
                sky.open.push(kept);
                carry(from, to, shared);
            }
        }
        sky.accepted += 1;
    }
}

/// Carries bytes one way until either end closes.
fn carry(mut from: TcpStream, mut to: TcpStream, shared: &Arc<Shared>) {
    let (sender, receiver): (Sender<(Instant, Vec<u8>)>, Receiver<_>) = channel();
    let reading = Arc::clone(shared);
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 * 1024];
        // A stalled link does not read: the sender's window closes, as on a dead network.
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            let due = Instant::now() + reading.sky().delay;
            if sender.send((due, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
    });
    let writing = Arc::clone(shared);
    std::thread::spawn(move || {
        for (due, bytes) in receiver {
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if !writing.may_pass() || to.write_all(&bytes).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo_server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("an address");
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut buffer = [0; 64];
                    while let Ok(length @ 1..) = stream.read(&mut buffer) {
                        let _ = stream.write_all(&buffer[..length]);
                    }
                });
            }
        });
        address
    }

    fn connect(link: &FaultyLink) -> TcpStream {
        let stream = TcpStream::connect(link.address()).expect("connected");
        stream.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
        stream
    }

    fn echoes(stream: &mut TcpStream) -> bool {
        let mut buffer = [0; 4];
        stream.write_all(b"ping").is_ok()
            && stream.read_exact(&mut buffer).is_ok()
            && &buffer == b"ping"
    }

    #[test]
    fn the_weather_is_as_commanded() {
        let link = FaultyLink::to(echo_server());
        let mut first = connect(&link);
        assert!(echoes(&mut first));
        link.cut();
        assert!(!echoes(&mut first));
        assert!(!echoes(&mut connect(&link)));
        link.restore();
        let mut second = connect(&link);
        assert!(echoes(&mut second));
        link.stall();
        assert!(!echoes(&mut second), "nothing passes");
        link.restore();
        let mut late = [0; 4];
        second.read_exact(&mut late).expect("what was held back arrives after all");
    }

    #[test]
    fn a_delay_counts_both_ways() {
        let link = FaultyLink::to(echo_server());
        let mut stream = connect(&link);
        stream.set_read_timeout(None).expect("set");
        link.delay(Duration::from_millis(30));
        let begun = Instant::now();
        assert!(echoes(&mut stream));
        assert!(begun.elapsed() >= Duration::from_millis(60));
    }
}

//! A link with a length: a TCP relay between an agent and the broker that holds everything back by
//! a fixed time, and that can be cut and joined again. For development fleets, where all boards
//! stand on one desk.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, tcp};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What may be under way in one direction, in reads of up to [`READ_BYTES`].
const UNDER_WAY_MAX: usize = 1_024;
const READ_BYTES: usize = 16 * 1024;

/// A relay. Dropping it cuts the link for good.
#[derive(Debug)]
pub struct DelayedLink {
    address: SocketAddr,
    joined: watch::Sender<bool>,
}

impl DelayedLink {
    /// A relay to `broker` on a free loopback port. Each direction takes `one_way`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(broker: SocketAddr, one_way: Duration) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (joined, watcher) = watch::channel(true);
        tokio::spawn(accept(listener, broker, one_way, watcher));
        Ok(Self { address, joined })
    }

    /// Where the agent connects to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Breaks every connection and lets none through until [`DelayedLink::join`].
    pub fn cut(&self) {
        self.joined.send_replace(false);
    }

    /// Lets connections through again.
    pub fn join(&self) {
        self.joined.send_replace(true);
    }
}

async fn accept(
    listener: TcpListener,
    broker: SocketAddr,
    one_way: Duration,
    mut joined: watch::Receiver<bool>,
) {
    loop {
        let stream = tokio::select! {
            // The relay was dropped when nobody can join the link any more.
            changed = joined.changed() => match changed {
                Ok(()) => continue,
                Err(_) => return,
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => continue,
            },
        };
        if *joined.borrow() {
            tokio::spawn(relay(stream, broker, one_way, joined.clone()));
        }
    }
}

async fn relay(
    agent: TcpStream,
    broker: SocketAddr,
    one_way: Duration,
    mut joined: watch::Receiver<bool>,
) {
    let Ok(upstream) = TcpStream::connect(broker).await else {
        return;
    };
    // Without this the delay would be that of Nagle's algorithm on top of the one asked for.
    let _ = agent.set_nodelay(true);
    let _ = upstream.set_nodelay(true);
    let (agent_read, agent_write) = agent.into_split();
    let (broker_read, broker_write) = upstream.into_split();
    tokio::select! {
        () = carry(agent_read, broker_write, one_way) => {}
        () = carry(broker_read, agent_write, one_way) => {}
        _ = joined.wait_for(|joined| !joined) => {}
    }
}

async fn carry(mut from: tcp::OwnedReadHalf, mut to: tcp::OwnedWriteHalf, one_way: Duration) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY_MAX);
    let read = async move {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count) = from.read(&mut buffer).await {
            let due = Instant::now() + one_way;
            if count == 0 || sender.send((due, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = receiver.recv().await {
            tokio::time::sleep_until(due).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        address
    }

    #[tokio::test]
    async fn a_link_takes_its_time_and_can_be_cut_and_joined() {
        let link = DelayedLink::start(echo().await, Duration::from_millis(30)).await.expect("link");
        let mut stream = TcpStream::connect(link.address()).await.expect("connect");
        let sent = Instant::now();
        stream.write_all(b"hello").await.expect("write");
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).await.expect("read");
        // A lower bound: how much longer it takes is the machine's affair.
        assert!(sent.elapsed() >= Duration::from_millis(60));
        assert_eq!(&answer, b"hello");
        link.cut();
        assert_eq!(stream.read(&mut answer).await.unwrap_or(0), 0);
        link.join();
        let mut stream = TcpStream::connect(link.address()).await.expect("connect");
        stream.write_all(b"again").await.expect("write");
        stream.read_exact(&mut answer).await.expect("read");
        assert_eq!(&answer, b"again");
    }
}

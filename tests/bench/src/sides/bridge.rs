//! Carries messages between the core's hub in memory and the socket of the agents' side.

use std::path::PathBuf;
use std::time::Duration;

use shared::wire::Topic;
use shared_runtime::link::loopback::Hub;
use shared_runtime::link::{LinkEvent, LinkEvents, LinkSender};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, BufWriter};
use tokio::net::UnixListener;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use super::board::agent_id;
use super::frame;

/// Carries messages between the hub and the agents' side.
pub async fn bridge(hub: Hub, path: PathBuf) {
    // What a killed core has left behind.
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path).expect("a socket");
    let (stream, _) = listener.accept().await.expect("the agents' side");
    let (reading, writing) = stream.into_split();
    let downs = Topic::Down(agent_id(0)).to_string().replace(agent_id(0).as_str(), "+");
    let (sender, events) = hub.link("bridge", vec![downs], None);
    tokio::spawn(down(events, writing));
    up(sender, reading).await;
}

async fn up(sender: LinkSender, reading: OwnedReadHalf) {
    while !sender.is_up() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut stream = BufReader::with_capacity(256 * 1024, reading);
    let mut head = [0; 8];
    while stream.read_exact(&mut head).await.is_ok() {
        let (topic, payload) = frame::lengths(head).expect("a message");
        let mut bytes = vec![0; topic + payload];
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        let (topic, payload) = frame::split(bytes, topic).expect("a topic");
        // Waits for room, as MQTT does.
        if sender.publish(topic, payload).await.is_err() {
            return;
        }
    }
}

async fn down(mut events: LinkEvents, writing: OwnedWriteHalf) {
    let mut stream = BufWriter::with_capacity(256 * 1024, writing);
    while let Some(first) = events.recv().await {
        let mut next = Some(first);
        while let Some(event) = next {
            if let LinkEvent::Message { topic, payload } = event
                && stream.write_all(&frame::encode(&topic, &payload)).await.is_err()
            {
                return;
            }
            next = events.try_recv();
        }
        if stream.flush().await.is_err() {
            return;
        }
    }
}

//! MQTT by hand, for what a well-behaved client does not send.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub fn field(text: &[u8]) -> Vec<u8> {
    [&u16::try_from(text.len()).expect("short").to_be_bytes(), text].concat()
}

pub fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind, u8::try_from(body.len()).expect("short")], body].concat()
}

/// Type and body of the next packet.
pub async fn read(stream: &mut TcpStream) -> (u8, Vec<u8>) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.expect("a packet");
    assert!(head[1] < 0x80, "a short packet");
    let mut body = vec![0; head[1].into()];
    stream.read_exact(&mut body).await.expect("its body");
    (head[0], body)
}

/// Connects with a protocol level; the stream and the reason code of the answer.
pub async fn connect(address: SocketAddr, level: u8, id: &str) -> (TcpStream, u8) {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let mut body = [&field(b"MQTT")[..], &[level, 0b1100_0010, 0, 30]].concat();
    if level == 5 {
        body.push(0);
    }
    for text in [id, id, &format!("pass-{id}")] {
        body.extend(field(text.as_bytes()));
    }
    stream.write_all(&packet(0x10, &body)).await.expect("sent");
    let (kind, body) = read(&mut stream).await;
    assert_eq!(kind, 0x20, "CONNACK");
    (stream, body[1])
}

//! A client that can say anything over a socket, also what no HTTP library would.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(held, _)| held == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {:?}", String::from_utf8_lossy(&self.body)))
    }

    /// The end of a problem's type.
    pub fn problem(&self) -> String {
        let document = self.json();
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{document}");
        assert_eq!(document["status"], self.status, "{document}");
        let kind = document["type"].as_str().expect("a type");
        let name = kind.strip_prefix(crate::http::problem::TYPE_PREFIX).expect("our prefix");
        assert!(!document["detail"].as_str().expect("a detail").is_empty());
        name.to_owned()
    }
}

/// Sends bytes and reads until the server closes; `None` when it answered nothing.
pub fn send_raw(address: SocketAddr, bytes: &[u8]) -> Option<Reply> {
    exchange(address, bytes, false)
}

/// The same, and says that nothing more will come.
pub fn send_raw_and_close(address: SocketAddr, bytes: &[u8]) -> Option<Reply> {
    exchange(address, bytes, true)
}

fn exchange(address: SocketAddr, bytes: &[u8], close: bool) -> Option<Reply> {
    let mut stream = TcpStream::connect(address).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("timeout");
    // A server that has seen enough closes while we still write: its answer is what counts.
    let _ = stream.write_all(bytes);
    if close {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut answer = Vec::new();
    let mut part = [0_u8; 16 * 1024];
    while let Ok(count) = stream.read(&mut part) {
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&part[..count]);
    }
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Some(Reply { status, headers, body: answer[end + 4..].to_vec() })
}

/// Sends a request with the headers a client needs, and those given. The answer is held against
/// the description of the API.
pub fn send(
    address: SocketAddr,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Reply {
    let mut head =
        format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    let reply =
        send_raw(address, &bytes).unwrap_or_else(|| panic!("no answer to {method} {target}"));
    super::described::check(method, target, &reply);
    reply
}

//! Following `GET /v1/events` as a client does that remembers how far it came.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use shared::api::EventDocument;

/// How long to wait for the next event.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that follows.
#[derive(Debug)]
pub struct Follower {
    lines: BufReader<TcpStream>,
}

impl Follower {
    /// Connects and waits until it is heard. `last` is the last event of an earlier connection.
    ///
    /// # Errors
    /// When it is not.
    pub fn connect(server: SocketAddr, query: &str, last: Option<u64>) -> io::Result<Self> {
        let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let last = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        let head = format!("GET /v1/events{query} HTTP/1.1\r\nHost: {server}\r\n{last}\r\n");
        stream.write_all(head.as_bytes())?;
        let mut follower = Self { lines: BufReader::new(stream) };
        while !follower.line()?.starts_with(": from") {}
        Ok(follower)
    }

    /// The next event.
    ///
    /// # Errors
    /// When the connection ends before it.
    pub fn next_event(&mut self) -> io::Result<EventDocument> {
        loop {
            if let Some(data) = self.line()?.strip_prefix("data: ") {
                return serde_json::from_str(data).map_err(io::Error::other);
            }
        }
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.lines.read_line(&mut line)? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the events ended")),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}

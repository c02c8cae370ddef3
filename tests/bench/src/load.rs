//! Load on the core's HTTP from many connections at once: one request after the other on each, the
//! next as soon as the answer is there. One thread does it all, so that the core keeps the rest of
//! the machine.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What came of a load.
#[derive(Debug, Default)]
pub struct Answered {
    /// How long each request took that was answered as it should, in milliseconds.
    pub took_ms: Vec<f64>,
    /// Answers with another status, and the first of them.
    pub others: u64,
    /// The first of them.
    pub first_other: Option<String>,
    /// How long all of it took.
    pub elapsed: Duration,
}

impl Answered {
    /// Good answers per second.
    pub fn per_second(&self) -> f64 {
        self.took_ms.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// How to load.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// The core.
    pub server: SocketAddr,
    /// How many connections.
    pub connections: usize,
    /// For how long.
    pub lasts: Duration,
    /// What a good answer's status is.
    pub status: u16,
    /// The media type of what is sent.
    pub kind: &'static str,
}

/// One task, or an array of them.
pub const JSON: &str = "application/json";
/// A task a line.
pub const LINES: &str = "application/x-ndjson";

impl Load {
    /// Posts what `body` makes of a running number to a path, again and again.
    ///
    /// # Panics
    /// When a connection breaks.
    pub fn post(self, path: &str, body: impl Fn(u64) -> String + 'static) -> Answered {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime starts");
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let begun = Instant::now();
            let (path, body) = (Rc::<str>::from(path), Rc::new(body));
            let one = |at| {
                let (path, body) = (Rc::clone(&path), Rc::clone(&body));
                tokio::task::spawn_local(async move {
                    self.connection(at, &path, body.as_ref(), begun).await
                })
            };
            let all: Vec<_> = (0..self.connections as u64).map(one).collect();
            let mut answered = Answered::default();
            for part in all {
                let part = part.await.expect("no connection panics");
                let part = part.expect("the core keeps its connections");
                answered.took_ms.extend(part.took_ms);
                answered.others += part.others;
                answered.first_other = answered.first_other.or(part.first_other);
            }
            answered.elapsed = begun.elapsed();
            answered
        })
    }

    async fn connection(
        self,
        at: u64,
        path: &str,
        body: &impl Fn(u64) -> String,
        begun: Instant,
    ) -> io::Result<Answered> {
        let mut stream = TcpStream::connect(self.server).await?;
        stream.set_nodelay(true)?;
        let mut answered = Answered::default();
        let mut buffer = Vec::with_capacity(64 * 1024);
        let mut number = at;
        while begun.elapsed() < self.lasts {
            let body = body(number);
            number += self.connections as u64;
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: {}\r\n\
                 content-length: {}\r\n\r\n",
                self.server,
                self.kind,
                body.len()
            );
            let sent = Instant::now();
            stream.write_all((head + &body).as_bytes()).await?;
            let status = answer(&mut stream, &mut buffer).await?;
            if status == self.status {
                answered.took_ms.push(sent.elapsed().as_secs_f64() * 1_000.0);
            } else {
                answered.others += 1;
                let text = || String::from_utf8_lossy(&buffer).into_owned();
                answered.first_other.get_or_insert_with(text);
            }
        }
        Ok(answered)
    }
}

/// Reads one answer into the buffer; gives its status.
async fn answer(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<u16> {
    buffer.clear();
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let head_ends = loop {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(at) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..head_ends]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = match length.map(|text| text.trim().parse()) {
        Some(Ok(length)) => length,
        _ => return Err(wrong("an answer without a length")),
    };
    while buffer.len() < head_ends + length {
        if stream.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    status.ok_or_else(|| wrong("an answer without a status"))
}

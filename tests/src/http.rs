//! HTTP/1.1 as a test needs it: one request on one connection, JSON both ways, an answer or the
//! reason why none came. Says nothing about what an answer should be.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long a connection, and each read of an answer, may take.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The largest answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// An answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers, their names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, as text.
    pub body: String,
}

impl Answer {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The body as a type of the API, when the status says that all went well.
    ///
    /// # Errors
    /// The answer as text, when it is an error or something else.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, String> {
        if !(200..300).contains(&self.status) {
            return Err(self.to_string());
        }
        serde_json::from_str(&self.body).map_err(|error| format!("{error} in {self}"))
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.status, self.body)
    }
}

/// A request.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`.
    pub method: &'a str,
    /// The path, with its query.
    pub path: &'a str,
    /// Headers beside those that every request has.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body, JSON.
    pub body: Option<&'a str>,
}

/// Sends a request and waits for the whole answer.
///
/// # Errors
/// When no complete answer came: nobody can say then whether the request had an effect.
pub fn request(server: SocketAddr, request: Request<'_>) -> io::Result<Answer> {
    let stream = send(server, request)?;
    let mut bytes = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes)?;
    parse(&bytes)
}

/// Sends a request and hangs up: what a client does whose network fails at the wrong moment.
///
/// # Errors
/// When it cannot even be sent.
pub fn send_and_leave(server: SocketAddr, request: Request<'_>) -> io::Result<()> {
    send(server, request).map(drop)
}

fn send(server: SocketAddr, request: Request<'_>) -> io::Result<TcpStream> {
    let Request { method, path, headers, body } = request;
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.set_nodelay(true)?;
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if body.is_some() {
        text.push_str("Content-Type: application/json\r\n");
    }
    let body = body.unwrap_or_default();
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    stream.write_all(text.as_bytes())?;
    Ok(stream)
}

fn parse(bytes: &[u8]) -> io::Result<Answer> {
    let broken = |what: &str| io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned());
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or_else(|| broken("the answer broke off before its body"))?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| broken("the answer has no status"))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, headers, body: String::new() };
    let body = &bytes[end + 4..];
    let body = match answer.header("content-length").and_then(|length| length.parse().ok()) {
        Some(length) => {
            let body: Option<&[u8]> = body.get(..length);
            body.ok_or_else(|| broken("the answer broke off in its body"))?.to_vec()
        }
        None if answer.header("transfer-encoding") == Some("chunked") => {
            unchunk(body).ok_or_else(|| broken("the answer broke off between its chunks"))?
        }
        None => body.to_vec(),
    };
    answer.body = String::from_utf8_lossy(&body).into_owned();
    Ok(answer)
}

/// The body of an answer that came in chunks, if it is complete.
fn unchunk(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..line]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        let rest = bytes.get(line + 2..)?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        bytes = rest.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_answer_is_read_and_a_torn_one_is_none() {
        let whole =
            b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}";
        let answer = parse(whole).expect("complete");
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("1")));
        assert_eq!(answer.json(), serde_json::json!({}));
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn chunks_are_put_together() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = parse(format!("{head}3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n").as_bytes());
        assert_eq!(answer.expect("complete").body, "abcde");
        assert!(parse(format!("{head}3\r\nabc\r\n").as_bytes()).is_err());
    }
}

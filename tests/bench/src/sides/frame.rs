//! Messages on a stream: a topic and a payload, each behind its length.

use std::io::{self, Read};

/// The longest topic and payload that are read, in bytes; more than any message has.
const BYTES_MAX: usize = 1024 * 1024;

/// A message as bytes.
pub fn encode(topic: &str, payload: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = Vec::with_capacity(8 + topic.len() + payload.len());
    bytes.extend(length(topic.len()));
    bytes.extend(length(payload.len()));
    bytes.extend(topic.as_bytes());
    bytes.extend(payload);
    bytes
}

/// The lengths of topic and payload that a message begins with.
pub fn lengths(head: [u8; 8]) -> io::Result<(usize, usize)> {
    let [a, b, c, d, e, f, g, h] = head;
    let length = |bytes| u32::from_le_bytes(bytes) as usize;
    let (topic, payload) = (length([a, b, c, d]), length([e, f, g, h]));
    let sane = topic <= BYTES_MAX && payload <= BYTES_MAX;
    sane.then_some((topic, payload)).ok_or_else(|| io::Error::other("no message begins like this"))
}

/// Topic and payload out of the bytes behind the head.
pub fn split(mut bytes: Vec<u8>, topic: usize) -> io::Result<(String, Vec<u8>)> {
    let payload = bytes.split_off(topic);
    String::from_utf8(bytes).map(|topic| (topic, payload)).map_err(io::Error::other)
}

/// Reads one message.
pub fn read(stream: &mut impl Read) -> io::Result<(String, Vec<u8>)> {
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let (topic, payload) = lengths(head)?;
    let mut bytes = vec![0; topic + payload];
    stream.read_exact(&mut bytes)?;
    split(bytes, topic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_stream() {
        let mut bytes = encode("a/up", b"one");
        bytes.extend(encode("", b""));
        let mut stream = bytes.as_slice();
        assert_eq!(read(&mut stream).expect("one"), ("a/up".to_owned(), b"one".to_vec()));
        assert_eq!(read(&mut stream).expect("another"), (String::new(), Vec::new()));
        assert!(read(&mut stream).is_err(), "there are no more");
        assert!(lengths([0xff; 8]).is_err());
    }
}

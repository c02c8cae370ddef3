//! Of what a log holds, what goes into one message: text for the wire, whole characters where
//! that is possible, and gaps. Computes; reads nothing.

use shared::time::Timestamp;
use shared::wire::uplink::{LogPiece as Sent, LogStream};

use crate::exec::{LogPiece as Read, Stream};

/// The most bytes that are read for one message. Even if each has to be escaped as six characters
/// of JSON, the message stays within its bound, with all that is around the text.
pub(super) const READ_BYTES_MAX: usize = 24 * 1024;
/// The most pieces in one message.
const PIECES_MAX: usize = 256;

/// The first bytes of a character whose others were not read yet.
struct Begun {
    offset: u64,
    at: Timestamp,
    stream: Stream,
    bytes: Vec<u8>,
}

/// Makes pieces for a message of what was read; `base` is added to all offsets. A character of
/// which the rest may still come is left out at the end, unless `is_all` says that nothing comes.
pub(super) fn pieces_of(read: Vec<Read>, base: u64, is_all: bool) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut begun: Option<Begun> = None;
    for piece in read {
        match piece {
            Read::Gap { offset, bytes } => {
                sent.extend(begun.take().map(|begun| text_of(begun, base)));
                sent.push(Sent::Gap { offset: offset.saturating_add(base), bytes });
            }
            Read::Data { offset, at, stream, bytes } => {
                let mut now = Begun { offset, at, stream, bytes };
                match begun.take() {
                    Some(before) if before.stream == stream => now = before.and(now),
                    other => sent.extend(other.map(|begun| text_of(begun, base))),
                }
                begun = now.split();
                if !now.bytes.is_empty() {
                    sent.push(text_of(now, base));
                }
            }
        }
    }
    sent.extend(begun.filter(|_| is_all).map(|begun| text_of(begun, base)));
    sent.truncate(PIECES_MAX);
    sent
}

impl Begun {
    /// This with what follows it in the same stream.
    fn and(mut self, next: Self) -> Self {
        self.bytes.extend(next.bytes);
        self
    }

    /// Cuts off the beginning of a character at the end.
    fn split(&mut self) -> Option<Self> {
        let begun = begun_at_the_end(&self.bytes);
        let whole = self.bytes.len() - begun;
        let bytes = self.bytes.split_off(whole);
        let offset = self.offset.saturating_add(whole as u64);
        (begun > 0).then_some(Self { offset, at: self.at, stream: self.stream, bytes })
    }
}

/// How many bytes at the end are the beginning of a character that is longer.
fn begun_at_the_end(bytes: &[u8]) -> usize {
    for (back, byte) in (1..=3).zip(bytes.iter().rev()) {
        let length = match byte {
            0b1100_0000..=0b1101_1111 => 2,
            0b1110_0000..=0b1110_1111 => 3,
            0b1111_0000..=0b1111_0111 => 4,
            0b1000_0000..=0b1011_1111 => continue,
            _ => 1,
        };
        return if length > back { back } else { 0 };
    }
    0
}

fn text_of(Begun { offset, at, stream, bytes }: Begun, base: u64) -> Sent {
    Sent::Text {
        offset: offset.saturating_add(base),
        bytes: bytes.len() as u64,
        at,
        stream: match stream {
            Stream::Stdout => LogStream::Stdout,
            Stream::Stderr => LogStream::Stderr,
        },
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use shared::id::AssignmentId;
    use shared::wire::uplink::LogChunk;
    use shared::wire::{Uplink, encode};

    use super::*;

    fn data(offset: u64, stream: Stream, bytes: &[u8]) -> Read {
        Read::Data { offset, at: Timestamp(1), stream, bytes: bytes.to_vec() }
    }

    fn texts(sent: &[Sent]) -> Vec<(u64, u64, &str)> {
        let mut texts = Vec::new();
        for piece in sent {
            texts.push(match piece {
                Sent::Text { offset, bytes, text, .. } => (*offset, *bytes, text.as_str()),
                Sent::Gap { offset, bytes } => (*offset, *bytes, "gap"),
            });
        }
        texts
    }

    #[test]
    fn a_character_that_was_cut_by_chance_is_put_together_again() {
        use Stream::{Stderr, Stdout};
        let euro = "€".as_bytes();
        let read = vec![data(0, Stdout, &[b'a', euro[0]]), data(2, Stdout, &euro[1..])];
        assert_eq!(texts(&pieces_of(read.clone(), 100, false)), [(100, 1, "a"), (101, 3, "€")]);
        let open = vec![data(0, Stdout, &[b'a', euro[0], euro[1]])];
        assert_eq!(texts(&pieces_of(open.clone(), 0, false)), [(0, 1, "a")], "the rest may come");
        assert_eq!(texts(&pieces_of(open, 0, true)), [(0, 1, "a"), (1, 2, "\u{fffd}")]);
        // Something else came between.
        let cut = vec![data(0, Stdout, &euro[..1]), data(1, Stderr, b"x"), data(2, Stdout, b"y")];
        let sent = pieces_of(cut, 0, false);
        assert_eq!(texts(&sent), [(0, 1, "\u{fffd}"), (1, 1, "x"), (2, 1, "y")]);
        let lost = vec![data(0, Stdout, &euro[..2]), Read::Gap { offset: 2, bytes: 9 }];
        assert_eq!(texts(&pieces_of(lost, 0, false)), [(0, 2, "\u{fffd}"), (2, 9, "gap")]);
        assert!(pieces_of(vec![data(7, Stdout, &euro[..1])], 0, false).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_follow_one_another_and_every_message_fits(
            written in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(any::<u8>(), 1..400)), 1..400
            ),
            is_all: bool,
        ) {
            let (mut read, mut offset) = (Vec::new(), 0);
            for (out, bytes) in &written {
                let room = READ_BYTES_MAX - usize::try_from(offset).expect("small");
                let bytes = &bytes[..bytes.len().min(room)];
                if bytes.is_empty() {
                    break;
                }
                let stream = if *out { Stream::Stdout } else { Stream::Stderr };
                read.push(data(offset, stream, bytes));
                offset += bytes.len() as u64;
            }
            let pieces = pieces_of(read, 0, is_all);
            let mut next = 0;
            for piece in &pieces {
                let (Sent::Text { offset, .. } | Sent::Gap { offset, .. }) = piece;
                prop_assert_eq!(*offset, next);
                next = piece.end();
            }
            let left_out = if is_all { 0 } else { 3 };
            prop_assert!(pieces.len() == PIECES_MAX || offset - next <= left_out);
            let assignment: AssignmentId =
                "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b.2".parse().expect("an id");
            let message = Uplink::Logs(LogChunk { assignment, pieces, last: false });
            prop_assert!(encode(&message).is_ok());
        }

        #[test]
        fn text_survives_however_it_was_cut(
            text in "[aäö€𝄞\n]{0,200}", cuts in prop::collection::vec(1_usize..9, 0..100)
        ) {
            let (mut read, mut rest, mut offset) = (Vec::new(), text.as_bytes(), 0);
            for length in cuts.into_iter().chain([usize::MAX]) {
                let (now, later) = rest.split_at(length.min(rest.len()));
                if !now.is_empty() {
                    read.push(data(offset, Stream::Stdout, now));
                }
                (rest, offset) = (later, offset + now.len() as u64);
            }
            let pieces = pieces_of(read, 0, true);
            let all: String = texts(&pieces).into_iter().map(|(_, _, text)| text).collect();
            prop_assert_eq!(all, text);
        }
    }
}

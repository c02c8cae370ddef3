//! Pieces of text: what of a chunk is new, and rows of a bounded size made of it. Pure.

use serde::{Deserialize, Serialize};
use shared::time::Timestamp;
use shared::wire::uplink::{LogPiece, LogStream};

use super::{LogDrop, LogRow, PIECE_COST, ROW_COST_MAX};

/// The farthest end that a column can hold.
const END_MAX: u64 = i64::MAX.cast_unsigned();
/// How much longer than what was written its text can be: each byte that is not UTF-8 may have
/// become a character of three.
const TEXT_PER_BYTE_MAX: u64 = 3;

/// A piece of what an attempt wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub struct TextPiece {
    /// Where it begins.
    pub offset: u64,
    /// How many bytes were written.
    pub bytes: u64,
    /// When, by the agent's wall clock.
    pub at: Timestamp,
    /// To which stream.
    pub stream: LogStream,
    /// What, with whatever is not UTF-8 replaced.
    pub text: String,
}

/// A piece as it is stored: without names, of which a log of short lines would consist otherwise.
type Stored = (u64, u64, i64, LogStream, String);

impl From<Stored> for TextPiece {
    fn from((offset, bytes, at, stream, text): Stored) -> Self {
        Self { offset, bytes, at: Timestamp(at), stream, text }
    }
}

impl From<TextPiece> for Stored {
    fn from(piece: TextPiece) -> Self {
        (piece.offset, piece.bytes, piece.at.0, piece.stream, piece.text)
    }
}

impl TextPiece {
    /// Where it ends.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes)
    }

    /// What it costs to keep, in bytes.
    fn cost(&self) -> u64 {
        self.text.len() as u64 + PIECE_COST
    }

    /// The piece from an offset within it on. Where bytes were replaced, which byte became which
    /// character is not known: then a little is told twice rather than lost.
    fn cut_at(mut self, offset: u64) -> Self {
        let rest = self.end().saturating_sub(offset);
        let mut from = self.text.len();
        let mut counted = 0;
        for (index, letter) in self.text.char_indices().rev() {
            if counted >= rest {
                break;
            }
            counted +=
                if letter == char::REPLACEMENT_CHARACTER { 1 } else { letter.len_utf8() as u64 };
            from = index;
        }
        self.text.drain(..from);
        (self.offset, self.bytes) = (offset, rest);
        self
    }

    /// Cuts a piece off its front that costs no more than a row may.
    fn split(&mut self) -> Option<Self> {
        if self.cost() <= ROW_COST_MAX {
            return None;
        }
        let mut at = (ROW_COST_MAX - PIECE_COST) as usize;
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let rest = self.text.split_off(at);
        let all = (self.text.len() + rest.len()) as u128;
        // Exact where nothing was replaced, and in proportion otherwise.
        let share = self.text.len() as u128 * u128::from(self.bytes) / all.max(1);
        let bytes = u64::try_from(share).unwrap_or(self.bytes).min(self.bytes.saturating_sub(1));
        let front = Self { bytes, text: std::mem::replace(&mut self.text, rest), ..*self };
        self.offset += bytes;
        self.bytes -= bytes;
        Some(front)
    }
}

/// What of a chunk is new.
pub(super) struct Fresh {
    /// The text.
    pub(super) pieces: Vec<TextPiece>,
    /// Where it ends.
    pub(super) upto: u64,
}

/// What of a chunk is new to a store that has everything before `upto`. `may_skip` says that what
/// lies before the chunk will never come.
pub(super) fn fresh_of(chunk: &[LogPiece], upto: u64, may_skip: bool) -> Result<Fresh, LogDrop> {
    check(chunk)?;
    let Some(begin) = chunk.first().map(begin) else {
        return Ok(Fresh { pieces: Vec::new(), upto });
    };
    if begin > upto && !may_skip {
        return Err(LogDrop::Gap);
    }
    let end = chunk.last().map_or(upto, LogPiece::end);
    let pieces = chunk.iter().filter(|piece| piece.end() > upto).filter_map(text_of);
    let pieces = pieces.filter(|piece| piece.bytes > 0);
    let cut = |piece: TextPiece| match piece.offset < upto {
        true => piece.cut_at(upto),
        false => piece,
    };
    Ok(Fresh { pieces: pieces.map(cut).collect(), upto: end.max(upto) })
}

fn begin(piece: &LogPiece) -> u64 {
    let (LogPiece::Text { offset, .. } | LogPiece::Gap { offset, .. }) = piece;
    *offset
}

fn text_of(piece: &LogPiece) -> Option<TextPiece> {
    match piece.clone() {
        LogPiece::Text { offset, bytes, at, stream, text } => {
            Some(TextPiece { offset, bytes, at, stream, text })
        }
        LogPiece::Gap { .. } => None,
    }
}

/// Whether the pieces follow one another, and their texts can be what they say.
fn check(chunk: &[LogPiece]) -> Result<(), LogDrop> {
    let sound = |piece: &LogPiece| {
        let (LogPiece::Text { offset, bytes, .. } | LogPiece::Gap { offset, bytes }) = piece;
        let length = match piece {
            LogPiece::Text { text, .. } => text.len() as u64,
            LogPiece::Gap { .. } => 0,
        };
        offset.checked_add(*bytes).is_some_and(|end| end <= END_MAX)
            && length <= bytes.saturating_mul(TEXT_PER_BYTE_MAX)
    };
    let follows = |pair: &[LogPiece]| pair[0].end() == begin(&pair[1]);
    match chunk.iter().all(sound) && chunk.windows(2).all(follows) {
        true => Ok(()),
        false => Err(LogDrop::Malformed),
    }
}

/// Puts pieces into rows, none of which costs more than a row may.
pub(super) fn rows_of(pieces: Vec<TextPiece>) -> Vec<LogRow> {
    let mut rows: Vec<LogRow> = Vec::new();
    let mut add = |piece: TextPiece| {
        let cost = piece.cost();
        match rows.last_mut().filter(|row| row.cost + cost <= ROW_COST_MAX) {
            Some(row) => {
                row.cost += cost;
                row.pieces.push(piece);
            }
            None => rows.push(LogRow { pieces: vec![piece], cost }),
        }
    };
    for mut piece in pieces {
        while let Some(front) = piece.split() {
            add(front);
        }
        add(piece);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(offset: u64, written: &[u8]) -> LogPiece {
        LogPiece::Text {
            offset,
            bytes: written.len() as u64,
            at: Timestamp(1),
            stream: LogStream::Stdout,
            text: String::from_utf8_lossy(written).into_owned(),
        }
    }

    fn fresh(chunk: &[LogPiece], upto: u64) -> Vec<(u64, u64, String)> {
        let fresh = fresh_of(chunk, upto, false).expect("taken");
        fresh.pieces.into_iter().map(|piece| (piece.offset, piece.bytes, piece.text)).collect()
    }

    #[test]
    fn what_is_known_already_is_cut_off() {
        let chunk = [text(0, b"hello "), text(6, "wörld\n".as_bytes())];
        let piece = |offset, bytes, text: &str| (offset, bytes, text.to_owned());
        assert_eq!(fresh(&chunk, 0), [piece(0, 6, "hello "), piece(6, 7, "wörld\n")]);
        assert_eq!(fresh(&chunk, 2), [piece(2, 4, "llo "), piece(6, 7, "wörld\n")]);
        assert_eq!(fresh(&chunk, 6), [piece(6, 7, "wörld\n")]);
        assert_eq!(fresh(&chunk, 7), [piece(7, 6, "örld\n")]);
        // Within a letter: the whole of it, rather than nothing.
        assert_eq!(fresh(&chunk, 8), [piece(8, 5, "örld\n")]);
        assert_eq!(fresh(&chunk, 13), []);
        assert_eq!(fresh_of(&chunk, 99, false).expect("taken").upto, 99, "nothing goes back");
    }

    #[test]
    fn what_comes_too_early_waits_for_what_is_missing() {
        let chunk = [text(5, b"x")];
        assert_eq!(fresh_of(&chunk, 4, false).err(), Some(LogDrop::Gap));
        assert_eq!(fresh_of(&chunk, 4, true).expect("will never come").upto, 6);
        let gap = [LogPiece::Gap { offset: 0, bytes: 5 }, text(5, b"x")];
        let fresh = fresh_of(&gap, 0, false).expect("said to be missing");
        assert_eq!((fresh.pieces.len(), fresh.upto), (1, 6));
        assert_eq!(fresh_of(&[], 4, false).expect("nothing new").upto, 4);
    }

    #[test]
    fn pieces_that_cannot_be_are_refused() {
        let long = |bytes, text: &str| LogPiece::Text {
            offset: 0,
            bytes,
            at: Timestamp(1),
            stream: LogStream::Stderr,
            text: text.to_owned(),
        };
        for chunk in [
            vec![text(0, b"ab"), text(3, b"c")],
            vec![text(0, b"ab"), text(1, b"c")],
            vec![long(1, "four")],
            vec![long(0, "x")],
            vec![LogPiece::Gap { offset: u64::MAX, bytes: 1 }],
            vec![LogPiece::Gap { offset: 1, bytes: END_MAX }],
        ] {
            assert_eq!(fresh_of(&chunk, 0, true).err(), Some(LogDrop::Malformed), "{chunk:?}");
        }
        assert!(fresh_of(&[long(1, "\u{fffd}")], 0, true).is_ok());
        assert_eq!(fresh(&[long(0, ""), long(1, "x"), text(1, b"")], 0).len(), 1);
    }

    proptest! {
        #[test]
        fn rows_hold_every_letter_in_order_and_none_costs_too_much(
            written in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40_000), 0..5)
        ) {
            let mut offset = 0;
            let mut chunk = Vec::new();
            for bytes in &written {
                chunk.push(text(offset, bytes));
                offset += bytes.len() as u64;
            }
            let fresh = fresh_of(&chunk, 0, false).expect("sound");
            let all: String = fresh.pieces.iter().map(|piece| piece.text.as_str()).collect();
            let rows = rows_of(fresh.pieces);
            let mut end = 0;
            let mut kept = String::new();
            for row in &rows {
                prop_assert!(row.cost <= ROW_COST_MAX);
                prop_assert_eq!(row.cost, row.pieces.iter().map(TextPiece::cost).sum::<u64>());
                for piece in &row.pieces {
                    prop_assert!(piece.offset == end && piece.bytes > 0);
                    end = piece.end();
                    kept.push_str(&piece.text);
                }
            }
            prop_assert_eq!((end, kept), (offset, all));
        }

        #[test]
        fn a_log_sent_in_overlapping_chunks_is_kept_as_written(
            written in "[a-zäöü\n]{1,200}",
            cuts in prop::collection::vec((0_usize..200, 1_usize..80), 0..40)
        ) {
            let bytes = written.as_bytes();
            let boundary = |mut at: usize| {
                while !written.is_char_boundary(at) {
                    at -= 1;
                }
                at
            };
            let mut upto = 0;
            let mut kept = String::new();
            let whole = std::iter::once((0, bytes.len()));
            for (from, length) in cuts.into_iter().chain(whole) {
                let from = boundary(from.min(bytes.len() - 1));
                let to = boundary((from + length).min(bytes.len()));
                if to <= from {
                    continue;
                }
                if let Ok(fresh) = fresh_of(&[text(from as u64, &bytes[from..to])], upto, false) {
                    upto = fresh.upto;
                    kept.extend(fresh.pieces.into_iter().map(|piece| piece.text));
                }
            }
            prop_assert_eq!(kept, written);
        }
    }
}

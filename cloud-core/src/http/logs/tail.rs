//! Where the last lines of a log begin: counted from its end, row by row, so that the rest is not
//! read. Pure, over whatever gives the pieces before an offset.

use shared::wire::uplink::LogStream;

use super::tell::Start;
use crate::store::TextPiece;

/// Counts lines from the end.
#[derive(Debug)]
pub(super) struct Tail {
    /// How many more beginnings of lines to go past.
    left: u64,
    stream: Option<LogStream>,
    /// Whether anything was looked at: the newline at the very end begins no line.
    any: bool,
    /// Where what was looked at begins.
    begin: Option<u64>,
    /// Where something is missing, behind what is looked at next: it ends the line.
    hole: Option<u64>,
}

impl Tail {
    pub(super) fn of(lines: u64, stream: Option<LogStream>) -> Self {
        Self { left: lines, stream, any: false, begin: None, hole: None }
    }

    /// Goes past pieces that lie before those looked at so far. Where the lines begin, once that is
    /// known.
    pub(super) fn look(&mut self, pieces: &[TextPiece]) -> Option<Start> {
        for piece in pieces.iter().rev() {
            let behind = self.begin.replace(piece.offset);
            self.hole = behind.filter(|behind| *behind > piece.end()).or(self.hole);
            if self.stream.is_some_and(|stream| stream != piece.stream) {
                continue;
            }
            if self.left == 0 {
                return Some(Start { from: piece.end(), skip: 0 });
            }
            if let Some(behind) = self.hole.take()
                && self.any
                && !piece.text.ends_with('\n')
                && self.is_line()
            {
                return Some(Start { from: behind, skip: 0 });
            }
            for (index, byte) in piece.text.bytes().enumerate().rev() {
                if byte == b'\n' && self.any && self.is_line() {
                    return Some(start_behind(piece, index));
                }
                self.any = true;
            }
        }
        None
    }

    /// Goes past the beginning of a line; whether that was the last one.
    fn is_line(&mut self) -> bool {
        self.left -= 1;
        self.left == 0
    }
}

fn start_behind(piece: &TextPiece, index: usize) -> Start {
    match index + 1 == piece.text.len() {
        true => Start { from: piece.end(), skip: 0 },
        false => Start { from: piece.offset, skip: index + 1 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared::time::Timestamp;

    fn pieces(texts: &[String]) -> Vec<TextPiece> {
        let mut offset = 0;
        let mut pieces = Vec::new();
        for text in texts.iter().filter(|text| !text.is_empty()) {
            let (bytes, text) = (text.len() as u64, text.clone());
            let (at, stream) = (Timestamp(0), LogStream::Stdout);
            pieces.push(TextPiece { offset, bytes, at, stream, text });
            offset += bytes;
        }
        pieces
    }

    /// What is left of the pieces from a start on.
    fn from(pieces: &[TextPiece], start: Start) -> String {
        let rest = pieces.iter().filter(|piece| piece.offset >= start.from);
        rest.map(|piece| match piece.offset == start.from {
            true => &piece.text[start.skip..],
            false => &piece.text,
        })
        .collect()
    }

    proptest! {
        #[test]
        fn the_last_lines_are_the_last_lines(
            texts in prop::collection::vec("[a\n]{0,6}", 0..8),
            lines in 1_u64..12,
            rows in 1_usize..4
        ) {
            let pieces = pieces(&texts);
            let written = texts.concat();
            let mut tail = Tail::of(lines, None);
            let chunks: Vec<&[TextPiece]> = pieces.chunks(rows).collect();
            let start = chunks.iter().rev().find_map(|row| tail.look(row)).unwrap_or_default();
            let all: Vec<&str> = written.split_inclusive('\n').collect();
            let kept = all.len().saturating_sub(usize::try_from(lines).expect("few"));
            prop_assert_eq!(from(&pieces, start), all[kept..].concat());
        }
    }

    #[test]
    fn no_lines_begin_at_the_end() {
        let pieces = pieces(&["one\n".to_owned(), "two".to_owned()]);
        assert_eq!(Tail::of(0, None).look(&pieces), Some(Start { from: 7, skip: 0 }));
    }

    #[test]
    fn what_is_missing_ends_a_line() {
        let mut pieces = pieces(&["one\ntw", "o\n", "three\n"].map(str::to_owned));
        for piece in &mut pieces[1..] {
            piece.offset += 100;
        }
        let start = |lines| Tail::of(lines, None).look(&pieces);
        assert_eq!(start(1), Some(Start { from: 108, skip: 0 }));
        assert_eq!(start(2), Some(Start { from: 106, skip: 0 }));
        assert_eq!(start(3), Some(Start { from: 0, skip: 4 }));
        assert_eq!(start(4), None);
    }

    #[test]
    fn only_lines_of_the_stream_count() {
        let mut pieces = pieces(&["a\n", "b\n", "c\n", "d\n"].map(str::to_owned));
        pieces[2].stream = LogStream::Stderr;
        let start = Tail::of(2, Some(LogStream::Stdout)).look(&pieces);
        assert_eq!(start, Some(Start { from: 2, skip: 0 }));
    }
}

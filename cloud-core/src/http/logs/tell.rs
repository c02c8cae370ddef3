//! Pieces of a log as a client reads them: which of them are shown, in which form, and where
//! something is missing. Pure.

use shared::api::{LogGap, LogRecord, LogText};
use shared::id::Attempt;
use shared::time::Timestamp;
use shared::wire::uplink::LogStream;

use super::{Format, Wish};
use crate::store::TextPiece;

/// Where to begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Start {
    /// The piece.
    pub(super) from: u64,
    /// How many bytes of its text to leave out.
    pub(super) skip: usize,
}

/// Tells the log of one attempt after the other.
#[derive(Debug)]
pub(super) struct Teller {
    format: Format,
    stream: Option<LogStream>,
    since: Option<Timestamp>,
    attempt: Attempt,
    start: Start,
    /// Up to where the attempt's log is told.
    told: u64,
    /// Whether what is missing is told of: not before the first thing that is shown of a part.
    gaps: bool,
    /// How many of them were told since that was last asked.
    gaps_told: u64,
    /// Whether text was told that did not end its line.
    within_line: bool,
}

impl Teller {
    pub(super) fn new(wish: &Wish) -> Self {
        Self {
            format: wish.format,
            stream: wish.stream,
            since: wish.since,
            attempt: Attempt(0),
            start: Start::default(),
            told: 0,
            gaps: wish.since.is_none(),
            gaps_told: 0,
            within_line: false,
        }
    }

    /// Begins with an attempt.
    pub(super) fn begin(&mut self, attempt: Attempt, start: Start) {
        (self.attempt, self.start, self.told) = (attempt, start, start.from);
    }

    /// Up to where the attempt's log is told.
    pub(super) fn told(&self) -> u64 {
        self.told
    }

    /// How many gaps were told since this was last asked.
    pub(super) fn take_gaps_told(&mut self) -> u64 {
        std::mem::take(&mut self.gaps_told)
    }

    /// Tells a piece, and what is missing before it.
    pub(super) fn piece(&mut self, mut piece: TextPiece, out: &mut Vec<u8>) {
        self.missing_before(piece.offset, out);
        self.told = piece.end();
        let shown = self.stream.is_none_or(|stream| stream == piece.stream)
            && self.since.is_none_or(|since| piece.at >= since);
        if !shown {
            return;
        }
        self.gaps = true;
        if piece.offset == self.start.from && self.start.skip > 0 {
            skip(&mut piece, self.start.skip);
        }
        if piece.text.is_empty() {
            return;
        }
        self.within_line = !piece.text.ends_with('\n');
        match self.format {
            Format::Text => out.extend_from_slice(piece.text.as_bytes()),
            Format::Records => {
                let TextPiece { offset, at, stream, text, .. } = piece;
                let attempt = self.attempt;
                record(&LogRecord::Text(LogText { attempt, offset, at, stream, text }), out);
            }
        }
    }

    /// Tells that everything up to an offset was told, or is missing.
    pub(super) fn missing_before(&mut self, offset: u64, out: &mut Vec<u8>) {
        let gap_bytes = offset.saturating_sub(self.told);
        if gap_bytes == 0 {
            return;
        }
        let begin = std::mem::replace(&mut self.told, offset);
        if !self.gaps {
            return;
        }
        self.gaps_told += 1;
        match self.format {
            Format::Text => {
                if std::mem::take(&mut self.within_line) {
                    out.push(b'\n');
                }
                out.extend_from_slice(format!("[… {gap_bytes} bytes missing …]\n").as_bytes());
            }
            Format::Records => {
                let attempt = self.attempt;
                record(&LogRecord::Gap(LogGap { attempt, offset: begin, gap_bytes }), out);
            }
        }
    }

    /// What keeps an idle connection open: an empty line, which no record is. In plain text it
    /// would be a part of the log.
    pub(super) fn heartbeat(&self) -> Option<&'static [u8]> {
        (self.format == Format::Records).then_some(b"\n")
    }
}

/// Leaves out the first bytes of a piece's text.
fn skip(piece: &mut TextPiece, skip: usize) {
    let all = piece.text.len() as u64;
    // Exact where nothing was replaced, and in proportion otherwise.
    let bytes = piece.bytes.saturating_mul(skip as u64) / all.max(1);
    piece.text = piece.text.get(skip..).unwrap_or_default().to_owned();
    piece.offset += bytes;
}

fn record(record: &LogRecord, out: &mut Vec<u8>) {
    // Numbers and texts can always be written, and a vector takes them.
    if serde_json::to_writer(&mut *out, record).is_ok() {
        out.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Wish = Wish {
        attempt: None,
        stream: None,
        since: None,
        tail: None,
        follow: false,
        format: Format::Text,
    };

    fn pieces() -> Vec<TextPiece> {
        let piece = |offset: u64, at, stream, text: &str| TextPiece {
            offset,
            bytes: text.len() as u64,
            at: Timestamp(at),
            stream,
            text: text.to_owned(),
        };
        vec![
            piece(10, 100, LogStream::Stdout, "one\ntw"),
            piece(16, 200, LogStream::Stderr, "oh\n"),
            piece(30, 300, LogStream::Stdout, "o\n"),
        ]
    }

    fn told(wish: Wish, start: Start) -> String {
        let mut teller = Teller::new(&wish);
        teller.begin(Attempt(2), start);
        let mut out = Vec::new();
        for piece in pieces().into_iter().filter(|piece| piece.end() > start.from) {
            teller.piece(piece, &mut out);
        }
        teller.missing_before(40, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn plain_text_is_what_was_written_with_lines_for_what_is_missing() {
        assert_eq!(
            told(ALL, Start::default()),
            "[… 10 bytes missing …]\none\ntwoh\n[… 11 bytes missing …]\no\n[… 8 bytes missing …]\n"
        );
        let only = Wish { stream: Some(LogStream::Stdout), ..ALL };
        assert_eq!(
            told(only, Start::default()),
            "[… 10 bytes missing …]\none\ntw\n[… 11 bytes missing …]\no\n[… 8 bytes missing …]\n",
            "a line that something is missing from ends there"
        );
    }

    #[test]
    fn a_part_of_a_log_does_not_begin_with_what_is_missing() {
        let since = Wish { since: Some(Timestamp(150)), ..ALL };
        assert_eq!(
            told(since, Start::default()),
            "oh\n[… 11 bytes missing …]\no\n[… 8 bytes missing …]\n"
        );
        let late = Wish { since: Some(Timestamp(999)), ..ALL };
        assert_eq!(told(late, Start::default()), "");
        let start = Start { from: 10, skip: 4 };
        assert!(told(ALL, start).starts_with("twoh\n[…"), "{}", told(ALL, start));
    }

    #[test]
    fn records_say_where_they_belong() {
        let records = told(Wish { format: Format::Records, ..ALL }, Start { from: 10, skip: 4 });
        let lines: Vec<&str> = records.lines().collect();
        assert_eq!(
            lines,
            [
                r#"{"attempt":2,"offset":14,"at":"1970-01-01T00:00:00.100Z","stream":"stdout","text":"tw"}"#,
                r#"{"attempt":2,"offset":16,"at":"1970-01-01T00:00:00.200Z","stream":"stderr","text":"oh\n"}"#,
                r#"{"attempt":2,"offset":19,"gap_bytes":11}"#,
                r#"{"attempt":2,"offset":30,"at":"1970-01-01T00:00:00.300Z","stream":"stdout","text":"o\n"}"#,
                r#"{"attempt":2,"offset":32,"gap_bytes":8}"#,
            ]
        );
    }
}

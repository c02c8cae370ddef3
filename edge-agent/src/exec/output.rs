//! What a task writes, kept within bounds: the end of it in memory and two halves of a log on
//! disk. However much comes, neither grows, and a disk that refuses never stops the task.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// The last bytes of a stream.
#[derive(Debug)]
pub struct Tail {
    kept: Vec<u8>,
    limit: usize,
    total_bytes: u64,
}

impl Tail {
    /// A tail that keeps `limit` bytes and uses at most twice as much memory.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { kept: Vec::new(), limit, total_bytes: 0 }
    }

    /// Takes what the stream said next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total_bytes = self.total_bytes.saturating_add(bytes.len() as u64);
        let bytes = &bytes[bytes.len().saturating_sub(self.limit)..];
        // Moving the kept bytes only once per `limit` bytes keeps the cost per byte constant.
        if self.kept.len() + bytes.len() > 2 * self.limit {
            let surplus = (self.kept.len() + bytes.len()).saturating_sub(self.limit);
            self.kept.drain(..surplus.min(self.kept.len()));
        }
        self.kept.extend_from_slice(bytes);
    }

    /// The text, at most `limit` bytes of UTF-8 that begin with a whole character, and whether
    /// the stream said more. What is not UTF-8 is replaced by U+FFFD.
    #[must_use]
    pub fn finish(self) -> (String, bool) {
        let mut from = self.kept.len().saturating_sub(self.limit);
        if self.total_bytes > (self.kept.len() - from) as u64 {
            // A character of UTF-8 has at most three bytes after its first.
            let continues = |byte: &&u8| (**byte & 0b1100_0000) == 0b1000_0000;
            from += self.kept[from..].iter().take(3).take_while(continues).count();
        }
        let text = String::from_utf8_lossy(&self.kept[from..]);
        // Replacing makes it longer.
        let mut start = text.len().saturating_sub(self.limit);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        let truncated = start > 0 || self.total_bytes > (self.kept.len() - from) as u64;
        (text[start..].to_owned(), truncated)
    }
}

/// A stream on disk: two files of half the bound each, the older of which is replaced.
#[derive(Debug)]
pub struct BoundedLog {
    older: PathBuf,
    newer: PathBuf,
    half_bytes: usize,
    file: Option<File>,
    written_bytes: usize,
    given_up: bool,
}

impl BoundedLog {
    /// A log in `[older, newer]` of at most `bytes_max` in all. No file exists until something
    /// is written: most tasks are silent, and flash wears.
    #[must_use]
    pub fn new([older, newer]: [PathBuf; 2], bytes_max: usize) -> Self {
        let half_bytes = (bytes_max / 2).max(1);
        Self { older, newer, half_bytes, file: None, written_bytes: 0, given_up: false }
    }

    /// Takes what the stream said next. When the disk refuses, the rest is not logged.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.given_up {
            self.given_up = self.write(bytes).is_err();
        }
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            if self.written_bytes >= self.half_bytes {
                self.file = None;
                fs::rename(&self.newer, &self.older)?;
            }
            let file = match &mut self.file {
                Some(file) => file,
                closed => {
                    let mut options = OpenOptions::new();
                    let options = options.write(true).create(true).truncate(true).mode(0o600);
                    self.written_bytes = 0;
                    closed.insert(options.open(&self.newer)?)
                }
            };
            let room = (self.half_bytes - self.written_bytes).min(bytes.len());
            file.write_all(&bytes[..room])?;
            self.written_bytes += room;
            bytes = &bytes[room..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(limit: usize, chunks: &[&[u8]]) -> (String, bool) {
        let mut tail = Tail::new(limit);
        for chunk in chunks {
            tail.push(chunk);
            assert!(tail.kept.len() <= 2 * limit);
        }
        tail.finish()
    }

    #[test]
    fn a_tail_is_the_end_and_says_whether_there_was_more() {
        assert_eq!(tail(4, &[]), (String::new(), false));
        assert_eq!(tail(4, &[b"abcd"]), ("abcd".to_owned(), false));
        assert_eq!(tail(4, &[b"abcde"]), ("bcde".to_owned(), true));
        assert_eq!(tail(4, &[b"ab", b"cd", b"ef", b"gh", b"ij"]), ("ghij".to_owned(), true));
        assert_eq!(tail(4, &[b"abc", b"defghijk"]), ("hijk".to_owned(), true));
        assert_eq!(tail(0, &[b"a"]), (String::new(), true));
        assert_eq!(tail(0, &[]), (String::new(), false));
    }

    #[test]
    fn every_chunking_gives_the_same_tail() {
        let all: Vec<u8> = (0..200).map(|n| b'a' + n % 26).collect();
        for limit in 1..40 {
            for size in 1..60 {
                let chunks: Vec<&[u8]> = all.chunks(size).collect();
                let expected = String::from_utf8(all[all.len() - limit..].to_vec()).expect("ascii");
                assert_eq!(tail(limit, &chunks), (expected, true), "{limit} {size}");
            }
        }
    }

    #[test]
    fn a_tail_begins_with_a_whole_character_and_stays_within_its_limit() {
        for limit in 0..12 {
            let (text, truncated) = tail(limit, &["aäö€𝄞ü€".as_bytes()]);
            assert!(text.len() <= limit && truncated);
            assert!("aäö€𝄞ü€".ends_with(&text), "{limit}: {text}");
            let (text, truncated) = tail(limit, &[&[0xff; 9]]);
            assert!(text.len() <= limit && truncated);
            assert_eq!(text.chars().filter(|&c| c != '\u{fffd}').count(), 0);
        }
        assert_eq!(tail(3, &["€".as_bytes()]), ("€".to_owned(), false));
        // Continuation bytes that the task itself began with are its own.
        assert_eq!(tail(9, &[&[0x80, b'a']]), ("\u{fffd}a".to_owned(), false));
    }

    #[test]
    fn a_log_stays_within_its_bound_and_keeps_the_end() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let paths = [dir.path().join("log.1"), dir.path().join("log")];
        let mut log = BoundedLog::new(paths.clone(), 20);
        assert!(!paths[1].exists(), "nothing was said");
        for n in 0..100_u8 {
            log.push(&[b'a' + n % 26; 7]);
        }
        let both: Vec<u8> = paths.iter().flat_map(|path| fs::read(path).expect("a log")).collect();
        let all: Vec<u8> = (0..100_u8).flat_map(|n| [b'a' + n % 26; 7]).collect();
        assert!(both.len() <= 20 && both.len() > 10 && all.ends_with(&both));
    }

    #[test]
    fn a_disk_that_refuses_ends_the_log_and_nothing_else() {
        let mut log = BoundedLog::new(["/proc/none.1".into(), "/proc/none".into()], 20);
        log.push(b"abc");
        assert!(log.given_up);
        log.push(b"def");
    }
}

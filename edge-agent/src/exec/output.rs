//! The end of what a task writes, in memory and within bounds however much comes: what is reported
//! with the outcome. The log on disk is `log`'s.

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
}

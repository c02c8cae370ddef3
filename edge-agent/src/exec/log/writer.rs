//! The writing side of a log: collects small writes, keeps the log within its bound, and lets go
//! what the disk refuses. Never an error for the task: what is not kept shows as a gap.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use shared::time::{Now, Timestamp};

use super::format::{
    RECORD_BYTES_MAX, RECORD_HEADER_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, encode_record,
};
use super::{LOG_BYTES_LEAST, Stream};

/// How much waits in memory before it is written: what a write to flash costs at least.
const FLUSH_BYTES: usize = 4096;
/// How long it waits at most, in milliseconds.
const FLUSH_AFTER_MS: u64 = 1_000;
/// How far apart two writes may be and still share their time, in milliseconds.
const SAME_TIME_MS: i64 = 100;
/// How long a disk that refused is left alone, in milliseconds.
const REFUSED_MS: u64 = 10_000;

/// What the task wrote at one time to one stream.
#[derive(Debug)]
struct Waiting {
    stream: Stream,
    offset: u64,
    at: Timestamp,
    bytes: Vec<u8>,
}

/// The segment that is written to.
#[derive(Debug)]
struct Segment {
    file: File,
    bytes: usize,
}

/// Writes the log of one attempt.
#[derive(Debug)]
pub(in crate::exec) struct LogWriter {
    paths: [PathBuf; 2],
    /// The file whose presence says that nothing is to be kept.
    off_marker: Option<PathBuf>,
    /// The bound of one segment; `None` if it is too small to keep anything.
    segment_bytes_max: Option<usize>,
    segment: Option<Segment>,
    next_sequence: u64,
    waiting: Vec<Waiting>,
    waiting_bytes: usize,
    /// When what waits longest came.
    waiting_since_ms: Option<u64>,
    refused_until_ms: Option<u64>,
    end_offset: u64,
    written_bytes: u64,
}

impl LogWriter {
    /// A log of at most `bytes_max` in these two files, or none if that is too little. Neither
    /// exists until something is written: most tasks are silent.
    pub(in crate::exec) fn new(
        paths: [PathBuf; 2],
        bytes_max: u64,
        off_marker: Option<PathBuf>,
    ) -> Self {
        let half = usize::try_from(bytes_max / 2).unwrap_or(usize::MAX);
        Self {
            paths,
            off_marker,
            segment_bytes_max: (bytes_max >= LOG_BYTES_LEAST).then_some(half),
            segment: None,
            next_sequence: 0,
            waiting: Vec::new(),
            waiting_bytes: 0,
            waiting_since_ms: None,
            refused_until_ms: None,
            end_offset: 0,
            written_bytes: 0,
        }
    }

    /// Takes what the task wrote next.
    pub(in crate::exec) fn push(&mut self, stream: Stream, bytes: &[u8], now: &Now) {
        let offset = self.end_offset;
        self.end_offset += bytes.len() as u64;
        if self.segment_bytes_max.is_none() || bytes.is_empty() {
            return;
        }
        let belongs = |last: &&mut Waiting| {
            let apart_ms = now.wall.0.saturating_sub(last.at.0);
            last.stream == stream && (0..SAME_TIME_MS).contains(&apart_ms)
        };
        match self.waiting.last_mut().filter(belongs) {
            Some(last) => last.bytes.extend_from_slice(bytes),
            None => {
                let bytes = bytes.to_vec();
                self.waiting.push(Waiting { stream, offset, at: now.wall, bytes });
            }
        }
        self.waiting_bytes += bytes.len();
        self.waiting_since_ms.get_or_insert(now.mono.0);
        if self.waiting_bytes >= FLUSH_BYTES {
            self.flush(now);
        }
    }

    /// In how many milliseconds [`Self::flush_if_due`] has something to do, if nothing more comes.
    pub(in crate::exec) fn due_in_ms(&self, now: &Now) -> Option<u64> {
        let due_ms = self.waiting_since_ms?.saturating_add(FLUSH_AFTER_MS);
        Some(due_ms.saturating_sub(now.mono.0))
    }

    /// Writes what has waited long enough.
    pub(in crate::exec) fn flush_if_due(&mut self, now: &Now) {
        if self.due_in_ms(now) == Some(0) {
            self.flush(now);
        }
    }

    /// Writes what waits, or lets it go.
    pub(in crate::exec) fn flush(&mut self, now: &Now) {
        let waiting = std::mem::take(&mut self.waiting);
        (self.waiting_bytes, self.waiting_since_ms) = (0, None);
        let refused = self.refused_until_ms.is_some_and(|until| now.mono.0 < until);
        let off = || self.off_marker.as_ref().is_some_and(|marker| marker.exists());
        if waiting.is_empty() || refused || off() {
            return;
        }
        self.refused_until_ms = match self.write(&waiting) {
            Ok(()) => None,
            Err(_) => Some(now.mono.0.saturating_add(REFUSED_MS)),
        };
    }

    /// How much the task wrote in all.
    pub(in crate::exec) fn end_offset(&self) -> u64 {
        self.end_offset
    }

    /// How much was given to the disk.
    pub(in crate::exec) fn written_bytes(&self) -> u64 {
        self.written_bytes
    }

    fn write(&mut self, waiting: &[Waiting]) -> io::Result<()> {
        let Some(segment_bytes_max) = self.segment_bytes_max else { return Ok(()) };
        let mut batch = Vec::new();
        for Waiting { stream, offset, at, bytes } in waiting {
            let (mut offset, mut bytes) = (*offset, bytes.as_slice());
            while !bytes.is_empty() {
                let used = self.segment.as_ref().map(|segment| segment.bytes + batch.len());
                let room = used.map_or(0, |used| segment_bytes_max.saturating_sub(used));
                if room <= RECORD_HEADER_BYTES {
                    self.append(&batch)?;
                    batch.clear();
                    self.turn_over()?;
                    continue;
                }
                let length = bytes.len().min(room - RECORD_HEADER_BYTES).min(RECORD_BYTES_MAX);
                let (now, later) = bytes.split_at(length);
                encode_record(&mut batch, *stream, offset, *at, now);
                (offset, bytes) = (offset + length as u64, later);
            }
        }
        self.append(&batch)
    }

    fn append(&mut self, batch: &[u8]) -> io::Result<()> {
        let Some(segment) = self.segment.as_mut().filter(|_| !batch.is_empty()) else {
            return Ok(());
        };
        // Not what was counted: it may have been emptied.
        let length = segment.file.metadata()?.len();
        if let Err(error) = segment.file.write_all(batch) {
            // What would follow half a record could not be read, nor what follows a hole.
            let is_longer = segment.file.metadata().is_ok_and(|found| found.len() >= length);
            if !is_longer || segment.file.set_len(length).is_err() {
                self.segment = None;
            }
            return Err(error);
        }
        segment.bytes += batch.len();
        self.written_bytes += batch.len() as u64;
        Ok(())
    }

    /// Begins a new segment in the place of the older one.
    fn turn_over(&mut self) -> io::Result<()> {
        self.segment = None;
        let path = &self.paths[usize::from(self.next_sequence % 2 == 1)];
        // Removed, not truncated or renamed over: file systems write the new content to the disk
        // at once when they see that, for programs that forget to (ext4: auto_da_alloc).
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        let mut file = options.append(true).create_new(true).mode(0o600).open(path)?;
        let header =
            SegmentHeader { sequence: self.next_sequence, written_before: self.written_bytes };
        file.write_all(&header.encode())?;
        self.next_sequence += 1;
        self.written_bytes += SEGMENT_HEADER_BYTES as u64;
        self.segment = Some(Segment { file, bytes: SEGMENT_HEADER_BYTES });
        Ok(())
    }
}

/// Lets go all records of a segment, whoever writes it: what comes next is appended behind its
/// header, and reads as after a gap. Answers whether there were any.
pub(in crate::exec) fn empty(segment: &Path) -> bool {
    let mut options = OpenOptions::new();
    options.write(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    let Ok(file) = options.open(segment) else { return false };
    let header = SEGMENT_HEADER_BYTES as u64;
    let has_records = file.metadata().is_ok_and(|found| found.is_file() && found.len() > header);
    has_records && file.set_len(header).is_ok()
}

#[cfg(test)]
mod tests {
    use shared::time::Monotonic;

    use super::*;

    fn at(ms: u64) -> Now {
        Now { wall: Timestamp(ms.cast_signed()), mono: Monotonic(ms), chance: 0 }
    }

    fn paths() -> (tempfile::TempDir, [PathBuf; 2]) {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = [root.path().join("log.0"), root.path().join("log.1")];
        (root, paths)
    }

    #[test]
    fn small_writes_are_collected_and_what_waits_is_written_after_a_while() {
        let (_root, paths) = paths();
        let mut log = LogWriter::new(paths.clone(), 100_000, None);
        assert_eq!(log.due_in_ms(&at(0)), None);
        for n in 0..40 {
            log.push(Stream::Stdout, b"a line\n", &at(n));
        }
        assert!(!paths[0].exists() && log.written_bytes() == 0);
        assert_eq!(log.due_in_ms(&at(40)), Some(FLUSH_AFTER_MS - 40));
        log.flush_if_due(&at(FLUSH_AFTER_MS - 1));
        assert!(!paths[0].exists());
        log.flush_if_due(&at(FLUSH_AFTER_MS));
        let length = fs::metadata(&paths[0]).expect("written").len();
        assert_eq!(length, (SEGMENT_HEADER_BYTES + RECORD_HEADER_BYTES + 280) as u64);
        assert_eq!((log.written_bytes(), log.end_offset()), (length, 280));
        assert_eq!(log.due_in_ms(&at(9_999)), None);
        log.push(Stream::Stderr, &[b'x'; FLUSH_BYTES], &at(10_000));
        assert_eq!(log.due_in_ms(&at(10_000)), None, "enough to be written at once");
        assert_eq!(fs::metadata(&paths[0]).expect("written").len(), log.written_bytes());
    }

    #[test]
    fn a_log_that_may_keep_nothing_touches_no_disk_and_still_counts() {
        for bytes_max in [0, LOG_BYTES_LEAST - 1] {
            let (_root, paths) = paths();
            let mut log = LogWriter::new(paths.clone(), bytes_max, None);
            log.push(Stream::Stdout, &[b'x'; 10_000], &at(0));
            log.flush(&at(1));
            assert!(!paths.iter().any(|path| path.exists()));
            assert_eq!((log.end_offset(), log.written_bytes()), (10_000, 0));
        }
        let (_root, paths) = paths();
        let mut log = LogWriter::new(paths.clone(), LOG_BYTES_LEAST, None);
        log.push(Stream::Stdout, &[b'x'; 928], &at(0));
        log.flush(&at(1));
        let kept: u64 = paths.map(|path| fs::metadata(path).expect("there").len()).iter().sum();
        assert_eq!(kept, LOG_BYTES_LEAST, "two segments, filled to the last byte");
    }

    #[test]
    fn a_disk_that_refuses_is_left_alone_for_a_while() {
        let (root, _) = paths();
        let folder = root.path().join("later");
        let paths = [folder.join("log.0"), folder.join("log.1")];
        let mut log = LogWriter::new(paths.clone(), 100_000, None);
        log.push(Stream::Stdout, &[b'x'; FLUSH_BYTES], &at(0));
        fs::create_dir(&folder).expect("create");
        log.push(Stream::Stdout, &[b'y'; FLUSH_BYTES], &at(REFUSED_MS - 1));
        assert!(!paths[0].exists());
        log.push(Stream::Stdout, &[b'z'; FLUSH_BYTES], &at(REFUSED_MS));
        assert!(paths[0].exists() && log.end_offset() == 3 * FLUSH_BYTES as u64);
    }
}

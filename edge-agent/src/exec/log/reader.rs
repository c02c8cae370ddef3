//! The reading side of a log, while it is written, after the end, and after a power cut. Changes
//! nothing. Asks the directory anew each time, so nothing of a task that is not read is held.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::LogPiece;
use super::format::{RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::exec::attempt_dir::AttemptDir;
use crate::exec::record::RECORDS_BEFORE_END_BYTES;

/// How often to look again when the segments changed places meanwhile.
const TRIES: usize = 4;

/// A segment that is open.
struct Segment {
    header: SegmentHeader,
    file: File,
}

/// Where the last reading ended, to go on there: no record from `position` on begins before
/// `offset`.
#[derive(Debug, Clone, Copy)]
struct Bookmark {
    sequence: u64,
    position: u64,
    offset: u64,
}

/// What is known once the attempt has ended.
#[derive(Debug, Clone, Copy)]
struct Ended {
    end_offset: u64,
    written_bytes: u64,
}

/// Reads the log of one attempt.
#[derive(Debug)]
pub struct LogReader {
    dir: AttemptDir,
    bookmark: Option<Bookmark>,
    ended: Option<Ended>,
}

impl LogReader {
    /// A reader of this attempt's log. Touches nothing yet; a log that does not exist is empty.
    #[must_use]
    pub fn open(dir: &AttemptDir) -> Self {
        Self { dir: dir.clone(), bookmark: None, ended: None }
    }

    /// What the log holds from `offset` on, at most `bytes_max` bytes of it: without holes, the
    /// first piece begins at `offset`. Empty if there is nothing yet, or nothing more. Cheap when
    /// it goes on where it stopped.
    ///
    /// # Errors
    /// The system refuses to read. Nothing is known then; to be tried again.
    pub fn read_from(&mut self, offset: u64, bytes_max: usize) -> io::Result<Vec<LogPiece>> {
        // Before the segments: if it has ended now, they will not change any more.
        let ended = self.ended();
        let mut pieces = Vec::new();
        let mut next = offset;
        let mut room = bytes_max;
        for segment in self.segments()? {
            let mark = self.bookmark_in(&segment, offset);
            let mut position = segment.begin(mark)?;
            let mut least_offset = 0;
            while room > 0 {
                let Some((record, bytes)) = segment.record(position)? else { break };
                if record.offset < least_offset {
                    break;
                }
                least_offset = record.end_offset();
                let mut here =
                    Bookmark { sequence: segment.header.sequence, position, offset: record.offset };
                position += (RECORD_HEADER_BYTES + record.length) as u64;
                if record.end_offset() <= next {
                    continue;
                }
                if record.offset > next {
                    pieces.push(LogPiece::Gap { offset: next, bytes: record.offset - next });
                    next = record.offset;
                }
                let from = usize::try_from(next - record.offset).unwrap_or(usize::MAX);
                let wanted: Vec<u8> = bytes.iter().skip(from).take(room).copied().collect();
                room -= wanted.len();
                let (at, stream) = (record.at, record.stream);
                let piece = LogPiece::Data { offset: next, at, stream, bytes: wanted };
                next = piece.end_offset();
                pieces.push(piece);
                if next == record.end_offset() {
                    (here.position, here.offset) = (position, next);
                }
                self.bookmark = Some(here);
            }
        }
        let missing = ended.filter(|ended| room > 0 && ended.end_offset > next);
        pieces.extend(missing.map(|ended| {
            let bytes = ended.end_offset - next;
            LogPiece::Gap { offset: next, bytes }
        }));
        Ok(pieces)
    }

    /// How much the task has written, as far as the log says so: while it runs, what was kept; once
    /// it has ended, all.
    ///
    /// # Errors
    /// The system refuses to read.
    pub fn end_offset(&mut self) -> io::Result<u64> {
        if let Some(ended) = self.ended() {
            return Ok(ended.end_offset);
        }
        for segment in self.segments()?.iter().rev() {
            let mark = self.bookmark_in(segment, u64::MAX);
            let mut position = segment.begin(mark)?;
            let mut end_offset = mark.map(|mark| mark.offset);
            while let Some((record, _)) = segment.record(position)? {
                position += (RECORD_HEADER_BYTES + record.length) as u64;
                end_offset = Some(record.end_offset());
            }
            if let Some(end_offset) = end_offset {
                return Ok(end_offset);
            }
        }
        Ok(0)
    }

    /// Whether the attempt has ended, so that nothing will be added any more.
    pub fn has_ended(&mut self) -> bool {
        self.ended().is_some()
    }

    /// How much the attempt's supervisor has given to the disk, logs and records together, to be
    /// charged to a budget of flash writes. The order is not in it: the agent wrote that.
    ///
    /// # Errors
    /// The system refuses to read.
    pub fn written_bytes(&mut self) -> io::Result<u64> {
        if let Some(ended) = self.ended() {
            return Ok(ended.written_bytes);
        }
        let newest = self.segments()?.pop();
        let logs = match newest {
            Some(newest) => newest.header.written_before + newest.file.metadata()?.len(),
            None => 0,
        };
        Ok(logs + RECORDS_BEFORE_END_BYTES)
    }

    fn ended(&mut self) -> Option<Ended> {
        if self.ended.is_none() {
            self.ended = self.dir.read_exit().ok().map(|record| Ended {
                end_offset: record.log_end_offset,
                written_bytes: record.written_bytes,
            });
        }
        self.ended
    }

    /// Where to go on in a segment, to find `offset`, if it has been read before.
    fn bookmark_in(&self, segment: &Segment, offset: u64) -> Option<Bookmark> {
        let fits =
            |mark: &Bookmark| mark.sequence == segment.header.sequence && mark.offset <= offset;
        self.bookmark.filter(fits)
    }

    /// The segments that are there, older first. They stay readable when the writer removes them.
    fn segments(&self) -> io::Result<Vec<Segment>> {
        let mut found = Vec::new();
        for _ in 0..TRIES {
            found.clear();
            for path in self.dir.log_paths() {
                found.extend(Segment::open(&path)?);
            }
            found.sort_by_key(|segment| segment.header.sequence);
            // If one turned over twice between the two looks, the one between them was missed.
            let follow = |pair: &[Segment]| {
                pair[0].header.sequence.checked_add(1) == Some(pair[1].header.sequence)
            };
            if found.windows(2).all(follow) {
                break;
            }
        }
        Ok(found)
    }
}

impl Segment {
    /// `None` if there is none, or none that has begun.
    fn open(path: &Path) -> io::Result<Option<Self>> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut header = [0; SEGMENT_HEADER_BYTES];
        if !file.metadata()?.is_file() || !fill(&file, &mut header, 0)? {
            return Ok(None);
        }
        Ok(SegmentHeader::decode(&header).map(|header| Self { header, file }))
    }

    /// Where to begin to read: at the bookmark, unless what stood there was let go meanwhile.
    fn begin(&self, mark: Option<Bookmark>) -> io::Result<u64> {
        let header = SEGMENT_HEADER_BYTES as u64;
        let Some(Bookmark { position, .. }) = mark else { return Ok(header) };
        let length = self.file.metadata()?.len();
        let fits = position == length || (position < length && self.record(position)?.is_some());
        Ok(if fits { position } else { header })
    }

    /// The record at this position; `None` if there is no whole one.
    fn record(&self, position: u64) -> io::Result<Option<(RecordHeader, Vec<u8>)>> {
        let mut header = [0; RECORD_HEADER_BYTES];
        if !fill(&self.file, &mut header, position)? {
            return Ok(None);
        }
        let Some(record) = RecordHeader::decode(&header) else { return Ok(None) };
        let mut bytes = vec![0; record.length];
        let is_there = fill(&self.file, &mut bytes, position + RECORD_HEADER_BYTES as u64)?;
        Ok((is_there && record.fits(&header, &bytes)).then_some((record, bytes)))
    }
}

/// Reads exactly this much. `false` if there is not as much.
fn fill(file: &File, buffer: &mut [u8], position: u64) -> io::Result<bool> {
    match file.read_exact_at(buffer, position) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

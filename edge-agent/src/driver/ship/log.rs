//! The log of one attempt as it is sent: the runs that are over, the one that goes on, and how far
//! the core has it.

use std::collections::VecDeque;
use std::io;

use shared::time::{Monotonic, Timestamp};
use shared::wire::uplink::LogPiece as Sent;

use super::chunk::{READ_BYTES_MAX, pieces_of};
use crate::exec::{AttemptDir, LogPiece as Read, LogReader};
use crate::shelf::Shelved;

/// A run that is over, or the place of what is lost of it.
pub(super) struct Part {
    pub shelved: Shelved,
    /// How much room it takes, in bytes.
    pub bytes: u64,
    /// Since when it is kept.
    pub since: Option<Timestamp>,
    reader: Option<LogReader>,
}

/// A run that goes on.
pub(super) struct Run {
    from: u64,
    pub dir: AttemptDir,
    reader: LogReader,
}

/// A chunk whose acknowledgement is awaited.
pub(super) struct UnderWay {
    pub sent: Monotonic,
    pub last: bool,
    to: u64,
}

/// What is to be sent next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub pieces: Vec<Sent>,
    pub last: bool,
}

/// The log of one attempt.
#[derive(Default)]
pub(super) struct Log {
    pub parts: VecDeque<Part>,
    pub run: Option<Run>,
    /// Nothing more will be written.
    pub over: bool,
    /// Everything before this the core has.
    acked: u64,
    /// Where the run that goes on, or the next one, begins.
    next_from: u64,
    pub under_way: Option<UnderWay>,
    /// How often in a row nothing was acknowledged in time.
    pub tries: u32,
}

impl Part {
    pub fn of(shelved: Shelved) -> Self {
        let (bytes, since) = (shelved.bytes(), shelved.since());
        Self { shelved, bytes, since, reader: None }
    }
}

impl Run {
    /// How much the attempt's supervisor has written to the disk.
    pub fn written_bytes(&mut self) -> Option<u64> {
        self.reader.written_bytes().ok()
    }
}

impl Log {
    /// Takes a run that is over.
    pub fn push(&mut self, part: Part) {
        self.next_from = self.next_from.max(part.shelved.to);
        self.parts.push_back(part);
    }

    /// Whether the core has everything before `to`.
    pub fn has(&self, to: u64) -> bool {
        to <= self.acked
    }

    /// A run begins, or was found again.
    pub fn begin(&mut self, dir: AttemptDir) {
        if self.run.is_none() {
            let reader = LogReader::open(&dir);
            self.run = Some(Run { from: self.next_from, dir, reader });
        }
    }

    /// The run is over: which part of the log it wrote. `None` if the core has all of it, or it
    /// wrote nothing.
    pub fn end(&mut self, dir: &AttemptDir) -> Option<(u64, u64)> {
        self.begin(dir.clone());
        let mut run = self.run.take()?;
        let wrote = run.reader.end_offset().unwrap_or(0);
        // What the core has was written, whatever became of it since.
        let to = run.from.saturating_add(wrote).max(self.acked);
        self.next_from = to;
        (to > self.acked || (!self.over && to > run.from)).then_some((run.from, to))
    }

    /// What is to be sent next, if anything.
    pub fn next(&mut self) -> io::Result<Option<Chunk>> {
        let at = self.acked;
        let gap = |to: u64| vec![Sent::Gap { offset: at, bytes: to.saturating_sub(at) }];
        let parts = self.parts.len();
        let open = self.parts.iter_mut().enumerate().find(|(_, part)| part.shelved.to > at);
        if let Some((index, part)) = open {
            let (from, to) = (part.shelved.from, part.shelved.to);
            let mut pieces = if from > at { gap(from) } else { part.pieces(at)? };
            if pieces.is_empty() {
                pieces = gap(to);
            }
            let ends = pieces.last().is_some_and(|piece| piece.end() >= to);
            let last = self.over && self.run.is_none() && index + 1 == parts && ends;
            return Ok(Some(Chunk { pieces, last }));
        }
        let Some(run) = &mut self.run else {
            let chunk = Chunk { pieces: Vec::new(), last: true };
            return Ok(self.over.then_some(chunk));
        };
        let pieces = match run.from {
            from if from > at => gap(from),
            from => pieces_of(run.reader.read_from(at - from, READ_BYTES_MAX)?, from, false),
        };
        Ok((!pieces.is_empty()).then_some(Chunk { pieces, last: false }))
    }

    /// A chunk was sent.
    pub fn sent(&mut self, chunk: &Chunk, now: Monotonic) {
        let to = chunk.pieces.last().map_or(self.acked, Sent::end);
        self.under_way = Some(UnderWay { sent: now, last: chunk.last, to });
    }

    /// The core has everything before `upto`, and wants what follows. Answers whether nothing is
    /// left to be sent, now or ever.
    pub fn acknowledge(&mut self, upto: u64) -> bool {
        let awaited = self.under_way.take();
        let done = awaited.is_some_and(|awaited| awaited.last && upto >= awaited.to);
        self.tries = 0;
        // It goes back when the core was put back.
        self.acked = upto;
        if done {
            self.parts.drain(..).for_each(|part| remove(&part.shelved));
            return true;
        }
        while self.parts.front().is_some_and(|part| part.shelved.to <= upto) {
            // The last of them says where the next run begins.
            if self.parts.len() == 1 && !self.over {
                if let Some(part) = self.parts.front_mut() {
                    part.lose();
                }
                break;
            }
            self.parts.pop_front().iter().for_each(|part| remove(&part.shelved));
        }
        false
    }
}

impl Part {
    fn pieces(&mut self, at: u64) -> io::Result<Vec<Sent>> {
        let Shelved { from, to, .. } = self.shelved;
        let reader = self.reader.get_or_insert_with(|| LogReader::open(&self.shelved.dir));
        let read = reader.read_from(at.saturating_sub(from), READ_BYTES_MAX)?;
        let bytes: usize = read.iter().map(length).sum();
        let ends = read.last().is_some_and(|piece| piece.end_offset() >= to - from);
        Ok(pieces_of(read, from, ends || bytes < READ_BYTES_MAX))
    }

    /// Lets go what was written. That it is lost is told.
    pub fn lose(&mut self) {
        self.shelved.lose();
        (self.bytes, self.reader) = (0, None);
    }
}

fn length(piece: &Read) -> usize {
    match piece {
        Read::Data { bytes, .. } => bytes.len(),
        Read::Gap { .. } => 0,
    }
}

/// Takes something from the shelf; what cannot be removed is found again by the next start.
pub(super) fn remove(shelved: &Shelved) {
    if let Err(error) = shelved.remove() {
        crate::observe::not_forgotten(&error);
    }
}

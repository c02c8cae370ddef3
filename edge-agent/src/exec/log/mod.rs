//! What a task writes, on disk: both streams in one log of bounded size, each byte at its offset in
//! all that the task ever wrote, so that whoever reads sees what is missing. Two segments take
//! turns; the older one gives way. One process writes, any may read meanwhile.
//!
//! A segment begins with `ambitlog`, its number, and the bytes written to earlier ones. Records
//! follow: a check over the rest (CRC-32), the length with the stream in its highest bit, the
//! offset of the first byte, the wall clock in milliseconds, and the bytes. All numbers are little
//! endian. What does not check out at the end of a segment was being written when the power failed
//! and counts as not there.

mod format;
mod reader;
mod writer;

#[cfg(test)]
mod properties;

use shared::time::Timestamp;

pub use reader::LogReader;
pub(super) use writer::LogWriter;
pub(super) use writer::empty;

/// The bytes of a log that are kept on disk when nobody says otherwise, both streams together.
pub const LOG_BYTES_MAX: u64 = 1024 * 1024;

/// The smallest log. With less, every few words would take a file of their own, so none is kept.
pub const LOG_BYTES_LEAST: u64 = 1024;

/// One of a task's two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogPiece {
    /// What the task wrote.
    Data {
        /// Where it begins, counted over all that the task wrote to both streams.
        offset: u64,
        /// When it began to write this, by the board's wall clock; to about a tenth of a second.
        at: Timestamp,
        /// To where.
        stream: Stream,
        /// What.
        bytes: Vec<u8>,
    },
    /// Something that the task wrote and that is not there: it was older than what is kept, the
    /// disk refused it, or logs were switched off.
    Gap {
        /// Where it begins.
        offset: u64,
        /// How much it is.
        bytes: u64,
    },
}

impl LogPiece {
    /// Where the next piece begins.
    #[must_use]
    pub fn end_offset(&self) -> u64 {
        match self {
            Self::Data { offset, bytes, .. } => offset.saturating_add(bytes.len() as u64),
            Self::Gap { offset, bytes } => offset.saturating_add(*bytes),
        }
    }
}

//! The bytes of a log: segment headers and records, encoded and decoded. Touches no file.

use shared::time::Timestamp;

use super::Stream;

/// How a segment begins.
const MAGIC: [u8; 8] = *b"ambitlog";

/// The length of a segment's header, and of a record's.
pub(super) const SEGMENT_HEADER_BYTES: usize = 24;
pub(super) const RECORD_HEADER_BYTES: usize = 24;

/// The most that one record holds.
pub(super) const RECORD_BYTES_MAX: usize = 64 * 1024;

/// The bit of the length that says standard error.
const STDERR_BIT: u32 = 1 << 31;

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Which one it is, from 0.
    pub sequence: u64,
    /// The bytes written to all earlier ones.
    pub written_before: u64,
}

impl SegmentHeader {
    pub(super) fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..].copy_from_slice(&self.written_before.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; SEGMENT_HEADER_BYTES]) -> Option<Self> {
        (bytes[..8] == MAGIC)
            .then(|| Some(Self { sequence: number(bytes, 8)?, written_before: number(bytes, 16)? }))
            .flatten()
    }
}

/// The header of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub check: u32,
    pub stream: Stream,
    /// At most [`RECORD_BYTES_MAX`].
    pub length: usize,
    pub offset: u64,
    pub at: Timestamp,
}

impl RecordHeader {
    /// `None` if no record begins like this.
    pub(super) fn decode(bytes: &[u8; RECORD_HEADER_BYTES]) -> Option<Self> {
        let small = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let (check, length) = (small(0)?, small(4)?);
        let stream = if length & STDERR_BIT == 0 { Stream::Stdout } else { Stream::Stderr };
        let length = (length & !STDERR_BIT) as usize;
        let offset = number(bytes, 8)?;
        let at = Timestamp(number(bytes, 16)?.cast_signed());
        let is_possible =
            (1..=RECORD_BYTES_MAX).contains(&length) && offset.checked_add(length as u64).is_some();
        is_possible.then_some(Self { check, stream, length, offset, at })
    }

    /// Whether this is the header of a record with these bytes.
    pub(super) fn fits(&self, header: &[u8; RECORD_HEADER_BYTES], bytes: &[u8]) -> bool {
        self.check == crc32(&[&header[4..], bytes])
    }

    pub(super) fn end_offset(&self) -> u64 {
        self.offset + self.length as u64
    }
}

/// Appends a record. `bytes` are 1 to [`RECORD_BYTES_MAX`].
pub(super) fn encode_record(
    into: &mut Vec<u8>,
    stream: Stream,
    offset: u64,
    at: Timestamp,
    bytes: &[u8],
) {
    let stderr = if stream == Stream::Stderr { STDERR_BIT } else { 0 };
    let length = u32::try_from(bytes.len()).unwrap_or(0) | stderr;
    let mut rest = [0; RECORD_HEADER_BYTES - 4];
    rest[..4].copy_from_slice(&length.to_le_bytes());
    rest[4..12].copy_from_slice(&offset.to_le_bytes());
    rest[12..].copy_from_slice(&at.0.to_le_bytes());
    into.extend_from_slice(&crc32(&[&rest, bytes]).to_le_bytes());
    into.extend_from_slice(&rest);
    into.extend_from_slice(bytes);
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// CRC-32 as in Ethernet and gzip (reflected polynomial 0xEDB88320), over several parts.
fn crc32(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().flat_map(|part| part.iter());
    !bytes.fold(u32::MAX, |sum, &byte| {
        let index = (sum ^ u32::from(byte)) & 0xff;
        CRC_TABLE[index as usize] ^ (sum >> 8)
    })
}

static CRC_TABLE: [u32; 256] = crc_table();

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_is_the_one_that_everybody_calls_crc_32() {
        assert_eq!(crc32(&[b"123456789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[b"1234", b"", b"56789"]), 0xcbf4_3926);
        assert_eq!(crc32(&[]), 0);
    }

    #[test]
    fn a_record_reads_as_it_was_written_and_any_damage_shows() {
        let mut record = Vec::new();
        encode_record(&mut record, Stream::Stderr, 1 << 40, Timestamp(-5), b"some bytes");
        let split = |record: &[u8]| {
            let header: [u8; RECORD_HEADER_BYTES] =
                record[..RECORD_HEADER_BYTES].try_into().expect("a header");
            let found = RecordHeader::decode(&header)?;
            let bytes = record[RECORD_HEADER_BYTES..].to_vec();
            found.fits(&header, &bytes).then_some((found, bytes))
        };
        let (header, bytes) = split(&record).expect("whole");
        assert_eq!((header.stream, header.length), (Stream::Stderr, 10));
        assert_eq!(
            (header.offset, header.at, bytes),
            (1 << 40, Timestamp(-5), b"some bytes".into())
        );
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(split(&damaged), None, "bit {bit}");
        }
        assert_eq!(RecordHeader::decode(&[0; RECORD_HEADER_BYTES]), None);
        assert_eq!(RecordHeader::decode(&[0xff; RECORD_HEADER_BYTES]), None);
    }

    #[test]
    fn a_segment_header_reads_as_it_was_written() {
        let header = SegmentHeader { sequence: 7, written_before: u64::MAX };
        assert_eq!(SegmentHeader::decode(&header.encode()), Some(header));
        assert_eq!(SegmentHeader::decode(&[0; SEGMENT_HEADER_BYTES]), None);
    }
}

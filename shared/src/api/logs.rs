//! Logs as the API shows them: one record a line.

use serde::{Deserialize, Serialize};

use crate::id::Attempt;
use crate::time::Timestamp;
use crate::wire::uplink::LogStream;

/// One record of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum LogRecord {
    /// Something that an attempt wrote.
    Text(LogText),
    /// Something that it wrote and that is not here.
    Gap(LogGap),
}

/// Something that an attempt wrote: no more than one write to one stream, and not always a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogText {
    /// The attempt.
    pub attempt: Attempt,
    /// How many bytes the attempt had written before, to both streams together.
    pub offset: u64,
    /// When it was written, by the board's clock.
    pub at: Timestamp,
    /// To which stream.
    pub stream: LogStream,
    /// What was written, with whatever is not UTF-8 replaced.
    pub text: String,
}

/// Something that an attempt wrote and that is not here: dropped for want of room by its agent or
/// by the core, or pruned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct LogGap {
    /// The attempt.
    pub attempt: Attempt,
    /// Where it begins.
    pub offset: u64,
    /// How many bytes are missing.
    pub gap_bytes: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_and_read_back_as_what_it_was() {
        let attempt = Attempt(1);
        let (at, stream) = (Timestamp(0), LogStream::Stderr);
        let text = "one\ntwo\u{0}\u{2028}".to_owned();
        let text = LogRecord::Text(LogText { attempt, offset: 7, at, stream, text });
        let gap = LogRecord::Gap(LogGap { attempt, offset: 3, gap_bytes: 4 });
        assert_eq!(
            serde_json::to_string(&gap).expect("json"),
            r#"{"attempt":1,"offset":3,"gap_bytes":4}"#
        );
        for record in [text, gap] {
            let line = serde_json::to_string(&record).expect("json");
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<LogRecord>(&line).expect("read"), record);
        }
    }
}

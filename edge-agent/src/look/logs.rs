//! `logs`: what a task writes, from the board's own disk, while it runs and until the core has it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shared::api::{LogGap, LogRecord, LogText};
use shared::id::AssignmentId;
use shared::time::Timestamp;
use shared::wire::uplink::LogStream;

use super::glance;
use crate::cli::{LogsArgs, Output, StreamName};
use crate::exec::{AttemptDir, LogPiece, LogReader, Stream};
use crate::shelf::{Shelf, Shelved};

/// How often it is looked for more.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How much is read at a time.
const READ_BYTES: usize = 256 * 1024;
/// The least part of an id that names a task.
const PART_LEAST: usize = 4;

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// No such task.
    #[error(
        "no task `{task}` is or was held here; `ambit-agent tasks` lists what is. What the core has taken over is there: GET /v1/tasks/{{id}}/logs"
    )]
    Unknown {
        /// What was asked for.
        task: String,
    },
    /// More than one.
    #[error("`{task}` is a part of several ids; write more of it: {}", ids.join(", "))]
    Ambiguous {
        /// What was asked for.
        task: String,
        /// What it may mean.
        ids: Vec<String>,
    },
    /// It cannot be read.
    #[error("the log cannot be read: {0}")]
    Unreadable(#[from] io::Error),
}

/// One thing to show.
enum Shown {
    Text { offset: u64, at: Timestamp, stream: Stream, bytes: Vec<u8> },
    Gap { offset: u64, bytes: u64 },
}

/// Shows what was asked for. Gaps go to `aside`, so that the text can be used as it is.
///
/// # Errors
/// There is no such task, or its log cannot be read.
pub fn show_logs(
    data: &Path,
    args: &LogsArgs,
    out: &mut impl Write,
    aside: &mut impl Write,
) -> Result<(), LogsError> {
    let id = find(data, args)?;
    let board = Board { data: data.to_owned(), id };
    let mut next = 0;
    let mut all = Vec::new();
    loop {
        let read = board.read_from(next)?;
        if read.is_empty() {
            break;
        }
        next = read.last().map_or(next, Shown::end);
        all.extend(read);
    }
    all.retain(|shown| shown.is_of(args.stream));
    let all = match args.tail {
        Some(lines) => tail(all, lines),
        None => all,
    };
    let mut write = |shown: &[Shown]| -> io::Result<()> {
        for shown in shown {
            match args.output {
                Output::Json => writeln!(out, "{}", shown.as_json(id))?,
                Output::Table => shown.write(out, aside)?,
            }
        }
        out.flush()
    };
    // A reader that has seen enough is no error.
    let mut heard = write(&all).is_ok();
    while heard && args.follow {
        let over = board.is_over();
        let mut read = board.read_from(next)?;
        if read.is_empty() && over {
            break;
        }
        if read.is_empty() {
            std::thread::sleep(LOOK_EVERY);
            continue;
        }
        next = read.last().map_or(next, Shown::end);
        read.retain(|shown| shown.is_of(args.stream));
        heard = write(&read).is_ok();
    }
    Ok(())
}

/// The attempt that is meant.
fn find(data: &Path, args: &LogsArgs) -> Result<AssignmentId, LogsError> {
    let task = args.task.trim().to_lowercase();
    let mut known: BTreeSet<AssignmentId> =
        Shelf::in_folder(data).list().into_iter().map(|shelved| shelved.id).collect();
    let entries = std::fs::read_dir(data.join("attempts")).into_iter().flatten();
    let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
    known.extend(names.filter_map(|name| name.to_str()?.parse::<AssignmentId>().ok()));
    let held = glance(data).map(|glance| glance.tasks).unwrap_or_default();
    let named = held.iter().filter(|held| held.name.as_deref() == Some(args.task.as_str()));
    let named: BTreeSet<AssignmentId> = named.map(|held| held.assignment).collect();
    known.extend(held.iter().map(|held| held.assignment));
    let is_meant = |id: &&AssignmentId| {
        let whole = id.task.to_string();
        let part = task.len() >= PART_LEAST && whole.contains(&task);
        whole == task || part || named.contains(id)
    };
    let meant: Vec<AssignmentId> = known
        .iter()
        .filter(is_meant)
        .filter(|id| args.attempt.is_none_or(|attempt| attempt == id.attempt.0))
        .copied()
        .collect();
    let ids: BTreeSet<String> = meant.iter().map(|id| id.task.to_string()).collect();
    if ids.len() > 1 {
        let (task, ids) = (args.task.clone(), ids.into_iter().collect());
        return Err(LogsError::Ambiguous { task, ids });
    }
    let latest = meant.into_iter().max_by_key(|id| id.attempt);
    latest.ok_or_else(|| LogsError::Unknown { task: args.task.clone() })
}

/// The log of one attempt on its board.
struct Board {
    data: PathBuf,
    id: AssignmentId,
}

impl Board {
    /// What comes next; empty if there is nothing yet.
    fn read_from(&self, next: u64) -> io::Result<Vec<Shown>> {
        let shelved = Shelf::in_folder(&self.data).list();
        let shelved: Vec<Shelved> =
            shelved.into_iter().filter(|shelved| shelved.id == self.id).collect();
        let gap = |to: u64| vec![Shown::Gap { offset: next, bytes: to - next }];
        if let Some(Shelved { from, to, dir, .. }) = shelved.iter().find(|part| part.to > next) {
            if *from > next {
                return Ok(gap(*from));
            }
            let read = read(dir, *from, next)?;
            return Ok(if read.is_empty() { gap(*to) } else { read });
        }
        let from = shelved.iter().map(|part| part.to).max().unwrap_or(0);
        let dir = AttemptDir::of(&self.data.join("attempts"), self.id);
        read(&dir, from, next.max(from))
    }

    /// Whether nothing more will come.
    fn is_over(&self) -> bool {
        let held = glance(&self.data).map(|glance| glance.tasks);
        // A database that cannot be read says nothing.
        held.is_ok_and(|held| {
            let mut own = held.iter().filter(|held| held.assignment == self.id);
            own.all(|held| held.state == "finished")
        })
    }
}

fn read(dir: &AttemptDir, from: u64, next: u64) -> io::Result<Vec<Shown>> {
    let pieces = LogReader::open(dir).read_from(next - from, READ_BYTES)?;
    let shown = |piece| match piece {
        LogPiece::Data { offset, at, stream, bytes } => {
            Shown::Text { offset: offset + from, at, stream, bytes }
        }
        LogPiece::Gap { offset, bytes } => Shown::Gap { offset: offset + from, bytes },
    };
    Ok(pieces.into_iter().map(shown).collect())
}

impl Shown {
    fn end(&self) -> u64 {
        match self {
            Self::Text { offset, bytes, .. } => offset + bytes.len() as u64,
            Self::Gap { offset, bytes } => offset + bytes,
        }
    }

    fn is_of(&self, wanted: Option<StreamName>) -> bool {
        match (self, wanted) {
            (Self::Text { stream, .. }, Some(StreamName::Stdout)) => *stream == Stream::Stdout,
            (Self::Text { stream, .. }, Some(StreamName::Stderr)) => *stream == Stream::Stderr,
            _ => true,
        }
    }

    fn write(&self, out: &mut impl Write, aside: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Text { bytes, .. } => out.write_all(bytes),
            Self::Gap { bytes, .. } => {
                out.flush()?;
                writeln!(aside, "[{bytes} bytes are missing here]")
            }
        }
    }

    /// As the core tells it.
    fn as_json(&self, id: AssignmentId) -> String {
        let attempt = id.attempt;
        let record = match self {
            Self::Text { offset, at, stream, bytes } => LogRecord::Text(LogText {
                attempt,
                offset: *offset,
                at: *at,
                stream: match stream {
                    Stream::Stdout => LogStream::Stdout,
                    Stream::Stderr => LogStream::Stderr,
                },
                text: String::from_utf8_lossy(bytes).into_owned(),
            }),
            Self::Gap { offset, bytes } => {
                LogRecord::Gap(LogGap { attempt, offset: *offset, gap_bytes: *bytes })
            }
        };
        serde_json::to_string(&record).unwrap_or_default()
    }
}

/// The last lines.
fn tail(all: Vec<Shown>, lines: usize) -> Vec<Shown> {
    let mut left = lines;
    let mut kept = Vec::new();
    // The line that the last byte ends is one of them.
    let mut ended = true;
    for shown in all.into_iter().rev() {
        let Shown::Text { offset, at, stream, bytes } = shown else {
            kept.push(shown);
            continue;
        };
        let mut from = bytes.len();
        while from > 0 {
            let newline = bytes.get(from - 1) == Some(&b'\n');
            if newline && !ended {
                left = left.saturating_sub(1);
            }
            if left == 0 {
                break;
            }
            ended = false;
            from -= 1;
        }
        let rest = bytes.get(from..).unwrap_or_default().to_vec();
        if !rest.is_empty() {
            kept.push(Shown::Text { offset: offset + from as u64, at, stream, bytes: rest });
        }
        if left == 0 {
            break;
        }
    }
    kept.reverse();
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(parts: &[&str]) -> Vec<Shown> {
        let shown = |bytes: &&str| Shown::Text {
            offset: 0,
            at: Timestamp(0),
            stream: Stream::Stdout,
            bytes: bytes.as_bytes().to_vec(),
        };
        parts.iter().map(shown).collect()
    }

    fn last(parts: &[&str], lines: usize) -> String {
        let mut out = Vec::new();
        for shown in tail(text(parts), lines) {
            shown.write(&mut out, &mut io::sink()).expect("written");
        }
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn the_last_lines_are_counted_across_pieces() {
        let parts = ["one\ntw", "o\nthr", "ee\n"];
        assert_eq!(last(&parts, 1), "three\n");
        assert_eq!(last(&parts, 2), "two\nthree\n");
        assert_eq!(last(&parts, 9), "one\ntwo\nthree\n");
        assert_eq!(last(&parts, 0), "");
        assert_eq!(last(&["a\nb"], 1), "b", "one that has no end yet is a line");
        assert_eq!(last(&["a\n", "\n"], 1), "\n");
        assert_eq!(last(&[], 3), "");
    }
}

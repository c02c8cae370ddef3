//! What tasks write, as the core has it: standard output to standard output, standard error to
//! standard error, and what is missing told in its place.

use std::io::{self, Write};
use std::thread;
use std::time::{Duration, Instant};

use shared::api::LogRecord;
use shared::wire::uplink::LogStream;

use super::args::{LogsArgs, StreamName};
use super::connection::{Connection, with_query};
use super::error::ClientError;
use super::output::{self, Output};

/// The wait before a log that cannot be read is asked for again.
const RETRY: Duration = Duration::from_millis(500);

/// `ambit task logs`.
///
/// # Errors
/// The core cannot be reached or refuses, or the log breaks off.
pub fn show(
    connection: &Connection,
    id: &str,
    args: &LogsArgs,
    output: Output,
) -> Result<(), ClientError> {
    let stream = args.stream.map(|stream| match stream {
        StreamName::Stdout => "stdout".to_owned(),
        StreamName::Stderr => "stderr".to_owned(),
    });
    let query = [
        ("attempt", args.attempt.map(|attempt| attempt.to_string())),
        ("stream", stream),
        ("since", args.since.clone()),
        ("tail", args.tail.map(|tail| tail.to_string())),
        ("follow", args.follow.then(|| "true".to_owned())),
        ("format", Some("ndjson".to_owned())),
    ];
    let path = with_query(&format!("/v1/tasks/{id}/logs"), &query);
    let mut seen = Seen::default();
    copy(connection, &path, output, &mut seen)
}

/// Follows a log to its end, across restarts of the core.
///
/// # Errors
/// The core is away for too long, or refuses.
pub fn follow(connection: &Connection, id: &str, patience: Duration) -> Result<(), ClientError> {
    let path = format!("/v1/tasks/{id}/logs?follow=true&format=ndjson");
    let mut seen = Seen::default();
    let mut heard = Instant::now();
    loop {
        let before = seen;
        match copy(connection, &path, Output::Table, &mut seen) {
            Err(error) if error.passes() => {
                if seen != before {
                    heard = Instant::now();
                }
                if heard.elapsed() > patience {
                    return Err(error);
                }
                thread::sleep(RETRY);
            }
            ended => return ended,
        }
    }
}

/// How far a log was shown, so that reading it again shows nothing twice: where the last record
/// began. Not where it ended: bytes that were no text were replaced by longer ones.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen(Option<(u32, u64)>);

impl Seen {
    /// Whether a record of that attempt that begins there is news.
    fn is_news(&mut self, attempt: u32, offset: u64) -> bool {
        let is_news = self.0.is_none_or(|last| (attempt, offset) > last);
        if is_news {
            self.0 = Some((attempt, offset));
        }
        is_news
    }
}

fn copy(
    connection: &Connection,
    path: &str,
    output: Output,
    seen: &mut Seen,
) -> Result<(), ClientError> {
    for line in connection.stream(path, Vec::new())? {
        let line = line.map_err(|error| ClientError::Unreachable {
            url: connection.url().to_owned(),
            cause: format!("the log broke off: {error}"),
            advice: "ask again",
            may_have_arrived: true,
        })?;
        // An idle follower is sent empty lines.
        if line.is_empty() {
            continue;
        }
        let record: LogRecord = serde_json::from_str(&line).map_err(|error| {
            ClientError::Failed(format!("the core sent a log that cannot be read: {error}"))
        })?;
        let (attempt, offset) = match &record {
            LogRecord::Text(text) => (text.attempt, text.offset),
            LogRecord::Gap(gap) => (gap.attempt, gap.offset),
        };
        if seen.is_news(attempt.0, offset) {
            write(&record, &line, output)?;
        }
    }
    Ok(())
}

fn write(record: &LogRecord, line: &str, output: Output) -> Result<(), ClientError> {
    match (output, record) {
        (Output::Json, _) => output::print(&format!("{line}\n")),
        (Output::Yaml, record) => {
            let value = serde_json::to_value(record).unwrap_or_default();
            output::print(&format!("---\n{}", output::yaml(&value)))
        }
        (Output::Table, LogRecord::Text(text)) if text.stream == LogStream::Stdout => {
            output::print(&text.text)
        }
        (Output::Table, LogRecord::Text(text)) => {
            Ok(io::stderr().lock().write_all(text.text.as_bytes())?)
        }
        (Output::Table, LogRecord::Gap(gap)) => {
            output::note(&format!("[… {} bytes missing …]", gap.gap_bytes));
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_shown_twice_and_nothing_is_left_out() {
        let mut seen = Seen::default();
        assert!(seen.is_news(1, 0) && seen.is_news(1, 10));
        assert!(!seen.is_news(1, 0) && !seen.is_news(1, 10));
        assert!(seen.is_news(1, 15) && seen.is_news(2, 0) && seen.is_news(2, 3));
        assert!(!seen.is_news(1, 15));
    }
}

//! `ambit events`: server-sent events, read as they come and resumed where they broke off.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::args::EventsArgs;
use super::connection::{Connection, with_query};
use super::error::ClientError;
use super::output::{self, Output, tame};

/// The wait before events are asked for again.
const RETRY: Duration = Duration::from_secs(1);
/// How long the core may be away.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many bytes of data an event has before no line more is taken.
const DATA_BYTES_MAX: usize = 1024 * 1024;

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Event {
    id: Option<String>,
    data: String,
}

/// Puts events together from the lines of a stream.
#[derive(Debug, Default)]
struct Assembly(Event);

impl Assembly {
    /// Takes a line; the answer is the event that it completes, if it does.
    fn take(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let event = std::mem::take(&mut self.0);
            return (!event.data.is_empty()).then_some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.0.id = Some(value.to_owned()),
            // As much as fits: an event is a line, and this is no memory for strangers.
            "data" if self.0.data.len() < DATA_BYTES_MAX => {
                if !self.0.data.is_empty() {
                    self.0.data.push('\n');
                }
                self.0.data.push_str(value);
            }
            // Comments keep the line open; the kind stands in the data too.
            _ => {}
        }
        None
    }
}

/// Does what the command line says.
///
/// # Errors
/// The core refuses, or is away for too long.
pub fn run(args: &EventsArgs) -> Result<u8, ClientError> {
    let connection = Connection::of(&args.common)?;
    let kinds = (!args.kinds.is_empty()).then(|| args.kinds.join(","));
    let mut last = args.after.map(|after| after.to_string());
    let mut left = args.count.unwrap_or(u64::MAX);
    let mut heard = Instant::now();
    while left > 0 {
        let query = [
            ("kind", kinds.clone()),
            ("task", args.task.map(|task| task.to_string())),
            ("agent", args.agent.as_ref().map(ToString::to_string)),
            ("schedule", args.schedule.as_ref().map(ToString::to_string)),
            ("after", last.clone()),
        ];
        let path = with_query("/v1/events", &query);
        let mut show = |event: &Event| {
            heard = Instant::now();
            last = event.id.clone().or(last.take());
            left = left.saturating_sub(1);
            write(&event.data, args.common.output)?;
            Ok(left > 0)
        };
        match read(&connection, &path, &mut show) {
            Ok(()) => {}
            Err(error) if error.passes() && heard.elapsed() < PATIENCE && last.is_some() => {
                output::note(&format!("{error}; going on from there"));
                thread::sleep(RETRY);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(0)
}

/// Reads events until `show` has enough or the stream ends.
fn read(
    connection: &Connection,
    path: &str,
    show: &mut impl FnMut(&Event) -> Result<bool, ClientError>,
) -> Result<(), ClientError> {
    let headers = vec![("accept", "text/event-stream".to_owned())];
    let broken = |cause: String| ClientError::Unreachable {
        url: connection.url().to_owned(),
        cause,
        advice: "ask again with --after",
        may_have_arrived: true,
    };
    let mut assembly = Assembly::default();
    for line in connection.stream(path, headers)? {
        let line = line.map_err(|error| broken(format!("the events broke off: {error}")))?;
        if let Some(event) = assembly.take(&line)
            && !show(&event)?
        {
            return Ok(());
        }
    }
    Err(broken("the core ended the stream".to_owned()))
}

fn write(data: &str, output: Output) -> Result<(), ClientError> {
    let value: Value = serde_json::from_str(data).map_err(|error| {
        ClientError::Failed(format!("the core sent an event that cannot be read: {error}"))
    })?;
    match output {
        Output::Json => output::print(&format!("{value}\n")),
        Output::Yaml => output::print(&format!("---\n{}", output::yaml(&value))),
        Output::Table => output::print(&line(&value)),
    }
}

/// An event in a line.
fn line(event: &Value) -> String {
    let text = |name: &str| match &event[name] {
        Value::Null => String::new(),
        Value::String(text) => tame(text).replace('\n', " "),
        other => other.to_string(),
    };
    let words =
        [text("at"), format!("{:<16}", text("kind")), text("task"), text("agent"), text("detail")];
    words.iter().filter(|word| !word.is_empty()).cloned().collect::<Vec<_>>().join("  ") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn events_are_put_together_from_lines() {
        let mut assembly = Assembly::default();
        let stream = "retry: 1000\n\n: still here\n\nid: 7\nevent: task.settled\ndata: {\"a\":\ndata: 1}\n\n\
                      data:x\n\n";
        let events: Vec<Event> = stream.lines().filter_map(|line| assembly.take(line)).collect();
        let first = Event { id: Some("7".to_owned()), data: "{\"a\":\n1}".to_owned() };
        assert_eq!(events, [first, Event { id: None, data: "x".to_owned() }]);
    }

    #[test]
    fn an_event_is_a_line() {
        let event = json!({"id": 1, "at": "T", "kind": "agent.online", "task": null,
                           "agent": "board-7", "detail": {"x": 1}});
        assert_eq!(line(&event), "T  agent.online      board-7  {\"x\":1}\n");
    }
}

#[cfg(test)]
mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_stream_breaks_the_assembly(lines in prop::collection::vec("(id|data|event|)?:? ?.{0,8}", 0..20)) {
            let mut assembly = Assembly::default();
            let events: Vec<Event> = lines.iter().filter_map(|line| assembly.take(line)).collect();
            prop_assert!(events.iter().all(|event| !event.data.is_empty()));
        }

        #[test]
        fn what_is_sent_is_put_together(id: u64, data in "[ -~]{1,20}(\n[ -~]{0,20}){0,2}") {
            let mut lines = vec![": still here".to_owned(), format!("id: {id}")];
            lines.extend(data.split('\n').map(|line| format!("data: {line}")));
            let mut assembly = Assembly::default();
            prop_assert!(lines.iter().all(|line| assembly.take(line).is_none()));
            let event = Event { id: Some(id.to_string()), data };
            prop_assert_eq!(assembly.take(""), Some(event));
        }
    }
}

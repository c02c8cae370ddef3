//! Follows a task until it is settled: each change on standard error, what the task writes where it
//! wrote it, and at the end the exit code that tells how it came out. A core that restarts is
//! waited for.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use shared::api::{Explanation, OutcomeDocument, TaskDocument};
use shared::task::{FailureReason, TaskStatus};

use super::connection::Connection;
use super::error::{ClientError, EXIT_USAGE};
use super::output::{self, Output, colour_of, distance, tame, typed};
use super::{logs, show};

/// The task ran for too long, or its deadline passed; as timeout(1) has it.
const EXIT_TIMED_OUT: u8 = 124;
/// There is no exit code of the task: it never ran to its end, or the client failed.
const EXIT_NO_RESULT: u8 = 125;
/// There is no such program on the agent, or it cannot be started.
const EXIT_CANNOT_START: u8 = 126;
/// The first and the longest wait between two looks.
const LOOK_MS: (u64, u64) = (20, 500);
/// How long a task may wait for a place before somebody is told why.
const EXPLAIN_AFTER: Duration = Duration::from_secs(2);
/// How long the core may be away.
const PATIENCE: Duration = Duration::from_secs(120);

/// How to follow.
#[derive(Debug, Clone, Copy)]
pub struct Wish {
    /// Whether to stream what the task writes.
    pub logs: bool,
    /// Whether to say nothing on the way.
    pub quiet: bool,
    /// Whether to show the end of what it wrote, when it was not streamed.
    pub tails: bool,
    /// How to write the task at the end; a table is only for the tails.
    pub output: Output,
}

/// Does something whose exit code is a task's, so that a failure of the client has one of its own.
///
/// # Errors
/// What was written is wrong: that has the usual code, because nothing was done.
pub fn told(work: impl FnOnce() -> Result<u8, ClientError>) -> Result<u8, ClientError> {
    match work() {
        Err(error) if error.code() != EXIT_USAGE => {
            output::note(&format!("ambit: {error}"));
            Ok(EXIT_NO_RESULT)
        }
        other => other,
    }
}

/// Follows a task until it is settled; the answer is its exit code.
///
/// # Errors
/// The core refuses, or is away for too long.
pub fn until_settled(connection: &Connection, id: &str, wish: &Wish) -> Result<u8, ClientError> {
    // In JSON or YAML, standard output is the task's document.
    let streams = wish.logs && wish.output == Output::Table;
    let (value, task) = thread::scope(|scope| {
        let reader = streams.then(|| scope.spawn(|| logs::follow(connection, id, PATIENCE)));
        let settled = settled(connection, id, wish);
        if settled.is_ok()
            && let Some(Ok(Err(error))) = reader.map(thread::ScopedJoinHandle::join)
        {
            output::note(&format!("ambit: the log broke off: {error}"));
        }
        settled
    })?;
    let outcome = task.outcome.as_ref();
    match wish.output {
        Output::Table => {
            if let (true, false, Some(outcome)) = (wish.tails, streams, outcome) {
                output::print(&outcome.stdout_tail)?;
                eprint!("{}", outcome.stderr_tail);
            }
        }
        other => output::answer(other, &value, || Ok(show::task(&task)))?,
    }
    Ok(outcome.map_or(EXIT_NO_RESULT, exit_code))
}

fn settled(
    connection: &Connection,
    id: &str,
    wish: &Wish,
) -> Result<(Value, TaskDocument), ClientError> {
    let mut told = String::new();
    let mut wait_ms = LOOK_MS.0;
    let mut heard = Instant::now();
    let begun = Instant::now();
    let mut explained = wish.quiet;
    loop {
        match connection.get(&format!("/v1/tasks/{id}")) {
            Ok(value) => {
                heard = Instant::now();
                let task: TaskDocument = typed(&value)?;
                let line = line(&task);
                if line != told {
                    if !wish.quiet {
                        output::note(&line);
                    }
                    told = line;
                    wait_ms = LOOK_MS.0;
                }
                if task.summary.status.is_settled() {
                    return Ok((value, task));
                }
                let waits = task.summary.status == TaskStatus::Pending;
                if waits && !explained && begun.elapsed() > EXPLAIN_AFTER {
                    explained = true;
                    explain(connection, id);
                }
            }
            Err(error) if error.passes() && heard.elapsed() < PATIENCE => {
                if told != "away" && !wish.quiet {
                    output::note(&format!("{error}; waiting for it"));
                }
                told = "away".to_owned();
                wait_ms = LOOK_MS.1;
            }
            Err(error) => return Err(error),
        }
        thread::sleep(Duration::from_millis(wait_ms));
        wait_ms = (wait_ms * 3 / 2).min(LOOK_MS.1);
    }
}

/// Why it still waits, for somebody who looks on.
fn explain(connection: &Connection, id: &str) {
    let value = connection.get(&format!("/v1/tasks/{id}/explain"));
    if let Ok(explanation) = value.and_then(|value| typed::<Explanation>(&value)) {
        output::note(&format!("waits      {}", tame(&explanation.summary)));
        for help in &explanation.what_helps {
            output::note(&format!("           what helps: {}", tame(help)));
        }
    }
}

/// Where a task stands, in a line.
fn line(task: &TaskDocument) -> String {
    let summary = &task.summary;
    let place = || {
        let last = task.assignments.last();
        last.map_or(String::new(), |row| {
            let away = row.distance_m.map_or(String::new(), |m| format!(", {} away", distance(m)));
            let again = if row.attempt.0 > 1 {
                format!(" (attempt {})", row.attempt)
            } else {
                String::new()
            };
            format!("on {}{again}{away}", row.agent)
        })
    };
    let detail = match (&task.outcome, summary.status) {
        (Some(outcome), _) => ending(outcome),
        (None, TaskStatus::Assigned | TaskStatus::Running) => place(),
        (None, TaskStatus::Pending) if summary.attempt.0 > 0 => {
            format!("again, after attempt {}", summary.attempt)
        }
        _ => String::new(),
    };
    let status = format!("{:<10}", summary.status.name());
    format!("{} {}", output::noted(colour_of(summary.status.name()), status), tame(&detail))
        .trim_end()
        .to_owned()
}

fn ending(outcome: &OutcomeDocument) -> String {
    let place = outcome.agent.as_ref().map_or(String::new(), |agent| format!(" on {agent}"));
    let ran = outcome.ran_ms.map_or(String::new(), |ms| format!(" after {ms} ms"));
    format!("{}{place}{ran}", outcome.detail)
}

/// The exit code that tells how a task came out.
fn exit_code(outcome: &OutcomeDocument) -> u8 {
    if outcome.status == TaskStatus::Succeeded {
        return 0;
    }
    match (outcome.reason, outcome.exit_code, outcome.signal) {
        (Some(FailureReason::TimedOut | FailureReason::DeadlinePassed), _, _) => EXIT_TIMED_OUT,
        (Some(FailureReason::SpawnFailed), _, _) => EXIT_CANNOT_START,
        (Some(FailureReason::ExitCode), Some(code), _) => {
            u8::try_from(code).ok().filter(|code| *code > 0).unwrap_or(EXIT_NO_RESULT)
        }
        (_, _, Some(signal)) => u8::try_from(signal.saturating_add(128)).unwrap_or(EXIT_NO_RESULT),
        _ => EXIT_NO_RESULT,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shared::time::Timestamp;

    #[test]
    fn the_exit_code_tells_how_the_task_came_out() {
        use FailureReason as Why;
        let code = |status, reason, exit_code, signal| {
            super::exit_code(&OutcomeDocument {
                status,
                reason,
                detail: String::new(),
                settled_at: Timestamp(0),
                attempt: None,
                agent: None,
                exit_code,
                signal,
                ran_ms: None,
                stdout_tail: String::new(),
                stderr_tail: String::new(),
            })
        };
        use TaskStatus::{Canceled, Failed, Succeeded};
        assert_eq!(code(Succeeded, None, Some(0), None), 0);
        assert_eq!(code(Succeeded, None, None, None), 0, "nothing to run");
        assert_eq!(code(Failed, Some(Why::ExitCode), Some(3), None), 3);
        assert_eq!(code(Failed, Some(Why::Signal), None, Some(9)), 137);
        assert_eq!(code(Failed, Some(Why::OutOfMemory), None, Some(9)), 137);
        assert_eq!(code(Failed, Some(Why::TimedOut), None, Some(15)), 124);
        assert_eq!(code(Failed, Some(Why::DeadlinePassed), None, None), 124);
        assert_eq!(code(Failed, Some(Why::SpawnFailed), None, None), 126);
        assert_eq!(code(Failed, Some(Why::Lost), None, None), 125);
        assert_eq!(code(Canceled, None, None, None), 125);
    }
}

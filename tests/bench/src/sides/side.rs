//! One of the two processes, as the benchmark sees it: words in, lines of `name=number` out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// A process that answers every line that it is told with one line.
#[derive(Debug)]
pub struct Side {
    name: &'static str,
    child: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Side {
    /// Starts this program once more, as one side.
    pub fn start(name: &'static str, words: &[String]) -> Self {
        let program = std::env::current_exe().expect("the path of this program");
        let child = Command::new(program)
            .arg(name)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let words = child.stdin.take().expect("its standard input");
        let answers = BufReader::new(child.stdout.take().expect("its standard output"));
        Self { name, child, words, answers }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Tells it something, and waits for its answer.
    pub fn say(&mut self, words: &str) -> Status {
        let mut line = String::new();
        let told = writeln!(self.words, "{words}").and_then(|()| self.words.flush());
        let heard = told.and_then(|()| self.answers.read_line(&mut line));
        match heard {
            Ok(1..) => Status::parse(&line),
            _ => panic!("{} ended; its last words are above", self.name),
        }
    }

    /// How it stands.
    pub fn status(&mut self) -> Status {
        self.say("status")
    }

    /// Waits until one of its numbers is as wanted.
    pub fn wait(&mut self, name: &str, wanted: u64, patience: Duration) {
        let begun = Instant::now();
        loop {
            let status = self.status();
            if status.get(name) == wanted {
                return;
            }
            let waited = begun.elapsed();
            assert!(waited < patience, "waited for {name}={wanted} of {}: {status:?}", self.name);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        self.end();
    }
}

/// How a side stands, in numbers.
#[derive(Debug, Clone, Default)]
pub struct Status(BTreeMap<String, u64>);

impl Status {
    /// One of the numbers; 0 when there is none.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Sets one.
    pub fn set(&mut self, name: &str, number: u64) {
        self.0.insert(name.to_owned(), number);
    }

    /// As a line.
    pub fn line(&self) -> String {
        let mut line = String::new();
        for (name, number) in &self.0 {
            // Writing to a text cannot fail.
            let _ = write!(line, "{name}={number} ");
        }
        line
    }

    fn parse(line: &str) -> Self {
        let pair = |word: &str| {
            let (name, number) = word.split_once('=')?;
            Some((name.to_owned(), number.parse().ok()?))
        };
        Self(line.split_whitespace().filter_map(pair).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_line() {
        let mut status = Status::default();
        status.set("a", 7);
        status.set("b_at", 0);
        let read = Status::parse(&status.line());
        assert_eq!((read.get("a"), read.get("b_at"), read.get("c")), (7, 0, 0));
        assert_eq!(read.line(), status.line());
    }
}

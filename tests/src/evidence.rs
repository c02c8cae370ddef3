//! What tasks themselves say about having run. Each start and end is one line, appended by one
//! write, so that a double run cannot hide behind any bookkeeping of ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// A file that tasks append to.
#[derive(Debug, Clone)]
pub struct Evidence {
    path: PathBuf,
}

/// What is known of one attempt of one task.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traces {
    /// How often it began.
    pub starts: u32,
    /// How often it came to its end.
    pub ends: u32,
}

impl Evidence {
    /// Evidence in this file, which need not exist yet.
    #[must_use]
    pub fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The `run` of a task that does what the shell script says and leaves evidence of its start
    /// and its end. Its exit code is the script's.
    #[must_use]
    pub fn run(&self, script: &str) -> Value {
        let path = self.path.display();
        let note = |what| format!(r#"echo "$AMBIT_TASK_ID $AMBIT_ATTEMPT {what}" >> '{path}'"#);
        let script = format!("{}\n({script})\ncode=$?\n{}\nexit $code", note("start"), note("end"));
        json!({"exec": {"command": "/bin/sh", "args": ["-c", script]}})
    }

    /// What was left so far, by task and attempt.
    ///
    /// # Panics
    /// When a line is not one of ours: two writes were mixed, or a task had no id.
    #[must_use]
    pub fn traces(&self) -> BTreeMap<(String, u32), Traces> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let mut traces: BTreeMap<(String, u32), Traces> = BTreeMap::new();
        for line in text.split_inclusive('\n') {
            let words: Vec<&str> = line.trim_end().split(' ').collect();
            let &[task, attempt, what] = words.as_slice() else {
                panic!("evidence that cannot be read: {line:?}")
            };
            let attempt = attempt.parse().unwrap_or_else(|_| panic!("no attempt in {line:?}"));
            assert_eq!(task.len(), 36, "no task id in {line:?}");
            let trace = traces.entry((task.to_owned(), attempt)).or_default();
            match what {
                "start" => trace.starts += 1,
                "end" => trace.ends += 1,
                _ => panic!("evidence that cannot be read: {line:?}"),
            }
        }
        traces
    }

    /// The traces of one attempt.
    #[must_use]
    pub fn of(&self, task: &str, attempt: u32) -> Traces {
        self.traces().get(&(task.to_owned(), attempt)).copied().unwrap_or_default()
    }

    /// Every attempt that began more than once; must be empty.
    #[must_use]
    pub fn doubled(&self) -> Vec<(String, u32)> {
        let traces = self.traces();
        traces.into_iter().filter(|(_, trace)| trace.starts > 1).map(|(who, _)| who).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_double_run_is_seen() {
        let folder = tempfile::tempdir().expect("a folder");
        let evidence = Evidence::at(folder.path().join("evidence"));
        assert!(evidence.doubled().is_empty());
        let task = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b";
        let script =
            evidence.run("exit 3")["exec"]["args"][1].as_str().expect("a script").to_owned();
        let run = |attempt: &str| {
            let mut command = std::process::Command::new("/bin/sh");
            command.args(["-c", &script]).env("AMBIT_TASK_ID", task).env("AMBIT_ATTEMPT", attempt);
            command.status().expect("a shell").code()
        };
        assert_eq!(run("1"), Some(3));
        assert_eq!(run("2"), Some(3));
        assert_eq!(evidence.of(task, 1), Traces { starts: 1, ends: 1 });
        assert!(evidence.doubled().is_empty());
        run("2");
        assert_eq!(evidence.doubled(), [(task.to_owned(), 2)]);
    }
}

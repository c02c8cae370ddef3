//! One process of the cluster: started with its output in a file, killed or stopped, started
//! again with the same words. Knows nothing of what the program does.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::wait::within;

/// How much of a log is shown when a test fails, in bytes.
const TAIL_BYTES: u64 = 6 * 1024;

/// What a program inherits; whatever else is set where the tests run is not meant for it.
const INHERITED: &[&str] = &["PATH", "HOME", "TMPDIR"];

/// How long a process may take to stop in an orderly way.
const STOP_PATIENCE: Duration = Duration::from_secs(30);

/// A program that is to run in the background.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    /// Words in front of the program, which bring it to where it is to run.
    entry: Vec<String>,
    environment: Vec<(String, String)>,
    folder: PathBuf,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// A program with its arguments, not started yet. Its output, of all its lives, goes to
    /// `FOLDER/NAME.log`.
    #[must_use]
    pub fn new(name: &str, program: &Path, args: Vec<String>, folder: &Path) -> Self {
        Self {
            name: name.to_owned(),
            program: program.to_path_buf(),
            args,
            entry: Vec::new(),
            environment: Vec::new(),
            folder: folder.to_path_buf(),
            log: folder.join(format!("{name}.log")),
            child: None,
        }
    }

    /// Has it run elsewhere from its next start on: these words come before its own, and what
    /// they name becomes the program, in the same process.
    pub fn enter_by(&mut self, entry: Vec<String>) {
        self.entry = entry;
    }

    /// Has a variable in its environment from its next start on.
    pub fn set_env(&mut self, name: &str, value: &str) {
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// What it is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it.
    ///
    /// # Panics
    /// When it runs already, or the program cannot be started.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs already", self.name);
        let log = OpenOptions::new().create(true).append(true).open(&self.log).expect("a log");
        let program = self.program.as_os_str();
        let mut words = self.entry.iter().map(OsStr::new).chain([program]);
        let child = Command::new(words.next().unwrap_or(program))
            .args(words)
            .args(&self.args)
            .env_clear()
            .envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
            .env("RUST_BACKTRACE", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log twice"))
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| {
            panic!("{} cannot be started from {}: {error}", self.name, self.program.display())
        }));
    }

    /// SIGKILL, and waits until it is gone. Nothing happens when it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGKILL without waiting, so that several processes die at one moment; [`Daemon::kill`]
    /// afterwards waits.
    pub fn strike(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
        }
    }

    /// SIGTERM, and waits until it has stopped in its own time.
    ///
    /// # Panics
    /// When it does not stop.
    pub fn stop(&mut self) -> Option<ExitStatus> {
        let mut child = self.child.take()?;
        self::signal(&child, Signal::TERM);
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            within(STOP_PATIENCE, &format!("{} to stop after SIGTERM", self.name), || {
                match child.try_wait() {
                    Ok(Some(status)) => Ok(status),
                    Ok(None) => Err("it still runs".to_owned()),
                    Err(error) => Err(error.to_string()),
                }
            })
        }));
        match waited {
            Ok(status) => Some(status),
            Err(panic) => {
                let _ = child.kill();
                let _ = child.wait();
                std::panic::resume_unwind(panic)
            }
        }
    }

    /// Sends it a signal, if it runs: STOP and CONT make it deaf for a while.
    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            self::signal(child, signal);
        }
    }

    /// Whether it runs; a process that ended by itself is told apart from one never started.
    pub fn state(&mut self) -> State {
        match &mut self.child {
            None => State::Down,
            Some(child) => match child.try_wait() {
                Ok(None) => State::Running,
                Ok(Some(status)) => State::Ended(status),
                Err(_) => State::Down,
            },
        }
    }

    /// Everything it wrote.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// The end of what it wrote.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let Ok(mut file) = File::open(&self.log) else {
            return String::new();
        };
        let length = file.metadata().map_or(0, |metadata| metadata.len());
        let mut bytes = Vec::new();
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)));
        let _ = file.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// What a daemon does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It runs.
    Running,
    /// It was not started, or was killed or stopped by the test.
    Down,
    /// It ended by itself.
    Ended(ExitStatus),
}

impl State {
    /// Whether it ended in a way that no test asked for: a panic, an error, a signal.
    #[must_use]
    pub fn is_crash(self) -> bool {
        matches!(self, Self::Ended(status) if !status.success() || status.signal().is_some())
    }
}

fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may have ended meanwhile.
        let _ = kill_process(pid, signal);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let (name, tail) = (&self.name, self.log_tail());
            eprintln!("──── end of {} ({name}) ────\n{tail}", self.log.display());
        }
    }
}

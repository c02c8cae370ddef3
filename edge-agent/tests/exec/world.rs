//! A data directory, an executor on it, and ways to look at what happens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use edge_agent::exec::{
    AttemptDir, ExecEvent, ExecEventKind, ExecOrder, Executor, ExitRecord, Identity, LOG_BYTES_MAX,
    Lock, LogReader, RuntimeDir, RuntimePaths, Spec, kernel_boot_id,
};
use shared::id::{AssignmentId, Attempt, TaskId};
use shared_runtime::clock::Clock;
use tokio::sync::mpsc::Receiver;

/// Far longer than anything here takes on any machine.
pub const LONG: Duration = Duration::from_secs(60);

pub const BINARY: &str = env!("CARGO_BIN_EXE_ambit-agent");

pub struct World {
    pub root: tempfile::TempDir,
}

pub struct Agent {
    pub executor: Executor,
    pub events: Receiver<ExecEvent>,
}

impl World {
    pub fn new() -> Self {
        Self { root: tempfile::tempdir().expect("a temporary directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub fn agent(&self) -> Agent {
        agent_at(self.root.path())
    }

    pub fn dir(&self, id: AssignmentId) -> AttemptDir {
        AttemptDir::of(&self.path("attempts"), id)
    }

    pub fn log(&self, task: u128) -> LogReader {
        LogReader::open(&self.dir(id(task)))
    }

    pub fn runtime(&self) -> RuntimeDir {
        RuntimeDir::choose(self.root.path()).expect("a runtime folder")
    }

    /// As far as an agent gets that dies between writing the order and spawning a supervisor.
    pub fn prepare(&self, order: &ExecOrder) -> AttemptDir {
        self.prepare_with(order, self.runtime().path())
    }

    /// The same, of an agent with another runtime folder.
    pub fn prepare_with(&self, order: &ExecOrder, runtime: &Path) -> AttemptDir {
        let dir = self.dir(order.id);
        std::fs::create_dir_all(self.path("attempts")).expect("create");
        dir.create().expect("create");
        let boot_id = kernel_boot_id().expect("/proc");
        let progress_file = dir.path().join("progress");
        let runtime = Some(RuntimePaths { dir: runtime.to_owned(), progress_file });
        dir.write_spec(&Spec { boot_id, order: order.clone(), runtime }).expect("write");
        dir
    }

    /// The process that runs an attempt.
    pub fn supervisor_of(&self, task: u128) -> u32 {
        match self.dir(id(task)).read_lock().expect("a lock") {
            Lock::Supervisor { supervisor_pid, .. } => supervisor_pid,
            Lock::Tombstone => panic!("a tombstone"),
        }
    }

    /// A shell task whose variable `W` is this world's directory.
    pub fn shell(&self, task: u128, script: &str) -> ExecOrder {
        let mut order = command(task, "/bin/sh", &["-c", script]);
        order.env.insert("W".to_owned(), self.root.path().display().to_string());
        order
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // It is not below the temporary directory.
        if let Ok(runtime) = RuntimeDir::choose(self.root.path()) {
            let _ = std::fs::remove_dir_all(runtime.path());
        }
    }
}

pub fn agent_at(data_dir: &Path) -> Agent {
    agent_with(data_dir, Path::new(BINARY))
}

/// One whose own program is this.
pub fn agent_with(data_dir: &Path, own_exe: &Path) -> Agent {
    let (executor, events) = Executor::new(data_dir, own_exe).expect("an executor");
    Agent { executor, events }
}

impl Agent {
    pub fn start(&self, order: &ExecOrder) {
        self.executor.start(order).expect("started");
    }

    pub async fn next(&mut self) -> ExecEvent {
        let next = tokio::time::timeout(LONG, self.events.recv()).await;
        next.expect("an event in time").expect("an open channel")
    }

    pub async fn started(&mut self) -> u32 {
        match self.next().await.kind {
            ExecEventKind::Started { pid } => pid,
            other => panic!("not started: {other:?}"),
        }
    }

    pub async fn ended(&mut self) -> ExitRecord {
        match self.next().await.kind {
            ExecEventKind::Ended(record) => record,
            other => panic!("not ended: {other:?}"),
        }
    }

    /// Starts and waits for the end.
    pub async fn run(&mut self, order: &ExecOrder) -> ExitRecord {
        self.start(order);
        self.started().await;
        self.ended().await
    }
}

pub fn id(task: u128) -> AssignmentId {
    AssignmentId { task: TaskId(uuid::Uuid::from_u128(task)), attempt: Attempt(1) }
}

pub fn command(task: u128, command: &str, args: &[&str]) -> ExecOrder {
    let id = id(task);
    let env = BTreeMap::from([
        ("AMBIT_TASK_ID".to_owned(), id.task.to_string()),
        ("AMBIT_ATTEMPT".to_owned(), id.attempt.to_string()),
        ("AMBIT_AGENT_ID".to_owned(), "board-7".to_owned()),
    ]);
    ExecOrder {
        id,
        command: command.to_owned(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env,
        dir: None,
        stdout_tail_bytes: 8192,
        stderr_tail_bytes: 8192,
        log_bytes_max: LOG_BYTES_MAX,
        event: None,
        lease: None,
    }
}

/// The clock that leases are measured by.
pub fn boottime_ms() -> u64 {
    Clock::new().now().mono.0
}

/// Runs a supervisor by hand and waits for it.
pub fn supervise(dir: &AttemptDir) -> Output {
    supervisor(dir).output().expect("the supervisor")
}

pub fn supervisor(dir: &AttemptDir) -> Command {
    let mut command = Command::new(BINARY);
    command.arg("supervise").arg(dir.path()).stdin(Stdio::null());
    command
}

pub fn block_on<F: Future>(work: F) -> F::Output {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime").block_on(work)
}

/// Waits for something that has no event.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let give_up = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < give_up, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub fn is_alive(pid: u32) -> bool {
    Identity::of(pid).is_some_and(Identity::is_alive)
}

/// The process ids that a task wrote to a file, one a line.
pub fn pids(text: &str) -> Vec<u32> {
    text.lines().map(|line| line.trim().parse().expect("a process id")).collect()
}

/// SIGKILL to exactly one process.
pub fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("kill");
}

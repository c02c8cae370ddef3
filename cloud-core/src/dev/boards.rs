//! The agent processes of a development fleet: one per city, each behind a link of its own that
//! takes as long as the way to that city would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use tokio::process::{Child, Command};

use super::cities::{Site, sites};
use super::delay::DelayedLink;

/// How long an agent has to stop when asked to.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// A board: its place, its link, and the agent on it while it is powered.
#[derive(Debug)]
pub struct Board {
    /// Where it stands and what it is.
    pub site: Site,
    /// Its way to the broker.
    pub link: DelayedLink,
    /// Its data folder.
    pub data: PathBuf,
    process: Option<Child>,
}

/// All boards of a development fleet.
#[derive(Debug)]
pub struct Boards {
    /// In the order of the cities.
    pub all: Vec<Board>,
    program: PathBuf,
    join_token_file: PathBuf,
}

impl Boards {
    /// Starts `count` agents that connect to `broker`.
    ///
    /// # Errors
    /// When the agent's program cannot be found or started.
    pub async fn start(
        count: usize,
        broker: SocketAddr,
        join_token_file: &Path,
        data: &Path,
    ) -> anyhow::Result<Self> {
        let mut boards = Self {
            all: Vec::with_capacity(count),
            program: agent_program()?,
            join_token_file: join_token_file.to_owned(),
        };
        for site in sites(count) {
            let one_way = Duration::from_secs_f64(site.round_trip_ms / 2_000.0);
            let link = DelayedLink::start(broker, one_way)
                .await
                .context("no loopback port for a link is to be had")?;
            let data = data.join("agents").join(&site.id);
            boards.all.push(Board { site, link, data, process: None });
        }
        for index in 0..boards.all.len() {
            boards.power_on(index)?;
        }
        Ok(boards)
    }

    /// The board of an agent.
    #[must_use]
    pub fn find(&self, agent: &str) -> Option<usize> {
        self.all.iter().position(|board| board.site.id == agent)
    }

    /// Starts the agent of a board.
    ///
    /// # Errors
    /// When its process cannot be started.
    pub fn power_on(&mut self, index: usize) -> anyhow::Result<()> {
        let board = &mut self.all[index];
        std::fs::create_dir_all(&board.data)
            .with_context(|| format!("cannot make {}", board.data.display()))?;
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(board.data.join("agent.log"))
            .with_context(|| format!("cannot write into {}", board.data.display()))?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("--id").arg(&board.site.id);
        command.arg("--broker").arg(format!("mqtt://{}", board.link.address()));
        // One word each: a negative number by itself would look like a flag.
        command.arg(format!("--latitude={}", board.site.position.latitude()));
        command.arg(format!("--longitude={}", board.site.position.longitude()));
        command.arg("--region").arg(&board.site.region);
        command.arg("--capacity").arg(board.site.board.capacity);
        command.arg("--tasks-max").arg(board.site.board.tasks_max.to_string());
        let country = format!("country={}", board.site.country);
        for label in board.site.board.labels.iter().copied().chain([country.as_str()]) {
            command.arg("--label").arg(label);
        }
        command.arg("--data").arg(&board.data);
        command.arg("--join-token-file").arg(&self.join_token_file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Ctrl-C on the terminal is for this program, which then stops its agents in order.
        command.process_group(0).kill_on_drop(true);
        let process =
            command.spawn().with_context(|| format!("cannot start {}", self.program.display()))?;
        board.process = Some(process);
        Ok(())
    }

    /// Takes the power from a board: its agent and everything it runs is killed at once.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn power_off(&mut self, index: usize) -> anyhow::Result<()> {
        let board = &mut self.all[index];
        if let Some(mut process) = board.process.take() {
            process.kill().await.context("cannot kill an agent")?;
        }
        for process in processes_in(&board.data) {
            kill(process);
        }
        Ok(())
    }

    /// What an agent's own database says, asked without any network.
    ///
    /// # Errors
    /// When the agent's program cannot be run, or does not answer JSON.
    pub fn status(&self, index: usize) -> anyhow::Result<serde_json::Value> {
        let mut command = std::process::Command::new(&self.program);
        command.args(["status", "-o", "json", "--data"]).arg(&self.all[index].data);
        let output = command.output().context("cannot ask an agent for its status")?;
        serde_json::from_slice(&output.stdout).with_context(|| {
            format!("an agent's status is not JSON: {}", String::from_utf8_lossy(&output.stderr))
        })
    }

    /// Stops every agent in an orderly way, and then whatever they have left running.
    pub async fn stop(&mut self) {
        for board in &self.all {
            if let Some(id) = board.process.as_ref().and_then(Child::id) {
                terminate(id);
            }
        }
        for board in &mut self.all {
            if let Some(mut process) = board.process.take() {
                // One that does not stop in time is killed when it is dropped.
                let _ = tokio::time::timeout(STOP_WITHIN, process.wait()).await;
            }
            for process in processes_in(&board.data) {
                kill(process);
            }
        }
    }
}

/// The agent's program: named by `AMBIT_AGENT_PROGRAM`, or beside this one.
fn agent_program() -> anyhow::Result<PathBuf> {
    if let Some(path) = std::env::var_os("AMBIT_AGENT_PROGRAM") {
        return Ok(path.into());
    }
    let own = std::env::current_exe().context("this program's own path is not known")?;
    let path = own.with_file_name("ambit-agent");
    anyhow::ensure!(
        path.exists(),
        "{} is missing; build it with `cargo build --package edge-agent`, or name it in \
         AMBIT_AGENT_PROGRAM",
        path.display()
    );
    Ok(path)
}

/// The processes that were started with this folder, or one below it, among their arguments: the
/// supervisors of the tasks that a board runs. Killing one takes its task along.
fn processes_in(folder: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    numbers
        .filter(|process: &u32| {
            let words = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
            let supervises = words.split(|byte| *byte == 0).any(|word| {
                Path::new(std::str::from_utf8(word).unwrap_or_default()).starts_with(folder)
            });
            supervises && *process != std::process::id()
        })
        .collect()
}

fn signal(process: u32, signal: rustix::process::Signal) {
    let id = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        // It may have ended by itself in the meantime.
        let _ = rustix::process::kill_process(id, signal);
    }
}

fn terminate(process: u32) {
    signal(process, rustix::process::Signal::TERM);
}

fn kill(process: u32) {
    signal(process, rustix::process::Signal::KILL);
}

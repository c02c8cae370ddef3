//! `ambit dev`: a whole fleet on this machine. A core with the embedded broker in this process, and
//! one agent process per city behind a link of its own. Everything stops together.

mod alone;
pub mod boards;
pub mod cities;
pub mod client;
pub mod delay;
mod tour;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use shared_runtime::shutdown::Shutdown;

use crate::app::App;
use crate::config::Config;
use boards::Boards;
use client::Client;

/// Heartbeats of a development fleet, in milliseconds: a person watches.
const HEARTBEAT_MS: u64 = 1_000;
/// The fewest agents that the tour can be shown with.
const TOUR_AGENTS: usize = 12;

/// What a development fleet is to be.
#[derive(Debug, Clone, Copy)]
pub struct Wishes {
    /// How many agents.
    pub agents: usize,
    /// Whether to show it at work.
    pub tour: bool,
    /// Whether to end by itself after the tour.
    pub once: bool,
}

/// Checks what was wished for.
///
/// # Errors
/// What cannot be had, and what can.
pub fn check(wishes: &Wishes) -> anyhow::Result<()> {
    let most = cities::sites_max();
    ensure!(
        (1..=most).contains(&wishes.agents),
        "--agents must be 1 to {most}, one for each city on the built-in list"
    );
    ensure!(
        !wishes.tour || wishes.agents >= TOUR_AGENTS,
        "--tour needs at least {TOUR_AGENTS} agents; write --agents {TOUR_AGENTS}"
    );
    ensure!(wishes.tour || !wishes.once, "--once ends after the tour; write --tour too");
    Ok(())
}

/// Runs a fleet until a signal, or until the tour is over when that is all it is to do.
///
/// # Errors
/// What is in the way, or what the tour did not see happen.
pub async fn run(mut config: Config, wishes: Wishes, shutdown: Shutdown) -> anyhow::Result<()> {
    config.core.heartbeat_ms = HEARTBEAT_MS;
    let data = config.data.clone();
    let mut app = App::start(config).await?;
    let broker = app.broker_addr.context("a development fleet needs the embedded broker")?;
    let url = app.http_url.clone();
    let client = Client::new(&url);
    let started = Boards::start(wishes.agents, broker, &app.join_token_file, &data).await;
    let ended = match started {
        Err(error) => Err(error),
        Ok(mut boards) => {
            let ended = tokio::select! {
                () = shutdown.requested() => Ok(()),
                ended = app.failed() => ended.map_err(Into::into),
                ended = live(&client, &url, &mut boards, wishes) => ended,
            };
            boards.stop().await;
            ended
        }
    };
    let stopped = app.stop().await;
    ended.and(stopped.map_err(Into::into))
}

async fn live(
    client: &Client,
    url: &str,
    boards: &mut Boards,
    wishes: Wishes,
) -> anyhow::Result<()> {
    all_online(client, boards).await?;
    println!("ready {url}");
    if wishes.tour {
        tour::show(client, boards).await?;
        println!("\nAll of it was seen to happen.");
    }
    if wishes.once {
        return Ok(());
    }
    println!("\nThe fleet is up at {url} until Ctrl-C. Try:");
    for command in commands(url) {
        println!("  {command}");
    }
    std::future::pending().await
}

fn commands(url: &str) -> [String; 3] {
    // The usual core needs no naming.
    let ambit = match url {
        crate::client::URL_DEFAULT => "ambit".to_owned(),
        url => format!("AMBIT_URL={url} ambit"),
    };
    let near = "--near 41.01,28.97 --within 500km";
    [
        format!("{ambit} agent list"),
        format!("{ambit} task plan {near} --noop"),
        format!("{ambit} task run {near} -- /bin/echo hello from the edge"),
    ]
}

async fn all_online(client: &Client, boards: &Boards) -> anyhow::Result<()> {
    for board in &boards.all {
        let path = format!("/v1/agents/{}", board.site.id);
        let what = format!("{} is online", board.site.id);
        let heard = tour::until(&what, || {
            // Before its first hello the core does not know it.
            let document = client.get(&path).unwrap_or_default();
            Ok((document["status"] == "online").then_some(()))
        });
        heard.await.with_context(|| {
            let log = board.data.join("agent.log");
            format!("agent {} did not come online; see {}", board.site.id, log.display())
        })?;
    }
    Ok(())
}

/// A data folder that is gone when the fleet is.
#[derive(Debug)]
pub struct PassingFolder(PathBuf);

impl PassingFolder {
    /// Makes one for this process.
    ///
    /// # Errors
    /// When the system's folder for temporary files cannot be written.
    pub fn make() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("ambit-dev-{}", std::process::id()));
        std::fs::create_dir_all(&path).with_context(|| {
            format!("cannot make {}; name a folder with --data", path.display())
        })?;
        Ok(Self(path))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for PassingFolder {
    fn drop(&mut self) {
        // What is left behind is in the folder for what may be left behind.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

//! One agent of a cluster: what it is, the words its program is started with, its folder, and the
//! link it may have of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::binaries;
use crate::broker::{BrokerKind, password_of};
use crate::daemon::Daemon;
use crate::link::FaultyLink;
use crate::scratch::write_private;

/// What an agent is to be.
#[derive(Debug, Clone)]
pub struct AgentSetup {
    /// Its id.
    pub id: String,
    /// Degrees north and east.
    pub position: (f64, f64),
    /// Its region.
    pub region: String,
    /// Its labels, `key=value`.
    pub labels: Vec<String>,
    /// Its capacity, as the command line takes it.
    pub capacity: String,
    /// The most tasks it holds.
    pub tasks_max: u32,
    /// The join token it has, if any; `None` is the core's.
    pub join_token: Option<Token>,
    /// Whether its way to the broker can be cut.
    pub faulty: bool,
    /// Whether it is started, and waited for, with the cluster.
    pub starts: bool,
    /// The most tasks that run at once; the others it holds wait.
    pub running_max: Option<u32>,
    /// After how many milliseconds without its core it runs again what a power cut ended, if not
    /// after as many as usual.
    pub lonely_ms: Option<u64>,
    /// How much of its disk is to stay free, in MiB, if not as much as usual.
    pub disk_reserve_mib: Option<u64>,
    /// Whether it is as patient as agents are in the field.
    pub patient: bool,
    /// Its program, if not the one that was built with the tests.
    pub program: Option<PathBuf>,
}

/// A join token that is not the core's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// None at all.
    Absent,
    /// Another one.
    Wrong,
}

impl AgentSetup {
    /// An agent at a place, with room for a few small tasks.
    #[must_use]
    pub fn at(id: &str, latitude: f64, longitude: f64) -> Self {
        Self {
            id: id.to_owned(),
            position: (latitude, longitude),
            region: "somewhere".to_owned(),
            labels: Vec::new(),
            capacity: "cpu_millis=4000,memory_mib=4096,disk_mib=4096,bandwidth_kbps=100000"
                .to_owned(),
            tasks_max: 32,
            join_token: None,
            faulty: false,
            starts: true,
            running_max: None,
            lonely_ms: None,
            disk_reserve_mib: None,
            patient: false,
            program: None,
        }
    }

    /// The same in a region.
    #[must_use]
    pub fn region(mut self, region: &str) -> Self {
        self.region = region.to_owned();
        self
    }

    /// The same with one label more, `key=value`.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.labels.push(label.to_owned());
        self
    }

    /// The same behind a link that can be cut.
    #[must_use]
    pub fn faulty(mut self) -> Self {
        self.faulty = true;
        self
    }

    /// The same with another token than the core's.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.join_token = Some(token);
        self
    }

    /// The same, running only so many of its tasks at once.
    #[must_use]
    pub fn running_max(mut self, running_max: u32) -> Self {
        self.running_max = Some(running_max);
        self
    }

    /// The same, running again what a power cut ended after so many milliseconds without its core.
    #[must_use]
    pub fn lonely_ms(mut self, lonely_ms: u64) -> Self {
        self.lonely_ms = Some(lonely_ms);
        self
    }

    /// The same with so many MiB of its disk to stay free.
    #[must_use]
    pub fn disk_reserve_mib(mut self, mib: u64) -> Self {
        self.disk_reserve_mib = Some(mib);
        self
    }

    /// The same with the patience that agents have when nobody says otherwise.
    #[must_use]
    pub fn patient(mut self) -> Self {
        self.patient = true;
        self
    }

    /// The same with another build of its program.
    #[must_use]
    pub fn program(mut self, program: PathBuf) -> Self {
        self.program = Some(program);
        self
    }

    /// The same, not started by itself.
    #[must_use]
    pub fn later(mut self) -> Self {
        self.starts = false;
        self
    }
}

/// An agent of a cluster.
#[derive(Debug)]
pub struct Agent {
    /// What it is.
    pub setup: AgentSetup,
    /// Its process.
    pub daemon: Daemon,
    /// Its link, if it has one of its own.
    pub link: Option<FaultyLink>,
    data: PathBuf,
}

/// What all agents of a cluster have in common.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// Which broker there is.
    pub kind: BrokerKind,
    /// Where it is.
    pub broker: SocketAddr,
    /// The authority of its certificate, if it is reached by TLS.
    pub authority: Option<PathBuf>,
    /// The file with the core's join token.
    pub join_token_file: PathBuf,
    /// The cluster's folder.
    pub folder: PathBuf,
}

/// What suits a test: quick to try again, where a board in the field is patient.
const QUICK: &str = "\
resend_ms = 1000
resend_ms_max = 4000
hello_ms = 500
hello_ms_max = 2000
refused_ms = 1000
kill_again_ms = 1000
";

impl Agent {
    /// Prepares an agent; does not start it.
    #[must_use]
    pub fn new(setup: AgentSetup, around: &Surroundings) -> Self {
        let link = setup.faulty.then(|| FaultyLink::to(around.broker));
        let broker = link.as_ref().map_or(around.broker, FaultyLink::address);
        let folder = around.folder.join("agents").join(&setup.id);
        let data = folder.join("data");
        fs::create_dir_all(&folder).expect("a folder for the agent");
        let config = folder.join("agent.toml");
        let mut text = configuration(&setup);
        if around.kind == BrokerKind::Mosquitto {
            text.push_str(&broker_user(&setup.id, &folder));
        }
        let mut scheme = "mqtt";
        if let Some(authority) = &around.authority {
            scheme = "mqtts";
            text.push_str(&format!("[broker]\nca_file = \"{}\"\n", authority.display()));
        }
        fs::write(&config, text).expect("written");
        let mut args: Vec<String> =
            ["run", "--id", &setup.id, "--region", &setup.region, "--capacity", &setup.capacity]
                .map(str::to_owned)
                .to_vec();
        args.push(format!("--config={}", config.display()));
        args.push(format!("--broker={scheme}://{broker}"));
        // One word each: a negative number by itself would look like a flag.
        args.push(format!("--latitude={}", setup.position.0));
        args.push(format!("--longitude={}", setup.position.1));
        args.push(format!("--tasks-max={}", setup.tasks_max));
        args.extend(setup.labels.iter().map(|label| format!("--label={label}")));
        args.push(format!("--data={}", data.display()));
        if let Some(file) = token_file(&setup, &folder, &around.join_token_file) {
            args.push(format!("--join-token-file={}", file.display()));
        }
        let program = setup.program.clone().unwrap_or_else(binaries::agent);
        let daemon = Daemon::new(&setup.id, &program, args, &around.folder);
        Self { setup, daemon, link, data }
    }

    /// The folder its program keeps everything in.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Its link of its own.
    ///
    /// # Panics
    /// When it was set up without.
    #[must_use]
    pub fn link(&self) -> &FaultyLink {
        self.link.as_ref().expect("the agent was set up with `faulty()`")
    }
}

/// The file it is configured with, but for its user at a broker.
fn configuration(setup: &AgentSetup) -> String {
    let reserve = setup.disk_reserve_mib.map(|mib| format!("disk_reserve_mib = {mib}\n"));
    let running = setup.running_max.map(|count| format!("running_max = {count}\n"));
    let lonely = setup.lonely_ms.map(|wait_ms| format!("lonely_ms = {wait_ms}\n"));
    let quick = if setup.patient { "" } else { QUICK };
    let limits: String = running.into_iter().chain(lonely).collect();
    format!("{}[limits]\n{quick}{limits}", reserve.unwrap_or_default())
}

fn token_file(setup: &AgentSetup, folder: &Path, right: &Path) -> Option<PathBuf> {
    match setup.join_token {
        None => Some(right.to_path_buf()),
        Some(Token::Absent) => None,
        Some(Token::Wrong) => {
            let file = folder.join("another-token");
            write_private(&file, "a token of another core, long enough\n");
            Some(file)
        }
    }
}

/// The operator's user for this agent at an external broker.
fn broker_user(id: &str, folder: &Path) -> String {
    let file = folder.join("broker-password");
    write_private(&file, &password_of(id));
    format!("[broker]\nusername = \"{id}\"\npassword_file = \"{}\"\n", file.display())
}

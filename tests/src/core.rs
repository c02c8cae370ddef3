//! The core of a cluster: its configuration and its process, on the same ports and the same data
//! however often it dies.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::api::Api;
use crate::binaries;
use crate::broker::{CORE_USER, PUBLISHER, password_of};
use crate::certificates::Certificates;
use crate::daemon::{Daemon, State};
use crate::port::Port;
use crate::scratch::write_private;
use crate::wait::eventually;

/// The ports of a core that shares its host with nobody.
const HTTP: u16 = 8080;
const MQTT: u16 = 1883;

/// How a core decides in a test: times short enough to be waited for.
#[derive(Debug, Clone)]
pub struct CoreSetup {
    /// Whether it is as patient as a core in the field; the heartbeat counts all the same.
    pub patient: bool,
    /// How often agents send a heartbeat, in milliseconds.
    pub heartbeat_ms: u64,
    /// The most tasks that wait.
    pub pending_max: u64,
    /// How long a task has between TERM and KILL, in milliseconds.
    pub grace_ms: u64,
    /// The broker outside the core, if that is where it is.
    pub external_broker: Option<SocketAddr>,
    /// The host it has for itself, if it has one.
    pub host: Option<Ipv4Addr>,
    /// Whether agents come to its broker by TLS.
    pub tls: bool,
    /// Whether a machine of somebody else's may publish to its broker.
    pub publisher: bool,
}

impl Default for CoreSetup {
    fn default() -> Self {
        Self {
            patient: false,
            heartbeat_ms: 500,
            pending_max: 100_000,
            grace_ms: 1_000,
            external_broker: None,
            host: None,
            tls: false,
            publisher: false,
        }
    }
}

/// A core.
#[derive(Debug)]
pub struct CoreProcess {
    /// Its process.
    pub daemon: Daemon,
    /// Its API.
    pub api: Api,
    data: PathBuf,
    broker: SocketAddr,
    certificates: Option<Certificates>,
    _ports: Vec<Port>,
}

impl CoreProcess {
    /// Prepares one; does not start it.
    #[must_use]
    pub fn new(setup: &CoreSetup, join_token_file: &Path, folder: &Path) -> Self {
        let count = if setup.host.is_none() { 2 + usize::from(setup.tls) } else { 0 };
        let ports: Vec<Port> = (0..count).map(|_| Port::reserve()).collect();
        let certificates = setup.tls.then(|| Certificates::make(folder));
        let tls = certificates.as_ref().zip(ports.get(2).map(Port::address));
        let (listen, own_broker) = match (ports.as_slice(), setup.host) {
            ([listen, broker, ..], _) => (listen.address(), broker.address()),
            (_, host) => {
                let host = host.unwrap_or(Ipv4Addr::LOCALHOST);
                (SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP)), SocketAddr::from((host, MQTT)))
            }
        };
        let data = folder.join("core-data");
        let config = folder.join("core.toml");
        let mut text = configuration(setup, own_broker, join_token_file, folder);
        if let Some((files, listen)) = tls {
            text = text.replacen("[broker]\n", &format!("[broker]\n{}", tls_of(files, listen)), 1);
        }
        fs::write(&config, text).expect("written");
        let args = vec![
            "core".to_owned(),
            format!("--listen={listen}"),
            format!("--data={}", data.display()),
            format!("--config={}", config.display()),
        ];
        Self {
            daemon: Daemon::new("core", &binaries::core(), args, folder),
            api: Api { address: listen },
            data,
            broker: setup.external_broker.or(tls.map(|(_, at)| at)).unwrap_or(own_broker),
            certificates,
            _ports: ports,
        }
    }

    /// Starts it and does not wait.
    pub fn start(&mut self) {
        self.daemon.start();
    }

    /// Waits until it says that it is ready.
    ///
    /// # Panics
    /// When it does not, or ends instead.
    pub fn wait_until_ready(&mut self) {
        let (daemon, api) = (&mut self.daemon, self.api);
        eventually("the core to be ready", || {
            if let State::Ended(status) = daemon.state() {
                panic!("the core ended: {status}");
            }
            let answer = api.request("GET", "/health/ready", None).map_err(|e| e.to_string())?;
            if answer.status == 200 { Ok(()) } else { Err(answer.to_string()) }
        });
    }

    /// Its folder.
    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The files of its broker, if agents come to it by TLS.
    #[must_use]
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_ref()
    }

    /// Where agents find the broker.
    #[must_use]
    pub fn broker(&self) -> SocketAddr {
        self.broker
    }
}

fn tls_of(files: &Certificates, listen: SocketAddr) -> String {
    let [certificate, key] = [&files.certificate, &files.key].map(|path| path.display());
    format!(
        "tls_listen = \"{listen}\"\ntls_cert_file = \"{certificate}\"\ntls_key_file = \"{key}\"\n"
    )
}

/// Who may publish to the embedded broker.
fn publishers(folder: &Path) -> String {
    let file = folder.join("publishers.toml");
    let password = password_of(PUBLISHER);
    let text = format!("[{PUBLISHER}]\npassword = \"{password}\"\ntopics = [\"factory/#\"]\n");
    write_private(&file, &text);
    format!("publishers_file = \"{}\"\n", file.display())
}

fn configuration(
    setup: &CoreSetup,
    own_broker: SocketAddr,
    join_token_file: &Path,
    folder: &Path,
) -> String {
    let token = join_token_file.display();
    let broker = match setup.external_broker {
        None => {
            let publishers = if setup.publisher { publishers(folder) } else { String::new() };
            format!("[broker]\nlisten = \"{own_broker}\"\n{publishers}")
        }
        Some(address) => {
            let file = folder.join("core-broker-password");
            write_private(&file, &password_of(CORE_USER));
            let file = file.display();
            format!(
                "[broker]\nurl = \"mqtt://{address}\"\nusername = \"{CORE_USER}\"\npassword_file = \"{file}\"\n"
            )
        }
    };
    let quick = if setup.patient {
        ""
    } else {
        "resend_ms = 500\noffer_timeout_ms = 20000\nrecovery_ms = 15000\n"
    };
    let CoreSetup { heartbeat_ms, pending_max, grace_ms, .. } = setup;
    format!(
        "[join]\ntoken_file = \"{token}\"\n\n{broker}\n[core]\nheartbeat_ms = {heartbeat_ms}\n\
         pending_max = {pending_max}\ngrace_ms = {grace_ms}\n{quick}"
    )
}

//! Mosquitto as a process of the cluster, run with the configuration that the project ships: only
//! the folder and the port differ, as the header of that file describes.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binaries::repository;
use crate::daemon::{Daemon, State};
use crate::port::Port;
use crate::wait::eventually;

/// Which broker a cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokerKind {
    /// The one inside the core.
    Embedded,
    /// Mosquitto, a process of its own.
    Mosquitto,
}

/// The core's name at an external broker, as the shipped access list has it.
pub const CORE_USER: &str = "ambit-core";

/// A machine of somebody else's, as the shipped access list has it.
pub const PUBLISHER: &str = "plc-1";

/// The port of a broker that shares its host with nobody.
const MQTT: u16 = 1883;

/// The password of a user at the external broker.
#[must_use]
pub fn password_of(user: &str) -> String {
    format!("broker-password-of-{user}")
}

/// A Mosquitto.
#[derive(Debug)]
pub struct Mosquitto {
    daemon: Daemon,
    address: SocketAddr,
    _port: Option<Port>,
    users: PathBuf,
}

impl Mosquitto {
    /// Prepares one in a folder, for the core and these agents, and does not start it. It listens
    /// on the address of a host that is its own, if there is one.
    ///
    /// # Panics
    /// When Mosquitto is not installed, or its shipped configuration is not as described.
    #[must_use]
    pub fn new<'a>(
        folder: &Path,
        agents: impl IntoIterator<Item = &'a str>,
        host: Option<Ipv4Addr>,
    ) -> Self {
        let port = host.is_none().then(Port::reserve);
        let own = host.map(|host| SocketAddr::from((host, MQTT)));
        let address = port.as_ref().map(Port::address).or(own).expect("one of them");
        let shipped = repository().join("configs/mosquitto");
        let rules = fs::read_to_string(shipped.join("ambit.acl")).expect("the access list");
        // As its comment says; whoever has no such user has no such rule in force.
        fs::write(folder.join("ambit.acl"), rules.replace("#topics ", "")).expect("written");
        let text = fs::read_to_string(shipped.join("mosquitto.conf")).expect("the configuration");
        let file = folder.join("mosquitto.conf");
        fs::write(&file, configuration(&text, folder, address)).expect("written");
        let args = vec!["-c".to_owned(), file.display().to_string()];
        let daemon = Daemon::new("mosquitto", program(), args, folder);
        let broker = Self { daemon, address, _port: port, users: folder.join("ambit.passwd") };
        broker.write_users(agents);
        broker
    }

    /// Says who may connect; takes effect at the next start.
    fn write_users<'a>(&self, agents: impl IntoIterator<Item = &'a str>) {
        let line = |user: &str| format!("{user}:{}\n", password_of(user));
        let users: String = std::iter::once(CORE_USER).chain(agents).map(line).collect();
        fs::write(&self.users, users).expect("written");
        let made = Command::new("mosquitto_passwd").arg("-U").arg(&self.users).status();
        let made = made.expect("mosquitto_passwd; on Debian: apt install mosquitto");
        assert!(made.success(), "mosquitto_passwd cannot hash {}", self.users.display());
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts it, with nothing from an earlier life, and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(&mut self) {
        self.daemon.start();
        let address = self.address();
        let daemon = &mut self.daemon;
        eventually("mosquitto to listen", || match daemon.state() {
            State::Running => TcpStream::connect(address).map(drop).map_err(|e| e.to_string()),
            other => panic!("mosquitto ended: {other:?}"),
        });
    }

    /// Its process.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.daemon
    }
}

/// The program, which Debian installs where only root looks.
fn program() -> &'static Path {
    let usual = Path::new("/usr/sbin/mosquitto");
    if usual.exists() { usual } else { Path::new("mosquitto") }
}

/// The shipped configuration with another folder and another port.
fn configuration(shipped: &str, folder: &Path, address: SocketAddr) -> String {
    let named: Vec<&str> =
        shipped.lines().filter(|line| line.starts_with("listener 1883")).collect();
    assert_eq!(named.len(), 1, "the header promises one such line");
    shipped
        .replace("/etc/mosquitto/", &format!("{}/", folder.display()))
        .replace(named[0], &format!("listener {} {}", address.port(), address.ip()))
        // Started as root it would become a user who cannot read a folder of root's.
        + "user root\n"
}

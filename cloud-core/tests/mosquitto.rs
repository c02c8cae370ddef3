//! The Mosquitto configuration in `configs/mosquitto`, run as it is installed: only the folder
//! and the port differ. Needs Mosquitto 2.0 (Debian: `apt install mosquitto`).

mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rumqttc::mqttbytes::v5::{ConnectReturnCode, PubAckReason};
use support::{Client, GRANTED, Setup, make_certificate, text};
use tempfile::TempDir;

struct Mosquitto {
    process: Child,
    address: SocketAddr,
    tls: SocketAddr,
    folder: TempDir,
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn configs() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../configs/mosquitto"))
}

/// The program, which Debian installs where only root looks.
fn program() -> &'static str {
    let usual = "/usr/sbin/mosquitto";
    if Path::new(usual).exists() { usual } else { "mosquitto" }
}

/// A port that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    listener.local_addr().expect("an address")
}

/// The configuration with another folder and other ports, as its header describes.
fn configuration(folder: &Path, plain: SocketAddr, tls: SocketAddr) -> String {
    let shipped = fs::read_to_string(configs().join("mosquitto.conf")).expect("the configuration");
    let named: Vec<_> = shipped.lines().filter(|line| line.starts_with("listener 1883")).collect();
    assert_eq!(named.len(), 1, "the header promises one such line");
    shipped
        .replace("\n#tls ", "\n")
        .replace("/etc/mosquitto/", &format!("{}/", folder.display()))
        .replace(named[0], &format!("listener {} 127.0.0.1", plain.port()))
        .replace("\nlistener 8883\n", &format!("\nlistener {} 127.0.0.1\n", tls.port()))
        // Started as root it would become a user who cannot read a folder of root's.
        + "user root\n"
}

impl Mosquitto {
    /// Runs it with users `ambit-core`, `a` and `b`, whose passwords are `pass-` and the name.
    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::copy(configs().join("ambit.acl"), folder.path().join("ambit.acl")).expect("copied");
        let users = folder.path().join("ambit.passwd");
        fs::write(&users, "").expect("written");
        for user in ["ambit-core", "a", "b"] {
            let made = Command::new("mosquitto_passwd")
                .arg("-b")
                .args([users.as_os_str(), user.as_ref(), format!("pass-{user}").as_ref()])
                .status()
                .expect("mosquitto_passwd is installed");
            assert!(made.success());
        }
        let keys = folder.path().join("ambit-tls");
        fs::create_dir(&keys).expect("made");
        make_certificate(&keys.join("server.crt"), &keys.join("server.key"));
        fs::copy(keys.join("server.crt"), keys.join("ca.crt")).expect("copied");
        let (address, tls) = (free_address(), free_address());
        let file = folder.path().join("mosquitto.conf");
        fs::write(&file, configuration(folder.path(), address, tls)).expect("written");
        let process = Command::new(program())
            .arg("-c")
            .arg(&file)
            .stderr(Stdio::null())
            .spawn()
            .expect("mosquitto is installed");
        let broker = Self { process, address, tls, folder };
        broker.wait_until_it_listens();
        broker
    }

    fn wait_until_it_listens(&self) {
        let begun = Instant::now();
        while TcpStream::connect(self.address).and(TcpStream::connect(self.tls)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "it does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn user(&self, name: &str) -> Setup {
        Setup::new(self.address, name, name, &format!("pass-{name}"))
    }

    async fn core(&self) -> Client {
        let mut core = self.user("ambit-core").connected().await;
        assert_eq!(core.subscribe("ambit/v1/agents/+/up").await, GRANTED);
        assert_eq!(core.subscribe("ambit/v1/agents/+/will").await, GRANTED);
        core
    }
}

#[tokio::test]
async fn own_topics_pass_both_ways_and_large_messages_too() {
    let broker = Mosquitto::start();
    let mut core = broker.core().await;
    let mut agent = broker.user("a").connected().await;
    assert_eq!(agent.subscribe("ambit/v1/agents/a/down").await, GRANTED);
    let large = vec![b'x'; shared::wire::MESSAGE_BYTES_MAX];
    let answer = agent.publish("ambit/v1/agents/a/up", large.clone()).await;
    assert_eq!(answer, PubAckReason::Success);
    assert_eq!(core.received().await.payload, large);
    assert_eq!(core.publish("ambit/v1/agents/a/down", "do").await, PubAckReason::Success);
    assert_eq!(text(&agent.received().await), ("ambit/v1/agents/a/down".into(), "do".into()));
}

#[tokio::test]
async fn foreign_topics_are_refused_or_stay_silent() {
    let broker = Mosquitto::start();
    let mut core = broker.core().await;
    let mut agent = broker.user("a").connected().await;
    for topic in [
        "ambit/v1/agents/b/up",
        "ambit/v1/agents/b/will",
        "ambit/v1/agents/a/down",
        "ambit/v1/agents/b/down",
        "anything",
    ] {
        let answer = agent.publish(topic, "x").await;
        assert_eq!(answer, PubAckReason::NotAuthorized, "{topic} (reason code 135)");
    }
    let answer = core.publish("ambit/v1/agents/a/up", "x").await;
    assert_eq!(answer, PubAckReason::NotAuthorized);
    // Mosquitto grants any subscription and filters what it delivers.
    for filter in ["ambit/v1/agents/b/down", "ambit/v1/agents/+/up", "#"] {
        agent.subscribe(filter).await;
    }
    assert_eq!(core.publish("ambit/v1/agents/b/down", "for b").await, PubAckReason::Success);
    let mut other = broker.user("b").connected().await;
    assert_eq!(other.publish("ambit/v1/agents/b/up", "by b").await, PubAckReason::Success);
    assert_eq!(text(&core.received().await).1, "by b");
    assert!(agent.hears_nothing().await);
}

#[tokio::test]
async fn a_will_obeys_the_same_rules() {
    let broker = Mosquitto::start();
    let mut core = broker.core().await;
    let foreign = broker.user("b").will("ambit/v1/agents/a/will", "gone").connect().await;
    if let Ok(agent) = foreign {
        agent.dies().await;
    }
    assert!(core.hears_nothing().await);
    let agent = broker.user("a").will("ambit/v1/agents/a/will", "gone").connected().await;
    agent.dies().await;
    assert_eq!(text(&core.received().await), ("ambit/v1/agents/a/will".into(), "gone".into()));
}

#[tokio::test]
async fn nobody_enters_without_the_right_password_or_ends_the_connection_of_another() {
    let broker = Mosquitto::start();
    for (username, password) in [("a", "pass-b"), ("c", "pass-c"), ("", "")] {
        let refused = Setup::new(broker.address, "x", username, password).connect().await;
        assert_eq!(refused.err(), Some(ConnectReturnCode::NotAuthorized), "{username}");
    }
    let refused = Setup::anonymous(broker.address, "x").connect().await;
    assert_eq!(refused.err(), Some(ConnectReturnCode::NotAuthorized));
    let _core = broker.core().await;
    let mut agent = broker.user("a").connected().await;
    let _other = Setup::new(broker.address, "a", "b", "pass-b").connected().await;
    assert_eq!(agent.publish("ambit/v1/agents/a/up", "x").await, PubAckReason::Success);
}

#[tokio::test]
async fn agents_come_over_tls_under_the_same_rules() {
    let broker = Mosquitto::start();
    let mut core = broker.core().await;
    let trusted = broker.folder.path().join("ambit-tls/ca.crt");
    let over_tls = |password| Setup::new(broker.tls, "x", "a", password).tls(&trusted);
    let mut agent = over_tls("pass-a").connected().await;
    assert_eq!(agent.publish("ambit/v1/agents/a/up", "hello").await, PubAckReason::Success);
    assert_eq!(text(&core.received().await).1, "hello");
    let foreign = agent.publish("ambit/v1/agents/b/up", "x").await;
    assert_eq!(foreign, PubAckReason::NotAuthorized);
    let refused = over_tls("guess").connect().await;
    assert_eq!(refused.err(), Some(ConnectReturnCode::NotAuthorized));
}

//! A small MQTT client for tests, over a real connection: it tells what the broker answered to
//! each thing asked of it.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod raw;
pub mod world;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rumqttc::mqttbytes::v5::{
    ConnectReturnCode, LastWill, Packet, PubAckReason, Publish, SubscribeReasonCode,
};
use rumqttc::{
    AsyncClient, ConnectionError, Event, MqttOptions, PublishOptions, QoS, TlsConfiguration,
    Transport,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a test waits for an answer before it says that there is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// A subscription was granted as asked for.
pub const GRANTED: SubscribeReasonCode = SubscribeReasonCode::Success(QoS::AtLeastOnce);

/// How a client is set up.
pub struct Setup(MqttOptions);

impl Setup {
    pub fn new(address: SocketAddr, client_id: &str, username: &str, password: &str) -> Self {
        let broker = (address.ip().to_string(), address.port());
        let mut options = MqttOptions::new(client_id, broker);
        options.set_credentials(username, password.to_owned());
        options.set_keep_alive(30);
        options.set_max_packet_size(Some(512 * 1024));
        Self(options)
    }

    /// Without user name and password.
    pub fn anonymous(address: SocketAddr, client_id: &str) -> Self {
        let mut setup = Self::new(address, client_id, "", "");
        setup.0.clear_auth();
        setup
    }

    pub fn will(mut self, topic: &str, payload: &str) -> Self {
        self.0.set_last_will(LastWill::new(topic, payload, QoS::AtLeastOnce, false, None));
        self
    }

    /// Over TLS, trusting this certificate.
    pub fn tls(mut self, cert_file: &Path) -> Self {
        // An error says that the process has chosen its cryptography already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let ca = std::fs::read(cert_file).expect("the certificate");
        let config = TlsConfiguration::Simple { ca, alpn: None, client_auth: None };
        self.0.set_transport(Transport::tls_with_config(config));
        self
    }

    /// Connects, or tells why the broker refused.
    pub async fn connect(self) -> Result<Client, ConnectReturnCode> {
        let (client, mut event_loop) = AsyncClient::builder(self.0).capacity(2_000).build();
        let (sender, packets) = mpsc::unbounded_channel();
        let polling = tokio::spawn(async move {
            loop {
                match event_loop.poll().await {
                    Ok(Event::Incoming(packet)) => {
                        if sender.send(Ok(packet)).is_err() {
                            return;
                        }
                    }
                    Ok(_) => {}
                    Err(error) => {
                        let _ = sender.send(Err(error));
                        return;
                    }
                }
            }
        });
        let mut client = Client { client, packets, waiting: VecDeque::new(), polling };
        match client.packet().await {
            Ok(Packet::ConnAck(_)) => Ok(client),
            Err(ConnectionError::ConnectionRefused(code)) => Err(code),
            other => panic!("expected the answer to a connect, got {other:?}"),
        }
    }

    pub async fn connected(self) -> Client {
        self.connect().await.expect("the broker accepts the client")
    }
}

/// A connected client.
pub struct Client {
    client: AsyncClient,
    packets: mpsc::UnboundedReceiver<Result<Packet, ConnectionError>>,
    waiting: VecDeque<Publish>,
    polling: JoinHandle<()>,
}

impl Client {
    async fn packet(&mut self) -> Result<Packet, ConnectionError> {
        let received = timeout(PATIENCE, self.packets.recv()).await;
        received.expect("an answer in time").expect("the client lives")
    }

    async fn answer<T>(&mut self, read: impl Fn(&Packet) -> Option<T>) -> T {
        loop {
            let packet = self.packet().await.expect("the connection holds");
            if let Some(answer) = read(&packet) {
                return answer;
            }
            if let Packet::Publish(publish) = packet {
                self.waiting.push_back(publish);
            }
        }
    }

    /// Sends a message at QoS 1 without waiting for its acknowledgement.
    pub fn send(&self, topic: &str, payload: impl Into<Vec<u8>>) {
        let options = PublishOptions::new(QoS::AtLeastOnce);
        self.client.try_publish(topic, payload.into(), options).expect("room");
    }

    /// Sends a message at QoS 1; what the broker says to it.
    pub async fn publish(&mut self, topic: &str, payload: impl Into<Vec<u8>>) -> PubAckReason {
        self.send(topic, payload);
        self.acknowledged().await
    }

    /// What the broker says to the next message.
    pub async fn acknowledged(&mut self) -> PubAckReason {
        self.answer(|packet| match packet {
            Packet::PubAck(ack) => Some(ack.reason),
            _ => None,
        })
        .await
    }

    pub async fn subscribe(&mut self, filter: &str) -> SubscribeReasonCode {
        self.client.try_subscribe(filter, QoS::AtLeastOnce).expect("room");
        self.answer(|packet| match packet {
            Packet::SubAck(ack) => Some(ack.return_codes[0]),
            _ => None,
        })
        .await
    }

    /// The next message for this client.
    pub async fn received(&mut self) -> Publish {
        if let Some(publish) = self.waiting.pop_front() {
            return publish;
        }
        self.answer(|packet| match packet {
            Packet::Publish(publish) => Some(publish.clone()),
            _ => None,
        })
        .await
    }

    /// Whether no message comes within a moment.
    pub async fn hears_nothing(&mut self) -> bool {
        let moment = Duration::from_millis(300);
        self.waiting.is_empty() && timeout(moment, self.received()).await.is_err()
    }

    /// Waits until the broker ends the connection.
    pub async fn ended(mut self) -> ConnectionError {
        loop {
            if let Err(error) = self.packet().await {
                return error;
            }
        }
    }

    /// Lets the connection break, as if the machine had died.
    pub async fn dies(self) {
        self.polling.abort();
        let _ = self.polling.await;
    }
}

/// Topic and payload of a message, as text.
pub fn text(publish: &Publish) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&publish.topic), text(&publish.payload))
}

/// Makes a certificate for 127.0.0.1, signed by itself, and its key.
pub fn make_certificate(cert_file: &Path, key_file: &Path) {
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-nodes", "-days", "2", "-subj", "/CN=ambit test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(key_file)
        .arg("-out")
        .arg(cert_file)
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

//! The embedded broker under test, with two agents and the core.

use std::net::SocketAddr;
use std::sync::Arc;

use cloud_core::broker::credentials::hash_of;
use cloud_core::broker::{Broker, BrokerSettings, CORE_USERNAME, CredentialBook, EmbeddedBroker};
use shared_runtime::seal::{BrokerPassword, JoinToken};

use super::{Client, GRANTED, Setup};

/// An embedded broker and the credentials in force on it.
pub struct World {
    pub broker: Box<dyn Broker>,
    pub book: Arc<CredentialBook>,
}

pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

pub fn token() -> JoinToken {
    JoinToken::from_text("a token of sixteen").expect("a token")
}

pub fn hash(password: &str) -> [u8; 32] {
    hash_of(&BrokerPassword::from_text(password.to_owned()))
}

impl World {
    /// A broker with agents `a` and `b`, whose passwords are `pass-a` and `pass-b`.
    pub async fn with(settings: BrokerSettings) -> Self {
        let book = Arc::new(CredentialBook::new(Some(token())));
        for id in ["a", "b"] {
            book.set_agent(id.parse().expect("an id"), hash(&format!("pass-{id}")));
        }
        let broker = EmbeddedBroker::start(&settings, book.clone()).await.expect("it starts");
        Self { broker: Box::new(broker), book }
    }

    pub async fn new() -> Self {
        Self::with(BrokerSettings::plain(loopback(0))).await
    }

    pub fn agent(&self, id: &str) -> Setup {
        Setup::new(self.broker.bound().core, id, id, &format!("pass-{id}"))
    }

    pub async fn core(&self) -> Client {
        let password = self.book.core_password().expose();
        let mut core = Setup::new(self.broker.bound().core, CORE_USERNAME, CORE_USERNAME, password)
            .connected()
            .await;
        assert_eq!(core.subscribe("ambit/v1/agents/+/up").await, GRANTED);
        assert_eq!(core.subscribe("ambit/v1/agents/+/will").await, GRANTED);
        core
    }
}

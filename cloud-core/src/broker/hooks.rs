//! Translates between the broker library and the [`Gatekeeper`]: what the library asks on every
//! connect, publish and subscribe. Holds a connection up while it answers, so it does no I/O.

use std::collections::HashMap;
use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::events::{BrokerEventHandler, ClientPublishEvent, PublishAction};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::packet::publish::PublishPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;
use shared_runtime::clock::Clock;
use tokio::sync::OwnedSemaphorePermit;

use super::{Admission, ConnectAttempt, ConnectRefused, Gatekeeper};
use crate::access::throttle::{Refusal, Throttle};

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the library asks. One for the whole broker.
pub(super) struct Hooks {
    gatekeeper: Arc<dyn Gatekeeper>,
    throttle: Mutex<Throttle>,
    clock: Clock,
    /// A permit for every connection that has not shown who it is.
    strangers: Mutex<HashMap<SocketAddr, OwnedSemaphorePermit>>,
    refused: AtomicU64,
}

impl Hooks {
    pub(super) fn new(gatekeeper: Arc<dyn Gatekeeper>) -> Self {
        Self {
            gatekeeper,
            throttle: Mutex::default(),
            clock: Clock::new(),
            strangers: Mutex::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// A connection came; it gives the permit back once it is admitted or gone.
    pub(super) fn stranger_came(&self, peer: SocketAddr, permit: OwnedSemaphorePermit) {
        locked(&self.strangers).insert(peer, permit);
    }

    /// A connection is gone, or no longer a stranger.
    pub(super) fn stranger_left(&self, peer: SocketAddr) {
        locked(&self.strangers).remove(&peer);
    }

    /// Forgets what time has healed; how many connects were refused since the last call.
    pub(super) fn tidy(&self) -> u64 {
        locked(&self.throttle).prune(self.clock.now().mono);
        self.refused.swap(0, Ordering::Relaxed)
    }

    fn admit(
        &self,
        connect: &ConnectPacket,
        peer: SocketAddr,
    ) -> Result<Admission, ConnectRefused> {
        if connect.protocol_version != 5 {
            return Err(ConnectRefused::OldProtocol);
        }
        let username = connect.username.as_deref().unwrap_or_default();
        let now = self.clock.now().mono;
        let wait_ms = locked(&self.throttle).wait_ms(username, peer.ip(), now);
        if wait_ms > 0 {
            return Err(ConnectRefused::TooManyAttempts { wait_ms });
        }
        let attempt = ConnectAttempt {
            username,
            password: connect.password.as_deref().unwrap_or_default(),
            client_id: &connect.client_id,
        };
        let admission = self.gatekeeper.connect(&attempt)?;
        // The library would only drop a foreign will later, in silence.
        let may = |topic: &str| self.gatekeeper.may_publish(&admission.role, topic);
        if connect.will.as_ref().is_some_and(|will| !may(&will.topic)) {
            return Err(ConnectRefused::ForeignWill);
        }
        locked(&self.throttle).admitted(username, peer.ip());
        Ok(admission)
    }

    fn refuse(
        &self,
        connect: &ConnectPacket,
        peer: SocketAddr,
        reason: &ConnectRefused,
    ) -> AuthResult {
        self.refused.fetch_add(1, Ordering::Relaxed);
        let username = connect.username.as_deref().unwrap_or_default();
        // One who is told to wait is not charged for asking again, or it would wait for ever.
        let refusal = match reason {
            ConnectRefused::TooManyAttempts { .. } => Refusal::Repeated,
            _ => locked(&self.throttle).refused(username, peer.ip(), self.clock.now().mono),
        };
        // Escaped and cut: it is a stranger's text.
        let username: String = username.chars().take(shared::id::AGENT_ID_LENGTH_MAX).collect();
        match refusal {
            Refusal::First => tracing::warn!(?username, %peer, %reason, "connection refused"),
            Refusal::Repeated => tracing::debug!(?username, %peer, %reason, "connection refused"),
        }
        AuthResult::fail_with_reason(reason_code(reason), reason.to_string())
    }

    /// Whether the connection that was let in with this admission may still do what `may` asks.
    fn allows(&self, admission: Option<&str>, may: impl FnOnce(&Admission) -> bool) -> bool {
        admission
            .and_then(|text| text.parse::<Admission>().ok())
            .is_some_and(|admission| may(&admission) && self.gatekeeper.holds(&admission))
    }
}

fn reason_code(reason: &ConnectRefused) -> ReasonCode {
    match reason {
        ConnectRefused::OldProtocol => ReasonCode::UnsupportedProtocolVersion,
        ConnectRefused::ForeignClientId => ReasonCode::ClientIdentifierNotValid,
        ConnectRefused::TooManyAttempts { .. } => ReasonCode::ConnectionRateExceeded,
        ConnectRefused::Revoked => ReasonCode::Banned,
        ConnectRefused::NoCredentials
        | ConnectRefused::NotAnAgentId(_)
        | ConnectRefused::UnknownAgent
        | ConnectRefused::UnknownPublisher
        | ConnectRefused::WrongPassword
        | ConnectRefused::JoinRefused
        | ConnectRefused::ForeignWill => ReasonCode::NotAuthorized,
    }
}

impl AuthProvider for Hooks {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        peer: SocketAddr,
    ) -> Answer<'a, mqtt5::error::Result<AuthResult>> {
        let result = match self.admit(connect, peer) {
            Ok(admission) => {
                self.stranger_left(peer);
                AuthResult::success_with_user(admission.to_string())
            }
            Err(reason) => self.refuse(connect, peer, &reason),
        };
        Box::pin(ready(Ok(result)))
    }

    fn authorize_publish<'a>(
        &'a self,
        _client_id: &str,
        admission: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        let may = |admission: &Admission| self.gatekeeper.may_publish(&admission.role, topic);
        Box::pin(ready(self.allows(admission, may)))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        admission: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(ready(self.allows(admission, |admission| admission.role.may_subscribe(filter))))
    }
}

impl BrokerEventHandler for Hooks {
    /// Passes on topic, payload and quality of service, and nothing else: no message is retained
    /// whatever its sender asks, and the library's own notes about the sender, 60 bytes and more,
    /// do not travel over an agent's slow line.
    fn on_client_publish<'a>(&'a self, event: ClientPublishEvent) -> Answer<'a, PublishAction> {
        let mut publish = PublishPacket::new(event.topic.as_ref(), event.payload, event.qos);
        publish.packet_id = event.packet_id;
        Box::pin(ready(PublishAction::Transform(publish)))
    }
}

/// A panic elsewhere leaves these maps as they were: every change is one call.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

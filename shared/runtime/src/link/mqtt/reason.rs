//! Gives the client's many errors the few names that the rest of the program knows. Computes only.

use rumqttc::mqttbytes::Error as MqttError;
use rumqttc::{
    ConnectReturnCode, ConnectionError, DisconnectReasonCode, PubAckReason, StateError,
    SubscribeReasonCode,
};

use super::super::{LinkDown, LinkRefused, Unsent};
use super::Loss;

/// Why a connection ended, or was not made.
pub(super) fn loss(error: &ConnectionError) -> Loss {
    match error {
        ConnectionError::MqttState(error) => state_loss(error),
        ConnectionError::Timeout(_) | ConnectionError::DisconnectTimeout => {
            Loss::Down(LinkDown::NoAnswer)
        }
        ConnectionError::Tls(error) => Loss::Down(LinkDown::Tls { detail: error.to_string() }),
        ConnectionError::Io(error) => io_loss(error),
        ConnectionError::ConnectionRefused(code) => refusal(*code),
        ConnectionError::RequestsDone => network("the connection was closed"),
        error => Loss::Down(LinkDown::Protocol { detail: error.to_string() }),
    }
}

fn state_loss(error: &StateError) -> Loss {
    match error {
        // The network may also break in the middle of a packet.
        StateError::Io(error) | StateError::Deserialization(MqttError::Io(error)) => io_loss(error),
        StateError::AwaitPingResp => Loss::Down(LinkDown::NoAnswer),
        StateError::ConnectionAborted => network("the broker closed the connection"),
        StateError::ConnFail { reason } => refusal(*reason),
        StateError::ServerDisconnect { reason_code, reason_string } => {
            goodbye(*reason_code, reason_string.as_deref())
        }
        error => Loss::Down(LinkDown::Protocol { detail: error.to_string() }),
    }
}

/// A failed handshake arrives as an I/O error around the one of rustls.
fn io_loss(error: &std::io::Error) -> Loss {
    let tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    let detail = error.to_string();
    Loss::Down(if tls { LinkDown::Tls { detail } } else { LinkDown::Network { detail } })
}

fn network(detail: &str) -> Loss {
    Loss::Down(LinkDown::Network { detail: detail.to_owned() })
}

/// The broker's answer to CONNECT.
fn refusal(code: ConnectReturnCode) -> Loss {
    use ConnectReturnCode as Code;
    let detail = || words(&format!("{code:?}"));
    Loss::Refused(match code {
        Code::BadUserNamePassword | Code::BadAuthenticationMethod => LinkRefused::BadCredentials,
        Code::NotAuthorized => LinkRefused::NotAuthorised,
        Code::Banned => LinkRefused::Banned,
        Code::BadClientId | Code::ClientIdentifierNotValid => LinkRefused::ClientId,
        Code::RefusedProtocolVersion | Code::UnsupportedProtocolVersion => LinkRefused::Version,
        Code::ServiceUnavailable
        | Code::ServerUnavailable
        | Code::ServerBusy
        | Code::ConnectionRateExceeded => {
            return Loss::Down(LinkDown::BrokerLeft { detail: detail() });
        }
        _ => LinkRefused::Other { detail: detail() },
    })
}

/// The broker's DISCONNECT.
fn goodbye(code: DisconnectReasonCode, text: Option<&str>) -> Loss {
    use DisconnectReasonCode as Code;
    let detail = || text.map_or_else(|| words(&format!("{code:?}")), str::to_owned);
    match code {
        Code::SessionTakenOver => Loss::Refused(LinkRefused::TakenOver),
        Code::NotAuthorized => Loss::Refused(LinkRefused::NotAuthorised),
        Code::KeepAliveTimeout => Loss::Down(LinkDown::NoAnswer),
        Code::AdministrativeAction
        | Code::QuotaExceeded
        | Code::MessageRateTooHigh
        | Code::UseAnotherServer
        | Code::ServerMoved => Loss::Refused(LinkRefused::Other { detail: detail() }),
        Code::MalformedPacket
        | Code::ProtocolError
        | Code::ReceiveMaximumExceeded
        | Code::PacketTooLarge
        | Code::TopicAliasInvalid => Loss::Down(LinkDown::Protocol { detail: detail() }),
        _ => Loss::Down(LinkDown::BrokerLeft { detail: detail() }),
    }
}

/// The first subscription that the broker did not grant; its answers are in the order asked.
pub(super) fn ungranted(asked: &[String], answers: &[SubscribeReasonCode]) -> Option<LinkRefused> {
    let mut pairs = asked.iter().zip(answers);
    let (topic, answer) =
        pairs.find(|(_, answer)| !matches!(answer, SubscribeReasonCode::Success(_)))?;
    Some(LinkRefused::Subscription { topic: topic.clone(), detail: words(&format!("{answer:?}")) })
}

/// Why the broker did not take a message, if it did not. That nobody listens is no failure: the
/// peer may be away.
pub(super) fn unsent(reason: PubAckReason) -> Option<Unsent> {
    match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => None,
        PubAckReason::NotAuthorized => Some(Unsent::NotAuthorised),
        PubAckReason::TopicNameInvalid => Some(Unsent::Topic),
        reason => Some(Unsent::Refused { detail: words(&format!("{reason:?}")) }),
    }
}

/// `NotAuthorized` as people write it: `not authorized`.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for character in name.chars() {
        if character.is_ascii_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.push(character.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use rumqttc::QoS;

    use super::*;

    #[test]
    fn what_waiting_will_not_change_is_a_refusal() {
        let refused = |code| loss(&ConnectionError::ConnectionRefused(code));
        assert_eq!(
            refused(ConnectReturnCode::BadUserNamePassword),
            Loss::Refused(LinkRefused::BadCredentials)
        );
        assert_eq!(
            refused(ConnectReturnCode::NotAuthorized),
            Loss::Refused(LinkRefused::NotAuthorised)
        );
        assert_eq!(
            refused(ConnectReturnCode::ServerBusy),
            Loss::Down(LinkDown::BrokerLeft { detail: "server busy".to_owned() })
        );
        let goodbye = |reason_code| {
            let reason_string = None;
            loss(&StateError::ServerDisconnect { reason_code, reason_string }.into())
        };
        assert_eq!(
            goodbye(DisconnectReasonCode::SessionTakenOver),
            Loss::Refused(LinkRefused::TakenOver)
        );
        assert_eq!(
            goodbye(DisconnectReasonCode::ServerShuttingDown),
            Loss::Down(LinkDown::BrokerLeft { detail: "server shutting down".to_owned() })
        );
    }

    #[test]
    fn a_failed_handshake_is_told_apart_from_a_lost_network() {
        let handshake = std::io::Error::other(rustls::Error::DecryptError);
        assert!(matches!(loss(&ConnectionError::Io(handshake)), Loss::Down(LinkDown::Tls { .. })));
        let gone = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        assert!(matches!(loss(&ConnectionError::Io(gone)), Loss::Down(LinkDown::Network { .. })));
    }

    #[test]
    fn a_subscription_that_was_not_granted_is_named() {
        let asked = ["a".to_owned(), "b".to_owned()];
        let granted = SubscribeReasonCode::Success(QoS::AtLeastOnce);
        assert_eq!(ungranted(&asked, &[granted, granted]), None);
        let detail = "not authorized".to_owned();
        assert_eq!(
            ungranted(&asked, &[granted, SubscribeReasonCode::NotAuthorized]),
            Some(LinkRefused::Subscription { topic: "b".to_owned(), detail })
        );
    }

    #[test]
    fn a_message_that_nobody_hears_was_sent() {
        assert_eq!(unsent(PubAckReason::Success), None);
        assert_eq!(unsent(PubAckReason::NoMatchingSubscribers), None);
        assert_eq!(unsent(PubAckReason::NotAuthorized), Some(Unsent::NotAuthorised));
    }
}

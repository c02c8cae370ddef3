//! Who may do what on the embedded broker, as its clients see it over real connections.

mod support;

use cloud_core::broker::CORE_USERNAME;
use rumqttc::mqttbytes::v5::{ConnectReturnCode, PubAckReason, SubscribeReasonCode};
use support::world::{World, hash, token};
use support::{GRANTED, Setup, raw, text};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_wrong_password_is_refused_by_name() {
    let world = World::new().await;
    let address = world.broker.bound().core;
    for (client_id, username, password, refusal) in [
        ("a", "a", "pass-b", ConnectReturnCode::NotAuthorized),
        ("c", "c", "pass-a", ConnectReturnCode::NotAuthorized),
        (CORE_USERNAME, CORE_USERNAME, "pass-a", ConnectReturnCode::NotAuthorized),
        ("join-a-1", "a", "pass-a", ConnectReturnCode::NotAuthorized),
        ("a", "b", "pass-b", ConnectReturnCode::ClientIdentifierNotValid),
        (CORE_USERNAME, "b", "pass-b", ConnectReturnCode::ClientIdentifierNotValid),
    ] {
        let refused = Setup::new(address, client_id, username, password).connect().await;
        assert_eq!(refused.err(), Some(refusal), "{client_id} {username}");
    }
    let refused = Setup::anonymous(address, "a").connect().await;
    assert_eq!(refused.err(), Some(ConnectReturnCode::NotAuthorized));
    assert!(world.agent("a").connect().await.is_ok());
}

#[tokio::test]
async fn up_and_down_reach_the_other_end() {
    let world = World::new().await;
    let mut core = world.core().await;
    let mut agent = world.agent("a").connected().await;
    assert_eq!(agent.subscribe("ambit/v1/agents/a/down").await, GRANTED);

    assert_eq!(agent.publish("ambit/v1/agents/a/up", "hello").await, PubAckReason::Success);
    let heard = core.received().await;
    assert_eq!(text(&heard), ("ambit/v1/agents/a/up".into(), "hello".into()));
    let notes = heard.properties.map_or(0, |properties| properties.user_properties.len());
    assert_eq!(notes, 0, "the broker adds nothing to a message");

    assert_eq!(core.publish("ambit/v1/agents/a/down", "do").await, PubAckReason::Success);
    assert_eq!(text(&agent.received().await), ("ambit/v1/agents/a/down".into(), "do".into()));
}

#[tokio::test]
async fn an_agent_uses_its_own_topics_only() {
    let world = World::new().await;
    let mut core = world.core().await;
    let mut agent = world.agent("a").connected().await;
    for topic in [
        "ambit/v1/agents/b/up",
        "ambit/v1/agents/b/will",
        "ambit/v1/agents/a/down",
        "ambit/v1/agents/a/other",
        "anything",
    ] {
        assert_eq!(agent.publish(topic, "x").await, PubAckReason::NotAuthorized, "{topic}");
    }
    for filter in [
        "ambit/v1/agents/b/down",
        "ambit/v1/agents/+/down",
        "ambit/v1/agents/a/up",
        "#",
        "+/+/+/+/+",
        "ambit/v1/agents/a/#",
        "$share/g/ambit/v1/agents/a/down",
        "$share/g/#",
        "$SYS/#",
    ] {
        let answer = agent.subscribe(filter).await;
        assert_eq!(answer, SubscribeReasonCode::NotAuthorized, "{filter}");
    }
    assert!(core.hears_nothing().await);
    assert_eq!(core.publish("ambit/v1/agents/b/down", "for b").await, PubAckReason::Success);
    assert!(agent.hears_nothing().await);
}

#[tokio::test]
async fn a_will_is_published_when_a_connection_breaks_and_obeys_the_same_rules() {
    let world = World::new().await;
    let mut core = world.core().await;
    let agent = world.agent("a").will("ambit/v1/agents/a/will", "gone").connected().await;
    agent.dies().await;
    assert_eq!(text(&core.received().await), ("ambit/v1/agents/a/will".into(), "gone".into()));

    let foreign = world.agent("a").will("ambit/v1/agents/b/will", "gone").connect().await;
    assert_eq!(foreign.err(), Some(ConnectReturnCode::NotAuthorized));
    assert!(core.hears_nothing().await);
}

#[tokio::test]
async fn a_will_is_not_published_once_its_credential_is_withdrawn() {
    let world = World::new().await;
    let mut core = world.core().await;
    let agent = world.agent("a").will("ambit/v1/agents/a/will", "gone").connected().await;
    let id = "a".parse().expect("an id");
    assert!(world.book.remove_agent(&id));
    world.broker.disconnect(&id).await;
    agent.ended().await;
    assert!(core.hears_nothing().await);
}

#[tokio::test]
async fn a_replaced_credential_silences_the_old_connection() {
    let world = World::new().await;
    let mut core = world.core().await;
    let mut old = world.agent("a").connected().await;
    assert_eq!(old.publish("ambit/v1/agents/a/up", "1").await, PubAckReason::Success);
    core.received().await;

    world.book.set_agent("a".parse().expect("an id"), hash("new"));
    assert_eq!(old.publish("ambit/v1/agents/a/up", "2").await, PubAckReason::NotAuthorized);
    let refused = old.subscribe("ambit/v1/agents/a/down").await;
    assert_eq!(refused, SubscribeReasonCode::NotAuthorized);

    let mut new = Setup::new(world.broker.bound().core, "a", "a", "new").connected().await;
    assert_eq!(new.publish("ambit/v1/agents/a/up", "3").await, PubAckReason::Success);
    assert_eq!(text(&core.received().await).1, "3");
}

#[tokio::test]
async fn an_agent_joins_with_the_password_of_the_token_beside_its_old_connection() {
    let world = World::new().await;
    let mut core = world.core().await;
    let mut joined = world.agent("a").connected().await;
    let password = token().join_password(&"a".parse().expect("an id")).expose().to_owned();
    let mut joining =
        Setup::new(world.broker.bound().core, "join-a-7f3e", "a", &password).connected().await;
    assert_eq!(joining.subscribe("ambit/v1/agents/a/down").await, GRANTED);
    assert_eq!(joining.publish("ambit/v1/agents/a/up", "join").await, PubAckReason::Success);
    assert_eq!(text(&core.received().await).1, "join");
    let foreign = joining.publish("ambit/v1/agents/b/up", "join").await;
    assert_eq!(foreign, PubAckReason::NotAuthorized);
    assert_eq!(core.publish("ambit/v1/agents/a/down", "joined").await, PubAckReason::Success);
    assert_eq!(text(&joining.received().await).1, "joined");
    assert_eq!(joined.publish("ambit/v1/agents/a/up", "still").await, PubAckReason::Success);
}

#[tokio::test]
async fn nothing_is_retained() {
    let world = World::new().await;
    let mut core = world.core().await;
    let (mut stream, code) = raw::connect(world.broker.bound().core, 5, "a").await;
    assert_eq!(code, 0);
    let publish = |payload: &[u8]| {
        let topic = raw::field(b"ambit/v1/agents/a/up");
        // QoS 1 and RETAIN; packet id 7, no properties.
        raw::packet(0x33, &[&topic[..], &[0, 7, 0], payload].concat())
    };
    stream.write_all(&publish(b"kept?")).await.expect("sent");
    let (kind, body) = raw::read(&mut stream).await;
    assert_eq!((kind, body[2]), (0x40, 0x97), "PUBACK: quota exceeded");
    // Too short to be refused by its size: it is passed on as an ordinary message.
    stream.write_all(&publish(b"k")).await.expect("sent");
    assert_eq!(raw::read(&mut stream).await.0, 0x40);
    let passed = core.received().await;
    assert_eq!((text(&passed).1, passed.retain), ("k".into(), false));

    let refilled = core.subscribe("ambit/v1/agents/+/up").await;
    assert_eq!(refilled, GRANTED);
    assert!(core.hears_nothing().await, "a new subscription is given nothing old");
}

#[tokio::test]
async fn an_old_mqtt_is_refused() {
    let world = World::new().await;
    let (_, code) = raw::connect(world.broker.bound().core, 4, "a").await;
    assert_ne!(code, 0);
}

#[tokio::test]
async fn a_newer_connection_of_the_same_agent_takes_over() {
    let world = World::new().await;
    let first = world.agent("a").connected().await;
    let mut second = world.agent("a").connected().await;
    first.ended().await;
    assert_eq!(second.publish("ambit/v1/agents/a/up", "x").await, PubAckReason::Success);
}

#[tokio::test]
async fn wrong_credentials_in_a_row_are_told_to_wait_and_others_are_not() {
    let world = World::new().await;
    let address = world.broker.bound().core;
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(Setup::new(address, "a", "a", "guess").connect().await.err());
    }
    assert_eq!(answers[0], Some(ConnectReturnCode::NotAuthorized));
    assert_eq!(answers[29], Some(ConnectReturnCode::ConnectionRateExceeded));
    assert!(world.agent("b").connect().await.is_ok());
}

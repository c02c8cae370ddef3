//! What the embedded broker bears: load, sizes, limits, restarts, and TLS.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cloud_core::broker::{
    BrokerError, BrokerSettings, CredentialBook, EmbeddedBroker, TlsSettings,
};
use rumqttc::mqttbytes::v5::{ConnectReturnCode, PubAckReason};
use support::world::{World, loopback};
use support::{Setup, make_certificate, text};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn a_restart_on_the_same_port_works_at_once() {
    let world = World::new().await;
    let address = world.broker.bound().plain.expect("a plain listener");
    let agent = world.agent("a").connected().await;
    // A client that never says who it is must not hold the shutdown up for long.
    let _silent = TcpStream::connect(address).await.expect("connected");
    let begun = Instant::now();
    world.broker.shutdown().await;
    agent.ended().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "took {:?}", begun.elapsed());

    let world = World::with(BrokerSettings::plain(address)).await;
    assert_eq!(world.broker.bound().plain, Some(address));
    assert!(world.agent("a").connect().await.is_ok());
}

#[tokio::test]
async fn a_taken_address_is_an_error_that_names_it() {
    let taken = std::net::TcpListener::bind(loopback(0)).expect("bound");
    let address = taken.local_addr().expect("an address");
    let book = Arc::new(CredentialBook::new(None));
    let error = EmbeddedBroker::start(&BrokerSettings::plain(address), book).await.err();
    let message = error.expect("an error").to_string();
    assert!(message.contains(&address.to_string()), "{message}");
}

#[tokio::test]
async fn large_messages_pass() {
    let world = World::new().await;
    let mut core = world.core().await;
    let mut agent = world.agent("a").connected().await;
    let large = vec![b'x'; 200 * 1024];
    let largest = vec![b'y'; shared::wire::MESSAGE_BYTES_MAX];
    for payload in [large, largest] {
        let answer = agent.publish("ambit/v1/agents/a/up", payload.clone()).await;
        assert_eq!(answer, PubAckReason::Success);
        assert_eq!(core.received().await.payload, payload);
    }
}

#[tokio::test]
async fn a_packet_too_large_ends_the_connection_before_it_is_read() {
    let world = World::new().await;
    let address = world.broker.bound().core;
    let mut stream = TcpStream::connect(address).await.expect("connected");
    // A CONNECT that announces 256 MiB.
    stream.write_all(&[0x10, 0xff, 0xff, 0xff, 0x7f]).await.expect("sent");
    let answer = tokio::time::timeout(Duration::from_secs(5), stream.read_u8()).await;
    assert!(answer.expect("in time").is_err(), "closed without an answer");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_message_of_two_busy_agents_arrives() {
    const EACH: usize = 1_000;
    let world = World::new().await;
    let mut core = world.core().await;
    let sending = ["a", "b"].map(|id| {
        let setup = world.agent(id);
        tokio::spawn(async move {
            let mut agent = setup.connected().await;
            let topic = format!("ambit/v1/agents/{id}/up");
            for number in 0..EACH {
                agent.send(&topic, format!("{id} {number}"));
            }
            for _ in 0..EACH {
                assert_eq!(agent.acknowledged().await, PubAckReason::Success);
            }
        })
    });
    let mut next = [0_usize; 2];
    for _ in 0..2 * EACH {
        let (topic, payload) = text(&core.received().await);
        let (id, number) = payload.split_once(' ').expect("two words");
        assert_eq!(topic, format!("ambit/v1/agents/{id}/up"));
        let expected = &mut next[usize::from(id == "b")];
        assert_eq!(number, expected.to_string(), "in order, none lost, none twice");
        *expected += 1;
    }
    assert_eq!(next, [EACH, EACH]);
    for sending in sending {
        sending.await.expect("all acknowledged");
    }
}

#[tokio::test]
async fn more_clients_than_allowed_are_closed_and_room_is_given_back() {
    let settings = BrokerSettings { clients_max: 1, ..BrokerSettings::plain(loopback(0)) };
    let world = World::with(settings).await;
    let first = world.agent("a").connected().await;
    let second = tokio::spawn(world.agent("b").connect());
    assert!(second.await.is_err(), "closed without an answer");
    first.dies().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(world.agent("b").connect().await.is_ok());
}

fn certificate(folder: &std::path::Path) -> TlsSettings {
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    make_certificate(&cert_file, &key_file);
    TlsSettings { listen: loopback(0), cert_file, key_file }
}

#[tokio::test]
async fn over_tls_the_same_rules_hold_and_a_silent_client_holds_nobody_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let tls = certificate(folder.path());
    let settings = BrokerSettings {
        listen: None,
        tls: Some(tls.clone()),
        ..BrokerSettings::plain(loopback(0))
    };
    let world = World::with(settings).await;
    assert_eq!(world.broker.bound().plain, None);
    let address = world.broker.bound().tls.expect("a TLS listener");
    let _silent = TcpStream::connect(address).await.expect("connected");

    let mut core = world.core().await;
    let mut agent = Setup::new(address, "a", "a", "pass-a").tls(&tls.cert_file).connected().await;
    assert_eq!(agent.publish("ambit/v1/agents/a/up", "hello").await, PubAckReason::Success);
    assert_eq!(text(&core.received().await).1, "hello");
    let refused = Setup::new(address, "a", "a", "guess").tls(&tls.cert_file).connect().await;
    assert_eq!(refused.err(), Some(ConnectReturnCode::NotAuthorized));
}

#[tokio::test]
async fn a_tls_file_that_is_none_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = certificate(folder.path());
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").expect("written");
    for tls in [
        TlsSettings { cert_file: empty.clone(), ..good.clone() },
        TlsSettings { key_file: empty.clone(), ..good.clone() },
        TlsSettings { key_file: folder.path().join("empty.pem"), ..good },
    ] {
        let settings = BrokerSettings { tls: Some(tls), ..BrokerSettings::plain(loopback(0)) };
        let book = Arc::new(CredentialBook::new(None));
        let error = EmbeddedBroker::start(&settings, book).await.err().expect("an error");
        assert!(matches!(error, BrokerError::TlsFile { .. }), "{error}");
        assert!(error.to_string().contains("empty.pem"), "{error}");
    }
}

//! The link against a real Mosquitto: what it promises, and what it does when the broker dies,
//! refuses, or takes less than we would send.

mod mosquitto;

use std::process::Command;
use std::time::Duration;

use mosquitto::{Mosquitto, PATIENCE, file, passwords, run};
use shared::wire::MESSAGE_BYTES_MAX;
use shared_runtime::link::{
    Link, LinkConfig, LinkDown, LinkEvent, LinkEvents, LinkRefused, LinkSender, PublishError,
    TlsConfig, Unsent, Will,
};
use shared_runtime::seal::BrokerPassword;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn config(port: u16, client_id: &str) -> LinkConfig {
    let config = LinkConfig::for_agent("127.0.0.1".to_owned(), port, client_id.to_owned());
    LinkConfig { backoff_ms_max: 300, ..config }
}

fn start(config: LinkConfig, subscriptions: &[&str]) -> (LinkSender, LinkEvents) {
    let subscriptions = subscriptions.iter().map(|filter| (*filter).to_owned()).collect();
    Link::start(config, subscriptions, None).expect("a link")
}

async fn next(events: &mut LinkEvents) -> LinkEvent {
    let event = tokio::time::timeout(PATIENCE, events.recv()).await;
    event.expect("an event in time").expect("the link is alive")
}

/// The next event that tells of the connection or of failure.
async fn next_but_messages(events: &mut LinkEvents) -> LinkEvent {
    loop {
        match next(events).await {
            LinkEvent::Message { .. } => {}
            event => return event,
        }
    }
}

async fn up(events: &mut LinkEvents) {
    loop {
        match next_but_messages(events).await {
            LinkEvent::Up => return,
            LinkEvent::Down { .. } => {}
            event => panic!("expected to come up, but {event:?}"),
        }
    }
}

fn message(topic: &str, payload: &[u8]) -> LinkEvent {
    LinkEvent::Message { topic: topic.to_owned(), payload: payload.to_vec() }
}

#[tokio::test]
async fn the_largest_message_passes_and_a_larger_one_is_refused_at_once() {
    let broker = Mosquitto::open_to_all();
    let (_core, mut core_events) = start(config(broker.port, "core"), &["a/+/up", "a/+/will"]);
    let (agent, mut agent_events) = start(config(broker.port, "7"), &["a/7/down"]);
    up(&mut core_events).await;
    up(&mut agent_events).await;
    for bytes in [0, 200 * 1024, MESSAGE_BYTES_MAX] {
        let payload = vec![b'x'; bytes];
        agent.try_publish("a/7/up", payload.clone()).expect("taken");
        assert!(next(&mut core_events).await == message("a/7/up", &payload), "{bytes} bytes");
    }
    let bytes = MESSAGE_BYTES_MAX + 1;
    let refused = agent.try_publish("a/7/up", vec![0; bytes]);
    assert_eq!(refused, Err(PublishError::TooLarge { bytes }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscriptions_are_back_after_the_broker_died() {
    let mut broker = Mosquitto::open_to_all();
    let (core, mut core_events) = start(config(broker.port, "core"), &["a/+/up"]);
    let (agent, mut agent_events) = start(config(broker.port, "7"), &["a/7/down"]);
    for round in 0..3_u8 {
        up(&mut core_events).await;
        up(&mut agent_events).await;
        agent.publish("a/7/up", vec![round]).await.expect("taken");
        assert_eq!(next(&mut core_events).await, message("a/7/up", &[round]));
        core.publish("a/7/down", vec![round]).await.expect("taken");
        assert_eq!(next(&mut agent_events).await, message("a/7/down", &[round]));
        broker.kill();
        assert!(matches!(next(&mut core_events).await, LinkEvent::Down { .. }));
        assert!(matches!(next(&mut agent_events).await, LinkEvent::Down { .. }));
        assert_eq!(agent.try_publish("a/7/up", vec![]), Err(PublishError::Down));
        broker.restart();
    }
}

#[tokio::test]
async fn without_a_broker_the_link_says_so_once_and_still_ends_when_asked() {
    let mut broker = Mosquitto::open_to_all();
    broker.kill();
    let (sender, mut events) = start(config(broker.port, "7"), &["t"]);
    let reason = match next(&mut events).await {
        LinkEvent::Down { reason } => reason,
        event => panic!("{event:?}"),
    };
    assert!(matches!(reason, LinkDown::Network { .. }), "{reason}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(events.try_recv(), None, "the same news is told once");
    assert_eq!(sender.try_publish("t", vec![]), Err(PublishError::Down));
    tokio::time::timeout(PATIENCE, sender.shutdown_after_flush(PATIENCE)).await.expect("ended");
    assert_eq!(events.recv().await, None);
    assert_eq!(sender.try_publish("t", vec![]), Err(PublishError::Closed));
}

#[tokio::test]
async fn a_wrong_password_is_a_refusal_and_the_right_one_is_not() {
    let broker = Mosquitto::start(|folder| {
        let passwords = passwords(folder, "seven", "right");
        format!("allow_anonymous false\npassword_file {}\n", passwords.display())
    });
    let with = |password: &str| LinkConfig {
        username: Some("seven".to_owned()),
        password: Some(BrokerPassword::from_text(password.to_owned())),
        ..config(broker.port, "7")
    };
    let (wrong, mut events) = start(with("wrong"), &["t"]);
    // Told for every attempt.
    for _ in 0..2 {
        let event = next(&mut events).await;
        let LinkEvent::Refused { reason } = event else { panic!("{event:?}") };
        assert!(
            matches!(reason, LinkRefused::BadCredentials | LinkRefused::NotAuthorised),
            "{reason}"
        );
    }
    // As an agent does that has joined: end one link, start the next.
    wrong.shutdown().await;
    let (_right, mut events) = start(with("right"), &["t"]);
    assert_eq!(next(&mut events).await, LinkEvent::Up);
}

#[tokio::test]
async fn what_the_access_list_forbids_is_named() {
    let broker = Mosquitto::start(|folder| {
        let list = file(folder, "acl", "topic write a/7/up\ntopic read a/7/down\n");
        format!("allow_anonymous true\nacl_file {}\n", list.display())
    });
    let (sender, mut events) = start(config(broker.port, "7"), &["a/7/down"]);
    up(&mut events).await;
    sender.try_publish("a/8/up", b"forged".to_vec()).expect("taken");
    let (topic, reason) = ("a/8/up".to_owned(), Unsent::NotAuthorised);
    assert_eq!(next(&mut events).await, LinkEvent::Unsent { topic, reason });
    sender.try_publish("a/+/up", b"to all".to_vec()).expect("taken");
    let (topic, reason) = ("a/+/up".to_owned(), Unsent::Topic);
    assert_eq!(next(&mut events).await, LinkEvent::Unsent { topic, reason });
    assert!(sender.is_up(), "neither ends the connection");
}

#[tokio::test]
async fn a_message_larger_than_the_broker_takes_does_not_end_the_connection() {
    let broker = Mosquitto::start(|_| "allow_anonymous true\nmax_packet_size 2000\n".to_owned());
    let (sender, mut events) = start(config(broker.port, "7"), &["t"]);
    up(&mut events).await;
    sender.try_publish("t", vec![0; 3_000]).expect("taken");
    let event = next(&mut events).await;
    let LinkEvent::Unsent { reason: Unsent::TooLarge { max, .. }, .. } = event else {
        panic!("{event:?}")
    };
    assert_eq!(max, 2_000);
    sender.try_publish("t", vec![0; 1_900]).expect("taken");
    assert_eq!(next(&mut events).await, message("t", &[0; 1_900]));
}

#[tokio::test]
async fn the_will_is_published_for_the_dead_and_not_for_those_who_leave() {
    let broker = Mosquitto::open_to_all();
    let (_core, mut core_events) = start(config(broker.port, "core"), &["#"]);
    up(&mut core_events).await;
    let will = |name: &str| Some(Will { topic: "will".to_owned(), payload: name.into() });

    let (leaver, mut events) =
        Link::start(config(broker.port, "leaver"), vec![], will("leaver")).expect("a link");
    up(&mut events).await;
    leaver.shutdown().await;

    let elsewhere = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("another runtime");
    let (dying, dying_config) = (will("dying"), config(broker.port, "dying"));
    let link = elsewhere.spawn(async move {
        let (sender, mut events) = Link::start(dying_config, vec![], dying).expect("a link");
        up(&mut events).await;
        (sender, events)
    });
    let held = link.await.expect("up");
    elsewhere.shutdown_background();
    assert_eq!(next(&mut core_events).await, message("will", b"dying"));
    drop(held);
}

/// A broker of a few bytes, for what Mosquitto does not do: it never denies a subscription, and
/// 2.0.11 closes the connection of a client that was pushed out without a word. `answer` is given
/// the packets of a connection, one by one.
async fn scripted(answer: fn(&[u8]) -> Option<Vec<u8>>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("its number").port();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = [0; 1024];
            while let Ok(length @ 1..) = socket.read(&mut request).await {
                if let Some(bytes) = answer(&request[..length])
                    && socket.write_all(&bytes).await.is_err()
                {
                    break;
                }
            }
        }
    });
    port
}

const CONNECT: u8 = 0x10;
const SUBSCRIBE: u8 = 0x82;
const CONNECTED: &[u8] = b"\x20\x03\x00\x00\x00";

#[tokio::test]
async fn a_subscription_that_is_not_granted_is_named() {
    let port = scripted(|request| match request {
        [CONNECT, ..] => Some(CONNECTED.to_vec()),
        // Granted, not authorised.
        [SUBSCRIBE, _, high, low, ..] => Some(vec![0x90, 5, *high, *low, 0, 1, 0x87]),
        _ => None,
    });
    let (sender, mut events) = start(config(port.await, "7"), &["a/7/down", "a/8/down"]);
    let (topic, detail) = ("a/8/down".to_owned(), "not authorized".to_owned());
    let reason = LinkRefused::Subscription { topic, detail };
    assert_eq!(next(&mut events).await, LinkEvent::Refused { reason });
    assert!(!sender.is_up());
}

#[tokio::test]
async fn a_client_that_was_pushed_out_by_another_says_so() {
    let port = scripted(|_| Some([CONNECTED, b"\xe0\x02\x8e\x00"].concat()));
    let (_sender, mut events) = start(config(port.await, "7"), &[]);
    assert_eq!(next(&mut events).await, LinkEvent::Up);
    let reason = LinkRefused::TakenOver;
    assert_eq!(next(&mut events).await, LinkEvent::Refused { reason });
}

#[tokio::test]
async fn a_broker_that_is_only_busy_is_no_refusal() {
    let port = scripted(|_| Some(b"\x20\x03\x00\x89\x00".to_vec()));
    let (_sender, mut events) = start(config(port.await, "7"), &[]);
    let event = next(&mut events).await;
    assert!(matches!(event, LinkEvent::Down { reason: LinkDown::BrokerLeft { .. } }), "{event:?}");
}

#[tokio::test]
async fn a_broker_that_never_grants_a_subscription_is_not_waited_for_without_end() {
    let port = scripted(|request| (request[0] == CONNECT).then(|| CONNECTED.to_vec()));
    let (sender, mut events) = start(config(port.await, "7"), &["t"]);
    assert_eq!(next(&mut events).await, LinkEvent::Down { reason: LinkDown::NoAnswer });
    assert!(!sender.is_up());
}

#[tokio::test]
async fn a_broker_that_answers_nonsense_is_given_up_and_tried_again() {
    let port = scripted(|_| Some(vec![0; 16]));
    let (_sender, mut events) = start(config(port.await, "7"), &["t"]);
    let event = next(&mut events).await;
    assert!(matches!(event, LinkEvent::Down { reason: LinkDown::Protocol { .. } }), "{event:?}");
}

#[tokio::test]
async fn a_flush_sends_all_that_is_queued_through_a_small_window() {
    let broker = Mosquitto::open_to_all();
    let bounds = |client_id| LinkConfig {
        queue_max: 600,
        received_max: 600,
        in_flight_max: 3,
        ..config(broker.port, client_id)
    };
    let (_core, mut core_events) = start(bounds("core"), &["t"]);
    let (sender, mut events) = start(bounds("7"), &[]);
    up(&mut core_events).await;
    up(&mut events).await;
    for number in 0..500_u16 {
        sender.try_publish("t", number.to_be_bytes().to_vec()).expect("room in the queue");
    }
    sender.shutdown_after_flush(PATIENCE).await;
    for number in 0..500_u16 {
        assert_eq!(next(&mut core_events).await, message("t", &number.to_be_bytes()));
    }
    assert_eq!(events.recv().await, None);
}

#[tokio::test]
async fn a_link_that_nobody_holds_sends_what_is_queued_and_ends() {
    let broker = Mosquitto::open_to_all();
    let (_core, mut core_events) = start(config(broker.port, "core"), &["t"]);
    let (sender, mut events) = start(config(broker.port, "7"), &[]);
    up(&mut core_events).await;
    up(&mut events).await;
    sender.try_publish("t", b"last words".to_vec()).expect("taken");
    drop(sender);
    assert_eq!(next(&mut core_events).await, message("t", b"last words"));
    let end = tokio::time::timeout(PATIENCE, events.recv()).await;
    assert_eq!(end.expect("ended in time"), None);
}

#[tokio::test]
async fn a_receiver_that_takes_nothing_loses_messages_but_not_the_connection() {
    let broker = Mosquitto::open_to_all();
    let slow = LinkConfig { received_max: 2, keep_alive_s: 5, ..config(broker.port, "slow") };
    let (_slow, mut slow_events) = start(slow, &["t"]);
    let (sender, mut events) = start(config(broker.port, "7"), &[]);
    up(&mut events).await;
    up(&mut slow_events).await;
    for _ in 0..40 {
        sender.publish("t", vec![1]).await.expect("taken");
    }
    // Longer than the broker waits for a sign of life from a client with this keep-alive.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let mut taken = 0;
    while let Some(event) = slow_events.try_recv() {
        assert_eq!(event, message("t", &[1]), "the connection was not lost");
        taken += 1;
    }
    assert_eq!(taken, 2);
    sender.publish("t", vec![2]).await.expect("taken");
    assert_eq!(next(&mut slow_events).await, message("t", &[2]));
}

/// Makes an authority and a certificate for `localhost` that it signed.
fn certificates(folder: &std::path::Path) {
    let at = |name: &str| folder.join(name).display().to_string();
    let key = ["-newkey", "rsa:2048", "-nodes", "-days", "2"];
    let (authority, authority_key) = (at("ca.pem"), at("ca.key"));
    run(Command::new("openssl")
        .args(["req", "-x509", "-subj", "/CN=test authority"])
        .args(key)
        .args(["-keyout", &authority_key, "-out", &authority]));
    run(Command::new("openssl").args(["req", "-subj", "/CN=localhost"]).args(&key[..3]).args([
        "-keyout",
        &at("broker.key"),
        "-out",
        &at("broker.csr"),
    ]));
    file(folder, "names", "subjectAltName=DNS:localhost\n");
    run(Command::new("openssl")
        .args(["x509", "-req", "-days", "2", "-CAcreateserial"])
        .args(["-in", &at("broker.csr"), "-out", &at("broker.pem")])
        .args(["-CA", &authority, "-CAkey", &authority_key, "-extfile", &at("names")]));
}

#[tokio::test]
async fn an_encrypted_link_trusts_only_the_authority_it_was_given() {
    let files = tempfile::tempdir().expect("folder");
    certificates(files.path());
    let at = |name: &str| files.path().join(name);
    let broker = Mosquitto::start(|_| {
        format!(
            "allow_anonymous true\ncafile {}\ncertfile {}\nkeyfile {}\n",
            at("ca.pem").display(),
            at("broker.pem").display(),
            at("broker.key").display()
        )
    });
    let with = |host: &str, authority: &str| LinkConfig {
        host: host.to_owned(),
        tls: Some(TlsConfig { ca_file: Some(at(authority)), client: None }),
        ..config(broker.port, "7")
    };
    let (sender, mut events) = start(with("localhost", "ca.pem"), &["t"]);
    assert_eq!(next(&mut events).await, LinkEvent::Up);
    sender.try_publish("t", b"in private".to_vec()).expect("taken");
    assert_eq!(next(&mut events).await, message("t", b"in private"));

    let other = tempfile::tempdir().expect("folder");
    certificates(other.path());
    std::fs::copy(other.path().join("ca.pem"), at("other.pem")).expect("copy");
    for wrong in [with("localhost", "other.pem"), with("127.0.0.1", "ca.pem")] {
        let (_sender, mut events) = start(wrong, &["t"]);
        let event = next(&mut events).await;
        assert!(matches!(event, LinkEvent::Down { reason: LinkDown::Tls { .. } }), "{event:?}");
    }
}

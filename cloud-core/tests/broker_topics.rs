//! Topics of others on the embedded broker: who may publish there, and how the core hears it, over real
//! connections.

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cloud_core::broker::{
    Broker, BrokerSettings, CORE_TOPICS_CLIENT_ID, CORE_USERNAME, CredentialBook, EmbeddedBroker,
    read_publishers,
};
use rumqttc::mqttbytes::v5::{ConnectReturnCode, PubAckReason, SubscribeReasonCode};
use shared::schedule::TopicFilter;
use shared_runtime::link::LinkConfig;
use shared_runtime::link::mqtt::{Heard, TopicEvent, listen};
use shared_runtime::secret::write_secret_file;
use support::world::{loopback, token};
use support::{Client, Setup};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

const PASSWORD: &str = "a password that is long";
/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);

/// A broker with the publisher `plc`.
struct World {
    broker: EmbeddedBroker,
    book: Arc<CredentialBook>,
}

async fn world(folder: &Path, topics: &str) -> World {
    let file = folder.join("publishers.toml");
    let text = format!("[plc]\npassword = '{PASSWORD}'\ntopics = {topics}\n");
    write_secret_file(&file, text.as_bytes()).expect("written");
    let publishers = read_publishers(&file).expect("in order");
    let book = Arc::new(CredentialBook::new(Some(token())).with_publishers(publishers));
    let settings = BrokerSettings::plain(loopback(0));
    let broker = EmbeddedBroker::start(&settings, book.clone()).await.expect("it starts");
    World { broker, book }
}

impl World {
    fn plc(&self) -> Setup {
        Setup::new(self.broker.bound().core, "publisher:plc", "plc", PASSWORD)
    }

    fn listens(
        &self,
        filters: &[&str],
    ) -> (watch::Sender<BTreeSet<TopicFilter>>, mpsc::Receiver<TopicEvent>) {
        let (wanted, listening) = watch::channel(set(filters));
        let address = self.broker.bound().core;
        let client_id = CORE_TOPICS_CLIENT_ID.to_owned();
        let mut link = LinkConfig::for_core(address.ip().to_string(), address.port(), client_id);
        link.username = Some(CORE_USERNAME.to_owned());
        link.password = Some(self.book.core_password().clone());
        (wanted, listen(link, listening, 100).expect("in order"))
    }
}

fn set(filters: &[&str]) -> BTreeSet<TopicFilter> {
    filters.iter().map(|text| text.parse().expect("a filter")).collect()
}

async fn next(events: &mut mpsc::Receiver<TopicEvent>) -> TopicEvent {
    timeout(PATIENCE, events.recv()).await.expect("in time").expect("it goes on")
}

/// Waits until so many filters are granted.
async fn granted(events: &mut mpsc::Receiver<TopicEvent>, count: usize) {
    for _ in 0..count {
        let event = next(events).await;
        assert!(matches!(event, TopicEvent::Granted(_)), "{event:?}");
    }
}

/// Publishes a mark, and answers what was heard of `topic` until it came.
async fn heard(
    plc: &mut Client,
    events: &mut mpsc::Receiver<TopicEvent>,
    filters: &str,
) -> Vec<Heard> {
    assert_eq!(plc.publish("factory/mark", "mark").await, PubAckReason::Success);
    let mut all = Vec::new();
    loop {
        match next(events).await {
            TopicEvent::Heard(heard) if heard.topic == "factory/mark" => {
                if heard.filters.iter().any(|filter| filter.as_str() == filters) {
                    return all;
                }
            }
            TopicEvent::Heard(heard) => all.push(heard),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_publisher_publishes_to_its_topics_and_does_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(folder.path(), "['factory/#', 'barn/+/door']").await;
    let address = world.broker.bound().core;
    let mut plc = world.plc().connected().await;
    for topic in ["factory", "factory/3/alarm", "barn/1/door"] {
        let said = plc.publish(topic, "x").await;
        assert!(
            matches!(said, PubAckReason::Success | PubAckReason::NoMatchingSubscribers),
            "{topic}: {said:?}"
        );
    }
    for topic in ["barn/door", "attic", "ambit/v1/agents/plc/up", "ambit/v1/agents/a/down"] {
        assert_eq!(plc.publish(topic, "x").await, PubAckReason::NotAuthorized, "{topic}");
    }
    for filter in ["factory/#", "ambit/v1/agents/plc/down", "#"] {
        let answer = plc.subscribe(filter).await;
        assert_eq!(answer, SubscribeReasonCode::NotAuthorized, "{filter}");
    }
    let refusal = |setup: Setup| async move { setup.connect().await.err() };
    let wrong = Setup::new(address, "publisher:plc", "plc", "another that is long");
    assert_eq!(refusal(wrong).await, Some(ConnectReturnCode::NotAuthorized));
    let agent = Setup::new(address, "plc", "plc", PASSWORD);
    assert_eq!(refusal(agent).await, Some(ConnectReturnCode::NotAuthorized), "it is no agent");
    let will = world.plc().will("ambit/v1/agents/a/will", "gone");
    assert_eq!(refusal(will).await, Some(ConnectReturnCode::NotAuthorized));
}

#[tokio::test]
async fn the_core_hears_through_which_filters_a_message_came() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(folder.path(), "['factory/#']").await;
    let (wanted, mut events) = world.listens(&["factory/#", "factory/+/alarm", "barn"]);
    granted(&mut events, 3).await;
    let mut plc = world.plc().connected().await;
    plc.publish("factory/3/alarm", "high").await;
    plc.publish("factory/3/level", "low").await;
    let all = heard(&mut plc, &mut events, "factory/#").await;
    // In one copy or in several, each filter lets it through once.
    let through = |topic: &str| {
        let of_topic = all.iter().filter(|heard| heard.topic == topic);
        let filters = of_topic.flat_map(|heard| heard.filters.iter().map(ToString::to_string));
        let mut filters: Vec<String> = filters.collect();
        filters.sort_unstable();
        filters
    };
    assert_eq!(through("factory/3/alarm"), ["factory/#", "factory/+/alarm"]);
    assert_eq!(through("factory/3/level"), ["factory/#"]);
    assert!(all.iter().all(|heard| ["high", "low"].map(Vec::from).contains(&heard.payload)));

    // What is wanted no more is not heard, and what is wanted now is.
    wanted.send_replace(set(&["factory/mark", "factory/new"]));
    granted(&mut events, 2).await;
    plc.publish("factory/3/alarm", "high").await;
    plc.publish("factory/new", "new").await;
    let all = heard(&mut plc, &mut events, "factory/mark").await;
    let topics: Vec<&str> = all.iter().map(|heard| heard.topic.as_str()).collect();
    assert_eq!(topics, ["factory/new"]);
    // Nothing, and something again: the connection goes and comes back.
    wanted.send_replace(BTreeSet::new());
    tokio::time::sleep(Duration::from_millis(100)).await;
    wanted.send_replace(set(&["factory/mark"]));
    granted(&mut events, 1).await;
    assert_eq!(heard(&mut plc, &mut events, "factory/mark").await, []);
}

#[tokio::test]
async fn more_filters_than_are_asked_for_at_once_are_all_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(folder.path(), "['factory/#']").await;
    let filters: Vec<String> = (0..100).map(|number| format!("factory/{number}")).collect();
    let filters: Vec<&str> = filters.iter().map(String::as_str).collect();
    let (_wanted, mut events) = world.listens(&filters);
    granted(&mut events, 100).await;
    let mut plc = world.plc().connected().await;
    plc.publish("factory/99", "x").await;
    let TopicEvent::Heard(heard) = next(&mut events).await else { panic!("no message") };
    assert_eq!(heard.filters, [filters[99].parse().expect("a filter")]);
}

#[tokio::test]
async fn a_flood_is_dropped_and_told_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let world = world(folder.path(), "['factory/#']").await;
    let (_wanted, mut events) = world.listens(&["factory/#"]);
    granted(&mut events, 1).await;
    let mut plc = world.plc().connected().await;
    for number in 0..500 {
        plc.publish("factory/flood", number.to_string()).await;
    }
    // Nobody took any meanwhile; once there is room again, it is told how many are gone.
    let mut taken = 0;
    let dropped = loop {
        match timeout(Duration::from_millis(500), events.recv()).await {
            Ok(Some(TopicEvent::Heard(_))) => taken += 1,
            Ok(Some(TopicEvent::Dropped(count))) => break count,
            Ok(other) => panic!("{other:?}"),
            Err(_) => {
                plc.publish("factory/flood", "more").await;
            }
        }
    };
    assert!(taken >= 100 && dropped >= 300, "{taken} taken, {dropped} dropped");
}

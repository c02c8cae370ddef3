//! Schedules that listen to topics of others, on both brokers: a machine that is no agent publishes, and
//! what it says becomes a task.

use serde_json::{Value, json};
use shared::api::ScheduleDocument;
use shared_runtime::link::{Link, LinkConfig, LinkEvent, LinkEvents, LinkSender};
use shared_runtime::seal::BrokerPassword;
use tests::broker::{PUBLISHER, password_of};
use tests::wait::{check, eventually};
use tests::{BrokerKind, Cluster, ClusterBuilder};

tests::on_both_brokers!(
    what_a_machine_publishes_becomes_a_task,
    a_core_that_was_killed_listens_again,
);

/// A machine that publishes.
struct Machine {
    runtime: tokio::runtime::Runtime,
    sender: LinkSender,
    _events: LinkEvents,
}

impl Machine {
    fn connect(cluster: &Cluster) -> Self {
        let address = cluster.core.broker();
        let client_id = format!("publisher:{PUBLISHER}");
        let mut config = LinkConfig::for_agent(address.ip().to_string(), address.port(), client_id);
        config.username = Some(PUBLISHER.to_owned());
        config.password = Some(BrokerPassword::from_text(password_of(PUBLISHER)));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (sender, mut events) = {
            let _inside = runtime.enter();
            Link::start(config, Vec::new(), None).expect("in order")
        };
        loop {
            match runtime.block_on(events.recv()) {
                Some(LinkEvent::Up) => break,
                Some(LinkEvent::Down { .. }) => {}
                other => panic!("it cannot connect: {other:?}"),
            }
        }
        Self { runtime, sender, _events: events }
    }

    fn publish(&self, topic: &str, payload: &str) {
        let said = self.sender.publish(topic, payload.as_bytes().to_vec());
        self.runtime.block_on(said).expect("it is connected");
    }
}

/// A schedule whose tasks write down what they were told, a line each.
fn listen(cluster: &Cluster, name: &str, topic: &str, when: &Value) {
    let heard = cluster.scratch.join(name);
    let script = format!("tr -d '\\n' < \"$AMBIT_EVENT\" >> '{0}'; echo >> '{0}'", heard.display());
    let spec = json!({
        "name": name, "overlap": "queue", "queue_max": 100,
        "trigger": {"event": {"mqtt": {"topic": topic, "when": when}}},
        "task": {"run": {"exec": {"command": "/bin/sh", "args": ["-c", script]}}},
    });
    let answer = cluster.api.request("POST", "/v1/schedules", Some(&spec)).expect("an answer");
    let made: ScheduleDocument = answer.read().expect("a schedule");
    assert_eq!(made.summary.name.as_str(), name);
}

/// What the tasks of a schedule were told.
fn heard(cluster: &Cluster, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(cluster.scratch.join(name)).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

/// Publishes marks until each of these schedules has heard one: from then on they listen.
fn until_heard(cluster: &Cluster, machine: &Machine, topic: &str, names: &[&str]) {
    eventually("the schedules to listen", || {
        machine.publish(topic, "mark");
        std::thread::sleep(std::time::Duration::from_millis(200));
        let all = names.iter().all(|name| !marks(&heard(cluster, name)).is_empty());
        check(all, || {
            names.iter().map(|name| format!("{name}: {:?} ", heard(cluster, name))).collect()
        })
    });
}

fn marks(all: &[Value]) -> Vec<&Value> {
    all.iter().filter(|message| message["payload"] == "mark").collect()
}

fn others(all: &[Value]) -> Vec<&Value> {
    all.iter().filter(|message| message["payload"] != "mark").collect()
}

fn what_a_machine_publishes_becomes_a_task(kind: BrokerKind) {
    let cluster = ClusterBuilder::new(kind).publisher().agents(1).start();
    let high = json!([{"pointer": "/level", "op": "ge", "value": 3}]);
    listen(&cluster, "every", "factory/#", &json!([]));
    listen(&cluster, "alarms", "factory/+/alarm", &json!([]));
    listen(&cluster, "high", "factory/+/alarm", &high);
    let machine = Machine::connect(&cluster);
    until_heard(&cluster, &machine, "factory/0/alarm", &["every", "alarms"]);

    machine.publish("factory/7/alarm", "{\"level\": 2}");
    machine.publish("factory/7/alarm", "{\"level\": 3}");
    machine.publish("factory/7/level", "rising");
    // Not its topics: the broker does not let it through, and nobody hears it.
    machine.publish("barn/7/alarm", "{\"level\": 9}");
    machine.publish("ambit/v1/agents/a/up", "{}");
    let alarm = |level: u64| json!({"topic": "factory/7/alarm", "payload": {"level": level}});
    let rising = json!({"topic": "factory/7/level", "payload": "rising"});
    let expected = [
        ("every", vec![alarm(2), alarm(3), rising]),
        ("alarms", vec![alarm(2), alarm(3)]),
        ("high", vec![alarm(3)]),
    ];
    for (name, messages) in &expected {
        eventually(&format!("{name} to be fired"), || {
            let all = heard(&cluster, name);
            check(others(&all).len() >= messages.len(), || format!("{all:?}"))
        });
    }
    cluster.wait_until_idle();
    for (name, messages) in &expected {
        let all = heard(&cluster, name);
        let heard = others(&all);
        assert_eq!(heard, messages.iter().collect::<Vec<_>>(), "{name}: each once, in their order");
    }
    let told = cluster.api.metric("ambit_topic_filters").expect("a metric");
    assert!((told - 2.0).abs() < f64::EPSILON, "{told}");
}

fn a_core_that_was_killed_listens_again(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).publisher().agents(1).start();
    listen(&cluster, "every", "factory/#", &json!([]));
    let machine = Machine::connect(&cluster);
    until_heard(&cluster, &machine, "factory/0", &["every"]);
    drop(machine);
    cluster.restart_core();
    // The one inside the core was killed with it.
    let machine = Machine::connect(&cluster);
    let before = heard(&cluster, "every").len();
    eventually("the schedule to listen again", || {
        machine.publish("factory/1", "again");
        std::thread::sleep(std::time::Duration::from_millis(200));
        check(heard(&cluster, "every").len() > before, || "not yet".to_owned())
    });
    cluster.wait_until_idle();
}

//! Cores and brokers that die: what was acknowledged is there afterwards, once.

use serde_json::json;
use shared::api::AgentStatus;
use shared::task::TaskStatus;
use tests::api::in_brief;
use tests::builder::once;
use tests::evidence::Traces;
use tests::spec::{noop, on, task, with};
use tests::{BrokerKind, ClusterBuilder};

tests::on_both_brokers!(
    a_core_that_dies_forgets_nothing,
    everything_at_once_dies_and_comes_back,
    a_core_that_stops_in_order_refuses_and_returns,
);

fn a_core_that_dies_forgets_nothing(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(1).start();
    let api = cluster.api;
    let gate = cluster.scratch.join("gate");
    let script = format!("until [ -e '{}' ]; do sleep 0.05; done; echo done", gate.display());
    let spec = once(&cluster, &script);
    let first = api.try_submit(&spec, Some("key-1")).expect("an answer");
    assert_eq!(first.status, 201, "{first}");
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    let waiting = api.submit(&with(task(noop()), json!({"where": {"regions": ["nowhere"]}})));
    api.running(&id);
    api.operate("a", "cordon");

    cluster.restart_core();
    let again = api.try_submit(&spec, Some("key-1")).expect("an answer");
    assert_eq!((again.status, again.json()["id"].as_str()), (200, Some(id.as_str())), "{again}");
    let other = api.try_submit(&task(noop()), Some("key-1")).expect("an answer");
    assert_eq!(other.status, 422, "{other}");
    assert_eq!(api.task(&waiting).expect("it is there").summary.status, TaskStatus::Pending);
    let agent = api.agent_is("a", AgentStatus::Online);
    assert_eq!(format!("{:?}", agent.flags), "[Cordoned]");

    // Dead while the result is on its way.
    cluster.core.daemon.kill();
    std::fs::write(&gate, "").expect("the gate opens");
    cluster.core.start();
    cluster.core.wait_until_ready();
    let done = api.settled(&id);
    assert_eq!(done.summary.status, TaskStatus::Succeeded, "{}", in_brief(&done));
    assert_eq!(done.assignments.len(), 1, "{}", in_brief(&done));
    assert_eq!(cluster.evidence.of(&id, 1), Traces { starts: 1, ends: 1 });

    // And once it is settled, it stays so.
    cluster.restart_core();
    assert_eq!(api.task(&id).expect("the task").outcome, done.outcome);
    assert_eq!(api.tasks("").expect("all").len(), 2);
    assert_eq!(api.cancel(&waiting).summary.status, TaskStatus::Canceled);
}

fn everything_at_once_dies_and_comes_back(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(3).start();
    let api = cluster.api;
    let ids: Vec<String> =
        (0..30).map(|n| api.submit(&once(&cluster, &format!("sleep 1; exit {}", n % 2)))).collect();
    api.task_when(&ids[0], "to have a place", |task| !task.assignments.is_empty());
    cluster.strike();
    cluster.start();
    for (n, id) in ids.iter().enumerate() {
        let done = api.settled(id);
        let outcome = done.outcome.as_ref().expect("an outcome");
        // The tasks outlive their agent, so each one's true end is known.
        assert_eq!(outcome.exit_code, Some(n as i32 % 2), "{}", in_brief(&done));
        assert_eq!(cluster.evidence.of(id, 1), Traces { starts: 1, ends: 1 });
        assert_eq!(done.assignments.len(), 1, "{}", in_brief(&done));
    }
    cluster.wait_until_idle();
    assert_eq!(api.tasks("").expect("all").len(), ids.len());
}

fn a_core_that_stops_in_order_refuses_and_returns(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(1).start();
    let api = cluster.api;
    let id = api.submit(&once(&cluster, "sleep 1; echo done"));
    let status = cluster.core.daemon.stop().expect("it ran");
    assert!(status.success(), "{status}");
    assert!(api.try_submit(&task(noop()), None).is_err(), "nobody is there");
    cluster.core.start();
    cluster.core.wait_until_ready();
    assert_eq!(api.settled(&id).summary.status, TaskStatus::Succeeded);
    cluster.wait_until_idle();
}

/// Mosquitto keeps nothing, so this is a broker that forgot everything.
#[test]
fn a_broker_that_dies_and_starts_empty_costs_nothing() {
    let mut cluster = ClusterBuilder::new(BrokerKind::Mosquitto).agents(2).start();
    let api = cluster.api;
    let gate = cluster.scratch.join("gate");
    let script = format!("until [ -e '{}' ]; do sleep 0.05; done; echo done", gate.display());
    let ids: Vec<String> = (0..6).map(|_| api.submit(&once(&cluster, &script))).collect();
    api.running(&ids[5]);
    cluster.broker.as_mut().expect("mosquitto").daemon().kill();
    std::fs::write(&gate, "").expect("the gate opens");
    // Submitted while there is no broker: taken, and placed when there is one.
    let meanwhile = api.submit(&on(task(noop()), &["a", "b"]));
    cluster.broker.as_mut().expect("mosquitto").start();
    for id in &ids {
        let done = api.settled(id);
        assert_eq!(done.summary.status, TaskStatus::Succeeded, "{}", in_brief(&done));
        assert_eq!(cluster.evidence.of(id, 1), Traces { starts: 1, ends: 1 });
        assert_eq!(done.assignments.len(), 1, "{}", in_brief(&done));
    }
    assert_eq!(api.settled(&meanwhile).summary.status, TaskStatus::Succeeded);
    cluster.wait_until_idle();
}

//! A broker that is replaced by an empty one: what it knew of sessions and messages is gone.

use shared::task::TaskStatus;
use tests::api::in_brief;
use tests::builder::{BROKER_HOST, once};
use tests::spec::on;
use tests::wait::{check, eventually};
use tests::{BrokerKind, ClusterBuilder};

use super::site;

#[test]
fn a_broker_that_forgot_everything_loses_nothing() {
    let Some(mut site) = site(ClusterBuilder::new(BrokerKind::Mosquitto).agents(3)) else {
        return;
    };
    let api = site.cluster.api;
    let agents = ["a", "b", "c"];
    let gated: Vec<_> = agents.map(|agent| (agent, site.gated(agent, "echo through"))).into();
    let mut ids = Vec::new();
    let mut gates = Vec::new();
    for (agent, (script, gate)) in gated {
        let id = api.submit(&on(once(&site.cluster, &script), &[agent]));
        api.running(&id);
        ids.push(id);
        gates.push(gate);
    }
    // Some are on their way when the broker dies.
    ids.extend((0..20).map(|_| api.submit(&once(&site.cluster, "sleep 0.2; echo flew"))));
    site.hosts.power_cut(&[BROKER_HOST]);
    let broker = site.cluster.broker.as_mut().expect("a Mosquitto");
    broker.daemon().kill();
    let kept = std::fs::read_dir(site.cluster.scratch.path()).expect("the folder");
    let kept: Vec<_> = kept.flatten().map(|entry| entry.file_name()).collect();
    let store = kept.iter().find(|name| name.to_string_lossy().ends_with(".db"));
    assert_eq!(store, None, "a broker that is configured as shipped keeps nothing");
    gates.into_iter().for_each(super::Gate::open);
    for id in &ids[..agents.len()] {
        site.ended(id, 1);
        site.assert_open(id);
    }
    // Taken while there is no way to anybody.
    ids.extend(agents.map(|agent| api.submit(&on(once(&site.cluster, "echo late"), &[agent]))));
    eventually("the core to notice", || {
        let answer =
            api.request("GET", "/health/ready", None).map_err(|error| error.to_string())?;
        check(answer.status == 503, || answer.to_string())
    });

    site.cluster.broker.as_mut().expect("a Mosquitto").start();
    for id in &ids {
        let done = api.settled(id);
        assert_eq!(done.summary.status, TaskStatus::Succeeded, "{}", in_brief(&done));
        assert_eq!(done.assignments.len(), 1, "{}", in_brief(&done));
    }
    for agent in agents {
        api.agent_is(agent, shared::api::AgentStatus::Online);
    }
    site.cluster.wait_until_idle();
    assert_eq!(site.cluster.evidence.doubled(), []);
}

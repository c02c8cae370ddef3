//! Links that die without a word: connections stay open, nothing passes, and nobody is told. Only
//! missing heartbeats tell.

use serde_json::json;
use shared::api::AgentStatus;
use shared::task::TaskStatus;
use tests::api::in_brief;
use tests::builder::once;
use tests::evidence::Traces;
use tests::hosts::Way;
use tests::spec::{noop, on, task, with};
use tests::{BrokerKind, ClusterBuilder};

use super::site;

tests::on_both_brokers!(
    a_half_open_link_is_noticed_and_its_task_replaced,
    a_link_that_is_dead_one_way_loses_nothing,
);

fn a_half_open_link_is_noticed_and_its_task_replaced(kind: BrokerKind) {
    let Some(mut site) = site(ClusterBuilder::new(kind).agents(2)) else {
        return;
    };
    let api = site.cluster.api;
    // Its first attempt takes until the gate opens, its second is quick.
    let (script, gate) = site.gated("gate", "echo first");
    let script = format!("[ \"$AMBIT_ATTEMPT\" = 1 ] || {{ echo second; exit 0; }}; {script}");
    let quickly = json!({"disconnect": {"lost_after_s": 1}});
    let replaced = api.submit(&with(once(&site.cluster, &script), quickly));
    let first = api.running(&replaced).assignments[0].agent.to_string();
    let patient = json!({"disconnect": {"lost_after_s": 600}});
    let (script, other_gate) = site.gated("other-gate", "echo kept");
    let kept = api.submit(&with(on(once(&site.cluster, &script), &[&first]), patient));
    api.running(&kept);

    site.hosts.half_open(&first);
    api.agent_is(&first, AgentStatus::Offline);
    let done = api.settled(&replaced);
    let brief = in_brief(&done);
    let outcome = done.outcome.clone().expect("an outcome");
    assert_eq!((done.summary.status, &*outcome.stdout_tail), (TaskStatus::Succeeded, "second\n"));
    assert_eq!(done.assignments.len(), 2, "{brief}");
    assert_ne!(done.assignments[1].agent.to_string(), first, "{brief}");
    // Behind the dead link the first one runs on, and so does the one that may be silent longer.
    assert_eq!(site.cluster.evidence.of(&replaced, 1), Traces { starts: 1, ends: 0 });
    site.holds(&first, &replaced, "running");
    other_gate.open();
    site.holds(&first, &kept, "finished");
    site.assert_open(&kept);

    site.hosts.heal(&first);
    site.assert_done_at_once(&kept);
    api.agent_is(&first, AgentStatus::Online);
    // Nothing of the attempt that was given up is left, and nothing of what was decided changes.
    site.cluster.wait_until_idle();
    drop(gate);
    assert_eq!(api.task(&replaced).expect("the task").outcome, Some(outcome));
    assert_eq!(site.cluster.evidence.doubled(), []);
    let next = api.submit(&on(task(noop()), &[&first]));
    assert_eq!(api.settled(&next).summary.status, TaskStatus::Succeeded);
}

fn a_link_that_is_dead_one_way_loses_nothing(kind: BrokerKind) {
    let Some(mut site) = site(ClusterBuilder::new(kind).agents(2)) else {
        return;
    };
    let api = site.cluster.api;
    // `a` is heard no more, `b` hears no more.
    let begun: Vec<_> = [("a", Way::Out), ("b", Way::In)]
        .into_iter()
        .map(|(agent, way)| {
            let (script, gate) = site.gated(agent, "echo through");
            let id = api.submit(&on(once(&site.cluster, &script), &[agent]));
            api.running(&id);
            site.hosts.cut_one_way(agent, way);
            (agent, id, gate)
        })
        .collect();
    let begun: Vec<_> = begun
        .into_iter()
        .map(|(agent, id, gate)| {
            api.agent_is(agent, AgentStatus::Offline);
            gate.open();
            site.holds(agent, &id, "finished");
            site.assert_open(&id);
            // Nobody can know whether it is there already.
            let later = api.submit(&on(once(&site.cluster, "echo later"), &[agent]));
            (agent, id, later)
        })
        .collect();
    for (agent, id, later) in begun {
        site.hosts.heal(agent);
        site.assert_done_at_once(&id);
        site.assert_done_at_once(&later);
        api.agent_is(agent, AgentStatus::Online);
    }
    site.cluster.wait_until_idle();
}

//! Agents that die: what they ran is replaced, found again, or told as it was; never run twice
//! within one attempt, never settled twice.

use serde_json::json;
use shared::api::AgentStatus;
use shared::task::TaskStatus;
use tests::api::in_brief;
use tests::builder::once;
use tests::evidence::Traces;
use tests::spec::{on, with};
use tests::wait::{check, eventually};
use tests::{BrokerKind, ClusterBuilder};

tests::on_both_brokers!(
    a_lost_task_is_replaced_elsewhere_and_settled_once,
    what_runs_is_found_again_by_a_restarted_agent,
    what_ended_while_its_agent_was_dead_is_told_as_it_was,
    an_agent_that_stops_in_order_leaves_its_task_running,
);

fn a_lost_task_is_replaced_elsewhere_and_settled_once(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(2).start();
    let api = cluster.api;
    // The first attempt would take for ever; the second is quick.
    let script = r#"[ "$AMBIT_ATTEMPT" != 1 ] || sleep 600; echo attempt $AMBIT_ATTEMPT"#;
    let quickly_lost = json!({"disconnect": {"lost_after_s": 1}});
    let id = api.submit(&with(once(&cluster, script), quickly_lost));
    let first = api.running(&id).assignments[0].agent.to_string();
    cluster.power_off(&first);

    let done = api.settled(&id);
    assert_eq!(done.summary.status, TaskStatus::Succeeded, "{}", in_brief(&done));
    let places: Vec<String> = done.assignments.iter().map(|row| row.agent.to_string()).collect();
    assert_eq!(places.len(), 2, "{}", in_brief(&done));
    assert_eq!(places[0], first);
    assert_ne!(places[1], first);
    let outcome = done.outcome.clone().expect("an outcome");
    assert_eq!(outcome.stdout_tail, "attempt 2\n");
    assert_eq!(cluster.evidence.of(&id, 1), Traces { starts: 1, ends: 0 });
    assert_eq!(cluster.evidence.of(&id, 2), Traces { starts: 1, ends: 1 });

    // What the first agent tells when it is back comes too late to change anything.
    cluster.agent(&first).daemon.start();
    api.agent_is(&first, AgentStatus::Online);
    cluster.wait_until_idle();
    assert_eq!(api.task(&id).expect("the task").outcome, Some(outcome));
    assert!(cluster.evidence.doubled().is_empty());
}

fn what_runs_is_found_again_by_a_restarted_agent(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(1).start();
    let api = cluster.api;
    let gate = cluster.scratch.join("gate");
    let script = format!("until [ -e '{}' ]; do sleep 0.05; done; exit 5", gate.display());
    let id = api.submit(&once(&cluster, &script));
    api.running(&id);
    cluster.agent("a").daemon.kill();
    api.agent_is("a", AgentStatus::Offline);
    cluster.agent("a").daemon.start();
    api.agent_is("a", AgentStatus::Online);
    // It has not ended yet, so the agent that tells its end has found it running.
    assert!(!api.task(&id).expect("the task").summary.status.is_settled());
    std::fs::write(&gate, "").expect("the gate opens");

    let done = api.settled(&id);
    let outcome = done.outcome.as_ref().expect("an outcome");
    assert_eq!(outcome.exit_code, Some(5), "{}", in_brief(&done));
    assert_eq!(done.assignments.len(), 1);
    assert_eq!(cluster.evidence.of(&id, 1), Traces { starts: 1, ends: 1 });
    cluster.wait_until_idle();
}

fn what_ended_while_its_agent_was_dead_is_told_as_it_was(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(1).start();
    let api = cluster.api;
    let gate = cluster.scratch.join("gate");
    let script =
        format!("until [ -e '{}' ]; do sleep 0.05; done; echo last words; exit 9", gate.display());
    let id = api.submit(&once(&cluster, &script));
    api.running(&id);
    cluster.agent("a").daemon.kill();
    std::fs::write(&gate, "").expect("the gate opens");
    eventually("the task to end by itself", || {
        let traces = cluster.evidence.of(&id, 1);
        check(traces.ends == 1, || format!("{traces:?}"))
    });
    assert!(!api.task(&id).expect("the task").summary.status.is_settled(), "nobody could tell");
    cluster.agent("a").daemon.start();

    let done = api.settled(&id);
    let outcome = done.outcome.as_ref().expect("an outcome");
    assert_eq!(outcome.exit_code, Some(9), "{}", in_brief(&done));
    assert_eq!(outcome.stdout_tail, "last words\n");
    assert_eq!(outcome.attempt.map(|attempt| attempt.0), Some(1));
    assert_eq!(done.assignments.len(), 1);
    assert_eq!(cluster.evidence.of(&id, 1), Traces { starts: 1, ends: 1 });
    cluster.wait_until_idle();
}

fn an_agent_that_stops_in_order_leaves_its_task_running(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(1).start();
    let api = cluster.api;
    let gate = cluster.scratch.join("gate");
    let script = format!("until [ -e '{}' ]; do sleep 0.05; done; exit 4", gate.display());
    let id = api.submit(&on(once(&cluster, &script), &["a"]));
    api.running(&id);
    let status = cluster.agent("a").daemon.stop().expect("it ran");
    assert!(status.success(), "{status}");
    // It said goodbye, so nobody has to wait for silence.
    api.agent_is("a", AgentStatus::Offline);
    cluster.agent("a").daemon.start();
    api.agent_is("a", AgentStatus::Online);
    std::fs::write(&gate, "").expect("the gate opens");
    let done = api.settled(&id);
    assert_eq!(done.outcome.as_ref().and_then(|outcome| outcome.exit_code), Some(4));
    assert_eq!(cluster.evidence.of(&id, 1), Traces { starts: 1, ends: 1 });
}

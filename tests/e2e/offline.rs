//! Links that fail while everything else works: what is done offline counts, once.

use std::time::Duration;

use serde_json::json;
use shared::api::AgentStatus;
use shared::task::TaskStatus;
use tests::api::in_brief;
use tests::builder::once;
use tests::evidence::Traces;
use tests::spec::{noop, on, task, with};
use tests::wait::{check, eventually};
use tests::{AgentSetup, BrokerKind, Cluster, ClusterBuilder};

tests::on_both_brokers!(
    a_task_finishes_offline_and_its_result_arrives_once,
    a_link_that_goes_dead_without_a_word_is_noticed_and_recovers,
);

fn one_behind_a_faulty_link(kind: BrokerKind) -> Cluster {
    ClusterBuilder::new(kind).agent(AgentSetup::at("a", 0.0, 0.0).faulty()).start()
}

fn wait_for_end(cluster: &Cluster, id: &str) {
    eventually("the task to end on its agent", || {
        let traces = cluster.evidence.of(id, 1);
        check(traces.ends == 1, || format!("{traces:?}"))
    });
}

fn a_task_finishes_offline_and_its_result_arrives_once(kind: BrokerKind) {
    let mut cluster = one_behind_a_faulty_link(kind);
    let api = cluster.api;
    let gate = cluster.scratch.join("gate");
    let script = format!("until [ -e '{}' ]; do sleep 0.05; done; echo offline", gate.display());
    let id = api.submit(&once(&cluster, &script));
    // Still waiting on the agent when the link goes; it starts there, with nobody listening.
    let queued = api.submit(&with(once(&cluster, "echo too"), json!({"timeout_s": 60})));
    api.running(&id);
    api.task_when(&queued, "to be accepted", |task| {
        task.assignments.iter().any(|row| row.accepted_at.is_some())
    });
    cluster.agent("a").link().cut();
    api.agent_is("a", AgentStatus::Offline);
    std::fs::write(&gate, "").expect("the gate opens");
    wait_for_end(&cluster, &id);
    wait_for_end(&cluster, &queued);
    assert!(!api.task(&id).expect("the task").summary.status.is_settled(), "nobody could tell");

    cluster.agent("a").link().restore();
    for (id, said) in [(&id, "offline\n"), (&queued, "too\n")] {
        let done = api.settled(id);
        assert_eq!(done.summary.status, TaskStatus::Succeeded, "{}", in_brief(&done));
        let outcome = done.outcome.as_ref().expect("an outcome");
        assert_eq!(outcome.attempt.map(|attempt| attempt.0), Some(1));
        assert_eq!(outcome.stdout_tail, said);
        assert_eq!(done.assignments.len(), 1);
        assert!(done.late_reports.is_empty(), "{}", in_brief(&done));
        assert_eq!(cluster.evidence.of(id, 1), Traces { starts: 1, ends: 1 });
    }
    cluster.wait_until_idle();
}

fn a_link_that_goes_dead_without_a_word_is_noticed_and_recovers(kind: BrokerKind) {
    let mut cluster = one_behind_a_faulty_link(kind);
    let api = cluster.api;
    let id = api.submit(&once(&cluster, "sleep 0.5; echo through"));
    api.running(&id);
    cluster.agent("a").link().stall();
    // No connection breaks and no will is published: only missing heartbeats tell.
    api.agent_is("a", AgentStatus::Offline);
    wait_for_end(&cluster, &id);
    let later = api.submit(&on(task(noop()), &["a"]));
    cluster.agent("a").link().delay(Duration::from_millis(100));
    cluster.agent("a").link().restore();
    let done = api.settled(&id);
    assert_eq!(
        done.outcome.as_ref().map(|outcome| outcome.stdout_tail.as_str()),
        Some("through\n")
    );
    assert_eq!(done.assignments.len(), 1);
    assert_eq!(api.settled(&later).summary.status, TaskStatus::Succeeded);
    eventually("the delay to be measured", || {
        let latency_ms = api.agent("a")?.latency_ms;
        check(latency_ms.is_some_and(|ms| (150.0..2_000.0).contains(&ms)), || {
            format!("{latency_ms:?}")
        })
    });
    cluster.wait_until_idle();
}

//! A core that is put back to an older copy of its store: what its agents hold is not lost, and
//! nothing runs a second time.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use shared::task::{FailureReason, TaskStatus};
use tests::api::in_brief;
use tests::builder::once;
use tests::evidence::Traces;
use tests::wait::{check, eventually};
use tests::{BrokerKind, Cluster, ClusterBuilder, binaries};

tests::on_both_brokers!(an_old_backup_loses_no_outcome_that_an_agent_holds);

/// `ambit core backup` or `ambit core restore`.
fn ambit(cluster: &Cluster, verb: &str, file: &Path) -> Output {
    let mut command = Command::new(binaries::core());
    let data = cluster.core.data();
    command.args(["core", verb]).arg(file).arg("--data").arg(data).output().expect("ambit runs")
}

fn done(output: &Output) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
}

/// Every attempt of a task that left anything behind.
fn runs(cluster: &Cluster, id: &str) -> Vec<(u32, Traces)> {
    let traces = cluster.evidence.traces().into_iter();
    let own = traces.filter(|((task, _), _)| task == id);
    own.map(|((_, attempt), traces)| (attempt, traces)).collect()
}

const RAN_ONCE: Traces = Traces { starts: 1, ends: 1 };

fn everywhere(cluster: &Cluster, operation: &str) {
    for agent in ["a", "b"] {
        cluster.api.operate(agent, operation);
    }
}

fn an_old_backup_loses_no_outcome_that_an_agent_holds(kind: BrokerKind) {
    let mut cluster = ClusterBuilder::new(kind).agents(2).start();
    let api = cluster.api;
    let gate = |name: &str| cluster.scratch.join(name);
    let (first_gate, second_gate) = (gate("gate-1"), gate("gate-2"));
    let gated = |gate: &Path| {
        let script = format!("until [ -e '{}' ]; do sleep 0.05; done; echo done", gate.display());
        once(&cluster, &script)
    };
    // What the backup knows: one settled, one that runs, and some that wait for a place.
    let settled = api.submit(&once(&cluster, "echo before"));
    let before = api.settled(&settled).outcome;
    let running = api.submit(&gated(&first_gate));
    api.running(&running);
    everywhere(&cluster, "cordon");
    let succeeds: Vec<String> = (0..4).map(|_| api.submit(&once(&cluster, "echo after"))).collect();
    let fails = api.submit(&once(&cluster, "exit 3"));
    let goes_on = api.submit(&gated(&second_gate));
    let backup = cluster.scratch.join("core.backup");
    done(&ambit(&cluster, "backup", &backup));

    // What it does not know: all of them are placed, and most of them settled.
    everywhere(&cluster, "uncordon");
    std::fs::write(&first_gate, "").expect("the gate opens");
    let later = api.try_submit(&once(&cluster, "echo later"), Some("key")).expect("an answer");
    let later = later.json()["id"].as_str().expect("an id").to_owned();
    for id in succeeds.iter().chain([&fails, &running, &later]) {
        api.settled(id);
    }
    api.running(&goes_on);
    let refused = ambit(&cluster, "restore", &backup);
    assert!(!refused.status.success(), "a core runs on that folder");
    cluster.core.daemon.kill();
    done(&ambit(&cluster, "restore", &backup));
    cluster.core.start();
    cluster.core.wait_until_ready();
    everywhere(&cluster, "uncordon");

    assert_eq!(api.task(&settled).expect("it is there").outcome, before);
    for id in succeeds.iter().chain([&running]) {
        let task = api.settled(id);
        assert_eq!(task.summary.status, TaskStatus::Succeeded, "{}", in_brief(&task));
        assert_eq!(runs(&cluster, id), [(1, RAN_ONCE)], "{}", in_brief(&task));
    }
    let task = api.settled(&fails);
    assert_eq!(task.summary.reason, Some(FailureReason::ExitCode), "{}", in_brief(&task));
    assert_eq!(runs(&cluster, &fails), [(1, RAN_ONCE)], "{}", in_brief(&task));

    // What still runs is the task's again, and has its one outcome.
    let task = api.running(&goes_on);
    assert_eq!(task.assignments.last().map(|one| one.attempt.0), Some(1), "{}", in_brief(&task));
    std::fs::write(&second_gate, "").expect("the gate opens");
    let task = api.settled(&goes_on);
    assert_eq!(task.summary.status, TaskStatus::Succeeded, "{}", in_brief(&task));
    assert_eq!(runs(&cluster, &goes_on), [(1, RAN_ONCE)], "{}", in_brief(&task));

    forgotten(&cluster, &later);
    let again = api.try_submit(&once(&cluster, "echo later"), Some("key")).expect("an answer");
    assert_eq!(again.status, 201, "its key is forgotten with it: {again}");
    api.settled(again.json()["id"].as_str().expect("an id"));
    assert!(cluster.evidence.doubled().is_empty());
    cluster.wait_until_idle();
}

/// What was submitted after the backup is gone; how it ended is told all the same.
fn forgotten(cluster: &Cluster, id: &str) {
    let told = eventually("what agents tell of a forgotten task", || {
        let path = format!("/v1/tasks/{id}");
        let answer = cluster.api.request("GET", &path, None).map_err(|error| error.to_string())?;
        let problem = answer.json();
        let kind = problem["type"].as_str().unwrap_or_default().to_owned();
        check(answer.status == 404 && kind.ends_with("/task-forgotten"), || answer.to_string())?;
        let told: Vec<Value> = problem["late_reports"].as_array().cloned().unwrap_or_default();
        check(told.iter().any(|one| one["event"]["kind"] == "finished"), || answer.to_string())?;
        Ok(told)
    });
    let end = told.iter().find(|one| one["event"]["kind"] == "finished").expect("an end");
    assert_eq!(end["event"]["end"], json!({"how": "exited", "code": 0}), "{end}");
}

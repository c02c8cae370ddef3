//! What tasks come to: every way in which a process can end is recorded as what it was.

use std::collections::HashSet;

use serde_json::{Value, json};
use shared::api::TaskDocument;
use shared::task::{FailureReason, TaskStatus};
use tests::api::in_brief;
use tests::builder::once;
use tests::evidence::Traces;
use tests::scratch::processes_in;
use tests::spec::{noop, sh, task, with};
use tests::wait::{check, eventually};
use tests::{BrokerKind, Cluster, ClusterBuilder};

tests::on_both_brokers!(
    every_end_is_told_as_it_was,
    a_task_has_the_environment_it_asked_for_and_no_other,
    what_must_not_go_on_is_stopped,
    a_failing_task_is_tried_again_and_then_fails,
);

/// A task that is tried once.
fn single(run: Value) -> Value {
    with(task(run), json!({"retry": {"attempts_max": 1}}))
}

fn expect(done: &TaskDocument, status: TaskStatus, reason: Option<FailureReason>) {
    assert_eq!((done.summary.status, done.summary.reason), (status, reason), "{}", in_brief(done));
    let outcome = done.outcome.as_ref().expect("a settled task has an outcome");
    assert_eq!((outcome.status, outcome.reason), (status, reason));
}

fn every_end_is_told_as_it_was(kind: BrokerKind) {
    use FailureReason::{ExitCode, Signal, SpawnFailed};
    let cluster = ClusterBuilder::new(kind).agents(1).start();
    let api = cluster.api;
    let submit = |spec: Value| api.submit(&spec);

    // All at once; each is looked at afterwards.
    let nothing = submit(task(noop()));
    let speaking = submit(single(sh("echo one; echo two; echo three >&2")));
    let loud = submit(single(sh("head -c 100000 /dev/zero | tr '\\0' x; echo the end")));
    let failing = submit(single(sh("echo why >&2; exit 3")));
    let killed = submit(single(sh("kill -9 $$")));
    let absent = submit(single(json!({"exec": {"command": "/no/such/program"}})));

    expect(&api.settled(&nothing), TaskStatus::Succeeded, None);

    let done = api.settled(&speaking);
    expect(&done, TaskStatus::Succeeded, None);
    let outcome = done.outcome.expect("an outcome");
    assert_eq!(outcome.exit_code, Some(0));
    let tails = (outcome.stdout_tail.as_str(), outcome.stderr_tail.as_str());
    assert_eq!(tails, ("one\ntwo\n", "three\n"));
    assert_eq!(outcome.agent.map(|agent| agent.to_string()).as_deref(), Some("a"));

    let outcome = api.settled(&loud).outcome.expect("an outcome");
    assert!(outcome.stdout_tail.ends_with("xthe end\n"));
    assert!((1_000..=16_384).contains(&outcome.stdout_tail.len()), "{}", outcome.stdout_tail.len());

    let done = api.settled(&failing);
    expect(&done, TaskStatus::Failed, Some(ExitCode));
    let outcome = done.outcome.expect("an outcome");
    assert_eq!((outcome.exit_code, outcome.stderr_tail.as_str()), (Some(3), "why\n"));

    let done = api.settled(&killed);
    expect(&done, TaskStatus::Failed, Some(Signal));
    assert_eq!(done.outcome.expect("an outcome").signal, Some(9));

    let done = api.settled(&absent);
    expect(&done, TaskStatus::Failed, Some(SpawnFailed));
    assert!(done.outcome.expect("an outcome").detail.contains("/no/such/program"));
    cluster.wait_until_idle();
}

fn a_task_has_the_environment_it_asked_for_and_no_other(kind: BrokerKind) {
    let cluster = ClusterBuilder::new(kind).agents(1).start();
    let ask = "echo RATE=$RATE; echo $AMBIT_TASK_ID $AMBIT_ATTEMPT; pwd; env | grep -c BACKTRACE";
    let run = with(sh(ask), json!({"exec": {"env": {"RATE": "10"}}}));
    let id = cluster.api.submit(&single(run));
    let tail = cluster.api.settled(&id).outcome.expect("an outcome").stdout_tail;
    let lines: Vec<&str> = tail.lines().collect();
    assert_eq!(lines[0], "RATE=10");
    assert_eq!(lines[1], format!("{id} 1"));
    assert!(lines[2].starts_with(&*cluster.scratch.path().to_string_lossy()), "{tail}");
    assert_eq!(lines[3], "0", "the agent's own environment is not the task's");
}

fn what_must_not_go_on_is_stopped(kind: BrokerKind) {
    let cluster = ClusterBuilder::new(kind).agents(1).start();
    let api = cluster.api;
    let stubborn = api.submit(&with(
        single(sh("trap 'echo asked to stop' TERM; while :; do sleep 0.1; done")),
        json!({"timeout_s": 1}),
    ));
    let nowhere = json!({"where": {"regions": ["nowhere"]}, "deadline_s": 1});
    let homeless = api.submit(&with(task(noop()), nowhere));
    let canceled = api.submit(&once(&cluster, "sleep 600"));
    api.running(&canceled);
    api.cancel(&canceled);

    let done = api.settled(&stubborn);
    expect(&done, TaskStatus::Failed, Some(FailureReason::TimedOut));
    let outcome = done.outcome.expect("an outcome");
    assert!(outcome.stdout_tail.contains("asked to stop"), "TERM comes before KILL: {outcome:?}");
    assert!(outcome.ran_ms.is_some_and(|ran_ms| ran_ms >= 1_900), "{outcome:?}");

    expect(&api.settled(&homeless), TaskStatus::Failed, Some(FailureReason::DeadlinePassed));
    expect(&api.settled(&canceled), TaskStatus::Canceled, None);
    assert_eq!(cluster.evidence.of(&canceled, 1), Traces { starts: 1, ends: 0 });
    // Repeating it changes nothing.
    assert_eq!(api.cancel(&canceled).summary.status, TaskStatus::Canceled);
    nothing_runs(&cluster);
    cluster.wait_until_idle();
}

/// Nothing is left of any task, whatever it was.
fn nothing_runs(cluster: &Cluster) {
    eventually("all processes of tasks to be gone", || {
        // Supervisors that were forked bear the command line of their zygote, of which an agent has
        // one at most.
        let mut zygotes = HashSet::new();
        let left: Vec<_> = processes_in(&cluster.scratch.join("agents"))
            .into_iter()
            .filter(|(_, line)| match line.contains("zygote") {
                true => !zygotes.insert(line.clone()),
                false => line.contains("supervise") || line.contains("sleep"),
            })
            .collect();
        check(left.is_empty(), || format!("{left:?}"))
    });
}

fn a_failing_task_is_tried_again_and_then_fails(kind: BrokerKind) {
    let cluster = ClusterBuilder::new(kind).agents(2).start();
    let api = cluster.api;
    let thrice = json!({"retry": {"attempts_max": 3, "delay_s": 1, "delay_s_max": 1}});
    let hopeless = api.submit(&with(task(cluster.evidence.run("exit 7")), thrice.clone()));
    let second = cluster.evidence.run(r#"[ "$AMBIT_ATTEMPT" = 2 ]"#);
    let second = api.submit(&with(task(second), thrice));

    let done = api.settled(&hopeless);
    expect(&done, TaskStatus::Failed, Some(FailureReason::ExitCode));
    let outcome = done.outcome.expect("an outcome");
    assert_eq!((outcome.exit_code, outcome.attempt.map(|attempt| attempt.0)), (Some(7), Some(3)));
    let attempts: Vec<u32> = done.assignments.iter().map(|row| row.attempt.0).collect();
    assert_eq!(attempts, [1, 2, 3]);
    for attempt in attempts {
        assert_eq!(cluster.evidence.of(&hopeless, attempt), Traces { starts: 1, ends: 1 });
    }

    let done = api.settled(&second);
    expect(&done, TaskStatus::Succeeded, None);
    assert_eq!(done.assignments.len(), 2);
    assert!(done.late_reports.is_empty());
    cluster.wait_until_idle();
}

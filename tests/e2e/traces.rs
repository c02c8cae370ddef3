//! Traces, from the headers of a submission to the environment of the process and to a collector.

use std::process::{Command, Stdio};

use serde_json::json;
use shared::api::TaskDocument;
use shared::task::TaskStatus;
use tests::builder::once;
use tests::collector::{Collector, Manner, Span};
use tests::http::{self, Request};
use tests::spec::{sh, task, with};
use tests::wait::{check, eventually};
use tests::{BrokerKind, Cluster, ClusterBuilder, binaries};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A core that exports to a collector, with one agent.
fn exporting_to(url: &str) -> Cluster {
    let mut cluster = ClusterBuilder::new(BrokerKind::Embedded).agents(1).start();
    cluster.core.daemon.set_env("AMBIT_TELEMETRY_OTLP_ENDPOINT", url);
    cluster.restart_core();
    cluster
}

fn submit(cluster: &Cluster, spec: &serde_json::Value, headers: &[(&str, &str)]) -> String {
    let body = spec.to_string();
    let request = Request { method: "POST", path: "/v1/tasks", headers, body: Some(&body) };
    let answer = http::request(cluster.api.address, request).expect("an answer");
    assert_eq!(answer.status, 201, "{answer}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

fn stdout(done: &TaskDocument) -> &str {
    done.outcome.as_ref().expect("an outcome").stdout_tail.trim_end()
}

fn named<'a>(spans: &'a [Span], name: &str) -> Vec<&'a Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

#[test]
fn headers_environment_and_exported_spans_agree() {
    let collector = Collector::start(Manner::Good);
    let mut cluster = exporting_to(&collector.url());
    let script = "echo $TRACEPARENT $TRACESTATE; [ $AMBIT_ATTEMPT = 2 ]";
    let spec = with(
        task(sh(script)),
        json!({"name": "traced", "retry": {"attempts_max": 2, "delay_s": 2, "delay_s_max": 2}}),
    );
    let parent = format!("00-{ID}-{CALLER}-01");
    let id = submit(&cluster, &spec, &[("traceparent", &parent), ("tracestate", "rojo=1")]);
    let ended = |task: &TaskDocument| task.assignments.iter().any(|it| it.ended_at.is_some());
    cluster.api.task_when(&id, "to have failed once", ended);
    // What a task belongs to is on disk: another process of the core gives the second attempt.
    cluster.restart_core();
    let done = cluster.api.settled(&id);
    assert_eq!((done.summary.status, done.assignments.len()), (TaskStatus::Succeeded, 2));

    let spans = collector.trace(ID);
    let [whole] = named(&spans, "task")[..] else { panic!("{spans:#?}") };
    assert_eq!((&*whole.parent_span_id, &*whole.trace_state), (CALLER, "rojo=1"));
    assert_eq!(
        (whole.status["code"].as_u64(), &*whole.attribute("ambit.task.id")),
        (Some(1), &*id)
    );
    assert_eq!(whole.attribute("ambit.task.name"), "traced");
    let attempts = named(&spans, "attempt");
    assert_eq!(attempts.len(), 2, "{spans:#?}");
    assert_eq!(stdout(&done), format!("00-{ID}-{}-01 rojo=1", attempts[1].span_id));
    assert_eq!(
        attempts.iter().map(|span| span.status["code"].as_u64()).collect::<Vec<_>>(),
        [Some(2), Some(1)]
    );
    for (span, number) in attempts.iter().zip(["1", "2"]) {
        assert_eq!(
            (&*span.attribute("ambit.attempt"), &*span.attribute("ambit.agent.id")),
            (number, "a")
        );
        assert!(span.parent_span_id == whole.span_id && span.is_within(whole), "{span:#?}");
        for name in ["accept", "run"] {
            let inside = named(&spans, name);
            let inside = inside.iter().filter(|it| it.parent_span_id == span.span_id);
            assert_eq!(inside.count(), 1, "{name}: {spans:#?}");
        }
    }
    assert!(named(&spans, "wait").iter().all(|wait| wait.parent_span_id == whole.span_id));
    let trace = done.trace.expect("a trace");
    assert_eq!(
        (trace.trace_id.to_string(), trace.span_id.to_string()),
        (ID.to_owned(), whole.span_id.clone())
    );
    eventually("the export to be counted", || {
        let exported = cluster.api.metric("ambit_traces_total")?;
        check(exported >= 1.0, || exported.to_string())
    });
}

#[test]
fn a_trace_that_is_not_sampled_is_handed_on_and_not_exported() {
    let collector = Collector::start(Manner::Good);
    let cluster = exporting_to(&collector.url());
    let spec = once(&cluster, "echo $TRACEPARENT");
    let parent = format!("00-{ID}-{CALLER}-00");
    let quiet = submit(&cluster, &spec, &[("traceparent", &parent)]);
    let quiet = cluster.api.settled(&quiet);
    let own = stdout(&quiet);
    assert!(own.starts_with(&format!("00-{ID}-")) && own.ends_with("-00"), "{own}");
    assert!(!own.contains(CALLER));

    // One without a trace, and one whose trace is none, have their own.
    for headers in [&[][..], &[("traceparent", "00-nonsense-01"), ("tracestate", "a=1")]] {
        let id = submit(&cluster, &spec, headers);
        let done = cluster.api.settled(&id);
        let trace = id.replace('-', "");
        let spans = collector.trace(&trace);
        let [attempt] = named(&spans, "attempt")[..] else { panic!("{spans:#?}") };
        assert_eq!(stdout(&done), format!("00-{trace}-{}-01", attempt.span_id));
        assert_eq!(named(&spans, "task")[0].parent_span_id, "");
    }
    let mine = json!({"exec": {"env": {"TRACEPARENT": "mine"}}});
    let spec = with(once(&cluster, "echo $TRACEPARENT"), json!({"run": mine}));
    let id = submit(&cluster, &spec, &[]);
    assert_eq!(stdout(&cluster.api.settled(&id)), "mine");
    assert!(collector.of_trace(ID).is_empty(), "it is not sampled");
}

#[test]
fn the_client_passes_the_trace_on_in_which_it_runs() {
    let cluster = ClusterBuilder::new(BrokerKind::Embedded).agents(1).start();
    let run = |parent: &str| {
        let answer = Command::new(binaries::core())
            .args([
                "task",
                "run",
                "--quiet",
                "--",
                "/bin/sh",
                "-c",
                "echo $TRACEPARENT $TRACESTATE",
            ])
            .env("AMBIT_URL", format!("http://{}", cluster.api.address))
            .env("TRACEPARENT", parent)
            .env("TRACESTATE", "rojo=1")
            .stdin(Stdio::null())
            .output()
            .expect("the program");
        assert!(answer.status.success(), "{answer:?}");
        String::from_utf8(answer.stdout).expect("text")
    };
    let told = run(&format!("00-{ID}-{CALLER}-01"));
    assert!(told.starts_with(&format!("00-{ID}-")) && told.ends_with("-01 rojo=1\n"), "{told}");
    let told = run("nonsense\n");
    assert!(!told.contains("rojo"), "{told}");
}

#[test]
fn what_is_settled_is_exported_before_a_core_stops() {
    let collector = Collector::start(Manner::Good);
    let mut cluster = exporting_to(&collector.url());
    let ids: Vec<String> =
        (0..20).map(|_| cluster.api.submit(&task(json!({"noop": {}})))).collect();
    ids.iter().for_each(|id| drop(cluster.api.settled(id)));
    cluster.core.daemon.stop();
    for id in &ids {
        assert!(!collector.of_trace(&id.replace('-', "")).is_empty(), "{id}");
    }
}

#[test]
fn a_core_goes_on_without_a_collector_and_says_so_once() {
    const TOLD: &str = "traces cannot be exported";
    let dead = Collector::start(Manner::Garbled);
    let silent = Collector::start(Manner::Silent);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr());
    let nobody = format!("http://{}", nobody.expect("an address"));
    let mut cluster = exporting_to(&nobody);
    for (lives, url) in [(1, nobody), (2, dead.url()), (3, silent.url())] {
        cluster.core.daemon.set_env("AMBIT_TELEMETRY_OTLP_ENDPOINT", &url);
        cluster.core.daemon.stop();
        cluster.core.start();
        cluster.core.wait_until_ready();
        for _ in 0..3 {
            let id = cluster.api.submit(&task(json!({"noop": {}})));
            assert_eq!(cluster.api.settled(&id).summary.status, TaskStatus::Succeeded);
        }
        let told = || cluster.core.daemon.log().matches(TOLD).count();
        eventually("the core to say that it cannot export", || {
            check(told() == lives, || format!("{} times", told()))
        });
        // Another request that fails is not told again.
        eventually("another try", || {
            let failed = cluster.api.metric("ambit_trace_requests_failed_total")?;
            let id = cluster.api.submit(&task(json!({"noop": {}})));
            cluster.api.settled(&id);
            check(failed >= 2.0, || format!("{failed} requests failed"))
        });
        assert_eq!(told(), lives);
    }
    cluster.core.daemon.stop();
}

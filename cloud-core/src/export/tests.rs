//! Against collectors that are real listeners: good ones, and those that are dead, slow or talk
//! nonsense.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;

use cloud_core_logic::change::{AssignmentRow, Change, Placed, TaskLife, TaskRow};
use serde_json::Value;
use shared::api::Terms;
use shared::assignment::{AssignmentState, Ending};
use shared::id::{AssignmentId, Attempt};
use shared::report::{End, Finish, Output};
use shared::spec::{Exec, Run as Program, TaskSpec};
use shared::task::{FailureReason, Outcome, TaskState, Verdict};
use shared::time::Timestamp;
use shared::trace::{Span, SpanId, Trace};
use uuid::Uuid;

use super::*;
use crate::observe::Registry;
use crate::store::{MemoryStore, Store};

const CORE: CoreId = CoreId(Uuid::from_u128(7));
const PATIENCE: Duration = Duration::from_secs(30);

/// A listener that answers request after request as told, the last answer for ever.
struct Listening {
    url: String,
    heard: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Listening {
    fn answering(answers: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/otel/", listener.local_addr().expect("an address"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&heard);
        std::thread::spawn(move || {
            let mut answers = answers.iter().chain(std::iter::repeat(answers.last().expect("one")));
            while let Ok((stream, _)) = listener.accept() {
                while let Some(request) = read(&stream) {
                    shared.lock().expect("lock").push(request);
                    let answer = answers.next().expect("endless");
                    (&stream).write_all(answer.as_bytes()).expect("answered");
                    if answer.contains("connection: close") || !answer.starts_with("HTTP") {
                        break;
                    }
                }
            }
        });
        Self { url, heard }
    }

    fn heard(&self) -> Vec<(String, Value)> {
        self.heard.lock().expect("lock").clone()
    }

    fn spans(&self) -> Vec<Value> {
        let requests = self.heard();
        let of = |(_, body): &(String, Value)| {
            let spans = body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().cloned();
            spans.expect("spans")
        };
        requests.iter().flat_map(of).collect()
    }
}

/// Head and body of a request; nothing at the end of the connection.
fn read(stream: &TcpStream) -> Option<(String, Value)> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let head = head.to_lowercase();
    let length = head.split_once("content-length: ")?.1.split_once('\r')?.0.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some((head, serde_json::from_slice(&body).expect("JSON")))
}

const TAKEN: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
const BUSY: &str = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\ncontent-length: 0\r\n\r\n";
const WRONG: &str = "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n";
const PARTLY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 71\r\n\r\n\
     {\"partialSuccess\":{\"rejectedSpans\":\"1\",\"errorMessage\":\"too \\u001bold\"}}";
const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n<html></html>";
const GARBAGE: &str = "SSH-2.0-OpenSSH_9\r\n";

fn task_id(number: u128) -> TaskId {
    TaskId(Uuid::from_u128(number << 80 | 0x7000_8000_0000_0000_0000 | number))
}

fn assignment(task: TaskId, attempt: u32, offered: i64, ending: Ending) -> Change {
    let terms = Terms { load: 1.0, capacity: 1.0, distance: None, latency: 0.5 };
    Change::AssignmentPut(Box::new(AssignmentRow {
        id: AssignmentId { task, attempt: Attempt(attempt) },
        agent: "board-7".parse().expect("an id"),
        placed: Placed {
            score: 0.5,
            terms,
            distance_m: None,
            latency_ms: Some(3.0),
            policy: 1,
            profile: None,
            gap: None,
            together: None,
        },
        offered_at: Timestamp(offered),
        accepted_at: Some(Timestamp(offered + 10)),
        started_at: Some(Timestamp(offered + 20)),
        state: AssignmentState::Ended { at: Timestamp(offered + 100), ending },
        progress: None,
        retries: 0,
    }))
}

/// A store with tasks that failed at their second attempt.
fn store(tasks: &[(u128, Option<Trace>)]) -> MemoryStore {
    let mut store = MemoryStore::new(CORE);
    for (number, trace) in tasks {
        let id = task_id(*number);
        let exec = Exec { command: "/bin/false".to_owned(), ..Exec::default() };
        let finish = |code| {
            let end = End::Exited { code };
            Box::new(Finish { end, started_at: None, ran_ms: None, output: Output::default() })
        };
        let row = TaskRow {
            id,
            spec: Arc::new(TaskSpec {
                name: Some("sample".to_owned()),
                labels: [("team".parse().expect("key"), "air".parse().expect("value"))].into(),
                ..TaskSpec::new(Program::Exec(exec))
            }),
            key: None,
            submitted_at: Timestamp(1_000),
            deadline_at: None,
            trace: trace.clone().map(Box::new),
            origin: None,
            life: TaskLife::new(Timestamp(1_000)),
        };
        let outcome = Outcome {
            verdict: Verdict::Failed { reason: FailureReason::ExitCode },
            at: Timestamp(1_700),
            attempt: Some(Attempt(2)),
            finish: Some(finish(3)),
            detail: "exited with code 3".to_owned(),
        };
        let state = TaskState::Settled { outcome: Box::new(outcome) };
        let life = TaskLife { state, attempt: Attempt(2), ..TaskLife::new(Timestamp(1_700)) };
        let lost = Ending::Lost { detail: "its agent is gone".to_owned() };
        let changes = [
            Change::TaskAdded(Box::new(row)),
            assignment(id, 1, 1_100, lost),
            assignment(id, 2, 1_600, Ending::Finished(finish(3))),
            Change::TaskMoved { task: id, life: Box::new(life) },
        ];
        store.commit(&changes).expect("committed");
    }
    store
}

struct Exporting {
    lane: TraceLane,
    exporter: Exporter,
    registry: Registry,
}

impl Exporting {
    fn to(url: &str, headers: Headers, tasks: &[(u128, Option<Trace>)]) -> Self {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let settings = ExportSettings { endpoint: url.parse().expect("an endpoint"), headers };
        let started = Exporter::start(settings, CORE, store(tasks).reader(), metrics);
        let (lane, exporter) = started.expect("a thread");
        tasks.iter().for_each(|(number, _)| lane.offer(task_id(*number)));
        Self { lane, exporter, registry }
    }

    /// Waits until nothing is left to be sent, and gives the counters.
    fn counted(self) -> String {
        let Self { lane, exporter, registry } = self;
        drop(lane);
        // Kept: what is repeated is waited for.
        let Exporter { hurry, ended } = exporter;
        ended.blocking_recv().expect("the thread ended");
        drop(hurry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("encode");
        text
    }
}

fn counts(text: &str, result: &str) -> u64 {
    let name = format!("ambit_traces_total{{result=\"{result}\"}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&name));
    line.map_or(0, |count| count.parse().expect("a number"))
}

/// A trace that came from elsewhere.
fn foreign(sampled: bool) -> Trace {
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let trace = Trace::read([parent.as_bytes()], [&b"rojo=1"[..]]).expect("a trace");
    Trace { sampled, ..trace }
}

#[test]
fn a_settled_task_is_told_as_a_tree_of_spans() {
    let collector = Listening::answering(&[TAKEN]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("headers");
    let text = b"# secret\nX-Api-Key: hunter2\n\nx-team:air\n";
    shared_runtime::secret::write_secret_file(&file, text).expect("written");
    let headers = Headers::read(&file).expect("headers");
    assert!(!format!("{headers:?}").contains("hunter2"));
    let tasks = [(1, Some(foreign(true))), (2, Some(foreign(false))), (3, None)];
    let counted = Exporting::to(&collector.url, headers, &tasks).counted();
    assert_eq!(counts(&counted, "exported"), 2, "the trace of one is not sampled: {counted}");

    let requests = collector.heard();
    let (head, body) = requests.first().expect("a request");
    assert!(head.starts_with("post /otel/v1/traces "), "{head}");
    for expected in ["content-type: application/json", "x-api-key: hunter2", "x-team: air"] {
        assert!(head.contains(expected), "{head}");
    }
    let resource = body["resourceSpans"][0]["resource"]["attributes"].to_string();
    assert!(resource.contains("service.name") && resource.contains(&CORE.to_string()));

    let spans = collector.spans();
    let of_task = |trace: &str| -> Vec<&Value> {
        spans.iter().filter(|span| span["traceId"] == trace).collect()
    };
    let first = of_task("4bf92f3577b34da6a3ce929d0e0e4736");
    let names: Vec<&str> = first.iter().filter_map(|span| span["name"].as_str()).collect();
    let attempt = ["wait", "attempt", "accept", "run"];
    assert_eq!(names, [&["task"][..], &attempt, &attempt].concat());
    let task = first[0];
    assert_eq!(task["parentSpanId"], "00f067aa0ba902b7");
    assert_eq!((&task["traceState"], &task["flags"]), (&"rojo=1".into(), &0x301.into()));
    assert_eq!(task["status"], serde_json::json!({"code": 2, "message": "exited with code 3"}));
    let times = (&task["startTimeUnixNano"], &task["endTimeUnixNano"]);
    assert_eq!(times, (&"1000000000".into(), &"1700000000".into()));
    let attributes = task["attributes"].to_string();
    for word in ["ambit.task.label.team", "\"air\"", "exit_code", "board-7", "\"intValue\":\"2\""] {
        assert!(attributes.contains(word) || word == "board-7", "{word}: {attributes}");
    }
    let own = SpanId::of(task_id(1), Span::Task).to_string();
    let second = SpanId::of(task_id(1), Span::Attempt(Attempt(2))).to_string();
    assert_eq!((&first[6]["spanId"], &first[6]["parentSpanId"]), (&second.into(), &own.into()));
    assert_eq!(first[8]["parentSpanId"], first[6]["spanId"]);
    assert!(first[8]["attributes"].to_string().contains("process.exit.code"));
    assert!(first[2]["status"]["message"].as_str().is_some_and(|why| why.contains("gone")));
    let waited = (&first[5]["startTimeUnixNano"], &first[5]["endTimeUnixNano"]);
    assert_eq!(waited, (&"1200000000".into(), &"1600000000".into()));

    let own_trace = task_id(3).0.simple().to_string();
    let third = of_task(&own_trace);
    assert!(third[0].get("parentSpanId").is_none() && third[0]["flags"] == 0x101);
    assert_eq!(spans.len(), first.len() + third.len());
}

#[test]
fn a_collector_that_is_busy_is_asked_again_and_one_that_refuses_is_not() {
    let collector = Listening::answering(&[BUSY, BUSY, TAKEN]);
    let counted = Exporting::to(&collector.url, Headers::default(), &[(1, None)]).counted();
    assert_eq!((counts(&counted, "exported"), collector.heard().len()), (1, 3));
    assert!(counted.contains("ambit_trace_requests_failed_total 2"), "{counted}");
    let bodies = collector.heard();
    assert_eq!(bodies[0].1, bodies[2].1);

    for (answer, fate) in [
        (&[WRONG] as &'static [&'static str], "failed"),
        (&[PAGE], "failed"),
        (&[GARBAGE], "failed"),
        (&[PARTLY], "rejected"),
    ] {
        let collector = Listening::answering(answer);
        let counted = Exporting::to(&collector.url, Headers::default(), &[(1, None)]).counted();
        assert_eq!((counts(&counted, fate), collector.heard().len()), (1, 1), "{answer:?}");
        assert!(counted.contains("ambit_trace_requests_failed_total 1"), "{counted}");
    }
}

#[test]
fn nobody_waits_for_a_collector_that_does_not_answer() {
    // Accepts by the backlog, and never reads.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", silent.local_addr().expect("an address"));
    let Exporting { lane, exporter, registry } =
        Exporting::to(&url, Headers::default(), &[(1, None)]);
    // What there is no room for is dropped, and counted.
    let more = 100;
    let most = QUEUE_MAX + 2 + 256;
    (0..most + more).for_each(|_| lane.offer(task_id(1)));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("encode");
    assert!(counts(&text, "dropped") >= more as u64, "{text}");
    drop(lane);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    // Comes back although the collector never will: the test's own timeout is the judge.
    runtime.expect("a runtime").block_on(exporter.stop(Duration::from_millis(50)));
}

#[test]
fn a_dead_collector_is_given_up_at_once_when_there_is_no_time() {
    let gone = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let url = format!("http://{}", gone.expect("an address"));
    let Exporting { lane, exporter, registry } =
        Exporting::to(&url, Headers::default(), &[(1, None), (2, None)]);
    drop(lane);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(exporter.stop(PATIENCE));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("encode");
    assert_eq!(counts(&text, "failed"), 2, "{text}");
}

#[test]
fn what_is_no_endpoint_and_no_header_is_refused_without_its_secret() {
    let endpoint = |text: &str| text.parse::<Endpoint>();
    for good in ["http://127.0.0.1:4318", "http://[::1]:4318/", "http://collector/otel"] {
        assert!(endpoint(good).is_ok(), "{good}");
    }
    for (wrong, what) in [
        ("https://collector", "speaks http:// to a collector only"),
        ("http://me:hunter2@collector", "must not hold a password"),
        ("collector:4318", "not the URL of a collector"),
        ("grpc://collector:4317", "not the URL of a collector"),
        ("http://collector?x=1", "more than a host"),
        ("http://", "not a URL"),
        ("", "not a URL"),
    ] {
        let error = endpoint(wrong).expect_err(wrong).to_string();
        assert!(error.contains(what) && !error.contains("hunter2"), "{wrong}: {error}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("headers");
    for (text, what) in [
        ("a: 1\nnonsense hunter2\n", "line 2: not a header"),
        ("b\u{e4}d: hunter2\n", "line 1: a header cannot have this name"),
        ("host: hunter2\n", "line 1: the core sets this header itself"),
        ("key: hunter2\u{1}\n", "line 1: the value holds"),
    ] {
        shared_runtime::secret::write_secret_file(&file, text.as_bytes()).expect("written");
        let error = Headers::read(&file).expect_err(text).to_string();
        assert!(error.contains(what) && !error.contains("hunter2"), "{text}: {error}");
    }
    let many: String = (0..33).map(|n| format!("a{n}: 1\n")).collect();
    shared_runtime::secret::write_secret_file(&file, many.as_bytes()).expect("written");
    assert!(Headers::read(&file).expect_err("too many").to_string().contains("line 33"));
}

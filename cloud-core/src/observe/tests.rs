//! That every event counts under its name, and that the dashboard and the alert rules ask for
//! nothing that there is not.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use cloud_core_logic::effect::{Notice, Word};
use prometheus_client::encoding::text::encode;
use shared::id::{AgentId, AssignmentId, Attempt};
use shared::task::{Outcome, Verdict};
use shared::time::Timestamp;
use shared::trace::TraceId;

use super::*;
use crate::http::{Ended, Followed, HttpMetrics};
use crate::store::LogDrop;

fn assignment() -> AssignmentId {
    let task = "01936f2e-8a3c-7d4e-9b1a-2c3d4e5f6a7b".parse().expect("id");
    AssignmentId { task, attempt: Attempt(1) }
}

/// Everything that the core can export, each counted at least once.
fn everything() -> String {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    registry.register_collector(Box::new(ProcessMetrics::new(Path::new("/tmp/core.db"))));
    let http = HttpMetrics::register(&mut registry);
    let path = Some("/v1/tasks".to_owned());
    let created = actix_web::http::StatusCode::CREATED;
    http.count(&actix_web::http::Method::POST, path, created, Duration::from_millis(2));
    let mut follower = http.followers().begin(Followed::Events);
    follower.tell_gaps(1);
    follower.end(Ended::Cut);
    drop(follower);
    let took = Duration::from_millis(3);
    let (agent, assignment): (AgentId, _) = ("a".parse().expect("id"), assignment());
    let trace = TraceId::of_task(assignment.task);
    metrics.record(BatchDecided { took });
    metrics.record(PlacementsTried { tasks: 2, took: Duration::from_micros(90) });
    metrics.record(BatchCommitted { inputs: 2, changes: 5, took });
    metrics.record(InputTaken { kind: "submit" });
    metrics.record(MessageDropped::received(DropCause::WrongSeal, "a", &"why"));
    metrics.record(LinkChanged { state: LinkState::Up });
    metrics.record(LogsKept { chunks: 3, text: 40, bytes: 500, took });
    metrics.record(LogsDropped { agent: &agent, assignment, cause: LogDrop::LaneFull });
    metrics.record(LogsNotKept { chunks: 3, error: &"full" });
    metrics.record(StagePassed(&Notice::Placed { assignment, trace, waited_ms: 20 }));
    metrics.record(StagePassed(&Notice::Accepted { assignment, after_ms: 30 }));
    let (tasks, placed_more, score_millionths) = (256, 3, 1_500_000);
    metrics.record(StagePassed(&Notice::Assigned { tasks, placed_more, score_millionths }));
    for word in [Word::Accepted, Word::Started, Word::Finished] {
        metrics.record(StagePassed(&Notice::Heard { assignment, word, after_ms: 40 }));
    }
    let outcome = Outcome {
        verdict: Verdict::Succeeded,
        at: Timestamp(0),
        attempt: None,
        finish: None,
        detail: String::new(),
    };
    metrics.record(TaskSettled { task: assignment.task, outcome: &outcome, trace: Some(trace) });
    for fate in [TraceFate::Exported, TraceFate::Rejected, TraceFate::Failed, TraceFate::Dropped] {
        metrics.record(TraceEnded { fate, tasks: 2 });
    }
    metrics.record(ExportFailed { url: "http://c", reason: "why", first: true });
    let counts =
        Counts { pending: 7, agents_online: 3, oldest_pending_ms: 90_000, ..Counts::default() };
    metrics.count(&counts, Queued { requests: 4, messages: 5 }, true);
    let mut text = String::new();
    encode(&mut text, &registry).expect("encode");
    text
}

#[test]
fn every_event_and_gauge_is_exported_under_its_name() {
    let text = everything();
    for line in [
        "ambit_inputs_total{kind=\"submit\"} 1",
        "ambit_batch_inputs_count 1",
        "ambit_placement_batches_assigned_total 1",
        "ambit_placement_batch_tasks_total 256",
        "ambit_placement_batch_placed_more_total 3",
        "ambit_placement_batch_score_more_total 1.5",
        "ambit_commit_duration_seconds_count 1",
        "ambit_decide_duration_seconds_count 1",
        "ambit_placement_duration_seconds_bucket{le=\"0.00004\"} 0",
        "ambit_placement_duration_seconds_bucket{le=\"0.00005\"} 2",
        "ambit_placement_wait_seconds_sum 0.02",
        "ambit_accept_wait_seconds_sum 0.03",
        "ambit_report_delay_seconds_sum{event=\"started\"} 0.04",
        "ambit_oldest_pending_seconds 90",
        "ambit_queued{queue=\"requests\"} 4",
        "ambit_queued{queue=\"messages\"} 5",
        "ambit_outcomes_total{status=\"succeeded\",reason=\"\"} 1",
        "ambit_messages_dropped_total{direction=\"received\",cause=\"wrong_seal\"} 1",
        "ambit_log_chunks_total 3",
        "ambit_log_text_bytes_total 40",
        "ambit_logs_kept_bytes 500",
        "ambit_log_chunks_dropped_total{cause=\"lane_full\"} 1",
        "ambit_log_chunks_dropped_total{cause=\"store_failing\"} 3",
        "ambit_followers{followed=\"events\"} 0.0",
        "ambit_follower_lag_seconds{followed=\"logs\"} 0.0",
        "ambit_follower_gaps_total{followed=\"events\"} 1",
        "ambit_followers_ended_total{followed=\"events\",how=\"cut\"} 1",
        "ambit_recovering 1",
        "ambit_link_up 1",
        "ambit_tasks{status=\"pending\"} 7",
        "ambit_agents{status=\"online\"} 3",
    ] {
        assert!(text.contains(line), "{line} is missing from\n{text}");
    }
}

#[test]
fn the_process_tells_of_itself() {
    let text = everything();
    for name in [
        "process_start_time_seconds",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_cpu_seconds_total",
        "ambit_store_bytes",
        "ambit_store_free_bytes",
        "ambit_build_info{",
    ] {
        let line = text.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("{name} is missing from\n{text}"));
        assert!(!line.ends_with(" NaN"), "{line}");
    }
}

/// The names of all series, and of the labels that some series has.
fn exported(text: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut names, mut labels) =
        (BTreeSet::new(), BTreeSet::from(["instance", "job"].map(str::to_owned)));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (series, _) = line.rsplit_once(' ').expect("a value");
        let (name, rest) = series.split_once('{').unwrap_or((series, ""));
        names.insert(name.to_owned());
        let pairs = rest.split("\",").filter_map(|pair| pair.split_once("=\""));
        labels.extend(pairs.map(|(label, _)| label.to_owned()));
    }
    (names, labels)
}

/// The words of an expression that are outside of quotes, each with whether it is a label.
fn words(expression: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let (mut word, mut quoted, mut braces) = (String::new(), false, false);
    let mut grouping = false;
    for character in expression.chars().chain([' ']) {
        if character == '"' {
            quoted = !quoted;
        } else if !quoted && (character.is_ascii_alphanumeric() || character == '_') {
            word.push(character);
            continue;
        }
        if !word.is_empty() {
            let word = std::mem::take(&mut word);
            let begins = word == "by" || word == "without";
            found.push((word, braces || grouping));
            grouping |= begins;
        }
        match character {
            '{' => braces = true,
            '}' => braces = false,
            ')' => grouping = false,
            _ => {}
        }
    }
    found
}

fn configuration(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Checks every expression; says how many there were.
fn check(expressions: impl Iterator<Item = String>) -> usize {
    let (names, labels) = exported(&everything());
    let mut count = 0;
    for expression in expressions {
        count += 1;
        let mut series = 0;
        for (word, is_label) in words(&expression) {
            let of_ours = word.starts_with("ambit_") || word.starts_with("process_");
            if of_ours {
                assert!(names.contains(&word), "there is no {word}, asked for by {expression}");
                series += 1;
            } else if is_label && word != "le" && word.parse::<f64>().is_err() {
                assert!(labels.contains(&word), "no series has a {word}: {expression}");
            }
        }
        assert!(series > 0 || expression.starts_with("up"), "{expression} asks for nothing");
    }
    count
}

#[test]
fn the_alert_rules_ask_for_what_there_is() {
    let rules = configuration("prometheus/alerts.yml");
    let expressions = rules.lines().filter_map(|line| line.trim().strip_prefix("expr: "));
    let alerts = rules.lines().filter(|line| line.trim().starts_with("- alert: ")).count();
    assert_eq!(check(expressions.map(str::to_owned)), alerts);
    assert!(alerts >= 10);
    for needed in ["summary: ", "description: ", "severity: "] {
        let count = rules.lines().filter(|line| line.trim().starts_with(needed)).count();
        assert_eq!(count, alerts, "every alert has a {needed}");
    }
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let dashboard: serde_json::Value =
        serde_json::from_str(&configuration("grafana/ambit.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let expressions = targets.map(|target| target["expr"].as_str().expect("expr").to_owned());
    assert!(check(expressions) >= 20);
}

//! What must hold while things die, and what must hold afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shared::api::{TaskDocument, TaskSummary};
use shared::assignment::AssignmentStatus;
use shared::task::{FailureReason, TaskStatus};
use tests::api::in_brief;
use tests::evidence::Traces;
use tests::{Api, Cluster};

use super::flowing::{Expected, Submitted};

/// Watches that a settled task never changes, from any core's mouth.
#[derive(Debug)]
pub struct Watch {
    api: Api,
    settled: Mutex<BTreeMap<String, TaskSummary>>,
}

impl Watch {
    pub fn new(api: Api) -> Self {
        Self { api, settled: Mutex::new(BTreeMap::new()) }
    }

    /// Looks at all tasks again and again.
    pub fn look_until(&self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            // The core may be dead at the moment.
            if let Ok(tasks) = self.api.tasks("") {
                self.note(tasks);
            }
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    fn note(&self, tasks: Vec<TaskSummary>) {
        let mut settled = self.settled.lock().expect("no panic");
        for task in tasks.into_iter().filter(|task| task.status.is_settled()) {
            let first = settled.entry(task.id.to_string()).or_insert_with(|| task.clone());
            assert_eq!(*first, task, "a settled task changed");
        }
    }
}

/// What came of it all.
#[derive(Debug, Default)]
pub struct Figures {
    tasks: usize,
    attempts: usize,
    traced: usize,
    lost_attempts: usize,
    lost_tasks: usize,
    late_reports: usize,
    canceled: usize,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tasks, attempts, traced, lost_attempts, lost_tasks, late_reports, canceled } =
            self;
        write!(
            f,
            "{tasks} tasks in {attempts} attempts ({traced} left evidence, {lost_attempts} lost), \
             {lost_tasks} tasks lost, {canceled} canceled, {late_reports} late reports"
        )
    }
}

/// Checks every promise, once all is quiet.
pub fn verify(cluster: &mut Cluster, submitted: &[Submitted], watch: &Watch) -> Figures {
    let api = cluster.api;
    let all = api.tasks("").expect("tasks");
    let known: BTreeSet<String> = all.iter().map(|task| task.id.to_string()).collect();
    let meant: BTreeSet<String> = submitted.iter().map(|task| task.id.clone()).collect();
    assert_eq!(all.len(), known.len(), "a task is listed twice");
    assert_eq!(meant.len(), submitted.len(), "two keys gave one task");
    assert_eq!(known, meant, "what was acknowledged is there, once, and nothing else");
    watch.note(all);

    assert_eq!(cluster.evidence.doubled(), [], "an attempt ran twice");
    let traces = cluster.evidence.traces();
    let mut figures = Figures { traced: traces.len(), ..Figures::default() };
    let mut attempts = BTreeSet::new();
    let mut outcomes = Vec::new();
    for submission in submitted {
        let task = api.task(&submission.id).expect("the task");
        attempts.extend(task.assignments.iter().map(|row| (submission.id.clone(), row.attempt.0)));
        figures.add(&task);
        check_outcome(submission, &task, &traces);
        outcomes.push(task.outcome);
    }
    for (task, attempt) in traces.keys() {
        let known = attempts.contains(&(task.clone(), *attempt));
        assert!(known, "attempt {attempt} of {task} ran, and the core knows nothing of it");
    }

    // It is all on disk, and starting again changes nothing.
    cluster.restart_core();
    for (submission, outcome) in submitted.iter().zip(outcomes) {
        assert_eq!(api.task(&submission.id).expect("the task").outcome, outcome);
    }
    figures
}

fn check_outcome(
    submission: &Submitted,
    task: &TaskDocument,
    traces: &BTreeMap<(String, u32), Traces>,
) {
    let brief = in_brief(task);
    let outcome = task.outcome.as_ref().unwrap_or_else(|| panic!("no outcome: {brief}"));
    assert_eq!(outcome.status, task.summary.status, "{brief}");
    assert!(outcome.status.is_settled(), "{brief}");
    let open = task.assignments.iter().find(|row| row.ended_at.is_none());
    assert!(open.is_none(), "settled with an attempt under way: {brief}");
    let lost = outcome.reason == Some(FailureReason::Lost);
    match submission.expected {
        _ if lost => {}
        Expected::Success => assert_eq!(outcome.status, TaskStatus::Succeeded, "{brief}"),
        Expected::Exit(code) => {
            assert_eq!(outcome.reason, Some(FailureReason::ExitCode), "{brief}");
            assert_eq!(outcome.exit_code, Some(code), "{brief}");
        }
        Expected::Any => {}
    }
    if submission.leaves_evidence && outcome.exit_code.is_some() {
        let attempt = outcome.attempt.expect("an exit code belongs to an attempt").0;
        let trace = traces.get(&(submission.id.clone(), attempt)).copied().unwrap_or_default();
        assert_eq!(trace, Traces { starts: 1, ends: 1 }, "the outcome is not what ran: {brief}");
    }
}

impl Figures {
    fn add(&mut self, task: &TaskDocument) {
        let lost = |row: &&shared::api::AssignmentDocument| row.status == AssignmentStatus::Lost;
        self.tasks += 1;
        self.attempts += task.assignments.len();
        self.lost_attempts += task.assignments.iter().filter(lost).count();
        self.late_reports += task.late_reports.len();
        self.canceled += usize::from(task.summary.status == TaskStatus::Canceled);
        self.lost_tasks += usize::from(task.summary.reason == Some(FailureReason::Lost));
    }
}

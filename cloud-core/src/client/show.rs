//! Tasks, plans and explanations for people.

use std::fmt::Write as _;

use shared::api::{
    Candidate, Explanation, OutcomeDocument, Plan, Refused, TaskDocument, TaskSummary,
};
use shared_runtime::table::{Table, terminal_width};

use super::agent::lines;
use super::output::{age, colour_of, coloured, distance, tame};

/// The most runners-up that are shown.
const CANDIDATES_SHOWN: usize = 5;

/// A list of tasks.
#[must_use]
pub fn tasks(tasks: &[TaskSummary]) -> String {
    if tasks.is_empty() {
        return "no tasks\n".to_owned();
    }
    let names = ["TASK", "STATUS", "AGENT", "ATTEMPT", "SUBMITTED", "NAME"];
    let rows = std::iter::once(names.map(str::to_owned)).chain(tasks.iter().map(|task| {
        [
            task.id.to_string(),
            status(task),
            task.agent.as_ref().map_or(String::new(), ToString::to_string),
            task.attempt.0.to_string(),
            format!("{} ago", age(task.submitted_at)),
            task.name.clone().unwrap_or_default(),
        ]
    }));
    let paint = |column, cell: &str, shown: String| match column {
        1 => coloured(colour_of(cell), shown),
        _ => shown,
    };
    Table { give_way: &[5, 2, 1], rows: rows.collect(), paint: Some(paint) }.show(terminal_width())
}

/// `failed (exit_code)`.
fn status(task: &TaskSummary) -> String {
    match task.reason {
        Some(reason) => format!("{} ({})", task.status.name(), reason.name()),
        None => task.status.name().to_owned(),
    }
}

/// One task.
#[must_use]
pub fn task(task: &TaskDocument) -> String {
    let summary = &task.summary;
    let status = status(summary);
    let mut facts = vec![
        ("task", summary.id.to_string()),
        ("name", summary.name.clone().unwrap_or_default()),
        ("status", coloured(colour_of(&status), status)),
        ("agent", summary.agent.as_ref().map_or(String::new(), ToString::to_string)),
        ("submitted", format!("{} ({} ago)", summary.submitted_at, age(summary.submitted_at))),
    ];
    if let Some(origin) = &task.schedule {
        facts.push(("schedule", format!("{}, for {}", origin.name, origin.at)));
    }
    if let Some(at) = task.not_before {
        facts.push(("not before", at.to_string()));
    }
    if let Some(at) = task.deadline_at {
        facts.push(("deadline", at.to_string()));
    }
    if let Some(outcome) = &task.outcome {
        facts.push(("outcome", tame(&outcome.detail)));
        facts.push(("exit code", outcome.exit_code.map_or(String::new(), |code| code.to_string())));
        facts.push(("ran", outcome.ran_ms.map_or(String::new(), |ms| format!("{ms} ms"))));
    }
    let mut text = lines(facts);
    if !task.assignments.is_empty() {
        text.push('\n');
        text.push_str(&attempts(task));
    }
    if let Some(OutcomeDocument { stdout_tail, stderr_tail, .. }) = &task.outcome {
        for (name, tail) in [("stdout", stdout_tail), ("stderr", stderr_tail)] {
            for line in tail.lines() {
                let _ = writeln!(text, "{name} | {}", tame(line));
            }
        }
    }
    text
}

fn attempts(task: &TaskDocument) -> String {
    let names = ["ATTEMPT", "AGENT", "STATUS", "SCORE", "DISTANCE", "OFFERED", "DETAIL"];
    let rows =
        std::iter::once(names.map(str::to_owned)).chain(task.assignments.iter().map(|row| {
            let progress = row.progress.as_ref().map(|progress| match progress.fraction {
                Some(fraction) => format!("{:.0} % {}", fraction * 100.0, progress.text),
                None => progress.text.clone(),
            });
            [
                row.attempt.0.to_string(),
                row.agent.to_string(),
                word(&row.status),
                format!("{:.2}", row.score),
                row.distance_m.map_or(String::new(), distance),
                row.offered_at.to_string(),
                row.detail.clone().or(progress).unwrap_or_default(),
            ]
        }));
    let paint = |column, cell: &str, shown: String| match column {
        2 => coloured(colour_of(cell), shown),
        _ => shown,
    };
    Table { give_way: &[6, 5, 1], rows: rows.collect(), paint: Some(paint) }.show(terminal_width())
}

/// The name of a value on the wire.
fn word(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().to_owned()
}

/// Where a task would go.
#[must_use]
pub fn plan(plan: &Plan) -> String {
    let mut text = match &plan.chosen {
        Some(agent) => format!("would go to {agent}, the best of {}\n", counted(plan.feasible)),
        None => format!("would wait: none of {} may take it\n", counted(plan.agents)),
    };
    if !plan.candidates.is_empty() {
        text.push('\n');
        text.push_str(&candidates(&plan.candidates));
    }
    if !plan.refused.is_empty() {
        text.push('\n');
        text.push_str(&refused(&plan.refused));
    }
    text
}

fn counted(agents: u64) -> String {
    if agents == 1 { "1 agent".to_owned() } else { format!("{agents} agents") }
}

fn candidates(candidates: &[Candidate]) -> String {
    let names = ["AGENT", "SCORE", "DISTANCE", "RTT", "LOAD", "CAPACITY", "NEAR", "QUICK"];
    let rows = candidates.iter().take(CANDIDATES_SHOWN).map(|candidate| {
        let terms = &candidate.terms;
        [
            candidate.agent.to_string(),
            format!("{:.3}", candidate.score),
            candidate.distance_m.map_or(String::new(), distance),
            candidate.latency_ms.map_or(String::new(), |ms| format!("{ms:.1} ms")),
            format!("{:.2}", terms.load),
            format!("{:.2}", terms.capacity),
            terms.distance.map_or(String::new(), |term| format!("{term:.2}")),
            format!("{:.2}", terms.latency),
        ]
    });
    let rows = std::iter::once(names.map(str::to_owned)).chain(rows).collect();
    Table { give_way: &[0], rows, paint: None }.show(terminal_width())
}

fn refused(refused: &[Refused]) -> String {
    let names = ["REFUSED", "AGENTS", "WAITING", "FOR EXAMPLE"];
    let rows = refused.iter().map(|refused| {
        let example = refused.examples.first();
        [
            refused.reason.name().to_owned(),
            refused.count.to_string(),
            if refused.waiting_helps { "may help" } else { "does not help" }.to_owned(),
            example.map_or(String::new(), |one| format!("{}: {}", one.agent, one.detail)),
        ]
    });
    let rows = std::iter::once(names.map(str::to_owned)).chain(rows).collect();
    Table { give_way: &[3], rows, paint: None }.show(terminal_width())
}

/// Why a task is where it is.
#[must_use]
pub fn explanation(explanation: &Explanation) -> String {
    let mut text = format!("{}\n", tame(&explanation.summary));
    for help in &explanation.what_helps {
        let _ = writeln!(text, "  what helps: {}", tame(help));
    }
    if let Some(placed) = &explanation.placed {
        text.push('\n');
        text.push_str(&candidates(std::slice::from_ref(placed)));
    }
    if let Some(now) = &explanation.plan {
        text.push('\n');
        text.push_str(&plan(now));
    }
    text
}

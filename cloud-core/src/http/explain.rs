//! The explanation of a stored task: the placement as it was decided, and what became of it, in
//! sentences. Pure; what a waiting task could get now is computed elsewhere and passed in.

use cloud_core_logic::change::Placed;
use cloud_core_logic::placement::explain_placed;
use shared::api::{AssignmentDocument, Explanation, TaskDocument};
use shared::assignment::AssignmentStatus;
use shared::task::TaskStatus;
use shared::time::Timestamp;

/// Whether a task waits for a place, so that what it could get now is worth telling.
#[must_use]
pub fn waits(task: &TaskDocument) -> bool {
    matches!(task.summary.status, TaskStatus::Pending | TaskStatus::Blocked)
}

/// Why a task that does not wait is, or was, where it is.
#[must_use]
pub fn placed(task: &TaskDocument) -> Explanation {
    let (id, status) = (task.summary.id, task.summary.status);
    let Some(last) = task.assignments.last() else {
        let summary = match &task.outcome {
            Some(outcome) => {
                format!("It {} before it had a place: {}", past(status), outcome.detail)
            }
            None => "It has no place".to_owned(),
        };
        return Explanation {
            task: id,
            status,
            summary,
            what_helps: Vec::new(),
            placed: None,
            plan: None,
        };
    };
    let why = explain_placed(id, status, &last.agent, &decided(last));
    let summary = format!("{}. {}", why.summary, became(task, last));
    Explanation { summary, ..why }
}

/// Says of a waiting task that it is held back, whatever place there is for it: on a core that was
/// put back to a backup while its agents have their time to speak, and while a copy of it may still run.
#[must_use]
pub fn held_back(
    now: Explanation,
    recovering_until: Option<Timestamp>,
    held_until: Option<Timestamp>,
) -> Explanation {
    let (why, help) = match (recovering_until, held_until) {
        (Some(until), _) => (
            format!(
                "It is held back: this core was put back to a backup and places nothing until \
                 {until}, so that its agents have time to say what they hold"
            ),
            format!("Nothing is needed: it goes on at {until} (`core.recovery_ms`)"),
        ),
        (None, Some(until)) => (
            format!(
                "It is held back: it is exclusive, and a copy of it that nobody can hear may run \
                 under its lease until {until}"
            ),
            format!("Nothing is needed: it goes on at {until}"),
        ),
        (None, None) => return now,
    };
    let mut what_helps = vec![help];
    // What would be in the way afterwards; a place it could have now is no help.
    if now.plan.as_ref().is_some_and(|plan| plan.chosen.is_none()) {
        what_helps.extend(now.what_helps);
    }
    Explanation { summary: format!("{why}. {}", now.summary), what_helps, ..now }
}

/// Adds to the explanation of a waiting task what became of its attempts so far.
#[must_use]
pub fn after_attempts(task: &TaskDocument, now: Explanation) -> Explanation {
    let Some(last) = task.assignments.last() else {
        return now;
    };
    let why = explain_placed(now.task, now.status, &last.agent, &decided(last));
    let summary = format!("{}. {}", became(task, last), now.summary);
    Explanation { summary, placed: why.placed, ..now }
}

fn decided(assignment: &AssignmentDocument) -> Placed {
    Placed {
        score: assignment.score,
        terms: assignment.terms,
        distance_m: assignment.distance_m,
        latency_ms: assignment.latency_ms,
        policy: assignment.policy,
        profile: assignment.profile.clone(),
        gap: assignment.gap,
        together: assignment.together.clone().map(Box::new),
    }
}

/// What became of an attempt, without a full stop.
fn became(task: &TaskDocument, last: &AssignmentDocument) -> String {
    let (attempt, agent) = (last.attempt, &last.agent);
    let detail = last.detail.as_deref().map_or(String::new(), |detail| format!(": {detail}"));
    match last.status {
        AssignmentStatus::Offered => {
            format!("Attempt {attempt} was offered to {agent}, which has not answered yet")
        }
        AssignmentStatus::Accepted => {
            format!("Attempt {attempt} is on the disk of {agent} and has not started")
        }
        AssignmentStatus::Running => format!("Attempt {attempt} runs on {agent}"),
        AssignmentStatus::Unknown => unknown(task, last),
        AssignmentStatus::Succeeded => format!("Attempt {attempt} succeeded on {agent}{detail}"),
        AssignmentStatus::Failed => format!("Attempt {attempt} failed on {agent}{detail}"),
        AssignmentStatus::Canceled => format!("Attempt {attempt} was stopped on {agent}{detail}"),
        AssignmentStatus::Lost => format!("Attempt {attempt} was lost with {agent}{detail}"),
    }
}

fn unknown(task: &TaskDocument, last: &AssignmentDocument) -> String {
    let (attempt, agent, policy) = (last.attempt, &last.agent, &task.spec.disconnect);
    let next = match (task.spec.exclusive, policy.replace) {
        (true, true) => format!(
            "it is exclusive, so another copy starts only when the lease of this one is over, after \
             {} s of silence at least",
            policy.lost_after_s
        ),
        (false, true) => {
            format!("it is replaced after {} s of silence", policy.lost_after_s)
        }
        (_, false) => {
            format!("it fails after {} s of silence (`replace` is false)", policy.lost_after_s)
        }
    };
    format!("{agent}, which has attempt {attempt}, cannot be heard; {next}")
}

fn past(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Succeeded => "succeeded",
        TaskStatus::Failed => "failed",
        TaskStatus::Canceled => "was canceled",
        TaskStatus::Blocked | TaskStatus::Pending => "waits",
        TaskStatus::Assigned => "was assigned",
        TaskStatus::Running => "runs",
    }
}

//! The explanation of a placement in sentences: for a task that has a place, why there; for one
//! that waits, why, and what somebody could do about it. Turns a plan into words; decides nothing.

use shared::api::{Candidate, Explanation, Plan, RefusalName, Refused, Together};
use shared::id::{AgentId, TaskId};
use shared::task::TaskStatus;
use shared::time::Timestamp;

use super::Request;
use super::plan::plan;
use super::policy::Policy;
use super::snapshot::Snapshot;
use super::words::{count, length, milliseconds};
use crate::change::Placed;

/// The most candidates an explanation shows.
const CANDIDATES_MAX: usize = 10;
/// The most agents it shows for each reason.
const EXAMPLES_MAX: usize = 5;
/// The most pieces of advice.
const ADVICE_MAX: usize = 5;

/// A task that waits for a place.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Its id.
    pub task: TaskId,
    /// Its status.
    pub status: TaskStatus,
    /// Until when it is not tried again, if it backs off.
    pub not_before: Option<Timestamp>,
}

/// Why a task still waits, by reason, and what would help.
#[must_use]
pub fn explain_waiting(
    waiting: Waiting,
    snapshot: &Snapshot,
    request: &Request<'_>,
    policy: &Policy,
) -> Explanation {
    let plan = plan(snapshot, request, policy, CANDIDATES_MAX, EXAMPLES_MAX);
    let mut summary = waits(&plan, waiting.not_before);
    if let (Some(asked), None) = (&request.spec.prefer.profile, &plan.profile) {
        let version = plan.policy;
        summary.push_str(&format!(
            ". Policy {version} has no profile {asked} any more, so it is placed by the policy itself"
        ));
    }
    Explanation {
        task: waiting.task,
        status: waiting.status,
        summary,
        what_helps: what_helps(&plan, request),
        placed: None,
        plan: Some(plan),
    }
}

/// Why a task's latest attempt is, or was, where it is.
#[must_use]
pub fn explain_placed(
    task: TaskId,
    status: TaskStatus,
    agent: &AgentId,
    placed: &Placed,
) -> Explanation {
    let Placed { score, terms, distance_m, latency_ms, policy, profile, gap, together } = placed;
    let profile = profile.as_ref().map_or(String::new(), |profile| format!(", profile {profile}"));
    let mut parts =
        vec![format!("load {:.2}", terms.load), format!("capacity {:.2}", terms.capacity)];
    if let Some(term) = terms.distance {
        let distance = distance_m.map_or("position unknown".to_owned(), length);
        parts.push(format!("distance {term:.2} ({distance})"));
    }
    let latency = latency_ms.map_or("not measured".to_owned(), milliseconds);
    parts.push(format!("latency {:.2} ({latency})", terms.latency));
    let terms_told = parts.join(", ");
    let compared = match (together.as_deref(), gap) {
        (Some(Together { others, own_best }), _) => format!(
            "together with {}: its own best, {own_best}, does more for others of them",
            count(*others, "other task")
        ),
        (None, None) => "no agent that could take it scored higher".to_owned(),
        (None, Some(gap)) => format!(
            "the search ended with the policy's budget, and no agent that could take it scored more than \
             {gap:.3} higher"
        ),
    };
    Explanation {
        task,
        status,
        summary: format!(
            "Placed on {agent} with score {score:.2} under policy {policy}{profile}; {compared}. Its \
             terms, each 0 to 1: {terms_told}"
        ),
        what_helps: Vec::new(),
        placed: Some(Candidate {
            agent: agent.clone(),
            score: *score,
            terms: *terms,
            distance_m: *distance_m,
            latency_ms: *latency_ms,
            gap: *gap,
        }),
        plan: None,
    }
}

/// What a person could do so that a task gets a place, the most promising first: one change that
/// is enough for an agent, then what stands against every agent, then the most frequent reasons;
/// and whether waiting can help.
#[must_use]
pub fn what_helps(plan: &Plan, request: &Request<'_>) -> Vec<String> {
    if let Some(chosen) = &plan.chosen {
        return vec![format!(
            "Nothing is needed: {} may take it now, first {chosen}",
            agents(plan.feasible)
        )];
    }
    if plan.agents == 0 {
        return vec!["No agent has joined yet: start one with `ambit-agent run`".to_owned()];
    }
    let mut advice: Vec<String> = Vec::new();
    let mut near_misses: Vec<&Refused> = plan.refused.iter().filter(|one| one.alone > 0).collect();
    // Stable: of equally many, the order of the plan stays.
    near_misses.sort_by_key(|one| std::cmp::Reverse(one.alone));
    let everywhere =
        || plan.refused.iter().filter(|one| one.alone == 0 && one.count == plan.agents);
    if near_misses.is_empty() && everywhere().next().is_none() {
        let frequent = plan.refused.iter();
        advice.extend(frequent.map(|one| told(&agents(one.count), "", one.count, one)));
        advice.truncate(ADVICE_MAX - 1);
    }
    advice.extend(
        near_misses
            .into_iter()
            .map(|one| told(&agents(one.alone), "would do but ", one.alone, one)),
    );
    advice.extend(everywhere().map(|one| {
        let all = if one.count == 1 {
            "The only agent".to_owned()
        } else {
            format!("All {}", agents(one.count))
        };
        told(&all, "", one.count, one)
    }));
    advice.truncate(ADVICE_MAX - 1);
    advice.push(whether_waiting_helps(plan, request));
    advice
}

fn agents(number: u64) -> String {
    count(number, "agent")
}

/// "3 agents would do but lack free cpu: wait until some comes free".
fn told(who: &str, but: &str, number: u64, refused: &Refused) -> String {
    let (one, many) = predicate(refused.reason);
    let what = if number == 1 { one } else { many };
    match refused.help.as_str() {
        "" => format!("{who} {but}{what}"),
        help => format!("{who} {but}{what}: {help}"),
    }
}

fn can_wait(plan: &Plan) -> bool {
    plan.refused.iter().any(|one| one.waiting_helps)
}

fn whether_waiting_helps(plan: &Plan, request: &Request<'_>) -> String {
    match (can_wait(plan), request.spec.deadline_s) {
        (true, None) => "Waiting can help".to_owned(),
        (true, Some(deadline_s)) => {
            format!("Waiting can help, until its deadline {deadline_s} s after it was submitted")
        }
        (false, _) => "Waiting alone does not help: the task or the fleet has to change".to_owned(),
    }
}

/// The summary of a task that waits.
fn waits(plan: &Plan, not_before: Option<Timestamp>) -> String {
    let now = match &plan.chosen {
        _ if plan.agents == 0 => "No agent has joined yet".to_owned(),
        Some(chosen) => {
            format!("{} of {} may take it, first {chosen}", plan.feasible, agents(plan.agents))
        }
        None => {
            let reasons: Vec<String> = plan
                .refused
                .iter()
                .take(ADVICE_MAX)
                .map(|one| format!("{} {}", one.reason.name(), one.count))
                .collect();
            let wait =
                if can_wait(plan) { "waiting can help" } else { "waiting alone does not help" };
            let (agents, reasons) = (agents(plan.agents), reasons.join(", "));
            format!("None of {agents} may take it now ({reasons}); {wait}")
        }
    };
    match not_before {
        Some(time) => format!("It waits until {time} before it is tried again. {now}"),
        None => format!("It waits for a place. {now}"),
    }
}

/// What is said of one agent, and of several, refused for a reason.
fn predicate(reason: RefusalName) -> (&'static str, &'static str) {
    match reason {
        RefusalName::Offline => ("is offline", "are offline"),
        RefusalName::Suspect => ("is suspect", "are suspect"),
        RefusalName::Cordoned => ("is cordoned", "are cordoned"),
        RefusalName::Draining => ("is draining", "are draining"),
        RefusalName::Quarantined => ("is quarantined", "are quarantined"),
        RefusalName::NotListed => {
            ("is not listed in where.agents", "are not listed in where.agents")
        }
        RefusalName::Avoided => ("is avoided", "are avoided"),
        RefusalName::Arch => ("has another architecture", "have another architecture"),
        RefusalName::Label => ("lacks a label", "lack a label"),
        RefusalName::Expression => {
            ("does not satisfy an expression", "do not satisfy an expression")
        }
        RefusalName::Taint => ("has a taint", "have a taint"),
        RefusalName::Region => ("is in no region asked for", "are in no region asked for"),
        RefusalName::TooFar => ("is too far away", "are too far away"),
        RefusalName::OutsideArea => ("is outside the area", "are outside the area"),
        RefusalName::LatencyTooHigh => ("answers too slowly", "answer too slowly"),
        RefusalName::LatencyUnknown => ("has no measured latency", "have no measured latency"),
        RefusalName::NoPosition => ("has no known position", "have no known position"),
        RefusalName::Cpu => ("lacks free cpu", "lack free cpu"),
        RefusalName::Memory => ("lacks free memory", "lack free memory"),
        RefusalName::Disk => ("lacks free disk", "lack free disk"),
        RefusalName::Bandwidth => ("lacks free bandwidth", "lack free bandwidth"),
        RefusalName::Device => ("lacks a free device", "lack a free device"),
        RefusalName::Runtime => ("cannot run this kind of task", "cannot run this kind of task"),
        RefusalName::Slots => ("holds all it may", "hold all they may"),
        RefusalName::Spread => {
            ("has too many of a group near by", "have too many of a group near by")
        }
    }
}

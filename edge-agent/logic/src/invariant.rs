//! What must hold after every step, as functions with long names. Run by every layer of tests, and
//! cheap enough for a debug build to run always.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use shared::capacity::Resources;
use shared::id::{AssignmentId, ScheduleId};
use shared::schedule::QUEUE_MAX;

use crate::agent::Agent;
use crate::attempt::{Live, State};
use crate::change::EntryKind;
use crate::resident::{DROPPED_MAX, next_moment};

/// Something that must hold and does not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {detail}")]
pub struct Broken {
    /// The invariant's name.
    pub name: &'static str,
    /// What was seen.
    pub detail: String,
}

type Check = fn(&Agent) -> Result<(), String>;

/// Every invariant with its name.
const CHECKS: [(&str, Check); 14] = [
    ("what_is_reserved_is_what_the_held_attempts_need", reserved),
    ("no_task_has_two_attempts_with_a_process", one_process_per_task),
    ("outbox_counters_are_in_order", outbox_counters),
    ("every_finished_attempt_has_an_unacknowledged_report", finished_reports),
    ("an_attempt_is_either_live_or_finished", live_or_finished),
    ("what_waits_is_exactly_what_is_accepted", waiting),
    ("what_is_told_and_what_is_kept_meet_at_what_is_acknowledged", entries),
    ("every_outcome_is_indexed_by_its_attempt", outcomes),
    ("what_is_leased_is_exactly_what_has_a_lease", leases),
    ("an_agent_that_speaks_with_its_core_leaves_decisions_to_it", decisions),
    ("only_attempts_with_a_process_have_progress", progress),
    ("what_a_schedule_made_and_is_not_over_is_live", made_by_schedules),
    ("what_waits_of_a_schedule_is_dealt_with_in_order_and_bounded", schedules),
    ("alarms_and_questions_are_about_attempts_with_a_process", alarms),
];

/// Checks every invariant.
///
/// # Errors
/// The first one that does not hold.
pub fn check(agent: &Agent) -> Result<(), Broken> {
    for (name, holds) in CHECKS {
        holds(agent).map_err(|detail| Broken { name, detail })?;
    }
    Ok(())
}

fn ensure(holds: bool, detail: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(detail()) }
}

fn reserved(agent: &Agent) -> Result<(), String> {
    let mut sum = Resources::default();
    for live in agent.live.values() {
        sum.add(&live.order.needs);
    }
    ensure(sum == agent.reserved, || format!("reserved {:?}, needed {sum:?}", agent.reserved))
}

fn one_process_per_task(agent: &Agent) -> Result<(), String> {
    let mut tasks = BTreeSet::new();
    for (id, live) in agent.live.iter().filter(|(_, live)| live.state.is_active()) {
        ensure(tasks.insert(id.task), || format!("{id} is {}, and not alone", live.state.name()))?;
    }
    Ok(())
}

fn outbox_counters(agent: &Agent) -> Result<(), String> {
    let outbox = &agent.outbox;
    ensure(outbox.acked <= outbox.sent && outbox.sent <= outbox.last, || format!("{outbox:?}"))
}

fn finished_reports(agent: &Agent) -> Result<(), String> {
    ensure(agent.finished.len() == agent.finished_by_report.len(), || {
        "the two indexes differ in size".to_owned()
    })?;
    for (id, seq) in &agent.finished {
        let unacknowledged = *seq > agent.outbox.acked && *seq <= agent.outbox.last;
        let indexed = agent.finished_by_report.get(seq) == Some(id);
        ensure(unacknowledged && indexed, || format!("{id} by {seq}, outbox {:?}", agent.outbox))?;
    }
    Ok(())
}

fn entries(agent: &Agent) -> Result<(), String> {
    let (entries, outbox) = (&agent.entries, &agent.outbox);
    let told = entries.waiting.keys().all(|seq| *seq > outbox.acked && *seq <= outbox.last);
    let kept = entries.kept.keys().all(|seq| *seq <= outbox.acked);
    let useful = entries.kept.values().all(|entry| entry.kind != EntryKind::State);
    let bounded = entries.kept.len() <= agent.settings.kept_max;
    ensure(told && kept && useful && bounded, || {
        format!("{outbox:?}, {} wait, {} are kept", entries.waiting.len(), entries.kept.len())
    })
}

fn outcomes(agent: &Agent) -> Result<(), String> {
    let entries = &agent.entries;
    let all = entries.waiting.iter().chain(&entries.kept);
    let outcomes = all.filter(|(_, entry)| entry.kind == EntryKind::Outcome);
    let found: BTreeMap<_, _> = outcomes.map(|(seq, entry)| (entry.assignment, *seq)).collect();
    ensure(found == entries.outcomes, || format!("{found:?}, indexed {:?}", entries.outcomes))?;
    match agent.live.keys().find(|id| found.contains_key(id)) {
        Some(id) => Err(format!("{id} is live and told to be over")),
        None => Ok(()),
    }
}

fn leases(agent: &Agent) -> Result<(), String> {
    let with = agent.live.iter().filter(|(_, live)| live.order.lease_ms.is_some());
    let with: BTreeSet<_> = with.map(|(id, _)| *id).collect();
    ensure(with == agent.leased, || format!("{with:?}, indexed {:?}", agent.leased))
}

fn decisions(agent: &Agent) -> Result<(), String> {
    let met = agent.is_met() && !agent.health.stopping;
    ensure(!met || agent.undecided.is_empty(), || format!("{:?}", agent.undecided.keys()))?;
    for (id, run) in &agent.undecided {
        let live = agent.live.get(id).filter(|live| live.state.is_active());
        let allowed = |live: &Live| live.runs.allow_another(&run.end, &live.order.retry);
        let quiet = !agent.alarms.contains_key(id) && !agent.unresolved.contains(id);
        ensure(live.is_some_and(allowed) && quiet, || format!("{id}: {run:?}"))?;
    }
    Ok(())
}

fn progress(agent: &Agent) -> Result<(), String> {
    let active = |id: &_| agent.live.get(id).is_some_and(|live| live.state.is_active());
    match agent.progress.attempts().find(|id| !active(id)) {
        Some(id) => Err(format!("{id} has none")),
        None => Ok(()),
    }
}

fn made_by_schedules(agent: &Agent) -> Result<(), String> {
    let mut made: BTreeMap<ScheduleId, BTreeSet<AssignmentId>> = BTreeMap::new();
    for (id, live) in &agent.live {
        if let Some(schedule) = live.schedule {
            made.entry(schedule).or_default().insert(*id);
        }
    }
    let active = &agent.residents.active;
    ensure(made == *active, || format!("{made:?}, indexed {active:?}"))
}

fn schedules(agent: &Agent) -> Result<(), String> {
    let held = &agent.residents.held;
    let most = usize::try_from(agent.facts.schedules_max).unwrap_or(usize::MAX);
    ensure(held.len() <= most, || format!("{} are held, {most} may be", held.len()))?;
    let dropped = &agent.residents.dropped;
    ensure(dropped.len() <= DROPPED_MAX, || format!("{} are remembered", dropped.len()))?;
    for (id, resident) in held {
        ensure(!dropped.contains_key(id), || format!("{id} is held and dropped"))?;
        let standing = &resident.standing;
        let in_order = standing.queue.is_sorted();
        let bounded = resident.waiting() <= QUEUE_MAX as usize;
        ensure(in_order && bounded, || format!("{id}: {standing:?}"))?;
        let next = next_moment(&resident.timetable, standing.through);
        ensure(next == resident.next, || format!("{id}: {:?}, not {next:?}", resident.next))?;
    }
    Ok(())
}

fn live_or_finished(agent: &Agent) -> Result<(), String> {
    match agent.live.keys().find(|id| agent.finished.contains_key(id)) {
        Some(id) => Err(format!("{id} is both")),
        None => Ok(()),
    }
}

fn waiting(agent: &Agent) -> Result<(), String> {
    let accepted: BTreeSet<_> = agent
        .live
        .iter()
        .filter(|(_, live)| live.state == State::Accepted)
        .map(|(id, live)| (Reverse(live.order.priority), live.number, *id))
        .collect();
    ensure(accepted == agent.waiting, || format!("{accepted:?} accepted, {:?}", agent.waiting))
}

fn alarms(agent: &Agent) -> Result<(), String> {
    let active = |id| agent.live.get(id).is_some_and(|live| live.state.is_active());
    match agent.alarms.keys().chain(&agent.unresolved).find(|id| !active(id)) {
        Some(id) => Err(format!("{id} has no process")),
        None => Ok(()),
    }
}

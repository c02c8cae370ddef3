//! What must always hold of the core's state. Each check is a function whose name is the
//! statement; all of them run after every step in tests, and in builds with debug assertions.

use std::collections::BTreeMap;

use shared::capacity::Resources;
use shared::id::{AgentId, TaskId};
use shared::task::TaskState;

use crate::change::Wanted;
use crate::cloud::Cloud;
use crate::queue::Spot;

/// A statement that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{statement}: {detail}")]
pub struct Violation {
    /// The name of the check.
    pub statement: &'static str,
    /// Where it does not hold.
    pub detail: String,
}

/// Runs every check.
///
/// # Errors
/// The first statement that does not hold.
pub fn check(cloud: &Cloud) -> Result<(), Violation> {
    a_task_waits_or_has_an_attempt_or_is_settled(cloud)?;
    an_agent_reserves_exactly_what_its_live_assignments_need(cloud)?;
    a_group_has_those_members_that_have_an_attempt(cloud)?;
    every_live_assignment_is_wanted_on_its_agent(cloud)?;
    a_stray_is_given_up_and_not_over(cloud)?;
    no_copy_of_an_exclusive_task_is_left_astray(cloud)?;
    no_desired_state_is_above_the_last_revision(cloud)?;
    the_count_of_tasks_backing_off_is_true(cloud)?;
    a_schedule_is_due_exactly_when_it_is_to_fire(cloud)?;
    what_is_under_way_of_a_schedule_are_its_tasks(cloud)?;
    the_index_is_that_of_the_fleet(cloud)
}

fn violated(statement: &'static str, detail: String) -> Result<(), Violation> {
    Err(Violation { statement, detail })
}

/// A task in the working set is queued exactly when it stands in the queue, and has a live current
/// assignment exactly when its state says that an attempt is under way.
pub fn a_task_waits_or_has_an_attempt_or_is_settled(cloud: &Cloud) -> Result<(), Violation> {
    let statement = "a_task_waits_or_has_an_attempt_or_is_settled";
    for (id, task) in &cloud.tasks {
        let state = &task.row.life.state;
        let queued = *state == TaskState::Queued;
        let live = task.assignment.as_deref().filter(|row| !row.state.is_ended());
        let attempt = live.map(|row| row.id.attempt);
        if queued == (task.spot == Spot::Nowhere) {
            return violated(statement, format!("{id} is {state:?} and at {:?}", task.spot));
        }
        if attempt != state.attempt() {
            return violated(statement, format!("{id} is {state:?} with attempt {attempt:?}"));
        }
        if let TaskState::Settled { .. } = state {
            return violated(statement, format!("{id} is settled and still in the working set"));
        }
    }
    Ok(())
}

/// What an agent has reserved is the sum of the needs of the assignments that are live on it, and
/// of the strays that it may still hold.
pub fn an_agent_reserves_exactly_what_its_live_assignments_need(
    cloud: &Cloud,
) -> Result<(), Violation> {
    let statement = "an_agent_reserves_exactly_what_its_live_assignments_need";
    let mut sums: BTreeMap<&AgentId, (Resources, u32)> = BTreeMap::new();
    for task in cloud.tasks.values() {
        let current = task.assignment.as_deref().filter(|row| !row.state.is_ended());
        for row in current.into_iter().chain(&task.strays) {
            let (sum, count) = sums.entry(&row.agent).or_default();
            sum.add(&task.row.spec.needs);
            *count += 1;
        }
    }
    for agent in cloud.fleet.iter() {
        let (sum, count) = sums.remove(&agent.id).unwrap_or_default();
        if agent.used != sum || agent.assignments != count {
            let (used, held) = (&agent.used, agent.assignments);
            let detail = format!("{} has {held} with {used:?}, not {count} with {sum:?}", agent.id);
            return violated(statement, detail);
        }
    }
    match sums.pop_first() {
        Some((agent, _)) => violated(statement, format!("{agent} is not in the fleet")),
        None => Ok(()),
    }
}

/// Who is counted in a group, and where, are those of its tasks that have a live attempt; strays are
/// not.
pub fn a_group_has_those_members_that_have_an_attempt(cloud: &Cloud) -> Result<(), Violation> {
    let held = cloud.tasks.values().filter_map(|task| {
        let row = task.assignment.as_deref().filter(|row| !row.state.is_ended())?;
        Some((&row.agent, &*task.row.spec))
    });
    let checked = cloud.fleet.check_groups(held);
    checked.or_else(|detail| violated("a_group_has_those_members_that_have_an_attempt", detail))
}

/// A live assignment has a row in its agent's desired state: that it runs, or, while its task is
/// being stopped, that it ends.
pub fn every_live_assignment_is_wanted_on_its_agent(cloud: &Cloud) -> Result<(), Violation> {
    let statement = "every_live_assignment_is_wanted_on_its_agent";
    for task in cloud.tasks.values() {
        let Some(row) = task.assignment.as_deref().filter(|row| !row.state.is_ended()) else {
            continue;
        };
        let stopping = matches!(task.row.life.state, TaskState::Stopping { .. });
        let right = match cloud.wanted(&row.agent, row.id) {
            Some(Wanted::Run) => !stopping,
            Some(Wanted::Stop { .. }) => stopping,
            None => false,
        };
        if !right {
            return violated(statement, format!("{} on {}", row.id, row.agent));
        }
    }
    Ok(())
}

/// A stray is in the state of one, is not the attempt under way, is not to be stopped, and is known
/// by its agent's name.
pub fn a_stray_is_given_up_and_not_over(cloud: &Cloud) -> Result<(), Violation> {
    let statement = "a_stray_is_given_up_and_not_over";
    let mut count = 0;
    for (id, task) in &cloud.tasks {
        for row in &task.strays {
            count += 1;
            let named = cloud.strays_on.get(&row.agent).is_some_and(|ids| ids.contains(&row.id));
            let stopped = matches!(cloud.wanted(&row.agent, row.id), Some(Wanted::Stop { .. }));
            let current = task.current() == Some(row.id);
            if !row.state.is_stray() || !named || stopped || current || row.id.task != *id {
                let seen = format!("named {named}, to stop {stopped}, current {current}");
                return violated(statement, format!("{} on {}: {seen}", row.id, row.agent));
            }
        }
    }
    let known: usize = cloud.strays_on.values().map(std::collections::BTreeSet::len).sum();
    if known != count {
        return violated(statement, format!("{count} strays, {known} known by their agents"));
    }
    Ok(())
}

/// An exclusive task is given up for good, after its lease; only a store that was put back to a
/// backup may find copies of it, and must then wait for them.
pub fn no_copy_of_an_exclusive_task_is_left_astray(cloud: &Cloud) -> Result<(), Violation> {
    let astray = cloud.tasks.iter().find(|(_, task)| {
        task.row.spec.exclusive && !task.strays.is_empty() && task.row.life.forgotten.is_none()
    });
    match astray {
        Some((id, _)) => {
            violated("no_copy_of_an_exclusive_task_is_left_astray", format!("{id} has strays"))
        }
        None => Ok(()),
    }
}

/// Revisions are given in order, so none is above the last one.
pub fn no_desired_state_is_above_the_last_revision(cloud: &Cloud) -> Result<(), Violation> {
    for (agent, channel) in &cloud.channels {
        if channel.wanted.keys().next_back().is_some_and(|rev| *rev > channel.desired_rev) {
            return violated("no_desired_state_is_above_the_last_revision", agent.to_string());
        }
    }
    Ok(())
}

/// The bound on waiting tasks counts those that back off; the count must not drift.
pub fn the_count_of_tasks_backing_off_is_true(cloud: &Cloud) -> Result<(), Violation> {
    let states = cloud.tasks.values().map(|task| &task.row.life.state);
    let count = states.filter(|state| matches!(state, TaskState::BackingOff { .. })).count();
    if count != cloud.backing_off {
        let detail = format!("{count} back off, {} are counted", cloud.backing_off);
        return violated("the_count_of_tasks_backing_off_is_true", detail);
    }
    Ok(())
}

/// Placement searches what it believes of the fleet; the fleet must be that.
pub fn the_index_is_that_of_the_fleet(cloud: &Cloud) -> Result<(), Violation> {
    let checked = cloud.fleet.check();
    checked.or_else(|detail| violated("the_index_is_that_of_the_fleet", detail))
}

/// A schedule that goes by the clock and does not rest stands in `due` once, if a moment of it is to
/// come; any other does not.
pub fn a_schedule_is_due_exactly_when_it_is_to_fire(cloud: &Cloud) -> Result<(), Violation> {
    let statement = "a_schedule_is_due_exactly_when_it_is_to_fire";
    let mut count = 0;
    for slot in cloud.schedules.slots() {
        let (Some(schedule), due) = (cloud.schedules.get(slot), cloud.schedules.due_of(slot))
        else {
            return violated(statement, format!("nothing is at {slot}"));
        };
        let timed = schedule.timetable.is_timed() && schedule.template.resident.is_none();
        let comes = timed && schedule.timetable.next(schedule.through).is_some();
        let may = schedule.timetable.after_end_ms().is_some() && due.is_some();
        if due.is_some() != ((comes || may) && !schedule.paused) {
            return violated(statement, format!("{} is due at {due:?}", schedule.name));
        }
        count += usize::from(due.is_some());
    }
    match cloud.schedules.due_count() == count {
        true => Ok(()),
        false => violated(statement, format!("{count} are to fire")),
    }
}

/// The tasks that a schedule waits for are those it made that are not settled, and nothing waits for
/// none.
pub fn what_is_under_way_of_a_schedule_are_its_tasks(cloud: &Cloud) -> Result<(), Violation> {
    let statement = "what_is_under_way_of_a_schedule_are_its_tasks";
    let made = |id: &TaskId| {
        let origin = cloud.tasks.get(id)?.row.origin.as_ref()?;
        cloud.schedules.of_id(origin.schedule)
    };
    let mut known = 0;
    for (slot, active) in &cloud.schedules.active {
        if active.tasks.is_empty() || !active.tasks.iter().all(|id| made(id) == Some(*slot)) {
            return violated(statement, format!("{slot} has {active:?}"));
        }
        known += active.tasks.len();
    }
    let all = cloud.tasks.keys().filter(|id| made(id).is_some()).count();
    match all == known {
        true => Ok(()),
        false => violated(statement, format!("{all} tasks, of which {known} are waited for")),
    }
}

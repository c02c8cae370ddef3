//! What agents fire is taken on, each moment once, as if the core had fired it and placed it there.

use std::sync::Arc;

use shared::assignment::{AssignmentState, Progress};
use shared::id::{AgentId, AssignmentId, ScheduleId, Sequence, TaskId};
use shared::report::NotFiredBecause;
use shared::spec::TaskSpec;
use shared::time::Timestamp;

use super::Slot;
use crate::change::{AssignmentRow, Change, Placed, Wanted};
use crate::cloud::{Cloud, Task};
use crate::firing::{FiringResult, FiringRow, Origin, SkippedBecause};
use crate::flow::Context;
use crate::happening::Happening;
use crate::queue::{Rank, Spot};
use crate::timers::Alarm;

/// How far a moment may lie in the future, in milliseconds. Below what an agent bears of itself before
/// it goes back to the clock of the core, so that no moment is known here that comes again there.
const AHEAD_MS_MAX: u64 = 3_000_000;

/// A schedule, the version of it that an agent holds, and a moment.
type Told = (ScheduleId, u32, Timestamp);

fn record(
    agent: &AgentId,
    (schedule, version, at): Told,
    result: FiringResult,
    context: &mut Context,
) {
    context.change(Change::FiringPut(Box::new(FiringRow {
        schedule,
        at,
        agent: Some(agent.clone()),
        version,
        recorded_at: context.now.wall,
        result,
    })));
}

impl Cloud {
    /// An agent has fired a schedule: what it made is taken on, once.
    pub(crate) fn take_fired(
        &mut self,
        agent: &AgentId,
        assignment: AssignmentId,
        seq: Sequence,
        firing: Told,
        context: &mut Context,
    ) -> bool {
        let (schedule, version, moment) = firing;
        let Some((slot, spec)) =
            self.resident_of(agent, schedule, version, moment, context.now.wall)
        else {
            return false;
        };
        let Some(channel) = self.channels.get(agent) else {
            return false;
        };
        let told_before = self.recovering || seq <= channel.told_before;
        let named = TaskId::of_firing(schedule, moment, channel.inbox.incarnation);
        if named != assignment.task || self.tasks.contains_key(&assignment.task) {
            return false;
        }
        self.known_through(agent, schedule, moment, context);
        let Some(name) = self.schedules.get(slot).map(|schedule| schedule.name.clone()) else {
            return false;
        };
        let origin = Origin { schedule, name, version, at: moment, payload: None };
        self.take_on_running(agent, assignment, spec, origin, context);
        let task = assignment.task;
        if told_before {
            // It may have had further attempts, of which this core has forgotten.
            let _ = self.move_task(task, context, |life| {
                life.restore_from_backup();
                Ok(())
            });
        }
        self.schedules.active.entry(slot).or_default().tasks.insert(task);
        let result = FiringResult::Fired { task };
        record(agent, firing, result, context);
        self.tell_of_schedule(slot, |name| Happening::fired(name, task), context);
        true
    }

    /// Moments of a schedule came on an agent and made nothing. That says nothing of those that wait
    /// there, which may be earlier ones.
    pub(crate) fn take_not_fired(
        &mut self,
        agent: &AgentId,
        firing: Told,
        (upto, count): (Timestamp, u32),
        because: NotFiredBecause,
        context: &mut Context,
    ) {
        let (schedule, version, moment) = firing;
        let Some((slot, _)) = self.resident_of(agent, schedule, version, moment, context.now.wall)
        else {
            return;
        };
        let because = match because {
            NotFiredBecause::Missed => None,
            NotFiredBecause::Overlap => Some(SkippedBecause::Overlap),
            NotFiredBecause::QueueFull => Some(SkippedBecause::QueueFull),
            NotFiredBecause::Replaced => Some(SkippedBecause::Replaced),
            NotFiredBecause::Withdrawn => Some(SkippedBecause::Withdrawn),
            NotFiredBecause::NoRoom => Some(SkippedBecause::Refused),
        };
        let (result, what): (_, fn(&_) -> _) = match because {
            None => (FiringResult::Missed { upto, count }, Happening::missed),
            Some(because) => {
                let detail = format!("on agent {agent}");
                (FiringResult::Skipped { because, detail }, Happening::skipped)
            }
        };
        record(agent, firing, result, context);
        self.tell_of_schedule(slot, what, context);
    }

    /// An agent has fired every moment of a schedule up to one that it will: it fires them in their
    /// order.
    fn known_through(
        &mut self,
        agent: &AgentId,
        schedule: ScheduleId,
        through: Timestamp,
        context: &mut Context,
    ) {
        if let Some(channel) = self.channels.get_mut(agent)
            && let Some(row) = channel.residents.get_mut(&schedule)
        {
            row.through = row.through.max(through);
            context.change(Change::ResidentPut { agent: agent.clone(), row: row.clone() });
        }
    }

    /// Takes on the task that an agent made, with the attempt that it holds.
    fn take_on_running(
        &mut self,
        agent: &AgentId,
        assignment: AssignmentId,
        spec: TaskSpec,
        origin: Origin,
        context: &mut Context,
    ) {
        let id = assignment.task;
        let spec = Arc::new(spec);
        let row = self.fired_row(id, Arc::clone(&spec), origin, context.now.wall);
        if let Some(seconds) = spec.deadline_s {
            let at = context.now.mono + seconds.saturating_mul(1_000);
            self.timers.set(Alarm::Deadline(id), at);
        }
        let shared = self.specs.share(&spec);
        self.tasks.insert(id, Box::new(Task::new(&row, shared, Spot::Nowhere)));
        if let Some(task) = self.tasks.get_mut(&id) {
            task.spot = self.queue.ready(Rank::of(id, &spec));
        }
        context.change(Change::TaskAdded(Box::new(row)));
        context.tell(Happening::submitted(id));
        // It waited for nothing, so it can be assigned.
        let _ = self.move_task(id, context, |life| {
            life.state.assign(assignment.attempt)?;
            life.attempt = assignment.attempt;
            life.agent = Some(agent.clone());
            Ok(())
        });
        let now = context.now.wall;
        let row = AssignmentRow {
            id: assignment,
            agent: agent.clone(),
            placed: Placed::forgotten(),
            offered_at: now,
            accepted_at: Some(now),
            started_at: None,
            state: AssignmentState::Live(Progress::Accepted { accepted_at: now }),
            progress: None,
            retries: 0,
        };
        context.change(Change::AssignmentPut(Box::new(row.clone())));
        if let Some(task) = self.tasks.get_mut(&id) {
            task.assignment = Some(Box::new(row));
        }
        self.fleet.reserve(agent, &spec.needs);
        self.fleet.join_groups(agent, &spec);
        self.want(agent, assignment, Wanted::Run, context);
    }

    /// What an agent that fires a moment of a schedule makes: its own task, which nobody else takes
    /// over. `None` if it does not hold the schedule, or fired the moment or a later one, or if that
    /// lies in the future: an agent whose clock ran ahead goes back, and is to be believed then.
    fn resident_of(
        &self,
        agent: &AgentId,
        schedule: ScheduleId,
        version: u32,
        moment: Timestamp,
        now: Timestamp,
    ) -> Option<(Slot, TaskSpec)> {
        let slot = self.schedules.of_id(schedule)?;
        let row = self.channels.get(agent)?.residents.get(&schedule)?;
        if moment <= row.through || moment.since_ms(now) > AHEAD_MS_MAX {
            return None;
        }
        let mut spec = TaskSpec::clone(&*self.residents.task_of(slot, version)?);
        spec.place.agents = vec![agent.clone()];
        spec.disconnect.replace = false;
        Some((slot, spec))
    }
}

//! The bookkeeping that every flow shares: rows change here and nowhere else, each together with
//! the change that records it, so that what is in memory and what will be on disk never differ.

use std::sync::Arc;

use shared::api::AgentStatus;
use shared::assignment::{AssignmentState, Ending, IllegalAssignmentStep, Progress};
use shared::capacity::Resources;
use shared::id::{AgentId, AssignmentId, TaskId};
use shared::report::StopReason;
use shared::task::{IllegalTaskStep, Outcome, TaskState};
use shared::time::Monotonic;

use crate::change::{AssignmentRow, Change, Placed, Wanted, WantedRow};
use crate::cloud::Cloud;
use crate::effect::Notice;
use crate::flow::{Context, Event};
use crate::happening::Happening;
use crate::planted::planted;
use crate::queue::{Rank, Spot};
use crate::timers::Alarm;

impl Cloud {
    /// Moves a task's life on and records it; a step the life cycle does not have changes nothing.
    pub(crate) fn move_task(
        &mut self,
        id: TaskId,
        context: &mut Context,
        how: impl FnOnce(&mut crate::change::TaskLife) -> Result<(), IllegalTaskStep>,
    ) -> Result<(), IllegalTaskStep> {
        let Some(task) = self.tasks.get_mut(&id) else {
            return Ok(());
        };
        let waited = matches!(task.row.life.state, TaskState::BackingOff { .. });
        let before = task.row.life.state.clone();
        how(&mut task.row.life)?;
        let waits = matches!(task.row.life.state, TaskState::BackingOff { .. });
        self.backing_off = self.backing_off + usize::from(waits) - usize::from(waited);
        task.row.life.updated_at = context.now.wall;
        let life = Box::new(task.row.life.clone());
        if let Some(happening) = Happening::moved(id, &before, &life) {
            context.tell(happening);
        }
        context.change(Change::TaskMoved { task: id, life });
        self.queue_as_told(id);
        Ok(())
    }

    /// Keeps the queue in step with the state: a queued task is ready, any other is not there.
    fn queue_as_told(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let rank = Rank::of(id, &task.row.spec);
        let queued = task.row.life.state == TaskState::Queued;
        match (queued, &task.spot) {
            (true, Spot::Nowhere) => task.spot = self.queue.ready(rank),
            (false, Spot::Ready | Spot::Parked(_)) => {
                let spot = std::mem::take(&mut task.spot);
                self.queue.remove(rank, &spot);
            }
            _ => {}
        }
    }

    /// Records a task's one outcome and lets it go from the working set. Copies of it that may
    /// come back are not waited for any more: they are told to stop when they do.
    pub(crate) fn settle_task(&mut self, id: TaskId, context: &mut Context, outcome: Outcome) {
        let status = outcome.verdict.status();
        if self.move_task(id, context, |life| life.state.settle(outcome)).is_ok() {
            let strays = self.tasks.get(&id).map(|task| task.strays.iter().map(|row| row.id));
            for stray in strays.into_iter().flatten().collect::<Vec<_>>() {
                let detail = "its task was settled while its agent could not be heard".to_owned();
                let tombstone = Some(Wanted::Stop { reason: StopReason::Superseded });
                self.end_stray(stray, context, Ending::Lost { detail }, tombstone);
            }
            self.timers.clear_task(id);
            if let Some(task) = self.tasks.remove(&id) {
                let trace = task.row.trace_id(id);
                let sampled = task.row.trace.as_ref().is_none_or(|trace| trace.sampled);
                context.notice(Notice::Settled { task: id, trace, sampled });
                context.then(Event::Settled { task: id, status, origin: task.row.origin });
            }
        }
    }

    /// Moves a task's current assignment on and records it.
    pub(crate) fn move_assignment(
        &mut self,
        id: TaskId,
        context: &mut Context,
        how: impl FnOnce(&mut AssignmentRow) -> Result<(), IllegalAssignmentStep>,
    ) -> bool {
        let Some(row) = self.tasks.get_mut(&id).and_then(|task| task.assignment.as_deref_mut())
        else {
            return false;
        };
        if how(row).is_err() {
            return false;
        }
        context.change(Change::AssignmentPut(Box::new(row.clone())));
        true
    }

    /// Ends a task's current assignment: its reservation is free from now on. What the agent is to
    /// make of it is told by `wanted`: nothing when it knows itself, a tombstone otherwise.
    pub(crate) fn end_assignment(
        &mut self,
        id: TaskId,
        context: &mut Context,
        ending: Ending,
        wanted: Option<Wanted>,
    ) -> bool {
        let at = context.now.wall;
        if !self.move_assignment(id, context, |row| row.state.end(at, ending)) {
            return false;
        }
        self.timers.clear_attempt(id);
        let Some(task) = self.tasks.get(&id) else {
            return false;
        };
        let Some(row) = task.assignment.as_deref() else {
            return false;
        };
        let (agent, assignment) = (row.agent.clone(), row.id);
        let spec = Arc::clone(&task.row.spec);
        self.release(&agent, &spec.needs);
        self.fleet.leave_groups(&agent, &spec);
        match wanted {
            Some(wanted) => self.want(&agent, assignment, wanted, context),
            None => self.unwant(&agent, assignment, context),
        }
        true
    }

    /// Moves one of a task's attempts on, the current one or a stray, and records it.
    pub(crate) fn move_attempt(
        &mut self,
        id: AssignmentId,
        context: &mut Context,
        how: impl FnOnce(&mut AssignmentRow) -> Result<(), IllegalAssignmentStep>,
    ) -> bool {
        let row = self.tasks.get_mut(&id.task).and_then(|task| task.attempt_mut(id));
        let Some(row) = row else {
            return false;
        };
        if how(row).is_err() {
            return false;
        }
        context.change(Change::AssignmentPut(Box::new(row.clone())));
        true
    }

    /// Gives a task's current attempt up in favour of another, unless it comes back: it keeps what
    /// it has reserved, and is wanted as before.
    pub(crate) fn stray_assignment(&mut self, id: TaskId, context: &mut Context) -> bool {
        let since = context.now.wall;
        if !self.move_assignment(id, context, |row| row.state.go_astray(since)) {
            return false;
        }
        self.timers.clear_attempt(id);
        let Some(task) = self.tasks.get_mut(&id) else {
            return false;
        };
        if let Some(row) = task.assignment.take() {
            self.fleet.leave_groups(&row.agent, &task.row.spec);
            self.strays_on.entry(row.agent.clone()).or_default().insert(row.id);
            task.strays.push(*row);
        }
        true
    }

    /// Ends a stray: what it had reserved is free from now on.
    pub(crate) fn end_stray(
        &mut self,
        id: AssignmentId,
        context: &mut Context,
        ending: Ending,
        wanted: Option<Wanted>,
    ) {
        let Some(task) = self.tasks.get_mut(&id.task) else {
            return;
        };
        let Some(at) = task.strays.iter().position(|row| row.id == id) else {
            return;
        };
        let mut row = task.strays.remove(at);
        // A stray is not over, so it can end.
        let _ = row.state.end(context.now.wall, ending);
        let spec = Arc::clone(&task.row.spec);
        self.forget_stray(&row.agent, id);
        self.release(&row.agent, &spec.needs);
        match wanted {
            Some(wanted) => self.want(&row.agent, id, wanted, context),
            None => self.unwant(&row.agent, id, context),
        }
        context.change(Change::AssignmentPut(Box::new(row)));
        // The agent is no longer kept out for the sake of this copy.
        self.retry_parked(id.task);
    }

    /// Lets a stray be its task's attempt again. Nothing else may be under way.
    pub(crate) fn take_back(&mut self, id: AssignmentId, context: &mut Context) -> bool {
        let Some(task) = self.tasks.get_mut(&id.task) else {
            return false;
        };
        let Some(at) = task.strays.iter().position(|row| row.id == id) else {
            return false;
        };
        let running = matches!(task.strays[at].state.progress(), Some(Progress::Running { .. }));
        let heard_of = task.strays[at].state.progress() != Some(Progress::Offered);
        let agent = task.strays[at].agent.clone();
        let back_to = agent.clone();
        let moved = self.move_task(id.task, context, |life| {
            life.state.take_back(id.attempt, running)?;
            life.agent = Some(back_to);
            Ok(())
        });
        let Some(task) = self.tasks.get_mut(&id.task).filter(|_| moved.is_ok()) else {
            return false;
        };
        task.hold_until = None;
        task.assignment = Some(Box::new(task.strays.remove(at)));
        self.fleet.join_groups(&agent, &task.row.spec);
        self.forget_stray(&agent, id);
        self.timers.clear(&Alarm::BackOff(id.task));
        self.timers.clear(&Alarm::Avoid(id.task));
        self.move_assignment(id.task, context, |row| row.state.hear_again());
        let offered = context.now.mono + self.settings.offer_timeout_ms;
        self.timers.set(Alarm::Offer(id.task), offered);
        // Strays are not told of, so the row it had may have been passed over. One that the agent took
        // on was not, and must not be told again: by the time that it arrives, it may be over there and
        // forgotten, and would begin again.
        if !heard_of || self.wanted(&agent, id) != Some(Wanted::Run) {
            self.want(&agent, id, Wanted::Run, context);
        }
        true
    }

    /// An attempt's reservation is free again.
    fn release(&mut self, agent: &AgentId, needs: &Resources) {
        self.fleet.release(agent, needs);
        self.freed.insert(agent.clone());
    }

    /// A task that waits for a place looks again: an agent it kept away from may take it now.
    pub(crate) fn retry_parked(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        if let Spot::Parked(_) = task.spot {
            let rank = Rank::of(id, &task.row.spec);
            self.queue.remove(rank, &task.spot);
            task.spot = self.queue.ready(rank);
        }
    }

    /// Until when an exclusive attempt on an agent may run under its lease.
    pub(crate) fn lease_over(&self, agent: &AgentId, lost_after_s: u64) -> Monotonic {
        let answered = self.channels.get(agent).map(|channel| channel.answered);
        answered.unwrap_or_default() + self.settings.lease_over_ms(lost_after_s)
    }

    /// Renews no lease of an agent before those are over that an earlier process of its name may
    /// hold.
    pub(crate) fn withhold_lease(&mut self, id: &AgentId) {
        let leases = self.assigned_to(id).into_iter().filter_map(|(assignment, _)| {
            let spec = self.spec(assignment.task).filter(|spec| spec.exclusive)?;
            Some(self.lease_over(id, spec.disconnect.lost_after_s))
        });
        let over = leases.max();
        if let Some(channel) = self.channels.get_mut(id) {
            channel.lease_from = channel.lease_from.max(over);
        }
    }

    /// The same for an attempt that does not run, while a copy may that a restored core has
    /// forgotten.
    pub(crate) fn withhold_lease_of(&mut self, id: AssignmentId) {
        let task = self.tasks.get(&id.task);
        let Some(task) = task.filter(|task| task.row.life.forgotten.is_some()) else {
            return;
        };
        let (over, row) = (task.hold_until, task.attempt(id));
        if let Some(channel) = row.and_then(|row| self.channels.get_mut(&row.agent)) {
            channel.lease_from = channel.lease_from.max(over);
        }
    }

    /// A copy whose end nobody confirmed may run on under its lease; until that is over, no other
    /// may.
    pub(crate) fn hold_for_lease(&mut self, id: AssignmentId) {
        let Some(task) = self.tasks.get(&id.task).filter(|task| task.row.spec.exclusive) else {
            return;
        };
        let Some(row) = task.attempt(id) else {
            return;
        };
        let over = self.lease_over(&row.agent, task.row.spec.disconnect.lost_after_s);
        if planted!(SilenceExcused) {
            return;
        }
        if let Some(task) = self.tasks.get_mut(&id.task) {
            task.hold_until = task.hold_until.max(Some(over));
        }
    }

    /// Whether the process that speaks for an attempt's agent may be a copy of the one that runs it: it
    /// is known to be another, or nothing is known of the one that had it when a backup was put back.
    pub(crate) fn may_be_copied(&self, id: AssignmentId) -> bool {
        let Some(task) = self.tasks.get(&id.task) else {
            return false;
        };
        let forgotten = task.row.life.forgotten.as_ref();
        let found = forgotten.is_some_and(|forgotten| forgotten.found.contains(&id.attempt));
        let channel = task.attempt(id).and_then(|row| self.channels.get(&row.agent));
        found || channel.is_some_and(|channel| channel.lease_from.is_some())
    }

    /// An attempt is over, and nothing has come of it. That none of it runs is no proof if its agent may
    /// be a copy of one that runs it, or that has begun it again by itself.
    pub(crate) fn doubt(&mut self, id: AssignmentId, ending: &Ending) {
        let failed = match ending {
            Ending::Refused { .. } => true,
            Ending::Finished(finish) => !finish.end.is_success(),
            _ => false,
        };
        if failed && self.may_be_copied(id) {
            self.hold_for_lease(id);
        }
    }

    fn forget_stray(&mut self, agent: &AgentId, id: AssignmentId) {
        if let Some(strays) = self.strays_on.get_mut(agent) {
            strays.remove(&id);
            if strays.is_empty() {
                self.strays_on.remove(agent);
            }
        }
    }

    /// Takes an attempt that this store does not know for a stray of its task, whose agent says
    /// that it had it: given before a backup was put back, and forgotten with it.
    pub(crate) fn adopt(&mut self, agent: &AgentId, id: AssignmentId, context: &mut Context) {
        let since = context.now.wall;
        // Known from now on, whatever becomes of it: what it tells later brings it back no more.
        let noted = self.move_task(id.task, context, |life| {
            if let Some(forgotten) = &mut life.forgotten {
                forgotten.found.insert(id.attempt);
            }
            Ok(())
        });
        let Some(task) = self.tasks.get_mut(&id.task).filter(|_| noted.is_ok()) else {
            return;
        };
        let row = AssignmentRow {
            id,
            agent: agent.clone(),
            placed: Placed::forgotten(),
            offered_at: since,
            accepted_at: None,
            started_at: None,
            state: AssignmentState::Stray { since, last: Progress::Offered },
            progress: None,
            retries: 0,
        };
        context.change(Change::AssignmentPut(Box::new(row.clone())));
        task.strays.push(row);
        let spec = Arc::clone(&task.row.spec);
        self.strays_on.entry(agent.clone()).or_default().insert(id);
        self.fleet.reserve(agent, &spec.needs);
    }

    /// Whether an attempt may be one that this store forgot, of a task that still waits for its
    /// outcome.
    pub(crate) fn may_have_forgotten(&self, id: AssignmentId) -> bool {
        let forgotten = self.tasks.get(&id.task).and_then(|task| task.row.life.forgotten.as_ref());
        forgotten.is_some_and(|forgotten| forgotten.may_be(id.attempt))
    }

    /// Writes a row of an agent's desired state; it is sent at the end of the step.
    pub(crate) fn want(
        &mut self,
        agent: &AgentId,
        assignment: AssignmentId,
        wanted: Wanted,
        context: &mut Context,
    ) {
        let Some(channel) = self.channels.get_mut(agent) else {
            return;
        };
        let row = WantedRow { rev: channel.desired_rev.next(), assignment, wanted };
        channel.put(row);
        context.change(Change::WantedPut { agent: agent.clone(), row });
        self.unsent.insert(agent.clone());
    }

    /// Takes a row of an agent's desired state away: the agent knows.
    pub(crate) fn unwant(
        &mut self,
        agent: &AgentId,
        assignment: AssignmentId,
        context: &mut Context,
    ) {
        let Some(channel) = self.channels.get_mut(agent) else {
            return;
        };
        if channel.remove(assignment).is_some() {
            context.change(Change::WantedRemoved { agent: agent.clone(), assignment });
        }
    }

    /// Tombstones that the agent has applied are not needed any more, once their attempts are over.
    pub(crate) fn drop_applied_tombstones(&mut self, id: &AgentId, context: &mut Context) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        let applied: Vec<_> = channel
            .wanted
            .range(..=channel.applied_rev)
            .filter(|(_, row)| matches!(row.wanted, Wanted::Stop { .. }))
            .map(|(_, row)| row.assignment)
            .collect();
        for assignment in applied {
            let current = self.tasks.get(&assignment.task).and_then(|task| task.current());
            if current != Some(assignment) {
                self.unwant(id, assignment, context);
            }
        }
    }

    /// Records an agent's row as it is now.
    pub(crate) fn put_agent(&self, id: &AgentId, context: &mut Context) {
        if let (Some(agent), Some(channel)) = (self.fleet.get(id), self.channels.get(id)) {
            context.change(Change::AgentPut(Box::new(channel.agent_row(agent))));
        }
    }

    /// The assignments that are live on an agent, with how far each has come. Each of them has a
    /// row in the agent's desired state, so this costs what the agent holds, not what there is.
    pub(crate) fn assigned_to(&self, agent: &AgentId) -> Vec<(AssignmentId, Progress)> {
        let Some(channel) = self.channels.get(agent) else {
            return Vec::new();
        };
        let live = |row: &WantedRow| {
            let assignment = self.tasks.get(&row.assignment.task)?.assignment.as_deref()?;
            let progress = assignment.state.progress()?;
            (assignment.id == row.assignment).then_some((assignment.id, progress))
        };
        channel.wanted.values().filter_map(live).collect()
    }

    /// Brings an agent's status up to what is known of its audibility, with what follows.
    pub(crate) fn follow_status(&mut self, id: &AgentId, context: &mut Context) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        let status = channel.liveness.status();
        match channel.liveness.look_at(&self.settings) {
            Some(at) => self.timers.set(Alarm::Silence(id.clone()), at),
            None => self.timers.clear(&Alarm::Silence(id.clone())),
        }
        let Some(before) = self.fleet.get(id).map(|agent| agent.status) else {
            return;
        };
        if before == status {
            return;
        }
        self.fleet.change(id, |agent| agent.status = status);
        context.tell(Happening::heard(id, status));
        self.tell_schedules(id, status, context);
        if before == AgentStatus::Offline {
            context.then(Event::HeardAgain { agent: id.clone() });
        }
        match status {
            AgentStatus::Online => {
                self.freed.insert(id.clone());
            }
            AgentStatus::Suspect => {}
            AgentStatus::Offline => {
                self.put_agent(id, context);
                context.then(Event::FellSilent { agent: id.clone() });
            }
        }
    }
}

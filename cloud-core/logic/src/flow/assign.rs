//! assign: a choice becomes an assignment, if it still holds: resources are reserved and the row
//! is wanted on the agent, all in one step.

use shared::api::{Candidate, Together};
use shared::assignment::AssignmentState;
use shared::id::{AssignmentId, TaskId};
use shared::task::TaskState;

use super::Context;
use crate::change::{AssignmentRow, Change, Placed, Wanted};
use crate::cloud::{Cloud, Task};
use crate::effect::Notice;
use crate::placement::{Request, is_feasible};
use crate::timers::Alarm;

pub(crate) fn assign(
    cloud: &mut Cloud,
    id: TaskId,
    chosen: Candidate,
    together: Option<Box<Together>>,
    context: &mut Context,
) {
    let Some(task) = cloud.tasks.get(&id) else {
        return;
    };
    let spec = task.row.spec.clone();
    let avoid = Cloud::avoided(task, context.now.mono);
    let request = Request { spec: &spec, avoid: &avoid, groups: cloud.fleet.groups() };
    // A choice may have been made on an older picture of the fleet: it is only a proposal.
    let profile = cloud.policy.profile_of(&spec);
    let policy = cloud.policy.of(profile);
    let holds =
        cloud.fleet.get(&chosen.agent).is_some_and(|agent| is_feasible(agent, &request, &policy));
    let attempt = task.row.life.attempt.next();
    if !holds || task.row.life.state != TaskState::Queued {
        cloud.try_later(id);
        return;
    }
    let assignment = AssignmentId { task: id, attempt };
    let row = AssignmentRow {
        id: assignment,
        agent: chosen.agent.clone(),
        placed: Placed {
            score: chosen.score,
            terms: chosen.terms,
            distance_m: chosen.distance_m,
            latency_ms: chosen.latency_ms,
            gap: chosen.gap,
            policy: cloud.policy.version,
            profile: profile.map(str::to_owned),
            together,
        },
        offered_at: context.now.wall,
        accepted_at: None,
        started_at: None,
        state: AssignmentState::offered(),
        progress: None,
        retries: 0,
    };
    let trace = task.row.trace_id(id);
    let waited_ms = context.now.wall.since_ms(task.row.life.updated_at);
    let moved = cloud.move_task(id, context, |life| {
        life.state.assign(attempt)?;
        life.attempt = attempt;
        life.agent = Some(chosen.agent.clone());
        Ok(())
    });
    if moved.is_err() {
        return;
    }
    context.notice(Notice::Placed { assignment, trace, waited_ms });
    context.change(Change::AssignmentPut(Box::new(row.clone())));
    if let Some(task) = cloud.tasks.get_mut(&id) {
        task.assignment = Some(Box::new(row));
    }
    cloud.fleet.reserve(&chosen.agent, &spec.needs);
    cloud.fleet.join_groups(&chosen.agent, &spec);
    cloud.want(&chosen.agent, assignment, Wanted::Run, context);
    cloud.timers.set(Alarm::Offer(id), context.now.mono + cloud.settings.offer_timeout_ms);
    cloud.wake_class_of(id);
}

impl Cloud {
    /// A choice did not hold: the task waits for its turn again.
    fn try_later(&mut self, id: TaskId) {
        let queued = |task: &Task| task.row.life.state == TaskState::Queued;
        if self.tasks.get(&id).is_some_and(|task| queued(task)) {
            self.retry(id);
        }
    }
}

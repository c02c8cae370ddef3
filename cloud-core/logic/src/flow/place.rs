//! place: the best agents are sought for the tasks whose turn it is: for those of one priority
//! together. Nothing is decided here about what then happens to them: a choice is an event for
//! `assign`, which checks it again.

use std::sync::Arc;

use shared::api::{BatchStrategy, Together};
use shared::id::{AgentId, TaskId};
use shared::spec::TaskSpec;
use shared::time::Monotonic;

use super::{Context, Event};
use crate::cloud::Cloud;
use crate::effect::Notice;
use crate::placement::{Batch, Choice, Request, TOGETHER_MAX, is_feasible};
use crate::queue::{Queue, Rank, Spot};
use crate::timers::Alarm;

/// Makes ready what became feasible on agents that can take more than before.
pub(crate) fn wake(cloud: &mut Cloud) {
    if cloud.recovering {
        return;
    }
    for id in std::mem::take(&mut cloud.freed) {
        let Some(agent) = cloud.fleet.get(&id) else {
            continue;
        };
        let (policy, groups) = (&cloud.policy, cloud.fleet.groups());
        let woken = cloud.queue.wake(|spec| {
            let policy = policy.of(policy.profile_of(spec));
            is_feasible(agent, &Request { spec, avoid: &[], groups }, &policy)
        });
        for task in woken {
            cloud.woken(task);
        }
    }
    // Where a member of a group has gone from, or moved from, there may be room on any agent near by.
    let thinned = cloud.fleet.take_thinned();
    if !thinned.is_empty() {
        let kept_apart = |spec: &TaskSpec| spec.place.groups().any(|name| thinned.contains(name));
        for task in cloud.queue.wake(kept_apart) {
            cloud.woken(task);
        }
    }
}

/// A task whose turn it is.
struct Next {
    id: TaskId,
    spec: Arc<TaskSpec>,
    /// Agents it keeps away from.
    avoid: Vec<AgentId>,
}

/// Tries to place the next tasks, at most `most` of them; says how many had their turn, 0 when none
/// is ready.
pub(crate) fn next(cloud: &mut Cloud, most: usize, context: &mut Context) -> usize {
    if cloud.recovering {
        return 0;
    }
    let (taken, next) = take(cloud, most.min(TOGETHER_MAX), context);
    let groups = cloud.fleet.groups();
    let requests: Vec<Request<'_>> =
        next.iter().map(|one| Request { spec: &one.spec, avoid: &one.avoid, groups }).collect();
    let profile = next.first().and_then(|first| cloud.policy.profile_of(&first.spec));
    let policy = cloud.policy.of(profile);
    let Batch { choices, gain } = cloud.fleet.place_together(&requests, &policy, policy.batch);
    if let Some(gain) = gain {
        let tasks = choices.len() as u64;
        // A cast of what is below nothing gives nothing.
        let score_millionths = (gain.score * 1e6) as u64;
        let placed_more = gain.placed as u64;
        context.notice(Notice::Assigned { tasks, placed_more, score_millionths });
    }
    let unplanned = next.len() - choices.len();
    let others = choices.iter().flatten().count().saturating_sub(1) as u64;
    for (choice, one) in choices.into_iter().zip(&next) {
        context.then(match choice {
            Some(Choice { candidate, own_best }) => Event::Chosen {
                task: one.id,
                candidate: Box::new(candidate),
                together: own_best.map(|own_best| Box::new(Together { others, own_best })),
            },
            None => Event::NoPlace { task: one.id },
        });
    }
    for one in next.iter().rev().take(unplanned) {
        cloud.retry(one.id);
    }
    taken - unplanned
}

/// Takes those whose turn it is out of the queue, as long as nobody else could come between them: they
/// have one priority and one policy, and placing one wakes nobody who stands before the next. Says how
/// many had their turn, those included that are set aside at once.
fn take(cloud: &mut Cloud, mut most: usize, context: &Context) -> (usize, Vec<Next>) {
    let now = context.now.mono;
    let (mut taken, mut next) = (0, Vec::<Next>::new());
    while taken < most {
        let first = next.first().map(|first| first.spec.clone());
        let Some(id) = cloud.queue.pop_of(first.as_ref().map(|first| first.priority)) else {
            break;
        };
        let Some(one) = turn(cloud, id, now) else {
            taken += 1;
            continue;
        };
        let profile = cloud.policy.profile_of(&one.spec);
        // One of a group changes where the next of it may go.
        let kept_apart = !one.spec.place.spread.is_empty();
        match first {
            Some(first) if kept_apart || cloud.policy.profile_of(&first) != profile => {
                cloud.retry(id);
                break;
            }
            Some(_) => {}
            None => {
                // In turn means one at a time, and where agents are filled up there is no other way.
                let policy = cloud.policy.of(profile);
                let in_turn = policy.packing || policy.batch == BatchStrategy::Greedy;
                most = if in_turn || kept_apart { taken + 1 } else { most };
            }
        }
        taken += 1;
        let class = cloud.queue.has_parked().then(|| Queue::class_of(&one.spec));
        let avoids = !one.avoid.is_empty();
        next.push(one);
        if class.is_some_and(|class| cloud.queue.comes_between(&class, avoids)) {
            break;
        }
    }
    (taken, next)
}

/// A task whose turn it is; `None` if it is gone, or has to wait for a while.
fn turn(cloud: &mut Cloud, id: TaskId, now: Monotonic) -> Option<Next> {
    let task = cloud.tasks.get_mut(&id)?;
    task.spot = Spot::Nowhere;
    task.avoid.retain(|(_, until)| *until > now);
    task.hold_until = task.hold_until.filter(|until| *until > now);
    if task.row.spec.exclusive && !task.strays.is_empty() {
        // Found again by a restored core: each may run under a lease that goes on being renewed.
        let lost_after_s = task.row.spec.disconnect.lost_after_s;
        let agents: Vec<_> = task.strays.iter().map(|row| row.agent.clone()).collect();
        let over = agents.iter().map(|agent| cloud.lease_over(agent, lost_after_s)).max();
        let over = over.filter(|over| *over > now);
        if let Some(task) = cloud.tasks.get_mut(&id) {
            task.hold_until = task.hold_until.max(over);
        }
    }
    let task = cloud.tasks.get(&id)?;
    if task.hold_until.is_some() {
        park(cloud, id);
        return None;
    }
    Some(Next { id, spec: task.row.spec.clone(), avoid: Cloud::avoided(task, now) })
}

/// Sets a task aside until an agent changes that could take it.
pub(crate) fn park(cloud: &mut Cloud, id: TaskId) {
    let Some(task) = cloud.tasks.get_mut(&id) else {
        return;
    };
    task.spot = cloud.queue.park(Rank::of(id, &task.row.spec), &task.row.spec);
    // It may have failed only for the agents it avoids, or for its own wait: then it wakes when it need not avoid them
    // any more, and does not hold up those of its class that stand behind it. Those before it had
    // their turn: two that avoid the same agent would wake each other for ever.
    let avoided = task.avoid.iter().map(|(_, until)| *until);
    if let Some(until) = avoided.chain(task.hold_until).min() {
        let (class, rank) = (Queue::class_of(&task.row.spec), Rank::of(id, &task.row.spec));
        cloud.timers.set(Alarm::Avoid(id), until);
        if let Some(woken) = cloud.queue.wake_behind(&class, rank) {
            cloud.woken(woken);
        }
    }
}

/// A task need not avoid an agent any more.
pub(crate) fn avoid_over(cloud: &mut Cloud, id: TaskId) {
    cloud.retry_parked(id);
}

impl Cloud {
    /// Makes the first of every class ready: what kept it waiting may not count any more.
    pub(crate) fn try_all_parked(&mut self) {
        for woken in self.queue.wake_all() {
            self.woken(woken);
        }
    }

    /// One of a class was placed: the next of it may try.
    pub(crate) fn wake_class_of(&mut self, id: TaskId) {
        if !self.queue.has_parked() {
            return;
        }
        let Some(task) = self.tasks.get(&id) else { return };
        let class = Queue::class_of(&task.row.spec);
        if let Some(woken) = self.queue.wake_next(&class) {
            self.woken(woken);
        }
    }

    /// A task waits for its turn again.
    pub(crate) fn retry(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.spot = self.queue.ready(Rank::of(id, &task.row.spec));
        }
    }

    fn woken(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.spot = Spot::Ready;
        }
    }
}

//! place: the best agent is sought for the task whose turn it is. Nothing is decided here about
//! what then happens to it: a choice is an event for `assign`, which checks it again.

use shared::id::TaskId;
use shared::spec::TaskSpec;

use super::{Context, Event};
use crate::cloud::Cloud;
use crate::placement::{Chooser, Request, is_feasible};
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
            let policy = policy.of(spec.prefer.profile.as_deref());
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

/// Tries to place the next task; `false` when none is ready.
pub(crate) fn next(cloud: &mut Cloud, context: &mut Context) -> bool {
    if cloud.recovering {
        return false;
    }
    let Some(id) = cloud.queue.pop() else {
        return false;
    };
    let Some(task) = cloud.tasks.get_mut(&id) else {
        return true;
    };
    task.spot = Spot::Nowhere;
    let now = context.now.mono;
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
    let Some(task) = cloud.tasks.get(&id) else {
        return true;
    };
    if task.hold_until.is_some() {
        park(cloud, id);
        return true;
    }
    let avoid = Cloud::avoided(task, now);
    let groups = cloud.fleet.groups();
    let request = Request { spec: &task.row.spec, avoid: &avoid, groups };
    let policy = cloud.policy.of(task.row.spec.prefer.profile.as_deref());
    match cloud.fleet.best(&request, &policy) {
        Some(candidate) => {
            context.then(Event::Chosen { task: id, candidate: Box::new(candidate) });
        }
        None => park(cloud, id),
    }
    true
}

/// Sets a task aside until an agent changes that could take it.
fn park(cloud: &mut Cloud, id: TaskId) {
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

    fn woken(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.spot = Spot::Ready;
        }
    }
}

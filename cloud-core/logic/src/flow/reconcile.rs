//! reconcile: an agent has come back. What it holds is compared with what the core believes it to
//! hold, and where two copies of a task are left, the task's policy says which of them stays.
//!
//! Compared is only what is complete: every part of the inventory, after every report that was
//! written before it. What is over by then has been told, so what is missing then is gone.

use std::collections::BTreeMap;

use shared::assignment::{AssignmentState, Ending, Progress};
use shared::id::{AgentId, AssignmentId};
use shared::report::StopReason;
use shared::spec::Reconcile;
use shared::task::TaskState;
use shared::time::Now;
use shared::wire::Downlink;
use shared::wire::uplink::{Held, Inventory};

use super::{Context, Event, Left};
use crate::change::{AssignmentRow, Change, Wanted};
use crate::channel::{Collected, PARTS_MAX};
use crate::cloud::{Cloud, Task};
use crate::effect::Effect;
use crate::planted::planted;
use crate::timers::Alarm;

/// How long the parts of an inventory may take, in milliseconds.
const PARTS_MS_MAX: u64 = 30_000;
/// How long an agent that was asked for its inventory may take, in milliseconds.
const ASKED_MS: u64 = 5_000;

/// A hello has brought the first part.
pub(crate) fn greeted(cloud: &mut Cloud, id: &AgentId, context: &mut Context) {
    let incomplete = cloud.channels.get(id).and_then(|channel| channel.inventory.as_ref());
    if incomplete.is_some_and(|inventory| !inventory.is_complete()) {
        cloud.timers.set(Alarm::Inventory(id.clone()), context.now.mono + PARTS_MS_MAX);
    }
    compare_when_complete(cloud, id, context);
}

/// An agent may hold copies about which only its inventory decides, and has told none since they
/// were given up.
pub(crate) fn ask(cloud: &mut Cloud, id: &AgentId, context: &mut Context) {
    let Some(channel) = cloud.channels.get(id) else {
        return;
    };
    let asked = cloud.timers.is_set(&Alarm::Inventory(id.clone()));
    if channel.greeted && channel.inventory.is_none() && cloud.strays_on.contains_key(id) && !asked
    {
        let message = Downlink::WhoIsThere;
        context.effect(Effect::Send { agent: id.clone(), message });
        cloud.timers.set(Alarm::Inventory(id.clone()), context.now.mono + ASKED_MS);
    }
}

/// A further part has come.
pub(crate) fn inventory(
    cloud: &mut Cloud,
    id: &AgentId,
    inventory: Inventory,
    context: &mut Context,
) {
    let Some(channel) = cloud.channels.get_mut(id) else {
        return;
    };
    if !channel.speaks(inventory.incarnation, inventory.session, inventory.link) {
        return;
    }
    if let Some(collected) = &mut channel.inventory
        && collected.last_seq == inventory.last_seq
        && collected.of == inventory.part.parts.min(PARTS_MAX)
        && inventory.part.part < collected.of
    {
        collected.parts.insert(inventory.part.part, inventory.part);
        compare_when_complete(cloud, id, context);
    }
}

/// Parts have not come: only another hello brings them again.
pub(crate) fn parts_missing(cloud: &mut Cloud, id: &AgentId, context: &mut Context) {
    let Some(channel) = cloud.channels.get(id) else {
        return;
    };
    let missing = match &channel.inventory {
        Some(inventory) => !inventory.is_complete(),
        // It was asked for one, and there is still something to decide.
        None => cloud.strays_on.contains_key(id),
    };
    if channel.greeted && missing {
        let message = Downlink::WhoIsThere;
        context.effect(Effect::Send { agent: id.clone(), message });
        cloud.timers.set(Alarm::Inventory(id.clone()), context.now.mono + PARTS_MS_MAX);
    }
}

/// Compares, once everything that was written before the inventory has been taken.
pub(crate) fn compare_when_complete(cloud: &mut Cloud, id: &AgentId, context: &mut Context) {
    let Some(channel) = cloud.channels.get_mut(id) else {
        return;
    };
    if let Some(inventory) = &mut channel.inventory
        && inventory.is_complete()
        && !std::mem::replace(&mut inventory.schedules_compared, true)
    {
        // Reports say nothing about it, and one that fires without end is never heard to its end.
        let (held, applied) = (inventory.schedules(), inventory.applied_rev);
        if let Some(held) = held {
            cloud.compare_residents(id, held, applied, context);
        }
    }
    let Some(channel) = cloud.channels.get_mut(id) else {
        return;
    };
    let acked = channel.inbox.acked;
    let ready = channel
        .inventory
        .as_ref()
        .is_some_and(|inventory| inventory.is_complete() && inventory.last_seq <= acked);
    if !ready {
        return;
    }
    let Some(collected) = channel.inventory.take() else {
        return;
    };
    cloud.timers.clear(&Alarm::Inventory(id.clone()));
    compare(cloud, id, &collected, context);
}

fn compare(cloud: &mut Cloud, id: &AgentId, collected: &Collected, context: &mut Context) {
    let held: BTreeMap<AssignmentId, Held> =
        collected.assignments().map(|held| (held.assignment, *held)).collect();
    for (assignment, _) in cloud.assigned_to(id) {
        let row = cloud.channels.get(id).and_then(|channel| channel.row(assignment));
        let was_told = row.is_some_and(|row| row.rev <= collected.applied_rev);
        if was_told && !held.contains_key(&assignment) {
            let detail = format!("agent {id} does not have it any more");
            context.then(Event::Lose { task: assignment.task, detail, left: Left::Nothing });
        }
        let runs = held.get(&assignment).is_some_and(|held| held.running_ms.is_some());
        if !runs {
            cloud.withhold_lease_of(assignment);
        }
    }
    for stray in cloud.strays_on.get(id).cloned().unwrap_or_default() {
        match held.get(&stray) {
            Some(held) => decide(cloud, stray, held.running_ms, context),
            None => {
                let detail = format!("agent {id} does not have it any more");
                if cloud.may_be_copied(stray) {
                    cloud.hold_for_lease(stray);
                }
                // The word that it should run may still be under way, if it never arrived.
                let row = cloud.channels.get(id).and_then(|channel| channel.row(stray));
                let was_told = row.is_none_or(|row| row.rev <= collected.applied_rev);
                let tombstone =
                    (!was_told).then_some(Wanted::Stop { reason: StopReason::Superseded });
                cloud.end_stray(stray, context, Ending::Lost { detail }, tombstone);
            }
        }
    }
    for held in held.values() {
        look_at_stranger(cloud, id, held, context);
    }
}

/// A copy that nobody waits for: one that a restored store forgot is taken on again, any other is
/// to stop. One that has ended there already takes no harm.
fn look_at_stranger(cloud: &mut Cloud, id: &AgentId, held: &Held, context: &mut Context) {
    let assignment = held.assignment;
    if cloud.wanted(id, assignment).is_some() {
        return;
    }
    if cloud.may_have_forgotten(assignment) {
        cloud.adopt(id, assignment, context);
        if held.running_ms.is_some() {
            let started_at = context.now.wall;
            cloud.move_attempt(assignment, context, |row| row.state.start(started_at));
        }
        decide(cloud, assignment, held.running_ms, context);
        return;
    }
    let reason = StopReason::Superseded;
    cloud.want(id, assignment, Wanted::Stop { reason }, context);
}

/// A stray is held by its agent, which can be heard again: which copy stays?
fn decide(cloud: &mut Cloud, stray: AssignmentId, ran_ms: Option<u64>, context: &mut Context) {
    if planted!(BothCopiesKept) {
        return;
    }
    if let Some(kept) = cloud.kept_instead(stray, ran_ms, context.now) {
        let detail = match kept {
            Kept::Attempt(by) => format!("attempt {} was kept instead", by.attempt),
            Kept::None => "its task was being stopped when its agent came back".to_owned(),
            Kept::Proof => "it did not run, and another copy of it may".to_owned(),
        };
        let tombstone = Some(Wanted::Stop { reason: StopReason::Superseded });
        cloud.end_stray(stray, context, Ending::Lost { detail }, tombstone);
        return;
    }
    take_the_place(cloud, stray, context);
}

/// A stray becomes its task's attempt again, and whatever took its place ends.
fn take_the_place(cloud: &mut Cloud, stray: AssignmentId, context: &mut Context) -> bool {
    let current = cloud.tasks.get(&stray.task).and_then(|task| task.assignment.as_deref());
    if current.is_some_and(is_silent) {
        // It is given up like any that is silent for too long, and may come back like any.
        cloud.stray_assignment(stray.task, context);
    } else {
        let ending = Ending::Superseded { by: stray.attempt };
        let tombstone = Some(Wanted::Stop { reason: StopReason::Superseded });
        cloud.end_assignment(stray.task, context, ending, tombstone);
        if let Some(task) = cloud.tasks.get_mut(&stray.task) {
            task.assignment = None;
        }
    }
    cloud.take_back(stray, context)
}

/// A stray has ended by itself. A success is the task's, unless its policy keeps the replacement;
/// any other end only leaves the field to the replacement, if there is one.
pub(crate) fn stray_finished(
    cloud: &mut Cloud,
    stray: AssignmentId,
    ending: Ending,
    context: &mut Context,
) {
    let Some(task) = cloud.tasks.get(&stray.task) else {
        return;
    };
    if !task.strays.iter().any(|row| row.id == stray) {
        return;
    }
    let success = matches!(&ending, Ending::Finished(finish) if finish.end.is_success());
    let keeps_replacement = task.row.spec.disconnect.reconcile == Reconcile::KeepReplacement;
    let takes_place = match task.row.life.state {
        TaskState::Queued | TaskState::BackingOff { .. } => true,
        TaskState::Assigned { .. } | TaskState::Running { .. } => success && !keeps_replacement,
        TaskState::Stopping { .. } => success,
        TaskState::Settled { .. } => false,
    };
    if !takes_place {
        cloud.end_stray(stray, context, ending, None);
        return;
    }
    if let TaskState::Stopping { .. } = task.row.life.state {
        // Done before the request reached it: the copy under way is told to stop by its tombstone.
        let attempt = stray.attempt;
        let _ = cloud.move_task(stray.task, context, |life| life.state.give_way(attempt));
    }
    if take_the_place(cloud, stray, context) {
        cloud.doubt(stray, &ending);
        if cloud.end_assignment(stray.task, context, ending, None) {
            context.next(Event::AttemptEnded { task: stray.task });
        }
    }
}

/// The agents of a restored core have had their time to say what they hold. It is never cut short:
/// of agents that joined after the backup was taken nobody here knows.
pub(crate) fn recovered(cloud: &mut Cloud, context: &mut Context) {
    if std::mem::take(&mut cloud.recovering) {
        cloud.timers.clear(&Alarm::Recovered);
        context.change(Change::Recovered);
    }
}

/// What is kept instead of a stray.
enum Kept {
    /// Another attempt.
    Attempt(AssignmentId),
    /// Nothing: its task is to end.
    None,
    /// Nothing yet: the next attempt waits until no other can run.
    Proof,
}

impl Cloud {
    /// Whether what an agent told in its hello, and what was not compared yet, may decide on its
    /// lease: it may hold an attempt that is not wanted of it, or one that a copy is to end before.
    pub(crate) fn lease_is_undecided(&self, id: &AgentId) -> bool {
        let Some(channel) = self.channels.get(id) else {
            return false;
        };
        let Some(inventory) = &channel.inventory else {
            return false;
        };
        let is_strange = |held: &Held| channel.row(held.assignment).is_none();
        let is_found_again = |(assignment, _): &(AssignmentId, Progress)| {
            let task = self.tasks.get(&assignment.task);
            task.is_some_and(|task| task.row.spec.exclusive && task.row.life.forgotten.is_some())
        };
        !inventory.is_complete()
            || inventory.assignments().any(is_strange)
            || self.assigned_to(id).iter().any(is_found_again)
    }

    /// What is kept instead of a stray that is held; `None` when the stray is the one to keep.
    fn kept_instead(&self, stray: AssignmentId, ran_ms: Option<u64>, now: Now) -> Option<Kept> {
        let task = self.tasks.get(&stray.task)?;
        if let TaskState::Stopping { .. } | TaskState::Settled { .. } = task.row.life.state {
            return Some(Kept::None);
        }
        if task.row.spec.exclusive {
            return self.kept_exclusively(task, ran_ms.is_some(), now);
        }
        // A copy that can be heard is worth more than one that cannot, whatever the policy.
        let other = task.assignment.as_deref().filter(|row| !is_silent(row))?;
        let returned = task.strays.iter().find(|row| row.id == stray)?;
        let stays = match task.row.spec.disconnect.reconcile {
            Reconcile::KeepOriginal => stray.attempt < other.id.attempt,
            Reconcile::KeepReplacement => stray.attempt > other.id.attempt,
            // Equal: the one that has done more of the work.
            Reconcile::BestScore => match returned.placed.score.total_cmp(&other.placed.score) {
                std::cmp::Ordering::Equal => stray.attempt < other.id.attempt,
                order => order.is_gt(),
            },
            Reconcile::LongestRunning => ran_ms.unwrap_or(0) >= running_ms(other, now),
        };
        (!stays).then_some(Kept::Attempt(other.id))
    }

    /// The same for a task of which only a restored core has strays: whatever the policy, nothing
    /// may start while another copy may run. A stray that runs proves that no other did; so it
    /// stays, if none can have begun since.
    fn kept_exclusively(&self, task: &Task, runs: bool, now: Now) -> Option<Kept> {
        let Some(other) = &task.assignment else {
            return (!runs).then_some(Kept::Proof);
        };
        let channel = self.channels.get(&other.agent);
        let withheld = channel.and_then(|channel| channel.lease_from);
        let has_none = withheld.is_some_and(|from| from > now.mono);
        (!(runs && has_none)).then_some(Kept::Attempt(other.id))
    }
}

fn is_silent(row: &AssignmentRow) -> bool {
    matches!(row.state, AssignmentState::Unknown { .. })
}

/// For how long an attempt has run, by the core's clock; 0 if it does not. One that cannot be
/// heard is not known to run.
fn running_ms(row: &AssignmentRow, now: Now) -> u64 {
    match row.state {
        AssignmentState::Live(Progress::Running { started_at }) => now.wall.since_ms(started_at),
        _ => 0,
    }
}

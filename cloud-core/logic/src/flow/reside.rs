//! reside: resident schedules go to the agents that are to hold them, follow the fleet as it
//! changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::api::AgentStatus;
use shared::id::{AgentId, Revision, ScheduleId};

use super::Context;
use crate::change::Change;
use crate::cloud::Cloud;
use crate::fleet::Agent;
use crate::placement::{Chooser, Refusal, Request, refusals};
use crate::schedules::{ResidentRow, Slot};

/// How many agents are looked at in one step for schedules that were made or changed; the rest
/// follow in the next.
const AGENTS_PER_STEP: usize = 2_000;

/// How many agents are tried at once for one that is missing among the best few: those that hold no
/// schedules may be better ones.
const TRIES_MAX: usize = 256;

/// Goes on going through the fleet for schedules that were made or changed.
pub(crate) fn run(cloud: &mut Cloud, context: &mut Context) {
    let mut left = AGENTS_PER_STEP;
    while left > 0
        && let Some((slot, behind)) = cloud.residents.pending.pop_front()
    {
        let Some(resident) = cloud.residents.get(slot) else {
            continue;
        };
        let best = resident.spec.resident.and_then(|resident| resident.best);
        let holders: Vec<AgentId> = resident.holders.iter().cloned().collect();
        if best.is_some() {
            for agent in &holders {
                look(cloud, agent, slot, context);
            }
            left = left.saturating_sub(1 + holders.len());
            fill(cloud, slot, context);
            continue;
        }
        let agents = cloud.fleet.after(behind.as_ref()).take(left);
        let agents: Vec<AgentId> = agents.map(|agent| agent.id.clone()).collect();
        left = left.saturating_sub(agents.len().max(1));
        for agent in &agents {
            look(cloud, agent, slot, context);
        }
        if left == 0 && !agents.is_empty() {
            cloud.residents.pending.push_front((slot, agents.last().cloned()));
        }
    }
}

/// An agent has changed: it may fit schedules that it did not, or no longer. What it lets go of makes
/// room for what it takes.
pub(crate) fn agent_changed(cloud: &mut Cloud, id: &AgentId, context: &mut Context) {
    let (Some(agent), Some(channel)) = (cloud.fleet.get(id), cloud.channels.get(id)) else {
        return;
    };
    let mut others = cloud.residents.within_reach_of(id, &agent.facts.labels);
    let held = channel.residents.values().filter(|row| row.held);
    let held: Vec<Slot> = held.filter_map(|row| cloud.schedules.of_id(row.schedule)).collect();
    others.retain(|slot| !held.contains(slot));
    for slot in held.into_iter().chain(others) {
        look(cloud, id, slot, context);
        fill(cloud, slot, context);
    }
}

/// Lets one agent hold one schedule, or let go of it, as it should now.
fn look(cloud: &mut Cloud, id: &AgentId, slot: Slot, context: &mut Context) {
    let (Some(agent), Some(resident)) = (cloud.fleet.get(id), cloud.residents.get(slot)) else {
        return;
    };
    let holds = resident.holders.contains(id);
    let best = resident.spec.resident.and_then(|resident| resident.best);
    let offline = agent.status == AgentStatus::Offline;
    let should = match best {
        // Who is chosen is chosen by `fill`; one that cannot be heard is replaced.
        Some(_) => holds && !offline && cloud.fits(agent, slot, holds),
        None => cloud.fits(agent, slot, holds),
    };
    match should {
        true => cloud.hold(id, slot, context),
        false => cloud.let_go(id, slot, context),
    }
}

/// Gives a schedule that only the best are to hold to as many as are missing.
fn fill(cloud: &mut Cloud, slot: Slot, context: &mut Context) {
    let Some(best) = cloud.residents.get(slot).and_then(|it| it.spec.resident?.best) else {
        return;
    };
    if cloud.schedules.get(slot).is_none_or(|schedule| schedule.paused) {
        return;
    }
    loop {
        let Some(resident) = cloud.residents.get(slot) else { return };
        if resident.holders.len() >= best as usize {
            return;
        }
        let task = Arc::clone(&resident.spec.task);
        let mut avoid: Vec<AgentId> = resident.holders.iter().cloned().collect();
        let profile = cloud.policy.profile_of(&task);
        let policy = cloud.policy.of(profile).into_owned();
        let mut tries = 0;
        let found = loop {
            tries += 1;
            if tries > TRIES_MAX {
                break None;
            }
            let groups = cloud.fleet.groups();
            let request = Request { spec: &task, avoid: &avoid, groups };
            let Some(found) = cloud.fleet.best(&request, &policy) else { break None };
            let agent = cloud.fleet.get(&found.agent);
            if agent.is_some_and(|agent| cloud.fits(agent, slot, false)) {
                break Some(found.agent);
            }
            avoid.push(found.agent);
        };
        match found {
            Some(agent) => cloud.hold(&agent, slot, context),
            None => return,
        }
    }
}

impl Cloud {
    /// Whether an agent is one that holds a schedule: nothing keeps its task away for good. What is
    /// set on an agent keeps it from taking more, and takes nothing from it.
    fn fits(&self, agent: &Agent, slot: Slot, holds: bool) -> bool {
        let (Some(schedule), Some(resident)) = (self.schedules.get(slot), self.residents.get(slot))
        else {
            return false;
        };
        let held = self.channels.get(&agent.id).map_or(0, |channel| channel.held());
        let room = holds || held < agent.facts.schedules_max;
        if schedule.paused || agent.flags.revoked || agent.facts.schedules_max == 0 || !room {
            return false;
        }
        let task = &resident.spec.task;
        let request = Request { spec: task, avoid: &[], groups: self.fleet.groups() };
        let policy = self.policy.of(self.policy.profile_of(task));
        refusals(agent, &request, &policy).iter().all(|refusal| {
            let set =
                matches!(refusal, Refusal::Cordoned | Refusal::Draining | Refusal::Quarantined);
            refusal.waiting_helps() || (set && holds)
        })
    }

    /// Lets an agent hold a schedule as it is now.
    fn hold(&mut self, id: &AgentId, slot: Slot, context: &mut Context) {
        let now = context.now.wall;
        let Some((schedule, version)) =
            self.schedules.get(slot).map(|schedule| (schedule.id, schedule.version))
        else {
            return;
        };
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let before = channel.residents.get(&schedule);
        if before.is_some_and(|row| row.held && row.version == version) {
            return;
        }
        // One that let go and holds it again begins anew.
        let from = match before {
            Some(row) if row.held => row.from,
            Some(row) => row.given_anew(now),
            None => now,
        };
        // It may have held it before, of which a backup knows nothing, and tell of what it fired.
        let through = before.map_or(ResidentRow::NOTHING, |row| row.through);
        let rev = channel.desired_rev.next();
        let row = ResidentRow { schedule, rev, version, from, through, held: true };
        channel.put_resident(row.clone());
        if let Some(resident) = self.residents.get_mut(slot) {
            resident.holders.insert(id.clone());
        }
        context.change(Change::ResidentPut { agent: id.clone(), row });
        self.unsent.insert(id.clone());
    }

    /// Lets an agent let go of a schedule, if it holds it.
    fn let_go(&mut self, id: &AgentId, slot: Slot, context: &mut Context) {
        let Some(schedule) = self.schedules.get(slot).map(|schedule| schedule.id) else {
            return;
        };
        if let Some(resident) = self.residents.get_mut(slot) {
            resident.holders.remove(id);
        }
        self.withdraw_resident(id, schedule, context);
    }

    /// A row of desired state says that an agent lets go of a schedule.
    pub(crate) fn withdraw_resident(
        &mut self,
        id: &AgentId,
        schedule: ScheduleId,
        context: &mut Context,
    ) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let Some(before) = channel.residents.get(&schedule).filter(|row| row.held) else {
            return;
        };
        let rev = channel.desired_rev.next();
        let row = ResidentRow { rev, held: false, ..before.clone() };
        channel.put_resident(row.clone());
        context.change(Change::ResidentPut { agent: id.clone(), row });
        self.unsent.insert(id.clone());
    }

    /// An agent has said which schedules it holds: whatever it was told of them and does not have, or has
    /// otherwise, it is told anew. A core that was put back to a backup has forgotten what it gave, changed
    /// and took away since, and without this the agent would fire it for ever.
    pub(crate) fn compare_residents(
        &mut self,
        id: &AgentId,
        mut held: BTreeMap<ScheduleId, u32>,
        applied: Revision,
        context: &mut Context,
    ) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        let mut wrong = Vec::new();
        for row in channel.residents.values() {
            let has = held.remove(&row.schedule);
            // What it was not told yet is on its way, and so is a version that was made since.
            let known =
                self.schedules.of_id(row.schedule).and_then(|slot| self.schedules.get(slot));
            let changed = row.held && known.is_some_and(|known| known.version != row.version);
            if row.rev > applied || changed {
                continue;
            }
            let wanted = self.schedule_row(row, id).and_then(|told| Some(told.hold?.tag));
            if has != wanted {
                // What it does not hold it does not go on with.
                let from = if has.is_none() { row.given_anew(context.now.wall) } else { row.from };
                wrong.push(ResidentRow { from, ..row.clone() });
            }
        }
        let now = context.now.wall;
        let unknown = |(schedule, _)| ResidentRow {
            schedule,
            rev: Revision(0),
            version: 0,
            from: now,
            through: ResidentRow::NOTHING,
            held: false,
        };
        wrong.extend(held.into_iter().map(unknown));
        for before in wrong {
            let Some(channel) = self.channels.get_mut(id) else {
                return;
            };
            let row = ResidentRow { rev: channel.desired_rev.next(), ..before };
            channel.put_resident(row.clone());
            context.change(Change::ResidentPut { agent: id.clone(), row });
            self.unsent.insert(id.clone());
        }
    }

    /// Every agent that holds a schedule lets go of it, for it is no more.
    pub(crate) fn withdraw_from_all(&mut self, slot: Slot, context: &mut Context) {
        let holders = self.residents.get(slot).map(|resident| resident.holders.clone());
        for agent in holders.into_iter().flatten() {
            self.let_go(&agent, slot, context);
        }
    }

    /// The database of an agent is new: it is told anew what to hold, from now on.
    pub(crate) fn renew_residents(&mut self, id: &AgentId, context: &mut Context) {
        let Some(channel) = self.channels.get_mut(id) else {
            return;
        };
        let now = context.now.wall;
        let rows: Vec<ResidentRow> = channel.residents.values().cloned().collect();
        for before in rows.into_iter().filter(|row| row.held) {
            // What it fires has names of its own. If that is older than what is known here, this core was
            // put back to a backup from before that database.
            let rev = channel.desired_rev.next();
            let row = ResidentRow { rev, from: now, ..before };
            channel.put_resident(row.clone());
            context.change(Change::ResidentPut { agent: id.clone(), row });
        }
        self.unsent.insert(id.clone());
    }

    /// Rows that say to let go of schedules that are no more are not needed once they are applied.
    pub(crate) fn drop_applied_residents(&mut self, id: &AgentId, context: &mut Context) {
        let Some(channel) = self.channels.get(id) else {
            return;
        };
        let over = |row: &&ResidentRow| {
            let gone = self.schedules.of_id(row.schedule).is_none();
            !row.held && gone && row.rev <= channel.applied_rev
        };
        let over: Vec<ScheduleId> =
            channel.residents.values().filter(over).map(|row| row.schedule).collect();
        for schedule in over {
            if let Some(channel) = self.channels.get_mut(id) {
                channel.remove_resident(schedule);
            }
            context.change(Change::ResidentRemoved { agent: id.clone(), schedule });
        }
    }
}

//! Together: a flow of least cost from tasks to agents, by shortest augmenting paths (Ford and
//! Fulkerson; with prices, Edmonds and Karp, 1972, and Jonker and Volgenant, 1987).
//!
//! Tasks come in their order, and each looks for the cheapest way to be placed: onto an agent with
//! room, or in the place of another task that moves on, and so forth. Nobody who has a place loses it.
//! After each, what tasks and agents are worth (`worth`, `price`) says that no exchange would gain:
//! a task's score less the price of the agent it is on is its worth, and no other agent offers more.
//! So the next search has no costs below nothing, and Dijkstra's algorithm finds it. What lies beyond
//! a list enters as one way that costs as much as its floor promises; when that comes up, the list
//! grows. Hence the whole fleet is searched, and little of it is looked at.
//!
//! Where all tasks need and weigh the same, what comes out is the best there is: the second task on
//! an agent scores less than the first by the same for each of them, the third less again. Where they
//! do not, an exchange is tried only if it fits, so the plan holds, and is a good one; `mod` compares
//! it with one after the other.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::shortlist::{Entry, NOBODY, Shortlists, Site};
use super::{Plan, play};
use crate::fleet::Agent;
use crate::placement::Request;
use crate::placement::score::Scored;

/// Ways looked at for each task, on average, before the rest are placed in order. A list that grows
/// counts for each of its entries several times.
const WAYS_PER_TASK: usize = 4_000;
const WAYS_PER_LISTED: usize = 16;

/// What is known of one kind of task.
#[derive(Debug, Clone)]
struct Kind {
    /// What a place is worth to it: score less price, the same on every agent that has one of it.
    worth: f64,
    /// Nothing more of it can be placed.
    closed: bool,
    /// The search that has reached it, at what cost, and the agent that it would leave.
    search: u32,
    base: f64,
    from: Option<Site>,
}

/// What is known of one agent.
#[derive(Debug, Clone, Default)]
struct Stall {
    /// What has the agent, and how many of each kind.
    holds: Vec<(u32, u32)>,
    held: u32,
    /// What the last place on it costs.
    price: f64,
    /// By how much the task scores less that finds so many there already.
    drops: Vec<f64>,
    probe: Option<Box<Agent>>,
    /// What is free.
    free: [u64; 4],
    slots: u32,
    opened: bool,
    /// No way leads from it to any room.
    closed: bool,
    /// The search that has reached it, at what cost, by which kind, coming from where.
    search: u32,
    cost: f64,
    done: bool,
    by: u32,
    from: Option<Site>,
}

/// A way not yet gone. Compares by cost, then agents before lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    cost: u64,
    /// To an agent; else beyond the list of a kind, which was so long.
    beyond: bool,
    at: u32,
    listed: u32,
}

struct Flow<'a, 'b> {
    lists: &'b mut Shortlists<'a>,
    kinds: Vec<Kind>,
    stalls: Vec<Stall>,
    open: BinaryHeap<Reverse<Way>>,
    search: u32,
    reached: Vec<u32>,
    done: Vec<Site>,
    /// The cheapest way to a place that this search has found, and its last agent.
    end: Option<(f64, Site)>,
    /// All tasks need the same.
    alike: bool,
    ways_left: usize,
}

/// Plans the first `planned` tasks.
pub(super) fn assign(lists: &mut Shortlists<'_>, planned: usize) -> Plan {
    let first = lists.lists.first().map(|list| &list.request.spec.needs);
    let alike = lists.lists.iter().all(|list| Some(&list.request.spec.needs) == first);
    let kind = |worth| Kind { worth, closed: false, search: 0, base: 0.0, from: None };
    let kinds = lists.lists.iter().map(|list| kind(list.best().unwrap_or(0.0))).collect();
    let mut flow = Flow {
        lists,
        kinds,
        stalls: Vec::new(),
        open: BinaryHeap::new(),
        search: 0,
        reached: Vec::new(),
        done: Vec::new(),
        end: None,
        alike,
        ways_left: WAYS_PER_TASK * planned,
    };
    let mut placed = vec![0_usize; flow.kinds.len()];
    for task in 0..planned {
        let kind = flow.lists.kind_of(task);
        if !flow.kinds[kind].closed && flow.ways_left > 0 {
            placed[kind] += usize::from(flow.place(kind as u32));
        }
    }
    let mut goes = flow.goes(planned, &placed);
    flow.fill(&mut goes);
    play(flow.lists, &goes)
}

impl<'a> Flow<'a, '_> {
    /// Places one more task of a kind, moving others where need be; `false` when no way leads to a
    /// place.
    fn place(&mut self, kind: u32) -> bool {
        self.search += 1;
        self.open.clear();
        self.reached.clear();
        self.done.clear();
        self.end = None;
        self.scan(kind, 0.0, None);
        while let Some(Reverse(way)) = self.open.pop() {
            let cost = f64::from_bits(way.cost);
            if self.end.is_some_and(|(least, _)| cost >= least) || self.ways_left == 0 {
                break;
            }
            if way.beyond {
                self.look_beyond(way.at, way.listed as usize);
            } else {
                self.visit(way.at, cost);
            }
        }
        let Some((cost, last)) = self.end else {
            self.close();
            return false;
        };
        for &site in &self.done {
            let stall = &mut self.stalls[site as usize];
            stall.price += (cost - stall.cost).max(0.0);
        }
        for &kind in &self.reached {
            let kind = &mut self.kinds[kind as usize];
            kind.worth -= (cost - kind.base).max(0.0);
        }
        self.augment(last);
        true
    }

    /// From a task of a kind, which has to leave `from` or has no place yet, to the agents on its list.
    fn scan(&mut self, kind: u32, base: f64, from: Option<Site>) {
        let known = &mut self.kinds[kind as usize];
        if known.search == self.search {
            return;
        }
        known.search = self.search;
        (known.base, known.from) = (base, from);
        self.reached.push(kind);
        self.follow(kind, 0);
    }

    /// The ways of a kind along its list from `listed` on, and the one beyond it.
    fn follow(&mut self, kind: u32, listed: usize) {
        let Kind { worth, base, from, .. } = self.kinds[kind as usize];
        let list = &self.lists.lists[kind as usize];
        let (length, floor) = (list.entries.len(), list.floor);
        for at in listed..length {
            let Entry { site, score } = self.lists.lists[kind as usize].entries[at];
            // Prices are never below nothing, so those behind cost more.
            if self.end.is_some_and(|(least, _)| base + (worth - score) >= least) {
                return;
            }
            self.ways_left = self.ways_left.saturating_sub(1);
            let search = self.search;
            let stall = self.stall(site);
            let cost = base + (worth - (score - stall.price)).max(0.0);
            let known = stall.search == search && (stall.done || stall.cost <= cost);
            if stall.closed || known || Some(site) == from {
                continue;
            }
            (stall.search, stall.cost, stall.done) = (search, cost, false);
            (stall.by, stall.from) = (kind, from);
            let way = Way { cost: cost.to_bits(), beyond: false, at: site, listed: 0 };
            self.open.push(Reverse(way));
        }
        if floor != NOBODY {
            let cost = base + (worth - floor).max(0.0);
            let listed = length as u32;
            self.open.push(Reverse(Way { cost: cost.to_bits(), beyond: true, at: kind, listed }));
        }
    }

    /// Nothing is cheaper than what may lie beyond a list.
    fn look_beyond(&mut self, kind: u32, listed: usize) {
        let list = kind as usize;
        if self.lists.lists[list].entries.len() == listed && self.lists.grow(list) {
            let grown = self.lists.lists[list].entries.len();
            self.ways_left = self.ways_left.saturating_sub(WAYS_PER_LISTED * grown);
        }
        if self.lists.lists[list].entries.len() > listed {
            self.follow(kind, listed);
        }
    }

    /// The cheapest way to an agent is known: it may end here, or push on a task that has a place.
    fn visit(&mut self, site: Site, cost: f64) {
        let stall = &mut self.stalls[site as usize];
        if stall.done || stall.cost != cost {
            return;
        }
        stall.done = true;
        self.done.push(site);
        let (by, price) = (stall.by as usize, stall.price);
        if self.has_room(site, by, None) {
            let end = cost + (self.drop(site, by) - price).max(0.0);
            if self.end.is_none_or(|(least, _)| end < least) {
                self.end = Some((end, site));
            }
        }
        for at in 0..self.stalls[site as usize].holds.len() {
            let (held, _) = self.stalls[site as usize].holds[at];
            let unseen = self.kinds[held as usize].search != self.search;
            if unseen && (self.alike || self.has_room(site, by, Some(held as usize))) {
                self.scan(held, cost, Some(site));
            }
        }
    }

    /// Each task on the way moves on by one.
    fn augment(&mut self, last: Site) {
        let mut site = last;
        loop {
            let Stall { by, from, .. } = self.stalls[site as usize];
            self.hold(site, by, true);
            let Some(before) = from else {
                return;
            };
            self.hold(before, by, false);
            site = before;
        }
    }

    /// Among tasks that need the same, what one search could not leave no other one can.
    fn close(&mut self) {
        if !self.alike || self.ways_left == 0 {
            return;
        }
        for &site in &self.done {
            self.stalls[site as usize].closed = true;
        }
        for &kind in &self.reached {
            self.kinds[kind as usize].closed = true;
        }
    }

    fn stall(&mut self, site: Site) -> &mut Stall {
        let at = site as usize;
        if self.stalls.len() <= at {
            self.stalls.resize_with(at + 1, Stall::default);
        }
        let stall = &mut self.stalls[at];
        if !stall.opened {
            let agent = self.lists.agent(site);
            let (all, used) = (agent.facts.capacity.scalars(), agent.used.scalars());
            stall.free = std::array::from_fn(|at| all[at].saturating_sub(used[at]));
            stall.slots = agent.facts.tasks_max.saturating_sub(agent.assignments);
            stall.opened = true;
        }
        stall
    }

    fn request(&self, kind: usize) -> Request<'a> {
        self.lists.lists[kind].request
    }

    /// Whether a task fits beside what an agent holds, one of a kind left out.
    fn has_room(&self, site: Site, kind: usize, without: Option<usize>) -> bool {
        let stall = &self.stalls[site as usize];
        let needs = &self.request(kind).spec.needs;
        let back = without.map(|kind| &self.request(kind).spec.needs);
        let returned = back.map_or([0; 4], |needs| needs.scalars());
        let enough = needs.scalars().into_iter().zip(stall.free).zip(returned);
        let slots = stall.slots.saturating_sub(stall.held) + u32::from(back.is_some());
        slots > 0
            && enough.into_iter().all(|((needed, free), back)| needed <= free.saturating_add(back))
            && needs.devices.iter().all(|(name, &needed)| {
                let agent = self.lists.agent(site);
                let held = stall.holds.iter().map(|&(kind, count)| {
                    let each = self.request(kind as usize).spec.needs.device(name);
                    u64::from(each) * u64::from(count)
                });
                let used = u64::from(agent.used.device(name)) + held.sum::<u64>();
                let back = back.map_or(0, |needs| needs.device(name));
                let free = u64::from(agent.facts.capacity.device(name)) + u64::from(back);
                u64::from(needed) <= free.saturating_sub(used)
            })
    }

    /// An agent gets a task of a kind, or gives one away.
    fn hold(&mut self, site: Site, kind: u32, gets: bool) {
        let needs = self.request(kind as usize).spec.needs.scalars();
        let stall = &mut self.stalls[site as usize];
        let place = stall.holds.iter().position(|(held, _)| *held == kind);
        if gets {
            stall.held += 1;
            match place {
                Some(place) => stall.holds[place].1 += 1,
                None => stall.holds.push((kind, 1)),
            }
        } else if let Some(place) = place {
            stall.held -= 1;
            stall.holds[place].1 -= 1;
            stall.holds.retain(|(_, count)| *count > 0);
        }
        for (free, needed) in stall.free.iter_mut().zip(needs) {
            let left = if gets { free.saturating_sub(needed) } else { free.saturating_add(needed) };
            *free = left;
        }
    }

    /// By how much a task scores less that comes to what an agent holds: by those of its own kind.
    fn drop(&mut self, site: Site, kind: usize) -> f64 {
        let (request, policy) = (self.request(kind), self.lists.policy);
        let agent = self.lists.agent(site);
        let stall = &mut self.stalls[site as usize];
        let held = stall.held as usize;
        if held == 0 {
            return 0.0;
        }
        if stall.drops.is_empty() {
            stall.drops.push(0.0);
        }
        while stall.drops.len() <= held {
            let probe = stall.probe.get_or_insert_with(|| Box::new(agent.clone()));
            probe.used.add(&request.spec.needs);
            let alone = Scored::of(agent, &request, policy).score();
            let beside = Scored::of(probe, &request, policy).score();
            let before = stall.drops.last().copied().unwrap_or(0.0);
            stall.drops.push((alone - beside).max(before));
        }
        stall.drops[held]
    }

    /// Where each task goes: the first ones of a kind where that kind scores most.
    fn goes(&self, planned: usize, placed: &[usize]) -> Vec<Option<Site>> {
        let mut places: Vec<Vec<Site>> = placed.iter().map(|_| Vec::new()).collect();
        for (kind, list) in self.lists.lists.iter().enumerate().filter(|(at, _)| placed[*at] > 0) {
            for entry in list.entries.iter().rev() {
                let stall = self.stalls.get(entry.site as usize);
                let holds = stall.into_iter().flat_map(|stall| &stall.holds);
                for (_, count) in holds.filter(|(held, _)| *held as usize == kind) {
                    places[kind].extend((0..*count).map(|_| entry.site));
                }
            }
        }
        (0..planned).map(|task| places[self.lists.kind_of(task)].pop()).collect()
    }

    /// Who found no way may still fit somewhere: exchanges stop short where tasks differ.
    fn fill(&mut self, goes: &mut [Option<Site>]) {
        if self.alike && self.ways_left > 0 {
            return;
        }
        for (task, goes) in goes.iter_mut().enumerate().filter(|(_, goes)| goes.is_none()) {
            let kind = self.lists.kind_of(task);
            for at in 0..self.lists.lists[kind].entries.len() {
                let site = self.lists.lists[kind].entries[at].site;
                self.stall(site);
                if self.has_room(site, kind, None) {
                    self.hold(site, kind as u32, true);
                    *goes = Some(site);
                    break;
                }
            }
        }
    }
}

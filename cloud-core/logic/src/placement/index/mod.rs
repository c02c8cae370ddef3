//! The index: the best agent of a million in microseconds, exactly. It answers what [`FullScan`]
//! answers, to the last bit and for every request, without looking at every agent.
//!
//! # The invariant
//!
//! *The bounds of a child are the extremes of the ready agents below it*: its box is the smallest that
//! holds them, its load term is the greatest of theirs, its round trip the shortest, and so on for each
//! column ([`bounds`]). The answer needs no more than that nobody is beyond them; that nothing is
//! looser than it must be is what makes it quick.
//!
//! A score is made by operations that are monotone in each of an agent's figures, rounding included
//! ([`super::terms`], [`shared::geo::arc_m`]). So the same operations on the bounds give a number
//! that no agent below exceeds ([`reach`]): there is no epsilon, and nothing to tune. A second bound
//! by *merit*, a blend of columns whose greatest value belongs to one agent and not to several, is
//! tighter where agents differ; it is rounded upwards, and the smaller of the two counts.
//!
//! # The layout
//!
//! ```text
//!              node ── 16 children, their bounds as columns: one pass bounds all sixteen scores
//!            ╱   │   ╲
//!        node   node   node
//!       ╱ │ ╲
//!  block block block ── 64 agents as columns: one pass scores all of them, exactly
//! ```
//!
//! - [`dictionary`] turns words into tokens, one to one. A [`block`] keeps for each of its tokens
//!   the lanes that have it, one bit each, so that "has this label" is an AND over 64 agents.
//! - [`row`] is one agent in numbers; [`query`] is one request in the same numbers.
//! - [`pack`] decides who stands together: a k-d tree's cuts.
//! - There are two such trees over the same agents. One is packed by place first, for tasks that
//!   want to be somewhere; the other by load, latency and room, for those that may be anywhere.
//!
//! # The search
//!
//! Best first ([`search`]): open what promises most; stop when it promises less than what was found,
//! or the same with no smaller id. A block that comes up is asked for its candidates by masks before
//! any score is made, then for what each scores at most, by the straight line in the place of the
//! arc; exactly scored are the few that could still win ([`scan`]). What is opened next is asked of
//! memory [`ahead`]. When in dozens of blocks nobody had all the words that are asked for, words are
//! no more sought in blocks: one pass over the [`lists`] of blocks by word tells where they meet at
//! all. Demands that hardly anybody meets end as one pass over the columns. Requests that list agents,
//! or ask for a word that few blocks have, go straight there; a word that everybody has is not sought.
//!
//! # The upkeep
//!
//! A heartbeat or a reservation writes its columns, and bounds follow at once, up to the root or to
//! where nothing changes ([`upkeep`]). Few agents hold an extreme, so few columns are ever asked again
//! who holds it now. In the tree that is kept by room, some of those that rise above their block move
//! to a better one. Newcomers go where they strain the bounds least, full blocks are divided with
//! their neighbours, full nodes become two ([`growth`]). An agent is right wherever it stands; but
//! those who were alike when they were packed do not stay so, and blocks promise ever more than one
//! of theirs holds. So a large fleet is packed anew, beside the core, when each agent has changed
//! twice, and any when it has doubled.

mod ahead;
mod apart;
mod asked;
mod block;
mod bounds;
mod check;
mod dictionary;
mod growth;
mod lists;
mod pack;
mod query;
mod reach;
mod row;
mod scan;
mod search;
mod survey;
mod tree;
mod upkeep;

use shared::id::AgentId;

use self::dictionary::{Dictionary, TAINT};
use self::pack::Kept;
use self::query::Query;
use self::row::{Measured, Order, Row, Vital, devices};
use self::search::{Found, Member, Search};
pub(super) use self::survey::Survey;
use self::tree::{Tree, parts_of};
use super::Request;
use super::policy::Policy;
use crate::fleet::{Agent, Fleet, Number};

/// A word that at most so many blocks have leads straight to them.
const RARE_BLOCKS: usize = 64;
/// A fleet of fewer agents is not worth packing anew.
const REPACKED_MIN: usize = 256;

/// All agents, ready to be searched. See the [module](self).
#[derive(Debug, Clone)]
pub(crate) struct Index {
    dictionary: Dictionary,
    /// By number.
    members: Vec<Option<Member>>,
    by_place: Tree,
    by_room: Tree,
    /// How many agents there are.
    count: usize,
    /// How many there were when it was packed, how many words, and how far apart orders were put.
    packed: usize,
    packed_words: usize,
    step: Order,
    /// What was measured, reserved and freed since then.
    changes: usize,
}

impl Default for Index {
    fn default() -> Self {
        Self::new(&Fleet::default())
    }
}

impl Index {
    /// An index over a fleet. Packed: what it finds, it finds fastest.
    pub(crate) fn new(fleet: &Fleet) -> Self {
        let mut dictionary = Dictionary::default();
        let mut members: Vec<Option<Member>> = Vec::new();
        let mut rows: Vec<Row> = Vec::with_capacity(fleet.len());
        // In the order in which they came, which is the order in which they stand in memory.
        let mut row_of = Vec::new();
        let mut agents_with: Vec<u32> = Vec::new();
        for (number, agent) in fleet.by_number() {
            let words = dictionary.words(&agent.facts);
            agents_with.resize(dictionary.len(), 0);
            words.iter().for_each(|word| agents_with[(word & !TAINT) as usize] += 1);
            row_of.resize(number as usize + 1, 0);
            row_of[number as usize] = rows.len();
            rows.push(Row {
                number,
                order: 0,
                vital: Vital::of(agent),
                devices: devices(agent, &dictionary),
                words,
            });
            set_member(&mut members, number, agent);
        }
        dictionary.take_all(&agents_with);
        // In the lower half, evenly, so that as many again find room behind the last one.
        let count = rows.len();
        let step = ((1_u64 << 31) / (count as u64 + 1)).max(1) as Order;
        for (rank, number) in fleet.numbers().enumerate() {
            rows[row_of[number as usize]].order = (rank as Order + 1).saturating_mul(step);
        }
        let [by_place, by_room] = [Kept::ByPlace, Kept::ByRoom].map(|kept| Tree::new(&rows, kept));
        let packed_words = dictionary.len();
        Self {
            dictionary,
            members,
            by_place,
            by_room,
            count,
            packed: count,
            packed_words,
            step,
            changes: 0,
        }
    }

    /// Whether so many agents, or words, have come since it was packed that packing it anew is worth
    /// while: as many as there were, so that each costs what packing one does.
    pub(crate) fn has_outgrown(&self) -> bool {
        let doubled = |now: usize, packed: usize, least: usize| now >= 2 * packed.max(least);
        doubled(self.count, self.packed, REPACKED_MIN)
            || doubled(self.dictionary.len(), self.packed_words, 64 * REPACKED_MIN)
    }

    /// Whether those who were packed together have become so different since that packing them anew is
    /// worth while: each has changed twice, on average.
    pub(crate) fn is_worn(&self) -> bool {
        self.changes >= 2 * self.count.max(REPACKED_MIN)
    }

    /// Whether an agent is in it.
    pub(crate) fn has(&self, number: Number) -> bool {
        self.by_place.slot(number).is_some()
    }

    /// Adds an agent, or follows everything that has changed of it. `before` and `after` are those
    /// next to it by id.
    pub(crate) fn put(
        &mut self,
        number: Number,
        agent: &Agent,
        before: Option<Number>,
        after: Option<Number>,
    ) {
        let words = self.dictionary.words(&agent.facts);
        let known = self.by_room.row(number);
        let order = match &known {
            Some(row) => row.order,
            None => self.order_between(before, after),
        };
        let devices = devices(agent, &self.dictionary);
        let same_words = known.as_ref().is_some_and(|row| row.words == words);
        set_member(&mut self.members, number, agent);
        if same_words {
            return self.refresh(number, agent);
        }
        self.count += usize::from(known.is_none());
        self.dictionary.take(&words);
        known.iter().for_each(|known| self.dictionary.give_back(&known.words));
        let row = Row { number, order, vital: Vital::of(agent), words, devices };
        for tree in [&mut self.by_place, &mut self.by_room] {
            tree.remove(number);
            tree.insert(row.clone());
        }
    }

    /// All agents as they are now, to be counted: shared, not copied.
    pub(super) fn survey(&self) -> Survey {
        Survey::new(self.by_place.blocks.clone(), self.dictionary.clone())
    }

    /// Follows what has changed of an agent: anything but its words (labels, architecture, region,
    /// kinds of run, kinds of devices, taints), which is what it says of itself in a hello.
    pub(crate) fn refresh(&mut self, number: Number, agent: &Agent) {
        self.changes += 1;
        let vital = Vital::of(agent);
        let devices = match agent.facts.capacity.devices.is_empty() {
            true => Vec::new(),
            false => devices(agent, &self.dictionary),
        };
        let moved = self.by_place.slot(number).is_some_and(|slot| {
            let (block, lane) = parts_of(slot);
            self.by_place.blocks[block as usize].vital(lane).at != vital.at
        });
        if moved {
            set_member(&mut self.members, number, agent);
        }
        for tree in [&mut self.by_place, &mut self.by_room] {
            tree.refresh(number, &vital, &devices);
        }
    }

    /// Follows what an agent has measured, when nothing else has changed.
    pub(crate) fn measure(&mut self, number: Number, agent: &Agent) {
        self.changes += 1;
        let measured = Measured::of(agent);
        for tree in [&mut self.by_place, &mut self.by_room] {
            tree.measure(number, &measured);
        }
    }

    /// Takes an agent out.
    pub(crate) fn remove(&mut self, number: Number) {
        if let Some(row) = self.by_place.remove(number) {
            self.dictionary.give_back(&row.words);
            self.count -= 1;
        }
        self.by_room.remove(number);
        if let Some(member) = self.members.get_mut(number as usize) {
            *member = None;
        }
    }

    /// An order for a newcomer between two others. Where there is no room between them it is that of
    /// one of them, and their ids decide.
    fn order_between(&self, before: Option<Number>, after: Option<Number>) -> Order {
        let order = |number| self.by_room.row(number).map(|row| row.order);
        match (before.and_then(order), after.and_then(order)) {
            (None, None) => 1 << 30,
            (low, Some(high)) => {
                let low = low.unwrap_or(0);
                low + high.saturating_sub(low) / 2
            }
            (Some(low), None) => low + self.step.min((Order::MAX - 1 - low) / 2),
        }
    }

    /// The number of the best agent for a task: the feasible one with the highest score, of equal
    /// ones the one with the smaller id. `number` knows the agents by their ids. Where the policy's
    /// budget ended the search, the best so far, with what another may score more than it.
    pub(crate) fn best(
        &self,
        request: &Request<'_>,
        policy: &Policy,
        number: impl Fn(&AgentId) -> Option<Number>,
    ) -> Option<(Number, Option<f64>)> {
        let (found, gap) = self.search(request, policy, 1, number)?;
        found.first().map(|found| (found.number, gap))
    }

    /// The `kept_max` best agents for a task with their scores, best first: those that would be found
    /// one after the other if each that is found were taken out. Fewer where fewer may take it. What
    /// competing tasks are placed by.
    pub(crate) fn top(
        &self,
        request: &Request<'_>,
        policy: &Policy,
        kept_max: usize,
        number: impl Fn(&AgentId) -> Option<Number>,
    ) -> Vec<(Number, f64)> {
        let found = self.search(request, policy, kept_max.max(1), number);
        let found = found.map_or_else(Vec::new, |(found, _)| found);
        found.iter().map(|found| (found.number, found.score)).collect()
    }

    fn search(
        &self,
        request: &Request<'_>,
        policy: &Policy,
        kept_max: usize,
        number: impl Fn(&AgentId) -> Option<Number>,
    ) -> Option<(Vec<Found>, Option<f64>)> {
        let query = Query::new(request, policy, &self.dictionary, self.count, &number)?;
        let search_of = |tree| Search::new(tree, &query, &self.members, kept_max);
        let mut search = search_of(&self.by_place);
        let lists = &self.by_place.lists;
        let blocks = |words: &&Vec<dictionary::Token>| -> usize {
            words.iter().map(|word| lists.count(*word)).sum()
        };
        let rarest = query.required.iter().min_by_key(blocks);
        let listed = &request.spec.place.agents;
        if !listed.is_empty() {
            let slots = listed.iter().filter_map(|id| self.by_place.slot(number(id)?));
            search.agents(slots.collect());
        } else if let Some(rarest) = rarest.filter(|words| blocks(words) <= RARE_BLOCKS) {
            let blocks = rarest.iter().flat_map(|word| lists.with(*word)).map(|(at, _)| at);
            search.blocks(blocks.collect());
        } else {
            if !query.is_somewhere() {
                search = search_of(&self.by_room);
            }
            if !search.all() {
                search = search_of(&self.by_place);
                search.all_with_words();
            }
        }
        let gap = search.gap();
        Some((search.found(), gap))
    }

    /// Bytes that searching and upkeep touch.
    #[must_use]
    pub(crate) fn bytes(&self) -> usize {
        self.by_place.bytes() + self.by_room.bytes()
    }
}

fn set_member(members: &mut Vec<Option<Member>>, number: Number, agent: &Agent) {
    let at = number as usize;
    if members.len() <= at {
        members.resize(at + 1, None);
    }
    members[at] = Some(Member { id: agent.id.clone(), position: agent.facts.position });
}

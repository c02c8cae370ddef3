//! The search: best first (Hjaltason and Samet, "Distance browsing in spatial databases", 1999).
//! Of all that is known of and not yet opened, what promises most is opened next; when that
//! promises less than what was found, what was found is the best there is.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use shared::geo::Position;
use shared::id::AgentId;

use super::ahead::ask_for;
use super::block::{Block, LANES, lanes_of};
use super::bounds::ORDER;
use super::query::Query;
use super::reach::{NEVER, reach};
use super::row::Order;
use super::scan::{ABREAST, at_most, candidates, roomy, scores, worded};
use super::tree::{NONE, Tree};
use crate::fleet::Number;

/// So many blocks in which nobody has all the words that are asked for, before the search stops looking
/// into blocks to find that out: the lists of blocks by word cost about that.
pub(super) const WORDLESS_MAX: usize = 48;
/// So few blocks in which somebody has them are looked at one by one.
const WORDED_FEW: usize = 64;

/// What is known of an agent beside its columns.
#[derive(Debug, Clone)]
pub(super) struct Member {
    pub(super) id: AgentId,
    pub(super) position: Option<Position>,
}

/// An agent that may take the task, with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) score: f64,
    pub(super) order: Order,
    pub(super) number: Number,
}

/// What is not yet opened. Compares as the search prefers: the higher bound, then the smaller id.
/// A bound is never negative, so its bits order as it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Promise {
    pub(super) bound: u64,
    pub(super) order: Reverse<Order>,
    pub(super) is_block: bool,
    pub(super) at: u32,
}

/// One search under way.
pub(super) struct Search<'a> {
    tree: &'a Tree,
    query: &'a Query<'a>,
    members: &'a [Option<Member>],
    best: Option<Found>,
    /// The score to reach.
    least: f64,
    /// Nodes and blocks that were opened.
    opened: usize,
    /// How much more somebody may score where not all was looked at.
    gap: Option<f64>,
    /// Blocks in which nobody had the words.
    wordless: usize,
    /// For each block the lanes that have the words, where that was asked beforehand.
    worded: Option<Vec<u64>>,
}

impl<'a> Search<'a> {
    pub(super) fn new(tree: &'a Tree, query: &'a Query<'a>, members: &'a [Option<Member>]) -> Self {
        Self {
            tree,
            query,
            members,
            best: None,
            least: 0.0,
            opened: 0,
            gap: None,
            wordless: 0,
            worded: None,
        }
    }

    /// The best of all agents, and whether the search came to its end: it gives up when too many
    /// blocks were looked into for words that never meet.
    pub(super) fn best(&mut self) -> (Option<Found>, bool) {
        let finished = self.run(|search| search.wordless <= WORDLESS_MAX);
        (self.best, finished)
    }

    /// The best of all agents, given the best so far; knows beforehand which blocks have an agent
    /// with all the words that are asked for.
    pub(super) fn best_with_words(&mut self, so_far: Option<Found>) -> Option<Found> {
        self.best = so_far;
        self.least = so_far.map_or(0.0, |found| found.score);
        let worded = self.tree.lists.meeting(&self.query.required, self.tree.blocks.len());
        let some = worded.iter().enumerate().filter(|(_, lanes)| **lanes != 0);
        let few: Vec<u32> = some.map(|(at, _)| at as u32).take(WORDED_FEW + 1).collect();
        if few.len() <= WORDED_FEW {
            return self.best_among(few.into_iter());
        }
        self.worded = Some(worded);
        self.run(|_| true);
        self.best
    }

    /// Opens what promises most until that promises too little, or `goes_on` says no; false then.
    fn run(&mut self, goes_on: impl Fn(&Self) -> bool) -> bool {
        let mut open = BinaryHeap::with_capacity(64);
        if self.tree.root != NONE {
            self.open(self.tree.root, &mut |promise| open.push(promise));
        }
        while let Some(promise) = open.pop() {
            if !self.could_win(&promise) {
                return true;
            }
            if !goes_on(self) {
                return false;
            }
            if let Some(best) = self.best.filter(|_| self.opened >= self.query.opens_max) {
                // What promises most is the most that anybody left can score.
                self.gap = Some(f64::from_bits(promise.bound) - best.score);
                return true;
            }
            self.opened += 1;
            // What comes next, unless what is opened now promises more.
            if let Some(next) = open.peek() {
                self.ask_for(next);
            }
            if promise.is_block {
                self.look_at(promise.at);
            } else {
                self.open(promise.at, &mut |promise| open.push(promise));
            }
        }
        true
    }

    /// How much more than the best found somebody may score; `None` when it is the best.
    pub(super) fn gap(&self) -> Option<f64> {
        self.gap
    }

    /// The best of some blocks.
    pub(super) fn best_among(&mut self, blocks: impl Iterator<Item = u32>) -> Option<Found> {
        blocks.for_each(|block| self.look_at(block));
        self.best
    }

    /// The best of some agents.
    pub(super) fn best_of(&mut self, slots: impl Iterator<Item = u32>) -> Option<Found> {
        for slot in slots {
            let (block, lane) = super::tree::parts_of(slot);
            self.look_at_lanes(&self.tree.blocks[block as usize], 1 << lane);
        }
        self.best
    }

    /// Whether anything behind a promise could be better than the best so far: a higher bound, or
    /// the same and an id that is not larger.
    fn could_win(&self, promise: &Promise) -> bool {
        let Some(best) = &self.best else {
            return true;
        };
        let bound = f64::from_bits(promise.bound);
        bound > best.score || (bound == best.score && promise.order.0 <= best.order)
    }

    /// Asks memory for what stands behind a promise.
    fn ask_for(&self, promise: &Promise) {
        if promise.is_block {
            self.tree.blocks[promise.at as usize].ask_for(self.query);
        } else {
            self.tree.nodes[promise.at as usize].ask_for(self.query);
        }
    }

    /// Calls `push` with every child of a node that could win.
    fn open(&self, node: u32, push: &mut impl FnMut(Promise)) {
        let node = &self.tree.nodes[node as usize];
        node.ask_for(self.query);
        let reach = reach(&node.bounds, self.query);
        for (child, &bound) in reach.iter().enumerate().take(node.count) {
            if bound == NEVER {
                continue;
            }
            let promise = Promise {
                bound: bound.to_bits(),
                order: Reverse(-node.bounds.0[ORDER][child] as Order),
                is_block: node.leaf,
                at: node.children[child],
            };
            if self.could_win(&promise) {
                push(promise);
            }
        }
    }

    fn look_at(&mut self, block: u32) {
        if self.worded.as_ref().is_some_and(|worded| worded[block as usize] == 0) {
            return;
        }
        self.look_at_lanes(&self.tree.blocks[block as usize], u64::MAX);
    }

    fn look_at_lanes(&mut self, block: &Block, lanes: u64) {
        let mask = roomy(block, self.query, lanes);
        if mask == 0 {
            return;
        }
        let mask = worded(block, self.query, mask);
        if mask == 0 {
            self.wordless += 1;
            return;
        }
        if let Some(at) = &block.at
            && self.query.is_somewhere()
        {
            ask_for(at);
        }
        self.choose(block, candidates(block, self.query, mask));
    }

    /// Takes the best of some lanes, if it is better than the best so far. First what all of them
    /// score at most; exact scores, outlines of areas and distances from others, of as few as can be.
    fn choose(&mut self, block: &Block, mut mask: u64) {
        let mut promised = [NEVER; LANES];
        for from in (0..LANES).step_by(ABREAST).filter(|from| mask >> from & 0xff != 0) {
            let eight = at_most(block, self.query, from);
            promised[from..from + ABREAST].copy_from_slice(&eight);
        }
        while let Some(lane) = lanes_of(mask).max_by(|a, b| promised[*a].total_cmp(&promised[*b])) {
            if promised[lane] < self.least {
                return;
            }
            mask &= !(1 << lane);
            let from = lane / ABREAST * ABREAST;
            let score = scores(block, self.query, from)[lane - from];
            let (number, order) = (block.number[lane], block.order[lane]);
            let found = Found { score, order, number };
            if score >= self.least && self.is_better(&found) && self.is_inside(number) {
                self.least = score;
                self.best = Some(found);
            }
        }
    }

    /// Better than the best so far: the higher score; of equal ones the smaller id.
    #[inline]
    fn is_better(&self, one: &Found) -> bool {
        let Some(other) = &self.best else {
            return true;
        };
        if one.score != other.score {
            return one.score > other.score;
        }
        if one.order != other.order {
            return one.order < other.order;
        }
        let id = |found: &Found| self.members[found.number as usize].as_ref().map(|one| &one.id);
        id(one) < id(other)
    }

    fn is_inside(&self, number: Number) -> bool {
        self.query.admits(self.members[number as usize].as_ref())
    }
}

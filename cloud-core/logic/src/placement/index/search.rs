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
use super::tree::{NONE, Tree, parts_of};
use crate::fleet::Number;

/// So many blocks in which nobody has all the words that are asked for, before the search stops looking
/// into blocks to find that out: the lists of blocks by word cost about that.
const WORDLESS_MAX: usize = 48;
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
struct Promise {
    bound: u64,
    order: Reverse<Order>,
    is_block: bool,
    at: u32,
}

/// One search under way: for the best agent, or the best few.
pub(super) struct Search<'a> {
    tree: &'a Tree,
    query: &'a Query<'a>,
    members: &'a [Option<Member>],
    /// The best so far, best first.
    kept: Vec<Found>,
    /// How many are asked for: above 0.
    kept_max: usize,
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
    pub(super) fn new(
        tree: &'a Tree,
        query: &'a Query<'a>,
        members: &'a [Option<Member>],
        kept_max: usize,
    ) -> Self {
        let kept = Vec::with_capacity(kept_max.min(64));
        let (opened, gap, wordless, worded) = (0, None, 0, None);
        Self { tree, query, members, kept, kept_max, opened, gap, wordless, worded }
    }

    /// What was found, best first.
    pub(super) fn found(self) -> Vec<Found> {
        self.kept
    }

    /// How much more than the last one found somebody may score; `None` when nobody does.
    pub(super) fn gap(&self) -> Option<f64> {
        self.gap
    }

    /// Looks at all agents. Gives up when too many blocks were looked into for words that never meet,
    /// and says so: what was found then is not to be used.
    #[must_use]
    pub(super) fn all(&mut self) -> bool {
        self.run(|search| search.wordless <= WORDLESS_MAX)
    }

    /// Looks at all agents, and knows beforehand which blocks have one with all the words that are
    /// asked for. In the tree that has the lists.
    pub(super) fn all_with_words(&mut self) {
        let worded = self.tree.lists.meeting(&self.query.required, self.tree.blocks.len());
        let some = worded.iter().enumerate().filter(|(_, lanes)| **lanes != 0);
        let few: Vec<u32> = some.map(|(at, _)| at as u32).take(WORDED_FEW + 1).collect();
        if few.len() <= WORDED_FEW {
            return self.blocks(few);
        }
        self.worded = Some(worded);
        self.run(|_| true);
    }

    /// Looks at some blocks.
    pub(super) fn blocks(&mut self, mut blocks: Vec<u32>) {
        blocks.sort_unstable();
        blocks.dedup();
        blocks.into_iter().for_each(|block| self.look_at(block));
    }

    /// Looks at some agents.
    pub(super) fn agents(&mut self, mut slots: Vec<u32>) {
        // Whoever is listed twice is there once.
        slots.sort_unstable();
        slots.dedup();
        for slot in slots {
            let (block, lane) = parts_of(slot);
            self.look_at_lanes(&self.tree.blocks[block as usize], 1 << lane);
        }
    }

    /// Opens what promises most until that promises too little, or `goes_on` says no; false then.
    fn run(&mut self, goes_on: impl Fn(&Self) -> bool) -> bool {
        let mut open = BinaryHeap::with_capacity(64);
        if self.tree.root != NONE {
            self.open(self.tree.root, &mut open);
        }
        while let Some(promise) = open.pop() {
            if !self.could_win(&promise) {
                return true;
            }
            if !goes_on(self) {
                return false;
            }
            if let Some(last) = self.last().filter(|_| self.opened >= self.query.opens_max) {
                // What promises most is the most that anybody left can score.
                self.gap = Some(f64::from_bits(promise.bound) - last.score);
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
                self.open(promise.at, &mut open);
            }
        }
        true
    }

    /// The last of those found, once they are as many as are asked for: who is to be found now has
    /// to be better.
    #[inline]
    fn last(&self) -> Option<&Found> {
        self.kept.last().filter(|_| self.kept.len() == self.kept_max)
    }

    /// Whether anything behind a promise could be better than what was found: a higher bound, or the
    /// same and an id that is not larger.
    fn could_win(&self, promise: &Promise) -> bool {
        let bound = f64::from_bits(promise.bound);
        self.last().is_none_or(|last| {
            bound > last.score || (bound == last.score && promise.order.0 <= last.order)
        })
    }

    /// Asks memory for what stands behind a promise.
    fn ask_for(&self, promise: &Promise) {
        if promise.is_block {
            self.tree.blocks[promise.at as usize].ask_for(self.query);
        } else {
            self.tree.nodes[promise.at as usize].ask_for(self.query);
        }
    }

    /// Adds every child of a node that could win.
    fn open(&self, node: u32, open: &mut BinaryHeap<Promise>) {
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
                open.push(promise);
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

    /// Takes those of some lanes that are better than what was found. First what all of them score at
    /// most; exact scores, outlines of areas and distances from others, of as few as can be.
    fn choose(&mut self, block: &Block, mut mask: u64) {
        let mut promised = [NEVER; LANES];
        for from in (0..LANES).step_by(ABREAST).filter(|from| mask >> from & 0xff != 0) {
            let eight = at_most(block, self.query, from);
            promised[from..from + ABREAST].copy_from_slice(&eight);
        }
        while let Some(lane) = lanes_of(mask).max_by(|a, b| promised[*a].total_cmp(&promised[*b])) {
            if promised[lane] < self.last().map_or(0.0, |last| last.score) {
                return;
            }
            mask &= !(1 << lane);
            let from = lane / ABREAST * ABREAST;
            let score = scores(block, self.query, from)[lane - from];
            let (number, order) = (block.number[lane], block.order[lane]);
            self.offer(Found { score, order, number });
        }
    }

    /// Keeps one that may take the task if it is better than the last one found.
    fn offer(&mut self, found: Found) {
        let is_better = |other: &Found| self.is_better(&found, other);
        if found.score < 0.0 || !self.last().is_none_or(is_better) {
            return;
        }
        if !self.query.admits(self.members[found.number as usize].as_ref()) {
            return;
        }
        let place = self.kept.partition_point(|other| !self.is_better(&found, other));
        self.kept.truncate(self.kept_max - 1);
        self.kept.insert(place, found);
    }

    /// The higher score; of equal ones the smaller id.
    #[inline]
    fn is_better(&self, one: &Found, other: &Found) -> bool {
        if one.score != other.score {
            return one.score > other.score;
        }
        if one.order != other.order {
            return one.order < other.order;
        }
        let id = |found: &Found| self.members[found.number as usize].as_ref().map(|one| &one.id);
        id(one) < id(other)
    }
}

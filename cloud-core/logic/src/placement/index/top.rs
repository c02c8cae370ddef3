//! The best few agents of all instead of the one best: what competing tasks are placed by. The same
//! search as [`search`](super::search), which goes on until nothing open beats the last one kept.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use shared::id::AgentId;

use super::block::{LANES, lanes_of};
use super::bounds::ORDER;
use super::query::Query;
use super::reach::{NEVER, reach};
use super::row::Order;
use super::scan::{ABREAST, candidates, roomy, scores, worded};
use super::search::{Found, Member, Promise, WORDLESS_MAX};
use super::tree::{NONE, Tree, parts_of};
use super::{Index, RARE_BLOCKS, Request};
use crate::fleet::Number;
use crate::placement::policy::Policy;

/// One search under way.
struct Top<'a> {
    tree: &'a Tree,
    query: &'a Query<'a>,
    members: &'a [Option<Member>],
    /// Best first, at most `kept_max`, which is above 0.
    kept: Vec<Found>,
    kept_max: usize,
    /// Blocks in which nobody had the words, until the lanes that have them were asked for.
    wordless: usize,
    worded: Option<Vec<u64>>,
}

impl Index {
    /// The `kept_max` best agents for a task, best first: exactly those that would be found one after
    /// the other if each that is found were taken out. Fewer where fewer may take it. `number` knows
    /// the agents by their ids.
    pub(crate) fn top(
        &self,
        request: &Request<'_>,
        policy: &Policy,
        kept_max: usize,
        number: impl Fn(&AgentId) -> Option<Number>,
    ) -> Vec<(Number, f64)> {
        let Some(query) = Query::new(request, policy, &self.dictionary, self.count, &number) else {
            return Vec::new();
        };
        let listed = &request.spec.place.agents;
        let blocks = |words: &&Vec<super::dictionary::Token>| -> usize {
            words.iter().map(|word| self.by_place.lists.count(*word)).sum()
        };
        let rarest = query.required.iter().min_by_key(blocks);
        let rarest = rarest.filter(|words| blocks(words) <= RARE_BLOCKS);
        let somewhere = query.is_somewhere() || !listed.is_empty() || rarest.is_some();
        let tree = if somewhere { &self.by_place } else { &self.by_room };
        let mut top = Top {
            tree,
            query: &query,
            members: &self.members,
            kept: Vec::new(),
            kept_max: kept_max.max(1),
            wordless: 0,
            worded: None,
        };
        if !listed.is_empty() {
            // Whoever is listed twice is there once.
            let slots = listed.iter().filter_map(|id| tree.slot(number(id)?));
            let mut slots: Vec<u32> = slots.collect();
            slots.sort_unstable();
            slots.dedup();
            for slot in slots {
                let (block, lane) = parts_of(slot);
                top.look_at(block, 1 << lane);
            }
        } else if let Some(rarest) = rarest {
            let blocks = rarest.iter().flat_map(|word| tree.lists.with(*word)).map(|(at, _)| at);
            let mut blocks: Vec<u32> = blocks.collect();
            blocks.sort_unstable();
            blocks.dedup();
            blocks.into_iter().for_each(|block| top.look_at(block, u64::MAX));
        } else {
            top.run(&self.by_place);
        }
        top.kept.iter().map(|found| (found.number, found.score)).collect()
    }
}

impl Top<'_> {
    /// Opens what promises most until that promises too little. Words that never meet are found out
    /// from the lists of blocks by word, which only the tree kept by place has.
    fn run(&mut self, by_place: &Tree) {
        if !self.open_all(|top| top.wordless <= WORDLESS_MAX) {
            let query = self.query;
            let worded = by_place.lists.meeting(&query.required, by_place.blocks.len());
            let (members, kept_max) = (self.members, self.kept_max);
            let kept = Vec::new();
            let tree = by_place;
            let mut again =
                Top { tree, query, members, kept, kept_max, wordless: 0, worded: Some(worded) };
            again.open_all(|_| true);
            self.kept = again.kept;
        }
    }

    fn open_all(&mut self, goes_on: impl Fn(&Self) -> bool) -> bool {
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
            if promise.is_block {
                self.look_at(promise.at, u64::MAX);
            } else {
                self.open(promise.at, &mut open);
            }
        }
        true
    }

    fn open(&self, node: u32, open: &mut BinaryHeap<Promise>) {
        let node = &self.tree.nodes[node as usize];
        let reach = reach(&node.bounds, self.query);
        for (child, &bound) in reach.iter().enumerate().take(node.count) {
            let promise = Promise {
                bound: bound.to_bits(),
                order: Reverse(-node.bounds.0[ORDER][child] as Order),
                is_block: node.leaf,
                at: node.children[child],
            };
            if bound != NEVER && self.could_win(&promise) {
                open.push(promise);
            }
        }
    }

    /// The last one kept, when no more are kept than there are.
    fn last(&self) -> Option<&Found> {
        self.kept.last().filter(|_| self.kept.len() == self.kept_max)
    }

    fn could_win(&self, promise: &Promise) -> bool {
        self.last().is_none_or(|last| {
            let bound = f64::from_bits(promise.bound);
            bound > last.score || (bound == last.score && promise.order.0 <= last.order)
        })
    }

    fn look_at(&mut self, block: u32, lanes: u64) {
        if self.worded.as_ref().is_some_and(|worded| worded[block as usize] == 0) {
            return;
        }
        let block = &self.tree.blocks[block as usize];
        let mask = roomy(block, self.query, lanes);
        if mask == 0 {
            return;
        }
        let mask = worded(block, self.query, mask);
        if mask == 0 {
            self.wordless += 1;
            return;
        }
        let mask = candidates(block, self.query, mask);
        for from in (0..LANES).step_by(ABREAST) {
            let eight = mask >> from & 0xff;
            if eight == 0 {
                continue;
            }
            let scores = scores(block, self.query, from);
            for lane in lanes_of(eight) {
                let (number, order) = (block.number[from + lane], block.order[from + lane]);
                self.offer(Found { score: scores[lane], order, number });
            }
        }
    }

    fn offer(&mut self, found: Found) {
        let beats = |other: &Found| self.is_better(&found, other);
        if found.score < 0.0 || !self.last().is_none_or(beats) || !self.is_inside(found.number) {
            return;
        }
        let place = self.kept.partition_point(|other| !self.is_better(&found, other));
        self.kept.insert(place, found);
        self.kept.truncate(self.kept_max);
    }

    /// The higher score; of equal ones the smaller id.
    fn is_better(&self, one: &Found, other: &Found) -> bool {
        if one.score != other.score {
            return one.score > other.score;
        }
        let order: [Order; 2] = [one.order, other.order];
        if order[0] != order[1] {
            return order[0] < order[1];
        }
        let id = |found: &Found| self.members[found.number as usize].as_ref().map(|one| &one.id);
        id(one) < id(other)
    }

    fn is_inside(&self, number: Number) -> bool {
        self.query.admits(self.members[number as usize].as_ref())
    }
}

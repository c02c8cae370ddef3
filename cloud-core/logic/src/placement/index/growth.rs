//! How a tree grows and shrinks: a newcomer goes where it strains the bounds least. A block that is
//! full is divided with its neighbours under the same node over one block more; a node that is full
//! becomes two.

use super::block::{LANES, lanes_of};
use super::bounds::{Bounds, FAN};
use super::pack::{Item, Kept, divide};
use super::row::{Row, Vital};
use super::tree::{NONE, Tree, parts_of};
use crate::fleet::Number;

/// How many agents a block is given when it is divided, so that it is not full again at once.
const DIVIDED_LANES: usize = 48;
/// How many a node may hold on average in each of its blocks before it becomes two.
const CROWDED_LANES: usize = 56;

impl Tree {
    /// Adds an agent that is not there.
    pub(super) fn insert(&mut self, row: Row) {
        if self.root == NONE {
            self.root = self.add_node(NONE, true);
            let (block, bounds) = self.add_block(self.root, &[&row]);
            return self.push(self.root, block, &bounds);
        }
        let mut node = self.root;
        let block = loop {
            let child = self.least_strained(node, &row.vital);
            if self.nodes[node as usize].leaf {
                break child;
            }
            node = child;
        };
        match self.blocks[block as usize].vacancy() {
            Some(lane) => {
                self.put(block, lane, &row);
                let bounds = self.bounds_of(&row.vital, row.order);
                self.follow(block, &Bounds::NONE, &bounds);
            }
            None => self.divide_again(node, row),
        }
    }

    /// Takes an agent out.
    pub(super) fn remove(&mut self, number: Number) -> Option<Row> {
        let (block, lane) = parts_of(self.slot(number)?);
        let Self { kept, blocks, lists, slots, .. } = self;
        let (by_place, count) = (*kept == Kept::ByPlace, blocks.len());
        let row = blocks[block as usize].take(lane, |token, lanes| {
            if by_place {
                lists.note(token, block, lanes, count);
            }
        });
        slots[number as usize] = NONE;
        let bounds = self.bounds_of(&row.vital, row.order);
        self.follow(block, &bounds, &Bounds::NONE);
        Some(row)
    }

    fn put(&mut self, block: u32, lane: usize, row: &Row) {
        let Self { blocks, lists, kept, .. } = self;
        let (by_place, count) = (*kept == Kept::ByPlace, blocks.len());
        blocks[block as usize].put(lane, row, |token, lanes| {
            if by_place {
                lists.note(token, block, lanes, count);
            }
        });
        self.set_slot(row.number, block * LANES as u32 + lane as u32);
    }

    /// The child that a newcomer strains least.
    fn least_strained(&self, node: u32, vital: &Vital) -> u32 {
        let node = &self.nodes[node as usize];
        let strain = |child: &usize| node.bounds.get(*child).strain(vital);
        let least = (0..node.count).min_by(|a, b| strain(a).total_cmp(&strain(b)));
        node.children[least.unwrap_or(0)]
    }

    /// Divides all agents below a leaf node anew, with one more.
    fn divide_again(&mut self, node: u32, newcomer: Row) {
        let blocks = self.nodes[node as usize].children;
        let count = self.nodes[node as usize].count;
        let mut rows = vec![newcomer];
        for &block in &blocks[..count] {
            let block = &self.blocks[block as usize];
            rows.extend(lanes_of(block.taken).map(|lane| block.row(lane)));
        }
        blocks[..count].iter().for_each(|block| self.clear_block(*block));
        let items = rows.iter().enumerate();
        let mut items: Vec<Item> =
            items.map(|(at, row)| Item::of(&row.vital, at, self.kept)).collect();
        let wanted = items.len().div_ceil(DIVIDED_LANES).max(count + 1);
        if wanted <= FAN || items.len() <= FAN * CROWDED_LANES {
            self.refill(node, &mut items, &rows, wanted.min(FAN));
            return self.lift(node);
        }
        let parent = self.nodes[node as usize].parent;
        let sibling = self.add_node(parent, true);
        let mut halves = [node, sibling].into_iter();
        divide(&mut items, 2, &mut |half| {
            let parts = half.len().div_ceil(DIVIDED_LANES);
            let node = halves.next().unwrap_or(node);
            self.refill(node, half, &rows, parts);
        });
        self.adopt(node, sibling);
    }

    /// Puts agents into the blocks of a leaf node, which are empty, and into new ones.
    fn refill(&mut self, node: u32, items: &mut [Item], rows: &[Row], parts: usize) {
        let mut empty = self.nodes[node as usize].children.to_vec();
        empty.truncate(self.nodes[node as usize].count);
        self.bereave(node);
        let mut empty = empty.into_iter();
        divide(items, parts, &mut |group| {
            let rows: Vec<&Row> = group.iter().map(|item| &rows[item.index as usize]).collect();
            let (block, bounds) = match empty.next() {
                Some(block) => (block, self.fill_block(block, &rows)),
                None => self.add_block(node, &rows),
            };
            self.push(node, block, &bounds);
        });
        // What is left over stays, without agents.
        for block in empty {
            self.push(node, block, &Bounds::NONE);
        }
    }

    /// Takes in a node that was cut off from another.
    fn adopt(&mut self, node: u32, sibling: u32) {
        let totals = [node, sibling].map(|node| self.nodes[node as usize].bounds.total());
        let parent = self.nodes[node as usize].parent;
        if parent == NONE {
            let root = self.add_node(NONE, false);
            self.root = root;
            for (child, total) in [node, sibling].into_iter().zip(totals) {
                self.push(root, child, &total);
            }
            return;
        }
        let place = self.nodes[node as usize].place as usize;
        self.nodes[parent as usize].bounds.set(place, &totals[0]);
        if self.nodes[parent as usize].count < FAN {
            self.push(parent, sibling, &totals[1]);
            return self.lift(parent);
        }
        let uncle = self.halve(parent, sibling, &totals[1]);
        self.adopt(parent, uncle);
    }

    /// Gives half the children of a full inner node, and one more, to a new node.
    fn halve(&mut self, node: u32, newcomer: u32, bounds: &Bounds) -> u32 {
        let full = &self.nodes[node as usize];
        let children = (0..FAN).map(|at| (full.children[at], full.bounds.get(at)));
        let children: Vec<(u32, Bounds)> = children.chain([(newcomer, *bounds)]).collect();
        let items = children.iter().enumerate();
        let mut items: Vec<Item> =
            items.map(|(at, (_, bounds))| Item::of(&bounds.middle(), at, self.kept)).collect();
        let other = self.add_node(full.parent, false);
        self.bereave(node);
        let mut halves = [node, other].into_iter();
        divide(&mut items, 2, &mut |half| {
            let node = halves.next().unwrap_or(node);
            for item in half {
                let (child, bounds) = &children[item.index as usize];
                self.push(node, *child, bounds);
            }
        });
        other
    }
}

//! The tree: blocks of agents under nodes of sixteen, after Guttman ("R-trees: a dynamic index
//! structure for spatial searching", 1984), made whole by packing. This file owns its shape; how
//! it is kept up is in `upkeep`, how it grows in `growth`.

use super::ahead::ask_for;
use super::block::{Block, Gathered, LANES};
use super::bounds::{BoundColumns, Bounds, FAN, LOAD, LOW, MERIT, free_max, share_max};
use super::lists::Lists;
use super::pack::{Item, Kept, divide};
use super::query::Query;
use super::row::Row;
use crate::fleet::Number;
use crate::shelves::Shelves;

/// No node, no slot.
pub(super) const NONE: u32 = u32::MAX;

/// How many agents a block is given when the tree is made, and how many children a node: a little
/// room is left for those to come.
const PACKED_LANES: usize = 60;
const PACKED_FAN: usize = 13;

/// What stands over blocks, or over nodes. In this order in memory: what every question looks at
/// first stands together.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Node {
    pub(super) children: [u32; FAN],
    pub(super) bounds: BoundColumns,
    pub(super) parent: u32,
    /// Which of the children above it is.
    pub(super) place: u32,
    pub(super) count: usize,
    /// Its children are blocks.
    pub(super) leaf: bool,
}

/// All agents, each in one block.
#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub(super) kept: Kept,
    pub(super) nodes: Vec<Node>,
    pub(super) blocks: Shelves<Block>,
    /// [`NONE`] while nobody has come.
    pub(super) root: u32,
    /// Where each agent is, by its number: block and lane in one.
    pub(super) slots: Vec<u32>,
    /// How many have risen above their bounds since one of them moved.
    pub(super) risen: u32,
    /// Where each word is. Only in the tree that is kept by place.
    pub(super) lists: Lists,
    /// For filling blocks.
    gathered: Gathered,
}

/// A block and a lane in it.
pub(super) fn parts_of(slot: u32) -> (u32, usize) {
    (slot / LANES as u32, slot as usize % LANES)
}

impl Node {
    fn new(parent: u32, leaf: bool) -> Self {
        let (children, bounds) = ([NONE; FAN], BoundColumns::new());
        Self { children, bounds, parent, place: 0, count: 0, leaf }
    }

    /// Asks memory for what a question looks at.
    pub(super) fn ask_for(&self, query: &Query<'_>) {
        let BoundColumns(columns) = &self.bounds;
        ask_for(&self.children);
        ask_for(&columns[..if query.near.is_some() { MERIT + 1 } else { LOW }]);
        ask_for(&columns[LOAD..=MERIT]);
        for amount in &query.amounts {
            ask_for(&columns[free_max(amount.resource)..=share_max(amount.resource)]);
        }
    }
}

impl Tree {
    /// A tree over agents, packed.
    pub(super) fn new(rows: &[Row], kept: Kept) -> Self {
        let slots = rows.iter().map(|row| row.number as usize + 1).max().unwrap_or(0);
        let mut tree = Self {
            kept,
            nodes: Vec::new(),
            blocks: Shelves::default(),
            root: NONE,
            slots: vec![NONE; slots],
            risen: 0,
            lists: Lists::default(),
            gathered: Gathered::default(),
        };
        let items = rows.iter().enumerate().map(|(at, row)| Item::of(&row.vital, at, kept));
        let mut items: Vec<Item> = items.collect();
        if !items.is_empty() {
            tree.root = tree.branch(&mut items, rows, NONE);
        }
        tree
    }

    /// A node over agents, with all that is below it.
    fn branch(&mut self, items: &mut [Item], rows: &[Row], parent: u32) -> u32 {
        let mut holds = PACKED_LANES * PACKED_FAN;
        let leaf = items.len() <= holds;
        let parts = if leaf {
            items.len().div_ceil(PACKED_LANES)
        } else {
            while holds * PACKED_FAN < items.len() {
                holds *= PACKED_FAN;
            }
            items.len().div_ceil(holds)
        };
        let node = self.add_node(parent, leaf);
        divide(items, parts, &mut |group| {
            let (child, bounds) = if leaf {
                let rows: Vec<&Row> = group.iter().map(|item| &rows[item.index as usize]).collect();
                self.add_block(node, &rows)
            } else {
                let child = self.branch(group, rows, node);
                (child, self.nodes[child as usize].bounds.total())
            };
            self.push(node, child, &bounds);
        });
        node
    }

    /// Gives a node a child; there must be room.
    pub(super) fn push(&mut self, node: u32, child: u32, bounds: &Bounds) {
        let above = &mut self.nodes[node as usize];
        let place = above.count;
        above.children[place] = child;
        above.bounds.set(place, bounds);
        above.count += 1;
        if above.leaf {
            let block = &mut self.blocks[child as usize];
            (block.parent, block.place) = (node, place as u32);
        } else {
            let below = &mut self.nodes[child as usize];
            (below.parent, below.place) = (node, place as u32);
        }
    }

    /// Takes all children from a node.
    pub(super) fn bereave(&mut self, node: u32) {
        let node = &mut self.nodes[node as usize];
        (node.count, node.bounds) = (0, BoundColumns::new());
    }

    pub(super) fn add_node(&mut self, parent: u32, leaf: bool) -> u32 {
        self.nodes.push(Node::new(parent, leaf));
        (self.nodes.len() - 1) as u32
    }

    /// A new block with agents in it.
    pub(super) fn add_block(&mut self, parent: u32, rows: &[&Row]) -> (u32, Bounds) {
        let at = self.blocks.len() as u32;
        self.blocks.push(Block::new(parent, self.kept == Kept::ByPlace));
        (at, self.fill_block(at, rows))
    }

    /// Puts agents into an empty block.
    pub(super) fn fill_block(&mut self, at: u32, rows: &[&Row]) -> Bounds {
        for (lane, row) in rows.iter().enumerate() {
            self.set_slot(row.number, at * LANES as u32 + lane as u32);
        }
        let Self { blocks, lists, kept, gathered, .. } = self;
        let (by_place, count) = (*kept == Kept::ByPlace, blocks.len());
        blocks[at as usize].fill(rows, gathered, |token, lanes| {
            if by_place {
                lists.note(token, at, lanes, count);
            }
        });
        rows.iter().fold(Bounds::NONE, |mut bounds, row| {
            bounds.join(&self.bounds_of(&row.vital, row.order));
            bounds
        })
    }

    /// Makes a block empty.
    pub(super) fn clear_block(&mut self, at: u32) {
        let parent = self.blocks[at as usize].parent;
        let empty = Block::new(parent, self.kept == Kept::ByPlace);
        let old = std::mem::replace(&mut self.blocks[at as usize], empty);
        for (token, _) in old.words.from(0) {
            if self.kept == Kept::ByPlace {
                self.lists.note(token, at, 0, self.blocks.len());
            }
        }
    }

    pub(super) fn set_slot(&mut self, number: Number, slot: u32) {
        let number = number as usize;
        if self.slots.len() <= number {
            self.slots.resize(number + 1, NONE);
        }
        self.slots[number] = slot;
    }

    /// Where an agent is.
    pub(super) fn slot(&self, number: Number) -> Option<u32> {
        self.slots.get(number as usize).copied().filter(|slot| *slot != NONE)
    }

    /// Bytes on the heap, the lists of blocks by word left out: those are read for rare words only.
    pub(super) fn bytes(&self) -> usize {
        let blocks: usize = self.blocks.iter().map(|block| 8 + block.bytes()).sum();
        blocks + self.nodes.capacity() * size_of::<Node>() + 4 * self.slots.capacity()
    }
}

//! How a tree follows its agents. Bounds are always the extremes of what they bound, not a bit
//! looser. That is cheap, because few agents hold an extreme: a value that rises above the bound is
//! the new one, a value that falls from below it changes nothing, and only where the one who held it
//! falls is a column asked again who holds it now. So it goes up, column by column, until nothing
//! changes any more.

use super::bounds::{Bounds, HIGH, LATENCY, LOAD, LOW, MERIT, PACKED_MERIT, WIDTH, of_lanes};
use super::pack::Kept;
use super::row::{Device, Measured, Order, Vital};
use super::tree::{NONE, Tree, parts_of};
use crate::fleet::Number;

/// Of the agents that rise above the bounds where they stand, in the tree that is kept by what they
/// measure, one in so many moves instead. Fewer: the tree falls into disorder. More: heartbeats cost
/// more than the order is worth.
const MOVES_ONE_IN: u32 = 8;

impl Tree {
    /// What an agent is for the bounds of this tree: one that is not kept by place knows none.
    pub(super) fn bounds_of(&self, vital: &Vital, order: Order) -> Bounds {
        let mut bounds = Bounds::of(vital, order);
        if self.kept == Kept::ByRoom {
            bounds.0[LOW..HIGH + 3].fill(f64::NEG_INFINITY);
        }
        bounds
    }

    /// Writes what has changed of an agent.
    pub(super) fn refresh(&mut self, number: Number, vital: &Vital, devices: &[Device]) {
        let Some(slot) = self.slot(number) else {
            return;
        };
        let (at, lane) = parts_of(slot);
        if self.has_left(at, lane, vital) {
            if let Some(mut row) = self.remove(number) {
                row.vital = vital.clone();
                row.devices = devices.to_vec();
                self.insert(row);
            }
            return;
        }
        let block = &mut self.blocks[at as usize];
        let (order, before) = (block.order[lane], block.vital(lane));
        block.set(lane, vital);
        devices.iter().for_each(|device| block.set_device(lane, device));
        let [before, after] = [&before, vital].map(|vital| self.bounds_of(vital, order));
        self.follow(at, &before, &after);
    }

    /// Writes what an agent has measured. Touches as little as can be: this is what happens most.
    pub(super) fn measure(&mut self, number: Number, measured: &Measured) {
        let Some(slot) = self.slot(number) else {
            return;
        };
        let (at, lane) = parts_of(slot);
        let block = &mut self.blocks[at as usize];
        let before = measured.instead(block.load[lane], block.latency_ms[lane]);
        let columns = [LOAD, LATENCY, MERIT, PACKED_MERIT];
        let (before, after) = (before.bounds(), measured.bounds());
        let ready = block.ready >> lane & 1 == 1;
        if self.kept == Kept::ByRoom && ready {
            let (node, place) = (&self.nodes[block.parent as usize], block.place as usize);
            let rises = |(which, after): (&usize, f64)| after > node.bounds.0[*which][place];
            self.risen += u32::from(columns.iter().zip(after).any(rises));
            if self.risen == MOVES_ONE_IN {
                self.risen = 0;
                return self.move_up(number, measured);
            }
        }
        (block.load[lane], block.latency_ms[lane]) = (measured.load, measured.latency_ms);
        if ready {
            for (at_column, which) in columns.into_iter().enumerate() {
                self.follow_one(at, which, before[at_column], after[at_column]);
            }
        }
    }

    /// Moves an agent that has become better than those about it to where it strains no bounds.
    fn move_up(&mut self, number: Number, measured: &Measured) {
        if let Some(mut row) = self.remove(number) {
            (row.vital.load, row.vital.latency_ms) = (measured.load, measured.latency_ms);
            self.insert(row);
        }
    }

    /// Whether an agent is no more where its block is.
    fn has_left(&self, at: u32, lane: usize, vital: &Vital) -> bool {
        let block = &self.blocks[at as usize];
        let Some(places) = &block.at else {
            return false;
        };
        if (0..3).all(|axis| places[axis][lane] == vital.at[axis]) {
            return false;
        }
        let bounds = &self.nodes[block.parent as usize].bounds.0;
        let of = |which: usize| bounds[which][block.place as usize];
        (0..3).any(|axis| vital.at[axis] < -of(LOW + axis) || vital.at[axis] > of(HIGH + axis))
    }

    /// Makes the bounds above a block right again after one of its agents has changed.
    pub(super) fn follow(&mut self, block: u32, before: &Bounds, after: &Bounds) {
        for which in 0..WIDTH {
            self.follow_one(block, which, before.0[which], after.0[which]);
        }
    }

    #[inline]
    fn follow_one(&mut self, at: u32, which: usize, mut before: f64, mut after: f64) {
        if before == after {
            return;
        }
        let block = &self.blocks[at as usize];
        let (mut node, mut place) = (block.parent, block.place);
        let mut below = NONE;
        while node != NONE {
            let bound = self.nodes[node as usize].bounds.0[which][place as usize];
            if after < bound {
                if before < bound {
                    return;
                }
                after = match below {
                    NONE => of_lanes(&self.blocks[at as usize], which),
                    below => self.nodes[below as usize].bounds.most(which),
                };
            }
            if after == bound {
                return;
            }
            let above = &mut self.nodes[node as usize];
            above.bounds.0[which][place as usize] = after;
            (before, below, node, place) = (bound, node, above.parent, above.place);
        }
    }

    /// Makes the bounds of a node in those above it right again, after many have changed.
    pub(super) fn lift(&mut self, node: u32) {
        let mut child = node;
        while let Some(parent) = self.parent(child) {
            let bounds = self.nodes[child as usize].bounds.total();
            let place = self.nodes[child as usize].place as usize;
            self.nodes[parent as usize].bounds.set(place, &bounds);
            child = parent;
        }
    }

    fn parent(&self, node: u32) -> Option<u32> {
        Some(self.nodes[node as usize].parent).filter(|parent| *parent != NONE)
    }
}

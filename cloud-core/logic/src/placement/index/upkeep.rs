//! How a tree follows its agents. Bounds may be loose and never too tight: what loosens them is
//! written at once, up to the root; what would let them be tighter waits until it is worth while,
//! except after a reservation, which takes from the very agents that set the bounds.

use super::bounds::Bounds;
use super::pack::Kept;
use super::row::{Device, Measured, Vital};
use super::tree::{NONE, Tree, parts_of};
use crate::fleet::Number;

/// Changes of a block after which its bounds are made anew.
const DRIFT_MAX: u32 = 32;
/// Of the agents that would loosen the bounds where they stand, in the tree that is kept by what they
/// measure, one in so many moves instead. Fewer: the tree falls into disorder. More: heartbeats cost
/// more than the order is worth.
const MOVES_ONE_IN: u32 = 8;

impl Tree {
    /// Writes what has changed of an agent. `repair` asks for tight bounds at once.
    pub(super) fn refresh(
        &mut self,
        number: Number,
        vital: &Vital,
        devices: &[Device],
        repair: bool,
    ) {
        let Some(slot) = self.slot(number) else {
            return;
        };
        let (at, lane) = parts_of(slot);
        let block = &mut self.blocks[at as usize];
        if let Some(places) = &block.at
            && (0..3).any(|axis| places[axis][lane] != vital.at[axis])
            && self.has_left(at, vital)
        {
            if let Some(mut row) = self.remove(number) {
                row.vital = vital.clone();
                row.devices = devices.to_vec();
                self.insert(row);
            }
            return;
        }
        let block = &mut self.blocks[at as usize];
        block.set(lane, vital);
        devices.iter().for_each(|device| block.set_device(lane, device));
        block.drift += 1;
        if repair || block.drift >= DRIFT_MAX {
            self.repair(at);
        } else {
            let order = block.order[lane];
            self.loosen(at, &Bounds::of(vital, order));
        }
    }

    /// Writes what an agent has measured. Touches as little as can be: this is what happens most.
    pub(super) fn measure(&mut self, number: Number, measured: &Measured) {
        let Some(slot) = self.slot(number) else {
            return;
        };
        let (at, lane) = parts_of(slot);
        let block = &mut self.blocks[at as usize];
        block.load[lane] = measured.load;
        block.latency_ms[lane] = measured.latency_ms;
        block.drift += 1;
        if block.drift >= DRIFT_MAX {
            return self.repair(at);
        }
        if block.ready >> lane & 1 == 0 {
            return;
        }
        let may_move = self.kept == Kept::ByRoom && block.drift.is_multiple_of(MOVES_ONE_IN);
        let (mut child, mut node) = (at, block.parent);
        while node != NONE {
            let above = &mut self.nodes[node as usize];
            let place = above.place_of(child);
            if may_move && !above.bounds.holds(place, measured) {
                return self.move_up(number, measured);
            }
            if !above.bounds.measure(place, measured) {
                return;
            }
            (child, node) = (node, above.parent);
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
    fn has_left(&self, block: u32, vital: &Vital) -> bool {
        let parent = &self.nodes[self.blocks[block as usize].parent as usize];
        let bounds = parent.bounds.get(parent.place_of(block));
        (0..3).any(|axis| vital.at[axis] < bounds.low[axis] || vital.at[axis] > bounds.high[axis])
    }

    /// Loosens the bounds of a block, and of all above it, so that they hold an agent.
    pub(super) fn loosen(&mut self, block: u32, bounds: &Bounds) {
        let (mut child, mut node) = (block, self.blocks[block as usize].parent);
        while node != NONE {
            let above = &mut self.nodes[node as usize];
            let place = above.place_of(child);
            let before = above.bounds.get(place);
            let mut after = before;
            after.join(bounds);
            if after == before {
                return;
            }
            above.bounds.set(place, &after);
            (child, node) = (node, above.parent);
        }
    }

    /// Makes the bounds of a block, and of all above it, as tight as they can be.
    pub(super) fn repair(&mut self, block: u32) {
        let bounds = Bounds::of_block(&self.blocks[block as usize]);
        self.blocks[block as usize].drift = 0;
        let parent = self.blocks[block as usize].parent;
        self.tighten(block, parent, bounds);
    }

    /// Makes the bounds of a node in those above it as tight as they can be.
    pub(super) fn lift(&mut self, node: u32) {
        let parent = self.nodes[node as usize].parent;
        self.tighten(node, parent, self.nodes[node as usize].total());
    }

    fn tighten(&mut self, mut child: u32, mut node: u32, mut bounds: Bounds) {
        while node != NONE {
            let above = &mut self.nodes[node as usize];
            let place = above.place_of(child);
            if above.bounds.get(place) == bounds {
                return;
            }
            above.bounds.set(place, &bounds);
            bounds = above.total();
            (child, node) = (node, above.parent);
        }
    }
}

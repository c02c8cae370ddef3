//! What must hold of an index, as one function: it knows exactly the agents of the fleet, as they
//! are, and every bound holds.

use super::block::lanes_of;
use super::bounds::Bounds;
use super::row::{Row, Vital, devices};
use super::tree::{NONE, Tree};
use super::{Index, Kept};
use crate::fleet::{Agent, Number};

impl Index {
    /// Whether it is the index of these agents, which come in the order of their ids.
    ///
    /// # Errors
    /// Says what is not as it should be.
    pub(crate) fn check<'a>(
        &self,
        agents: impl Iterator<Item = (Number, &'a Agent)>,
    ) -> Result<(), String> {
        let (mut count, mut order) = (0, 0);
        for (number, agent) in agents {
            count += 1;
            let Some(words) = self.dictionary.known(&agent.facts) else {
                return Err(format!("a word of {} is not known", agent.id));
            };
            let (vital, devices) = (Vital::of(agent), devices(agent, &self.dictionary));
            for tree in [&self.by_place, &self.by_room] {
                let Some(row) = tree.row(number) else {
                    return Err(format!("{} is not {:?}", agent.id, tree.kept));
                };
                let mut vital = vital.clone();
                if tree.kept == Kept::ByRoom {
                    vital.at = row.vital.at;
                }
                let mut expected = Row {
                    number,
                    order: row.order,
                    vital,
                    words: words.clone(),
                    devices: devices.clone(),
                };
                expected.devices.sort_by_key(|device| device.token);
                let mut row = row;
                row.devices.sort_by_key(|device| device.token);
                if row != expected {
                    return Err(format!("{} is {row:?}, not {expected:?}", agent.id));
                }
                if row.order < order {
                    return Err(format!("the order of {} is {}", agent.id, row.order));
                }
                order = row.order;
            }
        }
        if count != self.count {
            return Err(format!("{count} agents, {} counted", self.count));
        }
        self.by_place.check(count)?;
        self.by_room.check(count)
    }
}

#[cfg(test)]
impl Index {
    /// Whether no agent scores more for a task than is promised of it on the way down.
    ///
    /// # Errors
    /// Says which promise was too low.
    pub(in crate::placement) fn check_reach(
        &self,
        request: &super::Request<'_>,
        policy: &super::Policy,
    ) -> Result<(), String> {
        use super::scan::{ABREAST, candidates, roomy, scores, worded};
        let Some(query) =
            super::Query::new(request, policy, &self.dictionary, self.count, |_| None)
        else {
            return Ok(());
        };
        for tree in [&self.by_place, &self.by_room] {
            if tree.kept == Kept::ByRoom && query.is_somewhere() {
                continue;
            }
            for block in tree.blocks.iter() {
                let mask = candidates(
                    block,
                    &query,
                    worded(block, &query, roomy(block, &query, u64::MAX)),
                );
                let scores = (0..super::block::LANES / ABREAST)
                    .map(|eighth| (eighth, scores(block, &query, eighth * ABREAST)));
                let best = scores.fold(super::reach::NEVER, |best, (eighth, scores)| {
                    let lanes = lanes_of(mask >> (eighth * ABREAST) & 0xff);
                    lanes.fold(best, |best, lane| best.max(scores[lane]))
                });
                let (mut place, mut parent) = (block.place, block.parent);
                while parent != NONE {
                    let node = &tree.nodes[parent as usize];
                    let promised = super::reach::reach(&node.bounds, &query)[place as usize];
                    if promised < best {
                        return Err(format!("{promised} promised, {best} found"));
                    }
                    (place, parent) = (node.place, node.parent);
                }
            }
        }
        Ok(())
    }
}

impl Tree {
    /// The agent of a number, as it was put.
    pub(super) fn row(&self, number: Number) -> Option<Row> {
        let (block, lane) = super::tree::parts_of(self.slot(number)?);
        Some(self.blocks[block as usize].row(lane))
    }

    fn check(&self, expected: usize) -> Result<(), String> {
        let held: usize = self.blocks.iter().map(|block| block.taken.count_ones() as usize).sum();
        if held != expected {
            return Err(format!("{held} agents {:?}, not {expected}", self.kept));
        }
        for (at, block) in self.blocks.iter().enumerate() {
            let bounds = Bounds::of_block(block);
            self.check_bounds(at as u32, block.parent, block.place, &bounds)?;
            for lane in lanes_of(block.taken) {
                let slot = self.slot(block.number[lane]);
                if slot != Some((at * super::block::LANES + lane) as u32) {
                    return Err(format!("{} is not at {slot:?}", block.number[lane]));
                }
            }
            for (token, lanes) in block.words.from(0) {
                let listed = token & super::dictionary::TAINT != 0
                    || self.kept == Kept::ByRoom
                    || self.lists.with(token).any(|one| one == (at as u32, lanes));
                if lanes & !block.taken != 0 || !listed {
                    return Err(format!("word {token} of block {at}"));
                }
            }
        }
        for (at, node) in self.nodes.iter().enumerate() {
            if at as u32 != self.root {
                let total = node.bounds.total();
                self.check_bounds(at as u32, node.parent, node.place, &total)?;
            } else if node.parent != NONE {
                return Err("the root has a parent".to_owned());
            }
        }
        Ok(())
    }

    /// A child is known to its parent, by the bounds that it has.
    fn check_bounds(
        &self,
        child: u32,
        parent: u32,
        place: u32,
        bounds: &Bounds,
    ) -> Result<(), String> {
        let Some(node) = self.nodes.get(parent as usize) else {
            return Err(format!("{child} has no parent"));
        };
        let written = node.bounds.get(place as usize);
        if node.children[place as usize] != child || written != *bounds {
            return Err(format!("{written:?} does not bound {bounds:?}"));
        }
        Ok(())
    }
}

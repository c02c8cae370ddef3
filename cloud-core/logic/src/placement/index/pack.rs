//! Packing: which agents stand together. Bentley's k-d tree ("Multidimensional binary search trees
//! used for associative searching", 1975), made in one go: cut at the rank that divides the blocks
//! evenly, along the axis in which the agents differ most, until what is left fills one block.
//!
//! Packing decides how fast an answer is found and never which one, so it may be coarse.

use super::row::Vital;

/// What a tree is kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// By place above all: for tasks that want to be somewhere.
    ByPlace,
    /// By load, latency and what is free: for tasks that may be anywhere.
    ByRoom,
}

const AXES: usize = 6;

/// How much a unit of each axis counts: about what it is worth in a score under the default policy.
/// A unit of place is the radius of the Earth; a tenth of it is already far.
const PLACE: f32 = 30.0;
const LOAD: f32 = 0.3;
const SHARE: f32 = 0.2;
const LATENCY: f32 = 0.1;
const NOWHERE: f32 = 100.0;

/// An agent on its way into a block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    key: [f32; AXES],
    /// Which of the rows it is.
    pub(super) index: u32,
}

impl Item {
    pub(super) fn of(vital: &Vital, index: usize, kept: Kept) -> Self {
        let closeness = super::super::terms::closeness(vital.latency_ms, 50.0) as f32;
        let share = |at: usize| {
            let (free, capacity) = (vital.free[at] as f64, vital.capacity[at] as f64);
            super::super::terms::free_share(free, capacity) as f32
        };
        // An agent that is not ready is in nobody's way at the end of an axis.
        let load = if vital.ready { vital.load as f32 } else { -1.0 };
        let key = match kept {
            Kept::ByPlace => {
                let at = vital
                    .at
                    .map(|part| if part.is_finite() { PLACE * part as f32 } else { NOWHERE });
                let share = share(0) + share(1);
                [at[0], at[1], at[2], LOAD * load, LATENCY * closeness, SHARE * share]
            }
            Kept::ByRoom => {
                // A capacity doubled is as far as another.
                let size = (vital.capacity[0] as f32).max(1.0).log2_coarse();
                let shares = [SHARE * share(0), SHARE * share(1)];
                [LOAD * load, LATENCY * closeness, shares[0], shares[1], 0.02 * size, 0.0]
            }
        };
        Self { key, index: index as u32 }
    }
}

/// A logarithm that is the same everywhere.
trait Coarse {
    fn log2_coarse(self) -> f32;
}

impl Coarse for f32 {
    /// The exponent, and the mantissa as a straight line between two of them. For what is above 0.
    fn log2_coarse(self) -> f32 {
        self.to_bits() as f32 / (1 << 23) as f32 - 127.0
    }
}

/// Divides items into `parts` groups of about the same size, neighbours together; calls `group`
/// with each in order.
pub(super) fn divide(items: &mut [Item], parts: usize, group: &mut impl FnMut(&mut [Item])) {
    if parts <= 1 {
        return group(items);
    }
    let left_parts = parts / 2;
    let cut = items.len() * left_parts / parts;
    if cut > 0 {
        let axis = widest(items);
        items.select_nth_unstable_by(cut, |a, b| a.key[axis].total_cmp(&b.key[axis]));
    }
    let (left, right) = items.split_at_mut(cut);
    divide(left, left_parts, group);
    divide(right, parts - left_parts, group);
}

/// The axis in which the items differ most.
fn widest(items: &[Item]) -> usize {
    let (mut low, mut high) = ([f32::INFINITY; AXES], [f32::NEG_INFINITY; AXES]);
    for item in items {
        for axis in 0..AXES {
            low[axis] = low[axis].min(item.key[axis]);
            high[axis] = high[axis].max(item.key[axis]);
        }
    }
    let width = |axis: &usize| high[*axis] - low[*axis];
    (0..AXES).max_by(|a, b| width(a).total_cmp(&width(b))).unwrap_or(0)
}

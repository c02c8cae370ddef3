//! Packing: which agents stand together. Bentley's k-d tree ("Multidimensional binary search trees
//! used for associative searching", 1975), made in one go: cut at the rank that divides the blocks
//! evenly, along the axis in which the agents differ most, until what is left fills one block.
//!
//! Packing decides how fast an answer is found and never which one, so it may be coarse.

use super::bounds::{merit, share};
use super::row::Vital;

/// What a tree is kept by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// By place above all: for tasks that want to be somewhere.
    ByPlace,
    /// By load, latency and what is free: for tasks that may be anywhere.
    ByRoom,
}

const AXES: usize = 4;

/// How much a unit of each axis counts, beside a hundredth of merit, which is about a hundredth of a
/// score. A unit of place is the radius of the Earth.
const PLACE: f32 = 20.0;
const MERIT: f32 = 0.01;
const SIZE: f32 = 0.04;
const SHARE: f32 = 0.1;
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
        // An agent that is not ready is in nobody's way at the end of an axis.
        let worth = if vital.ready { MERIT * merit(vital) as f32 } else { -1.0 };
        let key = match kept {
            Kept::ByPlace => {
                let part = |axis: usize| match vital.at[axis] {
                    part if part.is_finite() => PLACE * part as f32,
                    _ => NOWHERE,
                };
                [part(0), part(1), part(2), worth]
            }
            Kept::ByRoom => {
                // A capacity doubled is as far as another.
                let size = |at: usize| SIZE * (vital.capacity[at] as f32).max(1.0).log2_coarse();
                // Those that are alike worth may be full and fast or empty and slow.
                [worth, size(0), size(1), SHARE * (share(vital, 0) + share(vital, 1)) as f32]
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

//! What is known of many agents together: a box round their places, and the best value of every
//! column. Only agents that are ready count, so those that may take nothing loosen nothing.
//!
//! Every bound is kept so that the greater one is the looser one: of a value that is good when it is
//! small, the negative. So there is one way to join bounds, to loosen and to tighten them.

use super::super::terms::{closeness, free_share};
use super::block::{AMOUNT_MAX, Block, LANES, lanes_of};
use super::row::{NOWHERE, Order, Vital};

/// Children of a node.
pub(super) const FAN: usize = 16;

/// Amounts from here on are rounded as floating-point numbers.
const EXACT_MAX: u64 = 1 << 53;

/// How much a load term, a free share of cpu and of memory, and a short round trip are worth in a
/// [`merit`]: what they are worth in a score where nobody has said otherwise.
pub(super) const LOAD_WORTH: f64 = 30.0;
pub(super) const SHARE_WORTH: f64 = 20.0;
pub(super) const LATENCY_WORTH: f64 = 10.0;
/// The reference of the round trip in a merit, in milliseconds.
pub(super) const LATENCY_MS_REF: f64 = 50.0;

/// What is bounded, by its place in [`Bounds`]: first what most questions look at, side by side.
/// The smallest order, as a negative.
pub(super) const ORDER: usize = 0;
/// The box round all that have a place, for each axis: its lower end as a negative, its upper one.
pub(super) const LOW: usize = 1;
pub(super) const HIGH: usize = 4;
/// The greatest load term.
pub(super) const LOAD: usize = 7;
/// The shortest round trip, as a negative.
pub(super) const LATENCY: usize = 8;
/// The greatest [`merit`] where work is spread.
pub(super) const MERIT: usize = 9;
/// Of cpu, memory, disk and bandwidth, four each: what is free at most; the smallest capacity of
/// those that have any, as a negative, and the greatest; the greatest share that is free.
const ROOM: usize = 10;
/// The greatest merit where agents are filled up.
pub(super) const PACKED_MERIT: usize = ROOM + 4 * 4;
/// Again of each resource, two each, as negatives: the least that is free, the least share.
const LEAST: usize = PACKED_MERIT + 1;
/// How many bounds there are.
pub(super) const WIDTH: usize = LEAST + 4 * 2;

/// Where the bounds on one resource are, see [`ROOM`].
pub(super) const fn free_max(resource: usize) -> usize {
    ROOM + 4 * resource
}
pub(super) const fn capacity_min(resource: usize) -> usize {
    ROOM + 4 * resource + 1
}
pub(super) const fn capacity_max(resource: usize) -> usize {
    ROOM + 4 * resource + 2
}
pub(super) const fn share_max(resource: usize) -> usize {
    ROOM + 4 * resource + 3
}
pub(super) const fn free_min(resource: usize) -> usize {
    LEAST + 2 * resource
}
pub(super) const fn share_min(resource: usize) -> usize {
    LEAST + 2 * resource + 1
}

/// Of nobody.
const NONE: f64 = f64::NEG_INFINITY;

/// What an agent is worth wherever it is, as a usual score would weigh it. The best of each column
/// among many seldom belong to one agent; the greatest merit does.
pub(super) fn merit(vital: &Vital) -> f64 {
    merits(vital.load, [share(vital, 0), share(vital, 1)], vital.latency_ms)[0]
}

/// The free share of one resource of an agent.
pub(super) fn share(vital: &Vital, at: usize) -> f64 {
    free_share(vital.free[at] as f64, vital.capacity[at] as f64)
}

/// The merit where work is spread, and where agents are filled up one after the other.
#[inline]
pub(super) fn merits(load: f64, shares: [f64; 2], latency_ms: f64) -> [f64; 2] {
    let rest = LOAD_WORTH * load + LATENCY_WORTH * closeness(latency_ms, LATENCY_MS_REF);
    let free = shares[0] + shares[1];
    [rest + SHARE_WORTH * free, rest + SHARE_WORTH * (2.0 - free)]
}

/// The extremes of many agents, or of one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds(pub(super) [f64; WIDTH]);

impl Bounds {
    /// Of no agents.
    pub(super) const NONE: Self = Self([NONE; WIDTH]);

    /// Of one agent.
    pub(super) fn of(vital: &Vital, order: Order) -> Self {
        let mut bounds = Self::NONE;
        if !vital.ready {
            return bounds;
        }
        let Self(most) = &mut bounds;
        most[ORDER] = -f64::from(order);
        for axis in 0..3 {
            most[LOW + axis] = -vital.at[axis];
            most[HIGH + axis] = placed(vital.at[axis]);
        }
        most[LOAD] = vital.load;
        most[LATENCY] = -vital.latency_ms;
        let merits = merits(vital.load, [share(vital, 0), share(vital, 1)], vital.latency_ms);
        [most[MERIT], most[PACKED_MERIT]] = merits;
        for at in 0..4 {
            let (capacity, free) = (vital.capacity[at], vital.free[at]);
            let (all, share) = (capacity as f64, share(vital, at));
            // Beyond what is exact nothing is promised.
            let exact = capacity <= EXACT_MAX;
            let or = |value: f64, loosest: f64| if exact { value } else { loosest };
            most[free_max(at)] = or(free as f64, f64::INFINITY);
            most[capacity_min(at)] = or(some(all), -(EXACT_MAX as f64));
            most[capacity_max(at)] = or(all, f64::INFINITY);
            most[share_max(at)] = or(share, 1.0);
            most[free_min(at)] = or(-(free as f64), 0.0);
            most[share_min(at)] = or(-share, 0.0);
        }
        bounds
    }

    /// Of the agents of a block.
    pub(super) fn of_block(block: &Block) -> Self {
        Self(std::array::from_fn(|which| of_lanes(block, which)))
    }

    /// Of both.
    #[inline]
    pub(super) fn join(&mut self, other: &Self) {
        for (most, other) in self.0.iter_mut().zip(other.0) {
            *most = most.max(other);
        }
    }

    /// Whether nobody is ready.
    fn are_empty(&self) -> bool {
        self.0[ORDER] == NONE
    }

    fn have_places(&self) -> bool {
        self.0[HIGH] > NONE
    }

    /// An agent in the middle of it all, for packing.
    pub(super) fn middle(&self) -> Vital {
        let most = &self.0;
        let middle = |axis: usize| f64::midpoint(-most[LOW + axis], most[HIGH + axis]);
        // Of shares in thousandths: a cast saturates, and nothing depends on it.
        let share = |at: usize| (1_000.0 * most[share_max(at)]) as u64;
        let placed = self.have_places();
        Vital {
            ready: !self.are_empty(),
            standing: 0,
            at: if placed { std::array::from_fn(middle) } else { NOWHERE },
            load: most[LOAD].max(0.0),
            latency_ms: -most[LATENCY],
            capacity: [1_000; 4],
            free: std::array::from_fn(share),
        }
    }

    /// How far these would have to be loosened to hold an agent: what a newcomer costs.
    pub(super) fn strain(&self, vital: &Vital) -> f64 {
        if self.are_empty() {
            return 0.0;
        }
        let most = &self.0;
        let beyond = |low: f64, high: f64, value: f64| (low - value).max(value - high).max(0.0);
        let mut strain = 0.0;
        match (vital.at[0].is_finite(), self.have_places()) {
            (true, true) => {
                for axis in 0..3 {
                    // A box counts more than anything else: a journey of 60 km as much as a tenth
                    // of the load.
                    let (low, high) = (-most[LOW + axis], most[HIGH + axis]);
                    strain += 10.0 * beyond(low, high, vital.at[axis]);
                }
            }
            (false, false) => {}
            _ => strain += 20.0,
        }
        strain += (vital.load - most[LOAD]).max(0.0);
        strain += 0.02 * (merit(vital) - most[MERIT]).max(0.0);
        for at in 0..2 {
            strain += 0.5 * beyond(-most[share_min(at)], most[share_max(at)], share(vital, at));
        }
        strain
    }
}

/// A coordinate in a box; none when nobody knows it.
#[inline]
fn placed(part: f64) -> f64 {
    if part < f64::INFINITY { part } else { NONE }
}

/// A capacity as the smallest: one of nothing is no capacity.
#[inline]
fn some(capacity: f64) -> f64 {
    if capacity > 0.0 { -capacity } else { NONE }
}

/// The bounds of a node's children, column by column.
#[derive(Debug, Clone)]
pub(super) struct BoundColumns(pub(super) [[f64; FAN]; WIDTH]);

impl BoundColumns {
    /// Of no children.
    pub(super) fn new() -> Self {
        Self([[NONE; FAN]; WIDTH])
    }

    /// Those of one child.
    pub(super) fn get(&self, child: usize) -> Bounds {
        Bounds(std::array::from_fn(|which| self.0[which][child]))
    }

    /// Replaces those of one child.
    pub(super) fn set(&mut self, child: usize, bounds: &Bounds) {
        for (column, bound) in self.0.iter_mut().zip(bounds.0) {
            column[child] = bound;
        }
    }

    /// One of them, of all children together.
    #[inline]
    pub(super) fn most(&self, which: usize) -> f64 {
        self.0[which].iter().fold(NONE, |most, bound| most.max(*bound))
    }

    /// Of all children together.
    pub(super) fn total(&self) -> Bounds {
        Bounds(std::array::from_fn(|which| self.most(which)))
    }
}

/// One of the bounds, of all agents of a block: the greatest of what [`Bounds::of`] says of each.
pub(super) fn of_lanes(block: &Block, which: usize) -> f64 {
    let ready = block.taken & block.ready;
    let here = ready & !block.wide;
    let free = |at: usize, lane: usize| number(block.free[at][lane]);
    let all = |at: usize, lane: usize| number(block.capacity[at][lane]);
    let share = |at: usize, lane: usize| free_share(free(at, lane), all(at, lane));
    let merits = |lane: usize| {
        merits(block.load[lane], [share(0, lane), share(1, lane)], block.latency_ms[lane])
    };
    let most = match which {
        ORDER => greatest(here, |lane| -f64::from(block.order[lane])),
        LOAD => greatest(here, |lane| block.load[lane]),
        LATENCY => greatest(here, |lane| -block.latency_ms[lane]),
        MERIT => greatest(here, |lane| merits(lane)[0]),
        PACKED_MERIT => greatest(here, |lane| merits(lane)[1]),
        LOW..LOAD => match &block.at {
            Some(at) if which < HIGH => greatest(here, |lane| -at[which - LOW][lane]),
            Some(at) => greatest(here, |lane| placed(at[which - HIGH][lane])),
            None => NONE,
        },
        ROOM..PACKED_MERIT => {
            let at = (which - ROOM) / 4;
            match (which - ROOM) % 4 {
                0 => greatest(here, |lane| free(at, lane)),
                1 => greatest(here, |lane| some(all(at, lane))),
                2 => greatest(here, |lane| all(at, lane)),
                _ => greatest(here, |lane| share(at, lane)),
            }
        }
        _ => {
            let at = (which - LEAST) / 2;
            match (which - LEAST) % 2 {
                0 => greatest(here, |lane| -free(at, lane)),
                _ => greatest(here, |lane| -share(at, lane)),
            }
        }
    };
    // Large amounts are rare, and stand apart.
    lanes_of(ready & block.wide).fold(most, |most, lane| {
        most.max(Bounds::of(&block.vital(lane), block.order[lane]).0[which])
    })
}

/// An amount of a column as a number.
#[inline]
pub(super) fn number(amount: u32) -> f64 {
    debug_assert!(u64::from(amount) <= AMOUNT_MAX);
    f64::from(amount.cast_signed())
}

/// The greatest value of some lanes, eight of them abreast.
#[inline]
fn greatest(here: u64, value: impl Fn(usize) -> f64) -> f64 {
    let mut best = [NONE; 8];
    for from in (0..LANES).step_by(8) {
        let eight: [f64; 8] = std::array::from_fn(|lane| value((from + lane) % LANES));
        for lane in 0..8 {
            let value = if here >> (from + lane) & 1 == 1 { eight[lane] } else { NONE };
            best[lane] = best[lane].max(value);
        }
    }
    best.into_iter().fold(NONE, f64::max)
}

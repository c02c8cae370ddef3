//! What is known of many agents together: a box round their places, and the best value of every
//! column. Only agents that are ready count, so those that may take nothing loosen nothing.

use super::super::terms::{closeness, free_share};
use super::block::{Block, Column, LANES, lanes_of};
use super::row::{Measured, Order, Row, Vital};

/// Children of a node.
pub(super) const FAN: usize = 16;

/// The order of nobody: there is no ready agent.
pub(super) const NOBODY: Order = Order::MAX;

/// Amounts from here on are rounded as floating-point numbers.
const EXACT_MAX: u64 = 1 << 53;

/// How much a load term, a free share of cpu and of memory, and a short round trip are worth in a
/// [`merit`]: what they are worth in a score where nobody has said otherwise.
pub(super) const LOAD_WORTH: f64 = 30.0;
pub(super) const SHARE_WORTH: f64 = 20.0;
pub(super) const LATENCY_WORTH: f64 = 10.0;
/// The reference of the round trip in a merit, in milliseconds.
pub(super) const LATENCY_MS_REF: f64 = 50.0;

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

/// The extremes of many agents.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    /// The box round all that have a place; `low` above `high` when none has.
    pub(super) low: [f64; 3],
    pub(super) high: [f64; 3],
    /// The greatest load term.
    pub(super) load: f64,
    /// The shortest round trip.
    pub(super) latency_ms: f64,
    /// The greatest [`merit`], and the greatest where agents are filled up one after the other.
    pub(super) merit: [f64; 2],
    /// The smallest order; [`NOBODY`] when nobody is ready.
    pub(super) order: Order,
    /// For cpu, memory, disk and bandwidth.
    pub(super) room: [Room; 4],
}

/// The extremes of one resource.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Room {
    pub(super) free_min: f64,
    pub(super) free_max: f64,
    /// Of those that have any.
    pub(super) capacity_min: f64,
    pub(super) capacity_max: f64,
    /// What is free as a share of the capacity.
    pub(super) share_min: f64,
    pub(super) share_max: f64,
}

impl Room {
    const NONE: Self = Self {
        free_min: f64::INFINITY,
        free_max: 0.0,
        capacity_min: f64::INFINITY,
        capacity_max: 0.0,
        share_min: f64::INFINITY,
        share_max: 0.0,
    };

    #[inline]
    fn of(capacity: u64, free: u64) -> Self {
        if capacity > EXACT_MAX {
            // Beyond what is exact nothing is promised.
            return Self {
                free_min: 0.0,
                free_max: f64::INFINITY,
                capacity_min: EXACT_MAX as f64,
                capacity_max: f64::INFINITY,
                share_min: 0.0,
                share_max: 1.0,
            };
        }
        let (free, all) = (free as f64, capacity as f64);
        let share = free_share(free, all);
        Self {
            free_min: free,
            free_max: free,
            capacity_min: if capacity == 0 { f64::INFINITY } else { all },
            capacity_max: all,
            share_min: share,
            share_max: share,
        }
    }

    #[inline]
    fn join(&mut self, other: &Self) {
        self.free_min = self.free_min.min(other.free_min);
        self.free_max = self.free_max.max(other.free_max);
        self.capacity_min = self.capacity_min.min(other.capacity_min);
        self.capacity_max = self.capacity_max.max(other.capacity_max);
        self.share_min = self.share_min.min(other.share_min);
        self.share_max = self.share_max.max(other.share_max);
    }
}

impl Bounds {
    /// Of no agents.
    pub(super) const NONE: Self = Self {
        low: [f64::INFINITY; 3],
        high: [f64::NEG_INFINITY; 3],
        load: 0.0,
        latency_ms: f64::INFINITY,
        merit: [0.0; 2],
        order: NOBODY,
        room: [Room::NONE; 4],
    };

    /// Of one agent.
    pub(super) fn of(vital: &Vital, order: Order) -> Self {
        if !vital.ready {
            return Self::NONE;
        }
        let placed = vital.at[0].is_finite();
        Self {
            low: vital.at,
            high: if placed { vital.at } else { Self::NONE.high },
            load: vital.load,
            latency_ms: vital.latency_ms,
            merit: merits(vital.load, [share(vital, 0), share(vital, 1)], vital.latency_ms),
            order,
            room: std::array::from_fn(|at| Room::of(vital.capacity[at], vital.free[at])),
        }
    }

    /// Of the agents of a block.
    pub(super) fn of_block(block: &Block) -> Self {
        let ready = block.taken & block.ready;
        // Large amounts are rare, and stand apart.
        let mut bounds = of_columns(block, ready & !block.wide);
        for lane in lanes_of(ready & block.wide) {
            bounds.join(&Self::of(&block.vital(lane), block.order[lane]));
        }
        bounds
    }

    /// Of agents that are about to be put somewhere.
    pub(super) fn of_rows<'a>(rows: impl Iterator<Item = &'a Row>) -> Self {
        rows.fold(Self::NONE, |mut bounds, row| {
            bounds.join(&Self::of(&row.vital, row.order));
            bounds
        })
    }

    /// Of both.
    #[inline]
    pub(super) fn join(&mut self, other: &Self) {
        for axis in 0..3 {
            self.low[axis] = self.low[axis].min(other.low[axis]);
            self.high[axis] = self.high[axis].max(other.high[axis]);
        }
        self.load = self.load.max(other.load);
        self.latency_ms = self.latency_ms.min(other.latency_ms);
        for (merit, other) in self.merit.iter_mut().zip(other.merit) {
            *merit = merit.max(other);
        }
        self.order = self.order.min(other.order);
        for (room, other) in self.room.iter_mut().zip(&other.room) {
            room.join(other);
        }
    }

    /// An agent in the middle of it all, for packing.
    pub(super) fn middle(&self) -> Vital {
        let placed = self.low[0] <= self.high[0];
        let middle = |axis: usize| f64::midpoint(self.low[axis], self.high[axis]);
        // Of shares in thousandths: a cast saturates, and nothing depends on it.
        let share = |at: usize| (1_000.0 * self.room[at].share_max) as u64;
        Vital {
            ready: self.order != NOBODY,
            at: if placed { std::array::from_fn(middle) } else { super::row::NOWHERE },
            load: self.load,
            latency_ms: self.latency_ms,
            capacity: [1_000; 4],
            free: std::array::from_fn(share),
        }
    }

    /// How far these would have to be loosened to hold an agent: what a newcomer costs.
    pub(super) fn strain(&self, vital: &Vital) -> f64 {
        if self.order == NOBODY {
            return 0.0;
        }
        let beyond = |low: f64, high: f64, value: f64| (low - value).max(value - high).max(0.0);
        let mut strain = 0.0;
        match (vital.at[0].is_finite(), self.low[0] <= self.high[0]) {
            (true, true) => {
                for axis in 0..3 {
                    // A box counts more than anything else: a journey of 60 km as much as a tenth
                    // of the load.
                    strain += 10.0 * beyond(self.low[axis], self.high[axis], vital.at[axis]);
                }
            }
            (false, false) => {}
            _ => strain += 20.0,
        }
        strain += (vital.load - self.load).max(0.0);
        strain += 0.02 * (merit(vital) - self.merit[0]).max(0.0);
        for (room, at) in self.room.iter().zip(0..2) {
            let share = Room::of(vital.capacity[at], vital.free[at]).share_max;
            strain += 0.5 * beyond(room.share_min, room.share_max, share);
        }
        strain
    }
}

/// The bounds of a node's children, as columns.
#[derive(Debug, Clone)]
pub(super) struct BoundColumns {
    pub(super) low: [[f64; FAN]; 3],
    pub(super) high: [[f64; FAN]; 3],
    pub(super) load: [f64; FAN],
    pub(super) latency_ms: [f64; FAN],
    pub(super) merit: [[f64; FAN]; 2],
    pub(super) order: [Order; FAN],
    pub(super) room: [RoomColumns; 4],
}

/// The extremes of one resource for each child.
#[derive(Debug, Clone)]
pub(super) struct RoomColumns {
    pub(super) free_min: [f64; FAN],
    pub(super) free_max: [f64; FAN],
    pub(super) capacity_min: [f64; FAN],
    pub(super) capacity_max: [f64; FAN],
    pub(super) share_min: [f64; FAN],
    pub(super) share_max: [f64; FAN],
}

impl BoundColumns {
    /// Of no children.
    pub(super) fn new() -> Self {
        let none = Room::NONE;
        let room = RoomColumns {
            free_min: [none.free_min; FAN],
            free_max: [none.free_max; FAN],
            capacity_min: [none.capacity_min; FAN],
            capacity_max: [none.capacity_max; FAN],
            share_min: [none.share_min; FAN],
            share_max: [none.share_max; FAN],
        };
        let none = Bounds::NONE;
        Self {
            low: none.low.map(|low| [low; FAN]),
            high: none.high.map(|high| [high; FAN]),
            load: [none.load; FAN],
            latency_ms: [none.latency_ms; FAN],
            merit: none.merit.map(|merit| [merit; FAN]),
            order: [none.order; FAN],
            room: std::array::from_fn(|_| room.clone()),
        }
    }

    /// Those of one child.
    pub(super) fn get(&self, child: usize) -> Bounds {
        Bounds {
            low: std::array::from_fn(|axis| self.low[axis][child]),
            high: std::array::from_fn(|axis| self.high[axis][child]),
            load: self.load[child],
            latency_ms: self.latency_ms[child],
            merit: [self.merit[0][child], self.merit[1][child]],
            order: self.order[child],
            room: std::array::from_fn(|at| {
                let room = &self.room[at];
                Room {
                    free_min: room.free_min[child],
                    free_max: room.free_max[child],
                    capacity_min: room.capacity_min[child],
                    capacity_max: room.capacity_max[child],
                    share_min: room.share_min[child],
                    share_max: room.share_max[child],
                }
            }),
        }
    }

    /// Replaces those of one child.
    pub(super) fn set(&mut self, child: usize, bounds: &Bounds) {
        for axis in 0..3 {
            self.low[axis][child] = bounds.low[axis];
            self.high[axis][child] = bounds.high[axis];
        }
        self.load[child] = bounds.load;
        self.latency_ms[child] = bounds.latency_ms;
        (0..2).for_each(|which| self.merit[which][child] = bounds.merit[which]);
        self.order[child] = bounds.order;
        for (room, bounds) in self.room.iter_mut().zip(&bounds.room) {
            room.free_min[child] = bounds.free_min;
            room.free_max[child] = bounds.free_max;
            room.capacity_min[child] = bounds.capacity_min;
            room.capacity_max[child] = bounds.capacity_max;
            room.share_min[child] = bounds.share_min;
            room.share_max[child] = bounds.share_max;
        }
    }

    /// Whether those of one child hold what an agent has measured.
    pub(super) fn holds(&self, child: usize, measured: &Measured) -> bool {
        measured.load <= self.load[child]
            && measured.latency_ms >= self.latency_ms[child]
            && measured.merit[0] <= self.merit[0][child]
            && measured.merit[1] <= self.merit[1][child]
    }

    /// Loosens those of one child by what an agent has measured; `false` if they hold it already.
    pub(super) fn measure(&mut self, child: usize, measured: &Measured) -> bool {
        let holds = self.holds(child, measured);
        self.load[child] = self.load[child].max(measured.load);
        self.latency_ms[child] = self.latency_ms[child].min(measured.latency_ms);
        for (merit, measured) in self.merit.iter_mut().zip(measured.merit) {
            merit[child] = merit[child].max(measured);
        }
        !holds
    }

    /// Of the first `count` children together.
    pub(super) fn total(&self, count: usize) -> Bounds {
        (0..count).fold(Bounds::NONE, |mut bounds, child| {
            bounds.join(&self.get(child));
            bounds
        })
    }
}

/// Of some lanes of a block, none of them wide: [`Bounds::of`] joined over them, column by column.
fn of_columns(block: &Block, lanes: u64) -> Bounds {
    let mut bounds = Bounds::NONE;
    if lanes == 0 {
        return bounds;
    }
    let here: Column<bool> = std::array::from_fn(|lane| lanes >> lane & 1 == 1);
    let most = |column: &Column<f64>, none: f64| extreme(column, &here, none, |a, b| a > b);
    let least = |column: &Column<f64>, none: f64| extreme(column, &here, none, |a, b| a < b);
    if let Some(at) = &block.at {
        for axis in 0..3 {
            bounds.low[axis] = least(&at[axis], f64::INFINITY);
            let placed =
                at[axis].map(|part| if part.is_finite() { part } else { f64::NEG_INFINITY });
            bounds.high[axis] = most(&placed, f64::NEG_INFINITY);
        }
    }
    bounds.load = most(&block.load, 0.0);
    bounds.latency_ms = least(&block.latency_ms, f64::INFINITY);
    bounds.order = lanes_of(lanes).map(|lane| block.order[lane]).min().unwrap_or(NOBODY);
    let mut shares = [[0.0; LANES]; 4];
    for (at, shares) in shares.iter_mut().enumerate() {
        let (free, all) = (block.free[at].map(f64::from), block.capacity[at].map(f64::from));
        *shares = std::array::from_fn(|lane| free_share(free[lane], all[lane]));
        let some = all.map(|all| if all > 0.0 { all } else { f64::INFINITY });
        bounds.room[at] = Room {
            free_min: least(&free, f64::INFINITY),
            free_max: most(&free, 0.0),
            capacity_min: least(&some, f64::INFINITY),
            capacity_max: most(&all, 0.0),
            share_min: least(shares, f64::INFINITY),
            share_max: most(shares, 0.0),
        };
    }
    let merits: Column<[f64; 2]> = std::array::from_fn(|lane| {
        merits(block.load[lane], [shares[0][lane], shares[1][lane]], block.latency_ms[lane])
    });
    bounds.merit = [0, 1].map(|which: usize| most(&merits.map(|merits| merits[which]), 0.0));
    bounds
}

/// The extreme of some lanes, eight of them abreast; `none` is that of no lanes.
#[inline]
fn extreme(
    column: &Column<f64>,
    here: &Column<bool>,
    none: f64,
    beats: impl Fn(f64, f64) -> bool,
) -> f64 {
    let mut best = [none; 8];
    for from in (0..LANES).step_by(8) {
        for lane in 0..8 {
            let value = if here[from + lane] { column[from + lane] } else { none };
            best[lane] = if beats(value, best[lane]) { value } else { best[lane] };
        }
    }
    best.into_iter().fold(none, |best, value| if beats(value, best) { value } else { best })
}

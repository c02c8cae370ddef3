//! Bounds on scores: the most that any agent below each child of a node could score, by the very
//! arithmetic of the score on the best value of every column; and which children hold nobody who
//! may take the task.

#![expect(clippy::needless_range_loop, reason = "several columns go side by side")]

use shared::geo::{arc_m, chord_squared};

use super::super::terms::{closeness, turned};
use super::bounds::{
    BoundColumns, FAN, HIGH, LATENCY, LOAD, LOW, MERIT, ORDER, PACKED_MERIT, capacity_max,
    capacity_min, free_max, free_min, share_max, share_min,
};
use super::query::{Amount, Count, Query};

/// Below every score: nobody here.
pub(super) const NEVER: f64 = -1.0;

/// One step up or down in the last place, and more where a number is just above a power of two.
const UP: f64 = 1.0 + f64::EPSILON;
const DOWN: f64 = 1.0 - f64::EPSILON;

/// The most that any agent below each child could score; [`NEVER`] where nobody may take the task.
pub(super) fn reach(bounds: &BoundColumns, query: &Query<'_>) -> [f64; FAN] {
    let BoundColumns(most) = bounds;
    let mut open = [true; FAN];
    for child in 0..FAN {
        open[child] = most[ORDER][child] > f64::NEG_INFINITY;
    }
    let mut distance = [0.0; FAN];
    if let Some(near) = query.near {
        let squared = box_distance(bounds, near);
        let arc = each(&squared, arc_m);
        for child in 0..FAN {
            // Where nobody has a place the distance is infinite, and counts nothing.
            let placed = squared[child] < f64::INFINITY;
            let closeness = closeness(arc[child], query.distance_m_ref);
            distance[child] = if placed { closeness } else { 0.0 };
        }
        if let Some(within_m) = query.within_m {
            for child in 0..FAN {
                let near = squared[child] < f64::INFINITY && !too_far(arc[child], within_m);
                open[child] &= near;
            }
        }
    }
    if let Some(within) = &query.area {
        let squared = box_distance(bounds, within.centre);
        for child in 0..FAN {
            let near = squared[child] < f64::INFINITY && arc_m(squared[child]) <= within.radius_m;
            open[child] &= near;
        }
    }
    let latency_ms = each(&most[LATENCY], |latency_ms| -latency_ms);
    // Among those that answer too slowly there may be some of whom nobody knows.
    if let Some(latency_ms_max) = query.latency_ms_max.filter(|_| !query.unmeasured_passes) {
        for child in 0..FAN {
            let latency_ms = latency_ms[child];
            open[child] &= latency_ms < f64::INFINITY && !too_far(latency_ms, latency_ms_max);
        }
    }
    for amount in &query.amounts {
        let needed = amount.needed as f64;
        for child in 0..FAN {
            open[child] &= most[free_max(amount.resource)][child] >= needed;
        }
    }
    let capacity = capacity(bounds, query);
    let latency = each(&latency_ms, |value| closeness(value, query.latency_ms_ref));
    let blended = blended(bounds, query, &distance, &latency);
    let mut reach = [NEVER; FAN];
    for child in 0..FAN {
        let (load, capacity) = (most[LOAD][child], capacity[child]);
        let columns = query.weighing.mean(load, capacity, distance[child], latency[child]);
        reach[child] = if open[child] { columns.min(blended[child]) } else { NEVER };
    }
    reach
}

/// What becomes of each of several values. `array::map` would do them one by one.
#[inline]
pub(super) fn each<const N: usize>(values: &[f64; N], of: impl Fn(f64) -> f64) -> [f64; N] {
    let mut all = [0.0; N];
    for at in 0..N {
        all[at] = of(values[at]);
    }
    all
}

/// As the filters compare: what is not a number refuses nobody.
#[inline]
pub(super) fn too_far(value: f64, most: f64) -> bool {
    value > most
}

/// The squared chord from a point to the nearest point of each child's box.
fn box_distance(bounds: &BoundColumns, point: [f64; 3]) -> [f64; FAN] {
    let mut squared = [0.0; FAN];
    for child in 0..FAN {
        let beyond = |axis: usize| {
            let (low, high) = (-bounds.0[LOW + axis][child], bounds.0[HIGH + axis][child]);
            (low - point[axis]).max(point[axis] - high).max(0.0)
        };
        squared[child] = chord_squared([beyond(0), beyond(1), beyond(2)], [0.0; 3]);
    }
    squared
}

/// The greatest capacity term below each child.
fn capacity(bounds: &BoundColumns, query: &Query<'_>) -> [f64; FAN] {
    let mut sum = [0.0; FAN];
    for amount in &query.amounts {
        let share = if query.packing { least(bounds, *amount) } else { most(bounds, *amount) };
        (0..FAN).for_each(|child| sum[child] += share[child]);
    }
    // Nothing is known of devices here but what is known of all agents.
    for count in &query.devices {
        let share = if query.packing { 0.0 } else { count.share_max };
        sum.iter_mut().for_each(|sum| *sum += share);
    }
    let count = (query.amounts.len() + query.devices.len()) as f64;
    each(&sum, |sum| turned(sum / count, query.packing))
}

/// The greatest share of a resource that is left when `needed` is taken.
///
/// (free − needed) ÷ capacity is at most (free_max − needed) ÷ capacity_min, by the same operations;
/// that is tight where all capacities are alike. It is also at most share_max − needed ÷
/// capacity_max, tight where capacities differ and shares do not; here each operation is rounded
/// outwards, because the score does not take this way.
fn most(bounds: &BoundColumns, amount: Amount) -> [f64; FAN] {
    let (at, needed) = (amount.resource, amount.needed as f64);
    let column = |which: usize| &bounds.0[which];
    if amount.needed == 0 {
        return *column(share_max(at));
    }
    let mut shares = [0.0; FAN];
    for child in 0..FAN {
        let alike = (column(free_max(at))[child] - needed) / -column(capacity_min(at))[child];
        let taken = needed / column(capacity_max(at))[child] * DOWN * DOWN;
        let shared = (column(share_max(at))[child] * UP - taken) * UP;
        shares[child] = alike.min(shared).clamp(0.0, 1.0);
    }
    shares
}

/// The smallest share that is left, of those that have enough.
fn least(bounds: &BoundColumns, amount: Amount) -> [f64; FAN] {
    let (at, needed) = (amount.resource, amount.needed as f64);
    let column = |which: usize| &bounds.0[which];
    if amount.needed == 0 {
        return each(column(share_min(at)), |share| -share);
    }
    std::array::from_fn(|child| {
        let free = (-column(free_min(at))[child]).max(needed) - needed;
        let alike = free / column(capacity_max(at))[child];
        let taken = needed / -column(capacity_min(at))[child] * UP * UP;
        let shared = (-column(share_min(at))[child] * DOWN - taken) * DOWN;
        alike.max(shared).clamp(0.0, 1.0)
    })
}

/// What covers the rounding of some thirty operations, each off by at most one part in 2⁵³.
const ROUNDING: f64 = 1.0 / (1_u64 << 40) as f64;

/// The greatest score by the greatest merit, see [`Blend`](super::query::Blend). This bound does not
/// go the way of the score, so it is rounded upwards, and generously; where many agents are alike
/// the columns' bound is the tighter one.
fn blended(
    bounds: &BoundColumns,
    query: &Query<'_>,
    distance: &[f64; FAN],
    latency: &[f64; FAN],
) -> [f64; FAN] {
    let blend = &query.blend;
    let BoundColumns(most) = bounds;
    let merit = &most[if query.packing { PACKED_MERIT } else { MERIT }];
    let device = |count: &Count| if query.packing { 1.0 } else { count.share_max };
    let devices = blend.device * query.devices.iter().map(device).sum::<f64>();
    let mut sum = [0.0; FAN];
    for child in 0..FAN {
        sum[child] = blend.merit * merit[child]
            + blend.load * most[LOAD][child]
            + blend.latency * latency[child]
            + query.weighing.distance * distance[child]
            + devices;
    }
    let mut taken = [0.0; FAN];
    for amount in &query.amounts {
        let at = amount.resource;
        let (each, beside) = (blend.share[at], blend.share_beside[at]);
        let needed = amount.needed as f64;
        for child in 0..FAN {
            if query.packing {
                // What is taken counts for the agent, most where the capacity is least.
                sum[child] += beside * (1.0 + most[share_min(at)][child]);
                sum[child] += each * (needed / -most[capacity_min(at)][child]).min(1.0);
            } else {
                sum[child] += beside * most[share_max(at)][child];
                taken[child] += each * (needed / most[capacity_max(at)][child].max(1.0));
            }
        }
    }
    for child in 0..FAN {
        let left = (sum[child] - taken[child] * (1.0 - ROUNDING)).max(0.0);
        sum[child] = (left + sum[child] * ROUNDING) / query.weighing.total * (1.0 + ROUNDING);
    }
    sum
}

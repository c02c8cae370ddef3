//! A block under the eye: which of its lanes may take the task, and what each scores, exactly.
//! First the masks, which are cheap and often leave nothing; then the columns.

#![expect(clippy::needless_range_loop, reason = "several columns go side by side")]

use shared::geo::{arc_m, chord_squared};

use super::super::terms::{closeness, free_share, turned};
use super::block::{AMOUNT_MAX, Block, Column, LANES, lanes_of};
use super::dictionary::TAINT;
use super::query::{Count, Query};
use super::reach::too_far;

/// Lanes whose value passes.
#[inline]
fn lanes_where<T: Copy>(column: &Column<T>, passes: impl Fn(T) -> bool) -> u64 {
    column
        .iter()
        .enumerate()
        .fold(0, |mask, (lane, &value)| mask | u64::from(passes(value)) << lane)
}

/// Lanes that may take the task as far as words, amounts and latency go.
pub(super) fn candidates(block: &Block, query: &Query<'_>) -> u64 {
    let mut mask = block.taken & block.ready;
    for words in &query.required {
        if mask == 0 {
            return 0;
        }
        mask &= words.iter().fold(0, |lanes, word| lanes | block.words.lanes(*word));
    }
    for word in &query.barred {
        mask &= !block.words.lanes(*word);
    }
    for (taint, lanes) in block.words.from(TAINT) {
        if !query.tolerated.contains(&taint) {
            mask &= !lanes;
        }
    }
    if !query.avoided.is_empty() {
        let avoided = |lane: &usize| query.avoided.binary_search(&block.number[*lane]).is_ok();
        mask = lanes_of(mask).filter(|lane| !avoided(lane)).fold(0, |mask, lane| mask | 1 << lane);
    }
    for amount in query.amounts.iter().filter(|amount| amount.needed > 0) {
        if mask == 0 {
            return 0;
        }
        let free = &block.free[amount.resource];
        // Lanes with large amounts are looked at below.
        mask &= block.wide
            | match u32::try_from(amount.needed) {
                Ok(needed) => lanes_where(free, |free| free >= needed),
                Err(_) => 0,
            };
    }
    for lane in lanes_of(mask & block.wide) {
        let (_, free) = block.amounts(lane);
        if query.amounts.iter().any(|amount| amount.needed > free[amount.resource]) {
            mask &= !(1 << lane);
        }
    }
    for Count { token, needed } in &query.devices {
        let free =
            |column: &super::block::Devices| lanes_where(&column.free, |free| free >= *needed);
        mask &= block.device(*token).map_or(0, free);
    }
    if let Some(most) = query.latency_ms_max.filter(|_| mask != 0) {
        let passes = |latency_ms: f64| latency_ms < f64::INFINITY && !too_far(latency_ms, most);
        mask &= lanes_where(&block.latency_ms, passes);
    }
    mask
}

/// The score of every lane of `mask`, and which of them are near enough; what stands in the other
/// lanes has no meaning. Outlines of areas are left to the caller, but not the circle round them.
pub(super) fn scores(block: &Block, query: &Query<'_>, mut mask: u64) -> (Column<f64>, u64) {
    let mut distance = [0.0; LANES];
    if let (Some(near), Some(at)) = (query.near, &block.at) {
        let squared = chords(at, near);
        let mut arcs = [0.0; LANES];
        (0..LANES).for_each(|lane| arcs[lane] = arc_m(squared[lane]));
        for lane in 0..LANES {
            let placed = squared[lane] < f64::INFINITY;
            let closeness = closeness(arcs[lane], query.distance_m_ref);
            distance[lane] = if placed { closeness } else { 0.0 };
        }
        if let Some(within_m) = query.within_m {
            mask &= lanes_where(&squared, |squared| squared < f64::INFINITY);
            mask &= lanes_where(&arcs, |arc| !too_far(arc, within_m));
        }
    }
    if let (Some(within), Some(at)) = (&query.area, &block.at) {
        let squared = chords(at, within.centre);
        mask &= lanes_where(&squared, |squared| {
            squared < f64::INFINITY && arc_m(squared) <= within.radius_m
        });
    }
    let capacity = capacity(block, query);
    let mut scores = [0.0; LANES];
    for lane in 0..LANES {
        let latency = closeness(block.latency_ms[lane], query.latency_ms_ref);
        scores[lane] =
            query.weighing.mean(block.load[lane], capacity[lane], distance[lane], latency);
    }
    (scores, mask)
}

/// The squared chord from a point to every lane.
fn chords(at: &[Column<f64>; 3], point: [f64; 3]) -> Column<f64> {
    let mut squared = [0.0; LANES];
    for lane in 0..LANES {
        squared[lane] = chord_squared([at[0][lane], at[1][lane], at[2][lane]], point);
    }
    squared
}

/// The capacity term of every lane that has enough.
fn capacity(block: &Block, query: &Query<'_>) -> Column<f64> {
    let mut sum = [0.0; LANES];
    for amount in &query.amounts {
        let (free, all) = (&block.free[amount.resource], &block.capacity[amount.resource]);
        let needed = amount.needed as f64;
        for lane in 0..LANES {
            sum[lane] += free_share(number(free[lane]) - needed, number(all[lane]));
        }
    }
    for lane in lanes_of(block.wide) {
        let (all, free) = block.amounts(lane);
        sum[lane] = query.amounts.iter().fold(0.0, |sum, amount| {
            let left = free[amount.resource].saturating_sub(amount.needed);
            sum + free_share(left as f64, all[amount.resource] as f64)
        });
    }
    for Count { token, needed } in &query.devices {
        if let Some(column) = block.device(*token) {
            for lane in 0..LANES {
                let left = column.free[lane].saturating_sub(*needed);
                sum[lane] += free_share(left.into(), column.capacity[lane].into());
            }
        }
    }
    let count = (query.amounts.len() + query.devices.len()) as f64;
    sum.map(|sum| turned(sum / count, query.packing))
}

/// An amount of a column as a number.
#[inline]
fn number(amount: u32) -> f64 {
    debug_assert!(u64::from(amount) <= AMOUNT_MAX);
    f64::from(amount as i32)
}

//! A block under the eye: which of its lanes may take the task, and what each scores, exactly.
//! First the masks, which are cheap and often leave nothing; then the columns.

#![expect(clippy::needless_range_loop, reason = "several columns go side by side")]

use shared::geo::{arc_m, chord_m, chord_squared};

use super::super::terms::{closeness, free_share, turned};
use super::block::{Block, Column, LANES, lanes_of};
use super::bounds::number;
use super::dictionary::TAINT;
use super::query::{Count, Query};
use super::reach::{NEVER, each, too_far};

/// How many lanes are scored at once; of those, none is passed by alone.
pub(super) const ABREAST: usize = 8;

/// Of more words that are barred, those of a block are sought among them, not they in the block.
const BARRED_FEW: usize = 32;

/// Lanes whose value passes.
#[inline]
pub(super) fn lanes_where<T: Copy>(column: &Column<T>, passes: impl Fn(T) -> bool) -> u64 {
    let (eights, _) = column.as_chunks::<8>();
    eights.iter().rev().fold(0, |mask, eight| {
        let mut flags = [0; 8];
        for lane in 0..8 {
            flags[lane] = u8::from(passes(eight[lane]));
        }
        mask << 8 | gathered(flags)
    })
}

/// The lowest bits of eight bytes: the multiplication moves each to its place in the highest byte.
#[inline]
fn gathered(flags: [u8; 8]) -> u64 {
    u64::from_le_bytes(flags).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Those of some lanes that are ready and have enough of what is asked for: what is looked at first,
/// because it stands in few columns and leaves few.
pub(super) fn roomy(block: &Block, query: &Query<'_>, lanes: u64) -> u64 {
    let mut mask = block.taken & block.ready & lanes;
    for amount in query.amounts.iter().filter(|amount| amount.needed > 0) {
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
    mask
}

/// Those of some lanes that have every word that is asked for.
pub(super) fn worded(block: &Block, query: &Query<'_>, mut mask: u64) -> u64 {
    for words in &query.required {
        if mask == 0 {
            break;
        }
        mask &= words.iter().fold(0, |lanes, word| lanes | block.words.lanes(*word));
    }
    mask
}

/// Those of some lanes that may take the task as far as other words, devices and latency go.
pub(super) fn candidates(block: &Block, query: &Query<'_>, mut mask: u64) -> u64 {
    if query.barred.len() <= BARRED_FEW {
        for word in &query.barred {
            mask &= !block.words.lanes(*word);
        }
    } else {
        for (word, lanes) in block.words.from(0) {
            if query.barred.binary_search(&word).is_ok() {
                mask &= !lanes;
            }
        }
    }
    if query.tolerated.is_empty() {
        mask &= !block.tainted;
    } else if mask & block.tainted != 0 {
        let taints = block.words.from(TAINT);
        for (_, lanes) in taints.filter(|(taint, _)| !query.tolerated.contains(taint)) {
            mask &= !lanes;
        }
    }
    if !query.avoided.is_empty() {
        let avoided = |lane: &usize| query.avoided.binary_search(&block.number[*lane]).is_ok();
        mask = lanes_of(mask).filter(|lane| !avoided(lane)).fold(0, |mask, lane| mask | 1 << lane);
    }
    for Count { token, needed, .. } in &query.devices {
        let free =
            |column: &super::block::Devices| lanes_where(&column.free, |free| free >= *needed);
        mask &= block.device(*token).map_or(0, free);
    }
    if let Some(most) = query.latency_ms_max.filter(|_| mask != 0) {
        let passes = |latency_ms: f64| match latency_ms < f64::INFINITY {
            true => !too_far(latency_ms, most),
            false => query.unmeasured_passes,
        };
        mask &= lanes_where(&block.latency_ms, passes);
    }
    mask
}

/// The scores of eight lanes from `from` on, exactly. Outlines of areas are left to the caller, but
/// not the circle round them: those of the lanes that are not near enough are [`NEVER`].
pub(super) fn scores(block: &Block, query: &Query<'_>, from: usize) -> [f64; ABREAST] {
    scored(block, query, from, arc_m)
}

/// What eight lanes score at most, near enough or not so: as [`scores`], with the straight line in the
/// place of the arc, which takes a fifth of the time and is hardly shorter where it matters.
pub(super) fn at_most(block: &Block, query: &Query<'_>, from: usize) -> [f64; ABREAST] {
    scored(block, query, from, chord_m)
}

/// Scores by a length in metres, which is that of a squared chord.
#[inline]
fn scored(
    block: &Block,
    query: &Query<'_>,
    from: usize,
    length_m: impl Fn(f64) -> f64 + Copy,
) -> [f64; ABREAST] {
    let mut scores = [0.0; ABREAST];
    let capacity = capacity(block, query, from);
    let mut distance = [0.0; ABREAST];
    let mut near = [true; ABREAST];
    if let (Some(point), Some(at)) = (query.near, &block.at) {
        let squared = chords(at, point, from);
        let lengths = each(&squared, length_m);
        for lane in 0..ABREAST {
            let closeness = closeness(lengths[lane], query.distance_m_ref);
            distance[lane] = if squared[lane] < f64::INFINITY { closeness } else { 0.0 };
        }
        if let Some(within_m) = query.within_m {
            for lane in 0..ABREAST {
                near[lane] = squared[lane] < f64::INFINITY && !too_far(lengths[lane], within_m);
            }
        }
    }
    if let (Some(within), Some(at)) = (&query.area, &block.at) {
        let squared = chords(at, within.centre, from);
        let lengths = each(&squared, length_m);
        for lane in 0..ABREAST {
            near[lane] &= squared[lane] < f64::INFINITY && lengths[lane] <= within.radius_m;
        }
    }
    let (load, latency_ms) = (eight(&block.load, from), eight(&block.latency_ms, from));
    for lane in 0..ABREAST {
        let latency = closeness(latency_ms[lane], query.latency_ms_ref);
        let score = query.weighing.mean(load[lane], capacity[lane], distance[lane], latency);
        scores[lane] = if near[lane] { score } else { NEVER };
    }
    scores
}

/// Eight lanes of a column.
#[inline]
fn eight<T: Copy>(column: &Column<T>, from: usize) -> &[T; ABREAST] {
    let (eights, _) = column.as_chunks::<ABREAST>();
    &eights[(from / ABREAST) % (LANES / ABREAST)]
}

/// The squared chord from a point to each of eight lanes.
#[inline]
fn chords(at: &[Column<f64>; 3], point: [f64; 3], from: usize) -> [f64; ABREAST] {
    let (x, y, z) = (eight(&at[0], from), eight(&at[1], from), eight(&at[2], from));
    let mut squared = [0.0; ABREAST];
    for lane in 0..ABREAST {
        squared[lane] = chord_squared([x[lane], y[lane], z[lane]], point);
    }
    squared
}

/// The capacity term of those of eight lanes that have enough.
fn capacity(block: &Block, query: &Query<'_>, from: usize) -> [f64; ABREAST] {
    let mut sum = [0.0; ABREAST];
    for amount in &query.amounts {
        let free = eight(&block.free[amount.resource], from);
        let all = eight(&block.capacity[amount.resource], from);
        let needed = amount.needed as f64;
        for lane in 0..ABREAST {
            sum[lane] += free_share(number(free[lane]) - needed, number(all[lane]));
        }
    }
    for lane in lanes_of(block.wide >> from & 0xff) {
        let (all, free) = block.amounts(from + lane);
        sum[lane] = query.amounts.iter().fold(0.0, |sum, amount| {
            let left = free[amount.resource].saturating_sub(amount.needed);
            sum + free_share(left as f64, all[amount.resource] as f64)
        });
    }
    for Count { token, needed, .. } in &query.devices {
        if let Some(column) = block.device(*token) {
            for lane in 0..ABREAST {
                let (free, all) = (column.free[from + lane], column.capacity[from + lane]);
                sum[lane] += free_share(free.saturating_sub(*needed).into(), all.into());
            }
        }
    }
    let count = (query.amounts.len() + query.devices.len()) as f64;
    each(&sum, |sum| turned(sum / count, query.packing))
}

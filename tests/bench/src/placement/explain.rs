//! Explaining: how long it takes to say of a whole fleet why a task waits, how long the core is held
//! for it, and what the core's own work costs while somebody reads.

use cloud_core_logic::placement::{FullScan, Policy, Request, plan};
use shared::spec::TaskSpec;

use super::questions::Kind;
use super::{Bench, load, now_us, percentiles};
use crate::figure::{Measured, Row};

/// Explanations of each kind.
const EXPLAINED: usize = 30;
/// Heartbeats between two of them.
const BEATS: usize = 1_000;
/// As many as an explanation shows.
const SHOWN: [usize; 2] = [10, 5];

/// Why a task waits: within 50 km of a point nobody has the memory, and some other things.
fn waits(bench: &mut Bench) -> (TaskSpec, Policy) {
    let (mut spec, policy) = Kind::Radius.ask(&bench.spread, &mut bench.dice);
    spec.needs.memory_mib = 65_000;
    (spec, policy)
}

pub fn measure(bench: &mut Bench, measured: &mut Measured) {
    let ids: Vec<_> = bench.roster.iter().map(|agent| agent.id.clone()).collect();
    let mut held_us = Vec::new();
    let mut beats_us = [0.0; 2];
    let mut told = |name: &str, bench: &mut Bench, ask: fn(&mut Bench) -> (TaskSpec, Policy)| {
        let mut times_ms = Vec::new();
        for question in 0..EXPLAINED {
            let (spec, policy) = ask(bench);
            let request = Request::of(&spec);
            beats_us[0] += heartbeats(bench, &ids);
            let begun = now_us();
            let snapshot = bench.roster.snapshot();
            held_us.push(now_us() - begun);
            let begun = now_us();
            let counted = plan(&snapshot, &request, &policy, SHOWN[0], SHOWN[1]);
            times_ms.push((now_us() - begun) / 1e3);
            if question == 0 {
                let scanned = FullScan(&snapshot).plan(&request, &policy, SHOWN[0], SHOWN[1]);
                assert_eq!(counted, scanned, "{name}");
            }
            beats_us[1] += heartbeats(bench, &ids);
        }
        let [half, most] = percentiles(&mut times_ms);
        let title = format!("{}: explain, {name}", bench.title);
        measured.row(Row::small(format!("{title}, p50"), "ms", half, 50.0, 20.0));
        measured.row(Row::small(format!("{title}, p99"), "ms", most, 50.0, 20.0));
    };
    told("waits within 50 km", bench, waits);
    told("nobody has the memory", bench, |bench| {
        Kind::Impossible.ask(&bench.spread, &mut bench.dice)
    });
    told("labels that never meet", bench, |bench| {
        Kind::LabelsThatNeverMeet.ask(&bench.spread, &mut bench.dice)
    });
    told("a polygon", bench, |bench| Kind::Polygon.ask(&bench.spread, &mut bench.dice));
    told("most may take it", bench, |bench| Kind::Near.ask(&bench.spread, &mut bench.dice));
    let [half, most] = percentiles(&mut held_us);
    let title = format!("{}: explain, the core is held", bench.title);
    measured.row(Row::small(format!("{title}, p50"), "µs", half, 1_000.0, 300.0));
    measured.row(Row::small(format!("{title}, p99"), "µs", most, 1_000.0, 300.0));
    let [free, read] = beats_us.map(|us| us / (5 * EXPLAINED * BEATS) as f64);
    measured.note(format!(
        "The first thousand heartbeats after a snapshot, while it is read: {read:.1} µs each; \
         with nobody reading: {free:.1} µs"
    ));
}

/// Heartbeats in no order; how long they take, in µs.
fn heartbeats(bench: &mut Bench, ids: &[shared::id::AgentId]) -> f64 {
    let dice = &mut bench.dice;
    let beats: Vec<_> =
        (0..BEATS).map(|_| (dice.below(ids.len()), load(dice), 100.0 * dice.part())).collect();
    let begun = now_us();
    for (agent, load, rtt_ms) in beats {
        bench.roster.change(&ids[agent], |agent| {
            agent.signal.measure_load(load);
            agent.signal.measure_rtt(rtt_ms);
        });
    }
    now_us() - begun
}

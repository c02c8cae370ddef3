//! What a task asks for, as the survey asks it: reason by reason, of 64 agents at once. Each reason
//! here is the filter of the same name in `filter`, on columns.

use shared::api::RefusalName;
use shared::geo::{Area, arc_m, chord_squared};
use shared::id::AgentId;
use shared::label::Operator;

use super::super::Request;
use super::super::limits::Limits;
use super::super::policy::Policy;
use super::apart::Apart;
use super::block::{Block, Column, LANES, lanes_of};
use super::dictionary::{Dictionary, TAINT, Token};
use super::reach::too_far;
use super::row::standing;
use super::scan::lanes_where;
use crate::fleet::{Fleet, Number};

/// Every reason for which this task may refuse an agent, with what it takes to decide.
pub(super) struct Asked<'a> {
    pub(super) reasons: Vec<RefusalName>,
    fleet: &'a Fleet,
    listed: Numbers,
    avoided_by_task: Numbers,
    refused_before: Numbers,
    arch: Vec<Token>,
    regions: Vec<Token>,
    runtime: Vec<Token>,
    /// Of each of these lists, one word.
    labels: Vec<Vec<Token>>,
    /// Of each of these lists one word, or none of them.
    expressions: Vec<(bool, Vec<Token>)>,
    tolerated: Vec<Token>,
    /// The point, and how far from it.
    near: Option<([f64; 3], f64)>,
    /// The area, and the circle round it.
    area: Option<(&'a Area, [f64; 3], f64)>,
    latency_ms_max: f64,
    amounts: [u64; 4],
    devices: Vec<(Option<Token>, u32)>,
    apart: Apart,
    full_agents: Numbers,
}

/// A block under the eye, with the distances that are asked for.
pub(super) struct Look<'a> {
    pub(super) block: &'a Block,
    /// Lanes whose place is known.
    placed: u64,
    /// From the point to be near, in metres.
    near_m: Column<f64>,
    /// From the centre of the area, in metres.
    area_m: Column<f64>,
}

/// Lanes that are refused for a reason; waiting helps against it where `waiting` says so.
#[derive(Clone, Copy)]
pub(super) struct Against {
    pub(super) lanes: u64,
    pub(super) waiting: u64,
}

impl Against {
    fn passing(lanes: u64) -> Self {
        Self { lanes, waiting: u64::MAX }
    }

    fn lasting(lanes: u64) -> Self {
        Self { lanes, waiting: 0 }
    }
}

/// A set of agents, one bit for each number.
struct Numbers(Vec<u64>);

impl Numbers {
    fn of<'a>(ids: impl IntoIterator<Item = &'a AgentId>, fleet: &Fleet) -> Self {
        Self::new(ids.into_iter().filter_map(|id| fleet.number(id)), fleet)
    }

    fn new(numbers: impl IntoIterator<Item = Number>, fleet: &Fleet) -> Self {
        let mut bits = Vec::new();
        for number in numbers {
            if bits.is_empty() {
                bits = vec![0; fleet.given().div_ceil(64) as usize];
            }
            bits[number as usize / 64] |= 1_u64 << (number % 64);
        }
        Self(bits)
    }

    /// The lanes whose agents are in the set.
    fn lanes(&self, numbers: &Column<Number>) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        let has = |number: Number| {
            self.0.get(number as usize / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
        };
        lanes_where(numbers, has)
    }
}

impl<'a> Asked<'a> {
    pub(super) fn new(
        request: &Request<'a>,
        policy: &Policy,
        dictionary: &Dictionary,
        fleet: &'a Fleet,
    ) -> Self {
        let (place, needs) = (&request.spec.place, &request.spec.needs);
        let labels = place.labels.iter();
        let expressions = place.expressions.iter().map(|expression| {
            let values = expression.values.iter();
            let values = values.filter_map(|value| dictionary.label(&expression.key, value));
            let key = dictionary.label_key(&expression.key).into_iter();
            match expression.op {
                Operator::In => (true, values.collect()),
                Operator::NotIn => (false, values.collect()),
                Operator::Exists => (true, key.collect()),
                Operator::NotExists => (false, key.collect()),
            }
        });
        let limits = Limits::of(request, policy);
        let apart = Apart::of(request, dictionary);
        Self {
            reasons: reasons(request, &limits),
            fleet,
            listed: Numbers::of(&place.agents, fleet),
            avoided_by_task: Numbers::of(&place.avoid_agents, fleet),
            refused_before: Numbers::of(request.avoid, fleet),
            arch: place.arch.iter().filter_map(|word| dictionary.arch(word)).collect(),
            regions: limits.regions.iter().filter_map(|word| dictionary.region(word)).collect(),
            runtime: dictionary.runtime(request.spec.run.kind()).into_iter().collect(),
            labels: labels
                .map(|(key, value)| dictionary.label(key, value).into_iter().collect())
                .collect(),
            expressions: expressions.collect(),
            tolerated: place.tolerate.iter().filter_map(|word| dictionary.taint(word)).collect(),
            near: limits.within.map(|(point, within_m)| (point.unit_vector(), within_m)),
            area: limits.area.map(|area| {
                let cap = area.bounds();
                (area, cap.centre.unit_vector(), cap.radius_m)
            }),
            latency_ms_max: limits.latency_ms_max.unwrap_or(f64::INFINITY),
            amounts: needs.scalars(),
            devices: needs
                .devices
                .iter()
                .map(|(name, &needed)| (dictionary.device(name), needed))
                .collect(),
            full_agents: Numbers::new(apart.full_agents.iter().copied(), fleet),
            apart,
        }
    }

    pub(super) fn look<'b>(&self, block: &'b Block) -> Look<'b> {
        let nowhere = [f64::INFINITY; LANES];
        let Some(at) = &block.at else {
            return Look { block, placed: 0, near_m: nowhere, area_m: nowhere };
        };
        let arcs = |point: [f64; 3]| -> Column<f64> {
            std::array::from_fn(|lane| {
                arc_m(chord_squared([at[0][lane], at[1][lane], at[2][lane]], point))
            })
        };
        Look {
            block,
            placed: lanes_where(&at[0], |x| x < f64::INFINITY),
            near_m: self.near.map_or(nowhere, |(point, _)| arcs(point)),
            area_m: self.area.map_or(nowhere, |(_, centre, _)| arcs(centre)),
        }
    }

    /// The lanes that are refused for one of the reasons. Those that nobody has taken may be among
    /// them.
    pub(super) fn against(&self, reason: RefusalName, look: &Look<'_>) -> Against {
        let block = look.block;
        let stands = |place: usize| block.standing[place];
        let lack = |words: &[Token]| !has_one_of(block, words);
        match reason {
            RefusalName::Offline => Against::passing(stands(standing::OFFLINE)),
            RefusalName::Suspect => Against::passing(stands(standing::SUSPECT)),
            RefusalName::Cordoned => Against::lasting(stands(standing::CORDONED)),
            RefusalName::Draining => Against::lasting(stands(standing::DRAINING)),
            RefusalName::Quarantined => Against::lasting(stands(standing::QUARANTINED)),
            RefusalName::Slots => {
                Against { lanes: stands(standing::FULL), waiting: !stands(standing::SHUT) }
            }
            RefusalName::NotListed => Against::lasting(!self.listed.lanes(&block.number)),
            RefusalName::Avoided => {
                let by_task = self.avoided_by_task.lanes(&block.number);
                let before = self.refused_before.lanes(&block.number);
                Against { lanes: by_task | before, waiting: !by_task }
            }
            RefusalName::Arch => Against::lasting(lack(&self.arch)),
            RefusalName::Region => Against::lasting(lack(&self.regions)),
            RefusalName::Runtime => Against::lasting(lack(&self.runtime)),
            RefusalName::Label => {
                Against::lasting(self.labels.iter().fold(0, |lanes, words| lanes | lack(words)))
            }
            RefusalName::Expression => {
                let broken = |(asked, words): &(bool, Vec<Token>)| match asked {
                    true => lack(words),
                    false => has_one_of(block, words),
                };
                let expressions = self.expressions.iter();
                Against::lasting(expressions.fold(0, |lanes, one| lanes | broken(one)))
            }
            RefusalName::Taint => {
                let taints = block.words.from(TAINT);
                let kept = taints.filter(|(taint, _)| !self.tolerated.contains(taint));
                Against::lasting(kept.fold(0, |all, (_, lanes)| all | lanes))
            }
            RefusalName::NoPosition => Against::lasting(!look.placed),
            RefusalName::TooFar => {
                let within_m = self.near.map_or(f64::INFINITY, |(_, within_m)| within_m);
                let far = lanes_where(&look.near_m, |distance_m| too_far(distance_m, within_m));
                Against::lasting(look.placed & far)
            }
            RefusalName::OutsideArea => Against::lasting(self.outside(look)),
            RefusalName::LatencyTooHigh => {
                let most = self.latency_ms_max;
                Against::passing(lanes_where(&block.latency_ms, |latency_ms| {
                    latency_ms < f64::INFINITY && too_far(latency_ms, most)
                }))
            }
            RefusalName::LatencyUnknown => {
                Against::passing(lanes_where(&block.latency_ms, |latency_ms| {
                    latency_ms == f64::INFINITY
                }))
            }
            RefusalName::Cpu => self.short(block, 0),
            RefusalName::Memory => self.short(block, 1),
            RefusalName::Disk => self.short(block, 2),
            RefusalName::Bandwidth => self.short(block, 3),
            RefusalName::Device => self.short_of_devices(block),
            RefusalName::Spread => self.too_many(look),
        }
    }

    /// How far each lane that is refused for a reason is from passing, as
    /// [`Refusal::shortfall`](super::super::Refusal) tells it. Other lanes have no meaning.
    pub(super) fn shortfalls(&self, reason: RefusalName, look: &Look<'_>) -> Column<f64> {
        let block = look.block;
        let above = |column: &Column<f64>, most: f64| column.map(|value| (value - most).max(0.0));
        match (reason, self.near, self.area) {
            (RefusalName::TooFar, Some((_, within_m)), _) => above(&look.near_m, within_m),
            (RefusalName::OutsideArea, _, Some((_, _, radius_m))) => above(&look.area_m, radius_m),
            (RefusalName::LatencyTooHigh, ..) => above(&block.latency_ms, self.latency_ms_max),
            (RefusalName::Cpu, ..) => self.lacking(block, 0),
            (RefusalName::Memory, ..) => self.lacking(block, 1),
            (RefusalName::Disk, ..) => self.lacking(block, 2),
            (RefusalName::Bandwidth, ..) => self.lacking(block, 3),
            (RefusalName::Device, ..) => {
                let mut sum = [0.0; LANES];
                for (token, needed) in &self.devices {
                    let column = token.and_then(|token| block.device(token));
                    for (lane, sum) in sum.iter_mut().enumerate() {
                        let free = column.map_or(0, |column| column.free[lane]);
                        *sum += f64::from(needed.saturating_sub(free));
                    }
                }
                sum
            }
            _ => [0.0; LANES],
        }
    }

    /// Those whose place is known and not in the area: the circle round it decides for most.
    fn outside(&self, look: &Look<'_>) -> u64 {
        let Some((area, _, radius_m)) = self.area else {
            return 0;
        };
        let near = lanes_where(&look.area_m, |distance_m| distance_m <= radius_m);
        let contains = |lane: &usize| {
            let agent = self.fleet.at(look.block.number[*lane]);
            agent.and_then(|agent| agent.facts.position).is_some_and(|at| area.contains(at))
        };
        let near = lanes_of(near & look.placed & look.block.taken);
        let inside = near.filter(contains).fold(0, |lanes, lane| lanes | 1_u64 << lane);
        look.placed & !inside
    }

    /// Those with too many of a group, for a while; and those of which that cannot be told.
    fn too_many(&self, look: &Look<'_>) -> Against {
        let Self { apart, full_agents, .. } = self;
        let block = look.block;
        let lacking = |lanes: u64, words: &Vec<Token>| lanes | !has_one_of(block, words);
        let mut unknown = apart.required.iter().fold(0, lacking);
        let mut full = has_one_of(block, &apart.full) | full_agents.lanes(&block.number);
        if !apart.crowds.is_empty() {
            unknown |= !look.placed;
            if let Some(at) = &block.at {
                let crowded =
                    |lane: &usize| apart.is_crowded([at[0][*lane], at[1][*lane], at[2][*lane]]);
                let placed = lanes_of(look.placed & block.taken);
                full |= placed.filter(crowded).fold(0, |lanes, lane| lanes | 1_u64 << lane);
            }
        }
        Against { lanes: full | unknown, waiting: !unknown }
    }

    fn short(&self, block: &Block, resource: usize) -> Against {
        let needed = self.amounts[resource];
        // More than a column holds is more than any of its lanes has.
        let columned = u32::try_from(needed).unwrap_or(u32::MAX);
        let mut lanes = lanes_where(&block.free[resource], |free| free < columned);
        let mut waiting = lanes_where(&block.capacity[resource], |capacity| capacity >= columned);
        for lane in lanes_of(block.wide & block.taken) {
            let (bit, (capacity, free)) = (1 << lane, block.amounts(lane));
            lanes = lanes & !bit | u64::from(needed > free[resource]) << lane;
            waiting = waiting & !bit | u64::from(needed <= capacity[resource]) << lane;
        }
        Against { lanes, waiting }
    }

    fn lacking(&self, block: &Block, resource: usize) -> Column<f64> {
        let needed = self.amounts[resource];
        let lacking = |free: u64| needed.saturating_sub(free) as f64;
        let mut column = block.free[resource].map(|free| lacking(free.into()));
        for lane in lanes_of(block.wide & block.taken) {
            column[lane] = lacking(block.amounts(lane).1[resource]);
        }
        column
    }

    fn short_of_devices(&self, block: &Block) -> Against {
        let mut against = Against { lanes: 0, waiting: u64::MAX };
        for &(token, needed) in self.devices.iter().filter(|(_, needed)| *needed > 0) {
            let (short, hopeless) = match token.and_then(|token| block.device(token)) {
                None => (u64::MAX, u64::MAX),
                Some(column) => (
                    lanes_where(&column.free, |free| free < needed),
                    lanes_where(&column.capacity, |capacity| capacity < needed),
                ),
            };
            against.lanes |= short;
            against.waiting &= !(short & hopeless);
        }
        against
    }
}

/// Lanes that have at least one of some words.
fn has_one_of(block: &Block, words: &[Token]) -> u64 {
    words.iter().fold(0, |lanes, word| lanes | block.words.lanes(*word))
}

/// The reasons that may refuse anybody at all.
fn reasons(request: &Request<'_>, limits: &Limits<'_>) -> Vec<RefusalName> {
    let (place, needs) = (&request.spec.place, &request.spec.needs);
    let [cpu, memory, disk, bandwidth] = needs.scalars().map(|needed| needed > 0);
    let (within, area) = (limits.within.is_some(), limits.area.is_some());
    let asked = [
        (RefusalName::Offline, true),
        (RefusalName::Suspect, true),
        (RefusalName::Cordoned, true),
        (RefusalName::Draining, true),
        (RefusalName::Quarantined, true),
        (RefusalName::Slots, true),
        (RefusalName::Runtime, true),
        (RefusalName::Taint, true),
        (RefusalName::NotListed, !place.agents.is_empty()),
        (RefusalName::Avoided, !place.avoid_agents.is_empty() || !request.avoid.is_empty()),
        (RefusalName::Arch, !place.arch.is_empty()),
        (RefusalName::Region, !limits.regions.is_empty()),
        (RefusalName::Label, !place.labels.is_empty()),
        (RefusalName::Expression, !place.expressions.is_empty()),
        (RefusalName::NoPosition, within || area),
        (RefusalName::TooFar, within),
        (RefusalName::OutsideArea, area),
        (RefusalName::LatencyTooHigh, limits.latency_ms_max.is_some()),
        (RefusalName::LatencyUnknown, limits.measured_for.is_some()),
        (RefusalName::Cpu, cpu),
        (RefusalName::Memory, memory),
        (RefusalName::Disk, disk),
        (RefusalName::Bandwidth, bandwidth),
        (RefusalName::Device, !needs.devices.is_empty()),
        (RefusalName::Spread, !place.spread.is_empty()),
    ];
    asked.into_iter().filter_map(|(reason, asked)| asked.then_some(reason)).collect()
}
